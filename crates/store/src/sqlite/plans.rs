//! The plans of the statements that run all day: SQLite must find their rows by an index, whatever the history.
//! It plans without statistics, for nobody runs `ANALYZE`, so an empty database shows the plans of a full one.

use std::path::Path;

use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::phone::{Country, Msisdn};
use domain::time::Timestamp;
use rusqlite::Connection;

use super::write::{accept, claim, finish, receipts};
use super::{connection, migrate, read, write};
use crate::port::messages::{Filter, Page};

/// A database with nothing but its schema.
fn database(folder: &Path) -> Connection {
    let mut connection = connection::open_writer(&folder.join("tuma.db")).unwrap();
    connection::prepare_writer(&connection).unwrap();
    migrate::run(&mut connection).unwrap();
    connection
}

/// What SQLite says of a statement, a line for each table it visits.
fn plan(sql: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let connection = database(folder.path());
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // Values are left out: without statistics they change nothing.
    let lines = explain.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>();
    lines.unwrap()
}

#[test]
fn dump() {
    let c = format!("{}, {}", super::row::MESSAGE, super::row::STATE);
    for sql in [
        format!(
            "SELECT {c} FROM states s JOIN messages m ON m.id=s.message_id WHERE s.status='failed' ORDER BY s.message_id DESC LIMIT 10"
        ),
        format!(
            "SELECT {c} FROM states s JOIN messages m ON m.id=s.message_id WHERE s.status='failed' ORDER BY s.message_id DESC"
        ),
        format!(
            "SELECT {c} FROM states s JOIN messages m ON m.id=s.message_id WHERE s.status='failed' ORDER BY s.message_id LIMIT 10"
        ),
        format!(
            "SELECT {c} FROM states s CROSS JOIN messages m ON m.id=s.message_id WHERE s.status='failed' ORDER BY s.message_id DESC LIMIT 10"
        ),
        format!(
            "SELECT {c} FROM states s CROSS JOIN messages m ON m.id=s.message_id WHERE s.status='failed' AND s.message_id < ?1 ORDER BY s.message_id DESC LIMIT 10"
        ),
        format!(
            "SELECT {c} FROM states s JOIN messages m ON m.id=s.message_id WHERE s.status='failed' AND true ORDER BY s.message_id DESC LIMIT 10"
        ),
        format!(
            "SELECT {c} FROM states s JOIN messages m ON m.id=s.message_id WHERE s.status='failed' AND s.message_id <= ?1 AND s.message_id < ?2 AND s.message_id >= ?3 AND m.created_at < ?4 AND m.created_at > ?5 AND m.caller=?6 ORDER BY s.message_id DESC LIMIT 10"
        ),
        format!(
            "SELECT {c} FROM states s INDEXED BY states_in_trouble JOIN messages m ON m.id=s.message_id WHERE s.status='failed' AND s.message_id <= ?1 AND s.message_id < ?2 AND s.message_id >= ?3 AND m.created_at < ?4 AND m.created_at > ?5 AND m.caller=?6 ORDER BY s.message_id DESC LIMIT 10"
        ),
    ] {
        println!("Q {:?}", plan(&sql));
    }
}
