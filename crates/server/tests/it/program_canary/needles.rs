//! What may stand nowhere, in every form in which it could.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Texts to look for, each with a name to report it by.
#[derive(Default)]
pub(super) struct Needles {
    /// Long enough to be sure of wherever they stand.
    sure: Vec<(String, String)>,
    /// Short runs of digits, which stand in ids and times by accident.
    short: Vec<(String, String)>,
}

impl Needles {
    /// A text: as it is, in Base64, in hexadecimal, and as a list of bytes, as `Debug` shows one.
    pub(super) fn text(mut self, name: &str, text: &str) -> Self {
        let mut add = |form: &str, needle: String| self.sure.push((format!("{name} {form}"), needle));
        add("as it is", text.to_owned());
        add("in Base64", STANDARD.encode(text).trim_end_matches('=').to_owned());
        add("in Base64 for URLs", URL_SAFE_NO_PAD.encode(text));
        add(
            "in hexadecimal",
            text.bytes().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}")),
        );
        add("as bytes", text.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", "));
        self
    }

    /// What stands in the header of HTTP Basic authentication.
    pub(super) fn basic(mut self, name: &str, user: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        self.sure.push((format!("{name} as Basic"), pair.trim_end_matches('=').to_owned()));
        self.text(name, password)
    }

    /// A phone number: its national digits stand in every form, with `+`, without, with `%2B` or a zero.
    pub(super) fn number(self, calling_code: &str, national: &str) -> Self {
        let grouped = |separator: &str| {
            let (first, rest) = national.split_at(3);
            let (second, third) = rest.split_at(3);
            [first, second, third].join(separator)
        };
        let name = format!("the number +{calling_code}{national}");
        let forms = [grouped(" "), grouped("-"), grouped(".")];
        forms.iter().fold(self.text(&name, national), |needles, form| needles.text(&name, form))
    }

    /// A one-time code.
    pub(super) fn code(mut self, code: &str) -> Self {
        self.short.push((format!("the code {code}"), code.to_owned()));
        self
    }

    /// Which of them stand in `haystack`.
    pub(super) fn found_in(&self, haystack: &str) -> Vec<&str> {
        let stripped = without_accidents(haystack);
        let sure = self.sure.iter().filter(|(_, needle)| haystack.contains(needle.as_str()));
        let short = self.short.iter().filter(|(_, needle)| stripped.contains(needle.as_str()));
        sure.chain(short).map(|(name, _)| name.as_str()).collect()
    }
}

/// The text without what holds digits of its own: the time at the beginning of each line, and ids, which are
/// words of at least 20 hexadecimal digits, with or without a prefix.
fn without_accidents(text: &str) -> String {
    let is_time = |word: &str| word.len() > 20 && word.starts_with("20") && word.ends_with('Z');
    let is_id = |word: &str| {
        let (_, digits) = word.rsplit_once('_').unwrap_or(("", word));
        let digits = digits.trim_start_matches(['S', 'M', 'A', 'C']);
        digits.len() >= 20 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let (first, after) = line.split_once(' ').unwrap_or((line, ""));
        let rest = if is_time(first) { after } else { line };
        let is_sign = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
        for word in rest.split_inclusive(is_sign) {
            if !is_id(word.trim_end_matches(is_sign)) {
                kept.push_str(word);
            }
        }
        kept.push('\n');
    }
    kept
}

#[test]
fn a_needle_is_found_in_every_form() {
    let needles =
        Needles::default().number("254", "733914627").code("739154").basic("token", "AC1", "s3cr3t");
    let hidden = [
        "to=%2B254733914627",
        "0733914627",
        "733 914-627".replace('-', " ").leak(),
        "[55, 51, 51, 57, 49, 52, 54, 50, 55]",
        "code is 739154.",
        "authorization: Basic QUMxOnMzY3IzdA==",
        "s3cr3t",
    ];
    for text in hidden {
        assert!(!needles.found_in(text).is_empty(), "{text}");
    }
    let harmless = [
        "2026-11-23T08:30:00.739154Z  INFO tuma",
        "message.id=msg_01a208af715074abb773915400000001 sent",
        "+254*****4627",
    ];
    for text in harmless {
        assert_eq!(needles.found_in(text), Vec::<&str>::new(), "{text}");
    }
}
