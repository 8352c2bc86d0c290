//! Messages that leave later, or not at all.

use std::time::Duration;

use domain::message::MessageStatus;
use domain::time::Timestamp;
use gateway::request::Content;
use testkit::clock::FakeClock;
use testkit::sim::{Fault, FaultRule};
use testkit::wait::{LONG, wait_until};

use crate::bench::{AMERICAN, Bench, KENYAN, seconds, text};

/// A time so much later than the clock shows at first.
fn after(wait: Duration) -> Timestamp {
    FakeClock::START.plus(wait)
}

/// As much as the clock can move by at least.
const INSTANT: Duration = Duration::from_micros(1);

#[tokio::test]
async fn a_scheduled_message_leaves_at_its_time_and_not_before() {
    let bench = Bench::start().await;
    let content = Content { scheduled_at: Some(after(seconds(3_600))), ..text("Habari") };
    let answer = bench.try_send(KENYAN, content).await.unwrap();
    assert_eq!(answer.status, MessageStatus::Scheduled);
    bench.clock.set(after(seconds(3_600)).minus(INSTANT));
    bench.dispatchers_look().await;
    assert_eq!(bench.status(answer.id).await, MessageStatus::Scheduled);
    bench.clock.advance(INSTANT);
    bench.stands(answer.id, MessageStatus::Sent).await;
}

#[tokio::test]
async fn a_time_that_has_passed_means_at_once() {
    let bench = Bench::start().await;
    let yesterday = FakeClock::START.minus(seconds(86_400));
    let answer =
        bench.try_send(KENYAN, Content { scheduled_at: Some(yesterday), ..text("Habari") }).await.unwrap();
    assert_eq!(answer.status, MessageStatus::Queued);
    bench.stands(answer.id, MessageStatus::Sent).await;
}

#[tokio::test]
async fn a_scheduled_message_is_sent_after_a_restart() {
    let bench = Bench::start().await;
    let content = Content { scheduled_at: Some(after(seconds(60))), ..text("Habari") };
    let id = bench.try_send(KENYAN, content).await.unwrap().id;
    let bench = bench.restart().await;
    bench.clock.advance(seconds(60));
    bench.stands(id, MessageStatus::Sent).await;
}

#[tokio::test]
async fn a_message_whose_time_has_run_out_is_not_submitted() {
    let bench = Bench::setup().set("twilio", "max_in_flight", 1).start().await;
    bench.sim.inject(FaultRule::next(1, Fault::Slow { ms: 500 })).unwrap();
    let first = bench.send(AMERICAN).await;
    wait_until(|| bench.sim.stats().twilio.submissions == 1, LONG).await.unwrap();
    // It waits for the one request, and the clock goes on.
    let content = Content { expires_at: Some(after(seconds(30))), ..text("Your code is 482913") };
    let id = bench.try_send(AMERICAN, content).await.unwrap().id;
    bench.clock.advance(seconds(30));
    let shown = bench.stands(id, MessageStatus::Expired).await;
    assert_eq!(shown.attempts, []);
    bench.stands(first, MessageStatus::Sent).await;
    assert_eq!(bench.sim.ledger().count(), 1);
}

#[tokio::test]
async fn a_message_leaves_in_the_last_moment_of_its_time() {
    let bench = Bench::start().await;
    let content = Content {
        scheduled_at: Some(after(seconds(30))),
        expires_at: Some(after(seconds(31))),
        ..text("Habari")
    };
    let id = bench.try_send(AMERICAN, content).await.unwrap().id;
    bench.clock.set(after(seconds(31)).minus(INSTANT));
    bench.stands(id, MessageStatus::Sent).await;
}

#[tokio::test]
async fn a_code_is_of_no_use_half_a_minute_after_it_was_to_leave() {
    let bench = Bench::start().await;
    let code = Content { scenario: Some("otp".into()), ..text("Your code is 482913") };
    let expires_at = async |content: Content| {
        let id = bench.try_send(KENYAN, content).await.unwrap().id;
        bench.show(id).await.summary.message.expires_at
    };
    assert_eq!(expires_at(code.clone()).await, Some(after(seconds(30))));
    let later = Content { scheduled_at: Some(after(seconds(60))), ..code.clone() };
    assert_eq!(expires_at(later).await, Some(after(seconds(90))));
    let said = Content { expires_at: Some(after(seconds(120))), ..code };
    assert_eq!(expires_at(said).await, Some(after(seconds(120))));
    assert_eq!(expires_at(text("Habari")).await, None);
}
