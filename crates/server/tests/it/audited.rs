//! Each operation that changes something leaves an entry in the audit trail, of whoever did it. Which operations there
//! are is read from the description of the API and from the command line itself: a new one fails here until it is called.

use std::time::Duration;

use clap::CommandFactory as _;
use domain::time::Clock as _;
use gateway::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};
use server::cli::Arguments;
use server::keys::Scope;
use testkit::sim::{CallbackUrls, Fault, FaultRule, Provider, SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, CALLBACK_SECRET, KENYAN, TestApp, text};
use crate::program::Site;

/// What an operation left: the event, and by whom.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// An entry of this event, by whoever called.
    Entry(&'static str),
    /// An entry of this event, by a provider.
    OfProvider(&'static str),
    /// Nothing, for it only reads.
    Nothing,
}

struct Bench {
    app: TestApp,
    admin: String,
    actor: String,
}

impl Bench {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let admin = app.key(&[Scope::Admin]).await;
        let keys = app.gateway.store.keys().await.unwrap();
        let actor = keys.iter().find(|key| key.scopes == ["admin"]).unwrap().id.to_string();
        Self { app, admin, actor }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.ask(Method::POST, path, body).await
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self.app.anonymous(method, path).key(&self.admin);
        let answer = request.json(body).send().await;
        assert!(matches!(answer.status, 200..=202), "{path}: {} {}", answer.status, answer.text);
        answer.json()
    }

    /// A key that is not the one that calls.
    async fn other_key(&self) -> String {
        let made = self.post("/api-keys", &json!({"name": "wallet", "scopes": ["sms:send"]})).await;
        text(&made["id"])
    }

    async fn entries(&self, query: &str) -> Vec<Value> {
        let answer =
            self.app.anonymous(Method::GET, &format!("/audit?{query}")).key(&self.admin).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["entries"].as_array().unwrap().clone()
    }

    /// A message that waits until tomorrow.
    async fn waiting(&self) -> Value {
        let later = SystemClock::new().now().plus(Duration::from_hours(24)).to_string();
        let body = json!({"receivers": [KENYAN, AMERICAN], "message": "Habari", "scheduled_at": later});
        self.post("/sms/bulk", &body).await
    }

    async fn failed(&self) -> String {
        self.app.sim.inject(FaultRule::next(1, Fault::Refuse { code: 21_211 }).on(Provider::Twilio)).unwrap();
        let sent = self.post("/sms", &json!({"receiver": AMERICAN, "message": "Habari"})).await;
        let id = text(&sent["id"]);
        self.app.shown_when(&id, "failed").await;
        id
    }

    async fn prompt(&self) -> String {
        let body = json!({
            "kind": "approval", "receivers": [KENYAN], "message": "Withdraw?", "reference": "WR-1", "policy": "any",
        });
        text(&self.post("/prompts", &body).await["id"])
    }

    /// A message that Africa's Talking reports on to the address with the secret.
    async fn reported(&self) {
        let url =
            format!("http://{}/webhooks/africastalking/status/{CALLBACK_SECRET}", self.app.gateway.address);
        let urls = CallbackUrls { africastalking_delivery: Some(url), ..CallbackUrls::default() };
        self.app.sim.set_callback_urls(urls);
        let sent = self.post("/sms", &json!({"receiver": KENYAN, "message": "Habari"})).await;
        self.app.shown_when(&text(&sent["id"]), "delivered").await;
    }

    /// Calls an operation on keys.
    async fn call_keys(&self, operation: &str) -> Left {
        let nothing = json!({});
        match operation {
            "post /api-keys" => {
                self.other_key().await;
                Left::Entry("key.created")
            }
            "post /api-keys/{id}/rotate" => {
                let id = self.other_key().await;
                self.post(&format!("/api-keys/{id}/rotate"), &nothing).await;
                Left::Entry("key.rotated")
            }
            "delete /api-keys/{id}" => {
                let id = self.other_key().await;
                self.ask(Method::DELETE, &format!("/api-keys/{id}"), &nothing).await;
                Left::Entry("key.revoked")
            }
            other => panic!("a new operation on keys: call {other} here"),
        }
    }

    /// Calls an operation on templates.
    async fn call_templates(&self, operation: &str) -> Left {
        let nothing = json!({});
        let draft = async || {
            let definition = json!({"locales": {"en": "Habari"}});
            self.ask(Method::PUT, "/templates/greeting", &definition).await
        };
        match operation {
            "put /templates/{name}" => {
                draft().await;
                Left::Entry("template.drafted")
            }
            "post /templates/{name}/publish" => {
                draft().await;
                self.post("/templates/greeting/publish", &nothing).await;
                Left::Entry("template.published")
            }
            "delete /templates/{name}" => {
                draft().await;
                let deleted = self.app.anonymous(Method::DELETE, "/templates/greeting").key(&self.admin);
                assert_eq!(deleted.send().await.status, 204);
                Left::Entry("template.deleted")
            }
            "post /templates/{name}/preview" => {
                self.post("/templates/otp/preview", &json!({"variables": {"code": "482913"}})).await;
                Left::Nothing
            }
            other => panic!("a new operation on templates: call {other} here"),
        }
    }

    /// Calls an operation on prompts.
    async fn call_prompts(&self, path: &str) -> Left {
        match path {
            "/prompts" => {
                self.prompt().await;
                Left::Entry("prompt.opened")
            }
            "/prompts/{id}/close" => {
                let id = self.prompt().await;
                self.post(&format!("/prompts/{id}/close"), &json!({})).await;
                Left::Entry("prompt.closed")
            }
            other => panic!("a new operation on prompts: call {other} here"),
        }
    }

    /// Calls an operation on opt-outs.
    async fn call_opt_outs(&self, operation: &str) -> Left {
        let body = json!({"receiver": KENYAN});
        self.post("/opt-outs", &body).await;
        match operation {
            "post /opt-outs" => Left::Entry("consent.opted_out"),
            "delete /opt-outs" => {
                self.ask(Method::DELETE, "/opt-outs", &body).await;
                Left::Entry("consent.opted_in")
            }
            other => panic!("a new operation on opt-outs: call {other} here"),
        }
    }

    /// Calls an operation on one-time codes.
    async fn call_verifications(&self, path: &str) -> Left {
        let nothing = json!({});
        match path {
            "/verifications" => {
                self.post(path, &json!({"receiver": KENYAN})).await;
                Left::Entry("verification.begun")
            }
            "/verifications/{id}/check" => {
                let id = text(&self.post("/verifications", &json!({"receiver": KENYAN})).await["id"]);
                // Of another length, so a wrong one.
                self.post(&format!("/verifications/{id}/check"), &json!({"code": "0123456789"})).await;
                Left::Entry("verification.refused")
            }
            "/verifications/{id}/cancel" => {
                let id = text(&self.post("/verifications", &json!({"receiver": KENYAN})).await["id"]);
                self.post(&format!("/verifications/{id}/cancel"), &nothing).await;
                Left::Entry("verification.canceled")
            }
            other => panic!("a new operation on codes: call {other} here"),
        }
    }

    /// Calls an operation on webhook endpoints.
    async fn call_endpoints(&self, operation: &str) -> Left {
        let body = json!({"url": "https://example.com/hooks"});
        let made = self.post("/webhook-endpoints", &body).await;
        let one = format!("/webhook-endpoints/{}", text(&made["id"]));
        let nothing = json!({});
        match operation {
            "post /webhook-endpoints" => return Left::Entry("endpoint.created"),
            "patch /webhook-endpoints/{id}" => {
                self.ask(Method::PATCH, &one, &json!({"enabled": false})).await;
                return Left::Entry("endpoint.changed");
            }
            "delete /webhook-endpoints/{id}" => {
                self.ask(Method::DELETE, &one, &nothing).await;
                return Left::Entry("endpoint.deleted");
            }
            "post /webhook-endpoints/{id}/rotate-secret" => {
                self.post(&format!("{one}/rotate-secret"), &nothing).await;
                return Left::Entry("endpoint.rotated");
            }
            "post /webhook-endpoints/{id}/test" => {
                self.post(&format!("{one}/test"), &nothing).await;
                return Left::Entry("endpoint.tested");
            }
            "post /webhook-endpoints/{id}/replay" => {
                let since = SystemClock::new().now().to_string();
                self.post(&format!("{one}/replay"), &json!({"since": since})).await;
            }
            other => panic!("a new operation on webhook endpoints: call {other} here"),
        }
        Left::Entry("endpoint.replayed")
    }

    /// Calls an operation that may change something.
    async fn call(&self, operation: &str) -> Left {
        let nothing = json!({});
        let path = operation.strip_prefix("post ").unwrap_or(operation);
        match path {
            _ if operation.contains("/api-keys") => self.call_keys(operation).await,
            _ if operation.contains("/templates") => self.call_templates(operation).await,
            _ if path.starts_with("/prompts") => self.call_prompts(path).await,
            _ if path.starts_with("/verifications") => self.call_verifications(path).await,
            _ if operation.contains("/webhook-endpoints") => self.call_endpoints(operation).await,
            "/sms/{id}/feedback" => {
                let sent = self.post("/sms", &json!({"receiver": KENYAN, "message": "Habari"})).await;
                let path = format!("/sms/{}/feedback", text(&sent["id"]));
                self.post(&path, &json!({"outcome": "confirmed"})).await;
                Left::Entry("sms.feedback")
            }
            "/sms" => {
                self.post(path, &json!({"receiver": KENYAN, "message": "Habari"})).await;
                Left::Entry("sms.accepted")
            }
            "/sms/bulk" => {
                self.waiting().await;
                Left::Entry("sms.accepted")
            }
            "/sms/{id}/cancel" => {
                let id = text(&self.waiting().await["results"][0]["id"]);
                self.post(&format!("/sms/{id}/cancel"), &nothing).await;
                Left::Entry("sms.canceled")
            }
            "/sms/bulk/{bulk_id}/cancel" => {
                let id = text(&self.waiting().await["bulk_id"]);
                self.post(&format!("/sms/bulk/{id}/cancel"), &nothing).await;
                Left::Entry("sms.canceled")
            }
            "/sms/{id}/retry" => {
                let id = self.failed().await;
                self.post(&format!("/sms/{id}/retry"), &nothing).await;
                Left::Entry("sms.retried")
            }
            "/sms/explain" => {
                self.post(path, &json!({"receiver": KENYAN, "message": "Habari"})).await;
                Left::Nothing
            }
            "/providers/{name}/drain" => {
                self.post("/providers/twilio/drain", &nothing).await;
                Left::Entry("provider.drained")
            }
            "/providers/{name}/resume" => {
                self.post("/providers/twilio/drain", &nothing).await;
                self.post("/providers/twilio/resume", &nothing).await;
                Left::Entry("provider.resumed")
            }
            "/workers/{name}/pause" => {
                self.post("/workers/reconcile/pause", &nothing).await;
                Left::Entry("worker.paused")
            }
            "/workers/{name}/activate" => {
                self.post("/workers/reconcile/activate", &nothing).await;
                Left::Entry("worker.activated")
            }
            _ if operation.contains("/opt-outs") => self.call_opt_outs(operation).await,
            "/webhooks/{provider}/{kind}" => {
                self.post("/sms", &json!({"receiver": AMERICAN, "message": "Habari"})).await;
                for receipt in self.app.public.wait_for(2).await.unwrap() {
                    assert_eq!(self.app.pass_on(&receipt).await.status, 200);
                }
                Left::OfProvider("sms.delivered")
            }
            "/webhooks/{provider}/{kind}/{token}" => {
                self.reported().await;
                Left::OfProvider("sms.delivered")
            }
            other => {
                panic!("a new operation: call {other} here, and say what it leaves in the audit trail")
            }
        }
    }
}

#[tokio::test]
async fn every_operation_of_the_api_that_changes_something_leaves_an_entry() {
    let description = serde_json::to_value(server::http::openapi()).unwrap();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "get") {
            let bench = Bench::start().await;
            let operation = format!("{method} {path}");
            let (event, is_by_caller) = match bench.call(&operation).await {
                Left::Entry(event) => (event, true),
                Left::OfProvider(event) => (event, false),
                Left::Nothing => {
                    // The keys that were made for it.
                    assert_eq!(bench.entries("").await.len(), 2, "{path}");
                    bench.app.gateway.stop().await;
                    continue;
                }
            };
            let entries = bench.entries(&format!("event={event}")).await;
            let Some(entry) = entries.first() else { panic!("{operation} left no {event}") };
            let actor = text(&entry["actor"]);
            let right = if is_by_caller { actor == bench.actor } else { actor.starts_with("provider:") };
            assert!(right, "{path}: {entry}");
            bench.app.gateway.stop().await;
        }
    }
}

/// The verbs of the command line, each with those below it.
fn verbs(command: &clap::Command) -> Vec<String> {
    let below = command.get_subcommands().filter(|below| below.get_name() != "help");
    let mut verbs = Vec::new();
    for below in below {
        let inner = verbs_below(below);
        verbs.extend(
            inner.into_iter().map(|inner| format!("{} {inner}", below.get_name()).trim_end().to_owned()),
        );
    }
    verbs
}

/// Those below a verb, or nothing in particular.
fn verbs_below(command: &clap::Command) -> Vec<String> {
    let verbs = verbs(command);
    if verbs.is_empty() { vec![String::new()] } else { verbs }
}

/// What a verb leaves, after it has been run on a site with a canceled and a waiting message.
async fn run(site: &Site, verb: &str, [waiting, canceled]: [&str; 2]) -> Option<&'static str> {
    let key = || async {
        let list = site.run(&["keys", "list"]).await.stdout;
        list.split('\t').next().unwrap().to_owned()
    };
    let ran = async |arguments: &[&str]| {
        let done = site.run(arguments).await;
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
    };
    match verb {
        "keys create" => ran(&["keys", "create", "--name", "it", "--scopes", "admin"]).await,
        "keys rotate" => ran(&["keys", "rotate", &key().await]).await,
        "keys revoke" => ran(&["keys", "revoke", &key().await]).await,
        // Takes a minute: it waits until all nodes there might be have heard of the key.
        "keys rotate-data" => ran(&["keys", "rotate-data"]).await,
        // A number that nobody has sent to: those of others are still looked at.
        "opt-out import" => {
            let list = site.path("list.csv");
            std::fs::write(&list, "number,sender\n+254712345670,\n").unwrap();
            ran(&["opt-out", "import", list.to_str().unwrap()]).await;
        }
        "forget" => ran(&["forget", "+254799999999"]).await,
        "queue cancel" => ran(&["queue", "cancel", waiting]).await,
        "queue retry" => ran(&["queue", "retry", canceled]).await,
        "migrate" => ran(&["migrate"]).await,
        // Of the first ones, what they change goes over HTTP, to a database of their own, or is told by what happens in it.
        // A move leaves source and target the same, the trail too. All others only read.
        "send"
        | "prompt start"
        | "prompt show"
        | "prompt close"
        | "verify start"
        | "verify check"
        | "verify show"
        | "serve"
        | "demo"
        | "move"
        | "health"
        | "check"
        | "explain"
        | "guard report"
        | "template check"
        | "opt-out export"
        | "keys list"
        | "keys generate-data-key"
        | "queue stuck"
        | "audit verify"
        | "audit export"
        | "audit tail" => return None,
        other => panic!("a new verb: run tuma {other} here, and say what it leaves in the audit trail"),
    }
    Some(match verb {
        "keys create" => "key.created",
        "keys rotate" => "key.rotated",
        "keys revoke" => "key.revoked",
        "keys rotate-data" => "data_keys.forgotten",
        "opt-out import" => "consent.opted_out",
        "forget" => "receiver.forgotten",
        "queue cancel" => "sms.canceled",
        "queue retry" => "sms.retried",
        _ => "schema.migrated",
    })
}

#[tokio::test]
async fn every_verb_of_the_command_line_that_changes_something_leaves_an_entry() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let site = Site::new(sim.base_url());
    let key = site.key("admin").await;
    let served = site.serve().await;
    let later = SystemClock::new().now().plus(Duration::from_hours(24)).to_string();
    let send = async |body: Value| {
        let answer = served.request(Method::POST, "/sms").key(&key).json(&body).send().await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        text(&answer.json()["id"])
    };
    let waiting = send(json!({"receiver": KENYAN, "message": "Kesho", "scheduled_at": later})).await;
    sim.inject(FaultRule::next(1, Fault::Refuse { code: 21_211 }).on(Provider::Twilio)).unwrap();
    let failed = send(json!({"receiver": AMERICAN, "message": "Habari"})).await;
    let is_failed = async || {
        let shown = served.request(Method::GET, &format!("/sms/{failed}")).key(&key).send().await.json();
        (shown["status"] == "failed").then_some(())
    };
    wait_for(is_failed, LONG).await.unwrap();
    served.terminate().await;
    served.ended().await;
    for verb in verbs(&Arguments::command()) {
        let Some(event) = run(&site, &verb, [&waiting, &failed]).await else { continue };
        let exported = site.run(&["audit", "export"]).await.stdout;
        let last = exported.lines().rfind(|line| line.contains("\"kind\":\"entry\"")).unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!((&last["event"], &last["actor"]), (&json!(event), &json!("operator")), "tuma {verb}");
    }
    let verified = site.run(&["audit", "verify"]).await;
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}
