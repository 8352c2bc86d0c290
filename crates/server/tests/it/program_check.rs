//! `tuma check`, `tuma migrate`.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::StatusCode;
use serde_json::json;
use server::config::default_settings;
use testkit::endpoint::Endpoint;
use testkit::sim::{AFRICASTALKING_API_KEY, SimConfig, Simulator, TWILIO_AUTH_TOKEN};
use testkit::vault::{ROOT_TOKEN, VaultStandIn};

use crate::app::CALLBACK_SECRET;
use crate::issuer::{AUDIENCE, ISSUER, Signer, show};
use crate::program::Site;

async fn simulator() -> Simulator {
    Simulator::start(SimConfig::default()).await.unwrap()
}

#[tokio::test]
async fn good_credentials_are_said_to_work() {
    let sim = simulator().await;
    let checked = Site::new(sim.base_url()).run(&["check"]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    for provider in ["twilio", "africastalking"] {
        assert!(checked.stdout.contains(&format!("ok    provider {provider}: ")), "{}", checked.stdout);
    }
    assert!(checked.stdout.contains("(default)"), "{}", checked.stdout);
    assert_eq!(sim.ledger().count(), 0);
}

#[tokio::test]
async fn bad_credentials_are_named_without_being_shown_and_fail_the_check() {
    let sim = simulator().await;
    let table = [("TWILIO_AUTH_TOKEN", "twilio"), ("SMS_AT_API_KEY", "africastalking")];
    for (variable, provider) in table {
        let wrong = "0".repeat(32);
        let checked = Site::new(sim.base_url()).set(variable, &wrong).run(&["check"]).await;
        assert_eq!(checked.code, Some(1), "{}", checked.stdout);
        let line = format!("WRONG provider {provider}: the provider refused: credential");
        assert!(checked.stdout.contains(&line), "{}", checked.stdout);
        assert!(!(checked.stdout + &checked.stderr).contains(&wrong));
    }
}

#[tokio::test]
async fn a_provider_that_can_not_be_reached_fails_the_check() {
    let (_reserved, address) = crate::app::refusing_address();
    let checked = Site::new(&format!("http://{address}")).run(&["check"]).await;
    assert_eq!(checked.code, Some(1));
    assert!(checked.stdout.contains("can't be reached"), "{}", checked.stdout);
}

#[tokio::test]
async fn issuer_of_tokens_is_asked_for_its_keys() {
    let (sim, issuer) = (simulator().await, Endpoint::start().await.unwrap());
    let site = Site::new(sim.base_url())
        .set("TUMA_JWT__JWKS_URL", &issuer.url("/jwks.json"))
        .set("TUMA_JWT__ISSUER", ISSUER)
        .set("TUMA_JWT__AUDIENCE", AUDIENCE)
        .set("TUMA_JWT__SCOPES", r#"{service = ["sms:send"]}"#);
    show(&issuer, &[Signer::rsa().jwk("a"), Signer::ecdsa().jwk("b"), Signer::secret().jwk("c")]);
    let checked = site.run(&["check"]).await;
    assert!(checked.stdout.contains("ok    jwt.jwks_url: keys: 2"), "{}", checked.stdout);
    show(&issuer, &[]);
    let checked = site.run(&["check"]).await;
    assert_eq!(checked.code, Some(1));
    assert!(checked.stdout.contains("WRONG jwt.jwks_url: shows no key"), "{}", checked.stdout);
    issuer.answer(StatusCode::NOT_FOUND);
    let checked = site.run(&["check"]).await;
    assert!(checked.stdout.contains("WRONG jwt.jwks_url: it answered 404"), "{}", checked.stdout);
}

#[tokio::test]
async fn broker_that_answers_not_at_all_or_without_a_caller_fails_the_check() {
    let sim = simulator().await;
    let (_reserved, address) = crate::app::refusing_address();
    let site = Site::new(sim.base_url()).set("TUMA_BROKER__URL", &format!("nats://{address}"));
    let checked = site.run(&["check"]).await;
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    assert!(checked.stdout.contains("WRONG broker: "), "{}", checked.stdout);
    assert!(checked.stdout.contains("WRONG broker.api_key: "), "{}", checked.stdout);
    let offline = site.run(&["check", "--offline"]).await;
    assert!(offline.stdout.contains("ok    broker: configured; not asked"), "{}", offline.stdout);
    // Without a caller it does not serve.
    let served = site.run(&["serve"]).await;
    assert_eq!(served.code, Some(1));
    assert!(served.stderr.contains("broker.api_key is not set"), "{}", served.stderr);
}

#[tokio::test]
async fn offline_asks_nobody() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url()).set("TWILIO_AUTH_TOKEN", &"0".repeat(32));
    let checked = site.run(&["check", "--offline"]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("provider twilio: configured"), "{}", checked.stdout);
    let stats = sim.stats();
    assert_eq!((stats.twilio.requests, stats.africastalking.requests), (0, 0));
}

#[tokio::test]
async fn nothing_configured_is_said_and_fails_the_check() {
    let checked = Site::bare().run(&["check", "--offline"]).await;
    assert_eq!(checked.code, Some(1));
    for line in ["note  provider twilio: twilio is not configured", "WRONG providers: none is configured"] {
        assert!(checked.stdout.contains(line), "{}", checked.stdout);
    }
}

#[tokio::test]
async fn a_mistake_in_a_provider_s_settings_is_named() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url()).set("TWILIO_ACCOUNT_SID", "AC123").set("SMS_AT_USERNAME", "");
    let checked = site.run(&["check", "--offline"]).await;
    assert_eq!(checked.code, Some(1));
    for part in ["account_sid: expected AC and 32 hexadecimal digits", "api_key is set, but username is not"]
    {
        assert!(checked.stdout.contains(part), "{}", checked.stdout);
    }
}

#[tokio::test]
async fn the_check_changes_nothing() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let checked = site.run(&["check"]).await;
    assert!(checked.stdout.contains("store: is not there yet; tuma serve makes it"), "{}", checked.stdout);
    assert_eq!(site.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_database_that_is_up_to_date_can_be_checked_while_it_is_served() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let _served = site.serve().await;
    let checked = site.run(&["check"]).await;
    assert!(checked.stdout.contains("ok    store: can be read and written"), "{}", checked.stdout);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
}

#[tokio::test]
async fn print_defaults_prints_the_settings_that_hold_without_any() {
    let site = Site::bare();
    let printed = site.run(&["check", "--print-defaults"]).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    let table: toml::Table = printed.stdout.parse().unwrap();
    assert_eq!(table, default_settings().parse().unwrap());

    std::fs::write(site.path("tuma.toml"), &printed.stdout).unwrap();
    let again = site.run(&["check", "--offline"]).await;
    assert!(again.stdout.contains("WRONG providers: none is configured"), "{}{}", again.stdout, again.stderr);
}

#[tokio::test]
async fn migrate_sets_the_database_up_and_finds_nothing_to_do_the_second_time() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    for _ in 0..2 {
        let done = site.run(&["migrate"]).await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""));
        assert!(done.stderr.contains("up to date"), "{}", done.stderr);
    }
    assert!(site.run(&["check"]).await.stdout.contains("ok    store: can be read and written"));
}

#[tokio::test]
async fn each_secret_is_said_with_where_it_is_from_and_its_age_and_never_shown() {
    let sim = simulator().await;
    let vault = VaultStandIn::start(Arc::new(SystemClock::new())).await.unwrap();
    let hundred_days_ago = SystemClock::new().now().minus(Duration::from_hours(100 * 24));
    vault.put_at("secret/tuma", &json!({"key": AFRICASTALKING_API_KEY}), hundred_days_ago);
    let site = Site::new(sim.base_url())
        .set("TUMA_SECRETS__VAULT__ADDRESS", &vault.url())
        .set("TUMA_SECRETS__VAULT__TOKEN_FILE", "token")
        .set("SMS_AT_API_KEY", "vault:secret/tuma#key")
        // Whatever is logged on the way to the store is looked at too.
        .set("RUST_LOG", "trace");
    std::fs::write(site.path("token"), format!("{ROOT_TOKEN}\n")).unwrap();
    std::fs::write(site.path("tuma.toml"), "[broker]\npassword = \"hunter2\"\n").unwrap();
    let checked = site.run(&["check"]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    for line in [
        "ok    secret providers.twilio.auth_token: from the environment (TWILIO_AUTH_TOKEN)\n",
        "ok    secret secrets.vault.token: from the file token (TUMA_SECRETS__VAULT__TOKEN_FILE), 0 days old\n",
        "note  secret providers.africastalking.api_key: from Vault (secret/tuma, field key), 100 days old: more than \
         secrets.max_age_days, 90; change it\n",
        "note  secret broker.password: from the settings file, where others may read it: name a file or a store there\n",
        "ok    provider africastalking: ",
    ] {
        assert!(checked.stdout.contains(line), "{line}\n{}", checked.stdout);
    }
    // Not the address of a database that has no password, nor the names of accounts.
    assert!(!checked.stdout.contains("secret database_url"), "{}", checked.stdout);
    assert!(!checked.stdout.contains("account_sid"), "{}", checked.stdout);
    let said = checked.stdout + &checked.stderr;
    for secret in [AFRICASTALKING_API_KEY, TWILIO_AUTH_TOKEN, ROOT_TOKEN, CALLBACK_SECRET, "hunter2"] {
        assert!(!said.contains(secret), "{said}");
    }

    let offline = site.run(&["check", "--offline"]).await;
    assert_eq!(offline.code, Some(0), "{}", offline.stdout);
    let line =
        "note  secret providers.africastalking.api_key: from Vault (secret/tuma, field key); not asked\n";
    assert!(offline.stdout.contains(line), "{}", offline.stdout);
    assert!(
        offline.stdout.contains("note  provider africastalking: its secrets are not known"),
        "{}",
        offline.stdout
    );

    vault.set_sealed(true);
    let sealed = site.run(&["check"]).await;
    assert_eq!(sealed.code, Some(1), "{}", sealed.stdout);
    let line =
        "WRONG secret providers.africastalking.api_key: from Vault (secret/tuma, field key): Vault is sealed";
    assert!(sealed.stdout.contains(line), "{}", sealed.stdout);
    let served = site.run(&["serve"]).await;
    assert_eq!(served.code, Some(1));
    assert!(
        served.stderr.contains("setting providers.africastalking.api_key: Vault is sealed"),
        "{}",
        served.stderr
    );
}
