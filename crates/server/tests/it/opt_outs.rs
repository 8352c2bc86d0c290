//! Opt-outs by callers: entered, listed, ended.

use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;

use crate::app::{AMERICAN, KENYAN, TestApp, text};
use crate::http::Answer;

struct Bench {
    app: TestApp,
    consent: String,
}

impl Bench {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let consent = app.key(&[Scope::Consent]).await;
        Self { app, consent }
    }

    async fn ask(&self, method: Method, body: &Value) -> Answer {
        self.app.anonymous(method, "/opt-outs").key(&self.consent).json(body).send().await
    }

    async fn list(&self, query: &str) -> Value {
        let answer =
            self.app.anonymous(Method::GET, &format!("/opt-outs{query}")).key(&self.consent).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }
}

#[tokio::test]
async fn opt_out_is_entered_once_listed_and_ended() {
    let bench = Bench::start().await;
    let body = json!({"receiver": "0712 345 678", "sender": "TUMA", "extent": "promotional", "note": "at the counter"});
    assert_eq!(bench.ask(Method::POST, &body).await.json(), json!({"changed": true, "stopped": 0}));
    assert_eq!(bench.ask(Method::POST, &body).await.json(), json!({"changed": false, "stopped": 0}));
    let listed = bench.list("").await;
    let entry = &listed["opt_outs"][0];
    assert_eq!(
        (&entry["sender"], &entry["source"], &entry["detail"]),
        (&json!("TUMA"), &json!("api"), &json!("at the counter"))
    );
    assert!(text(&entry["by"]).starts_with("key_"), "{entry}");
    assert!(listed.get("history").is_none());
    let invite =
        json!({"receiver": KENYAN, "message": "Karibu", "scenario": "chama_invite", "sender": "TUMA"});
    assert_eq!(bench.app.post("/sms", &invite).await.status, 403);
    let back = json!({"receiver": KENYAN});
    assert_eq!(bench.ask(Method::DELETE, &back).await.json(), json!({"changed": true, "stopped": 0}));
    assert_eq!(bench.ask(Method::DELETE, &back).await.json(), json!({"changed": false, "stopped": 0}));
    bench.app.accepted(&invite).await;
    let of_one = bench.list("?receiver=%2B254712345678").await;
    assert_eq!(of_one["opt_outs"], json!([]));
    let history: Vec<_> =
        of_one["history"].as_array().unwrap().iter().map(|it| text(&it["direction"])).collect();
    assert_eq!(history, ["opt_in", "opt_out"]);
}

#[tokio::test]
async fn note_that_may_hold_a_number_is_refused() {
    let bench = Bench::start().await;
    let noted = |note: &str| json!({"receiver": KENYAN, "note": note});
    let refused = bench.ask(Method::POST, &noted("called from 0722 345 678")).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/note")));
    assert!(!refused.text.contains("345"), "{}", refused.text);
    assert_eq!(bench.ask(Method::POST, &noted("form 204, counter 3")).await.status, 200);
}

#[tokio::test]
async fn opt_outs_come_page_by_page() {
    let bench = Bench::start().await;
    for n in 1..=3 {
        bench.ask(Method::POST, &json!({"receiver": format!("+25471234567{n}")})).await;
    }
    let first = bench.list("?limit=2").await;
    let rest = bench.list(&format!("?limit=2&cursor={}", text(&first["next_cursor"]))).await;
    let pages = [&first, &rest].map(|page| page["opt_outs"].as_array().unwrap().len());
    assert_eq!(pages, [2, 1]);
    assert!(rest.get("next_cursor").is_none());
}

#[tokio::test]
async fn each_mistake_is_named_and_nothing_is_entered() {
    let bench = Bench::start().await;
    let wrong =
        json!({"receiver": "12", "sender": "A name too long", "extent": "some", "note": "x".repeat(129)});
    let answer = bench.ask(Method::POST, &wrong).await;
    assert_eq!(answer.status, 422);
    let pointers: Vec<_> =
        answer.json()["errors"].as_array().unwrap().iter().map(|it| text(&it["pointer"])).collect();
    assert_eq!(pointers, ["/receiver", "/sender", "/extent", "/note"]);
    for (method, body, status) in [
        (Method::POST, json!({}), 422),
        (Method::POST, json!({"receiver": AMERICAN, "number": "x"}), 422),
        (Method::DELETE, json!({}), 422),
    ] {
        assert_eq!(bench.ask(method, &body).await.status, status, "{body}");
    }
    let query =
        bench.app.anonymous(Method::GET, "/opt-outs?receiver=x&sender=A+name+too+long&limit=0&cursor=1&x=2");
    assert_eq!(query.key(&bench.consent).send().await.json()["errors"].as_array().unwrap().len(), 5);
    assert_eq!(bench.list("").await["opt_outs"], json!([]));
}

#[tokio::test]
async fn other_scopes_may_neither_see_nor_enter_opt_outs() {
    let bench = Bench::start().await;
    let other = bench.app.key(&[Scope::Send, Scope::Read]).await;
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let request = bench.app.anonymous(method.clone(), "/opt-outs").key(&other);
        let answer = request.json(&json!({"receiver": KENYAN})).send().await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "missing_scope"), "{method}");
    }
}
