//! Keys on several nodes: what is said to one holds for all.

use std::sync::Arc;
use std::time::Duration;

use domain::secret::ExposeSecret as _;
use domain::time::{Clock, Timestamp};
use gateway::SystemClock;
use reqwest::Method;
use serde_json::json;
use server::assemble::Gateway;
use server::config::Config;
use server::keys::{self, Scope};
use testkit::clock::FakeClock;
use testkit::database::Database;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};
use tokio::time::Instant;

use crate::app::{environment, text};
use crate::http::Client;

struct Site {
    sim: Simulator,
    database: Database,
    client: Client,
}

impl Site {
    async fn new() -> Self {
        let sim = Simulator::start(SimConfig::default()).await.unwrap();
        Self { sim, database: Database::on_postgres(), client: Client::new() }
    }

    async fn node(&self, clock: Arc<dyn Clock>) -> Gateway {
        let environment = environment(self.sim.base_url(), self.database.url());
        Gateway::start(&Config::load(None, environment).unwrap(), clock).await.unwrap()
    }

    async fn list(&self, node: &Gateway, key: &str) -> u16 {
        self.client.request(Method::GET, &format!("http://{}/sms", node.address)).key(key).send().await.status
    }

    async fn admin(&self, node: &Gateway, method: Method, path: &str, admin: &str) -> crate::http::Answer {
        let request = self.client.request(method, &format!("http://{}{path}", node.address)).key(admin);
        let answer = request.json(&json!({})).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }
}

fn now() -> Timestamp {
    SystemClock::new().now()
}

/// A key in the store, with its id.
async fn key(node: &Gateway, scope: Scope) -> (String, String) {
    let (secret, kept) = keys::create("test", &[scope], None, now());
    let id = kept.id.to_string();
    node.store.create_key(kept, crate::app::operator()).await.unwrap();
    (secret.expose_secret().to_owned(), id)
}

/// The clock of the second node stands still: what it knows of a key it would trust for ever.
#[tokio::test]
async fn a_node_is_told_at_once_of_a_key_that_another_revoked_or_rotated() {
    let site = Site::new().await;
    let (first, second) = (
        site.node(Arc::new(SystemClock::new())).await,
        site.node(Arc::new(FakeClock::at(now().plus(Duration::from_secs(5))))).await,
    );
    let (admin, _id) = key(&first, Scope::Admin).await;
    // Again and again with other keys: what is told before it listens is lost.
    let heard = async || {
        let (secret, id) = key(&first, Scope::Read).await;
        assert_eq!(site.list(&second, &secret).await, 200);
        site.admin(&first, Method::DELETE, &format!("/api-keys/{id}"), &admin).await;
        let refused = async || (site.list(&second, &secret).await == 401).then_some(());
        wait_for(refused, Duration::from_secs(2)).await.ok()
    };
    wait_for(heard, LONG).await.unwrap();
    // It listens by now.
    let (secret, id) = key(&first, Scope::Read).await;
    assert_eq!(site.list(&second, &secret).await, 200);
    let rotated =
        site.client.request(Method::POST, &format!("http://{}/api-keys/{id}/rotate", first.address));
    let rotated = rotated.key(&admin).json(&json!({"overlap_s": 0})).send().await;
    assert_eq!(site.list(&second, &text(&rotated.json()["secret"])).await, 200);
    wait_for(async || (site.list(&second, &secret).await == 401).then_some(()), LONG).await.unwrap();
}

#[tokio::test]
async fn no_node_honors_a_revoked_key_for_longer_than_a_second() {
    let site = Site::new().await;
    let clock = || Arc::new(SystemClock::new()) as Arc<dyn Clock>;
    let (first, second) = (site.node(clock()).await, site.node(clock()).await);
    let (admin, _id) = key(&first, Scope::Admin).await;
    for _ in 0..5 {
        let (secret, id) = key(&first, Scope::Read).await;
        assert_eq!([site.list(&first, &secret).await, site.list(&second, &secret).await], [200, 200]);
        site.admin(&first, Method::DELETE, &format!("/api-keys/{id}"), &admin).await;
        let revoked_at = Instant::now();
        assert_eq!(site.list(&first, &secret).await, 401);
        let mut honored_at = None;
        let refused = async || {
            let asked_at = Instant::now();
            let status = site.list(&second, &secret).await;
            if status == 200 {
                honored_at = Some(asked_at);
            }
            (status == 401).then_some(())
        };
        wait_for(refused, LONG).await.unwrap();
        let honored_for = honored_at.map(|at| at - revoked_at).unwrap_or_default();
        assert!(honored_for < Duration::from_secs(1), "{honored_for:?}");
    }
}

#[tokio::test]
async fn of_several_nodes_that_start_at_once_one_makes_the_first_key() {
    let site = Site::new().await;
    let node = site.node(Arc::new(SystemClock::new())).await;
    let mut made = 0;
    let first = |n: u64| {
        let (_secret, kept) =
            keys::create("first", &[Scope::Admin], None, now().plus(Duration::from_millis(n)));
        node.store.create_first_key(kept, crate::app::operator())
    };
    for made_one in futures_util::future::join_all((0..8).map(first)).await {
        made += usize::from(made_one.unwrap());
    }
    assert_eq!((made, node.store.keys().await.unwrap().len()), (1, 1));
}
