//! What a person's reply says: yes or no, and which request it names.
//!
//! People answer as they talk: `[approve]`, `Ndio, asante`, `I APPROVE wr 12345`. What is plain counts; what is not is
//! asked about, never guessed. So a word counts only at the front of a reply, where no other word takes it back: `NOT
//! APPROVE`, `sikubali`, `yes but` and `yes no` are [`Says::Unclear`].

mod reference;
mod words;

use unicode_normalization::UnicodeNormalization;

pub use self::reference::{Reference, ReferenceError};
use self::words::Meaning;
use crate::scenario::closed_set;

closed_set! {
    /// What somebody answers.
    Answer ("answer") {
        /// Yes.
        Approve => "approve",
        /// No.
        Reject => "reject",
    }
}

/// Of which kind of request a word speaks by itself: nobody is asked to answer an approval by `YES`, so a lone `YES` may be
/// meant for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fits {
    /// It answers an invitation.
    pub invite: bool,
    /// It answers what is to be approved.
    pub approval: bool,
}

/// What a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Nothing that is an answer.
    Nothing,
    /// Yes or no.
    Plainly(Answer, Fits),
    /// Words of an answer that contradict each other, are taken back or stand in the middle of something else.
    Unclear,
}

/// A reply, read with the references that its sender may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it says.
    pub says: Says,
    /// Which of the references it names, by their positions.
    pub named: Vec<usize>,
    /// It holds something that looks like a reference and is none of these.
    pub names_another: bool,
}

/// The longest part of a text that is read. An inbound SMS has up to 1,600 characters; an answer stands at the front.
const READ: usize = 480;

/// A run of letters and digits.
struct Token {
    /// Upper case.
    text: String,
    /// Stands behind the one before with nothing between them but what references are written with.
    joined: bool,
}

impl Reading {
    /// Reads a reply.
    pub fn of(text: &str, references: &[&Reference]) -> Self {
        Self::of_tokens(&tokens(text.chars().take(READ)), references)
    }

    /// The same of a text that was not sent by anybody, and so is not cut.
    fn of_whole(text: &str, references: &[&Reference]) -> Self {
        Self::of_tokens(&tokens(text.chars()), references)
    }

    fn of_tokens(tokens: &[Token], references: &[&Reference]) -> Self {
        let spans = named(tokens, references);
        let is_name = |at: usize| spans.iter().any(|(_, from, to)| (*from..*to).contains(&at));
        let has_digit = |token: &Token| token.text.chars().any(char::is_numeric);
        let (mut words, mut names_another) = (Vec::new(), false);
        for (at, token) in tokens.iter().enumerate() {
            if is_name(at) {
                continue;
            }
            if has_digit(token) {
                names_another = true;
            } else {
                words.push(token.text.as_str());
            }
        }
        let mut named: Vec<usize> = spans.into_iter().map(|(which, ..)| which).collect();
        named.sort_unstable();
        named.dedup();
        Self { says: says(&words), named, names_another }
    }
}

/// What is written, in upper case and without what can't be seen.
fn tokens(text: impl Iterator<Item = char>) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let (mut current, mut between) = (String::new(), String::new());
    for character in text.nfkc().filter(|character| !is_dropped(*character)) {
        if character.is_alphanumeric() {
            if current.is_empty() {
                let joined = !tokens.is_empty() && !between.is_empty() && between.chars().all(is_joint);
                tokens.push(Token { text: String::new(), joined });
                between.clear();
            }
            current.extend(character.to_uppercase());
        } else {
            end(&mut tokens, &mut current);
            between.push(character);
        }
    }
    end(&mut tokens, &mut current);
    tokens
}

fn end(tokens: &mut [Token], current: &mut String) {
    if let Some(last) = tokens.last_mut().filter(|_| !current.is_empty()) {
        last.text = std::mem::take(current);
    }
}

/// Apostrophes, as in `don't`, and what can't be seen: joiners, marks of direction, accents on their own.
fn is_dropped(character: char) -> bool {
    matches!(
        character,
        '\'' | '’' | '‘' | 'ʼ' | '`' | '´' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{300}'..='\u{36f}'
    )
}

/// What a reference may be written with beside letters and digits; phones make dashes of other lengths of a hyphen.
fn is_joint(character: char) -> bool {
    matches!(character, '-' | '_' | '/' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Which references stand where: as whole runs of tokens, `WR-12345` also as `wr 12345`. Where one stands within another, it
/// is the longer one that is meant.
fn named(tokens: &[Token], references: &[&Reference]) -> Vec<(usize, usize, usize)> {
    let mut spans = Vec::new();
    for (which, reference) in references.iter().enumerate() {
        for from in 0..tokens.len() {
            if let Some(to) = run(tokens, from, reference.key()) {
                spans.push((which, from, to));
            }
        }
    }
    let is_within = |(_, from, to): &(usize, usize, usize), other: &(usize, usize, usize)| {
        other.1 <= *from && *to <= other.2 && other.2 - other.1 > to - from
    };
    let longest = spans.iter().filter(|span| !spans.iter().any(|other| is_within(span, other)));
    longest.copied().collect()
}

/// Where a run ends that begins at `from` and makes up the whole of a reference, if there is one. `WR-12345` does not stand
/// in `XWR-12345`, `A-WR-12345` or `WR-12345-B`.
fn run(tokens: &[Token], from: usize, key: &str) -> Option<usize> {
    let first = tokens.get(from)?;
    let before = from.checked_sub(1).and_then(|at| tokens.get(at));
    let is_answer = |token: &Token| matches!(words::meaning(&token.text), Some(Meaning::Answer(..)));
    if first.joined && !before.is_some_and(is_answer) {
        return None;
    }
    let mut left = key;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        left = left.strip_prefix(token.text.as_str())?;
        // `NOT 1 YES` is no yes to `NOT-1`: a word that takes an answer back is that, wherever it stands.
        if matches!(words::meaning(&token.text), Some(Meaning::Denied | Meaning::Hedge)) {
            return None;
        }
        if left.is_empty() {
            // Also where digits follow: somebody may have put a space into a longer one.
            let goes_on = |next: &Token| next.joined || next.text.chars().all(char::is_numeric);
            let is_cut = tokens.get(at + 1).is_some_and(goes_on);
            return (!is_cut).then_some(at + 1);
        }
    }
    None
}

/// What words say together.
fn says(words: &[&str]) -> Says {
    let mut first = true;
    let mut said: Option<(Answer, Fits)> = None;
    let mut is_unclear = false;
    let alone = words.len() == 1;
    for word in words {
        match words::meaning(word) {
            Some(Meaning::Greeting) if first => continue,
            Some(Meaning::Letter(answer, fits)) if alone => said = Some((answer, fits)),
            Some(Meaning::Answer(answer, fits)) => match &mut said {
                None if first => said = Some((answer, fits)),
                Some((earlier, known)) if *earlier == answer => {
                    known.invite |= fits.invite;
                    known.approval |= fits.approval;
                }
                None | Some(_) => is_unclear = true,
            },
            Some(Meaning::Denied) => is_unclear = true,
            // Of use only beside an answer: by itself it is no reply to a question.
            Some(Meaning::Hedge) => is_unclear |= said.is_some() || mentions_answer(words),
            Some(Meaning::Greeting | Meaning::Letter(..)) | None => {}
        }
        first = false;
    }
    match said {
        _ if is_unclear => Says::Unclear,
        Some((answer, fits)) => Says::Plainly(answer, fits),
        None => Says::Nothing,
    }
}

fn mentions_answer(words: &[&str]) -> bool {
    words.iter().any(|word| matches!(words::meaning(word), Some(Meaning::Answer(..))))
}

#[cfg(test)]
mod tests;
