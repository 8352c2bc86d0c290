//! Where secrets come from: which settings are secrets, and what may stand in their place.
//!
//! A secret stands in the environment or the settings file, or one of these names its place: a variable whose name ends
//! in `_FILE`, or a text such as `vault:secret/tuma#token` or `aws:tuma/prod#token`. Files are read here; to ask the stores
//! is the business of [`crate::secrets`].

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use domain::secret::{ExposeSecret as _, SecretString, Zeroize as _};
use domain::time::Timestamp;
use providers::REGISTRY;
use serde::Deserialize;
use url::Url;

use super::{Config, Secret, SettingsError, optional};

/// Settings of Tuma itself that are secrets. **A new one is a line here.** Those of providers stand in their adapters.
const SECRETS: &[&str] =
    &["database_url", "data_key", "jwt.secret", "broker.password", "broker.token", "broker.api_key"];

/// What opens the stores themselves: it may come from a file, but not from a store.
const KEYS_OF_STORES: &[&str] = &["secrets.vault.token", "secrets.vault.role_id", "secrets.vault.secret_id"];

/// The largest file that can be one secret, in bytes.
const LARGEST_FILE: u64 = 64 * 1024;

/// What a text must be to name a place in Vault.
pub(crate) const VAULT: &str = "vault:";
/// The same for AWS Secrets Manager.
pub(crate) const AWS: &str = "aws:";

/// How secrets are kept fresh, and where the stores are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct SecretSettings {
    pub refresh_s: u64,
    pub max_age_days: u64,
    pub previous_valid_s: u64,
    pub vault: VaultSettings,
    pub aws: AwsSettings,
}

/// HashiCorp Vault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct VaultSettings {
    #[serde(deserialize_with = "optional")]
    pub address: Option<Url>,
    pub namespace: String,
    pub token: Secret,
    pub role_id: Secret,
    pub secret_id: Secret,
    pub auth_mount: String,
    #[serde(deserialize_with = "optional")]
    pub ca_file: Option<PathBuf>,
}

/// AWS Secrets Manager.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml says what each key means")]
pub struct AwsSettings {
    pub region: String,
    #[serde(deserialize_with = "optional")]
    pub endpoint: Option<Url>,
}

/// Where a secret is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It stands in the settings file.
    SettingsFile,
    /// It stands in the environment, in this variable.
    Environment(String),
    /// It is what a file holds.
    File {
        /// The file.
        path: PathBuf,
        /// The variable that names it.
        variable: String,
    },
    /// It is a field of an entry in Vault.
    Vault(VaultField),
    /// It is a secret of AWS Secrets Manager, or a field of one.
    Aws(AwsField),
}

/// A field in Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultField {
    /// Where the engine is mounted.
    pub mount: String,
    /// The entry.
    pub path: String,
    /// Its field.
    pub field: String,
}

/// A secret in AWS Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsField {
    /// Its name or ARN.
    pub id: String,
    /// The field, where the secret is a JSON object.
    pub field: Option<String>,
}

impl Source {
    /// Whether it may say something else tomorrow.
    pub fn can_change(&self) -> bool {
        !matches!(self, Self::SettingsFile | Self::Environment(_))
    }

    /// Whether a store has to be asked.
    pub fn is_store(&self) -> bool {
        matches!(self, Self::Vault(_) | Self::Aws(_))
    }

    /// The place that a text names; `None` if it names none and is the secret itself.
    fn named_by(text: &str) -> Result<Option<Self>, &'static str> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix(VAULT) {
            let field = VaultField::parse(rest).ok_or("expected vault:<mount>/<path>#<field>")?;
            return Ok(Some(Self::Vault(field)));
        }
        if let Some(rest) = text.strip_prefix(AWS) {
            let field = AwsField::parse(rest).ok_or("expected aws:<secret>, or aws:<secret>#<field>")?;
            return Ok(Some(Self::Aws(field)));
        }
        Ok(None)
    }
}

/// In words, for people: where, and never what.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SettingsFile => f.write_str("the settings file"),
            Self::Environment(variable) => write!(f, "the environment ({variable})"),
            Self::File { path, variable } => write!(f, "the file {} ({variable})", path.display()),
            Self::Vault(VaultField { mount, path, field }) => {
                write!(f, "Vault ({mount}/{path}, field {field})")
            }
            Self::Aws(AwsField { id, field: None }) => write!(f, "AWS Secrets Manager ({id})"),
            Self::Aws(AwsField { id, field: Some(field) }) => {
                write!(f, "AWS Secrets Manager ({id}, field {field})")
            }
        }
    }
}

impl VaultField {
    fn parse(text: &str) -> Option<Self> {
        let (place, field) = text.split_once('#')?;
        let (mount, path) = place.split_once('/')?;
        let is_segment = |part: &str| !part.is_empty() && part != "." && part != "..";
        let is_sound = is_segment(mount) && path.split('/').all(is_segment) && !field.is_empty();
        let is_plain = |sign: char| !sign.is_control() && !matches!(sign, '?' | '#' | '%');
        let is_sound = is_sound && [place, field].iter().all(|part| part.chars().all(is_plain));
        is_sound.then(|| Self { mount: mount.into(), path: path.into(), field: field.into() })
    }
}

impl AwsField {
    fn parse(text: &str) -> Option<Self> {
        let (id, field) = match text.split_once('#') {
            Some((id, field)) => (id, Some(field)),
            None => (text, None),
        };
        // What a name may have (AWS, "CreateSecret"), and the colons of an ARN.
        let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "/_+=.@-:".contains(sign);
        let is_sound = !id.is_empty() && id.chars().all(is_plain) && field != Some("");
        is_sound.then(|| Self { id: id.into(), field: field.map(str::to_owned) })
    }
}

/// A secret with what is known of its age.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The secret.
    pub value: SecretString,
    /// Since when it is this one, where the place knows that.
    pub created_at: Option<Timestamp>,
}

/// Why a secret can't be had. Names the place, never the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A file can't be read.
    #[error("{} can't be read: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A store does not give it.
    #[error("{store} {problem}")]
    Store {
        /// Which store.
        store: &'static str,
        /// What it did instead.
        problem: String,
    },
    /// The settings don't say how to reach the store.
    #[error("comes from {store}, and {missing} is not set")]
    NoStore {
        /// Which store.
        store: &'static str,
        /// The settings that are missing.
        missing: &'static str,
    },
}

/// A secret that is set.
#[derive(Debug, Clone)]
pub struct Held {
    /// Where it is from.
    pub source: Source,
    /// The secret; `None` as long as its store has not been asked.
    pub fetched: Option<Fetched>,
}

/// All secrets that are set, by setting.
#[derive(Debug, Clone, Default)]
pub struct Secrets(BTreeMap<String, Held>);

impl Secrets {
    /// Reads the secrets whose settings are among `texts`, and the files among `files`.
    pub(super) fn read(given: BTreeMap<String, Given>) -> Result<Self, SettingsError> {
        let held = given.into_iter().map(|(key, given)| {
            let held = given.hold(&key)?;
            Ok((key, held))
        });
        held.collect::<Result<_, _>>().map(Self)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Held)> {
        self.0.iter().map(|(key, held)| (key.as_str(), held))
    }

    /// One of them.
    pub fn get(&self, key: &str) -> Option<&Held> {
        self.0.get(key)
    }

    /// The secret, where it is known.
    pub fn value(&self, key: &str) -> Option<&SecretString> {
        Some(&self.0.get(key)?.fetched.as_ref()?.value)
    }

    /// The first that its store has not been asked for.
    pub fn first_not_fetched(&self) -> Option<&str> {
        self.iter().find(|(_, held)| held.fetched.is_none()).map(|(key, _)| key)
    }

    /// The same with some of them as they are now.
    pub fn with(&self, fetched: BTreeMap<String, Fetched>) -> Self {
        let mut secrets = self.clone();
        for (key, fetched) in fetched {
            if let Some(held) = secrets.0.get_mut(&key) {
                held.fetched = Some(fetched);
            }
        }
        secrets
    }
}

/// What the layers of settings say of a secret.
pub(super) enum Given {
    /// A text, and where it stands: the secret, or the name of its place.
    Text(SecretString, Source),
    /// A file.
    File(Source),
}

impl Given {
    fn hold(self, key: &str) -> Result<Held, SettingsError> {
        let wrong = |problem: &str| SettingsError::Value { key: key.into(), problem: problem.into() };
        let (text, source) = match self {
            Self::File(source) => {
                let fetched = read_file(&source)
                    .map_err(|problem| SettingsError::Secret { key: key.into(), problem })?;
                return Ok(Held { source, fetched: Some(fetched) });
            }
            Self::Text(text, source) => (text, source),
        };
        match Source::named_by(text.expose_secret()).map_err(wrong)? {
            Some(_) if KEYS_OF_STORES.contains(&key) => Err(wrong("opens a store, and can't come from one")),
            Some(source) => Ok(Held { source, fetched: None }),
            None => Ok(Held { source, fetched: Some(Fetched { value: text, created_at: None }) }),
        }
    }
}

/// Every setting that may come from a file of its own or a store.
pub(crate) fn keys() -> impl Iterator<Item = String> {
    let own = SECRETS.iter().chain(KEYS_OF_STORES).map(|key| (*key).to_owned());
    let of_providers = REGISTRY.iter().flat_map(|provider| {
        let keys = provider.secrets.iter().chain(provider.identities);
        keys.map(|key| format!("providers.{}.{key}", provider.name))
    });
    own.chain(of_providers)
}

/// Whether the setting is no secret, but says whose the secrets are.
pub(crate) fn is_identity(key: &str) -> bool {
    REGISTRY.iter().any(|provider| {
        provider.identities.iter().any(|identity| key == format!("providers.{}.{identity}", provider.name))
    })
}

/// What a source on this machine holds now; `None` where a store has to be asked.
pub(crate) fn read_file(source: &Source) -> Result<Fetched, SecretError> {
    let Source::File { path, .. } = source else {
        return Err(SecretError::Store { store: "the place", problem: "is no file".into() });
    };
    let wrong = |problem: String| SecretError::File { path: path.clone(), problem };
    let (mut bytes, modified) = read(path).map_err(|error| wrong(error.kind().to_string()))?;
    if bytes.len() as u64 > LARGEST_FILE {
        bytes.zeroize();
        return Err(wrong("is larger than a secret".into()));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        error.into_bytes().zeroize();
        wrong("is no text in UTF-8".into())
    })?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = SecretString::from(value.strip_suffix('\r').unwrap_or(value));
    text.zeroize();
    if value.expose_secret().is_empty() {
        return Err(wrong("is empty".into()));
    }
    Ok(Fetched { value, created_at: modified })
}

/// The file's bytes, one more than may be, in a buffer that never moves; and when it was written.
fn read(path: &Path) -> std::io::Result<(Vec<u8>, Option<Timestamp>)> {
    let file = File::open(path)?;
    let modified = file.metadata()?.modified().ok();
    let mut bytes = Vec::with_capacity(usize::try_from(LARGEST_FILE + 1).unwrap_or(usize::MAX));
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    let since = modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    Ok((bytes, since.map(|since| Timestamp::from_micros(0).plus(since))))
}

/// What can't be.
pub(super) fn validate(config: &Config) -> Result<(), SettingsError> {
    let settings = &config.secrets;
    let wrong = |key: &str, problem: &str| {
        Err(SettingsError::Value { key: format!("secrets.{key}"), problem: problem.into() })
    };
    if !(10..=86_400).contains(&settings.refresh_s) {
        return wrong("refresh_s", "must be from 10 to 86400");
    }
    let vault = &settings.vault;
    if let Some(address) = &vault.address {
        let is_plain =
            address.query().is_none() && address.fragment().is_none() && address.username().is_empty();
        let is_safe = address.scheme() == "https"
            || (address.scheme() == "http" && providers::client::is_this_machine(address));
        if !is_safe || !is_plain {
            return wrong(
                "vault.address",
                "must begin with https://, or name this machine, and have no query and no credentials",
            );
        }
    }
    let is_set = |secret: &Secret| secret.get().is_some();
    if is_set(&vault.role_id) != is_set(&vault.secret_id) {
        return wrong("vault.role_id", "and secrets.vault.secret_id must be set together");
    }
    if is_set(&vault.token) && is_set(&vault.role_id) {
        return wrong("vault.token", "and secrets.vault.role_id can't both be set");
    }
    if settings.aws.endpoint.as_ref().is_some_and(|url| {
        url.scheme() != "https" && !(url.scheme() == "http" && providers::client::is_this_machine(url))
    }) {
        return wrong("aws.endpoint", "must begin with https://, or name this machine");
    }
    Ok(())
}

impl SecretSettings {
    /// From one look at the places of secrets to the next.
    pub fn refresh(&self) -> Duration {
        Duration::from_secs(self.refresh_s)
    }

    /// From which age on a secret is old; `None` for never.
    pub fn max_age(&self) -> Option<Duration> {
        Some(Duration::from_hours(self.max_age_days.saturating_mul(24))).filter(|age| !age.is_zero())
    }

    /// For how long callbacks with a provider's credentials of before are taken.
    pub fn previous_valid(&self) -> Duration {
        Duration::from_secs(self.previous_valid_s)
    }
}
