//! A client that reads every answer to its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use rustls::RootCertStore;
use serde_json::Value;

/// Longer than any answer takes, also with `Prefer: wait`.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Keeps connections.
#[derive(Clone)]
pub(crate) struct Client(reqwest::Client);

/// A request under construction.
pub(crate) struct Request(reqwest::RequestBuilder);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Client {
    pub(crate) fn new() -> Self {
        let this_machine = "http://127.0.0.1".parse().unwrap();
        Self(providers::client::plain(&this_machine, TIMEOUT).unwrap())
    }

    /// A connection for each request. The gateway closes one whose body it did not read to its end, and what is sent on it at
    /// that moment has no answer.
    pub(crate) fn that_keeps_nothing() -> Self {
        Self(builder().pool_max_idle_per_host(0).timeout(TIMEOUT).build().unwrap())
    }

    /// Speaks HTTP/2 from the first byte, without TLS.
    pub(crate) fn http2() -> Self {
        Self(http2(None).timeout(TIMEOUT).build().unwrap())
    }

    pub(crate) fn request(&self, method: Method, url: &str) -> Request {
        Request(self.0.request(method, url))
    }
}

/// HTTP/2 from the first byte, with so many bytes of window for an answer.
pub(crate) fn http2(window: Option<u32>) -> reqwest::ClientBuilder {
    builder().http2_prior_knowledge().http2_initial_stream_window_size(window)
}

fn builder() -> reqwest::ClientBuilder {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let tls = tls.unwrap().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy()
}

impl Request {
    pub(crate) fn key(self, key: &str) -> Self {
        Self(self.0.bearer_auth(key))
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) fn body(self, body: impl Into<Bytes>) -> Self {
        Self(self.0.body(body.into()))
    }

    pub(crate) async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    /// Fails where there is no answer, as from a gateway that was killed.
    pub(crate) async fn try_send(self) -> reqwest::Result<Answer> {
        let answer = self.0.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, text: answer.text().await? })
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that this is a problem, whole and of the right media type, and gives its code.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        let body = self.json();
        let code = body["code"].as_str().unwrap_or_else(|| panic!("no code: {body}"));
        assert_eq!(body["status"], self.status, "{body}");
        assert_eq!(body["type"], format!("urn:tuma:problem:{code}"));
        for field in ["title", "detail"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {body}");
        }
        let fields = body["errors"].as_array().unwrap_or_else(|| panic!("no errors: {body}"));
        // A limit is about a field, about each receiver, or about all that a key sends.
        let names_fields = ["validation_failed", "opted_out"].contains(&code);
        assert!(code == "rate_limited" || fields.is_empty() != names_fields, "{body}");
        if self.status == 503 {
            let seconds = self.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
            assert!(seconds.is_some_and(|seconds| seconds > 0), "no Retry-After: {body}");
        }
        code.to_owned()
    }

    /// The fields that are wrong, each as pointer and code.
    pub(crate) fn wrong_fields(&self) -> Vec<(String, String)> {
        assert_eq!((self.status, self.problem().as_str()), (422, "validation_failed"), "{}", self.text);
        let body = self.json();
        let text = |error: &Value, field: &str| error[field].as_str().unwrap_or_default().to_owned();
        let errors = body["errors"].as_array().unwrap();
        errors.iter().map(|error| (text(error, "pointer"), text(error, "code"))).collect()
    }
}
