//! The text that carries a code.

use std::fmt::Write as _;
use std::time::Duration;

use domain::ids::MessageId;
use domain::phone::Country;
use domain::template::{Locale, VariableError, Variables};
use domain::verification::Code;

use crate::templates::{OTP, Ready, Written, built_in};

/// What a text is made for.
pub(super) struct Wanted<'a> {
    pub(super) locale: &'a Locale,
    pub(super) code: &'a Code,
    pub(super) ttl: Duration,
    /// The site on which browsers fill the code in.
    pub(super) domain: Option<&'a str>,
    /// The most characters that there may be.
    pub(super) longest: usize,
    /// Of several variants it decides which.
    pub(super) id: MessageId,
    pub(super) region: Country,
}

/// Made of the template `otp` that is in force. Where that can't carry a code, because it wants other variables, does not
/// show the code or is too long, a person waits for it none the less: then it is made of the built-in one.
pub(super) fn of(in_force: Option<&Ready>, wanted: &Wanted<'_>) -> Result<Written, Vec<VariableError>> {
    let has_code = |made: &Written| made.text.contains(wanted.code.expose());
    let fits = |made: &Written| made.text.chars().count() <= wanted.longest;
    let made = in_force.and_then(|template| by(template, wanted).ok()).filter(has_code);
    let made = made.map(|made| with_last_line(made, wanted)).filter(fits);
    if let Some(written) = made {
        return Ok(written);
    }
    tracing::warn!(template = OTP, "the template in force can't carry a code: the built-in one is used");
    let built_in = built_in(OTP).ok_or_else(Vec::new)?;
    Ok(with_last_line(by(&built_in, wanted)?, wanted))
}

/// A template may leave out how long the code is good.
fn by(template: &Ready, wanted: &Wanted<'_>) -> Result<Written, Vec<VariableError>> {
    let write = |variables| template.write(Some(wanted.locale), variables, wanted.id, wanted.region);
    let code = Variables::default().with("code", wanted.code.expose());
    // Never more than there are, so long as there is one.
    let minutes = (wanted.ttl.as_secs() / 60).max(1);
    write(&code.clone().with("minutes", minutes)).or_else(|_| write(&code))
}

/// For browsers, which fill the code in on the site that it names and on no other (the format of "origin-bound one-time codes
/// delivered via SMS").
fn with_last_line(mut written: Written, wanted: &Wanted<'_>) -> Written {
    if let Some(domain) = wanted.domain {
        let _ = write!(written.text, "\n\n@{domain} #{}", wanted.code.expose());
    }
    written
}

#[cfg(test)]
mod tests {
    use domain::template::{Definition, Template};

    use super::*;
    use crate::templates::ready;

    fn template(text: &str) -> Ready {
        let definition = serde_json::json!({
            "scenario": "otp",
            "variables": {"code": {"type": "code", "min_length": 4, "length": 10}, "minutes": {"type": "integer", "min": 1, "max": 90, "default": 10}},
            "locales": {"en": text},
        });
        let definition: Definition = serde_json::from_value(definition).unwrap();
        ready(OTP, 7, Template::compile(&definition).0.unwrap())
    }

    fn made(in_force: &Ready, locale: &str, domain: Option<&str>) -> Written {
        let (code, locale) = (Code::read("482913").unwrap(), locale.parse().unwrap());
        let ttl = Duration::from_mins(10);
        let (id, region) = (MessageId::from_bytes([7; 16]), Country::KE);
        let wanted = Wanted { locale: &locale, code: &code, ttl, domain, longest: 200, id, region };
        of(Some(in_force), &wanted).unwrap()
    }

    #[test]
    fn the_text_is_that_of_the_template_in_the_language_asked_for() {
        let built_in = built_in(OTP).unwrap();
        assert!(
            made(&built_in, "en-KE", None).text.starts_with("Your code is 482913. It is valid for 10 min.")
        );
        let swahili = made(&built_in, "sw-KE", Some("accounts.example.co.ke"));
        assert!(swahili.text.starts_with("Nambari yako ni 482913."));
        assert_eq!(swahili.used.to_string(), "otp@0/sw/0");
        assert_eq!(domain::encoding::measure(&swahili.text).segments, 1);
        let own = made(&template("{{ code }} for {{ minutes }}"), "sw", None);
        assert_eq!((own.text.as_str(), own.used.to_string().as_str()), ("482913 for 10", "otp@7/en/0"));
    }

    #[test]
    fn a_template_that_does_not_show_the_code_is_not_used() {
        let text = made(&template("Good for {{ minutes }} minutes."), "en", None).text;
        assert!(text.starts_with("Your code is 482913."));
        let text = made(&template(&format!("{{{{ code }}}} {}", "long ".repeat(50))), "en", None).text;
        assert!(text.starts_with("Your code is 482913."));
    }

    #[test]
    fn the_last_line_is_for_browsers() {
        let text = made(&template("{{ code }}"), "en", Some("example.com")).text;
        assert_eq!(text, "482913\n\n@example.com #482913");
    }
}
