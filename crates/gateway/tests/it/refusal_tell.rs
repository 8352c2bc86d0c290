//! What the audit trail is told of refusals.

use std::time::Duration;

use domain::audit::{Actor, Entry, Event};
use gateway::BulkRequest;
use store::port::audit::{AuditFilter, AuditPage};
use testkit::wait::{LONG, wait_for};

use crate::bench::{Bench, KENYAN, caller, text, wrong_fields};

/// The refusals in the trail, once there are so many; the newest first.
async fn refusals(bench: &Bench, count: usize) -> Vec<Entry> {
    let filter = AuditFilter { event: Some(Event::SmsRefused), ..AuditFilter::default() };
    let look = async || {
        bench.clock.advance(Duration::from_millis(500));
        let found = bench.service.audit(filter.clone(), AuditPage { after: None, limit: 100 }).await.unwrap();
        (found.len() >= count).then_some(found)
    };
    let found = wait_for(look, LONG).await.unwrap();
    assert_eq!(found.len(), count);
    found
}

#[tokio::test]
async fn a_caller_that_runs_wild_writes_twenty_entries_a_minute_and_one_for_the_rest() {
    let bench = Bench::start().await;
    for _ in 0..25 {
        let refused = bench.try_send("12345", text("Habari")).await;
        assert_eq!(wrong_fields(refused), [("/receiver".into(), "invalid_receiver")]);
    }
    let found = refusals(&bench, 21).await;
    let more: Vec<_> = found.iter().filter_map(|entry| entry.subject.as_deref()).collect();
    assert_eq!(more, ["5 more"]);
    let of_caller = |entry: &Entry| entry.actor == Actor::Key(caller().key).to_string();
    assert!(
        found.iter().all(|entry| of_caller(entry) && entry.outcome.as_deref() == Some("invalid_receiver"))
    );
}

#[tokio::test]
async fn refusals_of_a_bulk_are_told_though_its_caller_has_hung_up() {
    let bench = Bench::start().await;
    let receivers = vec![KENYAN.to_owned(), "12345".to_owned()];
    let request = BulkRequest { receivers, own: Vec::new(), content: text("Karibu"), idempotency_key: None };
    let mut sending = Box::pin(bench.service.send_bulk_sms(caller(), request));
    tokio::select! {
        biased;
        answer = &mut sending => panic!("it was answered at once: {answer:?}"),
        () = std::future::ready(()) => {}
    }
    drop(sending);
    let [refused] = refusals(&bench, 1).await.try_into().unwrap();
    assert_eq!(refused.outcome.as_deref(), Some("invalid_receiver"));
    assert_eq!(bench.count().await, 1, "the other one is on its way");
}
