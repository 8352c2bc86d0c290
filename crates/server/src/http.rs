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

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
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
pub fn routes(state: State, roles: &Roles, operations: bool) -> Routes {
    let mut routes = Router::new();
    if roles.has(Role::Api) {
        routes = routes.merge(v1::routes().split_for_parts().0);
        routes = routes.merge(SwaggerUi::new("/docs").url("/openapi.json", openapi()));
    }
    if roles.has(Role::Callbacks) {
        routes = routes.merge(hooks::routes().split_for_parts().0);
    }
    let routes = if operations { routes.merge(ops::routes().split_for_parts().0) } else { routes };
    Routes::new(routes, state)
}

/// Health and metrics alone, for a listener of their own.
pub fn operations_routes(state: State) -> Routes {
    Routes::new(ops::routes().split_for_parts().0, state)
}

/// What a listener serves. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Routes {
    router: Router,
    timeout: Duration,
}

impl Routes {
    fn new(routes: Router<State>, state: State) -> Self {
        let routes =
            routes.fallback(layers::not_found).method_not_allowed_fallback(layers::method_not_allowed);
        Self { timeout: state.limits.timeout, router: routes.with_state(state) }
    }

    /// Answers a request, whatever happens.
    ///
    /// What holds for all routes stands around the router and not in it: a layer there costs each request some allocations.
    pub async fn answer(self, request: Request) -> Response {
        let about = layers::About::of(&request);
        let answering = layers::caught(layers::timed(self.router, self.timeout, request));
        about.guard(answering.await)
    }
}
