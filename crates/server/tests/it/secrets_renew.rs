//! Secrets that change while the gateway runs, over real HTTP against the simulator.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Clock as _;
use gateway::SystemClock;
use serde_json::{Value, json};
use testkit::clock::FakeClock;
use testkit::sim::{AFRICASTALKING_API_KEY, SimConfig, Simulator, TWILIO_API_KEY_SECRET, TWILIO_API_KEY_SID};
use testkit::vault::{ROOT_TOKEN, VaultStandIn};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, Setup, TestApp};
use crate::program::Site;

// Nobody's, put together so that tools which look for leaked credentials do not take them for such.
const NEW_SID: &str = concat!("SK", "0ddba110ddba110ddba110ddba110dd1");
const NEW_SECRET: &str = concat!("another-", "secret-of-an-api-key");
const NEW_KEY: &str = concat!("atsk_", "another_key_of_the_sandbox");

fn put(vault: &VaultStandIn, sid: &str, secret: &str, key: &str) {
    vault.put("secret/tuma/twilio", &json!({"sid": sid, "secret": secret}));
    vault.put("secret/tuma/at", &json!({"key": key}));
}

/// Both providers' keys are in Vault.
fn setup(vault: &VaultStandIn) -> Setup {
    put(vault, TWILIO_API_KEY_SID, TWILIO_API_KEY_SECRET, AFRICASTALKING_API_KEY);
    TestApp::setup()
        .set("TUMA_SECRETS__VAULT__ADDRESS", &vault.url())
        .set("TUMA_SECRETS__VAULT__TOKEN", ROOT_TOKEN)
        .set("TWILIO_API_KEY_SID", "vault:secret/tuma/twilio#sid")
        .set("TWILIO_API_KEY_SECRET", "vault:secret/tuma/twilio#secret")
        .set("SMS_AT_API_KEY", "vault:secret/tuma/at#key")
}

/// A text that no other message has: so none can be taken for another that was sent twice.
fn message(receiver: &str, text: &str) -> Value {
    json!({"receiver": receiver, "message": text})
}

/// Sends to both providers, which take the messages at the first try.
async fn sends_at_the_first_try(app: &TestApp, text: &str) {
    for receiver in [KENYAN, AMERICAN] {
        let id = app.send(&message(receiver, text)).await;
        let shown = app.shown_when(&id, "sent").await;
        assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown:#}");
    }
}

/// Waits for the age of a secret, in whole days, as `/metrics` tells it.
async fn wait_for_age(app: &TestApp, clock: &FakeClock, setting: &str, days: u32) {
    let line = format!("tuma_secret_age_days{{setting=\"{setting}\"}} ");
    let seen = async || {
        // As often as it takes for a look to begin after what the test has done.
        clock.advance(Duration::from_mins(1));
        let figures = app.metrics().await;
        let age = figures.lines().find_map(|shown| shown.strip_prefix(&line))?.parse::<f64>().unwrap();
        ((age - f64::from(days)).abs() < 0.5).then_some(())
    };
    wait_for(seen, LONG).await.unwrap();
}

#[tokio::test]
async fn changed_credentials_are_used_for_the_next_message_and_a_sealed_store_changes_nothing() {
    let clock = Arc::new(FakeClock::new());
    let vault = VaultStandIn::start(Arc::clone(&clock) as _).await.unwrap();
    let app = setup(&vault).clock(Arc::clone(&clock) as _).start().await;
    sends_at_the_first_try(&app, "with the first").await;

    // Ten days later both have new keys, and so have the providers.
    clock.advance(Duration::from_hours(240));
    put(&vault, NEW_SID, NEW_SECRET, NEW_KEY);
    app.sim.set_twilio_api_key(NEW_SID, NEW_SECRET);
    app.sim.set_africastalking_api_key(NEW_KEY);
    for setting in ["providers.twilio.api_key_secret", "providers.africastalking.api_key"] {
        wait_for_age(&app, &clock, setting, 0).await;
    }
    sends_at_the_first_try(&app, "with the second").await;

    vault.set_sealed(true);
    let refusals = vault.counts().refusals;
    let looked = async || {
        clock.advance(Duration::from_mins(1));
        (vault.counts().refusals > refusals + 2).then_some(())
    };
    wait_for(looked, LONG).await.unwrap();
    sends_at_the_first_try(&app, "with the second still").await;
    assert_eq!(app.sim.ledger().duplicates(), []);
}

#[tokio::test]
async fn a_refusal_is_a_reason_to_look_at_once_and_no_message_is_lost_or_sent_twice() {
    let vault = VaultStandIn::start(Arc::new(SystemClock::new())).await.unwrap();
    let app = setup(&vault)
        // Nothing happens by the clock, and there is no other way than by this provider.
        .set("TUMA_SECRETS__REFRESH_S", "86400")
        .set("TUMA_ROUTING__RULES", "[]")
        .set("TUMA_BREAKER__FIRST_OPEN_MS", "100")
        .set("TUMA_BREAKER__LONGEST_OPEN_MS", "100")
        .set("TUMA_RETRY__CAP_MS", "500")
        .set("SMS_AT_API_KEY", "")
        .set("SMS_AT_USERNAME", "")
        .start()
        .await;
    let mut ids = Vec::new();
    for place in 0..60 {
        if place == 30 {
            put(&vault, NEW_SID, NEW_SECRET, "");
            app.sim.set_twilio_api_key(NEW_SID, NEW_SECRET);
        }
        ids.push(app.send(&message(AMERICAN, &format!("number {place}"))).await);
    }
    let mut refused = 0;
    for id in &ids {
        let shown = app.shown_when(id, "sent").await;
        refused +=
            shown["attempts"].as_array().unwrap().iter().filter(|it| it["outcome"] == "rejected").count();
    }
    assert!(refused > 0, "the old key was never refused");
    assert_eq!(app.sim.ledger().count(), 60);
    assert_eq!(app.sim.ledger().duplicates(), []);
}

#[tokio::test]
async fn a_secret_in_a_file_is_renewed_too_and_one_that_can_not_be_leaves_the_old_one() {
    let clock = Arc::new(FakeClock::at(SystemClock::new().now()));
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, AFRICASTALKING_API_KEY).unwrap();
    let app = TestApp::setup()
        .clock(Arc::clone(&clock) as _)
        .set("SMS_AT_API_KEY", "")
        .set("SMS_AT_API_KEY_FILE", path.to_str().unwrap())
        .start()
        .await;
    clock.advance(Duration::from_hours(240));
    // No header can have it: what was before stays, and the age tells that it was looked at.
    std::fs::write(&path, "two\nlines").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let week_ago = std::time::UNIX_EPOCH + Duration::from_micros(clock.now().as_micros().try_into().unwrap())
        - Duration::from_hours(7 * 24);
    file.set_modified(week_ago).unwrap();
    wait_for_age(&app, &clock, "providers.africastalking.api_key", 7).await;
    let id = app.send(&message(KENYAN, "with the old one")).await;
    assert_eq!(app.shown_when(&id, "sent").await["provider"], "africastalking");

    app.sim.set_africastalking_api_key(NEW_KEY);
    std::fs::write(&path, NEW_KEY).unwrap();
    file.set_modified(week_ago + Duration::from_hours(4 * 24)).unwrap();
    wait_for_age(&app, &clock, "providers.africastalking.api_key", 3).await;
    let id = app.send(&message(KENYAN, "with the new one")).await;
    let shown = app.shown_when(&id, "sent").await;
    assert_eq!(
        (shown["provider"].as_str(), shown["attempts"].as_array().unwrap().len()),
        (Some("africastalking"), 1)
    );
}

#[tokio::test]
async fn an_old_secret_is_told_in_the_log_and_not_shown() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url()).set("SMS_AT_API_KEY", "").set("SMS_AT_API_KEY_FILE", "key");
    std::fs::write(site.path("key"), AFRICASTALKING_API_KEY).unwrap();
    let file = std::fs::File::options().write(true).open(site.path("key")).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - Duration::from_hours(100 * 24)).unwrap();
    let served = site.serve().await;
    let told = async || served.log().contains("a secret is old: change it").then_some(());
    wait_for(told, LONG).await.unwrap();
    let log = served.log();
    assert!(log.contains("providers.africastalking.api_key") && log.contains("days=100"), "{log}");
    assert!(!log.contains(AFRICASTALKING_API_KEY), "{log}");
}
