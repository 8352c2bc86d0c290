//! A client that speaks to the simulator as a provider's library would.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use testkit::sim::{
    AFRICASTALKING_API_KEY, AFRICASTALKING_USERNAME, SimConfig, Simulator, TWILIO_ACCOUNT_SID,
    TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER,
};
use testkit::wait::{LONG, wait_until};

/// A number that means nothing.
pub(crate) const RECEIVER: &str = "+254712345678";

/// A simulator and its client.
pub(crate) struct Bench {
    pub(crate) sim: Simulator,
    pub(crate) client: Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A form, encoded.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

pub(crate) fn client() -> Client {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}

/// The path of a Twilio resource of the usual account.
pub(crate) fn twilio_path(rest: &str) -> String {
    format!("/2010-04-01/Accounts/{TWILIO_ACCOUNT_SID}{rest}")
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(SimConfig::default()).await
    }

    pub(crate) async fn with(config: SimConfig) -> Self {
        Self { sim: Simulator::start(config).await.unwrap(), client: client() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.sim.base_url()))
    }

    /// A request with Twilio's usual credentials; `rest` follows the account in the path.
    pub(crate) fn twilio(&self, method: Method, rest: &str) -> RequestBuilder {
        self.request(method, &twilio_path(rest)).basic_auth(TWILIO_ACCOUNT_SID, Some(TWILIO_AUTH_TOKEN))
    }

    /// A message by Twilio, not yet sent off: from the usual number, with `more` parameters.
    pub(crate) fn twilio_message(&self, to: &str, body: &str, more: &[(&str, &str)]) -> RequestBuilder {
        let mut fields = vec![("To", to), ("From", TWILIO_PHONE_NUMBER), ("Body", body)];
        fields.extend(more);
        self.twilio_form("/Messages.json", &fields)
    }

    pub(crate) fn twilio_form(&self, rest: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        with_form(self.twilio(Method::POST, rest), fields)
    }

    /// Sends a message by Twilio, which takes it; gives its SID.
    pub(crate) async fn twilio_sent(&self, to: &str, body: &str, more: &[(&str, &str)]) -> String {
        let got = get(self.twilio_message(to, body, more)).await;
        assert_eq!(got.status, StatusCode::CREATED, "{}", got.text);
        got.json()["sid"].as_str().unwrap().to_owned()
    }

    /// A bulk message by Africa's Talking, not yet sent off, with `more` fields.
    pub(crate) fn africastalking_message(
        &self,
        to: &str,
        message: &str,
        more: &[(&str, &str)],
    ) -> RequestBuilder {
        let mut fields = vec![("username", AFRICASTALKING_USERNAME), ("to", to), ("message", message)];
        fields.extend(more);
        self.africastalking_form(&fields)
    }

    pub(crate) fn africastalking_form(&self, fields: &[(&str, &str)]) -> RequestBuilder {
        with_form(
            self.request(Method::POST, "/version1/messaging").header("apiKey", AFRICASTALKING_API_KEY),
            fields,
        )
    }

    /// Waits until a message by Twilio has this status.
    pub(crate) async fn wait_for_status(&self, sid: &str, status: &str) -> Value {
        let rest = format!("/Messages/{sid}.json");
        testkit::wait::wait_for(
            async || {
                let message = get(self.twilio(Method::GET, &rest)).await.json();
                (message["status"] == status).then_some(message)
            },
            LONG,
        )
        .await
        .unwrap()
    }

    /// Waits until no callback is left to be posted.
    pub(crate) async fn wait_for_callbacks(&self) {
        wait_until(|| self.sim.stats().callbacks.pending == 0, LONG).await.unwrap();
    }
}

pub(crate) fn with_form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    request.header("Content-Type", "application/x-www-form-urlencoded").body(form(fields))
}

/// Sends a request off and reads the answer.
pub(crate) async fn get(request: RequestBuilder) -> Got {
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    Got { status, headers, text: answer.text().await.unwrap() }
}

/// A copy of a header under another spelling of its name.
pub(crate) fn header(name: &str, value: &str) -> (HeaderName, HeaderValue) {
    (name.parse().unwrap(), value.parse().unwrap())
}
