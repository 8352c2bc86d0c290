//! Which prompt a reply is about. What hurts people is a `YES` that approves the wrong request, so:
//!
//! - A reply that names a prompt is about that one and no other, whether it is open or not. If it names several, or one that
//!   its sender was never asked, it is about none.
//! - A reply without a name counts only where nothing else can be meant: one prompt is open for the number, no other was
//!   open since that one was asked or shortly before, and the word is one of its kind. `APPROVE` answers an approval; `YES`
//!   answers an invitation, and an approval only with its name.
//! - Nobody can have answered what was not yet sent to them.
//! - Of all else its sender is asked which one is meant.

use std::time::Duration;

use super::Kind;
use crate::ids::PromptId;
use crate::reply::{Answer, Reading, Reference, Says};
use crate::time::Timestamp;

/// A prompt that somebody was asked, or will be.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The prompt.
    pub id: PromptId,
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub reference: Reference,
    /// When its message left for this number, if it has.
    pub asked_at: Option<Timestamp>,
    /// When its time is over.
    pub closes_at: Timestamp,
    /// When it was closed, if it is.
    pub closed_at: Option<Timestamp>,
}

impl Candidate {
    /// When it took, or takes, no more answers.
    fn ended_at(&self) -> Timestamp {
        self.closed_at.map_or(self.closes_at, |closed| closed.min(self.closes_at))
    }

    /// Whether it takes answers that come at this time: it is open, and its sender can have read it.
    pub fn takes_answers_at(&self, at: Timestamp) -> bool {
        self.was_asked_by(at) && self.is_open_at(at)
    }

    fn was_asked_by(&self, at: Timestamp) -> bool {
        self.asked_at.is_some_and(|asked| asked <= at)
    }

    fn is_open_at(&self, at: Timestamp) -> bool {
        self.closed_at.is_none() && at < self.closes_at
    }
}

/// What a reply is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// No prompt.
    Nothing,
    /// It answers this one.
    Answers(PromptId, Answer),
    /// It is about this one, which takes no answers any more; the answer if there is one.
    TooLate(PromptId, Option<Answer>),
    /// It is about this one, and does not plainly say yes or no: its sender is asked.
    Unclear(PromptId),
    /// It answers something, and nobody knows what: its sender is asked.
    Which,
}

/// Finds what a reply is about that came at a time, among all prompts of its sender. `doubt` is for how long after a prompt was
/// closed a word without a name may still be meant for it.
pub fn bind(text: &str, received_at: Timestamp, candidates: &[Candidate], doubt: Duration) -> Bound {
    let asked: Vec<&Candidate> = candidates.iter().filter(|one| one.was_asked_by(received_at)).collect();
    let open: Vec<&Candidate> = asked.iter().copied().filter(|one| one.is_open_at(received_at)).collect();
    let reading = Reading::of(text, &asked.iter().map(|one| &one.reference).collect::<Vec<_>>());
    let answer = if let Says::Plainly(answer, _) = reading.says { Some(answer) } else { None };
    let mut named = reading.named.iter().map(|at| asked[*at]);
    if let Some(first) = named.next() {
        if named.any(|other| other.reference != first.reference) {
            return if reading.says == Says::Nothing || open.is_empty() {
                Bound::Nothing
            } else {
                Bound::Which
            };
        }
        let one = latest_of(&asked, &first.reference, received_at).unwrap_or(first);
        return about(one, received_at, reading.says);
    }
    if reading.says == Says::Nothing {
        return Bound::Nothing;
    }
    match open.as_slice() {
        [] if reading.names_another => Bound::Nothing,
        [] => match within(&asked, received_at, doubt).as_slice() {
            [one] => Bound::TooLate(one.id, answer),
            _ => Bound::Nothing,
        },
        [_] if reading.names_another => Bound::Which,
        [one] if !is_alone(one, &asked, doubt) => Bound::Which,
        [one] => match reading.says {
            Says::Plainly(answer, fits) if one.kind.is_answered_by(fits) => Bound::Answers(one.id, answer),
            Says::Unclear => Bound::Unclear(one.id),
            Says::Plainly(..) | Says::Nothing => Bound::Which,
        },
        _ => Bound::Which,
    }
}

/// What a reply says to the one that it names.
fn about(one: &Candidate, received_at: Timestamp, says: Says) -> Bound {
    match (one.is_open_at(received_at), says) {
        (true, Says::Plainly(answer, _)) => Bound::Answers(one.id, answer),
        (true, Says::Unclear | Says::Nothing) => Bound::Unclear(one.id),
        (false, Says::Plainly(answer, _)) => Bound::TooLate(one.id, Some(answer)),
        (false, Says::Unclear) => Bound::TooLate(one.id, None),
        (false, Says::Nothing) => Bound::Nothing,
    }
}

/// Of those with one name the open one, or else the one that was asked last: a name may be used again when its prompt is closed.
fn latest_of<'a>(
    asked: &[&'a Candidate],
    reference: &Reference,
    received_at: Timestamp,
) -> Option<&'a Candidate> {
    let same = asked.iter().copied().filter(|one| one.reference == *reference);
    same.max_by_key(|one| (one.is_open_at(received_at), one.asked_at))
}

/// Those that ended shortly before.
fn within<'a>(asked: &[&'a Candidate], received_at: Timestamp, doubt: Duration) -> Vec<&'a Candidate> {
    let has_just_ended = |one: &&Candidate| one.ended_at().plus(doubt) >= received_at;
    asked.iter().copied().filter(has_just_ended).collect()
}

/// Whether no other prompt was open to the number since this one was asked, or shortly before: somebody who has not heard that
/// it is closed may still mean that.
fn is_alone(one: &Candidate, asked: &[&Candidate], doubt: Duration) -> bool {
    let others = asked.iter().filter(|other| other.id != one.id);
    others.into_iter().all(|other| one.asked_at.is_some_and(|asked| other.ended_at().plus(doubt) < asked))
}

#[cfg(test)]
mod tests;
