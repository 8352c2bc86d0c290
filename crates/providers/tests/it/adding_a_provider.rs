//! Adds a provider the way CONTRIBUTING says it: a file with its settings, a type that implements
//! `SmsProvider`, and its `REGISTRATION`; a line in the registry; table tests.

/// Step 1: the file, which would be `crates/providers/src/beacon.rs`.
mod beacon {
    use std::fmt;
    use std::sync::Arc;

    use async_trait::async_trait;
    use domain::attempt::{Acceptance, Failure, ProviderMessageId, Reason, Submission, SubmitOutcome};
    use domain::route::ProviderName;
    use http::header::AUTHORIZATION;
    use providers::client::{Answer, HttpClient};
    use providers::endpoint::{BaseUrl, Endpoint, Form, sensitive};
    use providers::factory::{ConfigError, ProviderConfig, Registration};
    use providers::pace::Pace;
    use providers::provider::{Capabilities, SmsProvider};
    use serde::Deserialize;

    pub(super) const REGISTRATION: Registration = Registration {
        name: "beacon",
        settings: r#"[providers.beacon]
# The token. Environment: BEACON_TOKEN
token = ""
# Address of the API.
base_url = "https://api.beacon.example"
# Messages per second; 0 for no limit.
messages_per_second = 50
sender_messages_per_second = 0
# Messages of the bulk lane that leave together; 0 for no batches.
bulk_batch_size = 0
# Milliseconds from one such batch to the next.
bulk_batch_interval_ms = 0
# Receivers in one request.
max_receivers_per_request = 1
# Requests under way at once.
max_in_flight = 8
# Milliseconds for a connection to stand.
connect_timeout_ms = 5000
# Milliseconds for a request in all.
request_timeout_ms = 10000
"#,
        environment: &[("BEACON_TOKEN", "token")],
        secrets: &["token"],
        identities: &[],
        create: |config| Ok(Arc::new(Beacon::new(&config)?)),
    };

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        token: Option<String>,
        base_url: BaseUrl,
    }

    pub(super) struct Beacon {
        name: ProviderName,
        pace: Pace,
        client: HttpClient,
        send: Endpoint,
    }

    #[derive(Deserialize)]
    struct Lit {
        beacon_id: String,
    }

    impl fmt::Debug for Beacon {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Beacon")
        }
    }

    impl Beacon {
        fn new(config: &ProviderConfig) -> Result<Self, ConfigError> {
            let settings: Settings = config.adapter_settings()?;
            let token = settings.token.ok_or_else(|| config.not_configured("token is"))?;
            let token = sensitive(&token).ok_or_else(|| config.invalid("token: can't stand in a header"))?;
            let url = settings.base_url.at("/light").map_err(|error| config.invalid(error.to_string()))?;
            Ok(Self {
                name: config.name.clone(),
                pace: config.pace,
                client: HttpClient::new(settings.base_url.url(), &config.pace)
                    .map_err(|error| config.invalid(error.to_string()))?,
                send: Endpoint::post_form(url, (AUTHORIZATION, token)),
            })
        }
    }

    fn outcome(answer: &Answer) -> SubmitOutcome {
        let failure = |reason| Failure::with_code(reason, answer.status.as_u16());
        match (answer.status.as_u16(), answer.json::<Lit>()) {
            (200..=299, Ok(lit)) => match ProviderMessageId::new(lit.beacon_id) {
                Some(provider_message_id) => {
                    SubmitOutcome::Accepted(Acceptance { provider_message_id, segments: None, cost: None })
                }
                None => SubmitOutcome::Ambiguous(failure(Reason::BadAnswer)),
            },
            (200..=299, Err(reason)) => SubmitOutcome::Ambiguous(failure(reason)),
            (400..=499, _) => SubmitOutcome::Rejected(failure(Reason::Unknown)),
            _ => SubmitOutcome::Ambiguous(failure(Reason::ProviderDown)),
        }
    }

    #[async_trait]
    impl SmsProvider for Beacon {
        fn provider_name(&self) -> &ProviderName {
            &self.name
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities {
                callbacks_name_our_message: false,
                finds_submissions: false,
                reports_delivery: false,
            }
        }

        fn pace(&self) -> &Pace {
            &self.pace
        }

        async fn send_sms(&self, submission: &Submission) -> SubmitOutcome {
            let mut form = Form::with_capacity(64);
            form.push("to", &submission.receiver.to_e164());
            form.push("text", submission.body.expose());
            match self.client.post(&self.send, form).await {
                Ok(answer) => outcome(&answer),
                Err(error) => error.outcome(),
            }
        }
    }
}

use domain::attempt::{Reason, SubmitOutcome};
use providers::provider::{CallbackError, ProbeError};
use providers::{ProviderFactory, Registration};
use serde_json::json;

use crate::fixture::{AMINA, BARAKA, Callback, accepted, ambiguous, create, over, rejected, submission};
use crate::support::{Reply, Server};

/// Step 2: the line in the registry.
const REGISTRY: &[Registration] =
    &[providers::twilio::REGISTRATION, providers::africastalking::REGISTRATION, beacon::REGISTRATION];

#[tokio::test]
async fn new_provider_sends_through_the_factory() {
    let server = Server::start([Reply::json(200, r#"{"beacon_id":"b-1"}"#)]).await;
    let keys = over(json!({}), json!({"token": " t0ken\n", "base_url": format!("{}/v1/", server.base())}));
    let config = beacon::REGISTRATION.configure(keys, None).unwrap();
    let factory = ProviderFactory::new(REGISTRY, [config], Some("beacon"));
    let provider = factory.create_provider(None).unwrap();
    assert_eq!(provider.provider_name().as_str(), "beacon");

    let outcomes = provider.send_bulk_sms(&[submission(AMINA, "Taa"), submission(BARAKA, "Taa")]).await;

    assert_eq!(outcomes, vec![SubmitOutcome::Accepted(accepted("b-1", None)); 2]);
    let requests = server.recorded();
    assert_eq!(requests[0].line, "POST /v1/light HTTP/1.1");
    assert_eq!(requests[0].header("authorization"), Some("t0ken"));
    assert_eq!(requests[0].body, "to=%2B254712345678&text=Taa");
    assert_eq!(requests[1].body, "to=%2B254733000111&text=Taa");
}

/// Step 3: what each answer means.
#[tokio::test]
async fn answers_of_the_new_provider_are_classified() {
    let table = [
        (Reply::json(200, "{}"), ambiguous(Reason::BadAnswer, "200")),
        (Reply::json(402, "{}"), rejected(Reason::Unknown, "402")),
        (Reply::json(500, ""), ambiguous(Reason::ProviderDown, "500")),
    ];
    for (reply, expected) in table {
        let server = Server::start([reply]).await;
        let keys = over(json!({"token": "t"}), json!({"base_url": server.base()}));
        let provider = create(&beacon::REGISTRATION, keys, None).unwrap();
        assert_eq!(provider.send_sms(&submission(AMINA, "Taa")).await, expected);
    }
}

#[tokio::test]
async fn what_the_new_provider_does_not_offer_is_unsupported() {
    let keys = over(json!({"token": "t"}), json!({"base_url": "http://127.0.0.1:1"}));
    let provider = create(&beacon::REGISTRATION, keys, None).unwrap();
    assert_eq!(provider.balance().await, Err(ProbeError::Unsupported));
    assert_eq!(provider.check_credentials().await, Err(ProbeError::Unsupported));
    let callback = Callback::form("https://sms.example.co.ke/webhooks/beacon/status", "id=1");
    assert_eq!(provider.parse_callback(&callback.request()), Err(CallbackError::Unsupported));
}
