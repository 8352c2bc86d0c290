//! Conversations: codes, texts of templates, questions to many, what phones write, and where callers hear of it.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::endpoint::Received;
use testkit::sim::{Provider, TWILIO_PHONE_NUMBER};
use testkit::wait::{LONG, wait_for, wait_until};

use super::{CALLBACK_SECRET, NUMBERS, Said, Scene, TEXT, number};
use crate::app::text;

/// Who talks: in [`NUMBERS`], by whom nothing is refused.
const TALKERS: [usize; 2] = [6, 7];

/// What a phone writes.
const WORDS: &str = "Siri-ya-Canary ni 40 kwa Mama";

/// Where an endpoint hears of events: a secret of whoever knows it.
pub(super) const HOOK: &str = "hook-canary-that-nobody-guesses";

/// The key that may talk.
const KEY: usize = 4;

/// All of it; gives what is secret of it: codes and the secrets of endpoints.
pub(super) async fn talk(scene: &mut Scene) -> Vec<String> {
    let mut secrets = listen(scene).await;
    write_templates(scene).await;
    secrets.push(verify(scene).await);
    ask_many(scene).await;
    hear(scene).await;
    opt_out(scene).await;
    // What really happens reaches an endpoint, and not only what a test raises.
    for kind in ["endpoint.test", "message.sent", "verification.approved", "prompt.closed"] {
        let is_told = |post: &Received| {
            post.target.contains(HOOK)
                && String::from_utf8_lossy(&post.body).contains(&format!("\"type\":\"{kind}\""))
        };
        wait_until(|| scene.public.received().iter().any(is_told), LONG).await.unwrap();
    }
    secrets
}

impl Scene {
    /// What was answered last, which must be this.
    fn done(&self, status: u16) -> Value {
        let Said { what, answer, .. } = self.answers.last().unwrap();
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        answer.json()
    }

    /// Asks for something that is another thing each time that it is asked for.
    async fn once(&self, path: &str, body: &Value) -> Value {
        let answer = self.request(0, Method::POST, path).key(&self.keys[KEY]).json(body).send().await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json()
    }
}

/// Endpoints, one of which is wrong in every way.
async fn listen(scene: &mut Scene) -> Vec<String> {
    let url = scene.public.url(&format!("/{HOOK}"));
    scene.post("/webhook-endpoints", KEY, &json!({"url": url})).await;
    let made = scene.done(201);
    let path = format!("/webhook-endpoints/{}", text(&made["id"]));
    scene.post(&format!("{path}/rotate-secret"), KEY, &json!({})).await;
    let secrets = [made, scene.done(200)].map(|answer| text(&answer["secret"]));
    scene.post(&format!("{path}/test"), KEY, &json!({})).await;
    scene.done(202);
    let (kenyan, digits) = (number(TALKERS[0]), NUMBERS[TALKERS[0]].1);
    for wrong in [
        json!({"url": format!("http://{digits}:{TEXT}@{HOOK}/{HOOK}"), "events": [kenyan, TEXT]}),
        json!({"url": format!("ftp://x/{HOOK}"), "description": kenyan.repeat(99), kenyan.clone(): TEXT}),
    ] {
        scene.post("/webhook-endpoints", KEY, &wrong).await;
        scene.ask_as(KEY, Method::PATCH, &path, |request| request.json(&wrong)).await;
        scene.post(&format!("{path}/replay"), KEY, &json!({"event_id": wrong, "since": kenyan})).await;
    }
    scene.get(&format!("{path}/deliveries?limit={digits}&cursor={kenyan}"), KEY).await;
    secrets.map(|secret| secret.trim_start_matches("whsec_").to_owned()).into()
}

/// A template whose values are names and amounts of people.
async fn write_templates(scene: &mut Scene) {
    let variables = json!({"name": {"type": "text", "max_length": 60}, "to": {"type": "phone"}});
    let definition =
        json!({"variables": variables, "locales": {"en": "{{ name }}: {{ to | phone_masked }}"}});
    let put = "/templates/canary_note?publish=true";
    scene.ask_as(KEY, Method::PUT, put, |request| request.json(&definition)).await;
    scene.done(201);
    let mut sent = Vec::new();
    let kenyan = number(TALKERS[0]);
    let made_of =
        |variables: Value| json!({"receiver": kenyan, "template": "canary_note", "variables": variables});
    for variables in [
        json!({"name": TEXT, "to": kenyan}),
        json!({"name": TEXT.repeat(9), "to": TEXT, kenyan.clone(): TEXT}),
        json!({"name": [TEXT], "to": {"number": kenyan}}),
    ] {
        scene.post("/sms", KEY, &made_of(variables.clone())).await;
        sent.push(scene.answers.last().unwrap().answer.status);
        scene.post("/templates/canary_note/preview", KEY, &json!({"variables": variables})).await;
        let own = json!({"receiver": kenyan, "variables": variables});
        scene.post("/sms/bulk", KEY, &json!({"receivers": [own], "template": "canary_note"})).await;
    }
    assert_eq!(sent, [202, 422, 422]);
    let wrong =
        json!({"variables": {kenyan.clone(): {"type": TEXT}}, "locales": {"en": "{{ x ", kenyan: TEXT}});
    scene.ask_as(KEY, Method::PUT, put, |request| request.json(&wrong)).await;
    scene.get(&format!("/templates/{}", NUMBERS[TALKERS[0]].1), KEY).await;
}

/// A code that arrives, is mistyped, and is typed in; gives it.
async fn verify(scene: &mut Scene) -> String {
    let kenyan = number(TALKERS[0]);
    let begun = scene.once("/verifications", &json!({"receiver": kenyan, "length": 10})).await;
    let check = format!("/verifications/{}/check", text(&begun["id"]));
    let code = async || {
        let body = scene.sim.handset(&kenyan).last_text()?.body;
        let mut runs = body.split(|letter: char| !letter.is_ascii_digit());
        runs.find(|run| run.len() == 10).map(str::to_owned)
    };
    let code = wait_for(code, LONG).await.unwrap();
    let mistyped = code.chars().rev().collect::<String>();
    let mut right = 0;
    for typed in [mistyped.as_str(), TEXT, &kenyan, &format!("{code}x"), &code] {
        scene.post(&check, KEY, &json!({"code": typed})).await;
        let last = scene.answers.iter().rev().take(2);
        right += last.filter(|said| said.answer.json()["valid"] == true).count();
    }
    assert_eq!(right, 1);
    scene.post(&format!("/verifications/{code}/check"), KEY, &json!({"code": code})).await;
    scene.get(&format!("/verifications/{kenyan}"), KEY).await;
    let wrong = json!({"receiver": TEXT, "locale": kenyan, "client_ip": kenyan, "web_otp_domain": TEXT, "length": 99});
    scene.post("/verifications", KEY, &wrong).await;
    code
}

/// Questions to both, answered by both networks.
async fn ask_many(scene: &mut Scene) {
    let receivers = TALKERS.map(number);
    let asked = json!({
        "kind": "approval", "receivers": receivers, "reference": "WR-771", "policy": "all", "veto": true,
        "message": format!("{TEXT}: WR-771?"),
    });
    let opened = scene.once("/prompts", &asked).await;
    for receiver in &receivers {
        wait_until(
            || scene.sim.handset(receiver).texts().iter().any(|text| text.body.contains("WR-771")),
            LONG,
        )
        .await
        .unwrap();
    }
    writes(scene, 0, &format!("APPROVE WR-771 {WORDS}")).await;
    writes(scene, 1, &format!("Reject wr-771 {WORDS}")).await;
    let path = format!("/prompts/{}", text(&opened["id"]));
    let kenyan = number(TALKERS[0]);
    scene.get(&format!("/prompts?status={kenyan}"), KEY).await;
    let is_closed = async || {
        let shown = scene.request(0, Method::GET, &path).key(&scene.keys[KEY]).send().await.json();
        let has_words = shown["replies"][1]["words"].as_str()?.contains(WORDS);
        (shown["outcome"] == "rejected" && has_words).then_some(())
    };
    wait_for(is_closed, LONG).await.unwrap();
    scene.get(&path, KEY).await;
    scene.get(&path, 2).await;
    scene.post(&format!("{path}/close"), KEY, &json!({"outcome": kenyan})).await;
    let wrong = json!({"kind": TEXT, "receivers": [TEXT, kenyan, kenyan], "policy": {"n": TEXT}, "reference": kenyan, "message": TEXT, "closes_at": TEXT});
    scene.post("/prompts", KEY, &wrong).await;
}

/// Somebody writes, by their network; what is brought is believed only as it came.
async fn writes(scene: &mut Scene, who: usize, words: &str) {
    let phone = number(TALKERS[who]);
    let provider = [Provider::AfricasTalking, Provider::Twilio][who];
    let before = scene.public.count();
    scene.sim.handset(&phone).send(provider, TWILIO_PHONE_NUMBER, words).await;
    if provider == Provider::Twilio {
        let posts = scene.public.wait_for(before + 1).await.unwrap();
        let incoming = posts.iter().rfind(|post| post.target.ends_with("/incoming")).unwrap().clone();
        scene.call_back(&incoming, &incoming.target).await;
        scene.call_back(&incoming, &format!("{}?From={phone}", incoming.target)).await;
    }
}

/// What is no answer to anything, a wish to hear nothing, and what nobody brought.
async fn hear(scene: &mut Scene) {
    for who in 0..2 {
        for words in [WORDS, "APPROVE", "YES", "HELP"] {
            writes(scene, who, words).await;
        }
    }
    scene.get("/inbound?limit=200", 0).await;
    let kept = scene.done(200)["messages"].as_array().unwrap().len();
    assert!(kept >= 10, "{kept} of what phones wrote");
    let digits = NUMBERS[TALKERS[0]].1;
    for body in [
        format!("from={digits}&text={WORDS}"),
        format!("from=%2B254{digits}&text=%FF&date={WORDS}"),
        WORDS.into(),
    ] {
        for kind in ["incoming", "opt-out"] {
            for secret in [CALLBACK_SECRET, digits] {
                let path = format!("/webhooks/africastalking/{kind}/{secret}");
                let form = "application/x-www-form-urlencoded";
                let with =
                    |request: crate::http::Request| request.header("content-type", form).body(body.clone());
                scene.ask(Method::POST, &path, with).await;
            }
        }
    }
    for key in [KEY, 2] {
        scene.get(&format!("/inbound?from=%2B254{digits}"), key).await;
        scene.get(&format!("/inbound?from={digits}x&cursor={digits}&{digits}={digits}"), key).await;
    }
}

async fn opt_out(scene: &mut Scene) {
    writes(scene, 0, "STOP").await;
    let kenyan = number(TALKERS[1]);
    for method in [Method::POST, Method::DELETE] {
        for body in [json!({"receiver": kenyan}), json!({"receiver": TEXT, "sender": kenyan, "extent": TEXT})]
        {
            scene.ask_as(KEY, method.clone(), "/opt-outs", |request| request.json(&body)).await;
        }
    }
    scene.get("/opt-outs", KEY).await;
    scene.get(&format!("/opt-outs?receiver=%2B254{}", NUMBERS[TALKERS[0]].1), KEY).await;
}
