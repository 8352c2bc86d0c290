//! What the file keeps of what is gone: neither its room nor its bytes.

use domain::audit::Actor;
use domain::secret::Body;
use store::port::history::KeepHistory;
use store::port::messages::Cancel;

use crate::conformance::history::{forget, ninety_days};
use crate::support::{Bench, DAY, Fixture as _, NOW, SqliteFixture, With as _, message};

fn bytes(bench: &Bench<SqliteFixture>) -> Vec<u8> {
    std::fs::read(bench.fixture.path()).unwrap()
}

#[tokio::test]
async fn file_gives_room_back_when_much_is_forgotten() {
    let mut bench = Bench::<SqliteFixture>::new().await;
    for part in 0..10 {
        let long = |n| message(n).with(|message| message.body = Body::new("Habari ya leo ".repeat(80)));
        let new: Vec<_> = (part * 100..part * 100 + 100).map(long).collect();
        let messages = new.iter().map(|new| new.message.id).collect();
        bench.add(new).await;
        bench.cancel(Cancel { messages, by: Actor::Operator, now: NOW }).await.unwrap();
    }
    // When it is closed, the log is in the file.
    bench.reopen().await;
    let before = bytes(&bench).len();
    assert!(before > 1_000_000, "{before}");
    let keep = KeepHistory { limit: 100, ..ninety_days(NOW.plus(200 * DAY)) };
    forget(&bench, keep).await;
    bench.reopen().await;
    let after = bytes(&bench).len();
    assert!(after < before / 4, "{before} bytes, then {after}");
}

#[tokio::test]
async fn file_that_was_not_written_anew_after_sealing_is_at_the_next_start() {
    let mut bench = Bench::<SqliteFixture>::new().await;
    bench.close().await;
    // As after a start that sealed all and was killed then: what was there stands in free pages.
    bench.fixture.run(
        "CREATE TABLE gone (text TEXT); INSERT INTO gone VALUES ('plain:254712345678' || hex(zeroblob(9000))); \
         DROP TABLE gone; INSERT INTO progress (chore, mark) VALUES ('rewrite', x'')",
    );
    let has_plain =
        |bench: &Bench<SqliteFixture>| bytes(bench).windows(18).any(|window| window == b"plain:254712345678");
    assert!(has_plain(&bench));
    bench.reopen().await;
    assert!(!has_plain(&bench));
    let marks = "SELECT count(*) FROM progress WHERE chore = 'rewrite'".to_owned();
    assert_eq!(bench.fixture.counts(vec![marks]), [0]);
}
