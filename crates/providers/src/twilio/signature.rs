//! Whether a callback comes from Twilio ("Webhooks security", and the validator of Twilio's Python library,
//! 9.13, where the page is silent).
//!
//! `X-Twilio-Signature` is the Base64 of an HMAC-SHA1, with the auth token as the key, also where requests are
//! made with an API key. What is signed:
//!
//! - a form: the URL as Twilio called it, then each parameter's name and value, decoded, nothing between them,
//!   in the order of their bytes; a name that comes twice has its values sorted, and equal ones once;
//! - any other body: the URL alone, whose query then has `bodySHA256`. Both are checked. A validator that
//!   skips the hash where the query has none would take any body, so here it has to be there.
//!
//! Twilio's side does not agree with itself on whether a port is part of the URL, so both forms will do, as
//! they do for Twilio's own library. Nothing in a signature expires: a callback can be replayed, and what it
//! says must bear being said twice.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::secret::{ExposeSecret, SecretString};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::callback::{self, Params};
use crate::provider::CallbackRequest;

const SIGNATURE: &str = "x-twilio-signature";
/// Says that a shared key was used, which one, and how.
const SIGNATURE_SETTINGS: &str = "x-twilio-webhooks-signature-settings";

/// The secrets that Twilio may have signed with.
pub(super) struct Keys {
    /// The account's auth tokens.
    pub(super) auth_tokens: Vec<SecretString>,
    /// A shared key: its id, its secret.
    pub(super) shared: Option<(String, SecretString)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
}

impl Keys {
    /// Whether there is any.
    pub(super) fn are_set(&self) -> bool {
        !self.auth_tokens.is_empty() || self.shared.is_some()
    }

    /// Checks a callback whose body, if it is a form, has these parameters. The error says what is wrong.
    pub(super) fn check(
        &self,
        request: &CallbackRequest<'_>,
        params: &Params<'_>,
    ) -> Result<(), &'static str> {
        let signature = header(request.headers, SIGNATURE).ok_or("no signature")?;
        let (keys, algorithm) = self.candidates(request.headers)?;
        let mut signed: Vec<(&str, &str)> = Vec::new();
        if request.body.is_empty() || callback::is_form(request.headers) {
            signed.extend(params.pairs().iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
            signed.sort_unstable();
            signed.dedup();
        } else {
            check_body_hash(request)?;
        }
        let urls = forms_of(request.url).ok_or("the URL can't be read")?;
        let is_signed = keys.iter().any(|key| {
            urls.iter().any(|url| {
                let expected = sign(algorithm, key.expose_secret().as_bytes(), url, &signed);
                bool::from(expected.as_bytes().ct_eq(signature.as_bytes()))
            })
        });
        if is_signed { Ok(()) } else { Err("wrong signature") }
    }

    /// The keys that the headers speak of, and the algorithm. Without a word on the algorithm it is HMAC-SHA1
    /// with the auth token.
    fn candidates(&self, headers: &HeaderMap) -> Result<(Vec<&SecretString>, Algorithm), &'static str> {
        let settings = header(headers, SIGNATURE_SETTINGS).unwrap_or_default();
        let setting = |name: &str| {
            let mut settings = settings.split(',').filter_map(|setting| setting.trim().split_once('='));
            settings.find(|(other, _)| *other == name).map(|(_, value)| value)
        };
        let algorithm = match setting("algorithm") {
            None => return Ok((self.auth_tokens.iter().collect(), Algorithm::Sha1)),
            Some("HMAC_SHA1") => Algorithm::Sha1,
            Some("HMAC_SHA256") => Algorithm::Sha256,
            Some(_) => return Err("signed with an unknown algorithm"),
        };
        match &self.shared {
            Some((id, secret)) if setting("key") == Some(id.as_str()) => Ok((vec![secret], algorithm)),
            _ => Err("signed with a shared key that is not set here"),
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn check_body_hash(request: &CallbackRequest<'_>) -> Result<(), &'static str> {
    let query = Params::parse(callback::query(request.url).as_bytes());
    let announced = query.get("bodySHA256").ok_or("a body without a hash in the URL")?;
    let actual = format!("{:x}", Bytes::copy_from_slice(&Sha256::digest(request.body)));
    let is_equal = bool::from(actual.as_bytes().ct_eq(announced.as_bytes()));
    if is_equal { Ok(()) } else { Err("the body does not have the hash in the URL") }
}

/// The URL without a port, and with one.
fn forms_of(url: &str) -> Option<[String; 2]> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) && !host.is_empty() => (host, port),
        _ if scheme == "https" => (authority, "443"),
        _ => (authority, "80"),
    };
    Some([format!("{scheme}://{host}{path}"), format!("{scheme}://{host}:{port}{path}")])
}

fn sign(algorithm: Algorithm, key: &[u8], url: &str, params: &[(&str, &str)]) -> String {
    match algorithm {
        Algorithm::Sha1 => hmac::<Hmac<Sha1>>(key, url, params),
        Algorithm::Sha256 => hmac::<Hmac<Sha256>>(key, url, params),
    }
}

/// The Base64 of the HMAC. An HMAC takes a key of any length: were there an error, no signature would fit.
fn hmac<M: Mac + KeyInit>(key: &[u8], url: &str, params: &[(&str, &str)]) -> String {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return String::new() };
    mac.update(url.as_bytes());
    for (name, value) in params {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}
