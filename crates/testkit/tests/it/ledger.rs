//! What the simulator remembers of what it took.

use testkit::sim::{LedgerMode, Provider, SimConfig, TWILIO_PHONE_NUMBER};

use crate::support::{Bench, RECEIVER, get};

#[tokio::test]
async fn an_entry_says_all_that_is_known_of_a_message() {
    let bench = Bench::start().await;
    let more = [("StatusCallback", "http://127.0.0.1:9/hooks?k=1&m=msg_0193")];
    let sid = bench.twilio_sent("+254712000910", "Habari", &more).await;
    let entry = bench.sim.ledger().entries().remove(0);
    assert_eq!((entry.seq, entry.batch, entry.recipients, entry.segments), (1, 1, 1, 1));
    assert_eq!((entry.provider, entry.provider_message_id), (Provider::Twilio, sid));
    assert_eq!((entry.to.as_str(), entry.from.as_deref()), ("+254712000910", Some(TWILIO_PHONE_NUMBER)));
    assert_eq!((entry.body.as_str(), entry.reference.as_deref()), ("Habari", Some("msg_0193")));
}

#[tokio::test]
async fn messages_of_one_request_share_its_number() {
    let bench = Bench::start().await;
    bench.twilio_sent(RECEIVER, "Habari", &[]).await;
    get(bench.africastalking_message("+254712345671,+254712345672", "Jambo", &[])).await;
    let batches: Vec<(u64, usize)> =
        bench.sim.ledger().entries().iter().map(|entry| (entry.batch, entry.recipients)).collect();
    assert_eq!(batches, [(1, 1), (2, 2), (2, 2)]);
    assert_eq!(bench.sim.ledger().by(Provider::AfricasTalking).len(), 2);
    assert_eq!(bench.sim.ledger().to("+254712345672").len(), 1);
}

#[tokio::test]
async fn requests_are_kept_with_their_moments_and_what_came_of_them() {
    let bench = Bench::start().await;
    get(bench.africastalking_message("+254712345671,+254712000406", "Jambo", &[])).await;
    get(bench.twilio_message("+2547", "Habari", &[])).await;
    bench.twilio_sent(RECEIVER, "Habari", &[]).await;
    let requests = bench.sim.ledger().requests();
    let facts: Vec<_> =
        requests.iter().map(|request| (request.provider, request.recipients, request.accepted)).collect();
    let expected = [(Provider::AfricasTalking, 2, 1), (Provider::Twilio, 1, 0), (Provider::Twilio, 1, 1)];
    assert_eq!(facts, expected);
    assert!(requests.windows(2).all(|pair| pair[0].since_start_us < pair[1].since_start_us));
}

#[tokio::test]
async fn duplicates_are_the_same_text_to_the_same_receiver() {
    let bench = Bench::start().await;
    for (to, body) in [(RECEIVER, "one"), (RECEIVER, "two"), (RECEIVER, "one"), ("+254733000111", "one")] {
        bench.twilio_sent(to, body, &[]).await;
    }
    let duplicates = bench.sim.ledger().duplicates();
    assert_eq!(duplicates.len(), 1);
    assert_eq!(
        (duplicates[0].to.as_str(), duplicates[0].body.as_str(), duplicates[0].count),
        (RECEIVER, "one", 2)
    );
    let stats = bench.sim.stats();
    assert_eq!((stats.messages, stats.distinct_messages), (4, 3));
}

#[tokio::test]
async fn counting_only_keeps_nothing_and_still_notices_what_comes_twice() {
    let bench = Bench::with(SimConfig { ledger: LedgerMode::CountOnly, ..SimConfig::default() }).await;
    for reference in ["a", "b", "a"] {
        let callback = format!("http://127.0.0.1:9/?m={reference}");
        bench.twilio_sent("+254712000910", "Habari", &[("StatusCallback", &callback)]).await;
    }
    get(bench.africastalking_message(RECEIVER, "Jambo", &[])).await;
    get(bench.africastalking_message(RECEIVER, "Jambo", &[])).await;
    assert_eq!((bench.sim.ledger().count(), bench.sim.ledger().distinct()), (5, 3));
    assert_eq!(bench.sim.ledger().entries(), []);
    assert_eq!(bench.sim.ledger().requests(), []);
    let refused = get(bench.twilio_message("+2547", "Habari", &[])).await;
    assert_eq!(refused.json()["code"], 21211);
}

#[tokio::test]
async fn counting_only_still_calls_back() {
    let endpoint = testkit::endpoint::Endpoint::start().await.unwrap();
    let bench = Bench::with(SimConfig { ledger: LedgerMode::CountOnly, ..SimConfig::default() }).await;
    bench.twilio_sent(RECEIVER, "Habari", &[("StatusCallback", &endpoint.url("/"))]).await;
    let received = endpoint.wait_for(2).await.unwrap();
    assert_eq!(received[1].field("MessageStatus").as_deref(), Some("delivered"));
}
