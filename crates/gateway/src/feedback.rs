//! What callers say of their messages afterwards, and what the guard decided about them.

use std::time::Duration;

use domain::audit::Actor;
use domain::message::Message;
use store::StoreError;
use store::port::guard::{Decision, DecisionFilter, Feedback, FeedbackOutcome};

use crate::service::SmsService;

/// How long after it was accepted a code counts that is said to be verified: later it tells nothing of today.
pub(crate) const COUNTS_FOR: Duration = Duration::from_hours(24);

impl SmsService {
    /// The receiver of a message has shown that it arrived, such as by typing in the code. Said twice, it counts once.
    pub async fn confirm(&self, message: &Message, by: Actor) -> Result<(), StoreError> {
        let (shared, now) = (&self.shared, self.now());
        let feedback = Feedback { message_id: message.id, outcome: FeedbackOutcome::Confirmed, by, now };
        let is_new = shared.store.keep_feedback(feedback).await?;
        let is_recent = now.since(message.created_at) <= COUNTS_FOR;
        if is_new && is_recent && shared.guard.watches(message.scenario) {
            shared.guard.verified(message, now);
        }
        Ok(())
    }

    /// What the guard found suspicious, newest first.
    pub async fn guard_decisions(&self, filter: DecisionFilter) -> Result<Vec<Decision>, StoreError> {
        self.shared.store.guard_decisions(filter).await
    }
}
