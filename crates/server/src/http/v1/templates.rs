//! Templates: written, published, tried, taken out of use.

mod shown;

use std::str::FromStr;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use domain::audit::Act;
use domain::template::{Definition, Finding, Report, Severity, Variables};
use gateway::authoring::{DraftError, Named, PreviewError, TryOut, Version};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::shown::{Preview, ShownFinding, ShownTemplate, ShownWorstCase, TemplateList};
use super::query;
use crate::http::extract::{Authenticated, Body, PathParts};
use crate::http::problem::{Code, FieldProblem, Problem, ProblemBody};
use crate::http::state::State;
use crate::keys::{Identity, Scope};

pub(super) use self::shown::TemplateDefinition;

/// What became of a new version.
#[derive(Serialize, ToSchema)]
pub(super) struct Drafted {
    /// The template.
    #[schema(example = "welcome")]
    name: String,
    /// The number of the new version.
    #[schema(example = 3)]
    version: u32,
    /// Whether it is in force now.
    published: bool,
    /// What somebody should look at.
    warnings: Vec<ShownFinding>,
    /// What each text takes to send at most.
    worst: Vec<ShownWorstCase>,
}

/// What is in force now.
#[derive(Serialize, ToSchema)]
pub(super) struct Published {
    /// The template.
    #[schema(example = "welcome")]
    name: String,
    /// The version in force.
    #[schema(example = 3)]
    version: u32,
}

/// What to try a template with.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PreviewBody {
    /// Values of its variables.
    #[schema(value_type = Option<Object>)]
    variables: Option<Variables>,
    /// The language.
    #[schema(example = "sw")]
    locale: Option<String>,
    /// A number to show routes and their prices for.
    #[schema(example = "0712345678")]
    receiver: Option<String>,
    /// Which version; the one in force if none is named.
    version: Option<u32>,
}

/// Lists all templates.
#[utoipa::path(
    get, path = "/templates", tag = "templates",
    responses(
        (status = 200, body = TemplateList),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Authenticated,
) -> Result<Json<TemplateList>, Problem> {
    caller.with_any(&[Scope::Templates])?;
    Ok(Json(state.service.templates().await?.into()))
}

/// Shows a template: the version in force, or the one asked for.
#[utoipa::path(
    get, path = "/templates/{name}", tag = "templates",
    params(
        ("name" = String, Path, description = "the template's name"),
        ("version" = Option<u32>, Query, description = "which version; 0 is the built-in one"),
    ),
    responses(
        (status = 200, body = ShownTemplate),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such template or version", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong parameters", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(name): PathParts<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<ShownTemplate>, Problem> {
    caller.with_any(&[Scope::Templates])?;
    let wanted = parameter::<u32>(query.as_deref(), "version")?;
    let named = state.service.template(&name).await?.ok_or_else(unknown)?;
    let version = chosen(&named, wanted).ok_or_else(unknown)?;
    Ok(Json(ShownTemplate::new(&named, version)))
}

/// The version asked for; else the one in force, and if there is none, the newest.
fn chosen(named: &Named, wanted: Option<u32>) -> Option<&Version> {
    let versions = || named.versions.iter();
    match wanted {
        Some(wanted) => versions().find(|version| version.version == wanted),
        None => versions().find(|version| version.in_force).or_else(|| versions().next_back()),
    }
}

/// Writes a new version of a template.
///
/// It is a draft until it is published. A version is never changed; a template with mistakes is refused, and each is
/// named with its place.
#[utoipa::path(
    put, path = "/templates/{name}", tag = "templates", request_body = TemplateDefinition,
    params(
        ("name" = String, Path, description = "small letters, digits and underscores, a letter first"),
        ("publish" = Option<bool>, Query, description = "true: publish it at once"),
    ),
    responses(
        (status = 201, description = "kept", body = Drafted),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come in time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "mistakes in the template", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn write(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(name): PathParts<String>,
    RawQuery(query): RawQuery,
    Body(definition): Body<Definition>,
) -> Result<(StatusCode, Json<Drafted>), Problem> {
    let author = caller.with_any(&[Scope::Templates])?;
    let publish = parameter::<bool>(query.as_deref(), "publish")?.unwrap_or(false);
    let drafted = state.service.draft_template(&name, &definition, act(&state, &author)).await;
    let (version, report) = drafted.map_err(refusal)?;
    let published = if publish {
        state.service.publish_template(&name, Some(version), act(&state, &author)).await?.is_some()
    } else {
        false
    };
    let Report { findings, worst } = report;
    let drafted = Drafted {
        name,
        version,
        published,
        warnings: findings.iter().map(ShownFinding::from).collect(),
        worst: worst.iter().map(ShownWorstCase::from).collect(),
    };
    Ok((StatusCode::CREATED, Json(drafted)))
}

/// Puts a version in force: the newest, or the one asked for.
///
/// Messages accepted from now on are made of it; on other nodes, within two seconds.
#[utoipa::path(
    post, path = "/templates/{name}/publish", tag = "templates",
    params(
        ("name" = String, Path, description = "the template's name"),
        ("version" = Option<u32>, Query, description = "which version; the newest if none is named"),
    ),
    responses(
        (status = 200, description = "in force", body = Published),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such template or version", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong parameters", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn publish(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(name): PathParts<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Published>, Problem> {
    let author = caller.with_any(&[Scope::Templates])?;
    let version = parameter::<u32>(query.as_deref(), "version")?;
    let published = state.service.publish_template(&name, version, act(&state, &author)).await?;
    let version = published.ok_or_else(unknown)?;
    Ok(Json(Published { name, version }))
}

/// Takes all versions of a template out of use.
///
/// They can still be shown. If there is a built-in template of that name, it is in force again.
#[utoipa::path(
    delete, path = "/templates/{name}", tag = "templates",
    params(("name" = String, Path, description = "the template's name")),
    responses(
        (status = 204, description = "out of use"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such template", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "nothing was changed: try again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(name): PathParts<String>,
) -> Result<StatusCode, Problem> {
    let author = caller.with_any(&[Scope::Templates])?;
    if state.service.delete_template(&name, act(&state, &author)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(unknown())
}

/// Shows the texts that a template makes of these values, and what they take to send. Stores nothing.
#[utoipa::path(
    post, path = "/templates/{name}/preview", tag = "templates", request_body = PreviewBody,
    params(("name" = String, Path, description = "the template's name")),
    responses(
        (status = 200, body = Preview),
        (status = 400, description = "not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "no valid key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "missing scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such template or version", body = ProblemBody, content_type = "application/problem+json"),
        (status = 408, description = "the body did not come in time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "not application/json", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "wrong fields", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "the store can't be read", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn preview(
    Shared(state): Shared<State>,
    caller: Authenticated,
    PathParts(name): PathParts<String>,
    Body(body): Body<PreviewBody>,
) -> Result<Json<Preview>, Problem> {
    caller.with_any(&[Scope::Templates])?;
    let PreviewBody { variables, locale, receiver, version } = body;
    let wanted = TryOut { name, version, locale, variables: variables.unwrap_or_default(), receiver };
    let previewed = state.service.preview_template(&wanted).await.map_err(|error| match error {
        PreviewError::Unknown => unknown(),
        PreviewError::Fields(errors) => Problem::of_fields(errors.into_iter().map(Into::into).collect()),
        PreviewError::Store(error) => error.into(),
    })?;
    Ok(Json(previewed.into()))
}

fn act(state: &State, author: &Identity) -> Act {
    Act { by: author.actor(), at: state.service.now() }
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "there is no template of that name and version")
}

fn refusal(error: DraftError) -> Problem {
    match error {
        DraftError::Name => {
            let detail = error.to_string();
            Problem::of_fields(vec![FieldProblem { pointer: "name".into(), code: "invalid_name", detail }])
        }
        DraftError::Mistakes(report) => {
            let mistakes = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
            Problem::of_fields(mistakes.map(mistake).collect())
        }
        DraftError::Store(error) => error.into(),
    }
}

fn mistake(finding: &Finding) -> FieldProblem {
    let detail = match finding.place {
        Some(place) => format!(
            "line {}, column {} (character {}): {}",
            place.line, place.column, place.position, finding.message
        ),
        None => finding.message.clone(),
    };
    FieldProblem { pointer: finding.pointer.clone(), code: "template_mistake", detail }
}

/// The one parameter that an address has.
fn parameter<T: FromStr>(query: Option<&str>, name: &'static str) -> Result<Option<T>, Problem> {
    let mut found = None;
    query::read(query, |asked, text| {
        if asked != name {
            return query::unknown();
        }
        found = Some(
            text.parse().map_err(|_of_another_type| ("wrong_type", "has the wrong type or form".into()))?,
        );
        Ok(())
    })?;
    Ok(found)
}
