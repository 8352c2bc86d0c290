//! Which events an endpoint hears, and when one is told again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::event::EventKind;
use crate::retry::RetryPolicy;

/// How long an event is posted again before it is given up, from its first post, and how long an endpoint may fail before it
/// is disabled. Neither happens before [`FAILS_AFTER`] failures.
pub const GIVE_UP_AFTER: Duration = Duration::from_hours(72);

/// Failures one after the other, of whatever events, after which the endpoint itself is at fault: it rests, and is tried
/// with one event at a time.
pub const FAILS_AFTER: u32 = 5;

/// From one post of an event to the next.
pub const AGAIN: RetryPolicy = RetryPolicy {
    base: Duration::from_secs(5),
    cap: Duration::from_mins(15),
    max_attempts: u16::MAX,
    give_up_after: GIVE_UP_AFTER,
};

/// From one try of an endpoint that fails to the next: what waits for it should not wait long once it is back.
pub const PROBE: RetryPolicy = RetryPolicy { cap: Duration::from_mins(2), ..AGAIN };

/// What an endpoint wants to hear: a kind, or all kinds of a thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// One kind.
    Kind(EventKind),
    /// All of a thing, such as `message`; also kinds that a newer version knows.
    All(&'static str),
}

/// A word that is neither a kind nor a thing with `.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no kind of event, nor one such as message.*")]
pub struct WantedError;

impl FromStr for Wanted {
    type Err = WantedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(kind) = text.parse() {
            return Ok(Self::Kind(kind));
        }
        let thing = text.strip_suffix(".*").ok_or(WantedError)?;
        let things = EventKind::ALL.iter().map(|kind| thing_of(kind.as_str()));
        things.into_iter().find(|known| *known == thing).map(Self::All).ok_or(WantedError)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => fmt::Display::fmt(kind, f),
            Self::All(thing) => write!(f, "{thing}.*"),
        }
    }
}

/// Whether an endpoint that wants this hears of a kind. One that asks for nothing hears of everything.
pub fn hears(wanted: &[Wanted], kind: &str) -> bool {
    wanted.is_empty()
        || wanted.iter().any(|wanted| match wanted {
            Wanted::Kind(known) => known.as_str() == kind,
            Wanted::All(thing) => thing_of(kind) == *thing,
        })
}

fn thing_of(kind: &str) -> &str {
    kind.split_once('.').map_or(kind, |(thing, _)| thing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(words: &[&str]) -> Vec<Wanted> {
        words.iter().map(|word| word.parse().unwrap()).collect()
    }

    #[test]
    fn endpoint_hears_what_it_asked_for() {
        assert!(hears(&[], "prompt.closed"));
        let some = wanted(&["message.delivered", "prompt.*"]);
        let heard = ["message.delivered", "prompt.closed", "prompt.novelty"].map(|kind| hears(&some, kind));
        assert_eq!(heard, [true; 3]);
        let others =
            ["message.sent", "prompts.closed", "verification.approved"].map(|kind| hears(&some, kind));
        assert_eq!(others, [false; 3]);
    }

    #[test]
    fn words_read_back_and_others_are_refused() {
        for word in ["message.sent", "message.*", "endpoint.*"] {
            assert_eq!(word.parse::<Wanted>().unwrap().to_string(), word);
        }
        for wrong in ["", "*", ".*", "message", "messages.*", "message.read", "message.**"] {
            assert_eq!(wrong.parse::<Wanted>(), Err(WantedError), "{wrong}");
        }
    }
}
