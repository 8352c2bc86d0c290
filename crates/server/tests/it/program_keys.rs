//! `tuma keys`.

use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use store::Options;
use store::port::events::Lease;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::program::Site;

async fn site() -> (Simulator, Site) {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    (sim, site)
}

#[tokio::test]
async fn create_prints_the_key_alone_on_standard_output() {
    let (_sim, site) = site().await;
    let made = site.run(&["keys", "create", "--name", "wallet", "--scopes", "sms:send,sms:read"]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let key = made.stdout.strip_suffix('\n').unwrap();
    assert!(key.starts_with("tuma_") && key.len() == 48, "{key}");
    assert!(!key.contains(char::is_whitespace), "{key}");
    assert!(made.stderr.contains("key_") && !made.stderr.contains(key), "{}", made.stderr);
}

#[tokio::test]
async fn a_new_key_works_at_once_at_a_running_gateway() {
    let (_sim, site) = site().await;
    let served = site.serve().await;
    let key = site.key("sms:read").await;
    assert_eq!(served.request(Method::GET, "/sms").key(&key).send().await.status, 200);
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_a_running_gateway() {
    let (_sim, site) = site().await;
    let site = site.set("TUMA_HTTP__KEY_CACHE_MS", "50");
    let key = site.key("sms:read").await;
    let served = site.serve().await;
    assert_eq!(served.request(Method::GET, "/sms").key(&key).send().await.status, 200);
    let list = site.run(&["keys", "list"]).await.stdout;
    let id = list.split('\t').next().unwrap();
    assert_eq!(site.run(&["keys", "revoke", id]).await.code, Some(0));
    let refused = async || {
        let answer = served.request(Method::GET, "/sms").key(&key).send().await;
        (answer.status == 401).then_some(())
    };
    wait_for(refused, LONG).await.unwrap();
    assert!(site.run(&["keys", "list"]).await.stdout.contains("revoked"));
}

#[tokio::test]
async fn list_shows_names_and_scopes_and_no_key() {
    let (_sim, site) = site().await;
    let key = site.key("sms:send,sms:read").await;
    let listed = site.run(&["keys", "list"]).await;
    let row: Vec<_> = listed.stdout.trim_end().split('\t').collect();
    assert_eq!(row[1..], ["test", "sms:send,sms:read", "valid", "never used", "held to nothing"]);
    assert!(!listed.stdout.contains(&key));
}

#[tokio::test]
async fn a_key_may_end_by_itself() {
    let (_sim, site) = site().await;
    let arguments = ["keys", "create", "--name", "w", "--scopes", "admin", "--expires-in-days", "30"];
    assert_eq!(site.run(&arguments).await.code, Some(0));
    assert!(site.run(&["keys", "list"]).await.stdout.contains("expires 20"));
}

#[tokio::test]
async fn what_is_no_scope_is_refused_and_nothing_is_printed() {
    let (_sim, site) = site().await;
    for scopes in ["sms:write", "sms:send,everything", ""] {
        let refused = site.run(&["keys", "create", "--name", "wallet", "--scopes", scopes]).await;
        assert_ne!(refused.code, Some(0));
        assert_eq!(refused.stdout, "");
        assert!(
            refused
                .stderr
                .contains("sms:send, sms:read, verify, prompts, consent, templates, webhooks and admin"),
            "{}",
            refused.stderr
        );
    }
}

#[tokio::test]
async fn revoking_a_key_that_is_not_there_fails() {
    let (_sim, site) = site().await;
    site.key("admin").await;
    let refused = site.run(&["keys", "revoke", "key_01a208af715074abb7716fc49cb931c7"]).await;
    assert_eq!(refused.code, Some(1));
}

#[tokio::test]
async fn a_key_may_be_held_to_scenarios_countries_and_senders() {
    let (_sim, site) = site().await;
    let create = ["keys", "create", "--name", "w", "--scopes", "sms:send", "--scenarios", "otp,alert"];
    let made = site.run(&[&create[..], &["--countries", "ke,UG", "--senders", "CHAMA 7"]].concat()).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let listed = site.run(&["keys", "list"]).await.stdout;
    assert!(listed.trim_end().ends_with("scenarios otp,alert; countries KE,UG; senders CHAMA 7"), "{listed}");
    for wrong in [["--scenarios", "party"], ["--countries", "XX"], ["--senders", "way too long a name"]] {
        assert_ne!(site.run(&[&create[..6], &wrong].concat()).await.code, Some(0), "{wrong:?}");
    }
}

#[tokio::test]
async fn rotate_prints_another_key_and_a_running_gateway_takes_both() {
    let (_sim, site) = site().await;
    let old = site.key("sms:read").await;
    let served = site.serve().await;
    let list = site.run(&["keys", "list"]).await.stdout;
    let id = list.split('\t').next().unwrap();
    let rotated = site.run(&["keys", "rotate", id]).await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.stderr);
    let new = rotated.stdout.trim_end();
    assert!(new.starts_with("tuma_") && new != old && !rotated.stderr.contains(new), "{}", rotated.stderr);
    for key in [old.as_str(), new] {
        assert_eq!(served.request(Method::GET, "/sms").key(key).send().await.status, 200);
    }
    assert!(site.run(&["keys", "list"]).await.stdout.contains("former secret ends 20"));
    let at_once = site.run(&["keys", "rotate", id, "--overlap-days", "0"]).await.stdout;
    let refused = async || {
        let answer = served.request(Method::GET, "/sms").key(&old).send().await;
        (answer.status == 401).then_some(())
    };
    wait_for(refused, LONG).await.unwrap();
    let newest = served.request(Method::GET, "/sms").key(at_once.trim_end()).send().await;
    assert_eq!(newest.status, 200);
}

#[tokio::test]
async fn the_key_of_the_first_start_is_in_a_file_for_its_owner_and_not_in_what_collects_logs() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_sim, site) = site().await;
    let file = site.path("tuma.db.first-key");
    // One of a database that is gone, for all to read.
    std::fs::write(&file, "tuma_old").unwrap();
    let served = site.serve().await;
    let key = wait_for(
        async || {
            let text = std::fs::read_to_string(&file).ok()?;
            text.strip_suffix('\n').filter(|key| key.len() == 48).map(str::to_owned)
        },
        LONG,
    );
    let key = key.await.unwrap();
    let answers = async || {
        let answer = served.request(Method::GET, "/api-keys").key(&key).send().await;
        (answer.status == 200).then_some(())
    };
    wait_for(answers, LONG).await.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    wait_for(async || served.log().contains("tuma.db.first-key").then_some(()), LONG).await.unwrap();
    served.terminate().await;
    let ended = served.ended().await;
    assert!(!ended.stderr.contains(&key) && !ended.stdout.contains(&key), "{}", ended.stderr);
    // The next start makes none, and leaves the file to whoever made it.
    let again = site.serve().await;
    assert_eq!(again.request(Method::GET, "/api-keys").key(&key).send().await.status, 200);
    again.terminate().await;
    assert!(!again.ended().await.stderr.contains("first-key"));
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim_end(), key);
}

#[tokio::test]
async fn no_key_is_made_at_the_first_start_where_it_can_not_be_kept() {
    let (_sim, site) = site().await;
    std::fs::create_dir(site.path("tuma.db.first-key")).unwrap();
    let served = site.serve().await;
    wait_for(async || served.log().contains("run tuma keys create").then_some(()), LONG).await.unwrap();
    let listed = site.run(&["keys", "list"]).await;
    assert_eq!((listed.code, listed.stdout.as_str()), (Some(0), ""), "{}", listed.stderr);
}

#[tokio::test]
async fn data_keys_are_rotated_by_one_at_a_time() {
    let site = Site::bare();
    site.key("admin").await;
    // Another one has begun, and holds its lease for long.
    let url = format!("sqlite:{}", site.path("tuma.db").display());
    let store = store::open(&url, Options { migrate: false, exclusive: false, keys: None }).await.unwrap();
    let now = SystemClock::new().now();
    let until = now.plus(LONG);
    let lease = Lease { name: "rotate-data", node: gateway::node_id(now), until, ended_before: now };
    assert_eq!(store.take_lease(lease).await, Ok(true));
    store.close().await;
    let refused = site.run(&["keys", "rotate-data"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("another rotate-data is under way"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("is made"), "{}", refused.stderr);
}
