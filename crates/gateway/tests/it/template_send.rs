//! Messages that are made of a template.

use domain::audit::{Act, Actor};
use domain::encoding::Encoding;
use domain::message::MessageStatus;
use domain::scenario::Scenario;
use domain::template::{Definition, Variables};
use domain::time::Clock as _;
use gateway::request::{Content, Own};
use gateway::{BulkRequest, SendError, SendRequest, Verdict};
use serde_json::{Value, json};

use crate::bench::{AMERICAN, Bench, KENYAN, caller, request, seconds, text, wrong_fields};

fn variables(values: Value) -> Variables {
    serde_json::from_value(values).unwrap()
}

fn of(template: &str, values: Value) -> Content {
    Content { template: Some(template.into()), variables: variables(values), ..Content::default() }
}

fn in_swahili(content: Content) -> Content {
    Content { locale: Some("sw-KE".into()), ..content }
}

fn definition(json: Value) -> Definition {
    serde_json::from_value(json).unwrap()
}

async fn publish(bench: &Bench, name: &str, json: Value) -> u32 {
    let act = Act { by: Actor::Operator, at: bench.clock.now() };
    let (version, report) = bench.service.draft_template(name, &definition(json), act.clone()).await.unwrap();
    assert!(!report.has_errors());
    assert_eq!(bench.service.publish_template(name, Some(version), act).await, Ok(Some(version)));
    version
}

#[tokio::test]
async fn receiver_gets_the_text_of_its_language_and_the_message_says_what_it_was_made_of() {
    let bench = Bench::start().await;
    let sent = bench.try_send(KENYAN, in_swahili(of("otp", json!({ "code": "482913" })))).await.unwrap();
    assert_eq!((sent.scenario, sent.encoding, sent.segments), (Scenario::Otp, Encoding::Gsm7, 1));
    bench.stands(sent.id, MessageStatus::Sent).await;
    let taken = bench.sim.ledger().to(KENYAN);
    assert!(taken[0].body.starts_with("Nambari yako ni 482913."), "{}", taken[0].body);
    let template = bench.show(sent.id).await.summary.message.template.unwrap();
    assert_eq!(template.to_string(), "otp@0/sw/0");
}

#[tokio::test]
async fn every_wrong_variable_is_named_and_nothing_is_stored() {
    let bench = Bench::start().await;
    let values = json!({ "code": "12", "minutes": 0, "name": "Wanjiku" });
    let refused = bench.try_send(KENYAN, of("otp", values)).await;
    let expected = [
        ("/variables/name", "unknown_variable"),
        ("/variables/code", "invalid_code"),
        ("/variables/minutes", "out_of_bounds"),
    ];
    assert_eq!(wrong_fields(refused), expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    for (content, pointer, code) in [
        (of("nobody", json!({})), "/template", "unknown_template"),
        (
            Content { message: "Habari".into(), ..of("otp", json!({ "code": "482913" })) },
            "/template",
            "message_or_template",
        ),
        (
            Content { template: None, message: "Habari".into(), ..of("", json!({ "a": 1 })) },
            "/variables",
            "without_template",
        ),
        (Content { locale: Some("sw".into()), ..text("Habari") }, "/locale", "without_template"),
        (
            Content { locale: Some("Kiswahili".into()), ..of("otp", json!({ "code": "482913" })) },
            "/locale",
            "invalid_locale",
        ),
        (Content::default(), "/message", "required"),
    ] {
        let refused = wrong_fields(bench.try_send(KENYAN, content).await);
        assert_eq!(refused, [(pointer.to_owned(), code)]);
    }
    assert_eq!(bench.count().await, 0);
}

#[tokio::test]
async fn each_receiver_of_a_bulk_has_values_and_a_language_of_its_own() {
    let bench = Bench::start().await;
    let own = |inviter: &str, locale: Option<&str>| Own {
        variables: variables(json!({ "inviter": inviter })),
        locale: locale.map(Into::into),
    };
    let ask = BulkRequest {
        receivers: vec![KENYAN.into(), AMERICAN.into(), "+254712345001".into()],
        own: vec![own("Wanjiku", Some("sw")), own("Otieno", None), own(&"a".repeat(31), None)],
        content: of("chama_invite", json!({ "chama": "Umoja", "inviter": "nobody" })),
        idempotency_key: Some("k".into()),
    };
    let answer = bench.service.send_bulk_sms(caller(), ask.clone()).await.unwrap();
    let [Verdict::Accepted(swahili), Verdict::Accepted(english), Verdict::Rejected { code, detail }] =
        &answer.verdicts[..]
    else {
        panic!("{:?}", answer.verdicts)
    };
    assert_eq!(code, "too_long");
    assert_eq!(detail, "the variable inviter has 31 characters, 30 are allowed");
    bench.taken(2).await;
    let body = |receiver: &str| bench.sim.ledger().to(receiver)[0].body.clone();
    assert_eq!(
        body(KENYAN),
        "Wanjiku anakualika kujiunga na chama Umoja. Jibu NDIO kujiunga au HAPANA kukataa."
    );
    assert_eq!(
        body(AMERICAN),
        "Otieno invites you to join the chama Umoja. Reply YES to join or NO to decline."
    );
    assert_eq!(bench.show(swahili.id).await.summary.message.template.unwrap().locale.as_str(), "sw");
    assert_eq!(bench.show(english.id).await.summary.message.template.unwrap().locale.as_str(), "en");
    // The same request gets the same answer; with another value it is another one.
    assert_eq!(bench.service.send_bulk_sms(caller(), ask.clone()).await.unwrap(), answer);
    let mut other = ask;
    other.own[1] = own("Akinyi", None);
    assert_eq!(bench.service.send_bulk_sms(caller(), other).await, Err(SendError::KeyReused));
}

#[tokio::test]
async fn published_version_goes_before_the_built_in_one_until_it_is_deleted() {
    let bench = Bench::start().await;
    let code = || of("otp", json!({ "code": "482913" }));
    let own = json!({
        "scenario": "otp",
        "variables": { "code": { "type": "code", "length": 6 } },
        "locales": { "en": "Chama code {{ code }}" },
    });
    assert_eq!(publish(&bench, "otp", own).await, 1);
    let sent = bench.try_send(KENYAN, code()).await.unwrap();
    assert_eq!(bench.show(sent.id).await.summary.message.body.expose(), "Chama code 482913");
    assert_eq!(bench.show(sent.id).await.summary.message.template.unwrap().version, 1);
    // A draft changes nothing, and what was published is there after a restart.
    let draft = definition(json!({ "locales": { "en": "No code" } }));
    let act = Act { by: Actor::Operator, at: bench.clock.now() };
    bench.service.draft_template("otp", &draft, act.clone()).await.unwrap();
    let bench = bench.restart().await;
    let sent = bench.try_send(AMERICAN, code()).await.unwrap();
    assert_eq!(bench.show(sent.id).await.summary.message.template.unwrap().version, 1);
    assert_eq!(bench.service.delete_template("otp", act).await, Ok(true));
    bench.clock.advance(seconds(60));
    let sent = bench.try_send(KENYAN, code()).await.unwrap();
    assert_eq!(bench.show(sent.id).await.summary.message.template.unwrap().version, 0);
}

#[tokio::test]
async fn request_that_is_repeated_gets_the_variant_of_the_first_one() {
    let bench = Bench::start().await;
    let texts = json!({ "locales": { "en": [{ "text": "a" }, { "text": "b" }] } });
    publish(&bench, "ab", texts).await;
    let mut seen = [0; 2];
    for n in 0..40 {
        let key = format!("k{n}");
        let ask =
            || SendRequest { idempotency_key: Some(key.clone()), ..request(KENYAN, of("ab", json!({}))) };
        let first = bench.service.send_sms(caller(), ask()).await.unwrap();
        assert_eq!(bench.service.send_sms(caller(), ask()).await.unwrap().id, first.id);
        let message = bench.show(first.id).await.summary.message;
        let variant = message.template.unwrap().variant;
        assert_eq!(message.body.expose(), ["a", "b"][variant]);
        seen[variant] += 1;
    }
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
}

#[tokio::test]
async fn content_rules_hold_for_what_a_template_makes() {
    let bench = Bench::start().await;
    let texts = json!({
        "variables": { "note": { "type": "text", "max_length": 40 } },
        "locales": { "en": "Note: {{ note }}" },
    });
    publish(&bench, "note", texts).await;
    let refused = bench.try_send(KENYAN, of("note", json!({ "note": "your PIN 4821" }))).await;
    assert_eq!(wrong_fields(refused), [("/template".to_owned(), "sensitive_content")]);
}
