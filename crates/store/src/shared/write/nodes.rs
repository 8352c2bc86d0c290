//! Signs of life of the nodes that serve this database.

use domain::ids::NodeId;
use domain::time::Timestamp;

use super::super::sql::{Statements, get, params};
use crate::StoreError;
use crate::group::NodeChange;
use crate::port::nodes::Beat;

const BEAT: &str = "INSERT INTO nodes (id, seen_at) VALUES (?1, ?2) \
     ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";

const FORGET: &str = "DELETE FROM nodes WHERE seen_at < ?1 RETURNING id";

/// Repeats the condition of the partial index, so that history costs nothing.
const END_LEASES: &str =
    "UPDATE attempts SET lease_until = ?1 WHERE outcome IS NULL AND node = ?2 AND lease_until > ?1";

/// What it did for all, another one may do.
const GIVE_BACK: &str = "DELETE FROM leases WHERE node = ?1";

const LIVE: &str = "SELECT id FROM nodes ORDER BY id";

const LEAVE: &str = "DELETE FROM nodes WHERE id = ?1";

pub(super) fn change(
    statements: &mut Statements<'_>,
    change: &NodeChange,
) -> Result<Vec<NodeId>, StoreError> {
    match change {
        NodeChange::Beat(beat) => self::beat(statements, beat),
        NodeChange::Leave(leave) => {
            statements.execute(LEAVE, params![leave.node.as_bytes()])?;
            release(statements, *leave.node.as_bytes(), leave.now)?;
            Ok(Vec::new())
        }
    }
}

fn beat(statements: &mut Statements<'_>, beat: &Beat) -> Result<Vec<NodeId>, StoreError> {
    statements.execute(BEAT, params![beat.node.as_bytes(), beat.now.as_micros()])?;
    let gone: Vec<[u8; 16]> =
        statements.collect(FORGET, params![beat.gone_before.as_micros()], |row| get(row, 0))?;
    for node in gone {
        release(statements, node, beat.now)?;
    }
    statements.collect(LIVE, params![], |row| Ok(NodeId::from_bytes(get(row, 0)?)))
}

/// Nobody has to wait for what a node that is gone held.
fn release(statements: &mut Statements<'_>, node: [u8; 16], now: Timestamp) -> Result<(), StoreError> {
    statements.execute(END_LEASES, params![now.as_micros(), node])?;
    statements.execute(GIVE_BACK, params![node])?;
    Ok(())
}
