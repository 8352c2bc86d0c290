//! What receivers of a batch do not want: one question for all of them, with those about quotas on the way.

use std::collections::HashMap;

use crate::StoreError;
use crate::port::consent::{HeldBack, OptedOut};
use crate::port::messages::{Accept, Accepted, NewMessage};
use crate::postgres::people::{self, OPT_OUTS};
use crate::postgres::sql::{Statements, column, params};
use crate::postgres::write::consent::first;
use crate::seal::Vault;

/// Opt-outs by the hashes of numbers.
#[derive(Default)]
pub(super) struct OptOuts(HashMap<i64, Vec<HeldBack>>);

/// Asks about the receivers of these messages; answers whether there was anything to ask.
pub(super) fn ask(statements: &mut Statements<'_>, accepts: &[&Accept]) -> Result<bool, StoreError> {
    let vault = statements.vault();
    let messages = accepts.iter().flat_map(|accept| &accept.messages);
    let asked = messages.filter(|new| new.consent.is_some());
    let mut hashes: Vec<i64> = asked.map(|new| vault.blind(new.message.receiver)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.is_empty() {
        return Ok(false);
    }
    statements.ask_early(OPT_OUTS, params![column(hashes)])?;
    Ok(true)
}

/// What was asked for.
pub(super) fn answer(statements: &mut Statements<'_>) -> Result<OptOuts, StoreError> {
    people::answered(statements).map(OptOuts)
}

impl OptOuts {
    /// The answer to a request of which something is held back.
    pub(super) fn hold_back(&self, vault: &Vault, messages: &[NewMessage]) -> Option<Accepted> {
        if self.0.is_empty() {
            return None;
        }
        let held_back = messages.iter().filter_map(|new| {
            let found = self.0.get(&vault.blind(new.message.receiver))?;
            let by = first(found.clone(), new.consent.as_ref()?)?;
            Some(OptedOut { message_id: new.message.id, by })
        });
        let held_back: Vec<_> = held_back.collect();
        (!held_back.is_empty()).then_some(Accepted::OptedOut(held_back))
    }
}
