//! What people do to templates: write versions of them, publish them, and take them out of use.

use std::sync::Arc;

use domain::audit::Act;
use domain::encoding::{self, Segmentation};
use domain::ids::MessageId;
use domain::phone::Msisdn;
use domain::route::Route;
use domain::scenario::Scenario;
use domain::secret::Body;
use domain::template::{
    BUILT_IN, BUILTIN, Definition, Locale, Report, Template, Variables, WorstCase, builtin,
};
use domain::time::Timestamp;
use store::StoreError;
use store::port::templates::{Draft, InForce, KeptTemplate, Publish};

use crate::explain::{Offender, offenders};
use crate::request::{FieldError, FieldProblem};
use crate::routing::Traveler;
use crate::service::SmsService;
use crate::templates::{Ready, TemplateError, Written};

/// A version of a template, as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its number; [`BUILT_IN`] for what comes with the program.
    pub version: u32,
    /// The definition.
    pub definition: Definition,
    /// Whether messages are made of it.
    pub in_force: bool,
    /// When it was written; `None` if it is built in.
    pub created_at: Option<Timestamp>,
    /// Who wrote it.
    pub created_by: Option<String>,
    /// When it was last published.
    pub published_at: Option<Timestamp>,
    /// Who published it.
    pub published_by: Option<String>,
    /// When it was taken out of use.
    pub retired_at: Option<Timestamp>,
}

/// A template and its versions, the oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Those in use.
    pub versions: Vec<Version>,
}

/// Why a version was not kept.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DraftError {
    /// A name has small letters, digits and underscores.
    #[error("is no name: small letters, digits and underscores, a letter first, up to 32")]
    Name,
    /// The linter found mistakes.
    #[error("the template has mistakes")]
    Mistakes(Report),
    /// The store can't take it now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Version {
    /// What each of its texts takes to send at most.
    pub fn worst(&self) -> Vec<WorstCase> {
        Template::compile(&self.definition).1.worst
    }
}

/// What to try a template with.
#[derive(Debug, Clone)]
pub struct TryOut {
    /// Which template.
    pub name: String,
    /// Which version; the one in force if none is named.
    pub version: Option<u32>,
    /// The language wanted.
    pub locale: Option<String>,
    /// Values of its variables.
    pub variables: Variables,
    /// A number to rank routes for.
    pub receiver: Option<String>,
}

/// What a template makes of values.
#[derive(Debug)]
pub struct Previewed {
    /// The template.
    pub name: String,
    /// The version.
    pub version: u32,
    /// The language, which may be the one that was fallen back to.
    pub locale: Locale,
    /// One for each variant.
    pub texts: Vec<PreviewedText>,
}

/// A text of a preview.
#[derive(Debug)]
pub struct PreviewedText {
    /// Which variant.
    pub variant: usize,
    /// The text.
    pub text: Body,
    /// What it takes to send.
    pub measured: Segmentation,
    /// The characters that are not in the plain alphabet, each where it is first.
    pub offenders: Vec<Offender>,
    /// Every route to the receiver, best first; none without a receiver.
    pub routes: Vec<Route>,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// No such template or version.
    #[error("there is no template of that name and version")]
    Unknown,
    /// Fields are wrong: each is named.
    #[error("fields are wrong")]
    Fields(Vec<FieldError>),
    /// The store can't be read now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SmsService {
    /// Shows the texts that a template makes of values, in force or not, and what they take to send.
    pub async fn preview_template(&self, wanted: &TryOut) -> Result<Previewed, PreviewError> {
        let TryOut { name, version, locale, variables, receiver } = wanted;
        let named = self.template(name).await?.ok_or(PreviewError::Unknown)?;
        let is_wanted = |kept: &&Version| version.map_or(kept.in_force, |version| kept.version == version);
        let kept = named.versions.iter().find(is_wanted).ok_or(PreviewError::Unknown)?;
        let (template, _) = Template::compile(&kept.definition);
        let template = template.ok_or(PreviewError::Unknown)?;
        let mut errors = Vec::new();
        let region = self.default_region();
        let locale = locale.as_deref().map(str::parse::<Locale>).transpose().unwrap_or_else(|problem| {
            errors.push(FieldError { pointer: "/locale".into(), problem: FieldProblem::Locale(problem) });
            None
        });
        let receiver = receiver.as_deref().map(|text| Msisdn::parse(text, region)).transpose();
        let receiver = receiver.unwrap_or_else(|problem| {
            errors.push(FieldError { pointer: "/receiver".into(), problem: FieldProblem::Receiver(problem) });
            None
        });
        let rendered = template.render_all(locale.as_ref(), variables, region).unwrap_or_else(|wrong| {
            let wrong = wrong.into_iter();
            errors.extend(wrong.map(FieldError::from));
            Vec::new()
        });
        if !errors.is_empty() {
            return Err(PreviewError::Fields(errors));
        }
        let scenario = template.scenario().unwrap_or(Scenario::General);
        let texts = rendered.into_iter().map(|rendered| {
            let measured = encoding::measure(&rendered.text);
            let segments = u16::try_from(measured.segments).unwrap_or(u16::MAX);
            let routes = receiver.map(|receiver| {
                let priority = scenario.priority();
                let traveler = Traveler { receiver, scenario, priority, segments, refused_by: &[] };
                self.shared.router.rank(&traveler, self.now())
            });
            PreviewedText {
                variant: rendered.variant,
                measured,
                offenders: offenders(&rendered.text),
                text: Body::new(rendered.text),
                routes: routes.unwrap_or_default(),
            }
        });
        let locale = template.locale(locale.as_ref()).clone();
        Ok(Previewed { name: name.clone(), version: kept.version, locale, texts: texts.collect() })
    }

    /// Makes a text of a template in force, without sending it. Numbers in national form belong to the default region.
    pub fn write_template(
        &self,
        name: &str,
        locale: Option<&str>,
        variables: &Variables,
        id: MessageId,
    ) -> Result<Written, TemplateError> {
        let ready = self.shared.templates.get(name).ok_or(TemplateError::Unknown)?;
        let locale = locale.map(str::parse).transpose()?;
        ready.write(locale.as_ref(), variables, id, self.default_region()).map_err(TemplateError::Variables)
    }

    /// The template in force of that name.
    pub fn template_in_force(&self, name: &str) -> Option<Arc<Ready>> {
        self.shared.templates.get(name)
    }

    /// Keeps a new version of a template, unless the linter finds mistakes. Answers its number, and what the linter found.
    pub async fn draft_template(
        &self,
        name: &str,
        definition: &Definition,
        act: Act,
    ) -> Result<(u32, Report), DraftError> {
        if !domain::template::is_name(name) {
            return Err(DraftError::Name);
        }
        let (template, report) = Template::compile(definition);
        if template.is_none() {
            return Err(DraftError::Mistakes(report));
        }
        let definition =
            serde_json::to_string(definition).map_err(|error| StoreError::Internal(error.to_string()))?;
        let version = self.shared.store.draft_template(Draft { name: name.into(), definition, act }).await?;
        Ok((version, report))
    }

    /// Puts a version in force, the newest if none is named; `None` if there is none.
    pub async fn publish_template(
        &self,
        name: &str,
        version: Option<u32>,
        act: Act,
    ) -> Result<Option<u32>, StoreError> {
        let published =
            self.shared.store.publish_template(Publish { name: name.into(), version, act }).await?;
        self.shared.templates.renew(&*self.shared.store).await?;
        Ok(published)
    }

    /// Takes all versions of a template out of use; `false` if there are none. Of a built-in one's name, that one is in force
    /// again.
    pub async fn delete_template(&self, name: &str, act: Act) -> Result<bool, StoreError> {
        let deleted = self.shared.store.retire_template(name.into(), act).await?;
        self.shared.templates.renew(&*self.shared.store).await?;
        Ok(deleted)
    }

    /// All templates in use, by name.
    pub async fn templates(&self) -> Result<Vec<Named>, StoreError> {
        let (kept, in_force) =
            (self.shared.store.templates().await?, self.shared.store.templates_in_force().await?);
        let mut names: Vec<&str> = kept.iter().map(|kept| kept.name.as_str()).collect();
        names.extend(BUILTIN.iter().map(|(name, _)| *name));
        names.sort_unstable();
        names.dedup();
        let all = names.into_iter().map(|name| {
            let own = kept.iter().filter(|kept| kept.name == name).cloned().collect();
            Ok(Named { name: name.into(), versions: versions(name, own, &in_force)? })
        });
        all.collect()
    }

    /// One template with every version, also those that were taken out of use; `None` if there is none.
    pub async fn template(&self, name: &str) -> Result<Option<Named>, StoreError> {
        let kept = self.shared.store.template(name.into()).await?;
        let in_force = self.shared.store.templates_in_force().await?;
        let versions = versions(name, kept, &in_force)?;
        Ok((!versions.is_empty()).then(|| Named { name: name.into(), versions }))
    }
}

/// The built-in version, if there is one, and those that are kept.
fn versions(name: &str, kept: Vec<KeptTemplate>, in_force: &[InForce]) -> Result<Vec<Version>, StoreError> {
    let in_force = in_force.iter().find(|it| it.name == name).map(|it| it.version);
    let built_in = builtin(name).map(|definition| Version {
        version: BUILT_IN,
        definition,
        in_force: in_force.is_none(),
        created_at: None,
        created_by: None,
        published_at: None,
        published_by: None,
        retired_at: None,
    });
    let mut versions: Vec<Version> = built_in.into_iter().collect();
    for kept in kept {
        versions.push(Version {
            version: kept.version,
            definition: serde_json::from_str(&kept.definition).map_err(|_unreadable| StoreError::Corrupt)?,
            in_force: in_force == Some(kept.version),
            created_at: Some(kept.created_at),
            created_by: Some(kept.created_by),
            published_at: kept.published_at,
            published_by: kept.published_by,
            retired_at: kept.retired_at,
        });
    }
    Ok(versions)
}
