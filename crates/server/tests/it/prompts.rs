//! `POST /prompts` and what follows: questions to many, and what people answer.

use std::sync::Arc;
use std::time::Duration;

use domain::inbound::Handling;
use domain::time::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use store::port::inbound::InboundFilter;
use testkit::clock::FakeClock;
use testkit::sim::{Fault, FaultRule, Provider};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, KENYAN, TestApp, text};
use crate::http::Answer;

const OTHER: &str = "+254722345678";

struct Bench {
    app: TestApp,
    clock: Arc<FakeClock>,
    key: String,
}

impl Bench {
    async fn start() -> Self {
        let clock = Arc::new(FakeClock::new());
        let app = TestApp::setup().clock(Arc::<FakeClock>::clone(&clock)).start().await;
        let key = app.key(&[Scope::Prompts]).await;
        Self { app, clock, key }
    }

    async fn ask(&self, key: &str, body: &Value) -> Answer {
        self.app.anonymous(Method::POST, "/prompts").key(key).json(body).send().await
    }

    /// Opens a prompt and waits until its messages have left; gives its id.
    async fn open(&self, body: &Value) -> String {
        let answer = self.ask(&self.key, body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let opened = answer.json();
        assert_eq!(opened["status"], "open");
        for one in opened["receivers"].as_array().unwrap() {
            self.app.shown_when(&text(&one["message_id"]), "sent").await;
        }
        self.clock.advance(Duration::from_secs(2));
        text(&opened["id"])
    }

    async fn show_as(&self, key: &str, id: &str) -> Answer {
        self.app.anonymous(Method::GET, &format!("/prompts/{id}")).key(key).send().await
    }

    async fn show(&self, id: &str) -> Value {
        let answer = self.show_as(&self.key, id).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// A message comes in from a phone: whether it answers a prompt, or was meant to.
    async fn says(&self, number: u8, from: &str, words: &str) -> bool {
        self.clock.advance(Duration::from_secs(1));
        let id = format!("in-{number}");
        self.app.hears(&id, from, words).await;
        let all = InboundFilter { limit: 100, ..InboundFilter::default() };
        let heard = self.app.gateway.store.inbound(all).await.unwrap();
        let this = heard.iter().find(|one| one.provider_message_id == id).unwrap();
        this.handling == Handling::Answered
    }

    /// The texts that went to a number, in order.
    async fn texts_to(&self, receiver: &str, how_many: usize) -> Vec<String> {
        let texts = async || {
            let texts: Vec<String> =
                self.app.sim.ledger().to(receiver).into_iter().map(|one| one.body).collect();
            (texts.len() == how_many).then_some(texts)
        };
        wait_for(texts, LONG).await.unwrap()
    }
}

fn approval(number: u32) -> Value {
    json!({
        "kind": "approval",
        "receivers": [KENYAN, OTHER],
        "message": format!("Umoja: withdraw KES 5,000? Reply APPROVE WR-{number} or REJECT WR-{number}."),
        "reference": format!("WR-{number}"),
        "policy": "all",
        "veto": true,
    })
}

#[tokio::test]
async fn all_approve_and_each_reply_is_evidence() {
    let bench = Bench::start().await;
    let id = bench.open(&approval(1)).await;
    let open = bench.show(&id).await;
    assert_eq!((&open["status"], open.get("outcome")), (&json!("open"), None));
    assert_eq!(open["tally"], json!({"asked": 2, "needed": 2, "approved": 0, "rejected": 0, "silent": 2}));
    assert!(bench.says(1, KENYAN, "  [approve] asante").await);
    assert!(bench.says(2, OTHER, "NAKUBALI wr 1").await);
    let closed = bench.show(&id).await;
    assert_eq!((&closed["status"], &closed["outcome"]), (&json!("closed"), &json!("approved")));
    let replies = closed["replies"].as_array().unwrap();
    assert_eq!(
        (&replies[0]["words"], &replies[0]["fate"]),
        (&json!("  [approve] asante"), &json!("counted"))
    );
    assert_eq!(replies[1]["receiver"], "+254*****5678");
    assert!(text(&replies[1]["message_id"]).starts_with("inb_"));
    let reader = bench.app.key(&[Scope::Read]).await;
    assert_eq!(bench.show_as(&reader, &id).await.json()["replies"][1]["receiver"], OTHER);
    // Whoever did not ask may not see it.
    let stranger = bench.app.key(&[Scope::Prompts]).await;
    assert_eq!(bench.show_as(&stranger, &id).await.status, 404);
}

#[tokio::test]
async fn whoever_has_two_is_asked_which_once_and_the_named_one_is_vetoed() {
    let bench = Bench::start().await;
    let (one, two) = (bench.open(&approval(1)).await, bench.open(&approval(2)).await);
    assert!(bench.says(1, KENYAN, "approve").await);
    assert!(bench.says(1, KENYAN, "approve").await);
    assert!(bench.says(2, KENYAN, "APPROVE!").await);
    let texts = bench.texts_to(KENYAN, 3).await;
    assert_eq!(texts[2], "We are not sure what you mean. Please reply APPROVE or REJECT with WR-2 or WR-1.");
    assert!(bench.says(3, KENYAN, "reject WR-2").await);
    assert_eq!(bench.show(&two).await["outcome"], "rejected");
    assert_eq!(bench.show(&one).await["tally"]["silent"], 2);
    // Too late for the one that it names, and nothing to the other.
    assert!(bench.says(4, OTHER, "approve WR-2").await);
    assert_eq!(bench.show(&two).await["replies"][1]["fate"], "late");
    assert_eq!(bench.show(&one).await["replies"], json!([]));
    let late = bench.texts_to(OTHER, 3).await;
    assert_eq!(late[2], "WR-2 is closed. Your reply came too late and does not count.");
    // No answer to anything.
    assert!(!bench.says(5, KENYAN, "Habari yako?").await);
    assert!(!bench.says(6, "+254733345678", "approve WR-1").await);
}

#[tokio::test]
async fn what_does_not_say_how_to_answer_has_a_line_that_does() {
    let bench = Bench::start().await;
    let mut body = approval(7);
    body["message"] = json!("Umoja: withdraw KES 5,000?");
    bench.open(&body).await;
    let texts = bench.texts_to(KENYAN, 1).await;
    assert_eq!(texts[0], "Umoja: withdraw KES 5,000?\nReply APPROVE WR-7 or REJECT WR-7.");
    let invite = json!({
        "kind": "invite", "receivers": [OTHER], "message": "Join our chama?", "reference": "umoja", "policy": {"n": 1},
    });
    let id = bench.open(&invite).await;
    assert_eq!(bench.texts_to(OTHER, 2).await[1], "Join our chama?\nReply YES umoja or NO umoja.");
    assert!(bench.says(1, OTHER, "Ndio umoja").await);
    assert_eq!(bench.show(&id).await["outcome"], "approved");
}

#[tokio::test]
async fn silent_ones_are_reminded_and_the_prompt_expires() {
    let bench = Bench::start().await;
    let at = |minutes: u64| bench.clock.now().plus(Duration::from_mins(minutes)).to_string();
    let mut body = approval(1);
    (body["reminders"], body["closes_at"]) = (json!([at(30)]), json!(at(60)));
    let id = bench.open(&body).await;
    assert!(bench.says(1, KENYAN, "approve").await);
    bench.clock.advance(Duration::from_mins(31));
    bench.texts_to(OTHER, 2).await;
    assert_eq!(bench.texts_to(KENYAN, 1).await.len(), 1);
    bench.clock.advance(Duration::from_mins(31));
    let is_closed = async || {
        let shown = bench.show(&id).await;
        (shown["status"] == "closed").then_some(shown)
    };
    let closed = wait_for(is_closed, LONG).await.unwrap();
    assert_eq!((&closed["outcome"], &closed["tally"]["approved"]), (&json!("expired"), &json!(1)));
    assert_eq!(closed["receivers"][1]["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn prompt_is_closed_by_call_once_and_listed() {
    let bench = Bench::start().await;
    let (one, two) = (bench.open(&approval(1)).await, bench.open(&approval(2)).await);
    let close = async |id: &str| {
        bench.app.anonymous(Method::POST, &format!("/prompts/{id}/close")).key(&bench.key).send().await
    };
    let closed = close(&one).await;
    assert_eq!((closed.status, &closed.json()["outcome"]), (200, &json!("canceled")));
    assert_eq!((close(&one).await.status, close("prm_none").await.status), (200, 404));
    assert!(bench.says(1, KENYAN, "reject WR-2").await);
    let refused = close(&two).await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "prompt_closed"));
    let list = async |query: &str| {
        let answer =
            bench.app.anonymous(Method::GET, &format!("/prompts{query}")).key(&bench.key).send().await;
        let page = answer.json();
        let ids = page["prompts"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect::<Vec<_>>();
        (ids, page.get("next_cursor").map(text))
    };
    assert_eq!(list("?status=closed").await, (vec![two.clone(), one.clone()], None));
    assert_eq!(list("?status=open").await, (vec![], None));
    let (first, cursor) = list("?limit=1").await;
    assert_eq!((first, cursor.clone()), (vec![two.clone()], Some(two)));
    assert_eq!(list(&format!("?cursor={}", cursor.unwrap())).await, (vec![one], None));
}

#[tokio::test]
async fn message_that_asks_what_was_decided_is_not_sent_again_and_says_why() {
    let bench = Bench::start().await;
    let app = &bench.app;
    let key = app.key(&[Scope::Prompts, Scope::Send]).await;
    app.sim.inject(FaultRule::next(1, Fault::Refuse { code: 21_211 }).on(Provider::Twilio)).unwrap();
    let mut asked = approval(1);
    asked["receivers"] = json!([AMERICAN]);
    let opened = bench.ask(&key, &asked).await.json();
    let (prompt, message) = (text(&opened["id"]), text(&opened["receivers"][0]["message_id"]));
    app.shown_when(&message, "failed").await;
    let close = app.anonymous(Method::POST, &format!("/prompts/{prompt}/close")).key(&key);
    assert_eq!(close.send().await.status, 200);
    let refused = app.anonymous(Method::POST, &format!("/sms/{message}/retry")).key(&key).send().await;
    assert_eq!((refused.status, refused.problem().as_str()), (409, "message_not_retriable"));
    assert_eq!(refused.json()["detail"], "what it asks has been decided: nobody waits for the answer");
    assert_eq!(app.sim.ledger().count(), 0);
}

#[tokio::test]
async fn who_may_read_may_not_close_what_another_has_opened() {
    let bench = Bench::start().await;
    let id = bench.open(&approval(1)).await;
    let close = async |key: &str| {
        bench.app.anonymous(Method::POST, &format!("/prompts/{id}/close")).key(key).send().await.status
    };
    let reader = bench.app.key(&[Scope::Prompts, Scope::Read]).await;
    assert_eq!((bench.show_as(&reader, &id).await.status, close(&reader).await), (200, 404));
    assert_eq!(bench.show(&id).await["status"], "open");
    assert_eq!(close(&bench.app.key(&[Scope::Admin]).await).await, 200);
}

#[tokio::test]
async fn same_request_again_is_answered_the_same_and_another_is_refused() {
    let bench = Bench::start().await;
    let ask = async |body: &Value| {
        let request = bench.app.anonymous(Method::POST, "/prompts").key(&bench.key);
        request.header("idempotency-key", "once").json(body).send().await
    };
    let first = ask(&approval(1)).await;
    assert_eq!(first.status, 202, "{}", first.text);
    bench.clock.advance(Duration::from_mins(5));
    let again = ask(&approval(1)).await;
    assert_eq!((again.status, again.json()), (202, first.json()));
    let mut other = approval(1);
    other["veto"] = json!(false);
    let refused = ask(&other).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "idempotency_key_reused"));
    assert_eq!(bench.app.count().await, 2);
}

#[tokio::test]
async fn every_mistake_is_named_and_nobody_is_asked() {
    let bench = Bench::start().await;
    bench.open(&approval(1)).await;
    let wrong: &[(&str, Value, &str, &str)] = &[
        ("kind", json!("vote"), "/kind", "unknown_kind"),
        ("kind", json!(null), "/kind", "required"),
        ("reference", json!("no"), "/reference", "invalid_reference"),
        ("reference", json!("umoja"), "/reference", "invalid_reference"),
        ("reference", json!("wr/1"), "/reference", "reference_taken"),
        ("receivers", json!([]), "/receivers", "receiver_count"),
        ("receivers", json!([KENYAN, "0700"]), "/receivers/1", "invalid_receiver"),
        ("receivers", json!([KENYAN, KENYAN]), "/receivers/1", "duplicate_receiver"),
        ("message", json!(""), "/message", "required"),
        ("policy", json!({"n": 3}), "/policy/n", "invalid_policy"),
        ("policy", json!({"n": 0}), "/policy/n", "invalid_policy"),
        ("policy", json!("most"), "/policy", "wrong_type"),
        ("closes_at", json!("2020-01-01T00:00:00Z"), "/closes_at", "invalid_closes_at"),
        ("closes_at", json!("2060-01-01T00:00:00Z"), "/closes_at", "invalid_closes_at"),
        ("reminders", json!(["2060-01-01T00:00:00Z"]), "/reminders/0", "invalid_reminders"),
    ];
    for (field, value, pointer, code) in wrong {
        let mut body = approval(2);
        body[field] = value.clone();
        let refused = bench.ask(&bench.key, &body).await;
        let first = refused.json()["errors"][0].clone();
        assert_eq!((refused.status, &first["pointer"], &first["code"]), (422, &json!(pointer), &json!(code)));
    }
    // Those of its own and those of its messages, at once.
    let mut body = approval(2);
    (body["kind"], body["receivers"], body["sender"]) = (json!("vote"), json!([KENYAN, "0700"]), json!("~"));
    let refused = bench.ask(&bench.key, &body).await.json();
    let pointers: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|one| text(&one["pointer"])).collect();
    assert_eq!(pointers, ["/kind", "/sender", "/receivers/1"]);
    let sender = bench.app.key(&[Scope::Send]).await;
    assert_eq!(bench.ask(&sender, &approval(2)).await.problem(), "missing_scope");
    assert_eq!(bench.app.count().await, 2);
    let entries = bench.app.gateway.service.prompts(store::port::prompts::PromptFilter {
        limit: 10,
        ..store::port::prompts::PromptFilter::default()
    });
    assert_eq!(entries.await.unwrap().len(), 1);
}
