//! What the guard thinks of a checked request.

use super::{Prepared, Prospect, refusals};
use crate::guard::{Guard, Opinion};
use crate::request::{FieldProblem, SendError};
use domain::guard::Mode;
use store::port::messages::NewMessage;

/// A request that is refused, and what the guard counted of it.
pub(crate) struct Refused {
    pub(crate) why: SendError,
    pub(crate) opinions: Vec<Opinion>,
}

impl From<SendError> for Refused {
    fn from(why: SendError) -> Self {
        Self { why, opinions: Vec::new() }
    }
}

impl Prepared {
    /// Asks the guard about every message. Those that it refuses are left out; if none is left, so is the request.
    pub(crate) fn judged(mut self, guard: &Guard) -> Result<Self, Refused> {
        if !guard.watches(self.common.scenario) {
            return Ok(self);
        }
        let judge = |new: &NewMessage| guard.judge(&new.message, new.verification.is_some(), self.common.now);
        self.opinions = self.messages.iter().map(judge).collect();
        if guard.mode() != Mode::Enforce {
            return Ok(self);
        }
        let mut first = None;
        for opinion in &self.opinions {
            let Some(decision) = opinion.decision else { continue };
            first = first.or(Some(decision));
            self.messages.retain(|new| new.message.id != opinion.message);
            for verdict in &mut self.verdicts {
                if matches!(verdict, Prospect::Accepted(id, _) if *id == opinion.message) {
                    *verdict = Prospect::Rejected(FieldProblem::GuardRefused { decision });
                }
            }
        }
        match first {
            Some(decision) if self.messages.is_empty() => {
                let is_bulk = self.bulk_id.is_some();
                let why = if is_bulk {
                    SendError::Invalid(refusals(self.verdicts))
                } else {
                    SendError::GuardRefused { decision }
                };
                Err(Refused { why, opinions: self.opinions })
            }
            _ => Ok(self),
        }
    }

    /// The refusal of all of it, where some of it is refused.
    pub(crate) fn into_refusal(self) -> SendError {
        SendError::Invalid(refusals(self.verdicts))
    }

    /// What the guard has counted of it.
    pub(crate) fn take_opinions(&mut self) -> Vec<Opinion> {
        std::mem::take(&mut self.opinions)
    }
}
