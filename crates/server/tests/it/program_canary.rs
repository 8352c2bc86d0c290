//! No number, text, key or code stands in the log, the figures, an error, the database or an export, whatever happens.
//!
//! The program runs with `RUST_LOG=trace`, over HTTP/1.1 and HTTP/2, through every route and every failure that
//! can be provoked, and then everything that it wrote is searched.

mod needles;
mod talk;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::endpoint::{Endpoint, Received};
use testkit::sim::{CallbackUrls, Fault, FaultRule, Provider, SimConfig, Simulator, TWILIO_ACCOUNT_SID};
use testkit::wait::{LONG, wait_for, wait_until};

use self::needles::Needles;
use crate::app::text;
use crate::http::{Answer, Client, Request};
use crate::issuer::{AUDIENCE, ISSUER, SECRET, Signer, claims};
use crate::program::{Served, Site};

// Nobody's credentials, put together from parts so that tools which look for leaked ones do not take them for
// such.
const AUTH_TOKEN: &str = concat!("ca4a127e57ca4a12", "7e57ca4a127e57ca");
const AT_API_KEY: &str = concat!("atsk_", "canary_of_the_sandbox");
const CALLBACK_SECRET: &str = concat!("canary-path-", "that-nobody-guesses");

const TEXT: &str = "Your code is 739154, dear Wanjiku-Canary";
const CODE: &str = "739154";

/// A caller's own name for a message: it is kept as it is, and told nobody.
const REFERENCE: &str = "Order of Auntie-Canary";

/// Receivers: calling code and national digits. The last two but two end in what makes the simulator refuse them.
const NUMBERS: [(&str, &str); 8] = [
    ("254", "733914627"),
    ("254", "733914628"),
    ("1", "4153917462"),
    ("1", "4153917463"),
    ("254", "733000403"),
    ("1", "4153021211"),
    ("254", "722839461"),
    ("1", "2124839462"),
];

fn number(place: usize) -> String {
    let (calling_code, national) = NUMBERS[place];
    format!("+{calling_code}{national}")
}

/// A running program, and all that it answered.
struct Scene {
    sim: Simulator,
    public: Endpoint,
    served: Served,
    clients: [Client; 2],
    /// Keys that may send and read; that may only send; that may only read; an operator's; that may converse.
    keys: [String; 5],
    answers: Vec<Said>,
}

/// Something that was answered.
struct Said {
    /// To what.
    what: String,
    /// To which of the keys.
    key: Option<usize>,
    answer: Answer,
}

impl Scene {
    fn request(&self, client: usize, method: Method, path: &str) -> Request {
        self.clients[client].request(method, &format!("http://{}{path}", self.served.address))
    }

    /// Makes the same request by both versions of HTTP, without a key.
    async fn ask(&mut self, method: Method, path: &str, with: impl Fn(Request) -> Request) {
        for client in 0..2 {
            let answer = with(self.request(client, method.clone(), path)).send().await;
            self.answers.push(Said { what: format!("{method} {path}"), key: None, answer });
        }
    }

    /// The same with one of the keys.
    async fn ask_as(&mut self, key: usize, method: Method, path: &str, with: impl Fn(Request) -> Request) {
        let secret = self.keys[key].clone();
        self.ask(method, path, |request| with(request.key(&secret))).await;
        for said in self.answers.iter_mut().rev().take(2) {
            said.key = Some(key);
        }
    }

    async fn post(&mut self, path: &str, key: usize, body: &Value) {
        self.ask_as(key, Method::POST, path, |request| request.json(body)).await;
    }

    async fn raw(&mut self, body: impl Into<Vec<u8>>) {
        let body = body.into();
        self.ask_as(0, Method::POST, "/sms", |request| request.body(body.clone())).await;
    }

    async fn get(&mut self, path: &str, key: usize) {
        self.ask_as(key, Method::GET, path, |request| request).await;
    }

    /// Passes a callback on to the gateway.
    async fn call_back(&mut self, callback: &Received, path: &str) {
        let headers: Vec<_> = ["content-type", "x-twilio-signature"]
            .into_iter()
            .filter_map(|name| callback.header(name).map(|value| (name, value.to_owned())))
            .collect();
        let with = |request: Request| {
            let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
            request.body(callback.body.clone())
        };
        self.ask(Method::POST, path, with).await;
    }

    /// Waits until nothing is queued or under way but what is in doubt.
    async fn settled(&self) {
        let (client, key) = (&self.clients[0], &self.keys[0]);
        let quiet = async || {
            let path = format!("http://{}/sms?limit=200", self.served.address);
            let list = client.request(Method::GET, &path).key(key).send().await.json();
            let waits = |message: &Value| message["status"] == "queued";
            let sending =
                list["messages"].as_array()?.iter().filter(|message| message["status"] == "sending");
            let mut open = 0;
            for message in sending {
                let path = format!("http://{}/sms/{}", self.served.address, text(&message["id"]));
                let shown = client.request(Method::GET, &path).key(key).send().await.json();
                open += usize::from(shown["attempts"].as_array()?.last()?["outcome"].is_null());
            }
            (open == 0 && !list["messages"].as_array()?.iter().any(waits)).then_some(())
        };
        wait_for(quiet, LONG).await.unwrap();
    }
}

fn message(receiver: &str) -> Value {
    json!({"receiver": receiver, "message": TEXT, "scenario": "otp", "reference": REFERENCE, "group": REFERENCE})
}

async fn scene(site: &Site, sim: Simulator, public: Endpoint) -> Scene {
    let keys = [
        site.key("sms:send,sms:read").await,
        site.key("sms:send").await,
        site.key("sms:read").await,
        site.key("admin").await,
        site.key("sms:send,verify,prompts,templates,consent,webhooks").await,
    ];
    let served = site.serve().await;
    let path =
        |kind| Some(format!("http://{}/webhooks/africastalking/{kind}/{CALLBACK_SECRET}", served.address));
    let urls = CallbackUrls {
        africastalking_delivery: path("status"),
        africastalking_incoming: path("incoming"),
        twilio_incoming: Some(public.url("/webhooks/twilio/incoming")),
        ..CallbackUrls::default()
    };
    sim.set_callback_urls(urls);
    let clients = [Client::that_keeps_nothing(), Client::http2()];
    Scene { sim, public, served, clients, keys, answers: Vec::new() }
}

/// What goes well.
async fn send_and_read(scene: &mut Scene) {
    for place in 0..4 {
        for key in 0..2 {
            scene.post("/sms", key, &message(&number(place))).await;
        }
    }
    let receivers: Vec<_> = (0..6).map(number).chain(["0733 914 62".into(), number(0)]).collect();
    for key in 0..2 {
        scene.post("/sms/bulk", key, &json!({"receivers": receivers, "message": TEXT})).await;
    }
    let body = message(&number(0));
    let waiting =
        |request: Request| request.header("prefer", "wait=10").header("idempotency-key", TEXT).json(&body);
    scene.ask_as(0, Method::POST, "/sms", waiting).await;
    let id = text(&scene.answers.last().unwrap().answer.json()["id"]);
    for key in 0..3 {
        scene.get(&format!("/sms/{id}"), key).await;
        scene.get(&format!("/sms?receiver=%2B254{}", NUMBERS[0].1), key).await;
        scene.get("/sms?limit=200", key).await;
    }
    for path in ["/health/live", "/health/ready", "/openapi.json", "/docs/"] {
        scene.ask(Method::GET, path, |request| request).await;
    }
}

/// What callers do wrong, with the number, the text and the key where they do not belong.
async fn mistake(scene: &mut Scene) {
    let [kenyan, digits] = [number(0), NUMBERS[0].1.to_owned()];
    let bodies = [
        format!("{{\"receiver\": \"{kenyan}\", \"message\": \"{TEXT}"),
        format!("{{\"receiver\": {kenyan}, \"message\": \"{TEXT}\"}}"),
        format!("{{\"receiver\": {digits}, \"message\": \"{TEXT}\"}}"),
        format!("{{\"receiver\": [\"{kenyan}\"], \"message\": {{\"text\": \"{TEXT}\"}}}}"),
        format!("{{\"receiver\": \"{kenyan}\", \"message\": \"{TEXT}\"}} {kenyan} {TEXT}"),
        format!("receiver={kenyan}&message={TEXT}"),
        format!("{{\"receiver\": \"{kenyan}\", \"{kenyan}\": \"{TEXT}\"}}"),
        format!("{{\"receiver\": \"{kenyan}\", \"{TEXT}\": 1}}"),
        format!("{{\"metadata\": {{\"{kenyan}\": 1}}}}"),
        format!("{{\"scheduled_at\": \"{TEXT}\", \"expires_at\": \"{kenyan}\"}}"),
        format!("{{\"receiver\": \"{kenyan}\", \"receiver\": \"{kenyan}\", \"message\": \"{TEXT}\"}}"),
        format!("{{\"receiver\": \"{kenyan}\", \"message\": \"{}\"}}", TEXT.repeat(8_000)),
    ];
    for body in bodies {
        scene.raw(body).await;
    }
    scene.raw([b"{\"message\": \"\xff", TEXT.as_bytes(), b"\"}"].concat()).await;
    let fields = json!({
        "receiver": format!("{digits} {TEXT}"), "message": TEXT.repeat(5), "scenario": TEXT, "sender": kenyan,
        "reference": TEXT.repeat(5), "group": kenyan.repeat(20), "metadata": {TEXT: kenyan.repeat(50)},
        "expires_at": "2020-01-01T00:00:00Z",
    });
    scene.post("/sms", 0, &fields).await;
    scene.post("/sms/bulk", 0, &json!({"receivers": [digits.repeat(2), TEXT], "message": TEXT})).await;
    scene.post("/sms/bulk", 0, &json!({"receivers": vec![kenyan.clone(); 101], "message": TEXT})).await;
    scene.post("/sms", 2, &message(&kenyan)).await;
    let queries = [
        format!("receiver={digits}99999999"),
        format!("receiver=%2B{digits}&status={digits}&scenario={digits}&provider={digits}&cursor={digits}"),
        format!("limit={digits}&since={digits}&until={digits}&%2B254{digits}={digits}"),
    ];
    for query in queries {
        scene.get(&format!("/sms?{query}"), 0).await;
    }
    for path in [format!("/sms/{kenyan}"), format!("/sms/%FF{digits}"), format!("/{digits}/{CODE}")] {
        scene.get(&path, 0).await;
    }
    let body = message(&kenyan);
    scene.ask_as(0, Method::DELETE, &format!("/sms/{kenyan}"), |request| request).await;
    scene.ask_as(0, Method::POST, "/sms", |request| request.header("content-type", TEXT).body(TEXT)).await;
    let headers = [("prefer", format!("wait={digits}x")), ("idempotency-key", TEXT.repeat(20))];
    for (name, value) in headers {
        scene.ask_as(0, Method::POST, "/sms", |request| request.json(&body).header(name, &value)).await;
    }
    let other = json!({"receiver": number(2), "message": TEXT});
    scene
        .ask_as(0, Method::POST, "/sms", |request| request.header("idempotency-key", TEXT).json(&other))
        .await;
    let key = scene.keys[0].clone();
    let wrong_keys = [format!("{key}x"), key.replace("tuma_", "tuna_"), format!("{digits}:{CODE}")];
    for wrong in wrong_keys {
        scene.ask(Method::POST, "/sms", |request| request.key(&wrong).json(&body)).await;
        scene.ask(Method::GET, "/sms", |request| request.header("x-api-key", &wrong)).await;
    }
    let basic = |request: Request| request.header("authorization", &format!("Basic {key}"));
    scene.ask(Method::GET, "/sms", basic).await;
}

fn with_issuer(site: Site) -> Site {
    site.set("TUMA_JWT_SECRET", SECRET)
        .set("TUMA_JWT__ISSUER", ISSUER)
        .set("TUMA_JWT__AUDIENCE", AUDIENCE)
        .set("TUMA_JWT__SCOPES", r#"{service = ["sms:read"]}"#)
}

/// Keys and tokens; gives what is secret of them.
async fn identify(scene: &mut Scene) -> Vec<String> {
    let mut secrets = scene.keys.to_vec();
    secrets.push(SECRET.to_owned());
    scene.post("/api-keys", 3, &json!({"name": "made", "scopes": ["sms:send"], "senders": ["CHAMA"]})).await;
    let made = scene.answers.last().unwrap().answer.json();
    scene.post(&format!("/api-keys/{}/rotate", text(&made["id"])), 3, &json!({})).await;
    for said in scene.answers.iter().rev().take(4) {
        secrets.push(text(&said.answer.json()["secret"]));
    }
    let (digits, key) = (NUMBERS[0].1, scene.keys[0].clone());
    let mistakes = json!({
        "name": format!("{digits}\n{key}"), "scopes": [TEXT, key], "scenarios": [TEXT], "countries": [CODE],
        "senders": [TEXT, digits.repeat(2)], "expires_at": "2020-01-01T00:00:00Z",
    });
    scene.post("/api-keys", 3, &mistakes).await;
    scene.ask_as(3, Method::DELETE, &format!("/api-keys/{key}"), |request| request).await;
    scene.get("/api-keys", 3).await;
    let now = SystemClock::new().now();
    let mut expired = claims(&number(0), &[TEXT], now);
    expired["exp"] = json!(0);
    let (good, ours, theirs) =
        (claims(&number(0), &["service", TEXT], now), Signer::secret(), Signer::ed25519());
    for token in [ours.sign(CODE, &good), ours.sign(CODE, &expired), theirs.sign(digits, &good)] {
        scene.ask(Method::GET, "/sms?limit=1", |request| request.key(&token)).await;
        secrets.extend(token.rsplit('.').next().map(str::to_owned));
    }
    secrets
}

/// What providers do wrong, one after the other. Their sentences quote the number.
async fn fail(scene: &mut Scene) {
    // Not a code: those don't find out whether a route that failed works again.
    let message = |receiver: &str| json!({"receiver": receiver, "message": TEXT, "reference": REFERENCE});
    for place in [4, 5] {
        scene.post("/sms", 0, &message(&number(place))).await;
    }
    scene.settled().await;
    let faults = [
        Fault::TooManyRequests { retry_after_s: None },
        Fault::Error { status: 500 },
        Fault::Error { status: 503 },
        Fault::Unauthorized,
        Fault::Refuse { code: 21_610 },
        Fault::ResetBeforeRead,
        Fault::ResetBeforeAccept,
        Fault::AcceptThenReset,
        Fault::AcceptThenError { status: 502 },
        Fault::AcceptThenStall { ms: 2_000 },
        Fault::MalformedAnswer,
        Fault::ReceiptEarly,
        Fault::ReceiptUnknownWord,
        Fault::Undelivered,
    ];
    for fault in faults {
        for (provider, place) in [(Provider::AfricasTalking, 1), (Provider::Twilio, 3)] {
            scene.sim.inject(FaultRule::next(2, fault).on(provider)).unwrap();
            scene.post("/sms", 0, &message(&number(place))).await;
        }
        scene.settled().await;
        scene.sim.clear_faults();
    }
}

/// Callbacks, true, forged and unreadable.
async fn call_back(scene: &mut Scene) {
    wait_until(|| scene.sim.stats().callbacks.pending == 0, LONG).await.unwrap();
    let received = scene.public.received();
    assert!(received.len() > 20, "{}", received.len());
    for callback in &received {
        scene.call_back(callback, &callback.target).await;
    }
    let sent = received[0].clone();
    let digits = NUMBERS[2].1;
    let forged = Received { body: [&sent.body, TEXT.as_bytes()].concat().into(), ..sent.clone() };
    scene.call_back(&forged, &sent.target).await;
    let paths = [
        format!("{}&To=%2B1{digits}", sent.target),
        format!("/webhooks/twilio/status/{CALLBACK_SECRET}"),
        format!("/webhooks/africastalking/status/{CALLBACK_SECRET}x"),
        format!("/webhooks/africastalking/status/{CALLBACK_SECRET}?phoneNumber=%2B1{digits}"),
        "/webhooks/africastalking/status".into(),
        format!("/webhooks/{digits}/status"),
        format!("/webhooks/twilio/{digits}"),
        format!("/webhooks/twilio/incoming/{CALLBACK_SECRET}"),
    ];
    for path in paths {
        scene.call_back(&sent, &path).await;
    }
    let large = Received { body: TEXT.repeat(2_000).into(), ..sent.clone() };
    scene.call_back(&large, &sent.target).await;
    let unreadable = format!("id={TEXT}&phoneNumber={digits}");
    let unreadable = Received { body: unreadable.into(), ..sent };
    scene.call_back(&unreadable, &format!("/webhooks/africastalking/status/{CALLBACK_SECRET}")).await;
}

/// What callers ask about their messages, also for ones that are not theirs.
async fn look_after(scene: &mut Scene) {
    let list = scene.request(0, Method::GET, "/sms?limit=200").key(&scene.keys[1]).send().await.json();
    for message in list["messages"].as_array().unwrap() {
        // With the callbacks that came in for it.
        scene.get(&format!("/sms/{}", text(&message["id"])), 1).await;
    }
    let later = SystemClock::new().now().plus(Duration::from_hours(1)).to_string();
    let waits = json!({"receiver": number(0), "message": TEXT, "scheduled_at": later});
    for key in 0..2 {
        scene.post("/sms/explain", key, &message(&number(0))).await;
        scene.post("/sms", key, &waits).await;
        let id = text(&scene.answers.last().unwrap().answer.json()["id"]);
        for verb in ["retry", "cancel"] {
            scene.ask_as(key, Method::POST, &format!("/sms/{id}/{verb}"), |request| request).await;
        }
        for outcome in ["confirmed", TEXT] {
            scene.post(&format!("/sms/{id}/feedback"), key, &json!({"outcome": outcome})).await;
        }
    }
    let (kenyan, digits) = (number(0), NUMBERS[0].1);
    let paths = [
        format!("/sms/{kenyan}/cancel"),
        format!("/sms/{kenyan}/retry"),
        format!("/sms/bulk/{kenyan}/cancel"),
        format!("/providers/{digits}/drain"),
        format!("/workers/{digits}/pause"),
    ];
    for path in paths {
        for key in [0, 3] {
            scene.ask_as(key, Method::POST, &path, |request| request).await;
        }
    }
    scene.post("/sms/explain", 0, &json!({"receiver": digits.repeat(2), "message": TEXT.repeat(9)})).await;
    let query = format!("older_than_s={digits}x&limit={digits}&{digits}={digits}");
    let (stuck, decisions) =
        (format!("/queue/stuck?{query}"), format!("/guard/decisions?prefix={digits}x&{query}"));
    for path in ["/queue", "/workers", "/providers", &stuck, "/guard/decisions", &decisions] {
        scene.get(path, 3).await;
    }
}

/// Everything quick to fail, and its credentials.
fn site(sim: &Simulator, public: &Endpoint) -> Site {
    with_issuer(Site::new(sim.base_url()))
        .set("RUST_LOG", "trace")
        .set("TWILIO_AUTH_TOKEN", AUTH_TOKEN)
        .set("SMS_AT_API_KEY", AT_API_KEY)
        .set("SMS_AT_CALLBACK_SECRET", CALLBACK_SECRET)
        .set("TUMA_PUBLIC_URL", &public.url(""))
        // So that it has something to tell of.
        .set("TUMA_GUARD__PREFIX_PER_MINUTE", "1")
        .set("TUMA_WEBHOOKS__ALLOW_PRIVATE", "true")
        .set("TUMA_WEBHOOKS__ALLOW_HTTP", "true")
        .set("TUMA_RETRY__BASE_MS", "1")
        .set("TUMA_RETRY__MAX_ATTEMPTS", "2")
        .set("TUMA_BREAKER__FIRST_OPEN_MS", "100")
        .set("TUMA_BREAKER__LONGEST_OPEN_MS", "100")
        .set("TUMA_BREAKER__PROBES", "1")
        .set("TUMA_PROVIDERS__TWILIO__CONNECT_TIMEOUT_MS", "250")
        .set("TUMA_PROVIDERS__TWILIO__REQUEST_TIMEOUT_MS", "1000")
        .set("TUMA_PROVIDERS__AFRICASTALKING__CONNECT_TIMEOUT_MS", "250")
        .set("TUMA_PROVIDERS__AFRICASTALKING__REQUEST_TIMEOUT_MS", "1000")
        .set("TUMA_PROVIDERS__TWILIO__BULK_BATCH_SIZE", "0")
}

/// Networks that are quick, and know the gateway's credentials.
async fn networks() -> Simulator {
    let config = SimConfig::default();
    let mut config =
        SimConfig { sent_after: config.ended_after / 30, ended_after: config.ended_after / 10, ..config };
    config.twilio.auth_token = AUTH_TOKEN.into();
    config.africastalking.api_key = AT_API_KEY.into();
    Simulator::start(config).await.unwrap()
}

/// The database and its log as they are on disk, by the names of their files.
fn database(site: &Site) -> BTreeMap<String, String> {
    let names = site.files().into_iter().filter(|name| name.starts_with("tuma.db"));
    let read = |name: String| {
        let bytes = std::fs::read(site.path(&name)).unwrap();
        (name, String::from_utf8_lossy(&bytes).into_owned())
    };
    names.map(read).collect()
}

#[tokio::test]
async fn no_number_text_key_or_code_is_in_the_log_the_figures_an_error_the_database_or_an_export() {
    let sim = networks().await;
    let public = Endpoint::start().await.unwrap();
    let site = site(&sim, &public);
    let mut scene = scene(&site, sim, public).await;
    send_and_read(&mut scene).await;
    mistake(&mut scene).await;
    let mut secrets = identify(&mut scene).await;
    fail(&mut scene).await;
    call_back(&mut scene).await;
    look_after(&mut scene).await;
    secrets.extend(talk::talk(&mut scene).await);
    scene.ask(Method::GET, "/metrics", |request| request).await;
    let offline = site.run(&["check", "--offline"]).await;
    let online = site.run(&["check"]).await;
    let listed = site.run(&["keys", "list"]).await;
    let queue = site.run(&["queue"]).await;
    let stuck = site.run(&["queue", "stuck", "--older-than", "0s"]).await;
    // With what is in the log of the database and not in its file yet.
    let running = database(&site);
    let Scene { served, answers, .. } = scene;
    served.terminate().await;
    let ended = served.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    let stopped = database(&site);
    let export = site.run(&["audit", "export"]).await;
    let report = site.run(&["guard", "report", "--json"]).await;
    assert!(report.stdout.contains("+2547339"), "{}", report.stderr);

    let numbers = || {
        let numbers = NUMBERS.iter();
        numbers.fold(Needles::default(), |needles, (code, national)| needles.number(code, national))
    };
    let sealed = || {
        let said = numbers().text("the text", TEXT).text("the name", "Wanjiku-Canary").code(CODE);
        said.text("what a phone wrote", "Siri-ya-Canary").text("the address of an endpoint", talk::HOOK)
    };
    let known = |needles: Needles| {
        let needles = needles
            .basic("the auth token", TWILIO_ACCOUNT_SID, AUTH_TOKEN)
            .text("the key of Africa's Talking", AT_API_KEY)
            .text("the callback secret", CALLBACK_SECRET);
        let words = secrets.iter().map(|key| key.trim_start_matches("tuma_"));
        words.fold(needles, |needles, key| needles.text("a key or token", key))
    };
    let (in_store, all) = (known(sealed()), known(sealed().text("the reference", REFERENCE)));

    // The search means something: everything was said, and the failures happened.
    for word in
        ["TRACE", "DEBUG", "sms.failed", "sms.retry", "sms.ambiguous", "sms.receipt", "callback refused"]
    {
        assert!(ended.stderr.contains(word), "the log has no {word}");
    }
    assert!(running.contains_key("tuma.db-wal") && running["tuma.db-wal"].contains("africastalking"));
    assert!(export.stdout.contains("sms.accepted"), "{}", export.stderr);
    for (name, written) in running.iter().chain(&stopped) {
        assert_eq!(in_store.found_in(written), Vec::<&str>::new(), "in {name}");
    }
    let commands = [offline, online, listed, queue, stuck, report, export];
    let printed = commands.map(|command| command.stdout + &command.stderr);
    for (what, written) in [("the log", ended.stderr), ("what commands print", printed.concat())] {
        let lines: Vec<_> = written.lines().filter(|line| !all.found_in(line).is_empty()).take(5).collect();
        assert!(lines.is_empty(), "{what} holds {:?}, such as {lines:#?}", all.found_in(&written));
    }
    let masked = numbers();
    let mut leaks = Vec::new();
    for Said { what, key, answer } in &answers {
        let found = if answer.status >= 400 || what.contains("/metrics") || what.contains("/guard") {
            all.found_in(&answer.text)
        } else if matches!(key, Some(1 | 4)) {
            masked.found_in(&answer.text)
        } else {
            continue;
        };
        leaks.extend(
            found
                .into_iter()
                .map(|found| format!("{found} is in {} to {what}: {}", answer.status, answer.text)),
        );
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}
