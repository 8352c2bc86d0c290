//! What would become of a message: a dry run by the code that sends. Stores nothing.

use domain::encoding::{self, Encoding};
use domain::phone::Msisdn;
use domain::route::Route;
use domain::scenario::{Priority, Scenario};
use domain::time::Timestamp;

use crate::request::{Caller, SendError, SendRequest};
use crate::routing::Traveler;
use crate::service::SmsService;

/// A character that makes the whole text travel in the larger encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offender {
    /// The character.
    pub character: char,
    /// Its place in the text, counted from 0.
    pub position: usize,
}

/// What would become of a message.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// Where it would go.
    pub receiver: Msisdn,
    /// What it is for.
    pub scenario: Scenario,
    /// Its lane.
    pub priority: Priority,
    /// How the text would travel.
    pub encoding: Encoding,
    /// The text's length in characters.
    pub characters: usize,
    /// How many SMS the text takes.
    pub segments: u16,
    /// The characters that are not in the plain alphabet, each where it is first.
    pub offenders: Vec<Offender>,
    /// When it would leave at the earliest.
    pub leaves_at: Timestamp,
    /// Held back by quiet hours.
    pub is_held: bool,
    /// After when it would not be submitted any more.
    pub expires_at: Option<Timestamp>,
    /// Every route, best first; the first one that can be used is taken.
    pub routes: Vec<Route>,
}

impl SmsService {
    /// Says what would become of a message, or what is wrong with the request.
    pub fn explain(&self, caller: &Caller, request: &SendRequest) -> Result<Explanation, SendError> {
        let now = self.now();
        let text = encoding::to_nfc(&request.content.message);
        // A request that can't be sent for want of a provider can be explained all the same.
        let (receiver, common) =
            self.acceptor().check_one(caller, request, now).map_err(SendError::Invalid)?;
        let traveler = Traveler {
            receiver,
            scenario: common.scenario,
            priority: common.priority,
            segments: common.segments,
            refused_by: &[],
        };
        let leaves_at = request.content.scheduled_at.unwrap_or(now).max(now);
        let settings = &self.shared.settings;
        let held_until = settings.quiet_hours.ends(common.scenario, receiver.country(), leaves_at);
        let leaves_at = held_until.unwrap_or(leaves_at);
        let expires_after = settings.policy(common.scenario).expires_after;
        Ok(Explanation {
            receiver,
            scenario: common.scenario,
            priority: common.priority,
            encoding: common.encoding,
            characters: text.chars().count(),
            segments: common.segments,
            offenders: offenders(&text),
            leaves_at,
            is_held: held_until.is_some(),
            expires_at: request.content.expires_at.or(expires_after.map(|after| leaves_at.plus(after))),
            routes: self.shared.router.rank(&traveler, now),
        })
    }
}

/// Each offending character where it is first.
fn offenders(text: &str) -> Vec<Offender> {
    let mut found: Vec<Offender> = Vec::new();
    for (position, character) in encoding::offenders(text) {
        if found.iter().all(|offender| offender.character != character) {
            found.push(Offender { character, position });
        }
    }
    found
}
