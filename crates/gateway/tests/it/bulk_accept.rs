//! One text to many: a verdict for each receiver, and a split by route.

use std::collections::BTreeMap;

use domain::attempt::Reason;
use domain::message::MessageStatus;
use domain::scenario::Priority;
use gateway::request::Content;
use gateway::{SendError, Verdict};
use testkit::sim::Provider;

use crate::bench::{AMERICAN, Bench, KENYAN, americans, kenyans, text, wrong_fields};

fn codes(verdicts: &[Verdict]) -> Vec<&str> {
    verdicts
        .iter()
        .map(|verdict| match verdict {
            Verdict::Accepted(_) => "accepted",
            Verdict::AcceptedBefore { .. } => "accepted_before",
            Verdict::Rejected { code, .. } => code,
        })
        .collect()
}

#[tokio::test]
async fn each_receiver_gets_a_verdict_in_the_order_asked() {
    let bench = Bench::start().await;
    let receivers = [KENYAN, "12345", "0712345678", AMERICAN, ""].map(ToOwned::to_owned);
    let answer = bench.try_bulk(&receivers, text("Karibu")).await.unwrap();
    let expected = ["accepted", "invalid_receiver", "duplicate_receiver", "accepted", "required"];
    assert_eq!(codes(&answer.verdicts), expected);
    assert_eq!(bench.count().await, 2);
}

#[tokio::test]
async fn messages_are_split_by_route_and_share_requests_where_the_provider_can() {
    let bench = Bench::start().await;
    bench.bulk(&[kenyans(30), americans(8)].concat(), "Karibu").await;
    bench.taken(38).await;
    let requests = bench.sim.ledger().requests();
    let mut shapes: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for request in &requests {
        *shapes.entry((request.provider.as_str(), request.recipients)).or_default() += 1;
    }
    assert_eq!(shapes, BTreeMap::from([(("africastalking", 30), 1), (("twilio", 1), 8)]));
}

#[tokio::test]
async fn messages_with_other_texts_or_senders_do_not_share_a_request() {
    let bench = Bench::setup().start().await;
    bench.sim.inject(testkit::sim::FaultRule::next(1, testkit::sim::Fault::Slow { ms: 300 })).unwrap();
    let sender = Content { sender: Some("AFRICASTKNG".into()), ..text("Karibu") };
    for content in [text("Karibu"), text("Kwaheri"), sender] {
        bench.try_bulk(&kenyans(10), content).await.unwrap();
    }
    bench.taken(30).await;
    for request in bench.sim.ledger().requests() {
        assert_eq!((request.recipients, request.accepted), (10, 10));
    }
    let by_batch = bench.sim.ledger().entries();
    let mut kinds: BTreeMap<u64, Vec<(String, Option<String>)>> = BTreeMap::new();
    for entry in by_batch {
        kinds.entry(entry.batch).or_default().push((entry.body, entry.from));
    }
    for mut kind in kinds.into_values() {
        kind.dedup();
        assert_eq!(kind.len(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn each_receiver_of_a_shared_request_gets_its_own_outcome() {
    let bench = Bench::start().await;
    // The simulated network refuses the second, and has no route to the third, which then takes the other one.
    let receivers = [KENYAN, "+254712000403", "+254712000407"].map(ToOwned::to_owned);
    let ids = bench.bulk(&receivers, "Karibu").await;
    let expected = [
        (MessageStatus::Sent, None, "africastalking"),
        (MessageStatus::Failed, Some(Reason::InvalidRecipient), "africastalking"),
        (MessageStatus::Sent, None, "twilio"),
    ];
    for (id, (status, reason, provider)) in ids.into_iter().zip(expected) {
        let shown = bench.stands(id, status).await;
        assert_eq!(shown.summary.failure.map(|failure| failure.reason), reason);
        assert_eq!(shown.summary.provider.as_str(), provider);
    }
    assert_eq!(bench.sim.stats().africastalking.submissions, 1);
}

#[tokio::test]
async fn a_code_to_many_goes_alone_in_each_request() {
    let bench = Bench::start().await;
    let code = Content { scenario: Some("otp".into()), ..text("Your code is 482913") };
    bench.try_bulk(&kenyans(3), code).await.unwrap();
    bench.taken(3).await;
    assert_eq!(bench.sim.ledger().requests().len(), 3);
    for entry in bench.sim.ledger().by(Provider::AfricasTalking) {
        assert_eq!(entry.recipients, 1);
    }
}

#[tokio::test]
async fn the_lane_is_bulk_unless_the_scenario_is_urgent() {
    let bench = Bench::start().await;
    let table = [
        (None, Priority::Bulk),
        (Some("transaction"), Priority::Bulk),
        (Some("otp"), Priority::High),
        (Some("alert"), Priority::Critical),
    ];
    for (scenario, lane) in table {
        let content = Content { scenario: scenario.map(ToOwned::to_owned), ..text("Habari") };
        let answer = bench.try_bulk(&kenyans(1), content).await.unwrap();
        assert!(
            matches!(&answer.verdicts[0], Verdict::Accepted(answer) if answer.priority == lane),
            "{scenario:?}"
        );
    }
}

#[tokio::test]
async fn a_request_of_which_nothing_is_left_is_refused_as_a_whole() {
    let bench = Bench::setup().without("twilio").start().await;
    let refused = bench.try_bulk(&["12345".into(), AMERICAN.into()], text("Habari")).await;
    let expected =
        [("/receivers/0".to_owned(), "invalid_receiver"), ("/receivers/1".to_owned(), "no_provider")];
    assert_eq!(wrong_fields(refused), expected);
    assert_eq!(bench.count().await, 0);
}

#[tokio::test]
async fn a_request_has_1_to_100_receivers() {
    let bench = Bench::start().await;
    for count in [0, 101] {
        let refused = bench.try_bulk(&kenyans(count), text("Habari")).await;
        assert_eq!(wrong_fields(refused), [("/receivers".into(), "receiver_count")]);
    }
    assert_eq!(bench.bulk(&kenyans(100), "Habari").await.len(), 100);
}

#[tokio::test]
async fn a_receiver_without_a_provider_is_refused_by_itself() {
    let bench = Bench::setup().without("twilio").start().await;
    let answer = bench.try_bulk(&[KENYAN.into(), AMERICAN.into()], text("Habari")).await.unwrap();
    assert_eq!(codes(&answer.verdicts), ["accepted", "no_provider"]);
    let alone = bench.try_send(AMERICAN, text("Habari")).await;
    assert_eq!(alone.unwrap_err(), SendError::NoProvider);
}
