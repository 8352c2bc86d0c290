//! What the gateway answers to messages from phones of its own accord: confirmations of keywords, and what is said to replies
//! to prompts.
//!
//! Each is paid for, and whoever writes decides how many are asked for: a machine that answers STOP to everything that it
//! gets, a script that sends HELP from numbers whose network pays for what is sent there. So nothing is answered to countries
//! that no message may go to; a confirmation is not said again within a while; a number gets so many answers and no more; and
//! each counts for limits and caps like a message that a caller sends. Only whoever has really opted out is told so in any
//! case, once.
//!
//! An answer is written within the commit that stores what it answers, when it is known what became of that. So both are on
//! disk, or neither is.

mod texts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::civil::QuietHours;
use domain::consent::{Class, Question};
use domain::content::ContentRules;
use domain::encoding::{self, MAX_SEGMENTS};
use domain::ids::{InboundId, KeyId};
use domain::inbound::Handling;
use domain::message::Message;
use domain::phone::{Msisdn, SenderId};
use domain::quota::{Allowance, Draw};
use domain::route::ProviderName;
use domain::scenario::Scenario;
use domain::secret::Body;
use domain::time::Timestamp;
use store::port::inbound::{Answers, Became, Reply};
use store::port::messages::NewMessage;

use self::texts::Texts;
use crate::fresh;
use crate::limits::{Limits, Weight};
use crate::listening::AnswerBounds;
use crate::settings::Settings;

/// Who confirms keywords: no caller.
pub const GATEWAY: KeyId = KeyId::from_bytes([0; 16]);

const SCENARIO: Scenario = Scenario::General;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// All that answers are made of. It is used within a commit, and so has no store.
pub(crate) struct AnswerBook {
    limits: Arc<Limits>,
    texts: Texts,
    bounds: AnswerBounds,
    content: ContentRules,
    quiet_hours: Arc<QuietHours>,
    expires_after: Option<Duration>,
    default_senders: Arc<[SenderId]>,
}

impl fmt::Debug for AnswerBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnswerBook").field(&self.bounds).finish()
    }
}

impl AnswerBook {
    pub(crate) fn new(
        settings: &Settings,
        limits: &Arc<Limits>,
        default_senders: &Arc<[SenderId]>,
    ) -> Arc<Self> {
        Arc::new(Self {
            limits: Arc::clone(limits),
            texts: Texts::new(settings),
            bounds: settings.inbound.bounds,
            content: settings.content.clone(),
            quiet_hours: Arc::clone(&settings.quiet_hours),
            expires_after: settings.policy(SCENARIO).expires_after,
            default_senders: Arc::clone(default_senders),
        })
    }

    /// The text that confirms what became of a keyword, if there is one.
    pub(crate) fn confirmation(&self, handling: Handling) -> Option<Body> {
        self.texts.confirmation(handling)
    }
}

/// Whoever wrote, as far as they can be answered.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) book: Arc<AnswerBook>,
    /// The message from the phone.
    pub(crate) id: InboundId,
    pub(crate) from: Msisdn,
    /// What was written to.
    pub(crate) to: String,
    /// The same, if messages can be sent from there.
    pub(crate) sender: Option<SenderId>,
    /// Who brought it: by the same way goes the answer.
    pub(crate) provider: ProviderName,
    /// The provider took it for a keyword, and has confirmed that itself.
    pub(crate) is_confirmed: bool,
    /// The provider takes confirmations in the answer to its callback.
    pub(crate) carries: bool,
    pub(crate) received_at: Timestamp,
}

impl Answers for Writer {
    fn to(&self, became: &Became<'_>) -> Option<Reply> {
        match became.fate {
            None if self.is_confirmed => None,
            None => self.confirm(became),
            Some(fate) => {
                let (whose, text) = self.book.texts.to_reply(fate)?;
                self.answer(whose, &text)
            }
        }
    }
}

impl Writer {
    fn confirm(&self, became: &Became<'_>) -> Option<Reply> {
        let text = self.book.confirmation(became.handling)?;
        let message = self.message(GATEWAY, text.expose(), None)?;
        let pause = self.pause(became.handling);
        let bounds = self.bounds(&message);
        let both = [std::slice::from_ref(&pause), &bounds].concat();
        let draws = match (became.handling, became.has_changed) {
            // Whoever has opted out is told so, whatever is used up; if it was told a while ago, as far as there is room.
            (Handling::OptedOut, true) => vec![both, vec![pause], bounds],
            (_, true) => vec![both, bounds],
            (_, false) => vec![both],
        };
        let message = NewMessage { consent: None, held_until: None, ..message };
        Some(Reply { message: Box::new(message), draws, is_carried: self.carries })
    }

    /// Says something to somebody who replied to a prompt, in the name of whoever opened that.
    fn answer(&self, whose: KeyId, text: &str) -> Option<Reply> {
        if self.book.content.broken_by(text, SCENARIO).is_some() {
            return None;
        }
        let held_until = self.book.quiet_hours.ends(SCENARIO, self.from.country(), self.received_at);
        let message = self.message(whose, text, held_until)?;
        let draws = vec![self.bounds(&message)];
        Some(Reply { message: Box::new(message), draws, is_carried: false })
    }

    /// By the provider that brought the message, from what was written to: another one may not know that sender.
    fn message(&self, caller: KeyId, text: &str, held_until: Option<Timestamp>) -> Option<NewMessage> {
        let body = Body::new(encoding::to_nfc(text).as_ref());
        let measured = encoding::measure(body.expose());
        if measured.segments > MAX_SEGMENTS {
            return None;
        }
        let now = self.received_at;
        let priority = SCENARIO.priority();
        let class = Class::of(SCENARIO, priority);
        let consent = Question::of(class, self.sender.as_ref(), &self.book.default_senders);
        let message = Message {
            id: fresh::message_id(now),
            bulk_id: None,
            caller,
            receiver: self.from,
            sender: self.sender.clone(),
            scenario: SCENARIO,
            priority,
            body,
            encoding: measured.encoding,
            segments: u16::try_from(measured.segments).unwrap_or(u16::MAX),
            reference: Some(self.id.to_string()),
            group: None,
            metadata: std::collections::BTreeMap::new(),
            template: None,
            scheduled_at: None,
            expires_at: self.book.expires_after.map(|after| held_until.unwrap_or(now).plus(after)),
            created_at: now,
        };
        let (provider, draws) = (self.provider.clone(), Vec::new());
        Some(NewMessage { message, provider, held_until, draws, consent, verification: None })
    }

    /// One confirmation of a kind from one of our numbers.
    fn pause(&self, handling: Handling) -> Draw {
        let once = Allowance::Rate { limit: 1, period: self.book.bounds.confirm_again_after };
        self.book.limits.answer_to(self.from, &[handling.as_str(), &self.to], once)
    }

    /// What any answer draws: what a number gets, and what limits and caps say of a message like this.
    fn bounds(&self, message: &NewMessage) -> Vec<Draw> {
        let AnswerBounds { per_hour, per_day, .. } = self.book.bounds;
        let limits = &self.book.limits;
        let of_number = [(per_hour, "hour", HOUR), (per_day, "day", DAY)].map(|(limit, name, period)| {
            limits.answer_to(self.from, &[name], Allowance::Rate { limit, period })
        });
        let weight = Weight {
            client: None,
            price: limits.tariff().price(&self.provider, &message.message),
            leaves_at: message.held_until.unwrap_or(self.received_at),
        };
        of_number.into_iter().chain(limits.draws(&message.message, &weight)).collect()
    }
}
