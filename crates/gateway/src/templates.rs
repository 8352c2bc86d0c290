//! The templates in force, compiled and at hand.
//!
//! Accepting looks a template up in memory. What another node publishes is noticed within two seconds, by a question that
//! costs a row for each template in force; what this node publishes, at once.

use std::collections::HashMap;
use std::sync::Arc;

use domain::ids::MessageId;
use domain::phone::Country;
use domain::scenario::Scenario;
use domain::template::{
    BUILT_IN, BUILTIN, Definition, Locale, LocaleError, Template, Used, VariableError, Variables, builtin,
};
use parking_lot::RwLock;
use store::port::templates::{InForce, KeptTemplate};
use store::{Store, StoreError};

/// The template of one-time codes.
pub(crate) const OTP: &str = "otp";

/// A template that messages can be made of.
#[derive(Debug)]
pub struct Ready {
    name: String,
    version: u32,
    template: Template,
}

/// A text made of a template.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// The text.
    pub text: String,
    /// What it was made of.
    pub used: Used,
    /// What the template says that its messages are for.
    pub scenario: Option<Scenario>,
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Written({})", self.used)
    }
}

/// Why no text was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No template of that name is in force.
    #[error("there is no template of that name, or none of it is published")]
    Unknown,
    /// No language tag.
    #[error("{0}")]
    Locale(#[from] LocaleError),
    /// Variables are wrong: each is named.
    #[error("the variables are wrong")]
    Variables(Vec<VariableError>),
}

impl Ready {
    /// What the template says that its messages are for.
    pub fn scenario(&self) -> Option<Scenario> {
        self.template.scenario()
    }

    /// The template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The text for a message. Of several variants its id decides which.
    pub fn write(
        &self,
        locale: Option<&Locale>,
        variables: &Variables,
        id: MessageId,
        region: Country,
    ) -> Result<Written, Vec<VariableError>> {
        let rendered = self.template.render(locale, variables, id, region)?;
        let (name, version) = (self.name.clone(), self.version);
        let used = Used { name, version, locale: rendered.locale, variant: rendered.variant };
        Ok(Written { text: rendered.text, used, scenario: self.template.scenario() })
    }
}

/// The templates in force.
#[derive(Debug)]
pub(crate) struct Templates(RwLock<State>);

#[derive(Debug)]
struct State {
    ready: HashMap<String, Arc<Ready>>,
    in_force: Vec<InForce>,
}

impl Templates {
    /// The built-in ones.
    pub(crate) fn new() -> Self {
        Self(RwLock::new(State { ready: all_built_in(), in_force: Vec::new() }))
    }

    /// The template of that name that is in force.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Ready>> {
        self.0.read().ready.get(name).cloned()
    }

    /// Takes what is published now.
    pub(crate) async fn renew(&self, store: &dyn Store) -> Result<(), StoreError> {
        let in_force = store.templates_in_force().await?;
        if self.0.read().in_force == in_force {
            return Ok(());
        }
        let mut ready = all_built_in();
        let kept = store.templates().await?;
        for InForce { name, version, .. } in &in_force {
            let wanted = |kept: &&KeptTemplate| kept.name == *name && kept.version == *version;
            let Some(kept) = kept.iter().find(wanted) else { continue };
            if let Some(template) = compiled(name, *version, &kept.definition) {
                ready.insert(name.clone(), Arc::new(template));
            } else {
                // By a program of another version, whose linter let it pass. Nothing else is sent in its place.
                ready.remove(name);
                tracing::error!(template = name, version, "a published template can't be used");
            }
        }
        *self.0.write() = State { ready, in_force };
        Ok(())
    }
}

fn all_built_in() -> HashMap<String, Arc<Ready>> {
    let ready = BUILTIN.iter().filter_map(|(name, _)| Some(((*name).to_owned(), Arc::new(built_in(name)?))));
    ready.collect()
}

/// The built-in template of that name, whatever is in force.
pub(crate) fn built_in(name: &str) -> Option<Ready> {
    let (template, _) = Template::compile(&builtin(name)?);
    Some(ready(name, BUILT_IN, template?))
}

/// A template with the name and the version that it is known by.
pub(crate) fn ready(name: &str, version: u32, template: Template) -> Ready {
    Ready { name: name.into(), version, template }
}

fn compiled(name: &str, version: u32, definition: &str) -> Option<Ready> {
    let definition = serde_json::from_str::<Definition>(definition).ok()?;
    let (template, _) = Template::compile(&definition);
    Some(ready(name, version, template?))
}
