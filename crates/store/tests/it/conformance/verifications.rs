//! One-time codes: begun with their message, checked, and ended.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::{Actor, Event};
use domain::conversion::Conversion;
use domain::guard::Grain;
use domain::ids::{KeyId, VerificationId};
use domain::quota::{Allowance, Draw};
use domain::receipt::ReceiptStatus;
use domain::scenario::{Priority, Scenario};
use domain::time::Timestamp;
use domain::verification::{Code, Examined, VerificationStatus};
use store::port::audit::{AuditFilter, AuditPage};
use store::port::history::KeepHistory;
use store::port::messages::{Accept, Accepted, Idempotency, NewMessage};
use store::port::queue::Next;
use store::port::sealing::{Reseal, SealedRow};
use store::port::verifications::{
    AskedConversions, ChangeVerifications, Deed, NewVerification, RouteConversion, Seen,
};
use tokio::task::JoinSet;

use crate::support::{
    Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, With, accepted, caller, message, message_at, operator,
    receipt_for, receiver,
};

const LIFE: Duration = Duration::from_mins(10);

fn code(digits: &str) -> Code {
    Code::read(digits).unwrap()
}

pub(super) fn begins(digits: &str, at: Timestamp) -> NewVerification {
    NewVerification {
        code: code(digits),
        checks: 5,
        expires_at: at.plus(LIFE),
        keeps_code: false,
        same_as: None,
    }
}

/// A message to the `n`-th receiver that carries a code.
pub(super) fn carries(n: u64, at: Timestamp, new: NewVerification) -> NewMessage {
    let of_code = message_at(n, at).with(|message| {
        message.scenario = Scenario::Otp;
        message.priority = Priority::High;
    });
    NewMessage { verification: Some(Box::new(new)), ..of_code }
}

pub(super) fn one(new: NewMessage) -> Accept {
    Accept { messages: vec![new], idempotency: None, no_repeats_since: None }
}

pub(super) fn id_of(new: &NewMessage) -> VerificationId {
    VerificationId::of(new.message.id)
}

/// Begins a verification of the `n`-th receiver with the code 482913.
pub(super) async fn begin<F: Fixture>(bench: &Bench<F>, n: u64, at: Timestamp) -> VerificationId {
    let new = carries(n, at, begins("482913", at));
    let id = id_of(&new);
    bench.add([new]).await;
    id
}

pub(super) fn change(id: VerificationId, deed: Deed, now: Timestamp) -> ChangeVerifications {
    let by = Actor::Key(caller(1));
    ChangeVerifications { ids: vec![id], deed, caller: Some(caller(1)), by, now }
}

pub(super) async fn changed<F: Fixture>(bench: &Bench<F>, change: ChangeVerifications) -> Option<Seen> {
    bench.change_verifications(change).await.unwrap().pop().unwrap()
}

pub(super) async fn check<F: Fixture>(
    bench: &Bench<F>,
    id: VerificationId,
    digits: &str,
    now: Timestamp,
) -> Seen {
    changed(bench, change(id, Deed::Check(code(digits)), now)).await.unwrap()
}

pub(super) async fn status<F: Fixture>(bench: &Bench<F>, id: VerificationId) -> VerificationStatus {
    bench.verification(id).await.unwrap().unwrap().progress.status
}

pub(crate) async fn right_code_is_right_once_and_the_message_has_arrived<F: Fixture>(mut bench: Bench<F>) {
    let id = begin(&bench, 1, NOW).await;
    let begun = bench.verification(id).await.unwrap().unwrap();
    assert_eq!((begun.caller, begun.created_at, begun.ended_at), (caller(1), NOW, None));
    assert_eq!((begun.progress.checks_left, begun.progress.expires_at), (5, NOW.plus(LIFE)));
    let wrong = check(&bench, id, "482914", NOW.plus(SECOND)).await;
    assert_eq!((wrong.examined, wrong.verification.progress.checks_left), (Examined::Wrong, 4));
    bench.reopen().await;
    let right = check(&bench, id, "482913", NOW.plus(MINUTE)).await;
    assert_eq!((right.examined, right.has_ended, right.is_news), (Examined::Right, true, true));
    assert_eq!(right.verification.ended_at, Some(NOW.plus(MINUTE)));
    assert_eq!(bench.fixture.counts(vec!["SELECT count(*) FROM feedback".into()]), [1]);
    let again = check(&bench, id, "482913", NOW.plus(MINUTE)).await;
    assert_eq!((again.examined, again.has_ended, again.is_news), (Examined::Not, false, false));
    assert_eq!(again.verification, right.verification);
}

pub(crate) async fn of_a_hundred_right_codes_at_once_one_is_right<F: Fixture>(bench: Bench<F>) {
    let id = begin(&bench, 1, NOW).await;
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move {
            let asked = change(id, Deed::Check(code("482913")), NOW.plus(SECOND));
            store.change_verifications(asked).await.unwrap().pop().unwrap().unwrap()
        });
    }
    let seen = tasks.join_all().await;
    let count = |wanted| seen.iter().filter(|seen| seen.examined == wanted).count();
    assert_eq!((count(Examined::Right), count(Examined::Not)), (1, 99));
    assert!(seen.iter().all(|seen| seen.verification.progress.status == VerificationStatus::Approved));
}

pub(crate) async fn of_ten_thousand_wrong_codes_five_are_examined_and_then_not_even_the_right_one<
    F: Fixture,
>(
    bench: Bench<F>,
) {
    let id = begin(&bench, 1, NOW).await;
    let mut tasks = JoinSet::new();
    for part in 0..100 {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move {
            let mut examined = 0;
            for n in 0..100 {
                let wrong = format!("{:04}", part * 100 + n);
                let asked = change(id, Deed::Check(code(&wrong)), NOW.plus(SECOND));
                let seen = store.change_verifications(asked).await.unwrap().pop().unwrap().unwrap();
                assert_ne!(seen.examined, Examined::Right);
                examined += usize::from(seen.examined == Examined::Wrong);
            }
            examined
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<usize>(), 5);
    let right = check(&bench, id, "482913", NOW.plus(SECOND)).await;
    assert_eq!(right.examined, Examined::Not);
    assert_eq!(right.verification.progress.status, VerificationStatus::Failed);
    let next = begin(&bench, 1, NOW.plus(MINUTE)).await;
    assert_eq!(check(&bench, next, "482913", NOW.plus(MINUTE)).await.examined, Examined::Right);
}

pub(crate) async fn another_code_for_the_same_receiver_ends_the_one_before<F: Fixture>(bench: Bench<F>) {
    let first = begin(&bench, 1, NOW).await;
    let new = carries(1, NOW.plus(MINUTE), begins("175520", NOW.plus(MINUTE)));
    let second = id_of(&new);
    bench.add([new]).await;
    assert_eq!(status(&bench, first).await, VerificationStatus::Superseded);
    assert_eq!(check(&bench, first, "482913", NOW.plus(2 * MINUTE)).await.examined, Examined::Not);
    assert_eq!(check(&bench, second, "482913", NOW.plus(2 * MINUTE)).await.examined, Examined::Wrong);
    assert_eq!(check(&bench, second, "175520", NOW.plus(2 * MINUTE)).await.examined, Examined::Right);
    // One whose time had passed was not ended by its successor.
    let third = begin(&bench, 2, NOW).await;
    begin(&bench, 2, NOW.plus(HOUR)).await;
    assert_eq!(status(&bench, third).await, VerificationStatus::Expired);
}

pub(crate) async fn codes_of_others_and_for_others_are_left_alone<F: Fixture>(bench: Bench<F>) {
    let first = begin(&bench, 1, NOW).await;
    let of_another = carries(1, NOW.plus(SECOND), begins("175520", NOW)).with(|new| new.caller = caller(2));
    bench.add([of_another]).await;
    begin(&bench, 2, NOW.plus(2 * SECOND)).await;
    bench.add([message(3).with(|new| new.receiver = receiver(1))]).await;
    assert_eq!(status(&bench, first).await, VerificationStatus::Pending);
}

pub(crate) async fn of_many_that_begin_at_once_for_one_receiver_one_is_open<F: Fixture>(bench: Bench<F>) {
    let beside = bench.fixture.open_beside().await;
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let store = Arc::clone(if n % 2 == 0 { &bench.store } else { &beside });
        tasks.spawn(async move {
            let at = NOW.plus(Duration::from_millis(n));
            let new = carries(1, at, begins("482913", at));
            let id = id_of(&new);
            assert_eq!(store.accept(one(new)).await, Ok(Accepted::Stored));
            id
        });
    }
    let begun = tasks.join_all().await;
    let mut open = Vec::new();
    for id in begun {
        match status(&bench, id).await {
            VerificationStatus::Pending => open.push(id),
            other => assert_eq!(other, VerificationStatus::Superseded),
        }
    }
    assert_eq!(open.len(), 1);
    assert_eq!(check(&bench, open[0], "482913", NOW.plus(MINUTE)).await.examined, Examined::Right);
}

pub(crate) async fn refused_message_begins_nothing_and_ends_nothing<F: Fixture>(bench: Bench<F>) {
    let first = begin(&bench, 1, NOW).await;
    let allowance = Allowance::Rate { limit: 1, period: HOUR };
    let draws = vec![Draw { quota: 7, amount: 2, allowance }];
    let at = NOW.plus(MINUTE);
    let refused = NewMessage { draws, ..carries(1, at, begins("175520", at)) };
    let id = id_of(&refused);
    assert!(matches!(bench.accept(one(refused)).await, Ok(Accepted::Limited(_))));
    assert_eq!(bench.verification(id).await, Ok(None));
    assert_eq!(status(&bench, first).await, VerificationStatus::Pending);
}

pub(crate) async fn repeated_request_begins_nothing<F: Fixture>(bench: Bench<F>) {
    let idempotency = Idempotency {
        key: [1; 32],
        request: [2; 32],
        reply: "first".into(),
        now: NOW,
        since: NOW.minus(DAY),
    };
    let accept = |new| Accept { idempotency: Some(idempotency.clone()), ..one(new) };
    let (first, second) =
        (carries(1, NOW, begins("482913", NOW)), carries(1, NOW.plus(SECOND), begins("175520", NOW)));
    let (kept, lost) = (id_of(&first), id_of(&second));
    assert_eq!(bench.accept(accept(first)).await, Ok(Accepted::Stored));
    assert_eq!(bench.accept(accept(second)).await, Ok(Accepted::Repeated("first".into())));
    assert_eq!(status(&bench, kept).await, VerificationStatus::Pending);
    assert_eq!(bench.verification(lost).await, Ok(None));
}

async fn open_code<F: Fixture>(
    bench: &Bench<F>,
    of: KeyId,
    now: Timestamp,
) -> Option<(VerificationId, Option<String>)> {
    let found = bench.open_verification(of, receiver(1), now).await.unwrap();
    found.map(|(id, code)| (id, code.map(|code| code.expose().to_owned())))
}

pub(crate) async fn same_code_again_goes_on_with_what_is_left_of_its_checks<F: Fixture>(bench: Bench<F>) {
    let keeps = NewVerification { keeps_code: true, ..begins("482913", NOW) };
    let first = carries(1, NOW, keeps.clone());
    let first_id = id_of(&first);
    bench.add([first]).await;
    check(&bench, first_id, "000000", NOW.plus(SECOND)).await;
    let later = NOW.plus(MINUTE);
    assert_eq!(open_code(&bench, caller(1), later).await, Some((first_id, Some("482913".into()))));
    assert_eq!(open_code(&bench, caller(2), later).await, None);
    assert_eq!(open_code(&bench, caller(1), NOW.plus(LIFE)).await, None);
    let again = NewVerification { same_as: Some(first_id), expires_at: later.plus(LIFE), ..keeps };
    let second = carries(1, later, again);
    let second_id = id_of(&second);
    bench.add([second]).await;
    assert_eq!(status(&bench, first_id).await, VerificationStatus::Superseded);
    let begun = bench.verification(second_id).await.unwrap().unwrap().progress;
    assert_eq!((begun.checks_left, begun.expires_at), (4, later.plus(LIFE)));
    assert_eq!(check(&bench, second_id, "482913", later.plus(SECOND)).await.examined, Examined::Right);
}

pub(crate) async fn code_that_has_ended_is_not_sent_again<F: Fixture>(bench: Bench<F>) {
    let keeps = NewVerification { keeps_code: true, ..begins("482913", NOW) };
    let first = carries(1, NOW, keeps.clone());
    let first_id = id_of(&first);
    bench.add([first]).await;
    check(&bench, first_id, "482913", NOW.plus(SECOND)).await;
    let again = carries(1, NOW.plus(MINUTE), NewVerification { same_as: Some(first_id), ..keeps });
    let id = id_of(&again);
    for idempotency in [
        None,
        Some(Idempotency { key: [1; 32], request: [2; 32], reply: String::new(), now: NOW, since: NOW }),
    ] {
        let accept = Accept { idempotency, ..one(again.clone()) };
        assert_eq!(bench.accept(accept).await, Ok(Accepted::CodeEnded));
    }
    assert_eq!(bench.verification(id).await, Ok(None));
    assert!(bench.message(again.message.id).await.unwrap().is_none());
}

pub(crate) async fn code_is_kept_only_sealed_and_only_while_it_is_open<F: Fixture>(bench: Bench<F>) {
    begin(&bench, 2, NOW).await;
    let keeps = carries(1, NOW, NewVerification { keeps_code: true, ..begins("482913", NOW) });
    let id = id_of(&keeps);
    bench.add([keeps]).await;
    let sealed = || {
        bench.fixture.counts(vec!["SELECT count(*) FROM verifications WHERE sealed_code IS NOT NULL".into()])
    };
    assert_eq!(sealed(), [1]);
    let new = bench.add_data_key(operator(NOW)).await.unwrap();
    bench.use_data_key(new, operator(NOW)).await.unwrap();
    let mut behind = Some(SealedRow::FIRST);
    while let Some(row) = behind {
        behind = bench.reseal(Reseal { behind: row, limit: 1 }).await.unwrap().behind;
    }
    bench.forget_data_keys(new, operator(NOW)).await.unwrap();
    assert_eq!(open_code(&bench, caller(1), NOW).await, Some((id, Some("482913".into()))));
    assert_eq!(check(&bench, id, "482913", NOW.plus(SECOND)).await.examined, Examined::Right);
    assert_eq!(sealed(), [0]);
}

pub(crate) async fn code_is_of_no_use_when_its_time_has_passed<F: Fixture>(bench: Bench<F>) {
    let id = begin(&bench, 1, NOW).await;
    let late = check(&bench, id, "482913", NOW.plus(LIFE)).await;
    assert_eq!((late.examined, late.has_ended), (Examined::Not, true));
    assert_eq!(status(&bench, id).await, VerificationStatus::Expired);
}

pub(crate) async fn what_is_overdue_is_found_and_ended<F: Fixture>(bench: Bench<F>) {
    let (first, second) = (begin(&bench, 1, NOW).await, begin(&bench, 2, NOW.plus(SECOND)).await);
    let approved = begin(&bench, 3, NOW).await;
    check(&bench, approved, "482913", NOW.plus(SECOND)).await;
    assert_eq!(bench.overdue_verifications(NOW.plus(LIFE).minus(SECOND), 10).await, Ok(vec![]));
    let later = NOW.plus(LIFE).plus(SECOND);
    assert_eq!(bench.overdue_verifications(later, 10).await, Ok(vec![first, second]));
    assert_eq!(bench.overdue_verifications(later, 1).await, Ok(vec![first]));
    let expire = ChangeVerifications {
        ids: vec![first, second, approved],
        deed: Deed::Expire,
        caller: None,
        by: Actor::System,
        now: later,
    };
    let ended = bench.change_verifications(expire).await.unwrap();
    let ended: Vec<_> = ended.into_iter().flatten().map(|seen| seen.has_ended).collect();
    assert_eq!(ended, [true, true, false]);
    assert_eq!(status(&bench, first).await, VerificationStatus::Expired);
    assert_eq!(bench.overdue_verifications(later, 10).await, Ok(vec![]));
}

pub(crate) async fn canceled_code_is_not_right_any_more<F: Fixture>(bench: Bench<F>) {
    let id = begin(&bench, 1, NOW).await;
    assert!(changed(&bench, change(id, Deed::Cancel, NOW.plus(SECOND))).await.unwrap().has_ended);
    assert!(!changed(&bench, change(id, Deed::Cancel, NOW.plus(SECOND))).await.unwrap().has_ended);
    assert_eq!(check(&bench, id, "482913", NOW.plus(SECOND)).await.examined, Examined::Not);
    assert_eq!(status(&bench, id).await, VerificationStatus::Canceled);
}

pub(crate) async fn what_is_another_callers_is_not_there<F: Fixture>(bench: Bench<F>) {
    let id = begin(&bench, 1, NOW).await;
    for deed in [Deed::Check(code("482913")), Deed::Cancel] {
        let of_another = ChangeVerifications { caller: Some(caller(2)), ..change(id, deed, NOW) };
        assert_eq!(changed(&bench, of_another).await, None);
    }
    assert_eq!(status(&bench, id).await, VerificationStatus::Pending);
    let nobodys = VerificationId::of(message(9).id());
    assert_eq!(changed(&bench, change(nobodys, Deed::Cancel, NOW)).await, None);
}

pub(crate) async fn ends_are_counted_for_the_route_that_was_given_the_code<F: Fixture>(bench: Bench<F>) {
    let minute = Grain::Minute.at(NOW).number;
    let (sent, failed, waiting, canceled) = (
        begin(&bench, 1, NOW).await,
        begin(&bench, 2, NOW.plus(Duration::from_millis(1))).await,
        begin(&bench, 3, NOW.plus(Duration::from_millis(2))).await,
        begin(&bench, 4, NOW.plus(Duration::from_millis(3))).await,
    );
    for claimed in bench.take(NOW.plus(SECOND)).await {
        if claimed.submission.message_id != waiting.message() {
            bench.end(&claimed, accepted("SM1"), Next::Stop).await;
        }
    }
    bench.receive(receipt_for(failed.message(), ReceiptStatus::Delivered)).await;
    check(&bench, sent, "482913", NOW.plus(MINUTE)).await;
    changed(&bench, change(canceled, Deed::Cancel, NOW.plus(MINUTE))).await;
    let expire = ChangeVerifications {
        ids: vec![failed, waiting],
        caller: None,
        ..change(failed, Deed::Expire, NOW.plus(HOUR))
    };
    bench.change_verifications(expire).await.unwrap();
    // The one that still waits says nothing of its route, and nor does one that its caller ended.
    let expected = RouteConversion {
        provider: "twilio".parse().unwrap(),
        country: domain::phone::Country::KE,
        conversion: Conversion { sent: 2, verified: 1 },
    };
    for grain in [Grain::Minute, Grain::Day] {
        let asked = AskedConversions { grain, first: grain.at(NOW).number };
        assert_eq!(bench.conversions(asked).await, Ok(vec![expected.clone()]));
    }
    let later = AskedConversions { grain: Grain::Minute, first: minute + 1 };
    assert_eq!(bench.conversions(later).await, Ok(vec![]));
}

pub(crate) async fn person_is_forgotten_with_its_codes<F: Fixture>(bench: Bench<F>) {
    let (first, second) = (begin(&bench, 1, NOW).await, begin(&bench, 2, NOW).await);
    for claimed in bench.take(NOW.plus(SECOND)).await {
        bench.end(&claimed, accepted("SM1"), Next::Stop).await;
    }
    bench.forget_receiver(receiver(1), operator(NOW.plus(MINUTE))).await.unwrap();
    assert_eq!(bench.verification(first).await, Ok(None));
    assert_eq!(status(&bench, second).await, VerificationStatus::Pending);
}

pub(crate) async fn codes_are_forgotten_with_their_messages<F: Fixture>(bench: Bench<F>) {
    let (old, young) = (begin(&bench, 1, NOW).await, begin(&bench, 2, NOW.plus(2 * DAY)).await);
    let now = NOW.plus(100 * DAY);
    let keep = KeepHistory {
        now,
        messages_since: Some(NOW.plus(DAY)),
        audit_since: NOW,
        replies_since: now,
        limit: 100,
    };
    bench.keep_history(keep).await.unwrap();
    assert_eq!(bench.verification(old).await, Ok(None));
    assert!(bench.verification(young).await.unwrap().is_some());
}

pub(crate) async fn audit_trail_tells_what_became_of_a_code_and_not_the_code<F: Fixture>(bench: Bench<F>) {
    use Event::{
        SmsAccepted, SmsCanceled, VerificationApproved, VerificationBegun, VerificationRefused,
        VerificationSuperseded,
    };
    let id = begin(&bench, 1, NOW).await;
    check(&bench, id, "175520", NOW.plus(SECOND)).await;
    check(&bench, id, "482913", NOW.plus(SECOND)).await;
    check(&bench, id, "482913", NOW.plus(SECOND)).await;
    let second = begin(&bench, 1, NOW.plus(MINUTE)).await;
    begin(&bench, 1, NOW.plus(2 * MINUTE)).await;
    let told = |id: VerificationId| {
        let filter = AuditFilter { message_id: Some(id.message()), ..AuditFilter::default() };
        let bench = &bench;
        async move {
            let page = AuditPage { after: None, limit: 100 };
            let mut entries = bench.audit(filter, page).await.unwrap();
            entries.reverse();
            assert!(!format!("{entries:?}").contains("482913"));
            assert!(entries.iter().all(|entry| entry.receiver == Some(bench.receiver_hash(receiver(1)))));
            entries.into_iter().map(|entry| entry.event).collect::<Vec<_>>()
        }
    };
    let of_first = [SmsAccepted, VerificationBegun, VerificationRefused, VerificationApproved, SmsCanceled];
    assert_eq!(told(id).await, of_first.map(|event| event.as_str().to_owned()));
    let of_second = [SmsAccepted, VerificationBegun, VerificationSuperseded, SmsCanceled];
    assert_eq!(told(second).await, of_second.map(|event| event.as_str().to_owned()));
}

pub(crate) async fn each_end_is_told_to_those_who_listen<F: Fixture>(bench: Bench<F>) {
    begin(&bench, 9, NOW).await;
    bench.keep_events(true).await.unwrap();
    let (approved, failed, canceled, expired) = (
        begin(&bench, 1, NOW).await,
        begin(&bench, 2, NOW).await,
        begin(&bench, 3, NOW).await,
        begin(&bench, 4, NOW).await,
    );
    check(&bench, approved, "000000", NOW).await;
    check(&bench, approved, "482913", NOW).await;
    for _ in 0..5 {
        check(&bench, failed, "000000", NOW).await;
    }
    changed(&bench, change(canceled, Deed::Cancel, NOW)).await;
    let superseded = begin(&bench, 5, NOW).await;
    begin(&bench, 5, NOW.plus(SECOND)).await;
    changed(&bench, change(expired, Deed::Expire, NOW.plus(LIFE))).await;
    let told = bench.raised_events(100).await.unwrap();
    assert!(told.iter().all(|event| event.caller == Some(caller(1))));
    let told: Vec<_> = told
        .into_iter()
        .map(|event| {
            let data = event.data.expose();
            assert!(!data.contains("482913") && !data.contains("254712"), "{data}");
            let status = |word: &str| data.contains(&format!("\"status\":\"{word}\""));
            assert!(data.contains(&VerificationId::from_bytes(event.subject).to_string()), "{data}");
            (
                event.subject,
                event.kind,
                ["approved", "failed", "canceled", "superseded", "expired"]
                    .into_iter()
                    .find(|word| status(word))
                    .unwrap(),
            )
        })
        .collect();
    let expected = [
        (approved, "verification.approved", "approved"),
        (failed, "verification.failed", "failed"),
        (canceled, "verification.canceled", "canceled"),
        (superseded, "verification.canceled", "superseded"),
        (expired, "verification.expired", "expired"),
    ];
    let expected = expected.map(|(id, kind, status)| (*id.as_bytes(), kind.to_owned(), status));
    assert_eq!(told, expected);
}
