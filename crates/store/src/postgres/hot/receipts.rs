//! Receipts that name our message and attempt, and say that the provider has it or the phone.

use std::collections::{BTreeMap, HashMap};

use domain::audit::{Actor, Event, NewEntry};
use domain::ids::MessageId;
use domain::receipt::{Receipt, ReceiptStatus};
use domain::time::Timestamp;

use super::{Standing, ids};
use crate::StoreError;
use crate::group::Pending;
use crate::port::receipts::{NewReceipt, ReceiptFate};
use crate::postgres::read::{HOUR, first_id};
use crate::postgres::sql::{Statements, column, get, params};
use crate::seal::{CallbackRow, Vault};

/// What is known of the messages and attempts that receipts name: the receiver, whether the message was sent again, and
/// the provider of an attempt of which nobody knows how it ended.
const TARGETS: &str = "SELECT m.id, w.number, m.receiver_hash, r.message_id IS NOT NULL, \
     CASE WHEN a.outcome = 'ambiguous' THEN a.provider END \
     FROM UNNEST($1::uuid[], $2::int4[]) AS w (id, number) JOIN messages m ON m.id = w.id \
     LEFT JOIN attempts a ON a.message_id = w.id AND a.number = w.number \
     LEFT JOIN rounds r ON r.message_id = w.id";

/// The attempts that a provider took under these ids, of messages to these receivers that were accepted within some hours:
/// as `write::receipts::FIND` finds them, for many at once.
const RECENT: &str = "SELECT w.place, m.id, a.number \
     FROM UNNEST($1::int8[], $2::text[], $3::text[]) WITH ORDINALITY AS w (receiver, theirs, provider, place), \
     generate_series($4::int8, $5::int8) AS h (hour), messages m, attempts a \
     WHERE m.created_at / 3600000000 = h.hour AND m.receiver_hash = w.receiver AND m.id BETWEEN $6 AND $7 \
     AND a.message_id = m.id AND a.message_id BETWEEN $6 AND $7 \
     AND a.provider = w.provider AND a.provider_message_id = w.theirs";

/// How many hours back most messages are found of which a receipt comes.
const HOURS_BACK: i64 = 1;

const KEEP: &str = "INSERT INTO callbacks (received_at, provider, provider_message_id, receiver_hash, message_id, \
     provider_status, status, reason, provider_code, network_code, sealed_raw, attempt) \
     SELECT * FROM UNNEST($1::int8[], $2::text[], $3::text[], $4::int8[], $5::uuid[], $6::text[], $7::text[], \
     $8::text[], $9::text[], $10::text[], $11::bytea[], $12::int4[])";

const MOVE: &str = "UPDATE states s SET status = e.status, reason = e.reason, provider_code = e.provider_code, \
     updated_at = e.updated_at \
     FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int8[]) \
     AS e (message_id, status, reason, provider_code, updated_at) \
     WHERE s.message_id = e.message_id";

/// Message and attempt of a receipt that may be plain.
fn names(new: &NewReceipt) -> Option<(MessageId, u16)> {
    let is_good = matches!(new.receipt.status, None | Some(ReceiptStatus::Sent | ReceiptStatus::Delivered));
    new.receipt.message_id.zip(new.receipt.attempt).filter(|_| is_good)
}

/// Names the messages that receipts are about which tell only the receiver and the provider's id. Those that are not found
/// among the messages of the last hours are left as they are.
pub(super) fn name(
    statements: &mut Statements<'_>,
    pendings: &mut [Pending<Vec<NewReceipt>, Vec<ReceiptFate>>],
) -> Result<(), StoreError> {
    let vault = statements.vault();
    let receipts = pendings.iter_mut().flat_map(|pending| &mut pending.question).map(|new| &mut new.receipt);
    let mut nameless: Vec<(i64, &mut Receipt)> = receipts
        .filter(|receipt| receipt.message_id.is_none())
        .filter_map(|receipt| receipt.receiver.map(|receiver| (vault.blind(receiver), receipt)))
        .collect();
    let hours = || nameless.iter().map(|(_, receipt)| receipt.received_at.as_micros() / HOUR);
    let (Some(first), Some(last)) = (hours().min(), hours().max()) else { return Ok(()) };
    // The hour to come too, in case a clock was set back.
    let (first, last) = (first - HOURS_BACK, last + 1);
    let begins = |hour: i64| first_id(Timestamp::from_micros(hour * HOUR));
    let values = params![
        column(nameless.iter().map(|(receiver, _)| *receiver)),
        column(nameless.iter().map(|(_, receipt)| receipt.provider_message_id.as_str())),
        column(nameless.iter().map(|(_, receipt)| receipt.provider.as_str())),
        first,
        last,
        begins(first),
        begins(last + 1),
    ];
    let found = statements.collect(RECENT, values, |row| {
        Ok((get::<usize>(row, 0)?, MessageId::from_bytes(get(row, 1)?), get::<u16>(row, 2)?))
    })?;
    for (place, message_id, attempt) in found {
        if let Some((_, receipt)) = place.checked_sub(1).and_then(|place| nameless.get_mut(place)) {
            receipt.message_id = Some(message_id);
            receipt.attempt = Some(attempt);
        }
    }
    Ok(())
}

struct Target {
    receiver: i64,
    was_sent_again: bool,
    in_doubt_with: Option<String>,
}

impl Target {
    fn fits(&self, vault: &Vault, receipt: &Receipt) -> bool {
        let is_receiver = receipt.receiver.is_none_or(|named| vault.blind(named) == self.receiver);
        is_receiver
            && !self.was_sent_again
            && self.in_doubt_with.as_deref() != Some(receipt.provider.as_str())
    }
}

pub(super) fn run(
    statements: &mut Statements<'_>,
    standing: &mut Standing,
    pendings: &mut [Pending<Vec<NewReceipt>, Vec<ReceiptFate>>],
) -> Result<(), StoreError> {
    let (vault, targets) = (statements.vault(), targets(statements, pendings)?);
    let is_plain = |new: &NewReceipt| {
        names(new).is_some_and(|names| {
            standing.contains_key(&names.0)
                && targets.get(&names).is_some_and(|it| it.fits(&vault, &new.receipt))
        })
    };
    let plain: Vec<usize> = (0..pendings.len())
        .filter(|at| !pendings[*at].question.is_empty() && pendings[*at].question.iter().all(is_plain))
        .collect();
    if plain.is_empty() {
        return Ok(());
    }
    let mut moved: BTreeMap<MessageId, Receipt> = BTreeMap::new();
    for at in &plain {
        let pending = &mut pendings[*at];
        let fates = pending.question.iter().map(|new| {
            let fate = fate(&new.receipt, standing, &mut moved)?;
            let receiver = names(new).and_then(|names| targets.get(&names)).map(|target| target.receiver);
            statements.tell(entry(&new.receipt, fate, receiver));
            Some(fate)
        });
        pending.answer = fates.collect();
    }
    keep(statements, &plain.iter().flat_map(|at| &pendings[*at].question).collect::<Vec<_>>())?;
    if moved.is_empty() {
        return Ok(());
    }
    let failures = || moved.values().map(|receipt| receipt.failure.as_ref());
    let values = params![
        ids(moved.keys()),
        column(moved.keys().map(|id| standing.get(id).map(|status| status.as_str()))),
        column(failures().map(|failure| failure.map(|failure| failure.reason.as_str()))),
        column(failures().map(|failure| failure.and_then(|failure| failure.provider_code.clone()))),
        column(moved.values().map(|receipt| receipt.received_at.as_micros())),
    ];
    statements.execute(MOVE, values).map(|_moved| ())
}

fn targets(
    statements: &mut Statements<'_>,
    pendings: &[Pending<Vec<NewReceipt>, Vec<ReceiptFate>>],
) -> Result<HashMap<(MessageId, u16), Target>, StoreError> {
    let wanted: Vec<_> = pendings.iter().flat_map(|pending| &pending.question).filter_map(names).collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let values =
        params![ids(wanted.iter().map(|(id, _)| id)), column(wanted.iter().map(|(_, attempt)| *attempt)),];
    let targets = statements.collect(TARGETS, values, |row| {
        let target =
            Target { receiver: get(row, 2)?, was_sent_again: get(row, 3)?, in_doubt_with: get(row, 4)? };
        Ok(((MessageId::from_bytes(get(row, 0)?), get::<u16>(row, 1)?), target))
    })?;
    Ok(targets.into_iter().collect())
}

/// Moves a message in memory by what a receipt says.
fn fate(
    receipt: &Receipt,
    standing: &mut Standing,
    moved: &mut BTreeMap<MessageId, Receipt>,
) -> Option<ReceiptFate> {
    let message_id = receipt.message_id?;
    let stands = standing.get_mut(&message_id)?;
    let from = *stands;
    // A word that we don't know is kept and changes nothing.
    let to = receipt.status.map_or(from, |status| from.after(status.event()));
    if to != from {
        *stands = to;
        moved.insert(message_id, receipt.clone());
    }
    Some(ReceiptFate::Matched { message_id, from, to })
}

/// What the audit trail is told of a receipt that moved its message.
fn entry(receipt: &Receipt, fate: ReceiptFate, receiver: Option<i64>) -> Option<NewEntry> {
    let ReceiptFate::Matched { message_id, from, to } = fate else { return None };
    let event =
        receipt.status.filter(|_| from != to).and_then(|status| Event::of_move(status.event(), to))?;
    let by = Actor::Provider(receipt.provider.clone());
    Some(NewEntry {
        message_id: Some(message_id),
        receiver,
        provider: Some(receipt.provider.clone()),
        outcome: receipt.failure.as_ref().map(|failure| failure.reason.as_str()),
        ..NewEntry::new(receipt.received_at, by, event)
    })
}

fn keep(statements: &mut Statements<'_>, new: &[&NewReceipt]) -> Result<(), StoreError> {
    let receipts = || new.iter().map(|new| &new.receipt);
    let failures = || receipts().map(|receipt| receipt.failure.as_ref());
    let vault = statements.vault();
    let sealed = new.iter().map(|new| vault.seal_callback(&CallbackRow::from(&new.receipt), &new.raw));
    let sealed = sealed.collect::<Result<Vec<_>, _>>()?;
    let values = params![
        column(receipts().map(|receipt| receipt.received_at.as_micros())),
        column(receipts().map(|receipt| receipt.provider.as_str())),
        column(receipts().map(|receipt| receipt.provider_message_id.as_str())),
        column(receipts().map(|receipt| receipt.receiver.map(|receiver| vault.blind(receiver)))),
        column(receipts().map(|receipt| receipt.message_id.map(|id| *id.as_bytes()))),
        column(receipts().map(|receipt| receipt.provider_status.as_str())),
        column(receipts().map(|receipt| receipt.status.map(ReceiptStatus::as_str))),
        column(failures().map(|failure| failure.map(|failure| failure.reason.as_str()))),
        column(failures().map(|failure| failure.and_then(|failure| failure.provider_code.clone()))),
        column(receipts().map(|receipt| receipt.network_code.clone())),
        column(sealed),
        column(receipts().map(|receipt| receipt.attempt)),
    ];
    statements.execute(KEEP, values).map(|_rows| ())
}
