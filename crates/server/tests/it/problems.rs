//! Errors as callers see them: stable codes, all of them documented.

use std::collections::{BTreeMap, BTreeSet};

use domain::consent::{Extent, Source};
use domain::content::ContentRules;
use domain::ids::DecisionId;
use domain::phone::{PhoneError, SenderId};
use domain::prompt::Kind;
use domain::reply::Reference;
use domain::scenario::Scenario;
use domain::template::{Alphabet, AmountError, LocaleError, VariableProblem};
use domain::verification::CodeLength;
use gateway::allowed::NotAllowed;
use gateway::limits::{Allows, LimitBy, LimitRule};
use gateway::request::{FieldProblem, OptedOut, Reached};
use reqwest::Method;
use serde_json::{Value, json};
use server::http::problem::Code;
use store::port::consent::HeldBack;
use testkit::sim::{Fault, FaultRule};
use testkit::wait::LONG;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::{AMERICAN, KENYAN, TestApp};
use crate::http::Answer;

const API: &str = include_str!("../../../../docs/api.md");

/// Field codes that only HTTP knows.
const OF_HTTP: &[&str] = &[
    "invalid_code",
    "unknown_field",
    "duplicate_field",
    "wrong_type",
    "unknown_status",
    "unknown_provider",
    "invalid_cursor",
    "unknown_parameter",
    "template_mistake",
    "unknown_scope",
    "unknown_country",
    "unknown_event",
    "invalid_url",
    "invalid_name",
];

/// The headings of the third level below one of the second.
fn headings(section: &str) -> BTreeSet<&'static str> {
    let after = API.split_once(&format!("\n## {section}\n")).map_or("", |(_, after)| after);
    let within = after.split_once("\n## ").map_or(after, |(within, _)| within);
    within.lines().filter_map(|line| line.strip_prefix("### ")).collect()
}

/// What can be wrong with a variable.
fn variable_problems() -> Vec<VariableProblem> {
    let all = vec![
        VariableProblem::Unknown,
        VariableProblem::Missing,
        VariableProblem::WrongType { expected: "a text" },
        VariableProblem::TooLong { found: 31, max: 30 },
        VariableProblem::TooShort { found: 0, min: 1 },
        VariableProblem::LineBreak { position: 6 },
        VariableProblem::Character { character: 'ĩ', position: 3, alphabet: Alphabet::Basic },
        VariableProblem::LooseMark,
        VariableProblem::TooManyMarks,
        VariableProblem::OutOfBounds { min: "1".into(), max: "9".into() },
        VariableProblem::Amount(AmountError::Decimals),
        VariableProblem::NotWhole,
        VariableProblem::Code { min: 6, max: 6 },
        VariableProblem::Phone(PhoneError::TooShort),
        VariableProblem::NotAChoice,
    ];
    for problem in &all {
        match problem {
            VariableProblem::Unknown
            | VariableProblem::Missing
            | VariableProblem::WrongType { .. }
            | VariableProblem::TooLong { .. }
            | VariableProblem::TooShort { .. }
            | VariableProblem::LineBreak { .. }
            | VariableProblem::Character { .. }
            | VariableProblem::LooseMark
            | VariableProblem::TooManyMarks
            | VariableProblem::OutOfBounds { .. }
            | VariableProblem::Amount(_)
            | VariableProblem::NotWhole
            | VariableProblem::Code { .. }
            | VariableProblem::Phone(_)
            | VariableProblem::NotAChoice => {}
        }
    }
    all
}

/// Does not compile when there is another problem: add it to the list above, too.
fn is_listed(problem: &FieldProblem) {
    match problem {
        FieldProblem::Missing
        | FieldProblem::Receiver(_)
        | FieldProblem::CountryNotAllowed
        | FieldProblem::GuardRefused { .. }
        | FieldProblem::DuplicateReceiver
        | FieldProblem::ReceiverCount { .. }
        | FieldProblem::EmptyMessage
        | FieldProblem::NulCharacter
        | FieldProblem::MessageOrTemplate
        | FieldProblem::UnknownTemplate
        | FieldProblem::WithoutTemplate
        | FieldProblem::Locale(_)
        | FieldProblem::Variable { .. }
        | FieldProblem::MessageTooLong { .. }
        | FieldProblem::TooManySegments { .. }
        | FieldProblem::SensitiveContent { .. }
        | FieldProblem::UnknownScenario(_)
        | FieldProblem::Sender(_)
        | FieldProblem::TooLong { .. }
        | FieldProblem::Metadata { .. }
        | FieldProblem::TooFarAhead { .. }
        | FieldProblem::ExpiresTooSoon
        | FieldProblem::RepeatedMessage
        | FieldProblem::Limited(_)
        | FieldProblem::OptedOut(_)
        | FieldProblem::NoProvider
        | FieldProblem::UnknownKind(_)
        | FieldProblem::Reference(_)
        | FieldProblem::ReferenceWithoutDigit
        | FieldProblem::ReferenceNotShown
        | FieldProblem::ReferenceTaken
        | FieldProblem::PolicyBeyondReceivers { .. }
        | FieldProblem::ClosesAt { .. }
        | FieldProblem::TooManyReminders { .. }
        | FieldProblem::ReminderOutside
        | FieldProblem::CodeLength(_)
        | FieldProblem::Ttl { .. }
        | FieldProblem::WebOtpDomain
        | FieldProblem::NotAllowed(NotAllowed::Scenario | NotAllowed::Country | NotAllowed::Sender) => {}
    }
}

/// Those of prompts.
fn prompt_problems() -> Vec<FieldProblem> {
    vec![
        FieldProblem::UnknownKind("vote".parse::<Kind>().unwrap_err()),
        FieldProblem::Reference("".parse::<Reference>().unwrap_err()),
        FieldProblem::ReferenceWithoutDigit,
        FieldProblem::ReferenceNotShown,
        FieldProblem::ReferenceTaken,
        FieldProblem::PolicyBeyondReceivers { asked: 2 },
        FieldProblem::ClosesAt { days: 30 },
        FieldProblem::TooManyReminders { max: 5 },
        FieldProblem::ReminderOutside,
    ]
}

/// Those of one-time codes, and of times.
fn of_codes() -> [FieldProblem; 4] {
    [
        FieldProblem::CodeLength(CodeLength::try_from(3).unwrap_err()),
        FieldProblem::Ttl { least: 30, most: 3_600 },
        FieldProblem::WebOtpDomain,
        FieldProblem::TooFarAhead { days: 35 },
    ]
}

/// One of each.
fn field_problems() -> Vec<FieldProblem> {
    let unknown = "marketing".parse::<Scenario>().unwrap_err();
    let rule = ContentRules::default().broken_by("PIN 4821", Scenario::General).unwrap().clone();
    let limit = std::sync::Arc::new(LimitRule {
        name: "hourly".into(),
        scenarios: Vec::new(),
        countries: Vec::new(),
        by: LimitBy::All,
        allows: Allows::Messages { limit: 1, period: std::time::Duration::from_hours(1) },
    });
    let held_back = HeldBack {
        sender: None,
        extent: Extent::All,
        source: Source::Keyword,
        since: domain::time::Timestamp::from_micros(0),
    };
    let mut all = vec![
        FieldProblem::Missing,
        FieldProblem::Receiver(PhoneError::TooShort),
        FieldProblem::CountryNotAllowed,
        FieldProblem::GuardRefused { decision: DecisionId::from_bytes([0; 16]) },
        FieldProblem::DuplicateReceiver,
        FieldProblem::ReceiverCount { found: 101, max: 100 },
        FieldProblem::EmptyMessage,
        FieldProblem::NulCharacter,
        FieldProblem::MessageOrTemplate,
        FieldProblem::UnknownTemplate,
        FieldProblem::WithoutTemplate,
        FieldProblem::Locale(LocaleError),
        FieldProblem::MessageTooLong { found: 161, max: 160 },
        FieldProblem::TooManySegments { found: 11, max: 10 },
        FieldProblem::SensitiveContent { rule },
        FieldProblem::UnknownScenario(unknown),
        FieldProblem::Sender("".parse::<SenderId>().unwrap_err()),
        FieldProblem::TooLong { max: 128 },
        FieldProblem::Metadata { max: 20 },
        FieldProblem::ExpiresTooSoon,
        FieldProblem::RepeatedMessage,
        FieldProblem::Limited(Reached { limit, again_in: std::time::Duration::from_secs(1) }),
        FieldProblem::OptedOut(OptedOut(held_back)),
        FieldProblem::NoProvider,
        FieldProblem::NotAllowed(NotAllowed::Scenario),
        FieldProblem::NotAllowed(NotAllowed::Country),
        FieldProblem::NotAllowed(NotAllowed::Sender),
    ];
    all.extend(prompt_problems());
    all.extend(of_codes());
    all.iter().for_each(is_listed);
    all
}

#[test]
fn every_problem_code_has_a_heading_in_the_documentation_and_no_other_heading_is_there() {
    let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(headings("Problem codes"), codes);
}

#[test]
fn every_field_code_has_a_heading_in_the_documentation_and_no_other_heading_is_there() {
    let problems = field_problems();
    // These are problems of their own as well, and described there.
    let described = ["no_provider", "repeated_message", "guard_refused", "rate_limited", "opted_out"];
    let of_variables = variable_problems();
    let of_variables = of_variables.iter().map(VariableProblem::code);
    let codes = problems.iter().map(FieldProblem::code).chain(of_variables).chain(OF_HTTP.iter().copied());
    let codes: BTreeSet<_> = codes.filter(|code| !described.contains(code)).collect();
    assert_eq!(headings("Field codes"), codes);
}

#[test]
fn the_documentation_names_the_http_status_of_each_code() {
    for code in Code::ALL {
        let section = API.split_once(&format!("\n### {}\n\n", code.as_str())).map_or("", |(_, after)| after);
        assert!(section.starts_with(code.status().as_str()), "{}: {section:.40}", code.as_str());
    }
}

/// A gateway that comes near all problems.
async fn app() -> TestApp {
    TestApp::setup()
        .set("TUMA_HTTP__MAX_BODY_BYTES", "1024")
        .set("TUMA_HTTP__REQUEST_TIMEOUT_MS", "20000")
        .start()
        .await
}

#[tokio::test]
async fn problem_bodies_are_stable() {
    let app = app().await;
    let message = json!({"receiver": KENYAN, "message": "Habari"});
    let post = |body: &str| app.request(Method::POST, "/sms").body(body.to_owned()).send();
    let send = || app.request(Method::POST, "/sms").json(&message);
    let list_without = app.anonymous(Method::GET, "/sms");
    let reader = app.key(&[server::keys::Scope::Read]).await;
    let callback = |path: &str, body: &'static str| app.anonymous(Method::POST, path).body(body).send();
    assert_eq!(send().header("idempotency-key", "k").send().await.status, 202);
    let other = json!({"receiver": AMERICAN, "message": "Habari"});
    let reused = app.request(Method::POST, "/sms").json(&other).header("idempotency-key", "k");
    let secret = format!("/webhooks/africastalking/status/{}", crate::app::CALLBACK_SECRET);

    let mut answers = vec![
        post("{\"receiver\": ").await,
        app.request(Method::POST, "/sms").header("content-type", "text/plain").body("Habari").send().await,
        send().header("prefer", "wait=soon").send().await,
        post(r#"{"receiver": "12345", "colour": "red"}"#).await,
        app.post("/sms", &json!({"receiver": "12345", "message": ""})).await,
        app.get("/sms?limit=0&colour=red").await,
        app.post("/sms/bulk", &json!({"receivers": ["12345"], "message": "Habari"})).await,
        reused.send().await,
        list_without.send().await,
        app.anonymous(Method::POST, "/sms").key(&reader).json(&message).send().await,
        callback("/webhooks/twilio/status", "MessageSid=SM1").await,
        callback(&secret, "id=1").await,
        callback("/webhooks/pigeon/status", "").await,
        app.get("/nowhere").await,
        app.get("/sms/msg_01a208af715074abb7716fc49cb931c7").await,
        app.request(Method::DELETE, "/sms").send().await,
        post(&format!("{{\"message\": \"{}\"}}", "x".repeat(2_000))).await,
    ];
    app.gateway.store.close().await;
    answers.push(send().send().await);
    answers.push(app.anonymous(Method::GET, "/health/ready").send().await);
    insta::assert_json_snapshot!(bodies(&answers));
}

/// Bodies by code and title, in the order in which they came.
fn bodies(answers: &[Answer]) -> BTreeMap<String, Vec<Value>> {
    let mut bodies: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for answer in answers {
        bodies.entry(answer.problem()).or_default().push(answer.json());
    }
    bodies
}

#[tokio::test]
async fn no_provider_is_a_problem_of_its_own() {
    let app = TestApp::setup().set("TWILIO_ACCOUNT_SID", "").start().await;
    let answer = app.post("/sms", &json!({"receiver": AMERICAN, "message": "Habari"})).await;
    insta::assert_json_snapshot!(answer.json());
}

#[tokio::test]
async fn a_request_whose_body_does_not_end_is_answered_503_and_told_how_to_repeat_it() {
    let app = TestApp::setup().set("TUMA_HTTP__REQUEST_TIMEOUT_MS", "100").start().await;
    let mut connection = TcpStream::connect(app.gateway.address).await.unwrap();
    let head = format!(
        "POST /sms HTTP/1.1\r\nhost: tuma\r\nx-api-key: {}\r\ncontent-length: 500\r\n\r\n{{\"receiver\"",
        app.key
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LONG, connection.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("\r\nretry-after: "), "{head}");
    insta::assert_json_snapshot!(serde_json::from_str::<Value>(body).unwrap());
}

#[tokio::test]
async fn a_wait_that_was_asked_for_does_not_count_as_too_long() {
    let app = TestApp::setup().set("TUMA_HTTP__REQUEST_TIMEOUT_MS", "300").start().await;
    app.sim.inject(FaultRule::next(1, Fault::Slow { ms: 600 })).unwrap();
    let message = json!({"receiver": KENYAN, "message": "Habari"});
    let request = app.request(Method::POST, "/sms").json(&message).header("prefer", "wait=20");
    assert_eq!(request.send().await.status, 200);
}

#[tokio::test]
async fn a_method_that_is_not_there_is_answered_with_those_that_are() {
    let app = TestApp::start().await;
    let answer = app.request(Method::DELETE, "/sms").send().await;
    assert_eq!(answer.status, 405);
    let allowed: BTreeSet<_> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed:?}");
}

#[tokio::test]
async fn the_store_says_503_with_retry_after_when_it_can_not_be_used() {
    let app = TestApp::start().await;
    let message = json!({"receiver": KENYAN, "message": "Habari"});
    let bulk = json!({"receivers": [KENYAN], "message": "Habari"});
    let id = app.send(&message).await;
    app.gateway.store.close().await;
    let answers = [
        app.post("/sms", &message).await,
        app.post("/sms/bulk", &bulk).await,
        app.get("/sms").await,
        app.get(&format!("/sms/{id}")).await,
    ];
    for answer in answers {
        assert_eq!((answer.status, answer.problem().as_str()), (503, "store_unavailable"), "{}", answer.text);
    }
}
