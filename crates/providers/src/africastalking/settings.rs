//! The settings of an Africa's Talking account, checked.

use domain::phone::SenderId;
use domain::secret::{ExposeSecret, SecretString};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::address::Addresses;
use crate::endpoint::{self, BaseUrl};
use crate::factory::{ConfigError, ProviderConfig};
use crate::settings;

/// The section of the settings file.
pub(super) const SECTION: &str = r#"[providers.africastalking]
# Africa's Talking bulk SMS. In use once API key and user name are set.

# API key. Environment: SMS_AT_API_KEY
api_key = ""
# User name of the account; "sandbox" uses the sandbox, which reaches no phone. Environment: SMS_AT_USERNAME
username = ""
# Sender where a message names none: a registered name of at most 11 characters, or a short code. Empty: Africa's
# Talking's shared one. Environment: SMS_AT_FROM
from = ""
# Keyword of a premium short code, sent along where it is set. Environment: SMS_AT_KEYWORD
keyword = ""
# Let Africa's Talking queue what it takes and answer at once. Without it an answer takes as long as handing
# all receivers to the operators.
enqueue = true
# Take the verdicts 500, 501 and 502 on a receiver, given without a message id, for "not sent" and try again;
# false: for "perhaps sent".
retry_gateway_errors = true
# Delivery receipts have no signature: they are taken only at a URL that nobody can guess,
# <public URL>/webhooks/africastalking/status/<this secret>, to be set in Africa's Talking's dashboard. 16 to
# 128 letters, digits, hyphens and underscores. Empty: none are taken. Environment: SMS_AT_CALLBACK_SECRET
callback_secret = ""
# Addresses that delivery receipts may come from, beside the secret: ["196.201.214.0/24", "196.201.213.44"]. Ask Africa's
# Talking for theirs. Behind a proxy, http.trusted_proxies must name it. Empty: any address.
callback_addresses = []

# Address of the API. Empty: the live or the sandbox one, by user name. Environment: SMS_AT_API_BASE_URL
base_url = ""

# Messages per second, single and bulk together; 0 for no limit.
messages_per_second = 100
# Messages of one sender per second, such as 1 for a long code; 0 for no limit beside the account's.
sender_messages_per_second = 0
# Messages of the bulk lane that leave together; 0 for no batches.
bulk_batch_size = 0
# Milliseconds from one such batch to the next.
bulk_batch_interval_ms = 0
# Receivers in one request where the text is the same: at most 200.
max_receivers_per_request = 100
# Requests under way at once.
max_in_flight = 32
# Milliseconds for a connection to stand.
connect_timeout_ms = 5000
# Milliseconds for a request in all. After it the messages may have been sent, and nobody can be asked.
request_timeout_ms = 30000
"#;

/// Environment variables and the keys that they set.
pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    ("SMS_AT_API_KEY", "api_key"),
    ("SMS_AT_USERNAME", "username"),
    ("SMS_AT_FROM", "from"),
    ("SMS_AT_KEYWORD", "keyword"),
    ("SMS_AT_CALLBACK_SECRET", "callback_secret"),
    ("SMS_AT_API_BASE_URL", "base_url"),
];

/// The user name that selects the sandbox, in any case (Africa's Talking's client libraries).
const SANDBOX: &str = "sandbox";
const SANDBOX_BASE: &str = "https://api.sandbox.africastalking.com";
const LIVE_BASE: &str = "https://api.africastalking.com";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default, deserialize_with = "settings::secret")]
    api_key: Option<SecretString>,
    username: Option<String>,
    from: Option<SenderId>,
    keyword: Option<String>,
    enqueue: bool,
    retry_gateway_errors: bool,
    #[serde(default, deserialize_with = "settings::secret")]
    callback_secret: Option<SecretString>,
    callback_addresses: Addresses,
    base_url: Option<BaseUrl>,
}

/// Settings that fit together.
pub(super) struct Settings {
    pub(super) username: String,
    /// What authenticates requests.
    pub(super) credential: (HeaderName, HeaderValue),
    pub(super) from: Option<SenderId>,
    pub(super) keyword: Option<String>,
    pub(super) enqueue: bool,
    pub(super) retry_gateway_errors: bool,
    pub(super) callback_secret: Option<SecretString>,
    pub(super) callback_addresses: Addresses,
    pub(super) base_url: BaseUrl,
}

/// Reads and checks the settings.
pub(super) fn read(config: &ProviderConfig) -> Result<Settings, ConfigError> {
    let keys: Keys = config.adapter_settings()?;
    let (api_key, username) = match (keys.api_key, keys.username) {
        (Some(api_key), Some(username)) => (api_key, username),
        (None, None) => return Err(config.not_configured("api_key and username are")),
        (Some(_), None) => return Err(config.invalid("api_key is set, but username is not")),
        (None, Some(_)) => return Err(config.invalid("username is set, but api_key is not")),
    };
    let is_sandbox = username.eq_ignore_ascii_case(SANDBOX);
    let base_url = match keys.base_url {
        Some(base_url) => base_url,
        None => BaseUrl::parse(if is_sandbox { SANDBOX_BASE } else { LIVE_BASE })
            .map_err(|error| config.invalid(format!("base_url: {error}")))?,
    };
    if keys.callback_secret.as_ref().is_some_and(|secret| !is_path_secret(secret.expose_secret())) {
        return Err(config.invalid(
            "callback_secret: expected 16 to 128 letters, digits, hyphens and underscores of the ASCII set",
        ));
    }
    let key = endpoint::sensitive(api_key.expose_secret());
    Ok(Settings {
        username: if is_sandbox { SANDBOX.to_owned() } else { username },
        credential: (
            HeaderName::from_static("apikey"),
            key.ok_or_else(|| config.invalid("api_key: can't stand in a header"))?,
        ),
        from: keys.from,
        keyword: keys.keyword,
        enqueue: keys.enqueue,
        retry_gateway_errors: keys.retry_gateway_errors,
        callback_secret: keys.callback_secret,
        callback_addresses: keys.callback_addresses,
        base_url,
    })
}

fn is_path_secret(secret: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (16..=128).contains(&secret.len()) && secret.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::africastalking::REGISTRATION;

    #[test]
    fn user_name_chooses_the_host_unless_one_is_set() {
        let table = [
            ("safeshop", "", "https://api.africastalking.com/"),
            ("sandbox", "", "https://api.sandbox.africastalking.com/"),
            ("SandBox", "", "https://api.sandbox.africastalking.com/"),
            ("sandbox", "http://127.0.0.1:4010", "http://127.0.0.1:4010/"),
        ];
        for (username, base_url, expected) in table {
            let keys = [("api_key", "k"), ("username", username), ("base_url", base_url)];
            let keys = keys.map(|(key, value)| (key.to_owned(), json!(value))).into_iter().collect();
            let settings = read(&REGISTRATION.configure(keys, None).unwrap()).unwrap();
            assert_eq!(settings.base_url.url().as_str(), expected, "{username}");
        }
    }
}
