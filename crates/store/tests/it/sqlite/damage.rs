//! A file that was damaged after it had been written.

use std::fs::File;
use std::os::unix::fs::FileExt;

use domain::secret::Body;
use store::StoreError;
use store::port::messages::{Filter, Page};
use store::port::queue::{Claim, Recovery};

use super::{open, raw};
use crate::support::{Bench, Fixture, MINUTE, NOW, SqliteFixture, With, claim, message, node};

const MESSAGES: u64 = 2_000;

/// A closed store with enough in it that every tree has several levels.
async fn filled() -> SqliteFixture {
    let bench = Bench::<SqliteFixture>::new().await;
    let body = "Ksh ".repeat(100);
    bench
        .add((0..MESSAGES).map(|n| message(n).with(|message| message.body = Body::new(body.as_str()))))
        .await;
    bench.close().await;
    bench.fixture
}

#[tokio::test]
async fn damaged_pages_are_told_and_panic_nobody() {
    let fixture = filled().await;
    let file = File::options().write(true).open(fixture.path()).unwrap();
    let pages = file.metadata().unwrap().len() / 4_096;
    // Every third page from the second quarter on, but not the schema at the beginning.
    for page in (pages / 4..pages).step_by(3) {
        file.write_all_at(&[0xa5; 4_096], page * 4_096).unwrap();
    }
    let bench = Bench { store: open(&fixture.path()).await.unwrap(), fixture };
    let mut told = 0;
    for n in 0..MESSAGES {
        match bench.message(message(n).id()).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, StoreError::Corrupt);
                told += 1;
            }
        }
    }
    assert!(told > 0);
    let corrupt = Err(StoreError::Corrupt);
    let all = bench.messages(Filter::default(), Page { after: None, limit: 10_000 }).await;
    assert_eq!(all.map(|page| page.len()), corrupt);
    let some = Claim { total: 5_000, at_most: [5_000; 4], requests: [5_000; 4], ..claim(NOW.plus(MINUTE)) };
    assert_eq!(bench.claim(some).await.map(|claims| claims.claimed.len()), corrupt);
    bench.close().await;
}

#[tokio::test]
async fn cut_file_is_told() {
    let fixture = filled().await;
    let file = File::options().write(true).open(fixture.path()).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2 / 4_096 * 4_096).unwrap();
    match open(&fixture.path()).await {
        Err(error) => assert_eq!(error, StoreError::Corrupt),
        Ok(store) => {
            let all = store.messages(Filter::default(), Page { after: None, limit: 10_000 }).await;
            assert_eq!(all.map(|page| page.len()), Err(StoreError::Corrupt));
        }
    }
}

#[tokio::test]
async fn value_that_we_could_not_have_written_is_told() {
    let bench = Bench::<SqliteFixture>::new().await;
    for (n, spoil) in (1..).zip([
        "UPDATE messages SET scenario = 'lottery' WHERE id = ?1",
        "UPDATE messages SET sealed_receiver = x'00' WHERE id = ?1",
        "UPDATE messages SET sealed_receiver = sealed_body WHERE id = ?1",
        "UPDATE messages SET segments = 70000 WHERE id = ?1",
        "UPDATE messages SET caller = x'00' WHERE id = ?1",
        "UPDATE messages SET metadata = '{' WHERE id = ?1",
        "UPDATE messages SET sealed_body = zeroblob(100) WHERE id = ?1",
        "UPDATE states SET status = 'lost' WHERE message_id = ?1",
        "UPDATE attempts SET number = -1 WHERE message_id = ?1",
    ]) {
        let claimed = bench.add_and_take(message(n)).await;
        let id = claimed.submission.message_id;
        let changed = raw(&bench.fixture.path()).execute(spoil, [id.as_bytes()]).unwrap();
        assert_eq!(changed, 1, "{spoil}");
        assert_eq!(bench.message(id).await.map(|_| ()), Err(StoreError::Corrupt), "{spoil}");
    }
}

#[tokio::test]
async fn one_damaged_row_does_not_stop_what_is_written_beside_it() {
    let bench = Bench::<SqliteFixture>::new().await;
    let claimed = bench.add_and_take(message(1)).await;
    let spoil = "UPDATE states SET status = 'lost' WHERE message_id = ?1";
    raw(&bench.fixture.path()).execute(spoil, [message(1).id().as_bytes()]).unwrap();
    let ends =
        vec![crate::support::end(&claimed, crate::support::accepted("SM1"), store::port::queue::Next::Stop)];
    // Both go into one group as often as not; whichever way, only the one fails.
    for n in 2..30 {
        let accept = store::port::messages::Accept {
            messages: vec![message(n)],
            idempotency: None,
            no_repeats_since: None,
        };
        let (finished, accepted) = tokio::join!(bench.finish(ends.clone()), bench.accept(accept));
        assert_eq!(finished, Err(StoreError::Corrupt));
        assert!(accepted.is_ok(), "{accepted:?}");
    }
    let recovery = Recovery { node: node(1), now: NOW.plus(10 * MINUTE), only_node: false };
    assert_eq!(bench.recover(recovery).await, Ok(1));
    let _ = SqliteFixture::fresh();
}

#[tokio::test]
async fn waiting_message_that_can_not_be_read_does_not_stop_those_behind_it() {
    let bench = Bench::<SqliteFixture>::new().await;
    let spoils = [
        "UPDATE messages SET scenario = 'lottery' WHERE id = ?1",
        "UPDATE messages SET sealed_receiver = sealed_body WHERE id = ?1",
        "UPDATE messages SET sealed_body = zeroblob(100) WHERE id = ?1",
        "UPDATE states SET status = 'lost' WHERE message_id = ?1",
        "UPDATE queue SET attempt = -1 WHERE message_id = ?1",
        "UPDATE queue SET refused_by = 'Nobody?' WHERE message_id = ?1",
    ];
    bench.add((0..10).map(message)).await;
    let file = raw(&bench.fixture.path());
    for (n, spoil) in (0..).zip(spoils) {
        assert_eq!(file.execute(spoil, [message(n).id().as_bytes()]).unwrap(), 1, "{spoil}");
    }
    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.extend(bench.take(NOW.plus(MINUTE)).await);
    }
    let expected: Vec<_> = (6..10).map(|n| message(n).id()).collect();
    assert_eq!(crate::support::ids_of(&claimed), expected);
    assert_eq!(bench.depth(NOW).await, Ok(Vec::new()));
    let read = |id: [u8; 16]| {
        let sql = "SELECT status, reason FROM states WHERE message_id = ?1";
        file.query_row(sql, [id], |row| <(String, String)>::try_from(row)).unwrap()
    };
    for (n, spoil) in (0..).zip(spoils) {
        assert_eq!(read(*message(n).id().as_bytes()), ("failed".into(), "unknown".into()), "{spoil}");
    }
}
