//! The gateway as `tuma serve` wires it, in this process: over HTTP, with a fresh SQLite file and the simulator.
//!
//! Each test starts its own, on free ports and in a folder of its own, so tests run side by side.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use domain::audit::{Act, Actor};
use domain::secret::ExposeSecret as _;
use domain::time::Clock;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::Value;
use server::assemble::Gateway;
use server::config::Config;
use server::keys::{self, Scope};
use server::secrets;
use store::Options;
use testkit::database::{DATA_KEY, Database};
use testkit::endpoint::{Endpoint, Received};
use testkit::sim::{
    AFRICASTALKING_API_KEY, AFRICASTALKING_SENDER, AFRICASTALKING_USERNAME, CallbackUrls, SimConfig,
    Simulator, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER,
};
use testkit::wait::{LONG, wait_for};
use tokio::net::TcpSocket;

use crate::http::{Answer, Client, Request};

/// The last part of the address that Africa's Talking calls.
pub(crate) const CALLBACK_SECRET: &str = concat!("a-path-that-", "nobody-guesses");

/// A number that means nothing, in Kenya.
pub(crate) const KENYAN: &str = "+254712345678";
/// A number that means nothing, in the United States.
pub(crate) const AMERICAN: &str = "+14155550100";

/// A running gateway with what stands around it.
pub(crate) struct TestApp {
    pub(crate) sim: Simulator,
    /// What providers see as the gateway's address: it keeps what they post, and the test passes it on.
    pub(crate) public: Endpoint,
    pub(crate) gateway: Gateway,
    /// A key with `sms:send` and `sms:read`.
    pub(crate) key: String,
    client: Client,
    environment: Vec<(String, String)>,
    clock: Arc<dyn Clock>,
    database: Database,
}

/// A gateway before its start.
pub(crate) struct Setup {
    sim: SimConfig,
    environment: Vec<(String, String)>,
    clock: Arc<dyn Clock>,
    broker: Option<String>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::setup().start().await
    }

    pub(crate) fn setup() -> Setup {
        let (sim, clock) = (SimConfig::default(), Arc::new(SystemClock::new()));
        Setup { sim, environment: Vec::new(), clock, broker: None }
    }

    /// A request to the API with the key that may send and read.
    pub(crate) fn request(&self, method: Method, path: &str) -> Request {
        self.anonymous(method, path).key(&self.key)
    }

    /// A request to the API without a key.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> Request {
        self.client.request(method, &format!("http://{}{path}", self.gateway.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(Method::POST, path).json(body).send().await
    }

    /// Sends a message that is accepted; gives the answer.
    pub(crate) async fn accepted(&self, body: &Value) -> Value {
        let answer = self.post("/sms", body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json()
    }

    /// Sends a message that is accepted; gives its id.
    pub(crate) async fn send(&self, body: &Value) -> String {
        text(&self.accepted(body).await["id"])
    }

    /// The message as `GET /sms/{id}` shows it.
    pub(crate) async fn show(&self, id: &str) -> Value {
        let answer = self.get(&format!("/sms/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// Waits until the message stands there, and shows it.
    pub(crate) async fn shown_when(&self, id: &str, status: &str) -> Value {
        let mut last = Value::Null;
        let found = wait_for(
            async || {
                last = self.show(id).await;
                (last["status"] == status).then(|| last.clone())
            },
            LONG,
        )
        .await;
        found.unwrap_or_else(|problem| panic!("{problem}, never {status}: {last:#}"))
    }

    /// How many messages there are, up to a page.
    pub(crate) async fn count(&self) -> usize {
        self.get("/sms?limit=200").await.json()["messages"].as_array().unwrap().len()
    }

    /// Makes a key.
    pub(crate) async fn key(&self, scopes: &[Scope]) -> String {
        let (secret, key) = keys::create("test", scopes, None, self.clock.now());
        self.gateway.store.create_key(key, crate::app::operator()).await.unwrap();
        secret.expose_secret().to_owned()
    }

    /// Posts a callback that came to the public address on to the gateway, as a proxy does.
    pub(crate) async fn pass_on(&self, callback: &Received) -> Answer {
        let request = self.anonymous(callback.method.clone(), &callback.target);
        let headers =
            callback.headers.iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str()));
        let request = headers
            .fold(request, |request, (name, value)| request.header(name.as_str(), value.to_str().unwrap()));
        request.body(callback.body.clone()).send().await
    }

    /// Lets both networks bring what phones write: Africa's Talking to here, Twilio to the public address, from where
    /// [`Self::pass_on`] takes it.
    pub(crate) fn hear_phones(&self) {
        let incoming =
            format!("http://{}/webhooks/africastalking/incoming/{CALLBACK_SECRET}", self.gateway.address);
        self.sim.set_callback_urls(CallbackUrls {
            africastalking_incoming: Some(incoming),
            twilio_incoming: Some(self.public.url("/webhooks/twilio/incoming")),
            ..CallbackUrls::default()
        });
    }

    /// A phone writes to the gateway by Africa's Talking, which calls its message by that id.
    pub(crate) async fn hears(&self, id: &str, from: &str, words: &str) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs([("id", id), ("from", from), ("to", AFRICASTALKING_SENDER), ("text", words)]);
        let path = format!("/webhooks/africastalking/incoming/{CALLBACK_SECRET}");
        let request = self.anonymous(Method::POST, &path).body(form.finish());
        let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// All figures.
    pub(crate) async fn metrics(&self) -> String {
        let address = self.gateway.operations_address.unwrap_or(self.gateway.address);
        let answer = self.client.request(Method::GET, &format!("http://{address}/metrics")).send().await;
        assert_eq!(answer.status, 200);
        answer.text
    }

    /// The same with a variable of the environment.
    pub(crate) async fn restart_with(mut self, variable: &str, value: &str) -> Self {
        self.environment.push((variable.to_owned(), value.to_owned()));
        self.restart().await
    }

    /// Stops the gateway in order, and starts another on the same database.
    pub(crate) async fn restart(self) -> Self {
        let Self { sim, public, gateway, key, client, environment, clock, database } = self;
        gateway.stop().await;
        let gateway = start(&environment, &clock).await;
        Self { sim, public, gateway, key, client, environment, clock, database }
    }
}

impl Setup {
    /// Sets a variable of the environment.
    pub(crate) fn set(mut self, variable: &str, value: &str) -> Self {
        self.environment.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// Puts the gateway under another clock.
    pub(crate) fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Has the gateway take requests from this broker, with a key that may send, and publish events to it.
    pub(crate) fn broker(self, url: &str) -> Self {
        Self { broker: Some(url.to_owned()), ..self }
    }

    /// Changes the simulator.
    pub(crate) fn sim(mut self, change: impl FnOnce(&mut SimConfig)) -> Self {
        change(&mut self.sim);
        self
    }

    pub(crate) async fn start(self) -> TestApp {
        let sim = Simulator::start(self.sim).await.unwrap();
        let public = Endpoint::start().await.unwrap();
        let database = Database::fresh();
        let mut environment = environment(sim.base_url(), database.url());
        environment.push(("TUMA_PUBLIC_URL".into(), public.url("")));
        if let Some(url) = self.broker {
            let key = key_before_the_start(&database).await;
            environment.extend([("TUMA_BROKER__URL".into(), url), ("TUMA_BROKER__API_KEY".into(), key)]);
        }
        environment.extend(self.environment);
        let gateway = start(&environment, &self.clock).await;
        let mut app = TestApp {
            sim,
            public,
            gateway,
            key: String::new(),
            client: Client::new(),
            environment,
            clock: self.clock,
            database,
        };
        app.key = app.key(&[Scope::Send, Scope::Read]).await;
        app
    }
}

/// Makes a key that may send in a database that no gateway serves yet.
pub(crate) async fn key_before_the_start(database: &Database) -> String {
    let options = Options { migrate: true, exclusive: false, keys: Some(testkit::database::data_key()) };
    let store = store::open(database.url(), options).await.unwrap();
    let (secret, key) = keys::create("broker", &[Scope::Send], None, SystemClock::new().now());
    store.create_key(key, crate::app::operator()).await.unwrap();
    store.close().await;
    secret.expose_secret().to_owned()
}

/// Somebody at the command line.
pub(crate) fn operator() -> Act {
    Act { by: Actor::Operator, at: SystemClock::new().now() }
}

/// Both providers at a simulator, and a database: all that a gateway must be told.
pub(crate) fn environment(simulator: &str, database: &str) -> Vec<(String, String)> {
    let variables = [
        ("TUMA_LISTEN", "127.0.0.1:0"),
        ("TUMA_DATABASE_URL", database),
        ("TUMA_DATA_KEY", DATA_KEY),
        ("TWILIO_ACCOUNT_SID", TWILIO_ACCOUNT_SID),
        ("TWILIO_AUTH_TOKEN", TWILIO_AUTH_TOKEN),
        ("TWILIO_PHONE_NUMBER", TWILIO_PHONE_NUMBER),
        ("TWILIO_API_BASE_URL", simulator),
        ("SMS_AT_API_KEY", AFRICASTALKING_API_KEY),
        ("SMS_AT_USERNAME", AFRICASTALKING_USERNAME),
        ("SMS_AT_FROM", AFRICASTALKING_SENDER),
        ("SMS_AT_CALLBACK_SECRET", CALLBACK_SECRET),
        ("SMS_AT_API_BASE_URL", simulator),
        // To numbers of many countries.
        ("TUMA_GUARD__COUNTRIES", r#"["*"]"#),
        // Those that are about limits set their own.
        ("TUMA_LIMITS__RULES", "[]"),
        // Tests run by night too.
        ("TUMA_QUIET_HOURS__BY_SCENARIO__CHAMA_INVITE", ""),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

async fn start(environment: &[(String, String)], clock: &Arc<dyn Clock>) -> Gateway {
    let config = Config::load(None, environment.iter().cloned()).unwrap();
    let config = secrets::fetch(config, Arc::clone(clock)).await.unwrap();
    Gateway::start(&config, Arc::clone(clock)).await.unwrap()
}

/// A text in JSON.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// An address that refuses connections, and is kept from others while the socket lives: it is bound, and nobody
/// listens. A listener may take it all the same.
pub(crate) fn refusing_address() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
