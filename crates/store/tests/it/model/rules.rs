//! A message as the model has it, and what the store promises of it.

use domain::attempt::OutcomeKind;
use domain::message::{MessageStatus, StatusEvent};
use domain::receipt::ReceiptStatus;
use domain::time::Timestamp;

/// The providers that messages go by.
pub(super) const PROVIDERS: [&str; 2] = ["twilio", "africastalking"];

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Model {
    /// Its number, which names its provider's ids.
    pub(super) n: u64,
    /// Whom it goes to.
    pub(super) receiver: u64,
    pub(super) status: MessageStatus,
    /// When the status last moved.
    pub(super) updated_at: Timestamp,
    /// The route in force.
    pub(super) route: usize,
    /// When it is due and when its time runs out, while it waits.
    pub(super) waits: Option<Waits>,
    pub(super) attempts: Vec<ModelAttempt>,
    /// The number of the attempt with which the round began.
    pub(super) round: usize,
    pub(super) resends: u32,
    /// What receipts that were matched called it: the provider, its id, and the attempt that it was about.
    pub(super) told: Vec<(usize, String, Option<usize>)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) provider: usize,
    pub(super) due_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(super) struct ModelAttempt {
    pub(super) provider: usize,
    pub(super) node: u64,
    pub(super) lease_until: Timestamp,
    pub(super) started_at: Timestamp,
    pub(super) ended: Option<OutcomeKind>,
    /// The provider's id, once it is known.
    pub(super) id: Option<String>,
    /// The provider has it, whatever we know: a receipt said so.
    pub(super) has_left: bool,
}

impl ModelAttempt {
    /// Nobody knows whether the provider has it.
    pub(super) fn is_unclear(&self) -> bool {
        matches!(self.ended, None | Some(OutcomeKind::Ambiguous))
    }
}

/// A receipt that waits for its message.
#[derive(Debug, Clone)]
pub(super) struct Parked {
    pub(super) provider: usize,
    pub(super) id: String,
    pub(super) receiver: u64,
    pub(super) status: Option<ReceiptStatus>,
    pub(super) received_at: Timestamp,
}

fn is_negative(status: Option<ReceiptStatus>) -> bool {
    matches!(status, Some(ReceiptStatus::Failed | ReceiptStatus::Undelivered))
}

impl Model {
    /// What the provider calls the message in an attempt.
    pub(super) fn provider_id(&self, attempt: usize) -> String {
        format!("P{}-{attempt}", self.n)
    }

    pub(super) fn last(&self) -> Option<&ModelAttempt> {
        self.attempts.last()
    }

    pub(super) fn has_open(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.ended.is_none())
    }

    /// Sending, and nobody knows how its last attempt ended.
    pub(super) fn is_in_doubt(&self) -> bool {
        let last = self.last().and_then(|attempt| attempt.ended);
        self.status == MessageStatus::Sending && last == Some(OutcomeKind::Ambiguous)
    }

    /// Waits for its turn, and has not been settled by a receipt meanwhile.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.status, MessageStatus::Scheduled | MessageStatus::Queued)
    }

    pub(super) fn after(&mut self, event: StatusEvent, route: Option<usize>, now: Timestamp) {
        let to = self.status.after(event);
        if to != self.status {
            self.updated_at = now;
            self.route = route.unwrap_or(self.route);
        }
        self.status = to;
    }

    /// The attempt that a receipt is about which names none.
    pub(super) fn meant(&self, provider: usize, id: &str) -> Option<usize> {
        let of_provider = || (1..).zip(&self.attempts).filter(|(_, attempt)| attempt.provider == provider);
        if let Some((number, _)) = of_provider().find(|(_, attempt)| attempt.id.as_deref() == Some(id)) {
            return Some(number);
        }
        let unclear: Vec<_> = of_provider().filter(|(_, attempt)| attempt.is_unclear()).collect();
        if let [(only, _)] = unclear[..] { Some(only) } else { None }
    }

    /// What a receipt does that is about this message.
    pub(super) fn after_receipt(
        &mut self,
        provider: usize,
        id: &str,
        attempt: Option<usize>,
        status: Option<ReceiptStatus>,
        parked: &mut Vec<Parked>,
        now: Timestamp,
    ) {
        self.told.push((provider, id.into(), attempt));
        if let Some(number) = attempt
            && let Some(about) = self.attempts.get(number - 1)
            && (about.ended, about.provider) == (Some(OutcomeKind::Ambiguous), provider)
        {
            self.settle(number, id, is_negative(status), parked, now);
        }
        self.apply(attempt, status, now);
    }

    /// What a receipt says counts for the message by the attempt that it is about. A word that nobody knows changes
    /// nothing.
    fn apply(&mut self, attempt: Option<usize>, status: Option<ReceiptStatus>, now: Timestamp) {
        let Some(status) = status else { return };
        let counts = match (attempt, status) {
            (None, _) | (_, ReceiptStatus::Delivered) => true,
            (Some(attempt), ReceiptStatus::Sent) => attempt >= self.round,
            (Some(attempt), _) => attempt >= self.round && attempt == self.attempts.len(),
        };
        if counts {
            self.after(status.event(), None, now);
        }
    }

    /// An ambiguous attempt of which the provider told its id.
    pub(super) fn settle(
        &mut self,
        number: usize,
        id: &str,
        has_failed: bool,
        parked: &mut Vec<Parked>,
        now: Timestamp,
    ) {
        let provider = self.attempts[number - 1].provider;
        self.attempts[number - 1].ended = Some(OutcomeKind::Accepted);
        self.attempts[number - 1].id = Some(id.into());
        if !has_failed && number >= self.round {
            self.after(StatusEvent::Accepted, Some(provider), now);
        }
        self.match_parked(number, parked);
    }

    /// Applies what came before the id of an attempt was known.
    pub(super) fn match_parked(&mut self, number: usize, parked: &mut Vec<Parked>) {
        let attempt = &self.attempts[number - 1];
        let (provider, id, receiver) = (attempt.provider, attempt.id.clone().unwrap(), self.receiver);
        let is_ours =
            |parked: &mut Parked| (parked.provider, &parked.id, parked.receiver) == (provider, &id, receiver);
        for receipt in parked.extract_if(.., is_ours).collect::<Vec<_>>() {
            self.told.push((provider, receipt.id, Some(number)));
            self.apply(Some(number), receipt.status, receipt.received_at);
        }
    }

    /// An attempt that has become ambiguous, settled by what a receipt called it while it was open.
    pub(super) fn adopt_told(&mut self, number: usize, parked: &mut Vec<Parked>, now: Timestamp) -> bool {
        let provider = self.attempts[number - 1].provider;
        let told = || self.told.iter().rev().filter(|(by, _, _)| *by == provider);
        let named = told().find(|(_, _, attempt)| *attempt == Some(number));
        let is_last = number == self.attempts.len();
        let is_known = |id: &str| self.attempts.iter().any(|attempt| attempt.id.as_deref() == Some(id));
        let unnamed = told().find(|(_, id, attempt)| attempt.is_none() && is_last && !is_known(id));
        let Some((_, id, _)) = named.or(unnamed) else { return false };
        let id = id.clone();
        self.settle(number, &id, false, parked, now);
        true
    }
}
