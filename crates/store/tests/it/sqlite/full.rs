//! A disk that is full: nothing half-written, and work goes on when there is room again.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use domain::secret::Body;
use store::StoreError;
use store::port::messages::{Accept, Accepted};
use tokio::task::JoinSet;

use super::{folder_of_child, in_child, open};
use crate::support::{With, message};

/// A file that a child may remove to make room.
const BALLAST: &str = "ballast";

/// Holds the child's files to about a megabyte each. The signal that tells of it is ignored, as it is for a service
/// that must not die of it; then writing fails.
const LIMITED: &[&str] = &["sh", "-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""];

/// Gives the child a disk of eight megabytes over its folder, which is gone when it ends.
const SMALL_DISK: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    "mount -t tmpfs -o size=8m small \"$STORE_TEST_FOLDER\" && exec \"$0\" \"$@\"",
];

#[tokio::test]
async fn accepts_that_were_answered_are_there_and_refused_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let told = in_child("sqlite::full::child_fills_its_files", folder.path(), LIMITED, |_| {});
    let answers = read_answers(&told);
    check(folder.path(), &answers).await;
    assert!(answers.values().any(|stored| *stored) && answers.values().any(|stored| !*stored), "{told}");
}

#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn child_fills_its_files() {
    let store = open(&folder_of_child().join("tuma.db")).await.unwrap();
    for round in 0..60 {
        for (n, answer) in accept_some(&store, round).await {
            assert!(matches!(answer, Ok(Accepted::Stored) | Err(StoreError::Io(_))), "{answer:?}");
            tell(n, answer.is_ok());
        }
    }
}

#[tokio::test]
async fn full_disk_is_told_and_work_goes_on_when_there_is_room() {
    let mut try_out = Command::new(SMALL_DISK[0]);
    try_out.args(&SMALL_DISK[1..4]).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
    if !try_out.status().is_ok_and(|status| status.success()) {
        println!("skipped: this system lets nobody mount a disk of their own");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    in_child("sqlite::full::child_fills_a_disk", folder.path(), SMALL_DISK, |_| {});
}

#[tokio::test]
#[ignore = "run by another test, in a process of its own"]
async fn child_fills_a_disk() {
    let folder = folder_of_child();
    let store = open(&folder.join("tuma.db")).await.unwrap();
    std::fs::write(folder.join(BALLAST), vec![0; 6 << 20]).unwrap();
    let mut answers = BTreeMap::new();
    let mut full = 0;
    for round in 0..200 {
        for (n, answer) in accept_some(&store, round).await {
            assert!(matches!(answer, Ok(Accepted::Stored) | Err(StoreError::Full)), "{answer:?}");
            full += u32::from(answer.is_err());
            answers.insert(n, answer.is_ok());
        }
    }
    assert!(full > 0);
    // What is stored can still be read.
    for (n, stored) in &answers {
        assert_eq!(store.message(message(*n).id()).await.unwrap().is_some(), *stored, "message {n}");
    }
    std::fs::remove_file(folder.join(BALLAST)).unwrap();
    for (n, answer) in accept_some(&store, 1_000).await {
        assert_eq!(answer, Ok(Accepted::Stored));
        answers.insert(n, true);
    }
    store.close().await;
    check(&folder, &answers).await;
}

/// Accepts a few long messages at once.
async fn accept_some(store: &Arc<dyn store::Store>, round: u64) -> Vec<(u64, Result<Accepted, StoreError>)> {
    let mut accepts = JoinSet::new();
    for n in round * 8..round * 8 + 8 {
        let store = Arc::clone(store);
        let long = message(n).with(|message| message.body = Body::new("x".repeat(5_000)));
        let accept = Accept { messages: vec![long], idempotency: None, no_repeats_since: None };
        accepts.spawn(async move { (n, store.accept(accept).await) });
    }
    accepts.join_all().await
}

#[expect(clippy::print_stdout, reason = "so does a child answer")]
fn tell(n: u64, stored: bool) {
    println!("\naccept {n} {stored}");
}

fn read_answers(told: &str) -> BTreeMap<u64, bool> {
    let answers = told.lines().filter_map(|line| line.strip_prefix("accept ")?.split_once(' '));
    answers.map(|(n, stored)| (n.parse().unwrap(), stored.parse().unwrap())).collect()
}

/// The store holds exactly what it said it stored, and goes on.
async fn check(folder: &Path, answers: &BTreeMap<u64, bool>) {
    let store = open(&folder.join("tuma.db")).await.unwrap();
    for (n, stored) in answers {
        assert_eq!(store.message(message(*n).id()).await.unwrap().is_some(), *stored, "message {n}");
    }
    for (_, answer) in accept_some(&store, 2_000).await {
        assert_eq!(answer, Ok(Accepted::Stored));
    }
    store.close().await;
    let sound: String = super::raw(&folder.join("tuma.db"))
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}
