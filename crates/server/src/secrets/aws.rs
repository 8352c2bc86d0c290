//! AWS Secrets Manager, by the library of its makers: it knows where credentials may come from (environment, profiles,
//! roles of containers, machines and service accounts) and renews those that end.

use std::collections::BTreeMap;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use domain::secret::{ExposeSecret as _, SecretString};
use domain::time::Timestamp;
use tokio::sync::OnceCell;

use super::{Entry, Fields, PATIENCE, Text, cause};
use crate::config::{AwsSettings, SecretError};

/// What it is called in errors.
pub(super) const STORE: &str = "AWS Secrets Manager";

/// The store in one region.
pub(super) struct Aws {
    settings: AwsSettings,
    client: OnceCell<Client>,
}

impl Aws {
    pub(super) fn new(settings: &AwsSettings) -> Self {
        Self { settings: settings.clone(), client: OnceCell::new() }
    }

    /// The present version of a secret.
    pub(super) async fn read(&self, id: &str) -> Result<Entry, SecretError> {
        let wrong = |problem: String| SecretError::Store { store: STORE, problem };
        let client = self.client.get_or_init(|| self.connect()).await;
        let answer = client.get_secret_value().secret_id(id).send().await;
        let answer = answer.map_err(|refusal| wrong(meaning(&refusal)))?;
        let created_at = answer.created_date.and_then(|date| {
            let micros = i64::from(date.subsec_nanos()) / 1_000;
            Some(Timestamp::from_micros(date.secs().checked_mul(1_000_000)?.checked_add(micros)?))
        });
        let text = answer.secret_string.ok_or_else(|| wrong(format!("has no text in {id}")))?;
        Ok(Entry { fields: Fields::One(text.into()), created_at })
    }

    async fn connect(&self) -> Client {
        let http = aws_smithy_http_client::Builder::new();
        let http = http.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        // In all, with the tries that the library makes by itself, and with the search for credentials.
        let timeouts = TimeoutConfig::builder().operation_timeout(PATIENCE).build();
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts);
        if !self.settings.region.is_empty() {
            loader = loader.region(Region::new(self.settings.region.clone()));
        }
        let mut config = Builder::from(&loader.load().await);
        if let Some(endpoint) = &self.settings.endpoint {
            config = config.endpoint_url(endpoint.as_str());
        }
        Client::from_conf(config.build())
    }
}

/// A field of a secret that is a JSON object.
pub(super) fn field(secret: &SecretString, name: &str) -> Option<SecretString> {
    let mut fields: BTreeMap<String, Text> = serde_json::from_str(secret.expose_secret()).ok()?;
    fields.remove(name)?.0
}

/// What went wrong, in words that hold nothing of an answer but the code of an error.
fn meaning(refusal: &SdkError<GetSecretValueError>) -> String {
    match refusal {
        SdkError::ServiceError(refused) => match refused.err().code() {
            Some("ResourceNotFoundException") => "has no such secret".into(),
            Some(code) if code.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                format!("refuses us ({code})")
            }
            _ => "refuses us".into(),
        },
        SdkError::TimeoutError(_) => "does not answer in time".into(),
        SdkError::ResponseError(_) => "gives an answer that can't be read".into(),
        SdkError::DispatchFailure(failure) if failure.is_io() => {
            format!("can't be reached: {}", cause(refusal))
        }
        // No credentials, no region: the library says which.
        _ => format!("can't be asked: {}", cause(refusal)),
    }
}
