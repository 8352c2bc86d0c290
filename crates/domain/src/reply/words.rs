//! The words of an answer, in English and Swahili.

use super::{Answer, Fits};

/// What a word does in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Answers.
    Answer(Answer, Fits),
    /// Answers where it is all that is said.
    Letter(Answer, Fits),
    /// May stand before an answer.
    Greeting,
    /// An answer that is taken back: `sikubali`, `disapprove`.
    Denied,
    /// Takes an answer back, or ties it to something.
    Hedge,
}

const INVITE: Fits = Fits { invite: true, approval: false };
const APPROVAL: Fits = Fits { invite: false, approval: true };
/// Swahili has one pair of words for both.
const BOTH: Fits = Fits { invite: true, approval: true };

/// By what they answer, and to what kind of request when they stand alone.
const ANSWERS: &[(&[&str], Answer, Fits)] = &[
    (
        &["YES", "YEAH", "YEP", "YAH", "OK", "OKAY", "OKEY", "ACCEPT", "ACCEPTED", "NDIO", "NDIYO", "NDYO"],
        Answer::Approve,
        INVITE,
    ),
    (&["APPROVE", "APPROVED", "APROVE"], Answer::Approve, APPROVAL),
    (&["KUBALI", "NAKUBALI", "NIMEKUBALI"], Answer::Approve, BOTH),
    (&["NO", "NOPE", "DECLINE", "DECLINED", "HAPANA"], Answer::Reject, INVITE),
    (&["REJECT", "REJECTED"], Answer::Reject, APPROVAL),
    (&["KATAA", "NAKATAA", "NIMEKATAA"], Answer::Reject, BOTH),
];

const LETTERS: &[(&str, Answer)] = &[("Y", Answer::Approve), ("N", Answer::Reject)];

const GREETINGS: &[&str] = &[
    "HI",
    "HELLO",
    "DEAR",
    "SIR",
    "MADAM",
    "I",
    "WE",
    "PLEASE",
    "PLS",
    "KINDLY",
    "HABARI",
    "JAMBO",
    "TAFADHALI",
    "MIMI",
    "REF",
    "REFERENCE",
];

/// A word that holds one of these and is no answer by itself is some other form of it: `disapprove`, `sikubali`, `usikatae`.
const STEMS: &[&str] =
    &["APPROV", "REJECT", "DECLIN", "ACCEPT", "KUBALI", "KUBALY", "KATAA", "KATAE", "KATAI"];

const HEDGES: &[&str] = &[
    "NOT",
    "DONT",
    "DIDNT",
    "DOESNT",
    "CANT",
    "CANNOT",
    "WONT",
    "WOULDNT",
    "ISNT",
    "NEVER",
    "NEITHER",
    "NOR",
    "IF",
    "BUT",
    "UNLESS",
    "UNTIL",
    "MAYBE",
    "PERHAPS",
    "WAIT",
    "LATER",
    "WHY",
    "WHAT",
    "WHICH",
    "WHO",
    "WHEN",
    "HOW",
    // "No objections" is a yes to whoever writes it.
    "PROBLEM",
    "PROBLEMS",
    "WORRY",
    "WORRIES",
    "ISSUE",
    "ISSUES",
    "DOUBT",
    "DOUBTS",
    "OBJECTION",
    "OBJECTIONS",
    "CONCERN",
    "CONCERNS",
    "COMPLAINT",
    "COMPLAINTS",
    "QUESTION",
    "QUESTIONS",
    "REASON",
    "REASONS",
    "TROUBLE",
    "HURRY",
    "WAHALA",
    // Whoever says yes and wants it to stop, or calls it wrong, has not said yes. The words of opt-outs are among these.
    "STOP",
    "STOPALL",
    "UNSUBSCRIBE",
    "CANCEL",
    "END",
    "QUIT",
    "REMOVE",
    "DELETE",
    "REVOKE",
    "UNDO",
    "REVERSE",
    "WRONG",
    "MISTAKE",
    "ERROR",
    "FRAUD",
    "SCAM",
    "THIEF",
    "THIEVES",
    "ACHA",
    "ACHENI",
    "SIMAMISHA",
    "ONDOA",
    "NIONDOE",
    "NIONDOENI",
    "FUTA",
    "WIZI",
    "MWIZI",
    "UTAPELI",
    "KOSA",
    "MAKOSA",
    "SI",
    "SIO",
    "SIYO",
    "SITAKI",
    "SIJUI",
    "LAKINI",
    "KAMA",
    "IKIWA",
    "LABDA",
    "BAADAYE",
    "SUBIRI",
    "NGOJA",
    "KWANINI",
    "NINI",
    "SHIDA",
    "TATIZO",
    "MATATIZO",
    "WASIWASI",
    "PINGAMIZI",
    "BADO",
];

/// What a word in upper case does.
pub(super) fn meaning(word: &str) -> Option<Meaning> {
    let answers = ANSWERS.iter().find(|(words, ..)| words.contains(&word));
    if let Some((_, answer, fits)) = answers {
        return Some(Meaning::Answer(*answer, *fits));
    }
    if let Some((_, answer)) = LETTERS.iter().find(|(letter, _)| *letter == word) {
        return Some(Meaning::Letter(*answer, INVITE));
    }
    if GREETINGS.contains(&word) {
        return Some(Meaning::Greeting);
    }
    if HEDGES.contains(&word) {
        return Some(Meaning::Hedge);
    }
    STEMS.iter().any(|stem| word.contains(stem)).then_some(Meaning::Denied)
}
