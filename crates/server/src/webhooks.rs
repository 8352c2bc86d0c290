//! Posting events to endpoints: signed as Standard Webhooks say, and to nobody inside.
//!
//! Whoever may name an endpoint could make the gateway ask what stands behind its firewall (SSRF). So a name is resolved here,
//! addresses that are not public are left out, and the connection goes to one that was looked at: between looking and
//! connecting nothing is resolved again. Redirects are not followed, and no proxy is used: it would resolve by itself.

mod public;

use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use domain::secret::ExposeSecret as _;
use gateway::webhooks::{Envelope, PostError, Posted, Poster};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use url::{Host, Url};

pub use self::public::is_public;
use crate::config::Webhooks as Settings;

/// What an endpoint learns of who posts.
const USER_AGENT: &str = concat!("Tuma/", env!("CARGO_PKG_VERSION"));

/// Characters that an address may have.
const MAX_URL: usize = 2_048;

/// Why no events are posted to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// It can't be read.
    #[error("is no address such as https://example.com/hooks")]
    Unreadable,
    /// Not encrypted.
    #[error("must begin with https://")]
    NotHttps,
    /// It has a user, a password or a fragment.
    #[error("may have no user, password or fragment")]
    Extras,
    /// It is inside.
    #[error("names an address that is not public")]
    Private,
}

/// Reads an address as far as that goes without asking anybody. Names are looked up when something is posted.
pub fn read_url(text: &str, settings: &Settings) -> Result<Url, UrlProblem> {
    if text.len() > MAX_URL {
        return Err(UrlProblem::Unreadable);
    }
    let url = Url::parse(text).map_err(|_unreadable| UrlProblem::Unreadable)?;
    match url.scheme() {
        "https" => {}
        "http" if settings.allow_http => {}
        "http" => return Err(UrlProblem::NotHttps),
        _ => return Err(UrlProblem::Unreadable),
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(UrlProblem::Extras);
    }
    let is_allowed = match url.host() {
        Some(Host::Ipv4(address)) => settings.allow_private || is_public(address.into()),
        Some(Host::Ipv6(address)) => settings.allow_private || is_public(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            settings.allow_private || !(name == "localhost" || name.ends_with(".localhost"))
        }
        None => return Err(UrlProblem::Unreadable),
    };
    if is_allowed { Ok(url) } else { Err(UrlProblem::Private) }
}

/// Posts over HTTP.
#[derive(Debug)]
pub(crate) struct HttpPoster {
    client: reqwest::Client,
    settings: Settings,
}

impl HttpPoster {
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let timeout = Duration::from_millis(settings.timeout_ms);
        let client = providers::client::to_anybody(timeout, !settings.allow_http)
            .context("TLS to webhook endpoints can't be set up")?
            .dns_resolver(Guarded { allow_private: settings.allow_private })
            .user_agent(USER_AGENT)
            .build()
            .context("webhook endpoints can't be posted to")?;
        Ok(Self { client, settings: settings.clone() })
    }
}

#[async_trait]
impl Poster for HttpPoster {
    async fn post(&self, envelope: Envelope) -> Posted {
        // Again: what may be posted to is a setting, and an address may be older than that.
        let url =
            read_url(envelope.url.expose_secret(), &self.settings).map_err(|_no| PostError::Forbidden)?;
        let body = envelope.body.expose_secret();
        let seconds = envelope.at.as_micros().div_euclid(1_000_000);
        let signatures = signatures(&envelope, seconds).ok_or(PostError::Forbidden)?;
        let request = self
            .client
            .post(url)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(HEADER_WEBHOOK_ID, &envelope.id)
            .header(HEADER_WEBHOOK_TIMESTAMP, seconds)
            .header(HEADER_WEBHOOK_SIGNATURE, signatures)
            .body(body.to_owned());
        let answer = request.send().await.map_err(|error| classify(&error))?;
        // What is in the answer is nobody's concern.
        Ok(answer.status().as_u16())
    }
}

/// One by each secret, as a rotation wants it: whoever knows either can check.
fn signatures(envelope: &Envelope, seconds: i64) -> Option<String> {
    let body = envelope.body.expose_secret().as_bytes();
    let signed = envelope.secrets.iter().map(|secret| {
        let signer = Webhook::new(secret.expose_secret()).ok()?;
        signer.sign(&envelope.id, seconds, body).ok()
    });
    Some(signed.collect::<Option<Vec<_>>>()?.join(" "))
}

fn classify(error: &reqwest::Error) -> PostError {
    let mut cause = error.source();
    while let Some(deeper) = cause {
        if deeper.is::<NotPublic>() {
            return PostError::Forbidden;
        }
        cause = deeper.source();
    }
    if error.is_timeout() {
        PostError::Timeout
    } else if error.is_connect() || error.is_builder() {
        PostError::Unreachable
    } else {
        PostError::BrokenOff
    }
}

/// A name leads to no address that may be posted to.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to no public address")]
struct NotPublic;

/// Resolves names, and leaves out what is not public.
#[derive(Debug, Clone, Copy)]
struct Guarded {
    allow_private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = move |address: &SocketAddr| allow_private || is_public(address.ip());
            let addresses: Vec<_> = found.filter(allowed).collect();
            if addresses.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(allow_private: bool, allow_http: bool) -> Settings {
        Settings { allow_private, allow_http, ..Settings::default() }
    }

    #[test]
    fn address_is_read_before_anybody_is_asked() {
        let table = [
            ("https://example.com/hooks?k=1", None),
            ("https://example.com:8443", None),
            ("https://8.8.8.8/", None),
            ("http://example.com/", Some(UrlProblem::NotHttps)),
            ("ftp://example.com/", Some(UrlProblem::Unreadable)),
            ("example.com", Some(UrlProblem::Unreadable)),
            ("https://user@example.com/", Some(UrlProblem::Extras)),
            ("https://example.com/#part", Some(UrlProblem::Extras)),
            ("https://localhost/", Some(UrlProblem::Private)),
            ("https://a.localhost./", Some(UrlProblem::Private)),
            ("https://127.0.0.1/", Some(UrlProblem::Private)),
            // The same in other clothes.
            ("https://2130706433/", Some(UrlProblem::Private)),
            ("https://0x7f.1/", Some(UrlProblem::Private)),
            ("https://[::1]/", Some(UrlProblem::Private)),
            ("https://[::ffff:10.0.0.1]/", Some(UrlProblem::Private)),
            ("https://169.254.169.254/latest/meta-data", Some(UrlProblem::Private)),
        ];
        for (text, problem) in table {
            assert_eq!(read_url(text, &settings(false, false)).err(), problem, "{text}");
        }
        assert!(read_url("http://127.0.0.1:80/", &settings(true, true)).is_ok());
    }

    #[tokio::test]
    async fn name_that_leads_inside_is_not_connected_to() {
        let named = |allow_private| Guarded { allow_private }.resolve("localhost".parse().unwrap());
        let refused = named(false).await.err().unwrap();
        assert!(refused.is::<NotPublic>(), "{refused}");
        assert!(named(true).await.unwrap().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn each_secret_signs_and_no_other_fits() {
        let secret = |byte: u8| crate::keys::webhook_secret_of([byte; 32]);
        let envelope = Envelope {
            url: "https://example.com".into(),
            secrets: vec![secret(1), secret(2)],
            id: "evt_1".into(),
            at: gateway_now(),
            body: r#"{"a":1}"#.into(),
        };
        let seconds = envelope.at.as_micros() / 1_000_000;
        let mut headers = http::HeaderMap::new();
        headers.insert(HEADER_WEBHOOK_ID, "evt_1".parse().unwrap());
        headers.insert(HEADER_WEBHOOK_TIMESTAMP, seconds.into());
        headers.insert(HEADER_WEBHOOK_SIGNATURE, signatures(&envelope, seconds).unwrap().parse().unwrap());
        let fits = |byte: u8| {
            Webhook::new(secret(byte).expose_secret()).unwrap().verify(br#"{"a":1}"#, &headers).is_ok()
        };
        assert_eq!([1, 2, 3].map(fits), [true, true, false]);
    }

    fn gateway_now() -> domain::time::Timestamp {
        use domain::time::Clock as _;
        gateway::SystemClock::new().now()
    }
}
