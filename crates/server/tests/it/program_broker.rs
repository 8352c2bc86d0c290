//! Thousands of requests from the broker, many of them twice, while the program dies and starts again: each is sent once, and
//! everything that becomes of it is told in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use store::port::messages::{Filter, Page};
use store::{Options, Store};
use testkit::database::Database;
use testkit::nats::NatsServer;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{wait_for, wait_patiently, wait_until};

use crate::app::{refusing_address, text};
use crate::nats::{Listener, Peer, Told};
use crate::program::{Served, Site};

/// Nobody's secrets, put together from parts so that tools which look for leaked ones do not take them for such.
const TOKEN: &str = concat!("canary-token-", "of-the-broker");
const PASSWORD: &str = concat!("canary-password-", "of-the-broker");

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_mins(4);

/// Requests that are published side by side.
const PRODUCERS: usize = 200;

/// Each lane with a scenario that leads there. None expires.
const LANES: [(&str, &str); 4] =
    [("critical", "alert"), ("high", "otp"), ("normal", "general"), ("bulk", "chama_invite")];

/// How many requests. `TUMA_TEST_BROKER_MESSAGES` asks for more.
fn messages() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, not a setting of the gateway")]
    let set = std::env::var("TUMA_TEST_BROKER_MESSAGES").ok();
    set.map_or(3_000, |number| number.parse().unwrap())
}

fn site(sim: &Simulator, nats: &NatsServer, database: &str, listen: &str) -> Site {
    let settings = [
        ("TUMA_DATABASE_URL", database),
        ("TUMA_LISTEN", listen),
        ("TUMA_PUBLIC_URL", &format!("http://{listen}")),
        ("TUMA_BROKER__URL", &nats.url()),
        ("TUMA_BROKER__ACK_WAIT_S", "2"),
        ("TUMA_SCENARIOS__OTP__EXPIRES_AFTER_S", "0"),
        ("TUMA_SCENARIOS__ALERT__ON_SILENCE", "wait"),
        ("TUMA_RECONCILE__FIRST_LOOK_MS", "100"),
        ("TUMA_RECONCILE__INTERVAL_MS", "200"),
        // Longer than a busy machine may take to read a request of a client that is dead.
        ("TUMA_RECONCILE__ABSENT_AFTER_MS", "2000"),
        ("TUMA_PROVIDERS__TWILIO__MESSAGES_PER_SECOND", "0"),
        ("TUMA_PROVIDERS__TWILIO__BULK_BATCH_SIZE", "0"),
    ];
    settings.into_iter().fold(Site::new(sim.base_url()), |site, (name, value)| site.set(name, value))
}

/// Publishes all requests; every fifth is published twice, under another id of the broker's.
async fn publish(peer: &Peer, total: usize) {
    let copies = (0..total).flat_map(|n| (0..if n % 5 == 0 { 2 } else { 1 }).map(move |copy| (n, copy)));
    let asks = stream::iter(copies).map(async |(n, copy)| {
        let (lane, scenario) = LANES[n % LANES.len()];
        let (receiver, message) = (format!("+4474{n:08}"), format!("Message {n}"));
        let body = json!({
            "receiver": receiver, "message": message, "scenario": scenario, "reference": n.to_string()
        });
        let (key, id) = (format!("order-{n}"), format!("order-{n}-{copy}"));
        peer.ask(lane, body.to_string(), &[("Idempotency-Key", &key), ("Nats-Msg-Id", &id)]).await;
    });
    asks.buffer_unordered(PRODUCERS).collect::<Vec<()>>().await;
}

fn taken(sim: &Simulator) -> usize {
    usize::try_from(sim.ledger().count()).unwrap()
}

/// Kills the program when a third is sent, stops it in order when two thirds are, and starts it again each time.
async fn die_twice(site: &Site, sim: &Simulator, total: usize) -> Served {
    let served = site.serve().await;
    wait_until(|| taken(sim) >= total / 3, PATIENCE).await.unwrap();
    served.kill().await;
    served.ended().await;
    let served = site.serve().await;
    wait_until(|| taken(sim) >= total * 2 / 3, PATIENCE).await.unwrap();
    served.terminate().await;
    assert_eq!(served.ended().await.code, Some(0));
    site.serve().await
}

/// What is left of the requests at the broker.
async fn left(peer: &Peer) -> u64 {
    let mut requests = peer.wait_for_stream("TUMA_SMS").await;
    requests.info().await.unwrap().state.messages
}

/// Everything that was told, once each, message by message, with what still waits in the outbox.
async fn all_told(events: &mut Listener, peer: &Peer, store: &dyn Store) -> BTreeMap<String, Vec<Told>> {
    let mut stream = peer.wait_for_stream("TUMA_EVENTS").await;
    let count = usize::try_from(stream.info().await.unwrap().state.messages).unwrap();
    let told = events.until_within(PATIENCE, |told| told.len() == count).await;
    let (mut seen, mut by_message): (BTreeMap<String, &Told>, BTreeMap<String, Vec<Told>>) =
        Default::default();
    for told in told {
        let event = told.json();
        if let Some(first) = seen.insert(text(&event["id"]), told) {
            // A copy is a copy: the same id, and the same in it.
            assert_eq!(first.payload, told.payload);
        } else {
            by_message.entry(text(&event["message_id"])).or_default().push(told.clone());
        }
    }
    assert!(store.events(10).await.unwrap().is_empty(), "the outbox was not emptied");
    by_message
}

/// The number of an event, which ends its id.
fn number(told: &Told) -> u64 {
    told.text("id").rsplit_once('_').unwrap().1.parse().unwrap()
}

/// Holds what was sent and told against what was asked.
async fn check(sim: &Simulator, told: &BTreeMap<String, Vec<Told>>, store: &dyn Store, total: usize) {
    let entries = sim.ledger().entries_where(|_| true);
    let texts: BTreeSet<&str> = entries.iter().map(|entry| entry.body.as_str()).collect();
    assert_eq!((texts.len(), entries.len()), (total, total), "sent once each");

    let page = Page { after: None, limit: u32::try_from(2 * total).unwrap() };
    let kept = store.messages(Filter::default(), page).await.unwrap();
    assert_eq!((kept.len(), told.len()), (total, total));
    for summary in &kept {
        let events = &told[&summary.message.id.to_string()];
        let kinds: Vec<_> = events.iter().map(|told| told.text("kind")).collect();
        assert_eq!(kinds[0], "queued", "{kinds:?}");
        assert_eq!(kinds[kinds.len() - 1], summary.status.as_str(), "{kinds:?}");
        let ends = kinds.iter().filter(|kind| *kind == "sent").count();
        assert!(ends <= 1 && kinds.iter().filter(|kind| *kind == "delivered").count() <= 1, "{kinds:?}");
        assert!(events.is_sorted_by_key(number), "{kinds:?}");
        assert_eq!(events[0].text("reference"), summary.message.reference.clone().unwrap());
    }
}

/// How many events there must have been: on SQLite, numbers have no gaps.
fn check_numbers(told: &BTreeMap<String, Vec<Told>>) {
    let numbers: BTreeSet<u64> = told.values().flatten().map(number).collect();
    assert_eq!(numbers.last().copied(), Some(numbers.len() as u64), "an event is missing");
}

async fn store(url: &str) -> std::sync::Arc<dyn Store> {
    store::open(url, Options { migrate: false, exclusive: false, keys: Some(testkit::database::data_key()) })
        .await
        .unwrap()
}

/// Nothing is under way, and all that happened was told.
async fn is_quiet(store: &dyn Store, peer: &Peer, sim: &Simulator, total: usize) -> Option<()> {
    if taken(sim) < total || left(peer).await > 0 || store.outbox().await.unwrap().events > 0 {
        return None;
    }
    let page = Page { after: None, limit: 1 };
    for status in [domain::message::MessageStatus::Queued, domain::message::MessageStatus::Sending] {
        let filter = Filter { status: Some(status), ..Filter::default() };
        if !store.messages(filter, page).await.unwrap().is_empty() {
            return None;
        }
    }
    Some(())
}

async fn ask_while_it_dies(total: usize, database: &str) -> (BTreeMap<String, Vec<Told>>, String) {
    let nats = NatsServer::start().await;
    let sim = SimConfig { magic_numbers: false, ..SimConfig::default() };
    let sim = Simulator::start(sim).await.unwrap();
    let (_kept, address) = refusing_address();
    let site = site(&sim, &nats, database, &address.to_string());
    assert_eq!(site.run(&["migrate"]).await.code, Some(0));
    let key = site.key("sms:send").await;
    let site = site.set("TUMA_BROKER__API_KEY", &key);
    let peer = Peer::of(&nats).await;
    let publishing = async {
        peer.wait_for_stream("TUMA_SMS").await;
        publish(&peer, total).await;
    };
    let (served, ()) = tokio::join!(die_twice(&site, &sim, total), publishing);
    let opened = store(database).await;
    let quiet = async || is_quiet(&*opened, &peer, &sim, total).await;
    let quiet = wait_patiently(Duration::from_millis(50), quiet, PATIENCE).await;
    quiet.unwrap_or_else(|late| panic!("{late}: {} of {total} sent; {}", taken(&sim), served.log()));
    served.terminate().await;
    assert_eq!(served.ended().await.code, Some(0));
    // The last receipts may have come between the look and the end: those events wait for the next start.
    let served = site.serve().await;
    let is_empty = async || (opened.outbox().await.unwrap().events == 0).then_some(());
    wait_for(is_empty, PATIENCE).await.unwrap();
    served.kill().await;
    served.ended().await;
    let mut events = peer.listen("TUMA_EVENTS").await;
    let told = all_told(&mut events, &peer, &*opened).await;
    check(&sim, &told, &*opened, total).await;
    opened.close().await;
    let summary = format!("{total} sent; {} events", told.values().map(Vec::len).sum::<usize>());
    let summary = format!("{summary}, {} copies of them", events.told().len());
    (told, summary)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_sent_once_and_told_in_order_whatever_dies() {
    let folder = tempfile::TempDir::new().unwrap();
    let path: PathBuf = folder.path().join("tuma.db");
    let (told, summary) = ask_while_it_dies(messages(), &format!("sqlite:{}", path.display())).await;
    println!("{summary}");
    check_numbers(&told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_sent_once_and_told_in_order_on_postgresql_too() {
    let database = Database::on_postgres();
    let (_told, summary) = ask_while_it_dies(messages(), database.url()).await;
    println!("{summary}");
}

/// Takes part as whoever knows the token, or as a user.
async fn peer_of(nats: &NatsServer, options: async_nats::ConnectOptions) -> Peer {
    Peer { jetstream: async_nats::jetstream::new(options.connect(nats.url()).await.unwrap()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_secrets_nor_numbers_nor_texts_are_in_the_log_or_the_figures() {
    let mut nats = NatsServer::start_with(&["--auth", TOKEN]).await;
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url())
        .set("TUMA_BROKER__URL", &nats.url())
        .set("TUMA_BROKER__TOKEN", TOKEN)
        .set("RUST_LOG", "trace,async_nats=trace");
    let key = site.key("sms:send").await;
    let site = site.set("TUMA_BROKER__API_KEY", &key);
    let served = site.serve().await;
    let peer = peer_of(&nats, async_nats::ConnectOptions::new().token(TOKEN.into())).await;
    peer.wait_for_stream("TUMA_SMS").await;
    let body = json!({"receiver": "+14153917462", "message": "Canary of Wanjiku"}).to_string();
    peer.ask("normal", &body, &[("Nats-Msg-Id", "order-1")]).await;
    peer.ask("normal", body.replace("message", "4153917462"), &[]).await;
    peer.ask("normal", body.replace("+1", "+999"), &[]).await;
    let mut dead = peer.listen("TUMA_DEAD").await;
    let problems: Vec<_> = dead
        .until(|told| told.len() == 2)
        .await
        .iter()
        .map(|told| told.headers["Tuma-Problem"].clone())
        .collect();
    let mut events = peer.listen("TUMA_EVENTS").await;
    let told = events.until(|told| told.len() == 2).await;
    let payloads: Vec<_> = told.iter().map(|told| String::from_utf8(told.payload.clone()).unwrap()).collect();
    nats.kill().await;
    let noticed = async || served.log().contains("the connection to the broker is lost").then_some(());
    wait_for(noticed, PATIENCE).await.unwrap();
    nats.run().await;
    let again = async || (served.log().matches("the broker is connected").count() == 2).then_some(());
    wait_for(again, PATIENCE).await.unwrap();
    let figures = served.request(reqwest::Method::GET, "/metrics").send().await.text;
    let said = [served.log(), served.stdout(), figures, problems.join("\n"), payloads.join("\n")].join("\n");
    for secret in [TOKEN, key.as_str(), "4153917462", "Wanjiku"] {
        let line = said.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
    // Told once, not at each try.
    assert_eq!(served.log().matches("the connection to the broker is lost").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_that_the_broker_refuses_is_said_without_the_password() {
    let nats = NatsServer::start_with(&["--user", "tuma", "--pass", PASSWORD]).await;
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = || {
        Site::new(sim.base_url())
            .set("TUMA_BROKER__URL", &nats.url())
            .set("TUMA_BROKER__CONSUME", "false")
            .set("TUMA_BROKER__USER", "tuma")
    };
    let good = site().set("TUMA_BROKER__PASSWORD", PASSWORD).run(&["check"]).await;
    assert_eq!(good.code, Some(0), "{}{}", good.stdout, good.stderr);
    let line = "answers; tuma serve will make the streams TUMA_EVENTS";
    assert!(good.stdout.contains(line), "{}", good.stdout);
    let wrong = PASSWORD.replace("canary", "wrong");
    let bad = site().set("TUMA_BROKER__PASSWORD", &wrong).run(&["check"]).await;
    assert_eq!(bad.code, Some(1), "{}{}", bad.stdout, bad.stderr);
    assert!(bad.stdout.contains("WRONG broker: "), "{}", bad.stdout);
    for said in [good.stdout, good.stderr, bad.stdout, bad.stderr] {
        assert!(!said.contains(PASSWORD) && !said.contains(&wrong), "{said}");
    }
}
