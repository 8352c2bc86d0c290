//! The HTTP client that every adapter uses: time-outs, a cap on the answer, and a word on what a failure means.
//!
//! What a failure means is the point. A gateway that tries again after *any* transport error sends one person
//! two texts, and one that never does loses texts. So a failure says on which side of the first byte it fell:
//!
//! - [`TransportError::NotSent`]: no connection stood (the name did not resolve, the connection was refused or
//!   took too long, the TLS handshake failed), or the request could not be built. reqwest calls these
//!   `is_connect` and `is_builder`; hyper-util makes a connect error only while it has no connection to hand
//!   the request to. Safe to try again.
//! - [`TransportError::PerhapsSent`]: everything after. The time-out of the whole request falls here even if it
//!   struck while connecting: it can't tell.
//!
//! **A pooled connection that the provider closed in the meantime is no third case.** hyper gives a request
//! back only while not a byte of it was written (`hyper::client::dispatch`: the message is still in the
//! channel), and hyper-util then takes another connection, but only if the first was a reused one
//! (`TrySendError::Retryable`). Once hyper has begun to write, the request is gone from its hands, and the
//! failure comes out as [`TransportError::PerhapsSent`].
//!
//! reqwest adds one thing of its own, and it is left on: an HTTP/2 request is repeated when the server said
//! that it did not process it, by `REFUSED_STREAM` or by a graceful `GOAWAY` whose last stream is an earlier
//! one (RFC 9113, 8.7). h2 reports that `GOAWAY` only to streams beyond the last processed one; those at or
//! below it that lose their connection see an I/O error, which is not repeated. Edge servers end connections
//! this way after some thousand requests, in the middle of traffic.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::attempt::{Failure, Reason, SubmitOutcome};
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Request, Response, redirect};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls_platform_verifier::Verifier;
use serde::Deserialize;
use url::{Host, Url};

use crate::endpoint::{Endpoint, Form};
use crate::pace::Pace;
use crate::provider::ProbeError;

/// The most that is read of an answer to a submission, in bytes. The providers' answers have one or two
/// thousand; a hundred receivers at Africa's Talking have twenty thousand.
pub const ANSWER_LIMIT: usize = 64 * 1024;

/// The longest wait that a provider can ask for: a day. More than that is a mistake.
const LONGEST_RETRY_AFTER_S: u64 = 24 * 60 * 60;

/// How long a connection is kept without use. Below the 60 s after which the load balancers and servers in
/// front of provider APIs commonly close theirs, so that it is rarely they who do.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);
/// How often a quiet connection is probed, so that one that died without a word is found before it is used.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long such a probe may stay without an answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The system has no certificates to check a server's by.
    #[error("no certificates of certificate authorities on this system; install ca-certificates")]
    Roots(#[source] rustls::Error),
    /// TLS could not be set up.
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
    /// The client could not be made.
    #[error("the HTTP client can't be set up")]
    Client(#[source] reqwest::Error),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The request certainly did not leave.
    #[error("the request did not leave: {0}")]
    NotSent(Reason),
    /// The request may have left.
    #[error("the request may have left: {0}")]
    PerhapsSent(Reason),
}

impl TransportError {
    /// What it means for a submission.
    pub fn outcome(self) -> SubmitOutcome {
        match self {
            Self::NotSent(reason) => SubmitOutcome::not_submitted(Failure::new(reason)),
            Self::PerhapsSent(reason) => SubmitOutcome::Ambiguous(Failure::new(reason)),
        }
    }
}

impl From<TransportError> for ProbeError {
    fn from(error: TransportError) -> Self {
        let (TransportError::NotSent(reason) | TransportError::PerhapsSent(reason)) = error;
        Self::Unavailable(Failure::new(reason))
    }
}

/// What a provider answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// How long the provider asked us to wait, at most a day. Only the form in seconds is read: the other one
    /// is a date, and the adapters have no clock.
    pub retry_after: Option<Duration>,
    /// The body, or why there is none: `bad_answer` where it was larger than the limit, `timeout` or
    /// `connection_lost` where it broke off.
    pub body: Result<Bytes, Reason>,
}

impl Answer {
    /// The body as JSON.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Reason> {
        let body = self.body.as_ref().map_err(|reason| *reason)?;
        // What serde has to say would quote the body.
        serde_json::from_slice(body).or(Err(Reason::BadAnswer))
    }
}

/// Keeps connections to one provider.
#[derive(Clone)]
pub struct HttpClient(reqwest::Client);

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

impl HttpClient {
    /// A client for the provider at `base`. It follows no redirects, speaks HTTP/2 where the server offers it,
    /// and goes through the proxy that the environment names, unless `base` is this machine.
    pub fn new(base: &Url, pace: &Pace) -> Result<Self, ClientError> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(base, None)?)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(pace.connect_timeout())
            .timeout(pace.request_timeout())
            .tcp_nodelay(true)
            .tcp_keepalive(KEEP_ALIVE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(usize::try_from(pace.max_in_flight).unwrap_or(usize::MAX));
        let builder = if is_this_machine(base) { builder.no_proxy() } else { builder };
        if base.scheme() == "http" && !is_this_machine(base) {
            tracing::warn!(host = base.host_str(), "credentials and texts go to the provider unencrypted");
        }
        builder.build().map(Self).map_err(ClientError::Client)
    }

    /// Asks, and reads at most `limit` bytes of the answer.
    pub async fn get(&self, endpoint: &Endpoint, limit: usize) -> Result<Answer, TransportError> {
        self.execute(endpoint.request(None), limit).await
    }

    /// Posts a form, and reads at most [`ANSWER_LIMIT`] bytes of the answer.
    pub async fn post(&self, endpoint: &Endpoint, form: Form) -> Result<Answer, TransportError> {
        self.execute(endpoint.request(Some(form)), ANSWER_LIMIT).await
    }

    async fn execute(&self, request: Request, limit: usize) -> Result<Answer, TransportError> {
        let response = self.0.execute(request).await.map_err(|error| classify(&error))?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
        let body = read(response, limit).await;
        Ok(Answer { status, retry_after, body })
    }
}

/// A client for other things than a provider's API, such as this gateway's own: the same TLS, no redirects.
pub fn plain(base: &Url, timeout: Duration) -> Result<reqwest::Client, ClientError> {
    plain_trusting(base, timeout, None)
}

/// The same, and where `roots` are given no other authority is trusted.
pub fn plain_trusting(
    base: &Url,
    timeout: Duration,
    roots: Option<RootCertStore>,
) -> Result<reqwest::Client, ClientError> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(base, roots)?)
        .redirect(redirect::Policy::none())
        .timeout(timeout);
    let builder = if is_this_machine(base) { builder.no_proxy() } else { builder };
    builder.build().map_err(ClientError::Client)
}

/// The beginning of a client for addresses that are not ours to choose: no redirects, and no proxy, which would look names up
/// by itself. `tls_only` refuses whatever is not encrypted.
pub fn to_anybody(timeout: Duration, tls_only: bool) -> Result<reqwest::ClientBuilder, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(config(provider, None, true)?)
        .https_only(tls_only)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .timeout(timeout)
        .pool_idle_timeout(IDLE_CONNECTION)
        .tcp_keepalive(KEEP_ALIVE))
}

/// TLS by rustls with ring, trusting `roots`, else what the system trusts. Nothing is set for the process as a whole.
fn tls(base: &Url, roots: Option<RootCertStore>) -> Result<rustls::ClientConfig, ClientError> {
    config(Arc::new(rustls::crypto::ring::default_provider()), roots, base.scheme() == "https")
}

fn config(
    provider: Arc<CryptoProvider>,
    roots: Option<RootCertStore>,
    trusts_system: bool,
) -> Result<rustls::ClientConfig, ClientError> {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?;
    let mut config = if let Some(roots) = roots {
        builder.with_root_certificates(roots).with_no_client_auth()
    } else if trusts_system {
        let verifier = Verifier::new(provider).map_err(ClientError::Roots)?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
    } else {
        // Never used, as no redirect is followed; trusts nobody.
        builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Whether an address names this machine itself: what goes there is seen by nobody between.
pub fn is_this_machine(base: &Url) -> bool {
    match base.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

fn classify(error: &reqwest::Error) -> TransportError {
    let class = if error.is_builder() {
        TransportError::NotSent(Reason::Config)
    } else if error.is_connect() {
        TransportError::NotSent(Reason::ProviderDown)
    } else {
        TransportError::PerhapsSent(broken(error))
    };
    tracing::debug!(class = %class, cause = %root_cause(error), "no answer from the provider");
    class
}

fn broken(error: &reqwest::Error) -> Reason {
    if error.is_timeout() { Reason::Timeout } else { Reason::ConnectionLost }
}

/// The innermost error: from the system, the resolver, TLS or the HTTP parser. Those know nothing of the
/// request, whereas reqwest's own text holds its URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(Error::source) {
        cause = Some(deeper);
    }
    cause.map(ToString::to_string).unwrap_or_default()
}

async fn read(mut response: Response, limit: usize) -> Result<Bytes, Reason> {
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(Reason::BadAnswer);
    }
    // Nearly every answer is one chunk, which is then not copied.
    let Some(first) = chunk(&mut response).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(Reason::BadAnswer);
    }
    let Some(second) = chunk(&mut response).await? else { return Ok(first) };
    let mut body = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(chunk_read) = next {
        if body.len() + chunk_read.len() > limit {
            return Err(Reason::BadAnswer);
        }
        body.extend_from_slice(&chunk_read);
        next = chunk(&mut response).await?;
    }
    Ok(body.freeze())
}

async fn chunk(response: &mut Response) -> Result<Option<Bytes>, Reason> {
    response.chunk().await.map_err(|error| broken(&error))
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds: u64 = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_RETRY_AFTER_S)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_the_proxy() {
        let table = [
            ("http://localhost:4010", true),
            ("http://twilio.localhost", true),
            ("http://127.0.0.1:4010", true),
            ("http://127.8.8.8", true),
            ("http://[::1]:4010", true),
            ("https://api.twilio.com", false),
            ("http://10.0.0.1", false),
            ("http://localhost.example.com", false),
        ];
        for (base, expected) in table {
            assert_eq!(is_this_machine(&base.parse().unwrap()), expected, "{base}");
        }
    }

    #[test]
    fn only_seconds_are_read_and_no_more_than_a_day() {
        let table = [
            ("0", Some(0)),
            (" 30 ", Some(30)),
            ("86401", Some(86_400)),
            ("18446744073709551615", Some(86_400)),
            ("18446744073709551616", None),
            ("1.5", None),
            ("", None),
            ("Fri, 31 Dec 2027 23:59:59 GMT", None),
        ];
        for (value, expected) in table {
            let value = HeaderValue::from_static(value);
            assert_eq!(seconds(&value), expected.map(Duration::from_secs), "{value:?}");
        }
    }
}
