//! A request with an idempotency key can be repeated: it is sent once.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::guard::AllowedCountries;
use domain::ids::{KeyId, MessageId};
use domain::message::MessageStatus;
use domain::phone::Country;
use futures_util::future::join_all;
use gateway::{BulkRequest, Caller, SendAnswer, SendError, SendRequest, Verdict};
use testkit::clock::FakeClock;

use crate::bench::{AMERICAN, Bench, KENYAN, caller, request, seconds, text};

fn repeatable(receiver: &str, body: &str) -> SendRequest {
    SendRequest { idempotency_key: Some("deposit-4711".into()), ..request(receiver, text(body)) }
}

async fn send(bench: &Bench) -> Result<SendAnswer, SendError> {
    bench.service.send_sms(caller(), repeatable(KENYAN, "Habari")).await
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer() {
    let bench = Bench::start().await;
    let first = send(&bench).await.unwrap();
    bench.stands(first.id, MessageStatus::Sent).await;
    bench.clock.advance(seconds(60));
    assert_eq!(send(&bench).await.unwrap(), first);
    assert_eq!((bench.count().await, bench.sim.ledger().count()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_are_one_message() {
    let bench = Arc::new(Bench::start().await);
    let answers = join_all((0..50).map(|_| send(&bench))).await;
    let ids: BTreeSet<MessageId> = answers.into_iter().map(|answer| answer.unwrap().id).collect();
    assert_eq!((ids.len(), bench.count().await), (1, 1));
    bench.taken(1).await;
    bench.dispatchers_look().await;
    assert_eq!(bench.sim.ledger().to(KENYAN).iter().filter(|entry| entry.body == "Habari").count(), 1);
}

#[tokio::test]
async fn another_request_with_the_key_is_refused() {
    let bench = Bench::start().await;
    send(&bench).await.unwrap();
    for other in [repeatable(AMERICAN, "Habari"), repeatable(KENYAN, "Kwaheri")] {
        assert_eq!(bench.service.send_sms(caller(), other).await, Err(SendError::KeyReused));
    }
    assert_eq!(bench.count().await, 1);
}

#[tokio::test]
async fn another_caller_s_key_is_another_key() {
    let bench = Bench::start().await;
    let first = send(&bench).await.unwrap();
    let other = Caller::of(KeyId::new(FakeClock::START, [2; 10]));
    let second = bench.service.send_sms(other, repeatable(AMERICAN, "Kwaheri")).await.unwrap();
    assert_ne!(first.id, second.id);
}

#[tokio::test]
async fn a_key_is_forgotten_when_its_window_is_over() {
    let bench =
        Bench::setup().settings(|settings| settings.idempotency_window = seconds(3_600)).start().await;
    let first = send(&bench).await.unwrap();
    bench.clock.advance(seconds(3_599));
    assert_eq!(send(&bench).await.unwrap().id, first.id);
    bench.clock.advance(seconds(2));
    assert_ne!(send(&bench).await.unwrap().id, first.id);
}

#[tokio::test]
async fn a_repeated_bulk_request_gets_the_same_verdicts_also_after_a_restart() {
    let bench = Bench::start().await;
    let receivers = [KENYAN, "12345", AMERICAN].map(ToOwned::to_owned).to_vec();
    let bulk = BulkRequest {
        receivers,
        own: Vec::new(),
        content: text("Karibu"),
        idempotency_key: Some("b".into()),
    };
    let first = bench.service.send_bulk_sms(caller(), bulk.clone()).await.unwrap();
    let bench = bench.restart().await;
    assert_eq!(bench.service.send_bulk_sms(caller(), bulk).await.unwrap(), first);
    assert_eq!(bench.count().await, 2);
}

#[tokio::test]
async fn what_was_accepted_stays_so_where_a_setting_would_refuse_it_now() {
    let bench = Bench::start().await;
    let bulk = BulkRequest {
        receivers: [KENYAN, AMERICAN].map(ToOwned::to_owned).to_vec(),
        own: Vec::new(),
        content: text("Karibu"),
        idempotency_key: Some("b".into()),
    };
    let first = bench.service.send_bulk_sms(caller(), bulk.clone()).await.unwrap();
    bench.taken(2).await;
    let kenya_alone = |settings: &mut gateway::Settings| {
        settings.guard.countries = AllowedCountries::these([Country::KE]);
    };
    let bench = bench.restart_with(|setup| setup.settings(kenya_alone)).await;
    let again = bench.service.send_bulk_sms(caller(), bulk).await.unwrap();
    assert_eq!((again.bulk_id, &again.verdicts[0]), (first.bulk_id, &first.verdicts[0]));
    let Verdict::Accepted(american) = &first.verdicts[1] else { panic!("{:?}", first.verdicts) };
    let before = Verdict::AcceptedBefore { id: american.id, status: american.status };
    assert_eq!(again.verdicts[1], before);
    assert_eq!(bench.count().await, 2);
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let bench = Bench::start().await;
    assert!(bench.service.send_sms(caller(), repeatable("12345", "Habari")).await.is_err());
    send(&bench).await.unwrap();
}
