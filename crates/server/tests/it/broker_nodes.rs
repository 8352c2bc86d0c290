//! Several nodes on one PostgreSQL database, and the broker.

use std::sync::Arc;

use gateway::SystemClock;
use serde_json::json;
use server::assemble::Gateway;
use server::config::Config;
use testkit::database::Database;
use testkit::nats::NatsServer;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, environment, key_before_the_start};
use crate::nats::{Peer, kinds};

async fn node(sim: &Simulator, database: &Database, settings: &[(&str, &str)]) -> Gateway {
    let mut environment = environment(sim.base_url(), database.url());
    environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let config = Config::load(None, environment).unwrap();
    Gateway::start(&config, Arc::new(SystemClock::new())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_publishes_for_all_and_another_goes_on_when_it_stops() {
    let nats = NatsServer::start().await;
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let database = Database::on_postgres();
    let key = key_before_the_start(&database).await;
    let settings = [("TUMA_BROKER__URL", nats.url()), ("TUMA_BROKER__API_KEY", key)];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let first = node(&sim, &database, &settings).await;
    let peer = Peer::of(&nats).await;
    peer.wait_for_stream("TUMA_SMS").await;
    let second = node(&sim, &database, &settings).await;
    let ask = async |n: usize| {
        let body = json!({"receiver": AMERICAN, "message": format!("Message {n}")}).to_string();
        peer.ask(["critical", "high", "normal", "bulk"][n % 4], body, &[]).await;
    };
    for n in 0..40 {
        ask(n).await;
    }
    let mut events = peer.listen("TUMA_EVENTS").await;
    // All are told of, in order, and none of them twice: two who published would show, for the events of a message have
    // ids of their own.
    assert_eq!(events.until(|told| told.len() == 80).await.len(), 80);
    first.stop().await;
    for n in 40..60 {
        ask(n).await;
    }
    let told = events.until(|told| told.len() == 120).await.to_vec();
    for sent in told.iter().filter(|told| told.text("kind") == "sent") {
        assert_eq!(kinds(&told, &sent.text("message_id")), ["queued", "sent"]);
    }
    let is_forgotten = async || (second.store.outbox().await.unwrap().events == 0).then_some(());
    wait_for(is_forgotten, LONG).await.unwrap();
    assert_eq!((sim.ledger().count(), events.told().len()), (60, 120));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_without_a_broker_does_not_end_the_events_of_others_and_one_that_says_so_does() {
    let nats = NatsServer::start().await;
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let database = Database::on_postgres();
    let publishing = [("TUMA_BROKER__URL", nats.url()), ("TUMA_BROKER__CONSUME", "false".to_owned())];
    let publishing = publishing.each_ref().map(|(name, value)| (*name, value.as_str()));
    let first = node(&sim, &database, &publishing).await;
    assert_eq!(first.store.are_events_kept().await, Ok(true));
    let second = node(&sim, &database, &[]).await;
    assert_eq!(second.store.are_events_kept().await, Ok(true));
    second.stop().await;
    let third = node(&sim, &database, &[("TUMA_BROKER__EVENTS", "false")]).await;
    assert_eq!(first.store.are_events_kept().await, Ok(false));
    third.stop().await;
    first.stop().await;
}
