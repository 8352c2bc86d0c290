//! The API of callers.

mod audit;
mod endpoints;
mod explain;
mod feedback;
mod guard;
mod inbound;
mod keys;
mod list;
mod messages;
mod moves;
mod opt_outs;
pub(super) mod prefer;
mod prompts;
mod providers;
mod query;
mod queue;
mod raw;
mod templates;
mod timeline;
mod verifications;
mod view;
mod words;
mod workers;

use utoipa::OpenApi as _;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::State;

pub use self::messages::{read as read_send, read_bulk};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(messages::send, list::list))
        .routes(routes!(messages::send_bulk))
        .routes(routes!(messages::show))
        .routes(routes!(moves::cancel))
        .routes(routes!(moves::retry))
        .routes(routes!(moves::cancel_bulk))
        .routes(routes!(feedback::give))
        .routes(routes!(inbound::list))
        .routes(routes!(opt_outs::list, opt_outs::opt_out, opt_outs::opt_in))
        .routes(routes!(explain::explain))
        .routes(routes!(prompts::open, prompts::list))
        .routes(routes!(prompts::show))
        .routes(routes!(prompts::close))
        .routes(routes!(verifications::begin))
        .routes(routes!(verifications::show))
        .routes(routes!(verifications::check))
        .routes(routes!(verifications::cancel))
        .routes(routes!(providers::list))
        .routes(routes!(providers::drain))
        .routes(routes!(providers::resume))
        .routes(routes!(queue::show))
        .routes(routes!(queue::stuck))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(guard::decisions))
        .routes(routes!(workers::list))
        .routes(routes!(workers::pause))
        .routes(routes!(workers::activate))
        .routes(routes!(templates::list))
        .routes(routes!(templates::show, templates::write, templates::delete))
        .routes(routes!(templates::publish))
        .routes(routes!(templates::preview))
        .routes(routes!(audit::list))
        .routes(routes!(endpoints::list, endpoints::create))
        .routes(routes!(endpoints::show, endpoints::change, endpoints::delete))
        .routes(routes!(endpoints::rotate))
        .routes(routes!(endpoints::test))
        .routes(routes!(endpoints::replay::replay))
        .routes(routes!(endpoints::deliveries))
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
        (name = "templates", description = "Texts with variables, checked before they are used"),
        (name = "prompts", description = "Ask many, and count what they answer"),
        (name = "consent", description = "Who does not want what"),
        (name = "verifications", description = "One-time codes: send them and check them"),
        (name = "operators", description = "See and change what the gateway does"),
        (name = "keys", description = "Who may call"),
        (name = "webhooks", description = "Hear what happened"),
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

/// What every operation that asks who calls may answer, beside what its handler says.
pub(super) fn describe_authentication(description: &mut OpenApi) {
    let answer = |description: &str| {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        let answer = ResponseBuilder::new().description(description);
        RefOr::T(answer.content("application/problem+json", problem).build())
    };
    let refused = answer("too many requests from this address had no valid key");
    let unknown = answer("who calls can't be found out now: try again");
    for path in description.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            if responses.contains_key("401") {
                responses.entry("429".into()).or_insert_with(|| refused.clone());
                responses.entry("503".into()).or_insert_with(|| unknown.clone());
            }
        }
    }
}
