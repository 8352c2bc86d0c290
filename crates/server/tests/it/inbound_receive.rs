//! Messages from phones, as both networks bring them: what they change, what is answered, and who sees them.

use domain::time::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::sim::{CallbackUrls, Fault, FaultRule, FromPhone, Provider, TWILIO_PHONE_NUMBER, Text};
use testkit::wait::{LONG, wait_for};

use crate::app::{AMERICAN, CALLBACK_SECRET, KENYAN, TestApp, text};
use crate::http::Answer;

/// A short code that no setting names as a sender.
const SHORT_CODE: &str = "21512";

/// Lets both networks bring what phones write: Twilio to the public address, from where [`write`] passes it on.
async fn app() -> TestApp {
    // The short code is one that Africa's Talking sends from, too.
    let setup = TestApp::setup().sim(|sim| sim.africastalking.senders.push(SHORT_CODE.into()));
    let app = setup.start().await;
    let here = |kind: &str| {
        format!("http://{}/webhooks/africastalking/{kind}/{CALLBACK_SECRET}", app.gateway.address)
    };
    app.sim.set_callback_urls(CallbackUrls {
        twilio_incoming: Some(app.public.url("/webhooks/twilio/incoming")),
        africastalking_incoming: Some(here("incoming")),
        africastalking_opt_out: Some(here("opt-out")),
        ..CallbackUrls::default()
    });
    app
}

/// A phone writes by Twilio: what the gateway answers.
async fn write(app: &TestApp, from: &str, to: &str, words: &str) -> Answer {
    let before = app.public.count();
    let message =
        FromPhone { provider: Provider::Twilio, from: from.into(), to: to.into(), text: words.into() };
    app.sim.send_from_phone(&message).await;
    let received = app.public.wait_for(before + 1).await.unwrap();
    let incoming = received.iter().skip(before).find(|it| it.target.ends_with("/incoming")).unwrap();
    app.pass_on(incoming).await
}

async fn inbound(app: &TestApp) -> Vec<Value> {
    let answer = app.get("/inbound").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["messages"].as_array().unwrap().clone()
}

fn invite(receiver: &str) -> Value {
    json!({"receiver": receiver, "message": "Karibu", "scenario": "chama_invite"})
}

#[tokio::test]
async fn text_by_twilio_is_stored_answered_with_empty_twiml_and_listed() {
    let app = app().await;
    let answer = write(&app, KENYAN, TWILIO_PHONE_NUMBER, "Habari \0 👍 \u{202e}שלום").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
    assert_eq!(answer.text, r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#);
    let shown = &inbound(&app).await[0];
    assert_eq!(shown["message"], "Habari \0 👍 \u{202e}שלום");
    assert_eq!((&shown["from"], &shown["to"]), (&json!(KENYAN), &json!(TWILIO_PHONE_NUMBER)));
    assert_eq!((&shown["handling"], &shown["provider"]), (&json!("passed_on"), &json!("twilio")));
}

#[tokio::test]
async fn stop_by_twilio_holds_back_all_but_codes_until_start() {
    let app = app().await;
    // ACHA: the simulated Twilio answers STOP itself, as an account with Advanced Opt-Out does.
    let answer = write(&app, AMERICAN, TWILIO_PHONE_NUMBER, " acha! ").await;
    assert!(answer.text.contains("<Message>You will get no more messages."), "{}", answer.text);
    let refused = app.post("/sms", &json!({"receiver": AMERICAN, "message": "Habari"})).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "opted_out"), "{}", refused.text);
    let error = &refused.json()["errors"][0];
    assert_eq!(error["pointer"], "/receiver");
    let detail = text(&error["detail"]);
    assert!(
        detail.contains("all messages but codes") && detail.contains("by a message, since 20"),
        "{detail}"
    );
    let bulk = json!({"receivers": [AMERICAN, KENYAN], "message": "Habari"});
    let verdicts = app.post("/sms/bulk", &bulk).await.json();
    assert_eq!(verdicts["results"][0]["code"], "opted_out");
    assert_eq!(verdicts["results"][1]["status"], "queued", "{verdicts}");
    app.accepted(&json!({"receiver": AMERICAN, "message": "Code 482913", "scenario": "otp"})).await;
    let explained =
        app.post("/sms/explain", &json!({"receiver": AMERICAN, "message": "Habari"})).await.json();
    assert!(text(&explained["opted_out"]).contains("has opted out of all messages but codes"), "{explained}");
    let answer = write(&app, AMERICAN, TWILIO_PHONE_NUMBER, "Anza").await;
    assert!(answer.text.contains("<Message>You will get messages again."), "{}", answer.text);
    app.accepted(&json!({"receiver": AMERICAN, "message": "Habari"})).await;
    let handled: Vec<_> = inbound(&app).await.iter().map(|it| text(&it["handling"])).collect();
    assert_eq!(handled, ["opted_in", "opted_out"]);
}

#[tokio::test]
async fn what_twilio_has_answered_itself_is_not_answered_again() {
    let app = app().await;
    let answer = write(&app, AMERICAN, TWILIO_PHONE_NUMBER, "STOP").await;
    assert_eq!(answer.text, r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#);
    assert_eq!(app.post("/sms", &invite(AMERICAN)).await.status, 403);
}

#[tokio::test]
async fn callback_that_comes_again_is_answered_alike_and_changes_nothing() {
    let app = app().await;
    let first = write(&app, AMERICAN, TWILIO_PHONE_NUMBER, "ACHA").await;
    write(&app, AMERICAN, TWILIO_PHONE_NUMBER, "ANZA").await;
    let again = app.pass_on(&app.public.received()[0]).await;
    assert_eq!((again.status, again.text), (200, first.text));
    assert_eq!(inbound(&app).await.len(), 2);
    app.accepted(&invite(AMERICAN)).await;
}

#[tokio::test]
async fn confirmation_by_africas_talking_goes_out_though_its_receiver_has_just_opted_out() {
    let app = app().await;
    let phone = app.sim.handset(KENYAN);
    let scheduled = json!({"receiver": KENYAN, "message": "Karibu", "scenario": "chama_invite",
        "scheduled_at": gateway::SystemClock::new().now().plus(std::time::Duration::from_hours(24)).to_string()});
    let waiting = app.send(&scheduled).await;
    phone.send(Provider::AfricasTalking, SHORT_CODE, "Acha").await;
    let came = || phone.last_text().filter(|it: &Text| it.body.starts_with("You will get no more"));
    let confirmation = wait_for(async || came(), LONG).await.unwrap();
    assert_eq!(
        (confirmation.provider, confirmation.from.as_deref()),
        (Provider::AfricasTalking, Some(SHORT_CODE))
    );
    let stopped = app.show(&waiting).await;
    assert_eq!(
        (&stopped["status"], &stopped["reason"]),
        (&json!("canceled"), &json!("opted_out")),
        "{stopped}"
    );
    assert_eq!(app.post("/sms", &invite(KENYAN)).await.status, 403);
    // No setting names the short code as a sender: the opt-out is about all of them.
    let other =
        json!({"receiver": KENYAN, "message": "Karibu", "scenario": "chama_invite", "sender": "OTHER"});
    assert_eq!(app.post("/sms", &other).await.status, 403);
    assert_eq!(phone.texts().len(), 1);
}

#[tokio::test]
async fn opt_out_callback_of_africas_talking_is_about_promotions_of_its_sender() {
    let app = app().await;
    app.sim.opt_out("TUMA", KENYAN).await;
    let listed = || async {
        let answer =
            app.anonymous(Method::GET, "/opt-outs").key(&app.key(&[Scope::Consent]).await).send().await;
        answer.json()["opt_outs"].as_array().unwrap().first().cloned()
    };
    let listed = wait_for(listed, LONG).await.unwrap();
    assert_eq!(
        (&listed["sender"], &listed["extent"], &listed["source"]),
        (&json!("TUMA"), &json!("promotional"), &json!("provider"))
    );
    // Masked for whoever may not read numbers.
    assert!(text(&listed["receiver"]).contains("****"), "{listed}");
    let by = |sender: &str| json!({"receiver": KENYAN, "message": "Karibu", "scenario": "chama_invite", "sender": sender});
    assert_eq!(app.post("/sms", &by("TUMA")).await.status, 403);
    app.accepted(&by("OTHER")).await;
    app.accepted(&json!({"receiver": KENYAN, "message": "Deposit", "scenario": "alert", "sender": "TUMA"}))
        .await;
}

#[tokio::test]
async fn refusals_of_both_networks_are_entered_and_nothing_is_tried_again() {
    let app = app().await;
    app.sim.inject(FaultRule::next(1, Fault::Refuse { code: 21_610 }).on(Provider::Twilio)).unwrap();
    app.sim.inject(FaultRule::next(1, Fault::Refuse { code: 406 }).on(Provider::AfricasTalking)).unwrap();
    for receiver in [AMERICAN, KENYAN] {
        let id = app.send(&invite(receiver)).await;
        app.shown_when(&id, "failed").await;
        let is_known = async || {
            let explained = app.post("/sms/explain", &invite(receiver)).await.json();
            explained["opted_out"].is_string().then_some(())
        };
        wait_for(is_known, LONG).await.unwrap();
        assert_eq!(app.post("/sms", &invite(receiver)).await.status, 403);
    }
    // 21610 is a full stop; 406 says nothing but that promotions are not wanted.
    let alert = |receiver: &str| json!({"receiver": receiver, "message": "Deposit", "scenario": "alert"});
    assert_eq!(app.post("/sms", &alert(AMERICAN)).await.status, 403);
    app.accepted(&alert(KENYAN)).await;
}

#[tokio::test]
async fn forged_and_unreadable_callbacks_change_nothing() {
    let app = app().await;
    write(&app, AMERICAN, TWILIO_PHONE_NUMBER, "Habari").await;
    let good = app.public.received()[0].clone();
    let mut unsigned = good.clone();
    unsigned.headers.remove("x-twilio-signature");
    let changed = testkit::endpoint::Received { body: "Body=STOP".into(), ..good };
    for forged in [unsigned, changed] {
        assert_eq!(app.pass_on(&forged).await.status, 403);
    }
    for (path, status) in [
        ("incoming/wrong-secret-wrong-secret".to_owned(), 403),
        (format!("incoming/{CALLBACK_SECRET}"), 400),
        (format!("opt-out/{CALLBACK_SECRET}"), 400),
    ] {
        let request = app.anonymous(Method::POST, &format!("/webhooks/africastalking/{path}"));
        assert_eq!(request.body("text=STOP").send().await.status, status, "{path}");
    }
    assert_eq!(inbound(&app).await.len(), 1);
}

#[tokio::test]
async fn key_that_may_not_read_sees_what_is_its_own_with_masked_numbers() {
    let app = TestApp::start().await;
    let secret = app.key(&[Scope::Send]).await;
    let keys = app.gateway.store.keys().await.unwrap();
    let id = keys.iter().find(|key| key.scopes == ["sms:send"]).unwrap().id.to_string();
    let rules = format!(r#"[{{word = "LOAN", caller = "{id}"}}]"#);
    let app = app.restart_with("TUMA_INBOUND__RULES", &rules).await;
    app.sim.set_callback_urls(CallbackUrls {
        twilio_incoming: Some(app.public.url("/webhooks/twilio/incoming")),
        ..CallbackUrls::default()
    });
    write(&app, AMERICAN, TWILIO_PHONE_NUMBER, "loan 500").await;
    write(&app, AMERICAN, TWILIO_PHONE_NUMBER, "Habari").await;
    assert_eq!(inbound(&app).await.len(), 2);
    let seen = app.anonymous(Method::GET, "/inbound").key(&secret).send().await.json();
    let seen = seen["messages"].as_array().unwrap();
    assert_eq!((seen.len(), &seen[0]["message"], &seen[0]["word"]), (1, &json!("loan 500"), &json!("LOAN")));
    assert!(text(&seen[0]["from"]).contains("****"), "{seen:?}");
}

#[tokio::test]
async fn answer_to_a_prompt_counts_for_it_and_a_yes_to_nothing_is_passed_on() {
    let app = app().await;
    write(&app, AMERICAN, TWILIO_PHONE_NUMBER, "Yes").await;
    let prompts = app.key(&[Scope::Prompts, Scope::Read]).await;
    let body = json!({"kind": "invite", "receivers": [AMERICAN], "reference": "INV-7", "policy": "any",
        "message": "Join Umoja? Reply YES INV-7 or NO INV-7."});
    let opened = app.anonymous(Method::POST, "/prompts").key(&prompts).json(&body).send().await;
    assert_eq!(opened.status, 202, "{}", opened.text);
    let path = format!("/prompts/{}", text(&opened.json()["id"]));
    app.shown_when(&text(&opened.json()["receivers"][0]["message_id"]), "sent").await;
    write(&app, AMERICAN, TWILIO_PHONE_NUMBER, "ndio 👍").await;
    let shown = app.anonymous(Method::GET, &path).key(&prompts).send().await.json();
    assert_eq!((&shown["status"], &shown["outcome"]), (&json!("closed"), &json!("approved")), "{shown}");
    let handled: Vec<_> = inbound(&app).await.iter().map(|it| text(&it["handling"])).collect();
    assert_eq!(handled, ["answered", "passed_on"]);
}
