//! Templates over HTTP.

use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;

use crate::app::{AMERICAN, KENYAN, TestApp, text};
use crate::http::Answer;

struct Bench {
    app: TestApp,
    key: String,
}

impl Bench {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let key = app.key(&[Scope::Templates]).await;
        Self { app, key }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.app.anonymous(method, path).key(&self.key);
        match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        }
    }

    async fn put(&self, path: &str, definition: &Value) -> Answer {
        self.ask(Method::PUT, path, Some(definition)).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }
}

/// A template of one variable.
fn welcome(words: &str) -> Value {
    json!({
        "max_segments": 1,
        "variables": {"name": {"type": "text", "max_length": 20}},
        "locales": {"en": format!("{words} {{{{ name }}}}")},
    })
}

/// The mistakes of a refusal, each as pointer, code and detail.
fn mistakes(refused: &Answer) -> Vec<(String, String, String)> {
    let errors = refused.json()["errors"].as_array().unwrap().clone();
    errors
        .iter()
        .map(|error| (text(&error["pointer"]), text(&error["code"]), text(&error["detail"])))
        .collect()
}

#[tokio::test]
async fn draft_is_published_and_messages_are_made_of_it() {
    let bench = Bench::start().await;
    let drafted = bench.put("/templates/welcome", &welcome("Karibu")).await;
    assert_eq!(drafted.status, 201, "{}", drafted.text);
    let drafted = drafted.json();
    assert_eq!((&drafted["version"], &drafted["published"]), (&json!(1), &json!(false)));
    let worst = json!([{"locale": "en", "variant": 0, "encoding": "gsm7", "units": 27, "segments": 1}]);
    assert_eq!((&drafted["worst"], &drafted["warnings"]), (&worst, &json!([])));
    let send = json!({"receiver": KENYAN, "template": "welcome", "variables": {"name": "Wanjiku"}});
    let refused = bench.app.post("/sms", &send).await;
    assert_eq!(refused.status, 422);
    assert_eq!(mistakes(&refused)[0].1, "unknown_template");
    let published = bench.ask(Method::POST, "/templates/welcome/publish", None).await;
    assert_eq!(published.json(), json!({"name": "welcome", "version": 1}));
    let id = bench.app.send(&send).await;
    let shown = bench.app.show(&id).await;
    let made_of = json!({"name": "welcome", "version": 1, "locale": "en", "variant": 0});
    assert_eq!(shown["template"], made_of);
    bench.app.shown_when(&id, "sent").await;
    assert_eq!(bench.app.sim.ledger().to(KENYAN)[0].body, "Karibu Wanjiku");
}

#[tokio::test]
async fn version_can_be_published_as_it_is_written_and_an_older_one_again() {
    let bench = Bench::start().await;
    for words in ["Karibu", "Jambo"] {
        let answer = bench.put("/templates/welcome?publish=true", &welcome(words)).await;
        assert_eq!(answer.json()["published"], true, "{}", answer.text);
    }
    assert_eq!(bench.get("/templates/welcome").await["version"], 2);
    bench.ask(Method::POST, "/templates/welcome/publish?version=1", None).await;
    let shown = bench.get("/templates/welcome").await;
    assert_eq!((&shown["version"], &shown["state"]), (&json!(1), &json!("in_force")));
    assert_eq!(shown["definition"]["locales"]["en"], "Karibu {{ name }}");
    let second = bench.get("/templates/welcome?version=2").await;
    assert_eq!((&second["state"], &second["versions"][1]["version"]), (&json!("published"), &json!(2)));
    let list = bench.get("/templates").await;
    let names: Vec<_> = list["templates"].as_array().unwrap().iter().map(|it| text(&it["name"])).collect();
    assert_eq!(names.len(), 7);
    assert!(names.contains(&"otp".to_owned()) && names.contains(&"welcome".to_owned()), "{names:?}");
}

#[tokio::test]
async fn mistakes_are_refused_with_their_places() {
    let bench = Bench::start().await;
    let refused = bench.put("/templates/welcome", &welcome("It’s you,")).await;
    assert_eq!(refused.status, 422);
    let [(pointer, code, detail)] = &mistakes(&refused)[..] else { panic!("{}", refused.text) };
    assert_eq!((pointer.as_str(), code.as_str()), ("/locales/en", "template_mistake"));
    assert!(detail.starts_with("line 1, column 3 (character 2): ’ (U+2019) is not in GSM-7"), "{detail}");
    for (path, body, pointer, code) in [
        ("/templates/Welcome", welcome("a"), "name", "invalid_name"),
        ("/templates/welcome?publish=perhaps", welcome("a"), "publish", "wrong_type"),
        ("/templates/welcome?draft=1", welcome("a"), "draft", "unknown_parameter"),
        ("/templates/welcome", json!({"locales": {"en": "a"}, "text": "b"}), "/text", "unknown_field"),
        ("/templates/welcome", json!({}), "/locales", "required"),
        (
            "/templates/welcome",
            json!({"variables": {"name": {"type": "text"}}, "locales": {"en": "a"}}),
            "/variables/name/max_length",
            "required",
        ),
    ] {
        let refused = bench.put(path, &body).await;
        let found: Vec<_> =
            mistakes(&refused).into_iter().map(|(pointer, code, _)| (pointer, code)).collect();
        assert_eq!(found, [(pointer.to_owned(), code.to_owned())], "{}", refused.text);
    }
    assert_eq!(bench.ask(Method::GET, "/templates/welcome", None).await.status, 404);
}

#[tokio::test]
async fn preview_shows_each_variant_with_its_cost_by_route() {
    let bench = Bench::start().await;
    let body = json!({"variables": {"code": "482913"}, "locale": "sw", "receiver": AMERICAN});
    let answer = bench.ask(Method::POST, "/templates/otp/preview", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let preview = answer.json();
    assert_eq!((&preview["version"], &preview["locale"]), (&json!(0), &json!("sw")));
    let shown = &preview["texts"][0];
    assert!(text(&shown["text"]).starts_with("Nambari yako ni 482913."));
    assert_eq!((&shown["encoding"], &shown["segments"]), (&json!("gsm7"), &json!(1)));
    assert!(shown["routes"][0]["price"].is_object(), "{shown}");
    let wrong = json!({"variables": {"code": "1"}, "locale": "kiswahili", "receiver": "112"});
    let refused = bench.ask(Method::POST, "/templates/otp/preview", Some(&wrong)).await;
    let pointers: Vec<_> = mistakes(&refused).into_iter().map(|(pointer, ..)| pointer).collect();
    assert_eq!(pointers, ["/locale", "/receiver", "/variables/code"]);
    let unknown = bench.ask(Method::POST, "/templates/nobody/preview", Some(&json!({}))).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(bench.app.count().await, 0);
}

#[tokio::test]
async fn deleted_template_is_out_of_use_and_a_built_in_one_stays() {
    let bench = Bench::start().await;
    bench.put("/templates/otp?publish=true", &welcome("Karibu")).await;
    assert_eq!(bench.get("/templates/otp").await["version"], 1);
    assert_eq!(bench.ask(Method::DELETE, "/templates/otp", None).await.status, 204);
    assert_eq!(bench.get("/templates/otp").await["version"], 0);
    assert_eq!(bench.get("/templates/otp?version=1").await["state"], "deleted");
    assert_eq!(bench.ask(Method::DELETE, "/templates/otp", None).await.status, 404);
    assert_eq!(bench.ask(Method::POST, "/templates/otp/publish", None).await.status, 404);
}

#[tokio::test]
async fn receivers_of_a_bulk_may_be_numbers_or_have_variables() {
    let bench = Bench::start().await;
    let body = json!({
        "template": "chama_invite",
        "variables": {"chama": "Umoja", "inviter": "Wanjiku"},
        "receivers": [KENYAN, {"receiver": AMERICAN, "variables": {"inviter": "Otieno"}, "locale": "sw"}],
    });
    let answer = bench.app.post("/sms/bulk", &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let id = |at: usize| text(&answer.json()["results"][at]["id"]);
    bench.app.shown_when(&id(0), "sent").await;
    bench.app.shown_when(&id(1), "sent").await;
    assert!(bench.app.sim.ledger().to(KENYAN)[0].body.starts_with("Wanjiku invites you"));
    assert!(bench.app.sim.ledger().to(AMERICAN)[0].body.starts_with("Otieno anakualika"));
    let without = json!({"message": "Habari", "receivers": [{"receiver": KENYAN}]});
    let refused = bench.app.post("/sms/bulk", &without).await;
    assert_eq!((refused.status, mistakes(&refused)[0].1.as_str()), (422, "without_template"));
}

#[tokio::test]
async fn templates_need_their_scope() {
    let bench = Bench::start().await;
    let sender = bench.app.key(&[Scope::Send, Scope::Read]).await;
    for (method, path) in [
        (Method::GET, "/templates"),
        (Method::GET, "/templates/otp"),
        (Method::DELETE, "/templates/otp"),
        (Method::POST, "/templates/otp/publish"),
    ] {
        assert_eq!(bench.app.anonymous(method, path).key(&sender).send().await.status, 403, "{path}");
    }
    let put =
        bench.app.anonymous(Method::PUT, "/templates/otp").key(&sender).json(&welcome("a")).send().await;
    assert_eq!(put.status, 403);
}
