//! Lists of messages: filters, bounds and pages.

use std::time::Duration;

use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::receipt::ReceiptStatus;
use domain::scenario::Scenario;
use domain::time::Timestamp;
use store::port::messages::{Filter, NewMessage, Page};
use store::port::queue::Next;

use crate::support::{
    Bench, Fixture, HOUR, MINUTE, NOW, With, caller, message, message_at, provider, receipt_for, receiver,
    rejected,
};

/// Every message of a list, page by page.
async fn pages<F: Fixture>(bench: &Bench<F>, filter: &Filter, limit: u32) -> Vec<MessageId> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = bench.messages(filter.clone(), Page { after, limit }).await.unwrap();
        assert!(page.len() <= limit as usize);
        all.extend(page.iter().map(|summary| summary.message.id));
        match page.last() {
            Some(last) => after = Some(last.message.id),
            None => return all,
        }
    }
}

fn newest_first(messages: &[NewMessage]) -> Vec<MessageId> {
    let mut ids: Vec<_> = messages.iter().map(With::id).collect();
    ids.sort_unstable();
    ids.reverse();
    ids
}

/// One message in each status, named by its position in [`MessageStatus::ALL`]. `canceled` is left out: nothing
/// cancels yet.
async fn one_in_each_status<F: Fixture>(bench: &Bench<F>) -> Vec<(MessageStatus, MessageId)> {
    use MessageStatus as S;
    let mut made = Vec::new();
    for (n, status) in (0..).zip(S::ALL) {
        let new = message(n);
        let id = new.id();
        match status {
            S::Scheduled => {
                bench.add([new.with(|message| message.scheduled_at = Some(NOW.plus(HOUR)))]).await;
            }
            // Of another provider, so that the claims for the others leave it.
            S::Queued => bench.add([new.via("africastalking")]).await,
            S::Sending => drop(bench.add_and_take(new).await),
            S::Sent => drop(bench.add_and_send(new, "SM-sent").await),
            S::Delivered => {
                bench.add_and_send(new, "SM-delivered").await;
                bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
            }
            S::Undelivered => {
                bench.add_and_send(new, "SM-undelivered").await;
                bench.receive(receipt_for(id, ReceiptStatus::Undelivered)).await;
            }
            S::Failed => {
                let claimed = bench.add_and_take(new).await;
                bench.end(&claimed, rejected(), Next::Stop).await;
            }
            S::Canceled => continue,
            S::Expired => {
                bench.add([new.with(|message| message.expires_at = Some(NOW.plus(MINUTE)))]).await;
                assert_eq!(bench.take(NOW.plus(2 * MINUTE)).await.len(), 0);
            }
        }
        made.push((*status, id));
    }
    made
}

pub(crate) async fn empty_store_lists_nothing<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.list(Filter::default()).await, []);
    assert_eq!(bench.list(Filter { receiver: Some(receiver(1)), ..Filter::default() }).await, []);
    assert_eq!(bench.list(Filter { status: Some(MessageStatus::Failed), ..Filter::default() }).await, []);
}

pub(crate) async fn list_is_newest_first_and_complete<F: Fixture>(bench: Bench<F>) {
    let messages: Vec<_> = [3, 1, 4, 2].into_iter().map(message).collect();
    for new in &messages {
        bench.add([new.clone()]).await;
    }
    let page = bench.messages(Filter::default(), Page { after: None, limit: 100 }).await.unwrap();
    for (summary, n) in page.iter().zip([4, 3, 2, 1]) {
        assert_eq!(summary.message, message(n).message);
        assert_eq!(summary.status, MessageStatus::Queued);
        assert_eq!(summary.provider, provider("twilio"));
    }
    assert_eq!(page.len(), 4);
}

pub(crate) async fn each_status_lists_its_messages<F: Fixture>(bench: Bench<F>) {
    let made = one_in_each_status(&bench).await;
    for (status, id) in made {
        assert_eq!(bench.status(id).await, status);
        let filter = Filter { status: Some(status), ..Filter::default() };
        assert_eq!(bench.list(filter.clone()).await, [id], "{status}");
        let others = Filter { caller: Some(caller(2)), ..filter.clone() };
        assert_eq!(bench.list(others).await, [], "{status}");
        let with_receiver =
            Filter { receiver: Some(bench.show(id).await.summary.message.receiver), ..filter };
        assert_eq!(bench.list(with_receiver).await, [id], "{status}");
    }
}

pub(crate) async fn failed_message_is_listed_with_its_reason<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    bench.end(&claimed, rejected(), Next::Stop).await;
    let filter = Filter { status: Some(MessageStatus::Failed), ..Filter::default() };
    let page = bench.messages(filter, Page { after: None, limit: 1 }).await.unwrap();
    assert_eq!(page[0].failure.as_ref(), rejected().failure());
    assert_eq!(page[0].updated_at, claimed.due_at.plus(Duration::from_secs(1)));
}

pub(crate) async fn caller_sees_only_its_own<F: Fixture>(bench: Bench<F>) {
    let theirs = message(2).with(|message| message.caller = caller(2));
    bench.add([message(1), theirs.clone(), message(3)]).await;
    let filter = |n| Filter { caller: Some(caller(n)), ..Filter::default() };
    assert_eq!(bench.list(filter(1)).await, [message(3).id(), message(1).id()]);
    assert_eq!(bench.list(filter(2)).await, [theirs.id()]);
    assert_eq!(bench.list(filter(3)).await, []);
}

pub(crate) async fn scenario_and_provider_list_their_messages<F: Fixture>(bench: Bench<F>) {
    let code = message(1).with(|message| message.scenario = Scenario::Otp);
    let kenyan = message(2).via("africastalking");
    bench.add([code.clone(), kenyan.clone()]).await;
    let scenario = Filter { scenario: Some(Scenario::Otp), ..Filter::default() };
    assert_eq!(bench.list(scenario).await, [code.id()]);
    let by = |name| Filter { provider: Some(provider(name)), ..Filter::default() };
    assert_eq!(bench.list(by("africastalking")).await, [kenyan.id()]);
    assert_eq!(bench.list(by("twilio")).await, [code.id()]);
    assert_eq!(bench.list(by("nobody")).await, []);
}

pub(crate) async fn provider_is_the_one_that_has_it_or_is_asked_next<F: Fixture>(bench: Bench<F>) {
    let claimed = bench.add_and_take(message(1)).await;
    let next = match crate::support::retry(NOW.plus(MINUTE)) {
        Next::Retry { priority, due_at, expires_at, refused_by, .. } => {
            Next::Retry { provider: provider("africastalking"), priority, due_at, expires_at, refused_by }
        }
        other => other,
    };
    bench.end(&claimed, crate::support::not_submitted(), next).await;
    let by = |name| Filter { provider: Some(provider(name)), ..Filter::default() };
    assert_eq!(bench.list(by("africastalking")).await, [message(1).id()]);
    assert_eq!(bench.list(by("twilio")).await, []);
}

pub(crate) async fn conditions_combine<F: Fixture>(bench: Bench<F>) {
    // Sixteen messages: all combinations of two callers, receivers, scenarios and providers.
    let mut made = Vec::new();
    for n in 0..16 {
        let pick = |bit: u64| n >> bit & 1;
        let scenario = [Scenario::Alert, Scenario::General][usize::from(pick(2) == 1)];
        let new = message(n).via(["twilio", "africastalking"][usize::from(pick(3) == 1)]).with(|message| {
            message.caller = caller(pick(0));
            message.receiver = receiver(pick(1));
            message.scenario = scenario;
        });
        bench.add([new.clone()]).await;
        made.push(new);
    }
    for mask in 0..16 {
        let filter = Filter {
            caller: (mask & 1 > 0).then(|| caller(1)),
            receiver: (mask & 2 > 0).then(|| receiver(1)),
            scenario: (mask & 4 > 0).then_some(Scenario::General),
            provider: (mask & 8 > 0).then(|| provider("africastalking")),
            status: Some(MessageStatus::Queued),
            since: Some(message(0).message.created_at),
            until: Some(message(15).message.created_at),
        };
        let expected: Vec<_> =
            (0..15_usize).rev().filter(|n| n & mask == mask).map(|n| made[n].id()).collect();
        assert_eq!(bench.list(filter.clone()).await, expected, "{mask:04b}");
        assert_eq!(pages(&bench, &filter, 2).await, expected, "{mask:04b}, by pages");
    }
}

pub(crate) async fn since_is_inclusive_and_until_exclusive_to_the_microsecond<F: Fixture>(bench: Bench<F>) {
    // Ten messages within ten microseconds: their ids do not tell the time that finely.
    let start = Timestamp::from_micros(NOW.as_micros() / 1_000_000 * 1_000_000 + 999_995);
    let time = |n: u64| start.plus(Duration::from_micros(n));
    let messages: Vec<_> = (0..10).map(|n| message_at(n, time(n))).collect();
    bench.add(messages.clone()).await;
    for (since, until) in [(0, 10), (3, 7), (4, 5), (5, 5), (5, 6), (9, 10), (7, 3)] {
        let bounds = Filter { since: Some(time(since)), until: Some(time(until)), ..Filter::default() };
        let within: Vec<_> = messages
            .iter()
            .filter(|new| (time(since)..time(until)).contains(&new.message.created_at))
            .cloned()
            .collect();
        assert_eq!(bench.list(bounds.clone()).await, newest_first(&within), "{since} to {until}");
        for new in &messages {
            let receiver = Some(new.message.receiver);
            let found = bench.list(Filter { receiver, ..bounds.clone() }).await;
            let inside = within.iter().any(|other| other.id() == new.id());
            assert_eq!(found.len(), usize::from(inside), "{since} to {until}, by receiver");
        }
    }
}

pub(crate) async fn bounds_hold_in_the_list_of_trouble<F: Fixture>(bench: Bench<F>) {
    for n in 0..6 {
        let claimed = bench.add_and_take(message(n)).await;
        bench.end(&claimed, rejected(), Next::Stop).await;
    }
    let filter = Filter {
        status: Some(MessageStatus::Failed),
        since: Some(message(1).message.created_at),
        until: Some(message(4).message.created_at),
        ..Filter::default()
    };
    let expected = [3, 2, 1].map(|n| message(n).id());
    assert_eq!(bench.list(filter.clone()).await, expected);
    assert_eq!(pages(&bench, &filter, 1).await, expected);
}

pub(crate) async fn pages_return_every_message_once<F: Fixture>(bench: Bench<F>) {
    // Some of them within one millisecond, where only the rest of the id tells them apart.
    let messages: Vec<_> = (0..25).map(|n| message_at(n, NOW.plus(Duration::from_micros(n * 100)))).collect();
    bench.add(messages.clone()).await;
    let expected = newest_first(&messages);
    for limit in [1, 2, 7, 24, 25, 26] {
        assert_eq!(pages(&bench, &Filter::default(), limit).await, expected, "pages of {limit}");
    }
}

pub(crate) async fn pages_do_not_shift_when_messages_arrive<F: Fixture>(bench: Bench<F>) {
    bench.add((0..10).map(message)).await;
    let first = bench.messages(Filter::default(), Page { after: None, limit: 5 }).await.unwrap();
    bench.add((10..20).map(message)).await;
    let after = first.last().map(|summary| summary.message.id);
    let second = bench.messages(Filter::default(), Page { after, limit: 100 }).await.unwrap();
    let ids: Vec<_> = second.iter().map(|summary| summary.message.id).collect();
    assert_eq!(ids, newest_first(&(0..5).map(message).collect::<Vec<_>>()));
}

pub(crate) async fn receiver_lists_its_messages_over_many_hours<F: Fixture>(bench: Bench<F>) {
    let mut theirs = Vec::new();
    // Hours with several messages, with one, and with none, and other receivers in between.
    for (n, hours) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 5), (7, 30), (8, 200)] {
        let at = NOW.plus(HOUR * hours).plus(Duration::from_millis(n));
        let new = message_at(n, at).with(|message| message.receiver = receiver(7));
        let other = message_at(n + 100, at);
        bench.add([new.clone(), other]).await;
        theirs.push(new);
    }
    let filter = Filter { receiver: Some(receiver(7)), ..Filter::default() };
    assert_eq!(bench.list(filter.clone()).await, newest_first(&theirs));
    for limit in [1, 2, 3, 8] {
        assert_eq!(pages(&bench, &filter, limit).await, newest_first(&theirs), "pages of {limit}");
    }
    let bounded = Filter {
        since: Some(theirs[2].message.created_at),
        until: Some(theirs[6].message.created_at),
        ..filter
    };
    assert_eq!(pages(&bench, &bounded, 2).await, newest_first(&theirs[2..6]));
}
