//! Templates as JSON.

use std::collections::BTreeMap;

use domain::template::{BUILT_IN, Finding, WorstCase};
use gateway::authoring::{Named, Previewed, PreviewedText, Version};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::v1::explain::{ShownOffender, ShownRoute};

/// A template, as it is written. docs/templates.md describes it at length.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes what the domain reads")]
pub(in crate::http::v1) struct TemplateDefinition {
    /// What it is for, for people.
    description: Option<String>,
    /// What its messages are for where a request does not say.
    #[schema(example = "transaction")]
    scenario: Option<String>,
    /// The language for receivers whose own it has not; `en` where none is given.
    default_locale: Option<String>,
    /// The promise of how its texts travel: `gsm7`, which is checked, or `ucs2`.
    #[schema(example = "gsm7")]
    encoding: Option<String>,
    /// The promise of how many segments no text goes beyond: checked against the bounds of all variables.
    #[schema(minimum = 1, maximum = 10)]
    max_segments: Option<u8>,
    /// Curly quotes, dashes and the like in the texts are written plain.
    transliterate: Option<bool>,
    /// The variables, by name: each an object with `type` (text, integer, amount, phone, code or choice) and its bounds.
    #[schema(value_type = Option<Object>)]
    variables: Option<BTreeMap<String, Value>>,
    /// The texts, by language: each a text, or a list of `{"weight", "text"}`.
    #[schema(value_type = Object)]
    locales: BTreeMap<String, Value>,
}

/// All templates.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct TemplateList {
    /// The templates, by name.
    templates: Vec<ListedTemplate>,
}

/// A template in a list.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedTemplate {
    /// Its name.
    #[schema(example = "otp")]
    name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The version in force; 0 is the built-in one, `null` means that none is published.
    version: Option<u32>,
    /// Every version in use.
    versions: Vec<u32>,
}

/// A template.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct ShownTemplate {
    /// Its name.
    #[schema(example = "otp")]
    name: String,
    #[serde(flatten)]
    version: ShownVersion,
    /// Every version of it, also those out of use.
    versions: Vec<ListedVersion>,
}

/// A version.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct ShownVersion {
    #[serde(flatten)]
    version: ListedVersion,
    /// The definition, as it was written.
    #[schema(value_type = TemplateDefinition)]
    definition: Value,
    /// What each text takes to send at most.
    worst: Vec<ShownWorstCase>,
}

/// A version in a list.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct ListedVersion {
    /// Its number; 0 is the built-in one.
    #[schema(example = 3)]
    version: u32,
    /// `in_force`, `draft` (never published), `published` (another one was, since), or `deleted`.
    #[schema(example = "in_force")]
    state: &'static str,
    /// When it was written; `null` for the built-in one.
    created_at: Option<String>,
    /// Who wrote it: the id of an API key.
    created_by: Option<String>,
    /// When it was last published.
    published_at: Option<String>,
    /// Who published it.
    published_by: Option<String>,
}

/// What a text takes to send at most, whatever the values.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct ShownWorstCase {
    /// The language.
    #[schema(example = "en")]
    locale: String,
    /// Which of the texts of that language, counted from 0.
    variant: usize,
    /// `gsm7`, or `ucs2` if any value makes it so.
    #[schema(example = "gsm7")]
    encoding: &'static str,
    /// Septets or UTF-16 code units.
    #[schema(example = 147)]
    units: usize,
    /// How many SMS.
    #[schema(example = 1)]
    segments: usize,
}

/// Something that the linter found.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct ShownFinding {
    /// Where: a JSON pointer into the definition.
    #[schema(example = "/locales/en")]
    pointer: String,
    /// The line of the text there, counted from 1.
    line: Option<usize>,
    /// The character in that line, counted from 1.
    column: Option<usize>,
    /// The character in the text, counted from 0.
    position: Option<usize>,
    /// The character that it is about.
    character: Option<char>,
    /// What it is.
    message: String,
}

/// What a template makes of values.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct Preview {
    /// The template.
    name: String,
    /// The version.
    version: u32,
    /// The language, which may be the one that was fallen back to.
    #[schema(example = "sw")]
    locale: String,
    /// One for each variant.
    texts: Vec<PreviewText>,
}

/// A text of a preview.
#[derive(Serialize, ToSchema)]
pub(super) struct PreviewText {
    /// Which variant, counted from 0.
    variant: usize,
    /// The text.
    #[schema(example = "Nambari yako ni 482913.")]
    text: String,
    /// `gsm7` or `ucs2`.
    #[schema(example = "gsm7")]
    encoding: &'static str,
    /// The text's length.
    characters: usize,
    /// How many SMS the text takes.
    #[schema(example = 1)]
    segments: usize,
    /// The characters that make it travel as `ucs2`, each where it is first.
    offenders: Vec<ShownOffender>,
    /// Every route to the receiver with its price, best first; none without a receiver.
    routes: Vec<ShownRoute>,
}

impl From<Vec<Named>> for TemplateList {
    fn from(named: Vec<Named>) -> Self {
        let templates = named.into_iter().map(|Named { name, versions }| {
            let shown = versions.iter().find(|version| version.in_force).or(versions.last());
            ListedTemplate {
                name,
                description: shown.and_then(|version| version.definition.description.clone()),
                version: versions.iter().find(|version| version.in_force).map(|version| version.version),
                versions: versions.iter().map(|version| version.version).collect(),
            }
        });
        Self { templates: templates.collect() }
    }
}

impl ShownTemplate {
    pub(super) fn new(named: &Named, version: &Version) -> Self {
        Self {
            name: named.name.clone(),
            version: version.into(),
            versions: named.versions.iter().map(ListedVersion::from).collect(),
        }
    }
}

impl From<&Version> for ShownVersion {
    fn from(version: &Version) -> Self {
        Self {
            version: version.into(),
            definition: serde_json::to_value(&version.definition).unwrap_or_default(),
            worst: version.worst().iter().map(ShownWorstCase::from).collect(),
        }
    }
}

impl From<&Version> for ListedVersion {
    fn from(version: &Version) -> Self {
        let state = match version {
            Version { in_force: true, .. } => "in_force",
            Version { retired_at: Some(_), .. } => "deleted",
            Version { published_at: None, .. } if version.version != BUILT_IN => "draft",
            _ => "published",
        };
        Self {
            version: version.version,
            state,
            created_at: version.created_at.map(|at| at.to_string()),
            created_by: version.created_by.clone(),
            published_at: version.published_at.map(|at| at.to_string()),
            published_by: version.published_by.clone(),
        }
    }
}

impl From<&WorstCase> for ShownWorstCase {
    fn from(case: &WorstCase) -> Self {
        let WorstCase { locale, variant, most } = case;
        Self {
            locale: locale.to_string(),
            variant: *variant,
            encoding: most.encoding.as_str(),
            units: most.units,
            segments: most.segments,
        }
    }
}

impl From<&Finding> for ShownFinding {
    fn from(finding: &Finding) -> Self {
        Self {
            pointer: finding.pointer.clone(),
            line: finding.place.map(|place| place.line),
            column: finding.place.map(|place| place.column),
            position: finding.place.map(|place| place.position),
            character: finding.character,
            message: finding.message.clone(),
        }
    }
}

impl From<Previewed> for Preview {
    fn from(previewed: Previewed) -> Self {
        let Previewed { name, version, locale, texts } = previewed;
        Self { name, version, locale: locale.to_string(), texts: texts.into_iter().map(Into::into).collect() }
    }
}

impl From<PreviewedText> for PreviewText {
    fn from(previewed: PreviewedText) -> Self {
        let PreviewedText { variant, text, measured, offenders, routes } = previewed;
        Self {
            variant,
            characters: text.chars(),
            text: text.expose().into(),
            encoding: measured.encoding.as_str(),
            segments: measured.segments,
            offenders: offenders.iter().map(ShownOffender::from).collect(),
            routes: routes.iter().enumerate().map(ShownRoute::from).collect(),
        }
    }
}
