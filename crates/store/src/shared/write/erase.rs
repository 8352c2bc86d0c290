//! Texts that do not stay, and people who want to be forgotten.

use domain::audit::{Act, Event, NewEntry};
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::phone::Msisdn;

use super::super::read::{NEWEST_HOUR, OLDEST_HOUR};
use super::super::row::word;
use super::super::sql::{Row, Statements, get, params};
use super::prompts;
use crate::StoreError;
use crate::group::ServedTexts;
use crate::port::sealing::ForgottenReceiver;

/// Asked when it is done: somebody may have asked to send it again since it was looked for.
pub(in super::super) const IS_NEEDED: &str =
    "SELECT 1 FROM states WHERE message_id = ?1 AND status IN ('queued', 'scheduled', 'sending')";

const ERASE: &str = "UPDATE messages SET sealed_body = NULL WHERE id = ?1";

pub(in super::super) const ERASE_LATER: &str =
    "INSERT INTO erasable (message_id) VALUES (?1) ON CONFLICT DO NOTHING";

const IS_ERASED: &str = "DELETE FROM erasable WHERE message_id = ?1";

const ERASE_INBOUND: &str = "UPDATE inbound SET sealed_text = NULL, sealed_raw = NULL WHERE id = ?1";

const SET_MARK: &str = "INSERT INTO progress (chore, mark) VALUES ('erase', ?1) \
     ON CONFLICT (chore) DO UPDATE SET mark = excluded.mark";

pub(in super::super) fn texts(
    statements: &mut Statements<'_>,
    served: &ServedTexts,
) -> Result<(), StoreError> {
    let is_needed = |statements: &mut Statements<'_>, id: &[u8; 16]| {
        statements.first(IS_NEEDED, params![id], |_row| Ok(())).map(|found| found.is_some())
    };
    for id in &served.codes {
        if !is_needed(statements, id)? {
            statements.execute(ERASE, params![id])?;
            statements.execute(IS_ERASED, params![id])?;
        }
    }
    for id in &served.texts {
        let later = is_needed(statements, id)?;
        statements.execute(if later { ERASE_LATER } else { ERASE }, params![id])?;
    }
    for id in &served.later {
        statements.execute(ERASE_LATER, params![id])?;
    }
    inbound(statements, &served.inbound)?;
    match served.mark {
        Some(mark) => statements.execute(SET_MARK, params![mark.to_vec()]).map(|_set| ()),
        None => Ok(()),
    }
}

/// Of phones: there is nothing that a text could still be needed for.
pub(in super::super) fn inbound(statements: &mut Statements<'_>, ids: &[[u8; 16]]) -> Result<(), StoreError> {
    for id in ids {
        statements.execute(ERASE_INBOUND, params![id])?;
    }
    Ok(())
}

/// The messages to a number that were accepted in an hour.
pub(in super::super) const OF_RECEIVER: &str = "SELECT m.id, s.status FROM messages m \
     JOIN states s ON s.message_id = m.id WHERE m.created_at / 3600000000 = ?1 AND m.receiver_hash = ?2";

const PARKED: &str = "DELETE FROM callbacks WHERE message_id IS NULL AND receiver_hash = ?1";

const FROM_PHONE: &str = "DELETE FROM inbound WHERE from_hash = ?1";

/// An opt-out must go on, or the person would hear from us again: it needs no number, only its hash. What a caller noted may
/// say who it was.
const NUMBER_OF_CONSENT: &str = "UPDATE consents SET sealed_number = NULL, inbound_id = NULL, \
     detail = CASE WHEN source = 'api' THEN NULL ELSE detail END WHERE number_hash = ?1";

/// What ended long ago needs no evidence any more.
const PAST_CONSENT: &str = "DELETE FROM consents WHERE number_hash = ?1 \
     AND id NOT IN (SELECT consent_id FROM opt_outs WHERE number_hash = ?1)";

/// Nothing tells of a message that is gone.
const OF_A_MESSAGE: [&str; 8] = [
    "DELETE FROM verifications WHERE message_id = ?1",
    "DELETE FROM erasable WHERE message_id = ?1",
    "DELETE FROM watches WHERE message_id = ?1",
    "DELETE FROM callbacks WHERE message_id = ?1",
    "DELETE FROM attempts WHERE message_id = ?1",
    "DELETE FROM rounds WHERE message_id = ?1",
    "DELETE FROM states WHERE message_id = ?1",
    "DELETE FROM messages WHERE id = ?1",
];

pub(super) fn receiver(
    statements: &mut Statements<'_>,
    receiver: Msisdn,
    act: &Act,
) -> Result<ForgottenReceiver, StoreError> {
    let vault = statements.vault();
    let hash = vault.blind(receiver);
    let mut forgotten = ForgottenReceiver::default();
    let mut bound = |sql| statements.first(sql, params![], |row| get::<Option<i64>>(row, 0));
    let (oldest, newest) = (bound(OLDEST_HOUR)?.flatten(), bound(NEWEST_HOUR)?.flatten());
    for hour in oldest.unwrap_or(0)..=newest.unwrap_or(-1) {
        let read = |row: &Row<'_>| Ok((MessageId::from_bytes(get(row, 0)?), word::<MessageStatus>(row, 1)?));
        for (id, status) in statements.collect(OF_RECEIVER, params![hour, hash], read)? {
            if !status.is_submitted_or_final() {
                forgotten.waiting.push(id);
                continue;
            }
            for sql in OF_A_MESSAGE {
                statements.execute(sql, params![id.as_bytes()])?;
            }
            forgotten.messages += 1;
        }
    }
    forgotten.callbacks = statements.execute(PARKED, params![hash])? as u64;
    forgotten.inbound = statements.execute(FROM_PHONE, params![hash])? as u64;
    statements.execute(PAST_CONSENT, params![hash])?;
    statements.execute(NUMBER_OF_CONSENT, params![hash])?;
    prompts::forget::forget_receiver(statements, hash)?;
    let how_many = format!("{} messages", forgotten.messages);
    let told = NewEntry::of_act(act, Event::ReceiverForgotten, how_many);
    statements.tell(NewEntry { receiver: Some(hash), ..told });
    Ok(forgotten)
}
