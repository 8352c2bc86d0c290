//! The layers of settings: what stands in `config.default.toml` and the providers' own defaults, then a file,
//! then the environment.
//!
//! The defaults name every key there is, with its type. So a key that is not among them is a mistake, and a
//! variable of the environment is read as the type that its key has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::secret::Zeroizing;
use providers::REGISTRY;
use toml::{Table, Value};

use super::secrets::{self, Given, Source};

/// Tables whose keys are the operator's own, each with a value of the type that all of them have.
const OPEN_TABLES: &[(&str, Value)] = &[
    ("jwt.scopes", Value::Array(Vec::new())),
    ("messages.max_characters_by_scenario", Value::Integer(0)),
    ("quiet_hours.by_scenario", Value::String(String::new())),
    ("routing.exchange", Value::Float(0.0)),
];

/// Variables that begin like settings and are none: those of the tests, and those that Kubernetes sets in every pod
/// for a service called tuma.
const FOREIGN: &[&str] = &["TUMA_TEST_", "TUMA_SERVICE_", "TUMA_PORT"];

/// Variables that begin like settings and are none: read by the command line.
const NOT_SETTINGS: &[&str] = &["TUMA_CONFIG", "TUMA_URL", "TUMA_API_KEY", "TUMA_MOVE_FROM", "TUMA_MOVE_TO"];

/// Why a layer can't be read. Names keys and variables, never values.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The file can't be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and on which line.
        problem: String,
    },
    /// The file has a key that is none of ours.
    #[error("{}: unknown setting {key}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, with dots.
        key: String,
    },
    /// The environment has a variable of ours that is no setting.
    #[error("environment variable {0} is no setting")]
    UnknownVariable(String),
    /// A variable can't be read as the type of its key.
    #[error("environment variable {variable} must be {expected}")]
    Variable {
        /// The variable.
        variable: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A secret stands in a variable, and another one names its file.
    #[error("environment variables {text} and {file} are both set: which one holds is not said")]
    Both {
        /// The one with the text.
        text: String,
        /// The one with the path.
        file: String,
    },
}

/// All layers in one.
pub(super) struct Merged {
    /// The settings, without those of `secrets`.
    pub(super) settings: Table,
    /// What was said of secrets, by their keys.
    pub(super) secrets: BTreeMap<String, Given>,
}

/// Where the secrets were set.
#[derive(Default)]
struct Origins {
    texts: BTreeMap<String, Source>,
    files: BTreeMap<String, Source>,
}

/// Every key with its default, as TOML text with comments: the file that an operator may start from.
pub fn default_settings() -> String {
    let providers = REGISTRY.iter().map(|provider| format!("\n{}", provider.settings.trim_start()));
    std::iter::once(include_str!("../config.default.toml").to_owned()).chain(providers).collect()
}

pub(super) fn merge(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Merged, LayerError> {
    #[expect(clippy::expect_used, reason = "a constant of this program, read by its tests")]
    let defaults: Table = default_settings().parse().expect("the default settings are TOML");
    let mut settings = defaults.clone();
    let mut origins = Origins::default();
    if let Some(path) = file {
        let text =
            std::fs::read_to_string(path).map_err(|error| LayerError::File { path: path.into(), error })?;
        let text = Zeroizing::new(text);
        let layer: Table = text.parse().map_err(|error: toml::de::Error| LayerError::Syntax {
            path: path.into(),
            problem: syntax(&text, &error),
        })?;
        let set = secrets::keys().filter(|key| value(&layer, key).is_some());
        origins.texts.extend(set.map(|key| (key, Source::SettingsFile)));
        overlay(&mut settings, &defaults, layer, "")
            .map_err(|key| LayerError::UnknownKey { path: path.into(), key })?;
    }
    for (variable, text) in environment {
        if let Some(key) = secret_in_file(&variable) {
            origins.note_file(key, variable, &text);
        } else if let Some(path) = setting_of(&variable) {
            set(&mut settings, &defaults, &path, &variable, text)?;
            origins.texts.insert(path.join("."), Source::Environment(variable));
        }
    }
    let secrets = origins.take(&mut settings, &defaults)?;
    Ok(Merged { settings, secrets })
}

impl Origins {
    fn note_file(&mut self, key: String, variable: String, path: &str) {
        if path.is_empty() {
            self.files.remove(&key);
        } else {
            self.files.insert(key, Source::File { path: path.into(), variable });
        }
    }

    /// Takes the secrets out of the settings.
    fn take(mut self, settings: &mut Table, defaults: &Table) -> Result<BTreeMap<String, Given>, LayerError> {
        let mut secrets = BTreeMap::new();
        for key in secrets::keys() {
            let Some(source) = self.texts.remove(&key) else { continue };
            // One that is no text stays, for whoever reads the settings to complain of.
            let Some(Value::String(text)) = value_mut(settings, &key) else { continue };
            let is_default = value(defaults, &key).and_then(Value::as_str) == Some(text.as_str());
            if !is_default && !text.trim().is_empty() {
                secrets.insert(key, Given::Text(std::mem::take(text).into(), source));
            }
        }
        for (key, source) in self.files {
            let before = secrets.insert(key, Given::File(source.clone()));
            if let (Some(Given::Text(_, Source::Environment(text))), Source::File { variable, .. }) =
                (before, source)
            {
                return Err(LayerError::Both { text, file: variable });
            }
        }
        Ok(secrets)
    }
}

/// The value of a key with dots.
fn value<'a>(settings: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((table, rest)) => value(settings.get(table)?.as_table()?, rest),
        None => settings.get(key),
    }
}

fn value_mut<'a>(settings: &'a mut Table, key: &str) -> Option<&'a mut Value> {
    match key.split_once('.') {
        Some((table, rest)) => value_mut(settings.get_mut(table)?.as_table_mut()?, rest),
        None => settings.get_mut(key),
    }
}

/// The key of the secret whose file a variable names; `None` if it does not.
fn secret_in_file(variable: &str) -> Option<String> {
    let key = setting_of(variable.strip_suffix("_FILE")?)?.join(".");
    secrets::keys().find(|secret| *secret == key)
}

/// What is wrong and where, without the line itself, which may hold a secret.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let line = error
        .span()
        .and_then(|span| text.get(..span.start))
        .map_or(1, |before| before.matches('\n').count() + 1);
    format!("line {line}: {}", error.message())
}

/// Lays `layer` over `settings`; the error is a key that the defaults don't know.
fn overlay(settings: &mut Table, defaults: &Table, layer: Table, within: &str) -> Result<(), String> {
    for (key, value) in layer {
        let path = if within.is_empty() { key.clone() } else { format!("{within}.{key}") };
        let known = open_table(within).is_some() || defaults.contains_key(&key);
        if !known {
            return Err(path);
        }
        match (settings.get_mut(&key), defaults.get(&key), value) {
            (Some(Value::Table(below)), Some(Value::Table(defaults)), Value::Table(layer)) => {
                overlay(below, defaults, layer, &path)?;
            }
            (_, _, value) => {
                settings.insert(key, value);
            }
        }
    }
    Ok(())
}

/// What the values of a table are like whose keys are the operator's own; `None` for another table.
fn open_table(path: &str) -> Option<&'static Value> {
    OPEN_TABLES.iter().find(|(table, _)| *table == path).map(|(_, value)| value)
}

/// The key that a variable sets, part by part; `None` if it is none of ours.
fn setting_of(variable: &str) -> Option<Vec<String>> {
    if variable == "SMS_PROVIDER" {
        return Some(vec!["routing".into(), "default_provider".into()]);
    }
    // Like the secrets of providers: a name that people know, with one underscore.
    if variable == "TUMA_JWT_SECRET" {
        return Some(vec!["jwt".into(), "secret".into()]);
    }
    let of_provider = REGISTRY.iter().find_map(|provider| {
        let (_, key) = provider.environment.iter().find(|(name, _)| *name == variable)?;
        Some(vec!["providers".into(), provider.name.into(), (*key).into()])
    });
    of_provider.or_else(|| {
        let none_of_ours =
            NOT_SETTINGS.contains(&variable) || FOREIGN.iter().any(|prefix| variable.starts_with(prefix));
        let key = variable.strip_prefix("TUMA_").filter(|_| !none_of_ours)?;
        Some(key.split("__").map(str::to_lowercase).collect())
    })
}

fn set(
    settings: &mut Table,
    defaults: &Table,
    path: &[String],
    variable: &str,
    text: String,
) -> Result<(), LayerError> {
    let unknown = || LayerError::UnknownVariable(variable.into());
    let (key, tables) = path.split_last().ok_or_else(unknown)?;
    let (mut settings, mut defaults) = (settings, defaults);
    for table in tables {
        settings = settings.get_mut(table).and_then(Value::as_table_mut).ok_or_else(unknown)?;
        defaults = defaults.get(table).and_then(Value::as_table).ok_or_else(unknown)?;
    }
    let default = defaults.get(key).or(open_table(&tables.join("."))).ok_or_else(unknown)?;
    settings.insert(key.clone(), typed(default, text, variable)?);
    Ok(())
}

/// Reads a text as the type that the default has.
fn typed(default: &Value, text: String, variable: &str) -> Result<Value, LayerError> {
    let wrong = |expected| LayerError::Variable { variable: variable.into(), expected };
    match default {
        Value::String(_) => Ok(Value::String(text)),
        Value::Integer(_) => text.trim().parse().map(Value::Integer).or(Err(wrong("a whole number"))),
        Value::Float(_) => text.trim().parse().map(Value::Float).or(Err(wrong("a number"))),
        Value::Boolean(_) => text.trim().parse().map(Value::Boolean).or(Err(wrong("true or false"))),
        Value::Array(_) | Value::Table(_) => {
            // A list is written as in the file: TUMA_ROUTING__RULES='[{countries=["KE"], provider="…"}]'.
            let list: Result<Table, _> = format!("value = {text}").parse();
            list.ok().and_then(|mut table| table.remove("value")).ok_or(wrong("a list, written as in TOML"))
        }
        Value::Datetime(_) => Err(wrong("a setting of another kind")),
    }
}
