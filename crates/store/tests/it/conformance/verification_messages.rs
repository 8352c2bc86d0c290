//! What becomes of a message when the code that it carries ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::audit::Event;
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::quota::{Allowance, Draw};
use domain::verification::VerificationStatus;
use store::port::audit::{AuditFilter, AuditPage};
use store::port::messages::{Accepted, NewMessage};
use store::port::queue::Next;
use store::port::verifications::{Deed, NewVerification};
use tokio::task::JoinSet;

use super::verifications::{begin, begins, carries, change, changed, check, id_of, one, status};
use crate::support::{
    Bench, DAY, Fixture, MINUTE, NOW, SECOND, accepted, claim, end, ids_of, not_submitted, rejected, resend,
    retry,
};

async fn stands<F: Fixture>(bench: &Bench<F>, id: MessageId) -> MessageStatus {
    bench.show(id).await.summary.status
}

pub(crate) async fn what_has_not_left_is_stopped_when_its_code_ends<F: Fixture>(bench: Bench<F>) {
    let (superseded, canceled, approved, failed) = (
        begin(&bench, 1, NOW).await,
        begin(&bench, 2, NOW).await,
        begin(&bench, 3, NOW).await,
        begin(&bench, 4, NOW).await,
    );
    let later = NOW.plus(SECOND);
    let successor = begin(&bench, 1, later).await;
    changed(&bench, change(canceled, Deed::Cancel, later)).await;
    check(&bench, approved, "482913", later).await;
    for _ in 0..5 {
        check(&bench, failed, "000000", later).await;
    }
    for id in [superseded, canceled, approved, failed] {
        let shown = bench.show(id.message()).await.summary;
        assert_eq!((shown.status, shown.updated_at), (MessageStatus::Canceled, later));
    }
    // Nothing but the code that is open waits, and leaves.
    let waiting: u64 = bench.depth(later).await.unwrap().iter().map(|lane| lane.messages).sum();
    assert_eq!(waiting, 1);
    assert_eq!(ids_of(&bench.take(later).await), [successor.message()]);
}

pub(crate) async fn same_code_again_leaves_with_the_newer_message_alone<F: Fixture>(bench: Bench<F>) {
    let keeps = NewVerification { keeps_code: true, ..begins("482913", NOW) };
    let first = carries(1, NOW, keeps.clone());
    let first_id = id_of(&first);
    bench.add([first]).await;
    let second = carries(1, NOW.plus(SECOND), NewVerification { same_as: Some(first_id), ..keeps });
    let second_id = id_of(&second);
    bench.add([second]).await;
    assert_eq!(stands(&bench, first_id.message()).await, MessageStatus::Canceled);
    assert_eq!(ids_of(&bench.take(NOW.plus(MINUTE)).await), [second_id.message()]);
}

pub(crate) async fn stopping_it_is_told_and_settled_as_any_cancel_is<F: Fixture>(bench: Bench<F>) {
    bench.keep_events(true).await.unwrap();
    let allowance = Allowance::Cap { most: 100, ends: NOW.plus(DAY) };
    let draws = vec![Draw { quota: 7, amount: 60, allowance }];
    let new = NewMessage { draws, ..carries(1, NOW, begins("482913", NOW)) };
    let id = new.message.id;
    assert!(matches!(bench.accept(one(new)).await, Ok(Accepted::StoredWithin(_))));
    begin(&bench, 1, NOW.plus(SECOND)).await;
    let told: Vec<_> =
        bench.events(100).await.unwrap().into_iter().filter(|told| told.message_id == id).collect();
    let told: Vec<_> = told.into_iter().map(|told| told.status).collect();
    assert_eq!(told, ["queued", "canceled"]);
    let filter = AuditFilter { message_id: Some(id), ..AuditFilter::default() };
    let entries = bench.audit(filter, AuditPage { after: None, limit: 10 }).await.unwrap();
    let last = entries.iter().find(|entry| entry.event == Event::SmsCanceled.as_str()).unwrap();
    let by_its_caller = entries.iter().find(|entry| entry.event == Event::SmsAccepted.as_str()).unwrap();
    assert_eq!(last.actor, by_its_caller.actor);
    // Where its reservation is settled, it is one of a message that was canceled and of which nobody took anything.
    let reserved = bench.store.reservations(None, 10).await.unwrap();
    let of_it =
        reserved.iter().find(|reserved| reserved.id.message_id == id).unwrap().message.as_ref().unwrap();
    assert_eq!((of_it.status, of_it.taken.len()), (MessageStatus::Canceled, 0));
}

pub(crate) async fn what_is_under_way_is_not_stopped_and_not_tried_again<F: Fixture>(bench: Bench<F>) {
    let (first, second, third) =
        (begin(&bench, 1, NOW).await, begin(&bench, 2, NOW).await, begin(&bench, 3, NOW).await);
    let claimed = bench.take(NOW.plus(SECOND)).await;
    assert_eq!(claimed.len(), 3);
    for n in 1..=2 {
        begin(&bench, n, NOW.plus(2 * SECOND)).await;
    }
    assert_eq!(stands(&bench, first.message()).await, MessageStatus::Sending);
    for claimed in claimed {
        let id = claimed.submission.message_id;
        // The provider has it, whatever became of the code.
        let outcome = if id == first.message() { accepted("SM1") } else { not_submitted() };
        bench.end(&claimed, outcome, retry(NOW.plus(MINUTE))).await;
    }
    assert_eq!(stands(&bench, first.message()).await, MessageStatus::Sent);
    assert_eq!(stands(&bench, second.message()).await, MessageStatus::Canceled);
    assert_eq!(stands(&bench, third.message()).await, MessageStatus::Queued);
    let taken = ids_of(&bench.take(NOW.plus(2 * MINUTE)).await);
    assert!(taken.contains(&third.message()), "its code is open");
    assert!(!taken.contains(&first.message()) && !taken.contains(&second.message()));
}

pub(crate) async fn message_between_two_tries_is_stopped<F: Fixture>(bench: Bench<F>) {
    let first = begin(&bench, 1, NOW).await;
    let claimed = bench.take(NOW).await.pop().unwrap();
    bench.end(&claimed, not_submitted(), retry(NOW.plus(MINUTE))).await;
    assert_eq!(stands(&bench, first.message()).await, MessageStatus::Queued);
    let second = begin(&bench, 1, NOW.plus(2 * SECOND)).await;
    assert_eq!(stands(&bench, first.message()).await, MessageStatus::Canceled);
    assert_eq!(ids_of(&bench.take(NOW.plus(2 * MINUTE)).await), [second.message()]);
}

pub(crate) async fn message_of_a_code_that_has_ended_is_not_sent_again<F: Fixture>(bench: Bench<F>) {
    let first = begin(&bench, 1, NOW).await;
    let claimed = bench.take(NOW).await.pop().unwrap();
    bench.end(&claimed, rejected(), Next::Stop).await;
    begin(&bench, 1, NOW.plus(SECOND)).await;
    let overdue = begin(&bench, 2, NOW).await;
    let claimed = bench.take(NOW).await.pop().unwrap();
    bench.end(&claimed, rejected(), Next::Stop).await;
    for (id, now) in [(first, NOW.plus(MINUTE)), (overdue, NOW.plus(DAY))] {
        let moved = bench.resend(resend(id.message(), now)).await.unwrap().unwrap();
        assert!(!moved.has_moved());
        assert_eq!(stands(&bench, id.message()).await, MessageStatus::Failed);
    }
    let moved = bench.resend(resend(overdue.message(), NOW.plus(MINUTE))).await.unwrap().unwrap();
    assert!(moved.has_moved(), "it was open then");
}

pub(crate) async fn time_that_runs_out_ends_the_message_by_itself<F: Fixture>(bench: Bench<F>) {
    let id = begin(&bench, 1, NOW).await;
    changed(&bench, change(id, Deed::Expire, NOW.plus(DAY))).await;
    assert_eq!(status(&bench, id).await, VerificationStatus::Expired);
    assert_eq!(stands(&bench, id.message()).await, MessageStatus::Queued);
}

pub(crate) async fn of_many_at_once_beside_those_that_send_only_the_last_waits<F: Fixture>(bench: Bench<F>) {
    let beside = bench.fixture.open_beside().await;
    let mut tasks = JoinSet::new();
    for n in 0..30 {
        let store = Arc::clone(if n % 2 == 0 { &bench.store } else { &beside });
        let sender = Arc::clone(if n % 3 == 0 { &bench.store } else { &beside });
        tasks.spawn(async move {
            let at = NOW.plus(std::time::Duration::from_millis(n));
            let new = carries(1 + n % 3, at, begins("482913", at));
            let id = id_of(&new);
            store.accept(one(new)).await.unwrap();
            let claimed = sender.claim(claim(NOW.plus(SECOND))).await.unwrap().claimed;
            let ends = claimed.iter().map(|claimed| end(claimed, not_submitted(), retry(NOW.plus(MINUTE))));
            let taken = ids_of(&claimed);
            sender.finish(ends.collect()).await.unwrap();
            (id, taken)
        });
    }
    let done = tasks.join_all().await;
    let begun: BTreeSet<_> = done.iter().map(|(id, _)| *id).collect();
    let mut open = 0;
    for id in begun {
        let is_open = status(&bench, id).await == VerificationStatus::Pending;
        let expected = if is_open { MessageStatus::Queued } else { MessageStatus::Canceled };
        assert_eq!(stands(&bench, id.message()).await, expected);
        open += usize::from(is_open);
    }
    assert_eq!(open, 3);
    assert_eq!(bench.take(NOW.plus(2 * MINUTE)).await.len(), 3);
}
