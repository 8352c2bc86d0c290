//! How fast each lane goes: bulk in batches, the rest freely, and codes past all that waits.

use std::time::Duration;

use domain::message::MessageStatus;
use gateway::request::Content;
use testkit::sim::{Fault, FaultRule, Provider};
use testkit::wait::{LONG, wait_until};

use crate::bench::{AMERICAN, Bench, KENYAN, americans, kenyans, seconds, text};

fn code() -> Content {
    Content { scenario: Some("otp".into()), ..text("Your code is 482913") }
}

/// How many messages with this text were taken.
fn taken(bench: &Bench, body: &str) -> usize {
    bench.sim.ledger().entries_where(|entry| entry.body == body).len()
}

#[tokio::test]
async fn bulk_leaves_ten_a_second_by_twilio_while_single_messages_pass() {
    let bench = Bench::start().await;
    bench.bulk(&americans(25), "Karibu").await;
    for (batch, expected) in [10, 20, 25].into_iter().enumerate() {
        wait_until(|| taken(&bench, "Karibu") >= expected, LONG).await.unwrap();
        // The clock stands: a single message leaves, and bulk does not go on.
        for content in [code(), text("Habari")] {
            let id = bench.try_send(AMERICAN, content).await.unwrap().id;
            bench.stands(id, MessageStatus::Sent).await;
        }
        assert_eq!(taken(&bench, "Karibu"), expected, "batch {batch}");
        bench.clock.advance(seconds(1));
    }
}

#[tokio::test]
async fn the_batch_is_the_one_that_is_set() {
    let setup =
        Bench::setup().set("twilio", "bulk_batch_size", 4).set("twilio", "bulk_batch_interval_ms", 5_000);
    let bench = setup.start().await;
    bench.bulk(&americans(8), "Karibu").await;
    wait_until(|| taken(&bench, "Karibu") == 4, LONG).await.unwrap();
    bench.clock.advance(Duration::from_millis(4_999));
    bench.dispatchers_look().await;
    assert_eq!(taken(&bench, "Karibu"), 4);
    bench.clock.advance(Duration::from_millis(1));
    wait_until(|| taken(&bench, "Karibu") == 8, LONG).await.unwrap();
}

#[tokio::test]
async fn no_more_messages_than_are_set_leave_in_a_second() {
    let bench = Bench::setup().set("twilio", "messages_per_second", 5).start().await;
    for receiver in americans(12) {
        bench.send(&receiver).await;
    }
    for expected in [5, 10, 12] {
        wait_until(|| taken(&bench, "Habari") >= expected, LONG).await.unwrap();
        let kenyan = bench.send(KENYAN).await;
        bench.stands(kenyan, MessageStatus::Sent).await;
        let by_twilio = bench.sim.ledger().by(Provider::Twilio).len();
        assert_eq!(by_twilio, expected);
        bench.clock.advance(seconds(1));
    }
}

#[tokio::test]
async fn a_code_finds_a_free_request_however_much_bulk_is_under_way() {
    let setup = Bench::setup().set("twilio", "bulk_batch_size", 0).set("twilio", "max_in_flight", 4);
    let bench = setup.start().await;
    // As many as bulk may hold of four requests: three.
    bench.sim.inject(FaultRule::next(3, Fault::Slow { ms: 10_000 }).on(Provider::Twilio)).unwrap();
    bench.bulk(&americans(20), "Karibu").await;
    wait_until(|| bench.sim.stats().twilio.submissions == 3, LONG).await.unwrap();
    let id = bench.try_send(AMERICAN, code()).await.unwrap().id;
    bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(taken(&bench, "Karibu"), 0, "bulk was slow, and the code was not held by it");
}

#[tokio::test]
async fn what_is_urgent_leaves_before_what_has_waited_longer() {
    let bench =
        Bench::setup().set("twilio", "max_in_flight", 1).set("twilio", "bulk_batch_size", 0).start().await;
    bench.sim.inject(FaultRule::next(1, Fault::Slow { ms: 2_000 }).on(Provider::Twilio)).unwrap();
    bench.send(AMERICAN).await;
    wait_until(|| bench.sim.stats().twilio.submissions == 1, LONG).await.unwrap();
    let in_order_of_arrival = [
        (None, "normal"),
        (Some("chama_invite"), "bulk"),
        (Some("otp"), "high"),
        (Some("alert"), "critical"),
        (Some("otp"), "high, later"),
    ];
    for (scenario, body) in in_order_of_arrival {
        let content = Content { scenario: scenario.map(ToOwned::to_owned), ..text(body) };
        // Ids and turns go by the millisecond.
        bench.clock.advance(Duration::from_millis(1));
        bench.try_send(AMERICAN, content).await.unwrap();
    }
    bench.taken(6).await;
    let bodies: Vec<_> =
        bench.sim.ledger().by(Provider::Twilio).into_iter().map(|entry| entry.body).collect();
    assert_eq!(bodies, ["Habari", "critical", "high", "high, later", "normal", "bulk"]);
}

#[tokio::test]
async fn no_more_requests_than_are_set_are_under_way() {
    let bench = Bench::setup().set("twilio", "max_in_flight", 2).start().await;
    bench.sim.inject(FaultRule::next(2, Fault::Slow { ms: 2_000 }).on(Provider::Twilio)).unwrap();
    for receiver in americans(4) {
        bench.send(&receiver).await;
    }
    wait_until(|| bench.sim.stats().twilio.submissions == 2, LONG).await.unwrap();
    let kenyan = bench.send(KENYAN).await;
    bench.stands(kenyan, MessageStatus::Sent).await;
    assert_eq!(bench.sim.stats().twilio.submissions, 2);
    wait_until(|| taken(&bench, "Habari") == 5, LONG).await.unwrap();
}

#[tokio::test]
async fn ninety_five_of_a_hundred_go_in_the_first_second_and_the_rest_in_the_next() {
    let bench = Bench::start().await;
    bench.bulk(&kenyans(100), "Karibu").await;
    wait_until(|| taken(&bench, "Karibu") == 95, LONG).await.unwrap();
    // The rest of the rate is kept for what is urgent.
    let id = bench.try_send(KENYAN, code()).await.unwrap().id;
    bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(taken(&bench, "Karibu"), 95);
    bench.clock.advance(seconds(1));
    wait_until(|| taken(&bench, "Karibu") == 100, LONG).await.unwrap();
}

#[tokio::test]
async fn bulk_gets_its_share_however_many_codes_come() {
    let setup = Bench::setup().set("twilio", "bulk_batch_size", 0).set("twilio", "messages_per_second", 20);
    let bench = setup.start().await;
    bench.bulk(&americans(10), "Karibu").await;
    wait_until(|| taken(&bench, "Karibu") == 10, LONG).await.unwrap();
    // The second is used up: more bulk waits beside many more codes than the next second has room for.
    wait_until(|| bench.sim.stats().twilio.submissions == 10, LONG).await.unwrap();
    for receiver in americans(40) {
        bench.try_send(&receiver, code()).await.unwrap();
    }
    bench.bulk(&americans(10), "Karibu tena").await;
    wait_until(|| bench.sim.stats().twilio.submissions == 20, LONG).await.unwrap();
    bench.clock.advance(seconds(1));
    wait_until(|| bench.sim.stats().twilio.submissions == 40, LONG).await.unwrap();
    assert!(taken(&bench, "Karibu tena") >= 1, "bulk is shut");
    assert!(taken(&bench, "Your code is 482913") >= 28, "bulk took more than its share");
}

#[tokio::test]
async fn a_sender_that_is_held_to_a_rate_of_its_own_keeps_no_other_waiting() {
    let bench = Bench::setup().set("twilio", "sender_messages_per_second", 2).start().await;
    let named = || Content { sender: Some("CHAMA".into()), ..text("Habari kutoka chama") };
    for receiver in americans(5) {
        bench.try_send(&receiver, named()).await.unwrap();
    }
    for expected in [2, 3, 5] {
        wait_until(|| taken(&bench, "Habari kutoka chama") >= expected, LONG).await.unwrap();
        let other = bench.send(AMERICAN).await;
        bench.stands(other, MessageStatus::Sent).await;
        assert_eq!(taken(&bench, "Habari kutoka chama"), expected);
        bench.clock.advance(seconds(1));
    }
}
