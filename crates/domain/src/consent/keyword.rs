//! Words by which people say what they want: STOP, START, HELP, in English and Swahili.
//!
//! A text is a keyword only as a whole. "Stop by on Monday" is no opt-out, and an answer that begins with a keyword may
//! be one to a question. What people put around a keyword does not count: case, spaces, punctuation, emoji, marks of
//! direction, a "please", and saying it again.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use super::{Direction, Extent};
use crate::scenario::closed_set;

/// More than this is no keyword, whatever it says.
const MOST_CHARACTERS: usize = 80;

/// Said around a keyword, and no part of it. English and Swahili.
const COURTESIES: [&str; 6] = ["PLEASE", "PLS", "THANKS", "TAFADHALI", "ASANTE", "NAOMBA"];

closed_set! {
    /// What a keyword asks for.
    Keyword ("keyword") {
        /// Nothing more from any sender.
        StopAll => "stop_all",
        /// Nothing more from this sender.
        Stop => "stop",
        /// No more promotions from this sender.
        Unsubscribe => "unsubscribe",
        /// Messages again.
        Start => "start",
        /// Messages again, if there are none now; else it is an answer like any other.
        Resume => "resume",
        /// What is this?
        Help => "help",
    }
}

impl Keyword {
    /// What it does to a person's consent: which way, and how far.
    pub const fn change(self) -> Option<(Direction, Extent)> {
        match self {
            Self::StopAll | Self::Stop => Some((Direction::OptOut, Extent::All)),
            Self::Unsubscribe => Some((Direction::OptOut, Extent::Promotional)),
            Self::Start | Self::Resume => Some((Direction::OptIn, Extent::All)),
            Self::Help => None,
        }
    }

    /// Whether it is about all senders, whichever was written to.
    pub const fn is_about_all_senders(self) -> bool {
        matches!(self, Self::StopAll)
    }

    /// Whether it is heard before anybody else may take the text for an answer.
    pub const fn is_heard_first(self) -> bool {
        !matches!(self, Self::Resume)
    }
}

/// The words of each keyword, as settings have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// For [`Keyword::StopAll`].
    pub stop_all: Vec<String>,
    /// For [`Keyword::Stop`].
    pub stop: Vec<String>,
    /// For [`Keyword::Unsubscribe`].
    pub unsubscribe: Vec<String>,
    /// For [`Keyword::Start`].
    pub start: Vec<String>,
    /// For [`Keyword::Resume`].
    pub resume: Vec<String>,
    /// For [`Keyword::Help`].
    pub help: Vec<String>,
}

impl Default for Words {
    /// The English ones are those that carriers and Twilio know (Twilio, "Support for English-language opt-out
    /// keywords"); the Swahili ones are their translations.
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            stop_all: words(&["STOPALL", "ACHA ZOTE"]),
            stop: words(&["STOP", "ACHA", "SIMAMISHA"]),
            unsubscribe: words(&["UNSUBSCRIBE", "CANCEL", "END", "QUIT", "ONDOA"]),
            start: words(&["START", "UNSTOP", "SUBSCRIBE", "ANZA"]),
            resume: words(&["YES", "JIUNGE"]),
            help: words(&["HELP", "INFO", "MSAADA"]),
        }
    }
}

/// Why words are no keywords.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeywordError {
    /// Without a letter or digit, or too long.
    #[error("{0:?} has no letter or digit, or is longer than {MOST_CHARACTERS} characters")]
    Unusable(String),
    /// The same word for two things.
    #[error("{word:?} is a word for both {first} and {second}")]
    Twice {
        /// The word.
        word: String,
        /// What it was for.
        first: Keyword,
        /// What it is for as well.
        second: Keyword,
    },
    /// No word by which a person could stop messages.
    #[error("there is no word for stop")]
    NoStop,
}

/// Keywords, ready to be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keywords(BTreeMap<String, Keyword>);

impl Default for Keywords {
    fn default() -> Self {
        Self::new(&Words::default()).unwrap_or_else(|_impossible| Self(BTreeMap::new()))
    }
}

impl Keywords {
    /// Takes words, each for one thing only.
    pub fn new(words: &Words) -> Result<Self, KeywordError> {
        if words.stop.is_empty() {
            return Err(KeywordError::NoStop);
        }
        let lists = [
            (Keyword::StopAll, &words.stop_all),
            (Keyword::Stop, &words.stop),
            (Keyword::Unsubscribe, &words.unsubscribe),
            (Keyword::Start, &words.start),
            (Keyword::Resume, &words.resume),
            (Keyword::Help, &words.help),
        ];
        let mut known = BTreeMap::new();
        for (keyword, words) in lists {
            for word in words {
                let joined = folded(word).concat();
                if joined.is_empty() || word.chars().count() > MOST_CHARACTERS {
                    return Err(KeywordError::Unusable(word.clone()));
                }
                if let Some(first) = known.insert(joined, keyword).filter(|first| *first != keyword) {
                    return Err(KeywordError::Twice { word: word.clone(), first, second: keyword });
                }
            }
        }
        Ok(Self(known))
    }

    /// What a text asks for, if it is a keyword and nothing else.
    pub fn read(&self, text: &str) -> Option<Keyword> {
        // Whoever says much says more than a keyword.
        if text.chars().nth(MOST_CHARACTERS).is_some() {
            return None;
        }
        let mut words = folded(text);
        words.retain(|word| !COURTESIES.contains(&word.as_str()));
        words.dedup();
        // Joined, so that "STOP ALL" and "S.T.O.P" are what they look like.
        self.0.get(&words.concat()).copied()
    }
}

/// The words of a text as they are compared: letters and digits alone, in capitals. Full width letters are plain ones, and
/// what can't be seen, such as marks of direction, does not part a word.
pub fn folded(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in text.nfkc() {
        if character.is_alphanumeric() {
            if let Some(word) = words.last_mut() {
                word.extend(character.to_uppercase());
            }
        } else if !is_invisible(character) && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Characters that phones put into texts and nobody sees: controls but for white space, zero width characters, marks of
/// direction, variation selectors (Unicode, general categories Cc and Cf, and block FE00).
fn is_invisible(character: char) -> bool {
    (character.is_control() && !character.is_whitespace())
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_word_of_the_defaults_asks_for_one_thing() {
        let keywords = Keywords::default();
        for (text, asked) in [
            ("STOP", Keyword::Stop),
            ("stop", Keyword::Stop),
            (" Stop. ", Keyword::Stop),
            ("STOP ALL", Keyword::StopAll),
            ("StopAll!", Keyword::StopAll),
            ("acha zote", Keyword::StopAll),
            ("S.T.O.P", Keyword::Stop),
            ("STOP STOP STOP", Keyword::Stop),
            ("please stop", Keyword::Stop),
            ("Stop 🛑", Keyword::Stop),
            ("\u{200f}\u{202b}STOP\u{202c}", Keyword::Stop),
            ("ST\u{200b}OP\0", Keyword::Stop),
            ("ＳＴＯＰ", Keyword::Stop),
            ("Acha tafadhali", Keyword::Stop),
            ("simamisha", Keyword::Stop),
            ("[unsubscribe]", Keyword::Unsubscribe),
            ("ondoa", Keyword::Unsubscribe),
            ("Unstop", Keyword::Start),
            ("anza", Keyword::Start),
            ("yes", Keyword::Resume),
            ("Jiunge", Keyword::Resume),
            ("help?", Keyword::Help),
            ("Msaada", Keyword::Help),
        ] {
            assert_eq!(keywords.read(text), Some(asked), "{text:?}");
        }
    }

    #[test]
    fn text_that_says_more_than_a_keyword_is_none() {
        let keywords = Keywords::default();
        for text in [
            "",
            "\0",
            "🛑",
            "please",
            "Stop by on Monday",
            "don't stop",
            "I will start tomorrow",
            "stopping",
            "END THE MEETING",
            "yes I approve",
            "APPROVE WR-12345",
        ] {
            assert_eq!(keywords.read(text), None, "{text:?}");
        }
        assert_eq!(keywords.read(&"stop ".repeat(100)), None);
    }

    #[test]
    fn word_for_two_things_and_a_word_of_nothing_are_refused() {
        let twice = Words { help: vec!["Stop!".into()], ..Words::default() };
        let refused = Keywords::new(&twice).unwrap_err().to_string();
        assert!(refused.contains("stop and help"), "{refused}");
        let empty = Words { start: vec!["…".into()], ..Words::default() };
        assert_eq!(Keywords::new(&empty), Err(KeywordError::Unusable("…".into())));
        assert_eq!(Keywords::new(&Words { stop: Vec::new(), ..Words::default() }), Err(KeywordError::NoStop));
    }

    #[test]
    fn yes_is_heard_last_and_all_else_first() {
        for keyword in Keyword::ALL {
            assert_eq!(keyword.is_heard_first(), *keyword != Keyword::Resume);
        }
    }

    /// What people and phones put around a keyword.
    fn around() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                Just(" "),
                Just("."),
                Just("!"),
                Just("\n"),
                Just("["),
                Just("]"),
                Just("🙏"),
                Just("\u{200e}"),
                Just("\u{202e}"),
                Just("\0"),
                Just("\u{feff}"),
                Just(" please "),
            ],
            0..4,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn keyword_is_heard_whatever_is_around_it(
            before in around(), after in around(), capitals in proptest::collection::vec(any::<bool>(), 12), at in 0_usize..20
        ) {
            let words = Words::default();
            let all = [
                (Keyword::StopAll, words.stop_all), (Keyword::Stop, words.stop), (Keyword::Unsubscribe, words.unsubscribe),
                (Keyword::Start, words.start), (Keyword::Resume, words.resume), (Keyword::Help, words.help),
            ];
            let all: Vec<_> =
                all.into_iter().flat_map(|(keyword, words)| words.into_iter().map(move |word| (keyword, word))).collect();
            let (keyword, word) = &all[at % all.len()];
            let typed: String = word
                .chars()
                .zip(capitals.iter().cycle())
                .map(|(letter, is_capital)| if *is_capital { letter } else { letter.to_ascii_lowercase() })
                .collect();
            prop_assert_eq!(Keywords::default().read(&format!("{before} {typed} {after}")), Some(*keyword));
        }

        #[test]
        fn text_of_other_words_is_never_a_keyword(text in "\\PC{0,200}", more in "[a-z]{4,12}") {
            let keywords = Keywords::default();
            // Whatever it is, it does not panic, and reads the same in capitals.
            let ascii: String = text.chars().filter(char::is_ascii).collect();
            prop_assert_eq!(keywords.read(&ascii), keywords.read(&ascii.to_ascii_uppercase()));
            prop_assume!(!["stop", "please", "thanks"].contains(&more.as_str()) && keywords.read(&more).is_none());
            let second = format!("zq{more}");
            prop_assert_eq!(keywords.read(&format!("stop {second}")), None);
        }
    }
}
