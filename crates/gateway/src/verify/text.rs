//! The text that carries a code.

use std::fmt::Write as _;
use std::time::Duration;

use domain::verification::Code;

/// In Swahili where that is asked for, else in English. The last line is for browsers, which fill the code in on the site
/// that it names and on no other (the format of "origin-bound one-time codes delivered via SMS").
pub(super) fn of(locale: &str, code: &Code, ttl: Duration, domain: Option<&str>) -> String {
    let (code, minutes) = (code.expose(), ttl.as_secs().div_ceil(60));
    let language = locale.split(['-', '_']).next().unwrap_or_default();
    let mut text = if language.eq_ignore_ascii_case("sw") {
        format!("Nambari yako ya uthibitisho ni {code}. Inatumika kwa dakika {minutes}. Usimpe mtu yeyote.")
    } else {
        let unit = if minutes == 1 { "minute" } else { "minutes" };
        format!(
            "Your verification code is {code}. It is valid for {minutes} {unit}. Do not share it with anyone."
        )
    };
    if let Some(domain) = domain {
        let _ = write!(text, "\n\n@{domain} #{code}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ten_minutes(locale: &str, domain: Option<&str>) -> String {
        of(locale, &Code::read("482913").unwrap(), Duration::from_mins(10), domain)
    }

    #[test]
    fn the_text_is_in_the_language_asked_for_and_fits_one_segment() {
        let english =
            "Your verification code is 482913. It is valid for 10 minutes. Do not share it with anyone.";
        for locale in ["en", "fr", "", "en-KE"] {
            assert_eq!(of_ten_minutes(locale, None), english);
        }
        for locale in ["sw", "sw-KE", "SW_tz"] {
            assert!(of_ten_minutes(locale, None).starts_with("Nambari yako ya uthibitisho ni 482913."));
        }
        let longest = of_ten_minutes("sw", Some("accounts.example.co.ke"));
        assert_eq!(domain::encoding::measure(&longest).segments, 1);
    }

    #[test]
    fn the_last_line_is_for_browsers() {
        let text = of_ten_minutes("en", Some("example.com"));
        assert_eq!(text.lines().last(), Some("@example.com #482913"));
    }
}
