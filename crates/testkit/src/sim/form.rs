//! Writing the texts of both wires: JSON strings, amounts, moments; and an answer around them.

use std::fmt::Write;

use bytes::Bytes;
use domain::time::Timestamp;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use parking_lot::Mutex;

use crate::serve::Answer;

pub(crate) const JSON: &str = "application/json";
pub(crate) const TEXT: &str = "text/plain; charset=UTF-8";
pub(crate) const HTML: &str = "text/html";

/// An answer with a body.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn push_json(out: &mut String, text: &str) {
    out.push('"');
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push_str(text);
    } else {
        text.chars().for_each(|character| push_escaped(out, character));
    }
    out.push('"');
}

fn push_escaped(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        control if control < ' ' => {
            // Writing to a String does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(control));
        }
        other => out.push(other),
    }
}

/// Appends `text` as a JSON string, or `null`.
pub(crate) fn push_json_or_null(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => push_json(out, text),
        None => out.push_str("null"),
    }
}

/// Appends an amount of millionths with four decimals, as Africa's Talking writes it: `0.8000`.
pub(crate) fn push_amount(out: &mut String, micros: i64) {
    let sign = if micros < 0 { "-" } else { "" };
    let magnitude = micros.unsigned_abs();
    let _ = write!(out, "{sign}{}.{:04}", magnitude / 1_000_000, magnitude % 1_000_000 / 100);
}

/// Moments as RFC 2822 writes them. Thousands of answers share a second, so the last text is kept.
#[derive(Debug, Default)]
pub(crate) struct Dates {
    last: Mutex<(i64, String)>,
}

impl Dates {
    /// Appends `time` as a JSON string: `"Thu, 24 Aug 2023 05:01:45 +0000"`.
    pub(crate) fn push_json(&self, out: &mut String, time: Timestamp) {
        let second = time.as_micros().div_euclid(1_000_000);
        let mut last = self.last.lock();
        if last.0 != second || last.1.is_empty() {
            *last = (second, rfc2822(second));
        }
        out.push('"');
        out.push_str(&last.1);
        out.push('"');
    }

    /// Appends `time` as a JSON string, or `null`.
    pub(crate) fn push_json_or_null(&self, out: &mut String, time: Option<Timestamp>) {
        match time {
            Some(time) => self.push_json(out, time),
            None => out.push_str("null"),
        }
    }
}

fn rfc2822(second: i64) -> String {
    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_read_back() {
        for text in ["Habari", "", "a \"b\" \\c\n\r\t\u{1}\u{7f}", "€ 👋🏿 é"] {
            let mut out = String::new();
            push_json(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text, "{out}");
        }
    }

    #[test]
    fn amounts_have_four_decimals() {
        for (micros, text) in
            [(800_000, "0.8000"), (0, "0.0000"), (-1_750_000, "-1.7500"), (1_785_500_049, "1785.5000")]
        {
            let mut out = String::new();
            push_amount(&mut out, micros);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn moments_follow_rfc_2822() {
        let dates = Dates::default();
        let mut out = String::new();
        dates.push_json(&mut out, Timestamp::from_micros(1_692_853_305_999_999));
        dates.push_json_or_null(&mut out, Some(Timestamp::from_micros(0)));
        dates.push_json_or_null(&mut out, None);
        assert_eq!(out, "\"Thu, 24 Aug 2023 05:01:45 +0000\"\"Thu, 01 Jan 1970 00:00:00 +0000\"null");
    }
}
