//! What the guard counts and decides, and feedback.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Actor;
use domain::guard::ledger::Entered;
use domain::guard::{Bucket, Count, Grain, Mode, Reason, Rule, Subject};
use domain::ids::{DecisionId, MessageId};
use domain::phone::{Country, NumberPrefix};
use domain::scenario::Scenario;
use domain::time::Timestamp;
use store::port::guard::{
    AskedCounts, AskedSubjects, Days, Decision, DecisionFilter, Feedback, FeedbackOutcome, ForgetGuard,
    KeptByGuard,
};
use tokio::task::JoinSet;

use crate::support::{Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, caller, entropy};

fn block(digits: u64) -> Subject {
    Subject::Prefix(NumberPrefix::from_parts(digits, Country::KE))
}

fn sent(number: i64) -> Count {
    Count { sent: number, expected: number, verified: 0, suspected: 0 }
}

fn entered(subject: Subject, at: Timestamp, count: Count) -> Vec<Entered> {
    Grain::ALL.iter().map(|grain| Entered { bucket: grain.at(at), subject, count }).collect()
}

fn kept(now: Timestamp, counts: Vec<Entered>) -> KeptByGuard {
    KeptByGuard { now, counts, decisions: Vec::new(), samples: Vec::new() }
}

fn decision(n: u8, at: Timestamp) -> Decision {
    Decision {
        id: DecisionId::new(at, entropy(n.into())),
        at,
        last_at: at,
        mode: Mode::Shadow,
        country: Country::KE,
        prefix: Some(NumberPrefix::from_parts(2_547_120 + u64::from(n), Country::KE)),
        caller: caller(n.into()),
        scenario: Scenario::Otp,
        reasons: vec![Reason { rule: Rule::PrefixUnverified, window: Grain::Day, figure: 21, threshold: 20 }],
        messages: 1,
        sampled: 0,
        confirmed: 0,
    }
}

fn all() -> DecisionFilter {
    DecisionFilter { limit: 100, ..DecisionFilter::default() }
}

fn message_id(n: u8, at: Timestamp) -> MessageId {
    MessageId::new(at, entropy(n.into()))
}

fn said(message_id: MessageId) -> Feedback {
    Feedback { message_id, outcome: FeedbackOutcome::Confirmed, by: Actor::System, now: NOW }
}

/// What is counted of a subject now, at a grain.
async fn count<F: Fixture>(bench: &Bench<F>, subject: Subject, bucket: Bucket) -> Count {
    let asked = AskedCounts { now: NOW, of: AskedSubjects::These(vec![subject]) };
    let found = bench.guard_counts(asked).await.unwrap();
    found.iter().find(|entered| entered.bucket == bucket).map(|entered| entered.count).unwrap_or_default()
}

pub(crate) async fn count_that_can_not_be_read_is_left_out<F: Fixture>(bench: Bench<F>) {
    let (damaged, whole) = (Subject::Caller(caller(1)), Subject::Caller(caller(2)));
    let mut counts = entered(damaged, NOW, sent(1));
    counts.extend(entered(whole, NOW, sent(2)));
    counts.extend(entered(whole, NOW.minus(DAY), sent(3)));
    bench.keep_guard(kept(NOW, counts)).await.unwrap();
    bench.fixture.run(&format!("UPDATE guard_counts SET subject = 'nobody' WHERE subject = '{damaged}'"));
    let found = bench.guard_counts(AskedCounts { now: NOW, of: AskedSubjects::All }).await.unwrap();
    let of: std::collections::BTreeSet<_> = found.iter().map(|entered| entered.subject).collect();
    assert_eq!(of.into_iter().collect::<Vec<_>>(), [whole]);
    let today = Grain::Day.at(NOW).number;
    let totals = bench.guard_days(Days { first: today - 1, last: today }, Vec::new()).await.unwrap();
    assert_eq!(totals, [(whole, sent(5))]);
}

pub(crate) async fn counts_of_many_at_once_add_up<F: Fixture>(bench: Bench<F>) {
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move {
            let mut counts = entered(block(2_547_123), NOW, sent(1));
            counts.extend(entered(Subject::Newcomers(Country::KE), NOW, Count { verified: 2, ..sent(3) }));
            counts.extend(entered(Subject::Caller(caller(n % 3)), NOW, sent(1)));
            assert_eq!(store.keep_guard(kept(NOW, counts)).await, Ok(()));
        });
    }
    tasks.join_all().await;
    for grain in Grain::ALL {
        assert_eq!(count(&bench, block(2_547_123), grain.at(NOW)).await, sent(40));
        let together = count(&bench, Subject::Newcomers(Country::KE), grain.at(NOW)).await;
        assert_eq!(together, Count { sent: 120, expected: 120, verified: 80, suspected: 0 });
    }
    assert_eq!(count(&bench, Subject::Caller(caller(0)), Grain::Day.at(NOW)).await, sent(14));
}

pub(crate) async fn what_is_taken_back_is_subtracted<F: Fixture>(bench: Bench<F>) {
    bench.keep_guard(kept(NOW, entered(block(2_547_123), NOW, sent(2)))).await.unwrap();
    bench.keep_guard(kept(NOW, entered(block(2_547_123), NOW, Count::NONE.minus(sent(2))))).await.unwrap();
    assert_eq!(count(&bench, block(2_547_123), Grain::Hour.at(NOW)).await, sent(0));
}

pub(crate) async fn stretches_that_run_and_those_before_are_read<F: Fixture>(mut bench: Bench<F>) {
    for (ago, number) in
        [(Duration::ZERO, 1), (MINUTE, 2), (2 * MINUTE, 4), (HOUR, 8), (DAY, 16), (2 * DAY, 32)]
    {
        let at = NOW.minus(ago);
        bench.keep_guard(kept(at, entered(block(2_547_123), at, sent(number)))).await.unwrap();
    }
    bench.reopen().await;
    let asked = AskedCounts { now: NOW, of: AskedSubjects::All };
    let mut found: Vec<_> = bench.guard_counts(asked).await.unwrap();
    found.sort_by_key(|entered| (entered.bucket.grain, std::cmp::Reverse(entered.bucket.number)));
    let numbers: Vec<_> = found.iter().map(|entered| entered.count.sent).collect();
    assert_eq!(numbers, [1, 2, 7, 8, 15, 16]);
}

pub(crate) async fn those_that_changed_lately_are_read<F: Fixture>(bench: Bench<F>) {
    let early = NOW.minus(30 * SECOND);
    bench.keep_guard(kept(early, entered(block(1), early, sent(1)))).await.unwrap();
    bench.keep_guard(kept(NOW, entered(block(2), NOW, sent(2)))).await.unwrap();
    let changed = async |since| {
        let asked = AskedCounts { now: NOW, of: AskedSubjects::ChangedSince(since) };
        let mut found: Vec<_> =
            bench.guard_counts(asked).await.unwrap().into_iter().map(|entered| entered.subject).collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    assert_eq!(changed(NOW.minus(SECOND)).await, [block(2)]);
    assert_eq!(changed(early).await, [block(1), block(2)]);
}

pub(crate) async fn whole_days_are_added_up<F: Fixture>(bench: Bench<F>) {
    for days in 0..20_u32 {
        let at = NOW.minus(days * DAY);
        let mut counts = entered(block(1), at, Count { verified: 1, ..sent(1) });
        counts.extend(entered(block(2), at, sent(10)));
        bench.keep_guard(kept(at, counts)).await.unwrap();
    }
    let today = Grain::Day.at(NOW).number;
    let days = Days { first: today - 14, last: today - 1 };
    let mut all = bench.guard_days(days, Vec::new()).await.unwrap();
    all.sort_unstable_by_key(|(subject, _)| *subject);
    assert_eq!(all, [(block(1), Count { verified: 14, ..sent(14) }), (block(2), sent(140))]);
    let one = bench.guard_days(days, vec![block(2), block(3)]).await;
    assert_eq!(one, Ok(vec![(block(2), sent(140))]));
}

pub(crate) async fn decision_reads_back_with_every_field<F: Fixture>(bench: Bench<F>) {
    let reasons = vec![
        Reason { rule: Rule::PrefixVelocity, window: Grain::Minute, figure: 31, threshold: 30 },
        Reason { rule: Rule::NewcomersUnverified, window: Grain::Day, figure: i64::MAX, threshold: 0 },
    ];
    let first =
        Decision { mode: Mode::Enforce, reasons, prefix: None, messages: 7, sampled: 2, ..decision(1, NOW) };
    let kept = KeptByGuard { decisions: vec![first.clone()], ..kept(NOW, Vec::new()) };
    bench.keep_guard(kept.clone()).await.unwrap();
    assert_eq!(bench.guard_decisions(all()).await, Ok(vec![first.clone()]));
    // What comes later is added.
    let later = Decision { last_at: NOW.plus(SECOND), messages: 3, sampled: 1, ..first.clone() };
    bench.keep_guard(KeptByGuard { decisions: vec![later.clone()], ..kept }).await.unwrap();
    let both = Decision { messages: 10, sampled: 3, ..later };
    assert_eq!(bench.guard_decisions(all()).await, Ok(vec![both]));
}

pub(crate) async fn decisions_are_found_by_each_condition<F: Fixture>(bench: Bench<F>) {
    let velocity = Reason { rule: Rule::CallerVelocity, window: Grain::Hour, figure: 2, threshold: 1 };
    let decisions = [
        decision(1, NOW),
        Decision { mode: Mode::Enforce, ..decision(2, NOW.plus(SECOND)) },
        Decision { country: "UG".parse().unwrap(), prefix: None, ..decision(3, NOW.plus(2 * SECOND)) },
        Decision { reasons: vec![velocity], ..decision(4, NOW.plus(3 * SECOND)) },
    ];
    bench.keep_guard(KeptByGuard { decisions: decisions.to_vec(), ..kept(NOW, Vec::new()) }).await.unwrap();
    let found = async |filter| {
        let found = bench.guard_decisions(filter).await.unwrap();
        let place = |id| decisions.iter().position(|decision| decision.id == id).unwrap() + 1;
        found.into_iter().map(|decision| place(decision.id)).collect::<Vec<_>>()
    };
    assert_eq!(found(all()).await, [4, 3, 2, 1]);
    assert_eq!(found(DecisionFilter { since: Some(NOW.plus(SECOND)), ..all() }).await, [4, 3, 2]);
    assert_eq!(found(DecisionFilter { until: Some(NOW.plus(SECOND)), ..all() }).await, [1]);
    assert_eq!(found(DecisionFilter { mode: Some(Mode::Enforce), ..all() }).await, [2]);
    assert_eq!(found(DecisionFilter { country: Some("UG".parse().unwrap()), ..all() }).await, [3]);
    assert_eq!(found(DecisionFilter { prefix: Some(2_547_121), ..all() }).await, [1]);
    assert_eq!(found(DecisionFilter { caller: Some(caller(4)), ..all() }).await, [4]);
    assert_eq!(found(DecisionFilter { rule: Some(Rule::CallerVelocity), ..all() }).await, [4]);
    let page = DecisionFilter { limit: 2, ..all() };
    assert_eq!(found(page.clone()).await, [4, 3]);
    assert_eq!(found(DecisionFilter { after: Some(decisions[2].id), ..page }).await, [2, 1]);
}

pub(crate) async fn feedback_counts_once_however_often_it_is_given<F: Fixture>(mut bench: Bench<F>) {
    let id = message_id(1, NOW);
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move { store.keep_feedback(said(id)).await.unwrap() });
    }
    let new = tasks.join_all().await.into_iter().filter(|is_new| *is_new).count();
    assert_eq!(new, 1);
    bench.reopen().await;
    assert_eq!(bench.keep_feedback(said(id)).await, Ok(false));
    assert_eq!(bench.keep_feedback(said(message_id(2, NOW))).await, Ok(true));
}

pub(crate) async fn sample_that_is_confirmed_is_counted_with_its_decision<F: Fixture>(bench: Bench<F>) {
    let made = Decision { messages: 3, sampled: 2, ..decision(1, NOW) };
    let samples = vec![(message_id(1, NOW), made.id), (message_id(2, NOW), made.id)];
    let kept = KeptByGuard { decisions: vec![made.clone()], samples, ..kept(NOW, Vec::new()) };
    bench.keep_guard(kept).await.unwrap();
    for n in [1, 1, 3] {
        bench.keep_feedback(said(message_id(n, NOW))).await.unwrap();
    }
    assert_eq!(bench.guard_decisions(all()).await, Ok(vec![Decision { confirmed: 1, ..made }]));
}

pub(crate) async fn what_is_old_is_forgotten_and_what_is_not_stays<F: Fixture>(bench: Bench<F>) {
    for ago in [Duration::ZERO, HOUR, 3 * DAY, 60 * DAY] {
        let at = NOW.minus(ago);
        let made = decision(1, at);
        let samples = vec![(message_id(1, at), made.id)];
        let counts = entered(block(1), at, sent(1));
        bench.keep_guard(KeptByGuard { decisions: vec![made], samples, ..kept(at, counts) }).await.unwrap();
        bench.keep_feedback(said(message_id(1, at))).await.unwrap();
    }
    let forget = ForgetGuard {
        minutes_before: NOW.minus(10 * MINUTE),
        hours_before: NOW.minus(2 * DAY),
        days_before: NOW.minus(40 * DAY),
        decisions_before: NOW.minus(30 * DAY),
        feedback_before: Some(NOW.minus(2 * DAY)),
        limit: 1,
    };
    while !bench.forget_guard(forget).await.unwrap() {}
    let rows = ["minute", "hour", "day"]
        .map(|grain| format!("SELECT count(*) FROM guard_counts WHERE grain = '{grain}'"));
    assert_eq!(bench.fixture.counts(rows.to_vec()), [1, 2, 2]);
    let rows =
        ["guard_decisions", "guard_samples", "feedback"].map(|table| format!("SELECT count(*) FROM {table}"));
    assert_eq!(bench.fixture.counts(rows.to_vec()), [3, 3, 2]);
}
