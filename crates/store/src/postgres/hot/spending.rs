//! Reservations of all messages that gathered, and what they came to.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::MessageId;
use domain::quota::Allowance;

use crate::StoreError;
use crate::group::Pending;
use crate::port::messages::NewMessage;
use crate::port::spending::{Charge, ReservationId};
use crate::postgres::sql::{Statements, column, get, params};

const RESERVE: &str = "INSERT INTO reservations (message_id, quota, amount, after_attempt) \
     SELECT e.message_id, e.quota, e.amount, 0 FROM UNNEST($1::uuid[], $2::int8[], $3::int8[]) \
     AS e (message_id, quota, amount)";

/// Only as they were read: a message may have been sent again meanwhile.
const RELEASE: &str = "DELETE FROM reservations r USING UNNEST($1::uuid[], $2::int8[], $3::int8[]) \
     AS e (message_id, quota, amount) WHERE r.message_id = e.message_id AND r.quota = e.quota \
     AND r.amount = e.amount RETURNING r.message_id, r.quota";

/// A quota that has ended takes nothing more.
const ADJUST: &str = "UPDATE quotas q SET value = q.value + e.difference \
     FROM UNNEST($1::int8[], $2::int8[]) AS e (quota, difference) WHERE q.quota = e.quota AND q.ends_at > $3";

/// Reserves what messages have drawn of caps. What they drew of rates is gone.
pub(super) fn reserve(statements: &mut Statements<'_>, messages: &[&NewMessage]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for new in messages {
        let caps = new.draws.iter().filter(|draw| matches!(draw.allowance, Allowance::Cap { .. }));
        rows.extend(caps.map(|draw| (new.message.id, draw.quota, draw.amount.cast_signed())));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let values = params![
        column(rows.iter().map(|(id, ..)| id.as_bytes())),
        column(rows.iter().map(|(_, quota, _)| *quota)),
        column(rows.iter().map(|(.., amount)| *amount)),
    ];
    statements.send(RESERVE, values)
}

/// The quotas that change when these are settled.
pub(super) fn quotas(pendings: &[Pending<Vec<Charge>, u64>]) -> BTreeSet<i64> {
    pendings.iter().flat_map(|pending| &pending.question).map(|charge| charge.id.quota).collect()
}

/// Their quotas are locked.
pub(super) fn settle(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<Vec<Charge>, u64>],
) -> Result<(), StoreError> {
    for pending in pendings {
        let charges = &pending.question;
        let values = params![
            column(charges.iter().map(|charge| charge.id.message_id.as_bytes())),
            column(charges.iter().map(|charge| charge.id.quota)),
            column(charges.iter().map(|charge| charge.reserved)),
        ];
        let released: BTreeSet<ReservationId> = statements
            .collect(RELEASE, values, |row| {
                let message_id = MessageId::from_bytes(get(row, 0)?);
                Ok(ReservationId { message_id, quota: get(row, 1)? })
            })?
            .into_iter()
            .collect();
        let mut differences: BTreeMap<i64, i64> = BTreeMap::new();
        for charge in charges.iter().filter(|charge| released.contains(&charge.id)) {
            *differences.entry(charge.id.quota).or_default() +=
                charge.charged.saturating_sub(charge.reserved);
        }
        differences.retain(|_, difference| *difference != 0);
        if let (Some(now), false) = (charges.iter().map(|charge| charge.now).max(), differences.is_empty()) {
            let values = params![
                column(differences.keys().copied()),
                column(differences.values().copied()),
                now.as_micros()
            ];
            statements.send(ADJUST, values)?;
        }
        pending.answer = Some(released.len() as u64);
    }
    Ok(())
}
