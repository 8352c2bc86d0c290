//! Several nodes on one database, in this process: what each is for is a setting, their clocks differ, and together they do
//! what one does.

use std::sync::Arc;
use std::time::Duration;

use domain::secret::ExposeSecret as _;
use domain::time::{Clock, Sleep, Timestamp};
use futures_util::future::join;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::json;
use server::assemble::Gateway;
use server::config::Config;
use server::keys::{self, Scope};
use testkit::clock::FakeClock;
use testkit::database::Database;
use testkit::endpoint::Endpoint;
use testkit::sim::{SimConfig, Simulator};
use testkit::wait::{LONG, wait_for, wait_until};

use crate::app::{AMERICAN, environment, text};
use crate::http::{Client, Request};

/// What nodes of one gateway share.
struct Site {
    sim: Simulator,
    public: Endpoint,
    database: Database,
    client: Client,
}

impl Site {
    async fn new() -> Self {
        let sim = Simulator::start(SimConfig::default()).await.unwrap();
        let public = Endpoint::start().await.unwrap();
        Self { sim, public, database: Database::on_postgres(), client: Client::new() }
    }

    async fn node(&self, roles: &str, clock: Arc<dyn Clock>) -> Gateway {
        let mut environment = environment(self.sim.base_url(), self.database.url());
        environment.push(("TUMA_PUBLIC_URL".into(), self.public.url("")));
        environment.push(("TUMA_ROLES".into(), roles.into()));
        Gateway::start(&Config::load(None, environment).unwrap(), clock).await.unwrap()
    }

    fn request(&self, node: &Gateway, method: Method, path: &str) -> Request {
        self.client.request(method, &format!("http://{}{path}", node.address))
    }
}

/// A clock that is ahead of the real one by so many milliseconds, or behind it.
#[derive(Debug)]
struct Skewed(SystemClock, i64);

impl Skewed {
    fn by(millis: i64) -> Arc<dyn Clock> {
        Arc::new(Self(SystemClock::new(), millis))
    }
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.now().as_micros() + self.1 * 1_000)
    }

    fn sleep_until(&self, moment: Timestamp) -> Sleep<'_> {
        self.0.sleep_until(Timestamp::from_micros(moment.as_micros() - self.1 * 1_000))
    }
}

fn real() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

async fn key(node: &Gateway) -> String {
    let (secret, key) = keys::create("test", &[Scope::Send, Scope::Read], None, real().now());
    node.store.create_key(key, crate::app::operator()).await.unwrap();
    secret.expose_secret().to_owned()
}

#[tokio::test]
async fn nodes_with_a_role_each_do_together_what_one_does() {
    let site = Site::new().await;
    let api = site.node("api", real()).await;
    let _dispatch = site.node("dispatch", real()).await;
    let callbacks = site.node("callbacks", real()).await;
    let _chores = site.node("chores", real()).await;
    let key = key(&api).await;

    let body = json!({"receiver": AMERICAN, "message": "Habari"});
    let asked = site.request(&api, Method::POST, "/sms").key(&key).header("prefer", "wait=20").json(&body);
    let sent = asked.send().await;
    assert_eq!((sent.status, &sent.json()["status"]), (200, &json!("sent")));

    for receipt in site.public.wait_for(2).await.unwrap() {
        let headers = [("content-type", receipt.header("content-type").unwrap())];
        let signature = receipt.header("x-twilio-signature").unwrap();
        let post = || {
            site.request(&callbacks, Method::POST, &receipt.target).header("x-twilio-signature", signature)
        };
        let post = headers.iter().fold(post(), |post, (name, value)| post.header(name, value));
        assert_eq!(post.body(receipt.body.clone()).send().await.status, 200);
    }
    let path = format!("/sms/{}", sent.json()["id"].as_str().unwrap());
    let shown = site.request(&api, Method::GET, &path).key(&key).send().await.json();
    assert_eq!(shown["status"], "delivered");
}

#[tokio::test]
async fn node_serves_what_is_its_role_and_nothing_else() {
    let site = Site::new().await;
    for (roles, messages, callbacks) in [("api,chores", 401, 404), ("callbacks,dispatch", 404, 403)] {
        let node = site.node(roles, real()).await;
        let status = async |path: &str| site.request(&node, Method::POST, path).body("x").send().await.status;
        assert_eq!(
            (status("/sms").await, status("/webhooks/twilio/status").await),
            (messages, callbacks),
            "{roles}"
        );
        assert_eq!(site.request(&node, Method::GET, "/health/ready").send().await.status, 200, "{roles}");
        node.stop().await;
    }
}

/// The clock of the node that dispatches stands still: by itself it would never look.
#[tokio::test]
async fn node_that_dispatches_is_woken_when_another_accepts() {
    let site = Site::new().await;
    let api = site.node("api", real()).await;
    let later = FakeClock::at(real().now().plus(Duration::from_secs(10)));
    let _dispatch = site.node("dispatch", Arc::new(later)).await;
    let key = key(&api).await;
    let mut n = 0;
    let reaches_the_provider = async || {
        n += 1;
        let body = json!({"receiver": AMERICAN, "message": format!("Message {n}")});
        let accepted = site.request(&api, Method::POST, "/sms").key(&key).json(&body).send().await;
        assert_eq!(accepted.status, 202);
        (site.sim.ledger().count() > 0).then_some(())
    };
    // Again and again: what is told before it listens is lost.
    wait_for(reaches_the_provider, LONG).await.unwrap();
}

#[tokio::test]
async fn clocks_that_differ_by_two_seconds_do_no_harm() {
    let site = Site::new().await;
    let everything = "api,dispatch,callbacks,chores";
    let mut nodes = Vec::new();
    for millis in [-2_000, 0, 2_000] {
        nodes.push(site.node(everything, Skewed::by(millis)).await);
    }
    let key = key(&nodes[0]).await;
    // Each request goes to two nodes at once, with one key.
    let send = async |n: usize, node: &Gateway| {
        let body =
            json!({"receiver": AMERICAN, "message": format!("Message {n}"), "scenario": "transaction"});
        let request = site.request(node, Method::POST, "/sms").key(&key).json(&body);
        let answer = request.header("idempotency-key", &format!("key-{n}")).send().await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        text(&answer.json()["id"])
    };
    for n in 0..60 {
        let (first, second) = (send(n, &nodes[n % 3]), send(n, &nodes[(n + 1) % 3]));
        let (first, second) = join(first, second).await;
        assert_eq!(first, second);
    }
    wait_until(|| site.sim.ledger().count() >= 60, LONG).await.unwrap();
    // Whoever took another for dead would have looked after what that one had under way.
    for node in &nodes {
        let figures = site.request(node, Method::GET, "/metrics").send().await.text;
        assert!(!figures.contains("sms_recovered_count_total 1"), "{figures}");
    }
    let mut bodies: Vec<_> =
        site.sim.ledger().entries_where(|_| true).into_iter().map(|it| it.body).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!((bodies.len(), site.sim.ledger().count()), (60, 60));
}

#[test]
fn one_process_on_sqlite_has_all_roles() {
    let roles = |roles: &str| {
        let environment = [("TUMA_ROLES", roles)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::load(None, environment).map(|_config| ()).map_err(|problem| problem.to_string())
    };
    assert_eq!(roles("chores,callbacks,dispatch,api"), Ok(()));
    let refused = roles("api").unwrap_err();
    assert!(refused.starts_with("setting roles: must be all of them with SQLite"), "{refused}");
    let unknown = roles("api,sending").unwrap_err();
    assert!(unknown.contains("roles: must be some of api, dispatch, callbacks, chores"), "{unknown}");
}
