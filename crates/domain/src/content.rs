//! What no text may hold: card numbers, passwords, PINs, whole transaction ids, and what an operator adds.
//!
//! An SMS is read on lock screens, kept by networks and forwarded by its readers, so what opens an account does not
//! belong in one. A rule names itself when it is broken, and never the text.
//!
//! One pass of a [`RegexSet`] over the text says which rules may be broken; for nearly every text that is none, and
//! the pass is all that was paid. Only then a rule looks again by itself, for what no regular expression can say: whether
//! digits add up to a card number, or whether a word behind "password" is one.

mod card;

mod password;

use std::fmt;
use std::sync::Arc;

use regex::{RegexBuilder, RegexSet, RegexSetBuilder};

use crate::scenario::{Scenario, closed_set};

closed_set! {
    /// What becomes of a text that breaks a rule.
    Ruling ("ruling") {
        /// It is refused.
        Refuse => "refuse",
        /// The rule is not looked at.
        Allow => "allow",
    }
}

/// Rules that are always there, each with its ruling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rulings {
    /// The number of a payment card.
    pub card_number: Ruling,
    /// A password, said with the word for it in English or Swahili.
    pub password: Ruling,
    /// The same for a PIN.
    pub pin: Ruling,
    /// A transaction id, whole.
    pub transaction_id: Ruling,
}

impl Default for Rulings {
    fn default() -> Self {
        let refuse = Ruling::Refuse;
        Self { card_number: refuse, password: refuse, pin: refuse, transaction_id: refuse }
    }
}

/// A rule of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRule {
    /// What callers are told that they broke.
    pub name: String,
    /// The regular expression that no text may match.
    pub pattern: String,
}

/// What whole transaction ids look like unless settings say otherwise: a hash of 32 bytes, as ledgers name their
/// transactions. The ten letters and digits of an M-Pesa receipt open nothing, and their readers need them.
pub const TRANSACTION_IDS: &[&str] = &[r"(?-u:\b)(?:0x)?[0-9A-Fa-f]{64}(?-u:\b)"];

/// A PIN said outright, before or behind its word. A dot or a comma between them ends the sentence, not the PIN.
const PIN: &str = concat!(
    r"(?i)(?-u:\b)(?:pin|namba\s+(?:yako\s+)?ya\s+siri)(?-u:\b)",
    r"(?:\s+(?:code|number|no|namba|yako|mpya|is|ni))*[\s:=#-]{1,3}[0-9]{4,6}(?-u:\b)",
    r"|(?-u:\b)[0-9]{4,6}\s+(?:is|ni)\s+(?:[a-z-]+\s+){0,3}(?:pin|password|nywila)(?-u:\b)",
);

/// The most rules that an operator may add, and the most patterns of transaction ids.
const MOST_PATTERNS: usize = 64;

/// The longest name of a rule.
const LONGEST_NAME: usize = 40;

/// Bytes that one compiled pattern may take, and ten times that all of them together: one that repeats large classes
/// of characters takes more, and would be slow.
const PATTERN_SIZE: usize = 1 << 20;

/// The name of a rule: a word of ours or of the settings, nothing of a text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RuleName(Arc<str>);

impl RuleName {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why rules can't be made. Says where the mistake is, and does not repeat it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentRulesError {
    /// A pattern can't be read, or is too large.
    #[error("{place}[{index}] has no regular expression, or one that is too large")]
    Pattern {
        /// Which list.
        place: &'static str,
        /// The place in it, from 0.
        index: usize,
    },
    /// A name can't be a rule's.
    #[error("own[{0}] needs a name of at most {LONGEST_NAME} small letters, digits and underscores")]
    Name(usize),
    /// Too many.
    #[error("{place} may have {MOST_PATTERNS} entries")]
    TooMany {
        /// Which list.
        place: &'static str,
    },
    /// Each could be used, but not all of them together.
    #[error("the regular expressions are too large together")]
    TooLarge,
}

/// How a rule decides when the pass over the text has named it.
enum Look {
    /// It is broken.
    None,
    /// It is broken unless the text is a one-time code's.
    NoOneTimeCode,
    /// By the digits.
    Card,
    /// By the word behind "password".
    Password(password::Words),
}

struct Rule {
    name: RuleName,
    look: Look,
}

/// The rules for texts, ready to be applied. Cheap to clone.
#[derive(Clone)]
pub struct ContentRules(Arc<Compiled>);

impl fmt::Debug for ContentRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.rules.iter().map(|rule| &rule.name)).finish()
    }
}

struct Compiled {
    /// One pattern for each rule; a rule with several patterns stands in there several times.
    set: RegexSet,
    rules: Vec<Rule>,
}

impl ContentRules {
    /// Makes rules. `transaction_ids` are the patterns of the rule of that name.
    pub fn new(
        rulings: Rulings,
        transaction_ids: &[String],
        own: &[OwnRule],
    ) -> Result<Self, ContentRulesError> {
        for (place, entries) in [("transaction_ids", transaction_ids.len()), ("own", own.len())] {
            if entries > MOST_PATTERNS {
                return Err(ContentRulesError::TooMany { place });
            }
        }
        let mut patterns = Vec::new();
        let mut rules = Vec::new();
        let mut add = |name: &str, pattern: &str, look| {
            patterns.push(pattern.to_owned());
            rules.push(Rule { name: RuleName(name.into()), look });
        };
        if rulings.card_number == Ruling::Refuse {
            add("card_number", card::DIGITS, Look::Card);
        }
        if rulings.password == Ruling::Refuse {
            add("password", password::WORDS, Look::Password(password::Words::new()));
        }
        if rulings.pin == Ruling::Refuse {
            add("pin", PIN, Look::NoOneTimeCode);
        }
        for (index, pattern) in transaction_ids.iter().enumerate() {
            check_pattern("transaction_ids", index, pattern)?;
            if rulings.transaction_id == Ruling::Refuse {
                add("transaction_id", pattern, Look::None);
            }
        }
        for (index, rule) in own.iter().enumerate() {
            check_pattern("own", index, &rule.pattern)?;
            if !is_name(&rule.name) {
                return Err(ContentRulesError::Name(index));
            }
            add(&rule.name, &rule.pattern, Look::None);
        }
        let mut set = RegexSetBuilder::new(patterns);
        let set = set.size_limit(10 * PATTERN_SIZE).build().or(Err(ContentRulesError::TooLarge))?;
        Ok(Self(Arc::new(Compiled { set, rules })))
    }

    /// No rules: every text will do.
    pub fn none() -> Self {
        Self(Arc::new(Compiled { set: RegexSet::empty(), rules: Vec::new() }))
    }

    /// The first rule that a text breaks, if it breaks any. Codes of the scenario `otp` are no PINs and no passwords.
    pub fn broken_by(&self, text: &str, scenario: Scenario) -> Option<&RuleName> {
        let named = self.0.set.matches(text);
        let rules = named.iter().filter_map(|index| self.0.rules.get(index));
        let is_one_time_code = scenario == Scenario::Otp;
        rules
            .filter(|rule| match &rule.look {
                Look::None => true,
                Look::NoOneTimeCode => !is_one_time_code,
                Look::Card => card::is_in(text),
                Look::Password(words) => words.are_in(text, is_one_time_code),
            })
            .map(|rule| &rule.name)
            .next()
    }
}

/// The rules that are always there, and no others.
impl Default for ContentRules {
    fn default() -> Self {
        let transaction_ids: Vec<String> =
            TRANSACTION_IDS.iter().map(|pattern| (*pattern).to_owned()).collect();
        #[expect(clippy::expect_used, reason = "constants, tested")]
        Self::new(Rulings::default(), &transaction_ids, &[]).expect("the built-in patterns can be used")
    }
}

/// Each by itself: the error of the whole set does not say which one it is.
fn check_pattern(place: &'static str, index: usize, pattern: &str) -> Result<(), ContentRulesError> {
    let made = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).build();
    // One that matches nothing at all is found in every text.
    match made {
        Ok(regex) if !regex.is_match("") => Ok(()),
        _ => Err(ContentRulesError::Pattern { place, index }),
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str, scenario: Scenario) -> Option<String> {
        ContentRules::default().broken_by(text, scenario).map(ToString::to_string)
    }

    const HASH: &str = concat!("a3f5c2d1e4b60718293a4b5c6d7e8f90", "a3f5c2d1e4b60718293a4b5c6d7e8f90");

    #[test]
    fn what_opens_an_account_is_refused_by_the_name_of_the_rule() {
        let hash = format!("Tx {HASH} confirmed");
        let table = [
            ("Card 4111 1111 1111 1111 exp 12/27", "card_number"),
            ("Kadi 5555-5555-5555-4444", "card_number"),
            ("Amex 3782 822463 10005", "card_number"),
            ("Your password: hunter", "password"),
            ("PASSWORD=Hunter2!", "password"),
            ("Your new password is Simba2026.", "password"),
            ("Nywila yako ni Simba2026", "password"),
            ("Neno la siri: simba", "password"),
            ("Your PIN is 4821", "pin"),
            ("PIN yako mpya ni 482913. Usimpe mtu", "pin"),
            ("Namba yako ya siri ni: 4821", "pin"),
            ("4821 is your new PIN", "pin"),
            (&hash, "transaction_id"),
        ];
        for (text, rule) in table {
            assert_eq!(broken(text, Scenario::General).as_deref(), Some(rule), "{text}");
        }
    }

    #[test]
    fn ordinary_texts_pass() {
        let half = format!("Tx {}… confirmed", HASH.split_at(16).0);
        let texts = [
            "SFF6XYZ1KD Confirmed. Ksh1,500.00 sent to JANE WANJIKU 0712345678 on 23/11/26 at 8:30 AM. New balance is \
             Ksh4,200.00.",
            "Umetuma 1500 kwa 254712345678 1500 KES",
            "Call 254712345678 or 254733000111",
            "Never share your password or PIN with anyone.",
            "Your password is expired: open the app",
            "Reset your password: https://tuma.example/r/8f3a91c2",
            "Forgot your PIN? Dial *234# and wait",
            "Enter your PIN. 4000 KES will be sent",
            "Account 4000000000000000 was credited",
            "KRA PIN A012345678Z was registered",
            "Usimpe mtu nywila yako",
            &half,
            "",
        ];
        for text in texts {
            assert_eq!(broken(text, Scenario::General), None, "{text}");
        }
    }

    #[test]
    fn one_time_codes_pass_as_otp_and_nowhere_else() {
        let texts = [
            "Your PIN is 482913",
            "482913 is your one-time PIN",
            "One-time password: 482913",
            "Nywila yako ya mara moja ni 482-913",
        ];
        for text in texts {
            assert_eq!(broken(text, Scenario::Otp), None, "{text}");
            assert!(broken(text, Scenario::General).is_some(), "{text}");
        }
        assert_eq!(broken("Your password is Simba2026", Scenario::Otp).as_deref(), Some("password"));
        assert_eq!(broken("4111111111111111", Scenario::Otp).as_deref(), Some("card_number"));
    }

    #[test]
    fn a_rule_that_is_allowed_is_not_looked_at() {
        let rulings = Rulings { card_number: Ruling::Allow, pin: Ruling::Allow, ..Rulings::default() };
        let rules = ContentRules::new(rulings, &[], &[]).unwrap();
        assert_eq!(rules.broken_by("4111111111111111, PIN 4821", Scenario::General), None);
        assert_eq!(rules.broken_by(HASH, Scenario::General), None);
        assert!(rules.broken_by("password: hunter", Scenario::General).is_some());
        assert_eq!(ContentRules::none().broken_by("password: hunter", Scenario::General), None);
    }

    #[test]
    fn an_operator_s_rule_is_broken_by_its_name() {
        let own = OwnRule { name: "loan_number".into(), pattern: r"\bLN-[0-9]{6}\b".into() };
        let rules = ContentRules::new(Rulings::default(), &[], &[own]).unwrap();
        let name = |text| rules.broken_by(text, Scenario::General).map(RuleName::as_str);
        assert_eq!(name("Loan LN-482913 is due"), Some("loan_number"));
        assert_eq!(name("Loan LN-4829 is due"), None);
    }

    #[test]
    fn a_rule_that_can_not_be_is_named_and_not_repeated() {
        let own = |name: &str, pattern: &str| {
            let own = OwnRule { name: name.into(), pattern: pattern.into() };
            ContentRules::new(Rulings::default(), &[], &[own]).unwrap_err()
        };
        let pattern = ContentRulesError::Pattern { place: "own", index: 0 };
        for wrong in ["(", "", "a*", r"\w{5000}{5000}", r"(?:\p{L}{200}){200}"] {
            assert_eq!(own("x", wrong), pattern, "{wrong}");
        }
        assert_eq!(own("Loan number", "x"), ContentRulesError::Name(0));
        let many = vec!["x".to_owned(); MOST_PATTERNS + 1];
        let refused = ContentRules::new(Rulings::default(), &many, &[]).unwrap_err();
        assert_eq!(refused, ContentRulesError::TooMany { place: "transaction_ids" });
        assert!(!own("x", "(hunter2").to_string().contains("hunter2"));
    }
}
