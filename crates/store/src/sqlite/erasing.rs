//! A text is needed again between the look for those that have served and their erasure.

use std::sync::Arc;

use rusqlite::Connection;

use super::{connection, migrate, write};
use crate::group::ServedTexts;
use crate::seal::Vault;

const FAILED: [u8; 16] = [1; 16];
const AGAIN: [u8; 16] = [2; 16];

/// A message that failed, and one that is queued again.
fn two_messages() -> Connection {
    let mut file = Connection::open_in_memory().unwrap();
    migrate::run(&mut file).unwrap();
    for (id, status) in [(FAILED, "failed"), (AGAIN, "queued")] {
        let message = "INSERT INTO messages (id, caller, receiver_hash, country, scenario, priority, encoding, segments, \
             created_at, sealed_body) VALUES (?1, x'00', 1, 'KE', 'otp', 'critical', 'gsm7', 1, 1, x'01')";
        file.execute(message, [id]).unwrap();
        let state =
            "INSERT INTO states (message_id, status, provider, updated_at) VALUES (?1, ?2, 'twilio', 1)";
        file.execute(state, (id, status)).unwrap();
    }
    file
}

fn erase(file: &mut Connection, served: &ServedTexts) {
    let vault = Arc::new(Vault::closed());
    connection::transact(file, vault, |statements| write::erase::texts(statements, served)).unwrap();
}

fn ids(file: &Connection, sql: &str) -> Vec<[u8; 16]> {
    let mut select = file.prepare(sql).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

const WITHOUT_TEXT: &str = "SELECT id FROM messages WHERE sealed_body IS NULL ORDER BY id";
const TO_ERASE: &str = "SELECT message_id FROM erasable ORDER BY message_id";

#[test]
fn code_that_is_queued_again_meanwhile_keeps_its_text_for_now() {
    let mut file = two_messages();
    file.execute_batch("INSERT INTO erasable (message_id) SELECT id FROM messages").unwrap();
    let codes = vec![FAILED, AGAIN];
    erase(
        &mut file,
        &ServedTexts { codes, texts: Vec::new(), later: Vec::new(), inbound: Vec::new(), mark: None },
    );
    assert_eq!((ids(&file, WITHOUT_TEXT), ids(&file, TO_ERASE)), (vec![FAILED], vec![AGAIN]));
}

#[test]
fn text_that_is_queued_again_meanwhile_is_erased_when_it_has_served() {
    let mut file = two_messages();
    let texts = vec![FAILED, AGAIN];
    erase(
        &mut file,
        &ServedTexts { codes: Vec::new(), texts, later: Vec::new(), inbound: Vec::new(), mark: Some(AGAIN) },
    );
    assert_eq!((ids(&file, WITHOUT_TEXT), ids(&file, TO_ERASE)), (vec![FAILED], vec![AGAIN]));
}
