//! Signs of life, each second of every node: nobody should have to stand still for one.

use domain::ids::NodeId;

use super::super::sql::{Statements, get, params};
use crate::StoreError;
use crate::group::NodeChange;
use crate::port::nodes::Beat;

/// Of a node that is known. One that is new says so alone: two that begin side by side would not see each other, and each
/// would take the whole rate.
const AGAIN: &str = "UPDATE nodes SET seen_at = $2 WHERE id = $1";

const LIVE: &str = "SELECT id, seen_at < $1 FROM nodes ORDER BY id";

/// Answers who lives; `None` if somebody is new, or gone, or leaves, whose leases must end.
pub(super) fn run(
    statements: &mut Statements<'_>,
    change: &NodeChange,
) -> Result<Option<Vec<NodeId>>, StoreError> {
    match change {
        NodeChange::Beat(beat) => self::beat(statements, beat),
        NodeChange::Leave(_) => Ok(None),
    }
}

fn beat(statements: &mut Statements<'_>, beat: &Beat) -> Result<Option<Vec<NodeId>>, StoreError> {
    if statements.execute(AGAIN, params![beat.node.as_bytes(), beat.now.as_micros()])? == 0 {
        return Ok(None);
    }
    let nodes = statements.collect(LIVE, params![beat.gone_before.as_micros()], |row| {
        Ok((NodeId::from_bytes(get(row, 0)?), get::<bool>(row, 1)?))
    })?;
    let is_gone = nodes.iter().any(|(_, is_gone)| *is_gone);
    Ok((!is_gone).then(|| nodes.into_iter().map(|(id, _)| id).collect()))
}
