//! The HTTP edge: routes and layers. A handler parses, asks the service and shapes the answer.

mod limits;

pub mod problem;

mod state;

mod client_address;

mod extract;

mod layers;

mod mask;

mod hooks;

mod ops;

mod v1;

use axum::Router;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

pub use self::client_address::client_address;
pub(crate) use self::layers::{OverTls, full};
pub use self::state::{Context, Limits, State};
pub use self::v1::{read_bulk, read_send};
use crate::config::{Role, Roles};

/// The description of the API, as served at `/openapi.json`: of all roles, from the handlers themselves.
pub fn openapi() -> OpenApi {
    let described = OpenApiRouter::with_openapi(v1::description())
        .merge(v1::routes())
        .merge(hooks::routes())
        .merge(ops::routes());
    let mut description = described.split_for_parts().1;
    v1::describe_authentication(&mut description);
    description
}

/// What callers and providers reach, as far as it is a role of this node. With `operations`, health and metrics too.
pub fn router(state: State, roles: &Roles, operations: bool) -> Router {
    let mut routes = Router::new();
    if roles.has(Role::Api) {
        routes = routes.merge(v1::routes().split_for_parts().0);
        routes = routes.merge(SwaggerUi::new("/docs").url("/openapi.json", openapi()));
    }
    if roles.has(Role::Callbacks) {
        routes = routes.merge(hooks::routes().split_for_parts().0);
    }
    let routes = if operations { routes.merge(ops::routes().split_for_parts().0) } else { routes };
    layered(routes, &state).with_state(state)
}

/// What holds on every listener.
fn layered(routes: Router<State>, state: &State) -> Router<State> {
    routes
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(state.clone(), layers::time_limit))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(axum::middleware::from_fn(layers::guards))
}

/// Health and metrics alone, for a listener of their own.
pub fn operations_router(state: State) -> Router {
    let routes = ops::routes().split_for_parts().0;
    layered(routes, &state).with_state(state)
}
