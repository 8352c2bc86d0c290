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
use utoipa_swagger_ui::SwaggerUi;

pub use self::client_address::client_address;
pub(crate) use self::layers::{OverTls, full};
pub use self::state::{Context, Limits, State};
pub use self::v1::{read_bulk, read_send};
use crate::config::{Role, Roles};

/// The description of the API, as served at `/openapi.json`: of all roles, from the handlers themselves.
pub fn openapi() -> OpenApi {
    Described::new().description
}

/// What callers and providers reach, as far as it is a role of this node. With `operations`, health and metrics too.
pub fn routes(state: State, roles: &Roles, operations: bool) -> Routes {
    let described = Described::new();
    let mut routes = Router::new();
    if roles.has(Role::Api) {
        routes = routes.merge(described.api);
        routes = routes.merge(SwaggerUi::new("/docs").url("/openapi.json", described.description));
    }
    if roles.has(Role::Callbacks) {
        routes = routes.merge(described.callbacks);
    }
    let routes = if operations { routes.merge(described.operations) } else { routes };
    Routes::new(routes, state)
}

/// The routes of each role, and the description of all of them. Made once: describing is most of the work.
struct Described {
    api: Router<State>,
    callbacks: Router<State>,
    operations: Router<State>,
    description: OpenApi,
}

impl Described {
    fn new() -> Self {
        let (api, of_api) = v1::routes().split_for_parts();
        let (callbacks, of_callbacks) = hooks::routes().split_for_parts();
        let (operations, of_operations) = ops::routes().split_for_parts();
        let parts = [of_api, of_callbacks, of_operations];
        let mut description = parts.into_iter().fold(v1::description(), OpenApi::merge_from);
        v1::describe_authentication(&mut description);
        Self { api, callbacks, operations, description }
    }
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
