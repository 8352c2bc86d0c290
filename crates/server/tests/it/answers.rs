//! What phones are answered, and how much of it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use server::keys::Scope;
use testkit::clock::FakeClock;
use testkit::sim::{CallbackUrls, FromPhone, Provider, TWILIO_PHONE_NUMBER};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, TestApp};

const OTHER: &str = "+254722345678";
const UGANDAN: &str = "+256772345678";

/// How the three confirmations begin.
const STOPPED: &str = "You will get no more messages";
const STARTED: &str = "You will get messages again";
const HELPED: &str = "Reply STOP to get no more messages";

struct Bench {
    app: TestApp,
    clock: Arc<FakeClock>,
}

impl Bench {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let clock = Arc::new(FakeClock::new());
        let setup = TestApp::setup().clock(Arc::<FakeClock>::clone(&clock));
        let setup = settings.iter().fold(setup, |setup, (variable, value)| setup.set(variable, value));
        Self { app: setup.start().await, clock }
    }

    /// Each of these comes in a second after the one before, in messages of their own.
    async fn hears(&self, from: &str, texts: &[&str]) {
        for text in texts {
            let now = self.clock.advance(Duration::from_secs(1));
            self.app.hears(&now.as_micros().to_string(), from, text).await;
        }
    }

    /// That these, and no more, are accepted for a number and reach it, in this order.
    async fn is_answered(&self, number: &str, beginnings: &[&str]) {
        let texts = async || {
            let texts: Vec<_> = self.app.sim.ledger().to(number).into_iter().map(|one| one.body).collect();
            (texts.len() >= beginnings.len()).then_some(texts)
        };
        let texts = wait_for(texts, LONG).await.unwrap();
        let is_one = |(text, beginning): (&String, &&str)| text.starts_with(beginning);
        assert!(texts.iter().zip(beginnings).all(is_one), "{texts:?}");
        // What else was accepted would wait, or have left.
        let query = format!("/sms?receiver=%2B{}", number.trim_start_matches('+'));
        let accepted = self.app.get(&query).await.json();
        assert_eq!(accepted["messages"].as_array().unwrap().len(), beginnings.len(), "{texts:?}");
    }
}

#[tokio::test]
async fn machine_that_answers_stop_to_everything_is_told_once() {
    let bench = Bench::start(&[]).await;
    bench.hears(KENYAN, &["STOP", "STOP", "Stop", "STOP"]).await;
    bench.is_answered(KENYAN, &[STOPPED]).await;
    bench.clock.advance(Duration::from_hours(1));
    bench.hears(KENYAN, &["STOP", "STOP"]).await;
    bench.is_answered(KENYAN, &[STOPPED, STOPPED]).await;
}

#[tokio::test]
async fn whoever_changes_their_mind_is_told_each_time_as_far_as_there_is_room() {
    let bench = Bench::start(&[("TUMA_INBOUND__ANSWERS_PER_HOUR", "3")]).await;
    let told = [STOPPED, STARTED, STOPPED];
    for (at, word) in ["STOP", "START", "STOP"].iter().enumerate() {
        bench.hears(KENYAN, &[word]).await;
        bench.is_answered(KENYAN, &told[..=at]).await;
    }
    bench.hears(KENYAN, &["START", "STOP"]).await;
    bench.is_answered(KENYAN, &told).await;
    assert_eq!(bench.app.post("/sms", &json!({"receiver": KENYAN, "message": "Habari"})).await.status, 403);
}

#[tokio::test]
async fn number_gets_so_many_answers_and_hears_of_its_opt_out_all_the_same() {
    let bench = Bench::start(&[("TUMA_INBOUND__ANSWERS_PER_DAY", "2")]).await;
    bench.hears(KENYAN, &["HELP", "START"]).await;
    bench.is_answered(KENYAN, &[HELPED, STARTED]).await;
    bench.clock.advance(Duration::from_hours(2));
    bench.hears(KENYAN, &["HELP", "MSAADA", "ANZA"]).await;
    bench.is_answered(KENYAN, &[HELPED, STARTED]).await;
    bench.hears(KENYAN, &["ACHA"]).await;
    bench.is_answered(KENYAN, &[HELPED, STARTED, STOPPED]).await;
    // Another number has its own.
    bench.hears(OTHER, &["HELP"]).await;
    bench.is_answered(OTHER, &[HELPED]).await;
}

#[tokio::test]
async fn nothing_is_answered_where_no_message_may_go() {
    let bench = Bench::start(&[("TUMA_GUARD__COUNTRIES", r#"["KE"]"#)]).await;
    bench.hears(UGANDAN, &["HELP", "STOP", "START"]).await;
    bench.hears(KENYAN, &["HELP"]).await;
    bench.is_answered(KENYAN, &[HELPED]).await;
    bench.is_answered(UGANDAN, &[]).await;
    let handled: Vec<_> = bench.app.get("/inbound").await.json()["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["handling"].clone())
        .collect();
    assert_eq!(handled, ["helped", "opted_in", "opted_out", "helped"]);
}

#[tokio::test]
async fn answers_count_for_limits_and_for_caps() {
    let none = r#"[{name = "general", scenarios = ["general"], by = "all", limit = 0, period_s = 86400}]"#;
    let too_little = r#"[{name = "daily", by = "all", most = "0.01"}]"#;
    for setting in [("TUMA_LIMITS__RULES", none), ("TUMA_SPENDING__CAPS", too_little)] {
        let prices = [("TUMA_SPENDING__PRICE_WHEN_UNKNOWN", "0.02"), ("TUMA_ROUTING__PRICES", "[]")];
        let bench = Bench::start(&[prices[0], prices[1], setting]).await;
        bench.hears(KENYAN, &["HELP"]).await;
        // But for an opt-out.
        bench.hears(OTHER, &["STOP"]).await;
        bench.is_answered(OTHER, &[STOPPED]).await;
        bench.is_answered(KENYAN, &[]).await;
    }
}

#[tokio::test]
async fn twiml_is_held_to_the_same_and_says_again_what_it_said() {
    let app = TestApp::start().await;
    app.sim.set_callback_urls(CallbackUrls {
        twilio_incoming: Some(app.public.url("/webhooks/twilio/incoming")),
        ..CallbackUrls::default()
    });
    let mut posts = Vec::new();
    for words in ["Msaada", "Msaada", "Acha", "Acha"] {
        let before = app.public.count();
        let (from, to, text) = (AMERICAN.into(), TWILIO_PHONE_NUMBER.into(), words.into());
        app.sim.send_from_phone(&FromPhone { provider: Provider::Twilio, from, to, text }).await;
        let received = app.public.wait_for(before + 1).await.unwrap();
        posts.push(received.last().unwrap().clone());
    }
    let mut says = Vec::new();
    for post in posts.iter().chain(&posts) {
        says.push(app.pass_on(post).await.text.contains("<Message>"));
    }
    assert_eq!(says, [true, false, true, false, true, false, true, false]);
    assert_eq!(app.count().await, 0, "no message of its own");
}

#[tokio::test]
async fn answers_to_replies_are_among_them() {
    let bench = Bench::start(&[("TUMA_INBOUND__ANSWERS_PER_HOUR", "1")]).await;
    let key = bench.app.key(&[Scope::Prompts]).await;
    let body = json!({"kind": "approval", "receivers": [KENYAN], "reference": "WR-1",
        "message": "Withdraw? Reply APPROVE WR-1 or REJECT WR-1."});
    let opened = bench.app.anonymous(Method::POST, "/prompts").key(&key).json(&body).send().await.json();
    bench.app.shown_when(&crate::app::text(&opened["receivers"][0]["message_id"]), "sent").await;
    bench.hears(KENYAN, &["HELP", "approve but not now"]).await;
    bench.is_answered(KENYAN, &["Withdraw?", HELPED]).await;
    // Nobody was asked, so the next unclear one is asked about as soon as there is room.
    bench.clock.advance(Duration::from_hours(1));
    bench.hears(KENYAN, &["approve but not now"]).await;
    bench.is_answered(KENYAN, &["Withdraw?", HELPED, "We are not sure what you mean."]).await;
}
