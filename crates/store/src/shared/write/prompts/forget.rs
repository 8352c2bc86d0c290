//! What of prompts is not kept for ever.

use super::super::super::read::first_id;
use super::super::super::sql::{Statements, params};
use crate::StoreError;
use crate::port::prompts::ForgetPrompts;

/// Closed prompts that are old, the same ones until they are gone themselves.
macro_rules! old {
    () => {
        "(SELECT id FROM prompts WHERE id < ?1 AND outcome IS NOT NULL ORDER BY id LIMIT ?2)"
    };
}

/// A statement for all of them: one for each prompt would take as many ways to the server, while others wait.
pub(in super::super::super) const OF_OLD: [&str; 3] = [
    concat!("DELETE FROM prompt_replies WHERE prompt_id IN ", old!()),
    concat!("DELETE FROM prompt_messages WHERE prompt_id IN ", old!()),
    concat!("DELETE FROM prompt_receivers WHERE prompt_id IN ", old!()),
];

pub(in super::super::super) const OLD: &str = concat!("DELETE FROM prompts WHERE id IN ", old!());

/// Repeats the condition of the partial index.
pub(in super::super::super) const ERASE_WORDS: &str = "UPDATE prompt_replies SET sealed_words = NULL WHERE inbound_id IN \
     (SELECT r.inbound_id FROM prompt_replies r JOIN prompts p ON p.id = r.prompt_id WHERE r.inbound_id < ?1 \
     AND r.sealed_words IS NOT NULL AND p.outcome IS NOT NULL ORDER BY r.inbound_id LIMIT ?2)";

pub(in super::super::super) const FORGET_ASKS: &str = "DELETE FROM prompt_asks WHERE receiver_hash IN \
     (SELECT receiver_hash FROM prompt_asks WHERE asked_at < ?1 ORDER BY asked_at LIMIT ?2)";

pub(in super::super) fn forget(
    statements: &mut Statements<'_>,
    forget: &ForgetPrompts,
) -> Result<bool, StoreError> {
    let limit = forget.limit as usize;
    let mut is_done = true;
    if let Some(before) = forget.prompts_before {
        for sql in OF_OLD {
            statements.send(sql, params![first_id(before), forget.limit])?;
        }
        is_done &= statements.execute(OLD, params![first_id(before), forget.limit])? < limit;
        is_done &= statements.execute(FORGET_ASKS, params![before.as_micros(), forget.limit])? < limit;
    }
    if let Some(before) = forget.words_before {
        is_done &= statements.execute(ERASE_WORDS, params![first_id(before), forget.limit])? < limit;
    }
    Ok(is_done)
}

/// By what the person was asked: nothing else leads to the replies of one.
pub(in super::super::super) const FORGET_WORDS: &str = "UPDATE prompt_replies SET sealed_words = NULL WHERE inbound_id IN \
     (SELECT p.inbound_id FROM prompt_receivers r JOIN prompt_replies p ON p.prompt_id = r.prompt_id \
     AND p.place = r.place WHERE r.receiver_hash = ?1)";

const FORGET_NUMBER: &str = "UPDATE prompt_receivers SET receiver_hash = NULL WHERE receiver_hash = ?1";

const FORGET_ASK: &str = "DELETE FROM prompt_asks WHERE receiver_hash = ?1";

/// Takes a person out of what they were asked. That somebody was asked stays, and what that one answered: whoever is forgotten
/// can answer no more.
pub(in super::super) fn forget_receiver(
    statements: &mut Statements<'_>,
    receiver: i64,
) -> Result<(), StoreError> {
    for sql in [FORGET_WORDS, FORGET_NUMBER, FORGET_ASK] {
        statements.send(sql, params![receiver])?;
    }
    Ok(())
}
