//! `tuma serve`: starting, stopping, and what it says.

use std::net::TcpListener;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::sim::{Fault, FaultRule, Provider, SimConfig, Simulator};
use testkit::wait::{LONG, wait_for, wait_until};

use crate::app::{AMERICAN, KENYAN, text};
use crate::program::{Served, Site, signal};

async fn simulator() -> Simulator {
    Simulator::start(SimConfig::default()).await.unwrap()
}

async fn send(served: &Served, key: &str, receiver: &str) -> String {
    let body = json!({"receiver": receiver, "message": "Habari"});
    let answer = served.request(Method::POST, "/sms").key(key).json(&body).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    text(&answer.json()["id"])
}

async fn show(served: &Served, key: &str, id: &str) -> Value {
    served.request(Method::GET, &format!("/sms/{id}")).key(key).send().await.json()
}

async fn shown_when(served: &Served, key: &str, id: &str, status: &str) -> Value {
    let look = async || {
        let shown = show(served, key, id).await;
        (shown["status"] == status).then_some(shown)
    };
    wait_for(look, LONG).await.unwrap()
}

#[tokio::test]
async fn a_kenyan_and_a_foreign_number_are_sent_with_nothing_but_credentials_set() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let key = site.key("sms:send,sms:read").await;
    let served = site.serve().await;
    let kenyan = send(&served, &key, "0712345678").await;
    let shown = shown_when(&served, &key, &kenyan, "sent").await;
    assert_eq!((&shown["provider"], &shown["receiver"]), (&json!("africastalking"), &json!(KENYAN)));
    assert_eq!(shown["cost"], json!({"amount": "0.80", "currency": "KES"}));
    let foreign = send(&served, &key, AMERICAN).await;
    assert_eq!(shown_when(&served, &key, &foreign, "sent").await["provider"], "twilio");
}

#[tokio::test]
async fn an_invalid_sms_provider_falls_back_to_twilio_with_a_warning() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url()).set("SMS_PROVIDER", "pigeon");
    let key = site.key("admin").await;
    let served = site.serve().await;
    let id = send(&served, &key, AMERICAN).await;
    assert_eq!(shown_when(&served, &key, &id, "sent").await["provider"], "twilio");
    let log = served.log();
    let warned = log.lines().any(|line| line.contains("WARN") && line.contains("falling back"));
    assert!(warned, "{log}");
}

#[tokio::test]
async fn the_database_is_brought_up_to_date_without_being_asked() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let served = site.serve().await;
    assert_eq!(served.request(Method::GET, "/health/ready").send().await.status, 200);
    assert!(site.files().contains(&"tuma.db".to_owned()));
}

#[tokio::test]
async fn a_second_gateway_on_the_same_database_refuses_to_start() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let served = site.serve().await;
    let second = site.run(&["serve"]).await;
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("another tuma serve has this database open"), "{}", second.stderr);
    assert_eq!(served.request(Method::GET, "/health/ready").send().await.status, 200);
}

#[tokio::test]
async fn the_lock_of_a_gateway_that_was_killed_is_gone_with_it() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let served = site.serve().await;
    served.kill().await;
    assert_eq!(served.ended().await.code, None);
    site.serve().await;
}

#[tokio::test]
async fn sigterm_finishes_what_is_under_way_and_leaves_the_rest_queued() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url()).set("TUMA_PROVIDERS__TWILIO__MAX_IN_FLIGHT", "2");
    let key = site.key("admin").await;
    let served = site.serve().await;
    sim.inject(FaultRule::next(2, Fault::Slow { ms: 2_000 }).on(Provider::Twilio)).unwrap();
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(send(&served, &key, &format!("+1415555010{n}")).await);
    }
    wait_until(|| sim.stats().twilio.submissions == 2, LONG).await.unwrap();
    served.terminate().await;
    let ended = served.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    assert_eq!(sim.ledger().count(), 2);

    // Nobody is in doubt: two were recorded as sent, three go out now.
    let served = site.serve().await;
    for id in &ids {
        let shown = shown_when(&served, &key, id, "sent").await;
        assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown:#}");
    }
    assert_eq!((sim.ledger().count(), sim.ledger().duplicates()), (5, vec![]));
    assert!(!served.log().contains("left open"), "{}", served.log());
}

#[tokio::test]
async fn sigterm_answers_the_requests_under_way() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let key = site.key("admin").await;
    let served = site.serve().await;
    sim.inject(FaultRule::next(1, Fault::Slow { ms: 1_000 }).on(Provider::Twilio)).unwrap();
    let body = json!({"receiver": AMERICAN, "message": "Habari"});
    let waiting = served.request(Method::POST, "/sms").key(&key).header("prefer", "wait=20").json(&body);
    let stop = async {
        wait_until(|| sim.stats().twilio.submissions == 1, LONG).await.unwrap();
        served.terminate().await;
    };
    let (answer, ()) = futures_util::future::join(waiting.send(), stop).await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("sent")));
    assert_eq!(served.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_submission_that_does_not_end_in_time_is_left_in_doubt_found_and_not_sent_again() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url()).set("TUMA_DISPATCH__SOFT_STOP_S", "1");
    let key = site.key("admin").await;
    let served = site.serve().await;
    sim.inject(FaultRule::next(1, Fault::AcceptThenStall { ms: 20_000 }).on(Provider::Twilio)).unwrap();
    let id = send(&served, &key, AMERICAN).await;
    wait_until(|| sim.ledger().count() == 1, LONG).await.unwrap();
    served.terminate().await;
    assert_eq!(served.ended().await.code, Some(0));

    let served = site.serve().await;
    // The provider is asked, and has it.
    let shown = shown_when(&served, &key, &id, "sent").await;
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(sim.ledger().to(AMERICAN).len(), 1);
}

#[tokio::test]
async fn a_second_sigterm_stops_at_once() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let key = site.key("admin").await;
    let served = site.serve().await;
    sim.inject(FaultRule::next(1, Fault::AcceptThenStall { ms: 60_000 }).on(Provider::Twilio)).unwrap();
    send(&served, &key, AMERICAN).await;
    wait_until(|| sim.ledger().count() == 1, LONG).await.unwrap();
    served.terminate().await;
    wait_until(|| served.log().contains("stopping"), LONG).await.unwrap();
    served.terminate().await;
    // Well before the 15 seconds of the request, and the 20 of a soft stop.
    let ended = tokio::time::timeout(Duration::from_secs(10), served.ended()).await.unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn ctrl_c_stops_as_sigterm_does() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let (mut child, said) = site.start(&["serve"]);
    wait_until(|| said().contains("listening"), LONG).await.unwrap();
    signal(&child, "INT").await;
    let status = tokio::time::timeout(LONG, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(said().contains("stopped"), "{}", said());
}

#[tokio::test]
async fn logs_go_to_standard_error_and_nothing_to_standard_output() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let served = site.serve().await;
    assert_eq!(served.stdout(), "");
    assert!(served.log().contains("listening"));
}

#[tokio::test]
async fn each_line_of_a_json_log_is_an_object() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url()).set("TUMA_LOG__FORMAT", "json");
    let key = site.key("admin").await;
    let served = site.serve().await;
    let id = send(&served, &key, "+14155021211").await;
    shown_when(&served, &key, &id, "failed").await;
    // The outcome is on disk before it is told.
    wait_for(async || served.log().contains("sms.failed").then_some(()), LONG).await.unwrap();
    served.terminate().await;
    let log = served.ended().await.stderr;
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(entry["level"].is_string() && entry["message"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn settings_come_from_the_working_directory() {
    let sim = simulator().await;
    let site = Site::bare().set("RUST_LOG", "info");
    let settings = format!(
        "listen = \"127.0.0.1:0\"\n[providers.twilio]\nphone_number = \"+15005550006\"\nbase_url = \"{}\"\n",
        sim.base_url()
    );
    std::fs::write(site.path("tuma.toml"), settings).unwrap();
    let account = format!(
        "TWILIO_ACCOUNT_SID={}\nTWILIO_AUTH_TOKEN={}\n",
        testkit::sim::TWILIO_ACCOUNT_SID,
        testkit::sim::TWILIO_AUTH_TOKEN
    );
    std::fs::write(site.path(".env"), account).unwrap();
    let key = site.key("admin").await;
    let served = site.serve().await;
    // No account at the other provider: the rule for Kenya is passed over.
    let id = send(&served, &key, KENYAN).await;
    assert_eq!(shown_when(&served, &key, &id, "sent").await["provider"], "twilio");
}

#[tokio::test]
async fn what_can_not_be_started_says_why_and_exits_1() {
    let sim = simulator().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = || Site::new(sim.base_url());
    let table = [
        (Site::bare(), "no provider is configured"),
        (site().set("TUMA_LISTEN", &address), "can't listen on"),
        (site().set("TUMA_DATABASE_URL", "sqlite:nowhere/tuma.db"), "the store can't be opened"),
        (site().set("TUMA_DATABASE_URL", "mysql:tuma"), "sqlite:<path>"),
        (site().set("TUMA_COLOUR", "red"), "TUMA_COLOUR is no setting"),
        (site().set("TUMA_CONFIG", "nowhere.toml"), "nowhere.toml"),
        (site().set("TWILIO_PHONE_NUMBER", ""), "phone_number or messaging_service_sid has to be set"),
        (site().set("RUST_LOG", "=loud="), "RUST_LOG"),
    ];
    for (site, expected) in table {
        let ended = site.run(&["serve"]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{expected}");
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let notes = "shopping: maize, beans, salt\n".repeat(200);
    std::fs::write(site.path("tuma.db"), &notes).unwrap();
    let ended = site.run(&["serve"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("damaged or not a database"), "{}", ended.stderr);
    assert_eq!(std::fs::read_to_string(site.path("tuma.db")).unwrap(), notes);
}

#[tokio::test]
async fn only_the_owner_can_read_the_database() {
    use std::os::unix::fs::PermissionsExt as _;

    let sim = simulator().await;
    let site = Site::new(sim.base_url());
    let _served = site.serve().await;
    for name in ["tuma.db", "tuma.db-wal"] {
        let mode = std::fs::metadata(site.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn it_takes_as_many_file_descriptors_as_it_may_have() {
    let site = Site::new("http://127.0.0.1:9");
    let served = site.serve().await;
    let limits = served.limits();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}
