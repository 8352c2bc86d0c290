//! What is held back, what is refused as a repetition, and what belongs together.

use std::sync::Arc;

use domain::civil::QuietHours;
use domain::ids::BulkId;
use domain::message::MessageStatus;
use domain::scenario::Scenario;
use domain::time::Timestamp;
use store::port::messages::{Accept, Accepted, Idempotency, NewMessage};
use store::port::queue::Claim;

use crate::support::{
    Bench, Fixture, HOUR, MINUTE, NOW, SECOND, With, caller, claim, entropy, message, message_at, receiver,
    resend,
};

/// Midnight in Nairobi before [`NOW`], which is half past eleven in the morning there.
const MIDNIGHT: Timestamp = Timestamp::from_micros(1_795_381_200_000_000);

/// Transactions are quiet from nine in the evening to eight in the morning, by the receiver's clock.
fn nights() -> Arc<QuietHours> {
    let night = "21:00-08:00".parse().unwrap();
    Arc::new(QuietHours { by_scenario: [(Scenario::Transaction, night)].into(), zone: None })
}

fn at_night(now: Timestamp) -> Claim {
    Claim { quiet: nights(), ..claim(now) }
}

pub(crate) async fn message_in_quiet_hours_waits_until_they_end<F: Fixture>(bench: Bench<F>) {
    let night = MIDNIGHT.plus(HOUR);
    let morning = MIDNIGHT.plus(8 * HOUR);
    bench.add([message_at(1, night)]).await;
    bench.add([message_at(2, night.plus(SECOND)).with(|message| message.scenario = Scenario::Otp)]).await;
    let claims = bench.claim(at_night(night.plus(MINUTE))).await.unwrap();
    assert_eq!(claims.claimed.len(), 1);
    assert_eq!(claims.claimed[0].submission.scenario, Scenario::Otp);
    assert_eq!(claims.next_due[2], Some(morning));
    assert_eq!(bench.status(message_at(1, night).id()).await, MessageStatus::Queued);
    let claims = bench.claim(at_night(morning)).await.unwrap();
    assert_eq!(claims.claimed[0].submission.message_id, message_at(1, night).id());
    assert_eq!(claims.claimed[0].due_at, morning);
}

pub(crate) async fn message_in_quiet_hours_does_not_hold_back_those_behind_it<F: Fixture>(bench: Bench<F>) {
    let night = MIDNIGHT.plus(HOUR);
    let at = |n| night.plus(SECOND * u32::try_from(n).unwrap());
    bench.add((0..300).map(|n| message_at(n, at(n)))).await;
    bench.add([message_at(300, at(300)).with(|message| message.scenario = Scenario::General)]).await;
    let mut claimed = Vec::new();
    for _ in 0..2 {
        let one = Claim { total: 1, ..at_night(night.plus(HOUR)) };
        claimed.extend(bench.claim(one).await.unwrap().claimed);
    }
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].submission.scenario, Scenario::General);
    let morning = bench.claim(at_night(MIDNIGHT.plus(8 * HOUR))).await.unwrap();
    assert_eq!(morning.claimed.len(), 300);
}

pub(crate) async fn message_that_was_sent_again_is_held_too<F: Fixture>(bench: Bench<F>) {
    let id = bench.add_and_send(message_at(1, MIDNIGHT.minus(5 * HOUR)), "SM1").await;
    let night = MIDNIGHT.plus(HOUR);
    bench.resend(resend(id, night)).await.unwrap();
    assert_eq!(bench.claim(at_night(night)).await.unwrap().claimed.len(), 0);
    let claimed = bench.claim(at_night(MIDNIGHT.plus(8 * HOUR))).await.unwrap().claimed;
    assert_eq!((claimed.len(), claimed[0].submission.attempt), (1, 2));
}

pub(crate) async fn message_is_held_from_the_start<F: Fixture>(bench: Bench<F>) {
    let held = NewMessage { held_until: Some(NOW.plus(HOUR)), ..message(1) };
    let later = NewMessage { held_until: Some(NOW.plus(HOUR)), ..message(2) }
        .with(|message| message.scheduled_at = Some(NOW.plus(2 * HOUR)));
    bench.add([held, later]).await;
    assert_eq!(bench.status(message(1).id()).await, MessageStatus::Scheduled);
    assert_eq!(bench.take(NOW.plus(MINUTE)).await.len(), 0);
    let claimed = bench.take(NOW.plus(HOUR)).await;
    // Its caller did not ask for that.
    assert_eq!((claimed.len(), claimed[0].first_due_at), (1, message(1).message.created_at));
    let claimed = bench.take(NOW.plus(2 * HOUR)).await;
    assert_eq!((claimed.len(), claimed[0].first_due_at), (1, NOW.plus(2 * HOUR)));
}

/// Accepts unless its caller has sent the same in the last ten minutes.
async fn accept<F: Fixture>(bench: &Bench<F>, messages: Vec<NewMessage>) -> Accepted {
    let no_repeats_since = messages.first().map(|new| new.message.created_at.minus(10 * MINUTE));
    bench.accept(Accept { messages, idempotency: None, no_repeats_since }).await.unwrap()
}

/// The same text to the same number, at another time.
fn same(n: u64, at: Timestamp) -> NewMessage {
    let first = message(1).message;
    message_at(n, at).with(|message| (message.receiver, message.body) = (first.receiver, first.body))
}

pub(crate) async fn repeated_text_is_refused_and_nothing_stored<F: Fixture>(bench: Bench<F>) {
    assert_eq!(accept(&bench, vec![message(1)]).await, Accepted::Stored);
    // Within the time, also over the hour.
    for minutes in [0, 5, 9] {
        let again = same(2, NOW.plus(MINUTE * minutes));
        let refused = accept(&bench, vec![message(3), again.clone()]).await;
        assert_eq!(refused, Accepted::Duplicates(vec![again.id()]));
        assert!(bench.message(message(3).id()).await.unwrap().is_none());
    }
    assert_eq!(accept(&bench, vec![same(4, NOW.plus(11 * MINUTE))]).await, Accepted::Stored);
}

pub(crate) async fn other_text_number_or_caller_is_no_repetition<F: Fixture>(bench: Bench<F>) {
    assert_eq!(accept(&bench, vec![message(1)]).await, Accepted::Stored);
    let later = NOW.plus(MINUTE);
    let others = vec![
        same(2, later).with(|message| message.body = domain::secret::Body::new("Another text.")),
        same(3, later).with(|message| message.receiver = receiver(9)),
        same(4, later).with(|message| message.caller = caller(2)),
    ];
    assert_eq!(accept(&bench, others).await, Accepted::Stored);
}

pub(crate) async fn repetition_over_the_hour_is_found<F: Fixture>(bench: Bench<F>) {
    let hour = Timestamp::from_micros(NOW.as_micros() / 3_600_000_000 * 3_600_000_000);
    assert_eq!(accept(&bench, vec![same(1, hour.minus(SECOND))]).await, Accepted::Stored);
    let again = same(2, hour.plus(SECOND));
    assert_eq!(accept(&bench, vec![again.clone()]).await, Accepted::Duplicates(vec![again.id()]));
}

pub(crate) async fn request_with_a_key_says_itself_what_it_repeats<F: Fixture>(bench: Bench<F>) {
    bench.add([message(1)]).await;
    let again = same(2, NOW.plus(SECOND));
    let idempotency = Some(Idempotency {
        key: [1; 32],
        request: [2; 32],
        reply: "{}".into(),
        now: NOW.plus(SECOND),
        since: NOW.minus(HOUR),
    });
    let accept = Accept { messages: vec![again], idempotency, no_repeats_since: Some(NOW.minus(HOUR)) };
    assert_eq!(bench.accept(accept).await, Ok(Accepted::Stored));
}

pub(crate) async fn messages_of_a_bulk_are_those_that_came_with_it<F: Fixture>(bench: Bench<F>) {
    let bulk = |n| BulkId::new(NOW, entropy(n));
    let of = |n, bulk_id| message_at(n, NOW).with(|message| message.bulk_id = Some(bulk_id));
    bench.add([of(1, bulk(1)), of(2, bulk(1)), of(3, bulk(2)), message_at(4, NOW)]).await;
    bench.add([message_at(5, NOW.plus(SECOND))]).await;
    let mut found: Vec<_> =
        bench.messages_of_bulk(bulk(1)).await.unwrap().iter().map(|summary| summary.message.id).collect();
    found.sort();
    assert_eq!(found, [1, 2].map(|n| message_at(n, NOW).id()));
    assert_eq!(bench.messages_of_bulk(bulk(9)).await.unwrap().len(), 0);
}
