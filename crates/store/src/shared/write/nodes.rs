//! Signs of life of the nodes that serve this database.

use domain::ids::NodeId;

use super::super::sql::{Statements, get, params};
use crate::StoreError;
use crate::group::NodeChange;
use crate::port::nodes::Beat;

pub(in super::super) const BEAT: &str = "INSERT INTO nodes (id, seen_at) VALUES (?1, ?2) \
     ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";

pub(in super::super) const FORGET: &str = "DELETE FROM nodes WHERE seen_at < ?1 RETURNING id";

/// Repeats the condition of the partial index, so that history costs nothing.
pub(in super::super) const END_LEASES: &str =
    "UPDATE attempts SET lease_until = ?1 WHERE outcome IS NULL AND node = ?2 AND lease_until > ?1";

/// What it did for all, another one may do.
pub(in super::super) const GIVE_BACK: &str = "DELETE FROM leases WHERE node = ?1";

const LIVE: &str = "SELECT id FROM nodes ORDER BY id";

pub(in super::super) const LEAVE: &str = "DELETE FROM nodes WHERE id = ?1";

pub(super) fn change(
    statements: &mut Statements<'_>,
    change: &NodeChange,
) -> Result<Vec<NodeId>, StoreError> {
    match change {
        NodeChange::Beat(beat) => self::beat(statements, beat),
        NodeChange::Leave(node) => {
            statements.execute(LEAVE, params![node.as_bytes()])?;
            statements.execute(GIVE_BACK, params![node.as_bytes()])?;
            Ok(Vec::new())
        }
    }
}

fn beat(statements: &mut Statements<'_>, beat: &Beat) -> Result<Vec<NodeId>, StoreError> {
    statements.execute(BEAT, params![beat.node.as_bytes(), beat.now.as_micros()])?;
    let gone: Vec<[u8; 16]> =
        statements.collect(FORGET, params![beat.gone_before.as_micros()], |row| get(row, 0))?;
    for node in gone {
        statements.execute(END_LEASES, params![beat.now.as_micros(), node])?;
        statements.execute(GIVE_BACK, params![node])?;
    }
    statements.collect(LIVE, params![], |row| Ok(NodeId::from_bytes(get(row, 0)?)))
}
