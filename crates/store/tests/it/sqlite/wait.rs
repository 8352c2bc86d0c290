//! Others who hold the file's locks.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use store::StoreError;
use store::port::messages::{Accept, Accepted, Filter, Page};
use store::port::prompts::PromptOpened;
use tokio::time::Instant;

use super::{open, raw, refusal};
use crate::conformance::prompts::approval;
use crate::support::{Bench, NOW, SqliteFixture, With, message};

fn one(n: u64) -> Accept {
    Accept { messages: vec![message(n)], idempotency: None, no_repeats_since: None }
}

#[tokio::test]
async fn write_gives_up_on_a_locked_file_and_works_again_after_it() {
    let bench = Bench::<SqliteFixture>::new().await;
    let other = raw(&bench.fixture.path());
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let start = Instant::now();
    assert_eq!(bench.accept(one(1)).await, Err(StoreError::Locked));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    // Readers go on.
    assert_eq!(bench.list(Filter::default()).await, []);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(bench.accept(one(2)).await, Ok(Accepted::Stored));
    assert_eq!(bench.list(Filter::default()).await, [message(2).id()]);
}

#[tokio::test]
async fn write_waits_a_little_for_the_lock() {
    let bench = Bench::<SqliteFixture>::new().await;
    let other = raw(&bench.fixture.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut accept = bench.accept(one(1));
    assert!(poll_once(&mut accept).is_pending());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(accept.await, Ok(Accepted::Stored));
}

#[tokio::test]
async fn opening_gives_up_on_a_file_that_another_holds_alone() {
    let fixture = Bench::<SqliteFixture>::new().await;
    fixture.close().await;
    let path = fixture.fixture.path();
    let other = raw(&path);
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT").unwrap();
    assert_eq!(refusal(&path).await, StoreError::Locked);
    drop(other);
    assert!(open(&path).await.is_ok());
}

#[tokio::test]
async fn accepts_beyond_the_room_are_refused_and_those_within_are_stored() {
    let bench = Bench::<SqliteFixture>::new().await;
    let other = raw(&bench.fixture.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The writer waits for the lock with what it took first; the rest gathers behind it.
    let mut waiting = Vec::new();
    let mut refused = 0;
    for n in 0..20_000 {
        let mut accept = bench.accept(one(n));
        match poll_once(&mut accept) {
            Poll::Pending => waiting.push(accept),
            Poll::Ready(answer) => {
                assert_eq!(answer, Err(StoreError::Overloaded));
                refused += 1;
            }
        }
    }
    // What is not a new message waits for room, and is not refused.
    let mut ping = bench.ping();
    assert!(poll_once(&mut ping).is_pending());
    other.execute_batch("COMMIT").unwrap();
    let stored = waiting.len();
    for accept in waiting {
        assert_eq!(accept.await, Ok(Accepted::Stored));
    }
    assert_eq!(ping.await, Ok(()));
    assert!(refused > 0 && stored >= 8_192, "{stored} stored, {refused} refused");
    let count = bench.messages(Filter::default(), Page { after: None, limit: 20_000 }).await.unwrap().len();
    assert_eq!(count, stored);
}

#[tokio::test]
async fn accept_of_many_takes_the_room_of_many() {
    let bench = Bench::<SqliteFixture>::new().await;
    let other = raw(&bench.fixture.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let hundred = |n: u64| (n * 100..n * 100 + 100).map(message).collect();
    let mut waiting = Vec::new();
    let mut refused = 0;
    for n in 0..1_000 {
        let mut accept =
            bench.accept(Accept { messages: hundred(n), idempotency: None, no_repeats_since: None });
        match poll_once(&mut accept) {
            Poll::Pending => waiting.push(accept),
            Poll::Ready(answer) => {
                assert_eq!(answer, Err(StoreError::Overloaded));
                refused += 1;
            }
        }
    }
    other.execute_batch("COMMIT").unwrap();
    assert!(refused > 0 && (100..400).contains(&waiting.len()), "{} wait", waiting.len());
    for accept in waiting {
        assert_eq!(accept.await, Ok(Accepted::Stored));
    }
    // There is room again.
    assert_eq!(bench.accept(one(200_000)).await, Ok(Accepted::Stored));
}

#[tokio::test]
async fn prompt_waits_in_the_same_room() {
    let bench = Bench::<SqliteFixture>::new().await;
    let other = raw(&bench.fixture.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let hundred = |n: u64| (n * 100..n * 100 + 100).map(message).collect();
    let mut waiting = Vec::new();
    loop {
        let n = waiting.len() as u64;
        let accept = Accept { messages: hundred(n), idempotency: None, no_repeats_since: None };
        let mut accepting = bench.accept(accept);
        if poll_once(&mut accepting).is_ready() {
            break;
        }
        waiting.push(accepting);
    }
    let prompt = || bench.open_prompt(approval(9_000, 100, NOW));
    assert_eq!(poll_once(&mut prompt()), Poll::Ready(Err(StoreError::Overloaded)));
    other.execute_batch("COMMIT").unwrap();
    for accept in waiting {
        assert_eq!(accept.await, Ok(Accepted::Stored));
    }
    assert_eq!(prompt().await, Ok(PromptOpened::Accepted(Accepted::Stored)));
}

#[tokio::test]
async fn reader_that_never_ends_does_not_stop_the_writer() {
    let bench = Bench::<SqliteFixture>::new().await;
    bench.add([message(0)]).await;
    let reader = raw(&bench.fixture.path());
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    // Three times the log that is tolerated: the checkpoints in between cannot move it all.
    let long = "x".repeat(100_000);
    let mut slowest = Duration::ZERO;
    for n in 1..=100 {
        let batch = (0..10).map(|m| {
            message(n * 10 + m).with(|message| message.body = domain::secret::Body::new(long.as_str()))
        });
        let start = Instant::now();
        bench.add(batch).await;
        slowest = slowest.max(start.elapsed());
        // Rows are what makes a checkpoint due.
        bench.add((0..100).map(|m| message(n * 100 + 10_000 + m))).await;
    }
    println!("slowest: {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

fn poll_once<T>(call: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    std::pin::Pin::new(call).poll(&mut Context::from_waker(Waker::noop()))
}
