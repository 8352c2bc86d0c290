//! What somebody does to the audit trail who has the database and no key: it is found, and named.

use domain::audit::{Actor, Event, Fault, NewEntry, Place};

use super::audit::verified;
use crate::support::{Bench, DAY, Fixture, MINUTE, NOW, With as _, message, message_at, provider};

/// Changes the tables of a trail of twenty entries as somebody would who has the database, and says what is found.
async fn found_after<F: Fixture>(bench: &Bench<F>, statements: &[&str]) -> Option<(Place, Fault)> {
    for n in 1..=20 {
        bench.add([message(n)]).await;
    }
    assert_eq!(verified(&*bench.store).await, Ok(20));
    for sql in statements {
        bench.fixture.run(sql);
    }
    verified(&*bench.store).await.err().map(|broken| (broken.place, broken.fault))
}

const fn entry(seq: i64) -> Place {
    Place::Entry { chain: 1, seq }
}

pub(crate) async fn changed_entry_is_named<F: Fixture>(bench: Bench<F>) {
    let found = found_after(&bench, &["UPDATE audit SET actor = 'operator' WHERE seq = 13"]).await;
    assert_eq!(found, Some((entry(13), Fault::Content)));
}

pub(crate) async fn cut_tail_is_named<F: Fixture>(bench: Bench<F>) {
    let found = found_after(&bench, &["DELETE FROM audit WHERE seq > 10"]).await;
    assert_eq!(found, Some((entry(11), Fault::TailCut)));
    // The gateway goes on all the same, in another chain, and what is broken stays so.
    bench.add([message(99)]).await;
    assert_eq!(verified(&*bench.store).await.unwrap_err().fault, Fault::Missing);
}

pub(crate) async fn entry_that_was_taken_out_is_named<F: Fixture>(bench: Bench<F>) {
    let found = found_after(&bench, &["DELETE FROM audit WHERE seq = 5"]).await;
    assert_eq!(found, Some((entry(5), Fault::Missing)));
}

pub(crate) async fn swapped_entries_are_named<F: Fixture>(bench: Bench<F>) {
    let swap = [
        "UPDATE audit SET seq = 1005 WHERE seq = 5",
        "UPDATE audit SET seq = 5 WHERE seq = 7",
        "UPDATE audit SET seq = 7 WHERE seq = 1005",
    ];
    assert_eq!(found_after(&bench, &swap).await, Some((entry(5), Fault::Order)));
}

pub(crate) async fn head_that_was_put_back_is_named_and_the_gateway_goes_on<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1_000)]).await;
    bench.fixture.run("CREATE TABLE kept AS SELECT * FROM audit_heads");
    let back = [
        "DELETE FROM audit_heads WHERE chain = 1",
        "INSERT INTO audit_heads SELECT * FROM kept",
        "DROP TABLE kept",
    ];
    for n in 1..=20 {
        bench.add([message(n)]).await;
    }
    for sql in back {
        bench.fixture.run(sql);
    }
    let found = verified(&*bench.store).await.unwrap_err();
    assert_eq!((found.place, found.fault), (entry(2), Fault::BehindHead));
    bench.add([message(99)]).await;
    assert_eq!(bench.audit_chains().await.unwrap().len(), 2);
    // And a head that somebody has made up.
    bench.fixture.run("UPDATE audit_heads SET seq = 21 WHERE chain = 1");
    let found = verified(&*bench.store).await.unwrap_err();
    assert_eq!((found.place, found.fault), (Place::Head { chain: 1 }, Fault::HeadChanged));
}

pub(crate) async fn trail_that_was_put_back_as_a_whole_is_found_by_a_checkpoint<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1_000)]).await;
    bench.fixture.run("CREATE TABLE kept AS SELECT * FROM audit_heads");
    let back = [
        "DELETE FROM audit WHERE seq > 1",
        "DELETE FROM audit_heads WHERE chain = 1",
        "INSERT INTO audit_heads SELECT * FROM kept",
        "DROP TABLE kept",
    ];
    for n in 1..=20 {
        bench.add([message(n)]).await;
    }
    bench.checkpoint_audit(NOW.plus(MINUTE)).await.unwrap();
    for sql in back {
        bench.fixture.run(sql);
    }
    let found = verified(&*bench.store).await.unwrap_err();
    assert_eq!((found.place, found.fault), (entry(2), Fault::TailCut));
    // Entries that were made anew stand where a checkpoint saw others.
    for n in 101..=120 {
        bench.add([message(n)]).await;
    }
    let found = verified(&*bench.store).await.unwrap_err();
    assert_eq!((found.place, found.fault), (entry(21), Fault::NotAsSeen));
}

pub(crate) async fn checkpoint_that_was_changed_is_named<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1)]).await;
    bench.checkpoint_audit(NOW).await.unwrap();
    bench.add([message(2)]).await;
    bench.checkpoint_audit(NOW.plus(MINUTE)).await.unwrap();
    let at = async || verified(&*bench.store).await.unwrap_err();
    bench.fixture.run("UPDATE audit_checkpoints SET signature = previous WHERE number = 2");
    let found = at().await;
    assert_eq!((found.place, found.fault), (Place::Checkpoint { number: 2 }, Fault::Signature));
    bench.fixture.run("UPDATE audit_checkpoints SET at = at + 1 WHERE number = 1");
    let found = at().await;
    assert_eq!((found.place, found.fault), (Place::Checkpoint { number: 1 }, Fault::Content));
    bench.fixture.run("DELETE FROM audit_checkpoints WHERE number = 1");
    assert_eq!(at().await.fault, Fault::Missing);
    bench.fixture.run("DELETE FROM audit_checkpoints");
    assert_eq!(at().await.fault, Fault::TailCut);
}

pub(crate) async fn chain_that_was_taken_out_as_a_whole_is_named<F: Fixture>(bench: Bench<F>) {
    // Two chains: the clock of one node is ahead.
    bench.add([message_at(1, NOW.plus(DAY))]).await;
    bench.add([message_at(2, NOW)]).await;
    bench.checkpoint_audit(NOW.plus(DAY)).await.unwrap();
    assert_eq!(verified(&*bench.store).await, Ok(2));
    let found = async || {
        let broken = verified(&*bench.store).await.unwrap_err();
        (broken.place, broken.fault)
    };
    // What a checkpoint has seen, and the checkpoints too.
    bench.fixture.run("DELETE FROM audit WHERE chain = 2; DELETE FROM audit_heads WHERE chain = 2");
    bench.fixture.run("DELETE FROM audit_checkpoints; DELETE FROM audit_heads WHERE chain = 0");
    assert_eq!(found().await, (Place::Checkpoint { number: 1 }, Fault::TailCut));
    // The gateway goes on, and begins to count checkpoints anew.
    bench.add([message_at(3, NOW)]).await;
    bench.checkpoint_audit(NOW.plus(2 * DAY)).await.unwrap();
    bench.add([message_at(4, NOW.plus(3 * DAY))]).await;
    bench.fixture.run("DELETE FROM audit WHERE chain = 1; DELETE FROM audit_heads WHERE chain = 1");
    bench.fixture.run("DELETE FROM audit_checkpoints; DELETE FROM audit_heads WHERE chain = 0");
    assert_eq!(found().await, (Place::Head { chain: 1 }, Fault::HeadChanged));
}

pub(crate) async fn chain_that_knows_of_a_checkpoint_can_not_be_made_to_forget_it<F: Fixture>(
    bench: Bench<F>,
) {
    bench.add([message(1)]).await;
    bench.checkpoint_audit(NOW.plus(MINUTE)).await.unwrap();
    bench.add([message(2)]).await;
    bench.fixture.run("UPDATE audit_heads SET last_checkpoint = 0 WHERE chain = 1");
    let broken = verified(&*bench.store).await.unwrap_err();
    assert_eq!((broken.place, broken.fault), (Place::Head { chain: 1 }, Fault::HeadChanged));
}

/// Every column of an entry, each changed by a little.
pub(crate) async fn change_of_any_column_is_found<F: Fixture>(bench: Bench<F>) {
    let note = NewEntry {
        length: Some(3),
        segments: Some(1),
        outcome: Some("sent"),
        provider: Some(provider("twilio")),
        subject: Some("it".into()),
        ..NewEntry::new(NOW, Actor::System, Event::SmsRefused)
    };
    bench.add([message(1)]).await;
    bench.note(vec![note]).await.unwrap();
    let id = F::literal(message(9).id());
    let changes = [
        ("at", "at + 1".to_owned()),
        ("actor", "'operator'".to_owned()),
        ("event", "'sms.sent'".to_owned()),
        ("message_id", id),
        ("receiver", "7".to_owned()),
        ("provider", "'twilip'".to_owned()),
        ("length", "4".to_owned()),
        ("segments", "NULL".to_owned()),
        ("outcome", "'seny'".to_owned()),
        ("subject", "''".to_owned()),
        ("hash", "(SELECT hash FROM audit WHERE seq = 1)".to_owned()),
    ];
    for (column, value) in changes {
        bench.fixture.run("CREATE TABLE kept AS SELECT * FROM audit");
        bench.fixture.run(&format!("UPDATE audit SET {column} = {value} WHERE seq = 2"));
        let found = verified(&*bench.store).await.unwrap_err();
        assert_eq!((found.place, found.fault), (entry(2), Fault::Content), "{column}");
        bench.fixture.run("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept");
        assert_eq!(verified(&*bench.store).await, Ok(2), "{column}");
    }
}
