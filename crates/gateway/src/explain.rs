//! What would become of a message: a dry run by the code that sends. Stores nothing.

use std::sync::Arc;

use domain::encoding::{self, Encoding};
use domain::message::Message;
use domain::phone::Msisdn;
use domain::quota::Drawn;
use domain::route::Route;
use domain::scenario::{Priority, Scenario};
use domain::secret::Body;
use domain::template::Used;
use domain::time::Timestamp;

use crate::accept::Common;
use crate::limits::Weight;
use crate::request::{Caller, OptedOut, Reached, SendError, SendRequest};
use crate::service::SmsService;

/// A character that makes the whole text travel in the larger encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offender {
    /// The character.
    pub character: char,
    /// Its place in the text, counted from 0.
    pub position: usize,
}

/// How a message would be sent. Each way has its lanes; how long one waits for a better route, and what receivers may not want, go
/// by them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Way {
    /// By a request of its own.
    #[default]
    Alone,
    /// As one of many by one request.
    Bulk,
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
    /// What the text was made of.
    pub template: Option<Used>,
    /// The text itself, for whoever may see it.
    pub text: Body,
    /// When it would leave at the earliest.
    pub leaves_at: Timestamp,
    /// Held back by quiet hours.
    pub is_held: bool,
    /// After when it would not be submitted any more.
    pub expires_at: Option<Timestamp>,
    /// The opt-out that would hold it back.
    pub opted_out: Option<OptedOut>,
    /// The limits that would refuse it now.
    pub reached: Vec<Reached>,
    /// Every route, best first; the first one that can be used is taken.
    pub routes: Vec<Route>,
}

impl SmsService {
    /// Says what would become of a message, or what is wrong with the request.
    pub async fn explain(
        &self,
        caller: &Caller,
        request: &SendRequest,
        way: Way,
    ) -> Result<Explanation, SendError> {
        let now = self.now();
        let lane = match way {
            Way::Alone => Scenario::priority,
            Way::Bulk => Scenario::bulk_priority,
        };
        // A request that can't be sent for want of a provider can be explained all the same.
        let checked = self.acceptor().check_one(caller, request, lane, now);
        let (letter, common) = checked.map_err(SendError::Invalid)?;
        let (receiver, text) = (letter.receiver, letter.text.clone());
        let plan = self.acceptor().plan(receiver, &request.content, &common);
        let routes = self.shared.router.rank(&common.traveler(&letter), now);
        let taken = routes.iter().find(|route| route.is_usable());
        let message = common.compose(letter, &request.content, &plan, None);
        let weight = Weight {
            client: request.content.client_ip,
            price: taken.and_then(|route| route.price),
            leaves_at: plan.leaves_at,
        };
        Ok(Explanation {
            receiver,
            scenario: common.scenario,
            priority: common.priority,
            encoding: text.encoding,
            characters: text.body.chars(),
            segments: text.segments,
            offenders: offenders(text.body.expose()),
            template: text.template,
            text: text.body,
            leaves_at: plan.leaves_at,
            is_held: plan.held_until.is_some(),
            expires_at: plan.expires_at,
            opted_out: self.opted_out(receiver, &common).await?,
            reached: self.reached(&message, &weight).await?,
            routes,
        })
    }

    /// The opt-out that would hold a message back.
    async fn opted_out(&self, receiver: Msisdn, common: &Common) -> Result<Option<OptedOut>, SendError> {
        let Some(question) = self.acceptor().question(common) else { return Ok(None) };
        Ok(self.shared.store.held_back(receiver, question).await?.map(OptedOut))
    }

    /// The limits that would refuse a message now.
    async fn reached(&self, message: &Message, weight: &Weight) -> Result<Vec<Reached>, SendError> {
        let (limits, now) = (&self.shared.limits, message.created_at);
        let draws = limits.draws(message, weight);
        if draws.is_empty() {
            return Ok(Vec::new());
        }
        let standing = self.shared.store.standing(draws.clone()).await?;
        let rules = limits.rules_for(message, weight.client);
        let reached = rules.zip(draws.iter().zip(standing)).filter_map(|(limit, (draw, kept))| {
            match draw.on(kept, now) {
                Drawn::Refused { again_at, .. } => {
                    Some(Reached { limit: Arc::clone(limit), again_in: again_at.since(now) })
                }
                Drawn::Granted { .. } => None,
            }
        });
        Ok(reached.collect())
    }
}

/// Each offending character where it is first.
pub(crate) fn offenders(text: &str) -> Vec<Offender> {
    let mut found: Vec<Offender> = Vec::new();
    for (position, character) in encoding::offenders(text) {
        if found.iter().all(|offender| offender.character != character) {
            found.push(Offender { character, position });
        }
    }
    found
}
