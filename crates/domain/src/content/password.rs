//! A password that is said with the word for it. Most texts with that word warn of giving one away, or lead to where it is
//! changed, so what stands behind the word decides.

use regex::Regex;

/// A word for password.
pub(super) const WORDS: &str = r"(?i)(?-u:\b)(?:password|passwd|passphrase|nywila|neno\s+la\s+siri)(?-u:\b)";

/// The word, what leads on from it, and what follows.
const SAID: &str = concat!(
    r"(?i)(?-u:\b)(?:password|passwd|passphrase|nywila|neno\s+la\s+siri)(?-u:\b)",
    r"(?:\s+(?:yako|mpya|ya\s+mara\s+moja))*",
    r"(?:\s*(?<sign>[:=])|\s+(?:is|ni)(?-u:\b)\s*:?)\s*(?<value>\S+)",
);

/// The shortest that counts as a password behind a colon.
const SHORTEST: usize = 4;

/// Finds passwords.
pub(super) struct Words(Regex);

impl Words {
    pub(super) fn new() -> Self {
        #[expect(clippy::expect_used, reason = "a constant, tested")]
        Self(Regex::new(SAID).expect("the pattern can be used"))
    }

    /// Whether a password stands in the text. A short code is none where the text is for one.
    pub(super) fn are_in(&self, text: &str, is_one_time_code: bool) -> bool {
        // Most texts with the word say nothing with it, and whether one does is found out much faster than what.
        self.0.is_match(text)
            && self.0.captures_iter(text).any(|said| {
                let value = said.name("value").map_or("", |value| value.as_str());
                let is_quoted = value.starts_with(['"', '\'', '“', '‘']);
                let value = value.trim_matches(|sign: char| !sign.is_alphanumeric());
                if is_one_time_code && is_code(value) || is_link(value) {
                    return false;
                }
                match said.name("sign") {
                    Some(_) => value.chars().count() >= SHORTEST,
                    None => is_quoted || is_made_up(value),
                }
            })
    }
}

/// Four to ten letters and digits as codes have them, perhaps with a hyphen between.
fn is_code(value: &str) -> bool {
    let code = value.bytes().filter(|byte| *byte != b'-');
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    code.clone().all(is_plain)
        && code.clone().any(|byte| byte.is_ascii_digit())
        && (4..=10).contains(&code.count())
}

fn is_link(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    value.contains("://") || value.starts_with("www.")
}

/// No word of a sentence: "your password is …" goes on with one of those more often than not.
fn is_made_up(value: &str) -> bool {
    let has_sign = value.chars().any(|sign| !sign.is_alphabetic() && !matches!(sign, '\'' | '’' | '-'));
    let has_small = value.chars().any(char::is_lowercase);
    has_sign || (has_small && value.chars().skip(1).any(char::is_uppercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_word_decides() {
        let table = [
            ("password: hunter", true),
            ("Password : hunter2", true),
            ("password=p4ss", true),
            ("your password is hunter2", true),
            ("your password is \"hunter\"", true),
            ("your password is HunterTwo", true),
            ("neno la siri ni simba#1", true),
            ("your password is expired", false),
            ("your password is NOT safe", false),
            ("your password isn't safe", false),
            ("password: see", false),
            ("password: www.tuma.example", false),
            ("change your password", false),
            ("passwords: many", false),
        ];
        for (text, expected) in table {
            assert_eq!(Words::new().are_in(text, false), expected, "{text}");
        }
    }

    #[test]
    fn codes_are_told_from_passwords() {
        for (text, expected) in [
            ("password: 482913", false),
            ("password: 482-913", false),
            ("password is A1B2C3", false),
            ("password: ABCDEF", true),
            ("password: abc123", true),
            ("password: 48291348291", true),
        ] {
            assert_eq!(Words::new().are_in(text, true), expected, "{text}");
        }
    }
}
