//! Secrets that are kept elsewhere: fetched at the start, and looked at again while the gateway runs.
//!
//! [`crate::config`] says which settings are secrets and what may stand in their place. Here the places are asked: files,
//! HashiCorp Vault, AWS Secrets Manager. docs/adr/0020 says why it is built so, docs/secrets.md what operators see.

mod vault;

mod aws;

mod keeper;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use domain::secret::SecretString;
use domain::time::{Clock, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use self::aws::Aws;
use self::vault::Vault;
use crate::config::secrets::read_file;
use crate::config::{Config, Fetched, SecretError, Secrets, SettingsError, Source};

pub(crate) use self::keeper::{Keeper, TURN, days};

/// How long a store may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most that is read of an answer, in bytes: no secret is larger in either store.
const LARGEST_ANSWER: usize = 256 * 1024;

/// Secrets that could not be had, by setting, and why.
pub type Unread = BTreeMap<String, SecretError>;

/// Asks the stores for all secrets that are kept there. Each must be there: nothing is begun with half of them.
///
/// # Errors
/// Names the setting and the store.
pub async fn fetch(config: Config, clock: Arc<dyn Clock>) -> Result<Config, SettingsError> {
    let (config, unread) = fetch_what_answers(config, clock).await?;
    match unread.into_iter().next() {
        Some((key, problem)) => Err(SettingsError::Secret { key, problem }),
        None => Ok(config),
    }
}

/// The same with those that can be had, beside those that can't.
///
/// # Errors
/// If the settings can't be used.
pub async fn fetch_what_answers(
    config: Config,
    clock: Arc<dyn Clock>,
) -> Result<(Config, Unread), SettingsError> {
    if config.held.first_not_fetched().is_none() {
        return Ok((config, Unread::new()));
    }
    let stores = Stores::of(&config, clock);
    let (fetched, unread) = stores.look(&config.held, || {}).await;
    Ok((config.with_secrets(fetched)?, unread))
}

/// All stores that the settings name.
pub(crate) struct Stores {
    vault: Vault,
    aws: Aws,
}

/// An entry of a store: one secret, or several with names.
struct Entry {
    fields: Fields,
    created_at: Option<Timestamp>,
}

enum Fields {
    One(SecretString),
    Named(BTreeMap<String, SecretString>),
}

impl Stores {
    /// Asks nobody yet.
    pub(crate) fn of(config: &Config, clock: Arc<dyn Clock>) -> Self {
        Self { vault: Vault::new(config, clock), aws: Aws::new(&config.secrets.aws) }
    }

    /// Looks at all places that may have changed. An entry with several secrets is asked for once, so that what belongs
    /// together is of one moment. `alive` is called before each.
    pub(crate) async fn look(&self, held: &Secrets, alive: impl Fn()) -> (BTreeMap<String, Fetched>, Unread) {
        let (mut fetched, mut unread) = (BTreeMap::new(), Unread::new());
        let mut entries = BTreeMap::new();
        for (key, held) in held.iter().filter(|(_, held)| held.source.can_change()) {
            alive();
            match self.look_at(&held.source, &mut entries).await {
                Ok(secret) => _ = fetched.insert(key.to_owned(), secret),
                Err(problem) => _ = unread.insert(key.to_owned(), problem),
            }
        }
        (fetched, unread)
    }

    async fn look_at(
        &self,
        source: &Source,
        entries: &mut BTreeMap<String, Result<Entry, SecretError>>,
    ) -> Result<Fetched, SecretError> {
        let (store, place, field) = match source {
            Source::Vault(of) => (vault::STORE, format!("{}/{}", of.mount, of.path), Some(of.field.as_str())),
            Source::Aws(of) => (aws::STORE, of.id.clone(), of.field.as_deref()),
            _ => return read_file_aside(source.clone()).await,
        };
        let key = format!("{store}:{place}");
        if !entries.contains_key(&key) {
            let entry = match source {
                Source::Vault(of) => self.vault.read(&of.mount, &of.path).await,
                // Boxed: what the library of AWS makes is large.
                _ => Box::pin(self.aws.read(&place)).await,
            };
            entries.insert(key.clone(), entry);
        }
        let wrong = |problem: String| SecretError::Store { store, problem };
        let entry = entries.get(&key).ok_or_else(|| wrong("has lost it".into()))?;
        let entry = entry.as_ref().map_err(Clone::clone)?;
        let value = match (&entry.fields, field) {
            (Fields::One(secret), None) => Some(secret.clone()),
            (Fields::One(secret), Some(field)) => aws::field(secret, field),
            (Fields::Named(fields), Some(field)) => fields.get(field).cloned(),
            (Fields::Named(_), None) => None,
        };
        let value =
            value.ok_or_else(|| wrong(format!("has no text {} in {place}", field.unwrap_or("at all"))))?;
        Ok(Fetched { value, created_at: entry.created_at })
    }
}

/// A text of an answer that is a secret. Numbers and words of JSON count as texts; lists and objects do not.
struct Text(Option<SecretString>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::String(text) => Some(text.into()),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Bool(word) => Some(word.to_string().into()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }))
    }
}

/// A file may lie on a disk that hangs: not on a thread that others need.
async fn read_file_aside(source: Source) -> Result<Fetched, SecretError> {
    let lost = |_panicked| SecretError::Store { store: "the file", problem: "could not be read".into() };
    tokio::task::spawn_blocking(move || read_file(&source)).await.map_err(lost)?
}

/// What went wrong on the way to a store: the innermost error, from the system, the resolver or TLS. They know the address
/// at most.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    // One line: some list all that they have tried.
    let text = cause.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;
    use crate::config::{DatabaseUrl, Held, Secret};

    // Held by the compiler: none of these can be written into an answer, a log line or a file.
    assert_not_impl_any!(SecretString: serde::Serialize, std::fmt::Display);
    assert_not_impl_any!(Secret: serde::Serialize, std::fmt::Display);
    assert_not_impl_any!(DatabaseUrl: serde::Serialize, std::fmt::Display);
    assert_not_impl_any!(Fetched: serde::Serialize, std::fmt::Display);
    assert_not_impl_any!(Held: serde::Serialize, std::fmt::Display);
    assert_not_impl_any!(Secrets: serde::Serialize, std::fmt::Display);
    assert_not_impl_any!(Config: serde::Serialize, std::fmt::Display);

    #[test]
    fn debug_shows_no_secret() {
        let fetched = Fetched { value: "hunter2".into(), created_at: None };
        let held = Held { source: Source::Environment("TUMA_X".into()), fetched: Some(fetched) };
        let shown = format!("{held:?}");
        assert!(shown.contains("TUMA_X") && !shown.contains("hunter2"), "{shown}");
    }
}
