//! What a request asks to send: as a form, or as JSON at the newer path.

use std::borrow::Cow;

use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use serde::Deserialize;

use super::words::{malformed, missing_field, unsupported_type};
use crate::serve::Answer;

/// What a request asks to send.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) username: Cow<'a, str>,
    pub(crate) to: Vec<Cow<'a, str>>,
    pub(crate) message: Cow<'a, str>,
    pub(crate) from: Cow<'a, str>,
    pub(crate) enqueue: bool,
}

/// The body of the newer path.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bulk {
    username: String,
    message: String,
    #[serde(default)]
    sender_id: String,
    phone_numbers: Vec<String>,
    #[serde(default)]
    enqueue: bool,
}

impl<'a> Wanted<'a> {
    /// Reads the body as its path and type demand.
    pub(crate) fn read(head: &Parts, body: &'a [u8]) -> Result<Self, Box<Answer>> {
        let content_type = head.headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
        if head.uri.path().ends_with("/bulk") {
            if !content_type.starts_with(b"application/json") {
                return Err(Box::new(unsupported_type("application/json")));
            }
            return Self::read_json(body);
        }
        if !content_type.starts_with(b"application/x-www-form-urlencoded") {
            return Err(Box::new(unsupported_type(
                "application/x-www-form-urlencoded or multipart/form-data",
            )));
        }
        Self::read_form(body)
    }

    /// Receivers are separated by commas. An empty field counts as a missing one: the official libraries send
    /// none.
    fn read_form(body: &'a [u8]) -> Result<Self, Box<Answer>> {
        let (mut username, mut to, mut message) = (None, None, None);
        let (mut from, mut enqueue) = (Cow::default(), false);
        for (name, value) in form_urlencoded::parse(body) {
            match &*name {
                "username" => username = Some(value),
                "to" => to = Some(value),
                "message" => message = Some(value),
                "from" => from = value,
                "enqueue" => enqueue = matches!(&*value, "1" | "true"),
                _ => {}
            }
        }
        let needed = |field: Option<Cow<'a, str>>, name| {
            field.filter(|value| !value.is_empty()).ok_or_else(|| Box::new(missing_field(name)))
        };
        let username = needed(username, "username")?;
        let to = receivers(needed(to, "to")?);
        Ok(Self { username, to, message: needed(message, "message")?, from, enqueue })
    }

    fn read_json(body: &[u8]) -> Result<Self, Box<Answer>> {
        let bulk: Bulk =
            serde_json::from_slice(body).map_err(|error| Box::new(malformed(&error.to_string())))?;
        Ok(Self {
            username: bulk.username.into(),
            to: bulk.phone_numbers.into_iter().map(Cow::from).collect(),
            message: bulk.message.into(),
            from: bulk.sender_id.into(),
            enqueue: bulk.enqueue,
        })
    }
}

fn receivers(list: Cow<'_, str>) -> Vec<Cow<'_, str>> {
    let trimmed = |part: &str| part.trim().to_owned();
    if list.contains([',', ' ']) {
        return list
            .split(',')
            .map(|part| Cow::from(trimmed(part)))
            .filter(|part| !part.is_empty())
            .collect();
    }
    vec![list]
}

/// A plus, and 4 to 15 digits: the check of the official libraries, with the upper limit of E.164.
pub(crate) fn is_number(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (4..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}
