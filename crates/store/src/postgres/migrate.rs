//! Bringing the schema up to date. A migration is never edited once it is on main.
//!
//! Several nodes may start at once: an advisory lock lets one migrate while the others wait.

use postgres::{Client, Transaction};

use super::errors::error;
use crate::StoreError;

/// In order; the position, counted from 1, is the schema version that a migration leads to.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_messages.sql"),
    include_str!("../../migrations/postgres/0002_watches.sql"),
    include_str!("../../migrations/postgres/0003_nodes.sql"),
    include_str!("../../migrations/postgres/0004_partitions.sql"),
    include_str!("../../migrations/postgres/0005_outbox.sql"),
    include_str!("../../migrations/postgres/0006_hot_states.sql"),
    include_str!("../../migrations/postgres/0007_sealing.sql"),
    include_str!("../../migrations/postgres/0008_callers.sql"),
    include_str!("../../migrations/postgres/0009_guard.sql"),
    include_str!("../../migrations/postgres/0010_quotas.sql"),
    include_str!("../../migrations/postgres/0011_audit.sql"),
    include_str!("../../migrations/postgres/0012_spending.sql"),
    include_str!("../../migrations/postgres/0013_last_checkpoint.sql"),
    include_str!("../../migrations/postgres/0014_events.sql"),
    include_str!("../../migrations/postgres/0015_templates.sql"),
    include_str!("../../migrations/postgres/0016_inbound.sql"),
    include_str!("../../migrations/postgres/0017_prompts.sql"),
    include_str!("../../migrations/postgres/0018_verifications.sql"),
    include_str!("../../migrations/postgres/0019_webhooks.sql"),
    include_str!("../../migrations/postgres/0020_webhook_posts.sql"),
    include_str!("../../migrations/postgres/0021_conversations.sql"),
    include_str!("../../migrations/postgres/0022_answers.sql"),
    include_str!("../../migrations/postgres/0023_let_go.sql"),
];

/// The lock of whoever migrates: "Tuma" in ASCII, and a one.
const LOCK: &str = "SELECT pg_advisory_xact_lock(x'5475'::int, x'6d61'::int)";

/// Begins a transaction as whoever migrates does.
pub(super) const ALONE: &str = "BEGIN READ WRITE; SELECT pg_advisory_xact_lock(x'5475'::int, x'6d61'::int)";

/// The lock that writers share: see [`super::writer`].
const NOBODY_WRITES: &str = "SELECT pg_advisory_xact_lock(1416981601, 2)";

/// Marks a database as ours, and says which version of the schema it has.
const VERSION: &str = "SELECT version FROM tuma_schema";

/// The oldest program that can serve this schema, by the version that it knows. While nodes are upgraded one after the
/// other, those of before go on, and may be started again: a migration adds, and only a later release takes away. What is
/// older than this seals under keys that may be gone, and leaves heads of the audit trail that do not hold.
const NEEDS: u32 = 13;

/// Of a schema that is newer than this program.
const NEEDED: &str = "SELECT needs FROM tuma_schema";

/// How many tables there are, besides those of PostgreSQL itself, and whether ours is among them.
const TABLES: &str = "SELECT count(*), count(*) FILTER (WHERE relname = 'tuma_schema') FROM pg_class \
     WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace";

/// Brings the schema up to date if that is allowed, or says why it can't be used.
pub(super) fn run(client: &mut Client, allowed: bool) -> Result<(), StoreError> {
    let mut transaction = client.transaction().map_err(error)?;
    // Migrating may take longer than a query should.
    transaction
        .batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        .map_err(error)?;
    transaction.query_one(LOCK, &[]).map_err(error)?;
    let (found, known) = (version(&mut transaction)?, known());
    if found > known {
        let needed: i32 = transaction.query_one(NEEDED, &[]).map_err(error)?.get(0);
        return if u32::try_from(needed).is_ok_and(|needed| needed <= known) {
            tracing::info!(found, known, "the schema is newer than this program, which can still serve it");
            Ok(())
        } else {
            Err(StoreError::NewerSchema { found, known })
        };
    }
    if found < known && !allowed {
        return Err(if found == 0 { StoreError::Missing } else { StoreError::OlderSchema { found, known } });
    }
    if found < known {
        // Nobody writes meanwhile: writers take the tables in an order of their own.
        transaction.query_one(NOBODY_WRITES, &[]).map_err(error)?;
    }
    for step in found..known {
        transaction.batch_execute(MIGRATIONS[step as usize]).map_err(error)?;
        tracing::info!(version = step + 1, "database schema migrated");
    }
    if found < known {
        transaction
            .batch_execute(&format!(
                "CREATE TABLE IF NOT EXISTS tuma_schema (version INTEGER NOT NULL); \
                 ALTER TABLE tuma_schema ADD COLUMN IF NOT EXISTS needs INTEGER NOT NULL DEFAULT 0; \
                 DELETE FROM tuma_schema; INSERT INTO tuma_schema (version, needs) VALUES ({known}, {NEEDS})"
            ))
            .map_err(error)?;
    }
    transaction.commit().map_err(error)
}

/// The newest schema version that this program knows.
fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

fn version(transaction: &mut Transaction<'_>) -> Result<u32, StoreError> {
    let tables = transaction.query_one(TABLES, &[]).map_err(error)?;
    match (tables.get::<_, i64>(0), tables.get::<_, i64>(1)) {
        (0, _) => Ok(0),
        (_, 0) => Err(StoreError::Foreign),
        _ => {
            let row = transaction.query_one(VERSION, &[]).map_err(error)?;
            Ok(u32::try_from(row.get::<_, i32>(0)).unwrap_or(0))
        }
    }
}
