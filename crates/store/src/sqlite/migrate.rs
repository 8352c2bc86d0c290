//! Bringing the schema up to date. A migration is never edited once it is on main.

use rusqlite::{Connection, TransactionBehavior};

use super::connection::error;
use crate::StoreError;

/// In order; the position, counted from 1, is the schema version that a migration leads to.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_messages.sql"),
    include_str!("../../migrations/sqlite/0002_watches.sql"),
    include_str!("../../migrations/sqlite/0003_nodes.sql"),
    include_str!("../../migrations/sqlite/0004_partitions.sql"),
    include_str!("../../migrations/sqlite/0005_outbox.sql"),
    include_str!("../../migrations/sqlite/0006_hot_states.sql"),
    include_str!("../../migrations/sqlite/0007_sealing.sql"),
    include_str!("../../migrations/sqlite/0008_callers.sql"),
    include_str!("../../migrations/sqlite/0009_guard.sql"),
    include_str!("../../migrations/sqlite/0010_quotas.sql"),
    include_str!("../../migrations/sqlite/0011_audit.sql"),
    include_str!("../../migrations/sqlite/0012_spending.sql"),
    include_str!("../../migrations/sqlite/0013_last_checkpoint.sql"),
    include_str!("../../migrations/sqlite/0014_events.sql"),
    include_str!("../../migrations/sqlite/0015_templates.sql"),
    include_str!("../../migrations/sqlite/0016_inbound.sql"),
    include_str!("../../migrations/sqlite/0017_prompts.sql"),
    include_str!("../../migrations/sqlite/0018_verifications.sql"),
    include_str!("../../migrations/sqlite/0019_webhooks.sql"),
    include_str!("../../migrations/sqlite/0020_webhook_posts.sql"),
    include_str!("../../migrations/sqlite/0021_conversations.sql"),
    include_str!("../../migrations/sqlite/0022_answers.sql"),
    include_str!("../../migrations/sqlite/0023_let_go.sql"),
];

/// Marks the file as ours: "Tuma" in ASCII (SQLite, "PRAGMA `application_id`").
const APPLICATION_ID: i32 = 0x5475_6d61;

/// Whether the database is ours, and of a version that this program can use. Only reads.
pub(super) fn check(connection: &Connection, allowed: bool) -> Result<(), StoreError> {
    let (found, known) = (version(connection)?, known());
    if found > known {
        return Err(StoreError::NewerSchema { found, known });
    }
    if found < known && !allowed {
        return Err(StoreError::OlderSchema { found, known });
    }
    Ok(())
}

/// Runs what is missing, each migration in a transaction of its own together with its version.
pub(super) fn run(connection: &mut Connection) -> Result<(), StoreError> {
    for step in version(connection)?..known() {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
        // Another process may have been faster.
        if version(&transaction)? == step {
            transaction.execute_batch(MIGRATIONS[step as usize]).map_err(error)?;
            transaction.pragma_update(None, "user_version", step + 1).map_err(error)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(error)?;
        }
        transaction.commit().map_err(error)?;
        tracing::info!(version = step + 1, "database schema migrated");
    }
    Ok(())
}

/// The newest schema version that this program knows.
fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Who made the file, which version of the schema it has, and how many tables: in one look, for another process may
/// be migrating it.
const MARKS: &str = "SELECT (SELECT application_id FROM pragma_application_id), \
     (SELECT user_version FROM pragma_user_version), count(*) FROM sqlite_schema";

fn version(connection: &Connection) -> Result<u32, StoreError> {
    let marks = connection.query_row(MARKS, [], |row| <(i32, i32, i64)>::try_from(row)).map_err(error)?;
    match marks {
        (APPLICATION_ID, version, _) => Ok(u32::try_from(version).unwrap_or(0)),
        (0, 0, 0) => Ok(0),
        _ => Err(StoreError::Foreign),
    }
}
