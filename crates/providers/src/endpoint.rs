//! Requests to a provider: addresses, headers and forms, made once and sent many times.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::Request;
use serde::Deserialize;
use url::Url;

/// The address of a provider's API: `https://api.twilio.com`, with a path behind it where a proxy wants one.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct BaseUrl(Url);

/// A text that can't be a provider's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an address such as https://api.example.com, without credentials, query or fragment")]
pub struct BaseUrlError;

impl BaseUrl {
    /// Reads the address.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text).or(Err(BaseUrlError))?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if is_plain { Ok(Self(url)) } else { Err(BaseUrlError) }
    }

    /// The address itself.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The URL of something below the address. The path begins with a slash.
    pub fn at(&self, path: &str) -> Result<Url, BaseUrlError> {
        let base = self.0.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).or(Err(BaseUrlError))
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = BaseUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

/// A provider's URL with the headers of a request to it, made once.
#[derive(Clone)]
pub struct Endpoint {
    method: Method,
    url: Url,
    headers: HeaderMap,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.method)
    }
}

impl Endpoint {
    /// Something to read. `credential` is the header that authenticates; make its value sensitive.
    pub fn get(url: Url, credential: (HeaderName, HeaderValue)) -> Self {
        Self { method: Method::GET, url, headers: headers(credential) }
    }

    /// Something to post a form to.
    pub fn post_form(url: Url, credential: (HeaderName, HeaderValue)) -> Self {
        let mut headers = headers(credential);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        Self { method: Method::POST, url, headers }
    }

    /// The same with another URL.
    #[must_use]
    pub fn at(&self, url: Url) -> Self {
        Self { url, ..self.clone() }
    }

    pub(crate) fn request(&self, form: Option<Form>) -> Request {
        let mut request = Request::new(self.method.clone(), self.url.clone());
        self.headers.clone_into(request.headers_mut());
        *request.body_mut() = form.map(|form| form.0.into());
        request
    }
}

fn headers((name, value): (HeaderName, HeaderValue)) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tuma/", env!("CARGO_PKG_VERSION"))));
    headers.insert(name, value);
    headers
}

/// The header of HTTP Basic authentication (RFC 7617). `None` if the credentials can't stand in a header.
pub fn basic(user: &str, password: &str) -> Option<(HeaderName, HeaderValue)> {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    Some((AUTHORIZATION, sensitive(&format!("Basic {encoded}"))?))
}

/// A header's value that is never shown. `None` if the text can't stand in a header.
pub fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A body of `application/x-www-form-urlencoded`, written field by field.
#[derive(Clone)]
pub struct Form(String);

impl Form {
    /// An empty form with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Appends a field. The name is written as it is: letters, digits and underscores only.
    pub fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    }

    /// Appends what is encoded already, as it is: fields with their separator, or the rest of a value.
    pub fn push_encoded(&mut self, encoded: &str) {
        self.0.push_str(encoded);
    }

    /// The form as it goes over the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({} bytes)", self.0.len())
    }
}

/// One field of a form, encoded, with the separator in front: for [`Form::push_encoded`].
pub fn field(name: &str, value: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    format!("&{name}={encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_goes_behind_the_one_of_the_address() {
        for (base, expected) in [
            ("https://api.example.com", "https://api.example.com/v1/x?a=%3E"),
            ("https://api.example.com/", "https://api.example.com/v1/x?a=%3E"),
            ("http://proxy:8080/twilio/", "http://proxy:8080/twilio/v1/x?a=%3E"),
        ] {
            assert_eq!(BaseUrl::parse(base).unwrap().at("/v1/x?a=%3E").unwrap().as_str(), expected);
        }
    }

    #[test]
    fn credential_is_not_shown() {
        let (name, value) = basic("user", "pässword").unwrap();
        assert_eq!(value.to_str().unwrap(), "Basic dXNlcjpww6Rzc3dvcmQ=");
        let endpoint = Endpoint::get("https://api.example.com/secret".parse().unwrap(), (name, value));
        assert_eq!(format!("{endpoint:?}"), "Endpoint(GET)");
        assert!(!format!("{:?}", endpoint.request(None)).contains("dXNlcjpw"));
        assert!(sensitive("two\nlines").is_none());
    }
}
