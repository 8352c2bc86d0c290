//! Places in the queue, given to messages that were accepted before.

use domain::ids::MessageId;
use domain::route::ProviderName;
use domain::scenario::Priority;
use domain::time::Timestamp;

use super::super::sql::{Statements, params};
use crate::StoreError;

/// A row that a message left over at the same place, when it was settled while it waited, gives way to that of a
/// later round.
pub(in super::super) const PUT: &str = "INSERT INTO queue \
     (provider, lane, due_at, message_id, attempt, expires_at, refused_by, resends) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
     ON CONFLICT (provider, lane, due_at, message_id) DO UPDATE SET attempt = excluded.attempt, \
     expires_at = excluded.expires_at, refused_by = excluded.refused_by, resends = excluded.resends \
     WHERE excluded.resends >= queue.resends";

/// The place of a message that waits where it was put when it was accepted. That of one that was held back, or tried
/// before, is not known: its row leaves the queue when it is its turn.
pub(in super::super) const VACATE: &str = "DELETE FROM queue \
     WHERE (provider, lane, due_at, message_id) = (SELECT s.provider, \
     CASE m.priority WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'normal' THEN 2 ELSE 3 END, \
     CASE WHEN m.scheduled_at > m.created_at THEN m.scheduled_at ELSE m.created_at END, m.id \
     FROM states s CROSS JOIN messages m ON m.id = s.message_id WHERE s.message_id = ?1)";

/// A message's turn to come.
pub(super) struct Turn<'a> {
    pub(super) provider: &'a ProviderName,
    pub(super) lane: Priority,
    pub(super) due_at: Timestamp,
    pub(super) message_id: MessageId,
    /// The number of the attempt that it will be.
    pub(super) attempt: u16,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) refused_by: &'a [ProviderName],
    /// How often the message has been sent again.
    pub(super) resends: u32,
}

/// Puts a message into the queue.
pub(super) fn put(statements: &mut Statements<'_>, turn: &Turn<'_>) -> Result<(), StoreError> {
    let values = params![
        turn.provider.as_str(),
        turn.lane.index(),
        turn.due_at.as_micros(),
        turn.message_id.as_bytes(),
        turn.attempt,
        turn.expires_at.map(Timestamp::as_micros),
        names(turn.refused_by),
        turn.resends,
    ];
    statements.execute(PUT, values).map(|_rows| ())
}

/// Takes a message that will not be sent out of the queue, where that costs no search.
pub(super) fn vacate(statements: &mut Statements<'_>, message_id: MessageId) -> Result<(), StoreError> {
    statements.execute(VACATE, params![message_id.as_bytes()]).map(|_rows| ())
}

/// Providers as the queue keeps them.
fn names(providers: &[ProviderName]) -> Option<String> {
    let names: Vec<_> = providers.iter().map(ProviderName::as_str).collect();
    (!names.is_empty()).then(|| names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_in_the_statement_are_those_of_the_domain() {
        for lane in Priority::ALL.iter().filter(|lane| **lane != Priority::Bulk) {
            let arm = format!("WHEN '{}' THEN {}", lane.as_str(), lane.index());
            assert!(VACATE.contains(&arm), "{arm}");
        }
        assert_eq!(Priority::Bulk.index(), 3);
    }
}
