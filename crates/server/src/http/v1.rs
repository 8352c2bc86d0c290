//! The API of callers.

mod explain;
mod feedback;
mod guard;
mod list;
mod messages;
mod moves;
pub(super) mod prefer;
mod providers;
mod queue;
mod raw;
mod timeline;
mod view;
mod words;
mod workers;

use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::State;

pub(crate) use self::messages::read as read_send;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(messages::send, list::list))
        .routes(routes!(messages::send_bulk))
        .routes(routes!(messages::show))
        .routes(routes!(moves::cancel))
        .routes(routes!(moves::retry))
        .routes(routes!(moves::cancel_bulk))
        .routes(routes!(feedback::give))
        .routes(routes!(explain::explain))
        .routes(routes!(providers::list))
        .routes(routes!(providers::drain))
        .routes(routes!(providers::resume))
        .routes(routes!(queue::show))
        .routes(routes!(queue::stuck))
        .routes(routes!(guard::decisions))
        .routes(routes!(workers::list))
        .routes(routes!(workers::pause))
        .routes(routes!(workers::activate))
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tuma",
        description = "A self-hosted SMS gateway for transactional messages. Errors are RFC 9457 problem details \
            with a stable `code`; docs/api.md describes each one.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "messages", description = "Send messages and see what became of them"),
        (name = "operators", description = "See and change what the gateway does"),
        (name = "callbacks", description = "What providers call"),
        (name = "operations", description = "Health and figures"),
    ),
    security(("bearer" = []), ("api_key" = [])),
)]
struct Description;

/// What the description says beside its routes.
pub(super) fn description() -> OpenApi {
    let mut description = Description::openapi();
    let components = description.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme(
        "api_key",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))),
    );
    description
}
