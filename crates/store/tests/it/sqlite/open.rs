//! Opening: whose file it is, and whether it can be used at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use store::port::messages::Filter;
use store::port::watches::TakeWatches;
use store::{Options, StoreError};

use super::{folder_of_child, in_child, open, raw, refusal, serve};
use crate::support::{Bench, Fixture, MINUTE, NOW, SqliteFixture, With, claim, ids_of, message, url};

/// The schema version that this program has.
const KNOWN: u32 = 23;

/// A store's file, closed, with one message in it.
async fn closed_store() -> SqliteFixture {
    let bench = Bench::<SqliteFixture>::new().await;
    bench.add([message(1)]).await;
    bench.close().await;
    bench.fixture
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn address_that_is_not_a_stores_is_refused() {
    for address in ["", "sqlite", "sqlite:", "tuma.db", "mysql://localhost/tuma", "file:tuma.db"] {
        let refused = store::open(address, serve()).await.err();
        assert_eq!(refused, Some(StoreError::Address), "{address}");
    }
}

#[tokio::test]
async fn closed_store_is_one_file() {
    let fixture = closed_store().await;
    let path = fixture.path();
    for suffix in ["-wal", "-shm"] {
        let beside = path.with_file_name(format!("tuma.db{suffix}"));
        assert!(!beside.exists(), "{suffix}");
    }
    let kept: u32 = raw(&path).query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn file_says_that_it_is_tumas_and_keeps_a_write_ahead_log() {
    let fixture = closed_store().await;
    let header = fs::read(fixture.path()).unwrap();
    // SQLite, "Database File Format", 1.3: read and write versions 2 mean WAL; at 68 stands the application id.
    assert_eq!((header[18], header[19], &header[68..72]), (2, 2, b"Tuma".as_slice()));
    let _store = open(&fixture.path()).await.unwrap();
    assert!(fixture.path().with_file_name("tuma.db-wal").exists());
}

#[tokio::test]
async fn new_file_is_for_its_owner_alone() {
    let bench = Bench::<SqliteFixture>::new().await;
    bench.add([message(1)]).await;
    for name in ["tuma.db", "tuma.db-wal", "tuma.db-shm"] {
        let mode = fs::metadata(bench.fixture.path().with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn newer_schema_is_refused_and_the_file_left_as_it_is() {
    let fixture = closed_store().await;
    raw(&fixture.path()).pragma_update(None, "user_version", KNOWN + 1).unwrap();
    let before = fs::read(fixture.path()).unwrap();
    let refused = refusal(&fixture.path()).await;
    assert_eq!(refused, StoreError::NewerSchema { found: KNOWN + 1, known: KNOWN });
    assert!(fs::read(fixture.path()).unwrap() == before);
}

#[tokio::test]
async fn older_schema_is_refused_unless_it_may_be_migrated() {
    let folder = folder();
    let path = folder.path().join("tuma.db");
    let unmigrated = Options { migrate: false, exclusive: false, keys: Some(crate::support::keys()) };
    assert_eq!(store::open(&url(&path), unmigrated.clone()).await.err(), Some(StoreError::Missing));
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    let refused = store::open(&url(&path), unmigrated.clone()).await.err();
    assert_eq!(refused, Some(StoreError::OlderSchema { found: 0, known: KNOWN }));
    open(&path).await.unwrap().close().await;
    assert!(store::open(&url(&path), unmigrated).await.is_ok());
}

#[tokio::test]
async fn doubts_from_before_there_were_watches_are_looked_after() {
    let folder = folder();
    let path = folder.path().join("tuma.db");
    let old = raw(&path);
    old.execute_batch(include_str!("../../../migrations/sqlite/0001_messages.sql")).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    old.pragma_update(None, "application_id", 0x5475_6d61).unwrap();
    // One in doubt, one that a receipt has settled, and one that waits.
    for (n, status, outcome) in
        [(1, "sending", Some("ambiguous")), (2, "delivered", Some("ambiguous")), (3, "queued", None)]
    {
        let new = message(n).message;
        let (id, at) = (new.id.as_bytes(), new.created_at.as_micros());
        let message = "INSERT INTO messages (id, caller, receiver, country, scenario, priority, body, encoding, \
             segments, created_at) VALUES (?1, ?2, ?3, 'KE', 'otp', 'high', 'Code', 'gsm7', 1, ?4)";
        let values = rusqlite::params![id, new.caller.as_bytes(), new.receiver.number(), at];
        old.execute(message, values).unwrap();
        let state =
            "INSERT INTO states (message_id, status, provider, updated_at) VALUES (?1, ?2, 'twilio', ?3)";
        old.execute(state, rusqlite::params![id, status, at]).unwrap();
        let attempt = "INSERT INTO attempts (message_id, number, provider, node, lease_until, started_at, ended_at, \
             outcome, reason) VALUES (?1, 1, 'twilio', ?1, ?2, ?2, ?2, ?3, 'timeout')";
        if outcome.is_some() {
            old.execute(attempt, rusqlite::params![id, at, outcome]).unwrap();
        } else {
            let queue = "INSERT INTO queue (provider, lane, due_at, message_id, attempt) VALUES ('twilio', 1, ?1, ?2, 1)";
            old.execute(queue, rusqlite::params![at, id]).unwrap();
        }
    }
    drop(old);
    let store = open(&path).await.unwrap();
    let now = NOW.plus(MINUTE);
    let take = TakeWatches { now, lease_until: now.plus(MINUTE), limit: 10 };
    let watched = store.take_watches(take).await.unwrap();
    assert_eq!(watched.iter().map(|watched| watched.message.id).collect::<Vec<_>>(), [message(1).id()]);
    let claims = store.claim(claim(now)).await.unwrap();
    assert_eq!(ids_of(&claims.claimed), [message(3).id()]);
    store.close().await;
}

#[tokio::test]
async fn database_of_another_program_is_refused_and_left_as_it_is() {
    let marks: [(i32, i32, &str); 4] = [
        (0, 0, "CREATE TABLE notes (text)"),
        (0, 7, "CREATE TABLE notes (text)"),
        (0x1234_5678, 0, ""),
        (0x1234_5678, 1, "CREATE TABLE messages (id)"),
    ];
    for (application_id, user_version, schema) in marks {
        let folder = folder();
        let path = folder.path().join("notes.db");
        let theirs = raw(&path);
        theirs.execute_batch(schema).unwrap();
        theirs.pragma_update(None, "application_id", application_id).unwrap();
        theirs.pragma_update(None, "user_version", user_version).unwrap();
        drop(theirs);
        let before = fs::read(&path).unwrap();
        assert_eq!(refusal(&path).await, StoreError::Foreign);
        assert!(fs::read(&path).unwrap() == before, "{application_id:x} {user_version} {schema}");
    }
}

#[tokio::test]
async fn file_that_is_no_database_is_corrupt_and_left_as_it_is() {
    let contents: [&[u8]; 3] = [
        &b"not a database, but longer than its header of a hundred bytes ".repeat(100),
        &[0xff; 8_192],
        b"SQLite format 3\0 and then nonsense",
    ];
    for content in contents {
        let folder = folder();
        let path = folder.path().join("tuma.db");
        fs::write(&path, content).unwrap();
        assert_eq!(refusal(&path).await, StoreError::Corrupt);
        assert!(fs::read(&path).unwrap() == content);
    }
}

#[tokio::test]
async fn empty_file_becomes_a_store() {
    let folder = folder();
    let path = folder.path().join("tuma.db");
    fs::write(&path, b"").unwrap();
    assert!(open(&path).await.is_ok());
}

#[tokio::test]
async fn folder_or_missing_folder_is_an_io_error() {
    let folder = folder();
    for path in [folder.path().to_owned(), folder.path().join("missing").join("tuma.db")] {
        for exclusive in [true, false] {
            let refused = store::open(
                &url(&path),
                Options { migrate: true, exclusive, keys: Some(crate::support::keys()) },
            )
            .await
            .err();
            assert!(matches!(refused, Some(StoreError::Io(_))), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn file_that_may_not_be_written_is_an_io_error() {
    let fixture = closed_store().await;
    let path = fixture.path();
    let parent = path.parent().unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(parent, fs::Permissions::from_mode(0o555)).unwrap();
    let all_may = fs::File::options().write(true).open(&path).is_ok();
    in_child("sqlite::open::child_refuses_a_read_only_file", parent, &[], |child| {
        // Root may write everything: then the child is nobody.
        if all_may {
            child.uid(65_534).gid(65_534);
        }
    });
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn child_refuses_a_read_only_file() {
    let path = folder_of_child().join("tuma.db");
    for exclusive in [true, false] {
        let refused = store::open(
            &url(&path),
            Options { migrate: true, exclusive, keys: Some(crate::support::keys()) },
        )
        .await
        .err();
        assert!(matches!(refused, Some(StoreError::Io(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn second_server_is_refused_while_the_first_runs() {
    let bench = Bench::<SqliteFixture>::new().await;
    let path = bench.fixture.path();
    assert_eq!(refusal(&path).await, StoreError::Served);
    bench.add([message(1)]).await;
    bench.close().await;
    let second = open(&path).await.unwrap();
    assert_eq!(refusal(&path).await, StoreError::Served);
    drop(second);
    assert!(open(&path).await.is_ok());
}

#[tokio::test]
async fn server_of_another_process_is_noticed() {
    let bench = Bench::<SqliteFixture>::new().await;
    let path = bench.fixture.path();
    in_child("sqlite::open::child_finds_a_server", path.parent().unwrap(), &[], |_| {});
}

#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn child_finds_a_server() {
    assert_eq!(refusal(&folder_of_child().join("tuma.db")).await, StoreError::Served);
}

#[tokio::test]
async fn open_that_failed_leaves_no_lock() {
    let folder = folder();
    let path = folder.path().join("tuma.db");
    fs::write(&path, [0xff; 4_096]).unwrap();
    assert_eq!(refusal(&path).await, StoreError::Corrupt);
    fs::remove_file(&path).unwrap();
    assert!(open(&path).await.is_ok());
}

#[tokio::test]
async fn tool_works_beside_the_server() {
    let bench = Bench::<SqliteFixture>::new().await;
    bench.add([message(1)]).await;
    let beside = Options { migrate: false, exclusive: false, keys: Some(crate::support::keys()) };
    let tool = Bench { store: store::open(&url(&bench.fixture.path()), beside).await.unwrap(), fixture: () };
    assert_eq!(tool.store.messages(Filter::default(), PAGE).await.unwrap().len(), 1);
    let accept = store::port::messages::Accept {
        messages: vec![message(2)],
        idempotency: None,
        no_repeats_since: None,
    };
    tool.store.accept(accept).await.unwrap();
    tool.store.close().await;
    bench.add([message(3)]).await;
    assert_eq!(bench.list(Filter::default()).await, [3, 2, 1].map(|n| message(n).id()));
    assert_eq!(bench.take(NOW.plus(crate::support::MINUTE)).await.len(), 3);
}

const PAGE: store::port::messages::Page = store::port::messages::Page { after: None, limit: 10 };

#[tokio::test]
async fn two_that_open_a_new_file_at_once_both_succeed() {
    for _ in 0..10 {
        let folder = folder();
        let address = url(&folder.path().join("tuma.db"));
        let options = Options { migrate: true, exclusive: false, keys: Some(crate::support::keys()) };
        let opened: (Result<_, _>, Result<_, _>) =
            tokio::join!(store::open(&address, options.clone()), store::open(&address, options));
        assert_eq!((opened.0.err(), opened.1.err()), (None, None));
    }
}

#[tokio::test]
async fn relative_path_and_path_with_spaces_are_opened() {
    let folder = folder();
    let path = folder.path().join("öffentlich 1%20?mode=ro#x.db");
    open(Path::new(&path)).await.unwrap().close().await;
    assert!(path.exists());
    assert!(SqliteFixture::fresh().open().await.ping().await.is_ok());
}
