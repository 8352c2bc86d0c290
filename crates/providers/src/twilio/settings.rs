//! The settings of a Twilio account, checked.

use domain::phone::SenderId;
use domain::secret::{ExposeSecret, SecretString};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::endpoint::{self, BaseUrl};
use crate::factory::{ConfigError, ProviderConfig};
use crate::settings;

/// The section of the settings file.
pub(super) const SECTION: &str = r#"[providers.twilio]
# Twilio Programmable Messaging. In use once the account SID and one of the two credentials are set.

# Account SID: AC and 32 hexadecimal digits. Environment: TWILIO_ACCOUNT_SID
account_sid = ""
# Auth token. Authenticates requests where no API key is set, and checks the signature of callbacks in either
# case: without it no delivery receipts are asked for. Environment: TWILIO_AUTH_TOKEN
auth_token = ""
# The other auth token while tokens are rotated: callbacks signed with it are taken too.
auth_token_previous = ""
# API key, SK and 32 hexadecimal digits, and its secret. Used for requests instead of the auth token where both
# are set. Environment: TWILIO_API_KEY_SID, TWILIO_API_KEY_SECRET
api_key_sid = ""
api_key_secret = ""
# Shared key for callbacks that Twilio signs with one instead of the auth token: its id and its secret.
shared_key_id = ""
shared_key_secret = ""

# Sender where a message names none: +E.164 number, short code, or a name of at most 11 characters.
# Environment: TWILIO_PHONE_NUMBER
phone_number = ""
# Messaging Service that picks the sender: MG and 32 hexadecimal digits. Used instead of phone_number where
# both are set. Environment: TWILIO_MESSAGING_SERVICE_SID
messaging_service_sid = ""
# Seconds after which Twilio drops a message that is still in its queue: 1 to 36000; 0 leaves it to Twilio
# (36000).
validity_period_s = 0
# Let Twilio replace look-alike Unicode characters by GSM-7 ones.
smart_encoded = false
# Ask for delivery receipts at <public URL>/webhooks/twilio/status. Needs the public URL.
status_callbacks = true

# Address of the API. Environment: TWILIO_API_BASE_URL
base_url = "https://api.twilio.com"

# Messages per second, single and bulk together; 0 for no limit.
messages_per_second = 1000
# Messages of one sender per second, such as 1 for a long code; 0 for no limit beside the account's.
sender_messages_per_second = 0
# Messages of the bulk lane that leave together; 0 for no batches.
bulk_batch_size = 10
# Milliseconds from one such batch to the next.
bulk_batch_interval_ms = 1000
# Receivers in one request: Twilio takes one.
max_receivers_per_request = 1
# Requests under way at once.
max_in_flight = 256
# Milliseconds for a connection to stand.
connect_timeout_ms = 5000
# Milliseconds for a request in all. After it the message may have been sent.
request_timeout_ms = 15000
"#;

/// Environment variables and the keys that they set.
pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    ("TWILIO_ACCOUNT_SID", "account_sid"),
    ("TWILIO_AUTH_TOKEN", "auth_token"),
    ("TWILIO_API_KEY_SID", "api_key_sid"),
    ("TWILIO_API_KEY_SECRET", "api_key_secret"),
    ("TWILIO_PHONE_NUMBER", "phone_number"),
    ("TWILIO_MESSAGING_SERVICE_SID", "messaging_service_sid"),
    ("TWILIO_API_BASE_URL", "base_url"),
];

/// The longest validity period, in seconds (Twilio, Messages resource, `ValidityPeriod`).
const LONGEST_VALIDITY_S: u32 = 36_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    account_sid: Option<String>,
    #[serde(default, deserialize_with = "settings::secret")]
    auth_token: Option<SecretString>,
    #[serde(default, deserialize_with = "settings::secret")]
    auth_token_previous: Option<SecretString>,
    api_key_sid: Option<String>,
    #[serde(default, deserialize_with = "settings::secret")]
    api_key_secret: Option<SecretString>,
    shared_key_id: Option<String>,
    #[serde(default, deserialize_with = "settings::secret")]
    shared_key_secret: Option<SecretString>,
    phone_number: Option<SenderId>,
    messaging_service_sid: Option<String>,
    validity_period_s: u32,
    smart_encoded: bool,
    status_callbacks: bool,
    base_url: BaseUrl,
}

/// Settings that fit together.
pub(super) struct Settings {
    pub(super) account_sid: String,
    /// What authenticates requests.
    pub(super) credential: (HeaderName, HeaderValue),
    /// Requests are authenticated by an API key.
    pub(super) by_api_key: bool,
    /// What callbacks may be signed with: auth tokens, the present one first.
    pub(super) auth_tokens: Vec<SecretString>,
    /// The id and the secret of the shared key that callbacks may be signed with.
    pub(super) shared_key: Option<(String, SecretString)>,
    /// Who sends where a message does not say.
    pub(super) sender: DefaultSender,
    pub(super) validity_period_s: Option<u32>,
    pub(super) smart_encoded: bool,
    pub(super) status_callbacks: bool,
    pub(super) base_url: BaseUrl,
}

/// Who sends where a message does not say.
pub(super) enum DefaultSender {
    /// A sender ID.
    From(SenderId),
    /// A Messaging Service, which has a pool of them.
    Service(String),
}

/// Reads and checks the settings.
pub(super) fn read(config: &ProviderConfig) -> Result<Settings, ConfigError> {
    let keys: Keys = config.adapter_settings()?;
    let api_key = pair(config, "api_key_sid", keys.api_key_sid, "api_key_secret", keys.api_key_secret)?;
    let shared_key =
        pair(config, "shared_key_id", keys.shared_key_id, "shared_key_secret", keys.shared_key_secret)?;
    let account_sid = keys.account_sid.ok_or_else(|| config.not_configured("account_sid is"))?;
    check_sid(config, "account_sid", "AC", &account_sid)?;
    let (user, password) = match (&api_key, &keys.auth_token) {
        (Some((sid, secret)), _) => {
            check_sid(config, "api_key_sid", "SK", sid)?;
            (sid, secret)
        }
        (None, Some(token)) => (&account_sid, token),
        (None, None) => {
            return Err(config.not_configured("auth_token, or api_key_sid with api_key_secret, is"));
        }
    };
    let credential = endpoint::basic(user, password.expose_secret());
    let by_api_key = api_key.is_some();
    let sender = match (keys.messaging_service_sid, keys.phone_number) {
        (Some(sid), _) => {
            check_sid(config, "messaging_service_sid", "MG", &sid)?;
            DefaultSender::Service(sid)
        }
        (None, Some(sender)) => DefaultSender::From(sender),
        (None, None) => return Err(config.invalid("phone_number or messaging_service_sid has to be set")),
    };
    if keys.validity_period_s > LONGEST_VALIDITY_S {
        return Err(config.invalid(format!("validity_period_s: expected at most {LONGEST_VALIDITY_S}")));
    }
    Ok(Settings {
        credential: credential.ok_or_else(|| config.invalid("the credentials can't stand in a header"))?,
        account_sid,
        by_api_key,
        auth_tokens: keys.auth_token.into_iter().chain(keys.auth_token_previous).collect(),
        shared_key,
        sender,
        validity_period_s: Some(keys.validity_period_s).filter(|seconds| *seconds > 0),
        smart_encoded: keys.smart_encoded,
        status_callbacks: keys.status_callbacks,
        base_url: keys.base_url,
    })
}

/// A name and its secret: both or none.
fn pair(
    config: &ProviderConfig,
    name_key: &str,
    name: Option<String>,
    secret_key: &str,
    secret: Option<SecretString>,
) -> Result<Option<(String, SecretString)>, ConfigError> {
    let half = |set, missing| config.invalid(format!("{set} is set, but {missing} is not"));
    match (name, secret) {
        (Some(name), Some(secret)) => Ok(Some((name, secret))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(half(name_key, secret_key)),
        (None, Some(_)) => Err(half(secret_key, name_key)),
    }
}

/// A SID is two letters that say of what, and 32 hexadecimal digits (Twilio's `OpenAPI` document).
fn check_sid(config: &ProviderConfig, key: &str, prefix: &str, sid: &str) -> Result<(), ConfigError> {
    let is_sid = |digits: &str| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if sid.strip_prefix(prefix).is_some_and(is_sid) {
        Ok(())
    } else {
        Err(config.invalid(format!("{key}: expected {prefix} and 32 hexadecimal digits")))
    }
}
