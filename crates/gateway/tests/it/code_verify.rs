//! One-time codes: what is sent, what counts for it, when it ends, and what routes learn of it.

use std::time::Duration;

use domain::audit::Actor;
use domain::conversion::Conversion;
use domain::guard::{Mode, Reason, Rule};
use domain::message::MessageStatus;
use domain::verification::{Code, Examined, VerificationStatus};
use gateway::again::MoveError;
use gateway::explain::Way;
use gateway::limits::{Allows, LimitBy, LimitRule};
use gateway::request::Content;
use gateway::settings::Settings;
use gateway::verify::{BegunVerification, VerificationRequest};
use gateway::{SendError, SendRequest};
use store::port::guard::DecisionFilter;
use store::port::verifications::Seen;
use testkit::sim::{Fault, FaultRule, Provider};
use testkit::wait::{LONG, wait_for};

use crate::bench::{Bench, KENYAN, caller, request, seconds, text, wrong_fields};

fn to(receiver: &str) -> VerificationRequest {
    VerificationRequest { receiver: receiver.into(), ..VerificationRequest::default() }
}

impl Bench {
    async fn try_verify(&self, request: VerificationRequest) -> Result<BegunVerification, SendError> {
        self.service.begin_verification(caller(), request).await
    }

    /// Begins a verification, and waits until the network has its code, which it answers too.
    async fn verify(&self, receiver: &str) -> (BegunVerification, String) {
        let begun = self.try_verify(to(receiver)).await.unwrap();
        let code = self.code_of(receiver, &begun).await;
        (begun, code)
    }

    async fn code_of(&self, receiver: &str, begun: &BegunVerification) -> String {
        self.stands(begun.message_id, MessageStatus::Sent).await;
        digits(&self.sim.ledger().to(receiver).last().unwrap().body)
    }

    async fn check(&self, begun: &BegunVerification, code: &str) -> Seen {
        let code = Code::read(code).unwrap();
        let key = caller().key;
        let seen = self.service.check_code(begun.id, code, Some(key), Actor::Key(key)).await.unwrap();
        seen.unwrap()
    }

    async fn verification_status(&self, begun: &BegunVerification) -> VerificationStatus {
        self.service.verification(begun.id, None).await.unwrap().unwrap().progress.status
    }
}

/// The first run of digits that is as long as a code.
fn digits(text: &str) -> String {
    let runs = text.split(|letter: char| !letter.is_ascii_digit());
    runs.into_iter().find(|run| run.len() >= 4).unwrap().to_owned()
}

/// Another code of the same length.
fn other(code: &str) -> String {
    let last = code.bytes().last().unwrap();
    format!("{}{}", code.get(..code.len() - 1).unwrap(), if last == b'0' { '1' } else { '0' })
}

#[tokio::test]
async fn a_code_is_sent_as_a_code_and_is_right_once() {
    let bench = Bench::start().await;
    let (begun, code) = bench.verify(KENYAN).await;
    assert_eq!(code.len(), 6);
    assert_eq!(begun.id.message(), begun.message_id);
    let message = bench.show(begun.message_id).await.summary.message;
    assert_eq!(message.scenario.as_str(), "otp");
    assert_eq!(message.expires_at, Some(begun.expires_at));
    assert_eq!(begun.expires_at.since(message.created_at), Duration::from_mins(10));
    let wrong = bench.check(&begun, &other(&code)).await;
    assert_eq!((wrong.examined, wrong.verification.progress.checks_left), (Examined::Wrong, 4));
    assert_eq!(bench.check(&begun, &code).await.examined, Examined::Right);
    assert_eq!(bench.check(&begun, &code).await.examined, Examined::Not);
}

#[tokio::test]
async fn a_second_request_ends_the_first_code_and_sends_another_one() {
    let bench = Bench::start().await;
    let (first, old) = bench.verify(KENYAN).await;
    bench.clock.advance(seconds(30));
    let second = bench.try_verify(to("0712 345 678")).await.unwrap();
    let new = bench.code_of(KENYAN, &second).await;
    assert_eq!(bench.verification_status(&first).await, VerificationStatus::Superseded);
    assert_eq!(bench.check(&first, &old).await.examined, Examined::Not);
    if old != new {
        assert_eq!(bench.check(&second, &old).await.examined, Examined::Wrong);
    }
    assert_eq!(bench.check(&second, &new).await.examined, Examined::Right);
}

#[tokio::test]
async fn a_code_that_has_ended_is_not_sent_when_the_networks_answer_again() {
    let bench = Bench::start().await;
    let down = || FaultRule::next(1, Fault::TooManyRequests { retry_after_s: Some(30) });
    bench.sim.inject(down()).unwrap();
    bench.sim.inject(down()).unwrap();
    let first = bench.try_verify(to(KENYAN)).await.unwrap();
    bench.tried(first.message_id, 2).await;
    let second = bench.try_verify(to(KENYAN)).await.unwrap();
    bench.stands(first.message_id, MessageStatus::Canceled).await;
    bench.comes_to(second.message_id, MessageStatus::Sent).await;
    assert_eq!(bench.sim.ledger().to(KENYAN).len(), 1, "one is paid for");
    assert_eq!(bench.status(first.message_id).await, MessageStatus::Canceled);
}

#[tokio::test]
async fn a_message_that_failed_is_sent_again_only_while_its_code_is_good() {
    // The simulated networks refuse it.
    let refused = "+254712000403";
    let bench = Bench::start().await;
    let first = bench.try_verify(to(refused)).await.unwrap();
    bench.stands(first.message_id, MessageStatus::Failed).await;
    assert!(bench.service.retry(first.message_id, Actor::Operator).await.is_ok());
    bench.stands(first.message_id, MessageStatus::Failed).await;
    let second = bench.try_verify(to(refused)).await.unwrap();
    bench.stands(second.message_id, MessageStatus::Failed).await;
    let of_first = bench.service.retry(first.message_id, Actor::Operator).await;
    assert_eq!(of_first, Err(MoveError::CodeEnded));
    bench.clock.advance(Duration::from_mins(10));
    let of_second = bench.service.retry(second.message_id, Actor::Operator).await;
    assert_eq!(of_second, Err(MoveError::CodeEnded), "its time is over");
}

#[tokio::test]
async fn where_the_settings_say_so_the_same_code_is_sent_again_as_long_as_it_is_good() {
    let same = |settings: &mut Settings| {
        settings.verifications.resend_same_code = true;
        settings.no_repeats_within = Some(Duration::from_hours(1));
    };
    let bench = Bench::setup().settings(same).start().await;
    let (first, code) = bench.verify(KENYAN).await;
    bench.check(&first, &other(&code)).await;
    bench.clock.advance(seconds(30));
    let (second, again) = bench.verify(KENYAN).await;
    assert_eq!(code, again);
    // What was guessed at stays guessed at.
    assert_eq!(bench.check(&second, &other(&code)).await.verification.progress.checks_left, 3);
    assert_eq!(bench.check(&second, &code).await.examined, Examined::Right);
    // One that was right is never sent again, and nor is one whose length is not asked for.
    let (third, next) = bench.verify(KENYAN).await;
    assert_eq!(bench.check(&third, &next).await.examined, Examined::Right);
    let (_, short) = bench.verify(KENYAN).await;
    let longer = bench.try_verify(VerificationRequest { length: Some(8), ..to(KENYAN) }).await.unwrap();
    let long = bench.code_of(KENYAN, &longer).await;
    assert_eq!((short.len(), long.len()), (6, 8));
}

#[tokio::test]
async fn each_code_counts_for_the_limit_also_one_that_is_sent_again() {
    let limit = LimitRule {
        name: "otp_per_receiver".into(),
        scenarios: vec![domain::scenario::Scenario::Otp],
        countries: Vec::new(),
        by: LimitBy::Receiver,
        allows: Allows::Messages { limit: 5, period: Duration::from_hours(1) },
    };
    for same in [false, true] {
        let limit = limit.clone();
        let settings = move |settings: &mut Settings| {
            settings.limits = vec![limit];
            settings.verifications.resend_same_code = same;
        };
        let bench = Bench::setup().settings(settings).start().await;
        let mut last = None;
        for _ in 0..5 {
            last = Some(bench.try_verify(to(KENYAN)).await.unwrap());
        }
        assert!(matches!(bench.try_verify(to(KENYAN)).await, Err(SendError::Limited(_))));
        // What was refused ended nothing.
        assert_eq!(bench.verification_status(&last.unwrap()).await, VerificationStatus::Pending);
    }
}

#[tokio::test]
async fn a_repeated_request_is_answered_the_same_and_makes_no_other_code() {
    let bench = Bench::start().await;
    let keyed = || VerificationRequest { idempotency_key: Some("login-1".into()), ..to(KENYAN) };
    let first = bench.try_verify(keyed()).await.unwrap();
    bench.clock.advance(seconds(40));
    let again = bench.try_verify(keyed()).await.unwrap();
    assert_eq!(
        (again.id, again.expires_at, again.message_id),
        (first.id, first.expires_at, first.message_id)
    );
    let code = bench.code_of(KENYAN, &first).await;
    assert_eq!(bench.sim.ledger().to(KENYAN).len(), 1);
    assert_eq!(bench.check(&first, &code).await.examined, Examined::Right);
    let longer = VerificationRequest { length: Some(8), ..keyed() };
    assert_eq!(bench.try_verify(longer).await, Err(SendError::KeyReused));
    let as_message = SendRequest { idempotency_key: keyed().idempotency_key, ..request_of(KENYAN) };
    assert_eq!(bench.service.send_sms(caller(), as_message).await, Err(SendError::KeyReused));
}

fn request_of(receiver: &str) -> SendRequest {
    let content = Content { scenario: Some("otp".into()), ..text("Habari") };
    SendRequest { receiver: receiver.into(), content, idempotency_key: None }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named_and_nothing_begins() {
    let bench = Bench::start().await;
    let wrong = VerificationRequest {
        ttl: Some(29),
        length: Some(3),
        web_otp_domain: Some("example.com #1".into()),
        ..to(KENYAN)
    };
    let expected =
        [("/length", "invalid_length"), ("/ttl", "invalid_ttl"), ("/web_otp_domain", "invalid_domain")];
    let found = wrong_fields(bench.try_verify(wrong).await);
    assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
    let long = VerificationRequest { ttl: Some(3_601), ..to(KENYAN) };
    assert_eq!(wrong_fields(bench.try_verify(long).await), [("/ttl".into(), "invalid_ttl")]);
    let nobody = wrong_fields(bench.try_verify(to("")).await);
    assert_eq!(nobody, [("/receiver".into(), "required")]);
    assert_eq!(bench.count().await, 0);
}

#[tokio::test]
async fn the_text_is_as_asked_for() {
    let bench = Bench::start().await;
    let asked = VerificationRequest {
        locale: Some("sw".into()),
        ttl: Some(120),
        length: Some(4),
        web_otp_domain: Some("example.com".into()),
        ..to(KENYAN)
    };
    let begun = bench.try_verify(asked).await.unwrap();
    let code = bench.code_of(KENYAN, &begun).await;
    assert_eq!(code.len(), 4);
    let body = bench.sim.ledger().to(KENYAN).pop().unwrap().body;
    assert!(body.starts_with("Nambari") && body.contains("dakika 2"), "{body}");
    assert!(body.ends_with(&format!("\n\n@example.com #{code}")), "{body}");
}

#[tokio::test]
async fn what_nobody_types_in_is_ended_when_its_time_has_passed() {
    let bench = Bench::start().await;
    let (begun, code) = bench.verify(KENYAN).await;
    bench.clock.advance(Duration::from_mins(10));
    // By the clock, before anybody has noted it.
    assert_eq!(bench.verification_status(&begun).await, VerificationStatus::Expired);
    let look = async || {
        bench.clock.advance(seconds(1));
        let found = bench.service.verification(begun.id, None).await.unwrap().unwrap();
        found.ended_at
    };
    wait_for(look, LONG).await.unwrap();
    assert_eq!(bench.check(&begun, &code).await.examined, Examined::Not);
}

#[tokio::test]
async fn codes_that_are_verified_let_the_guard_pass_more_of_them() {
    let strict = |settings: &mut Settings| {
        settings.guard.mode = Mode::Enforce;
        settings.guard.policy.least_unverified = 3;
        settings.guard.policy.growth = 2;
    };
    let numbers: Vec<String> = (0..8).map(|n| format!("+25471234567{n}")).collect();
    // Those who type their codes in are people.
    let bench = Bench::setup().settings(strict).start().await;
    for number in &numbers {
        let (begun, code) = bench.verify(number).await;
        assert_eq!(bench.check(&begun, &code).await.examined, Examined::Right);
    }
    // Where nobody does, it ends.
    let bench = Bench::setup().settings(strict).start().await;
    let mut refused = 0;
    for number in &numbers {
        refused +=
            usize::from(matches!(bench.try_verify(to(number)).await, Err(SendError::GuardRefused { .. })));
    }
    assert!(refused > 0);
    let look = async || {
        bench.clock.advance(Duration::from_millis(500));
        let filter = DecisionFilter { limit: 10, ..DecisionFilter::default() };
        let found = bench.service.guard_decisions(filter).await.unwrap();
        found.first().map(|decision| decision.reasons.clone())
    };
    let reasons: Vec<Reason> = wait_for(look, LONG).await.unwrap();
    assert!(reasons.iter().any(|reason| reason.rule == Rule::PrefixUnverified), "{reasons:?}");
}

#[tokio::test]
async fn a_route_whose_codes_nobody_types_in_stands_behind_the_other() {
    let bench = Bench::setup().settings(|it| it.verifications.conversion.at_least = 5).start().await;
    // A hundred codes make it known what is usual; after an hour they are no news any more.
    for n in 0..100 {
        bench.clock.advance(seconds(1));
        let (begun, code) = bench.verify(&format!("+2547123{n:05}")).await;
        assert_eq!(bench.check(&begun, &code).await.examined, Examined::Right);
    }
    bench.clock.advance(Duration::from_mins(90));
    for n in 0..5 {
        bench.verify(&format!("+2547124{n:05}")).await;
    }
    bench.clock.advance(Duration::from_mins(11));
    let lags = async || {
        bench.clock.advance(seconds(1));
        let providers = bench.service.providers().await.unwrap();
        let routes =
            providers.iter().flat_map(|it| it.conversions.iter().map(|route| (it.name.clone(), *route)));
        routes.into_iter().find(|(_, route)| route.lags)
    };
    let (name, route) = wait_for(lags, LONG).await.unwrap();
    assert_eq!((name.as_str(), route.country.as_str()), ("africastalking", "KE"));
    assert_eq!(route.lately, Conversion { sent: 5, verified: 0 });
    let order = async |request: SendRequest| {
        let explained = bench.service.explain(&caller(), &request, Way::Alone).await.unwrap();
        explained.routes.into_iter().map(|route| route.provider.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(order(request_of(KENYAN)).await, ["twilio", "africastalking"]);
    // Of other messages nobody types anything in.
    assert_eq!(order(request(KENYAN, text("Habari"))).await, ["africastalking", "twilio"]);
    bench.verify(KENYAN).await;
    assert_eq!(bench.sim.ledger().by(Provider::Twilio).len(), 1);
    // When the hour is over, it is tried again.
    bench.clock.advance(Duration::from_mins(61));
    let is_tried = async || {
        bench.clock.advance(seconds(1));
        (order(request_of(KENYAN)).await == ["africastalking", "twilio"]).then_some(())
    };
    wait_for(is_tried, LONG).await.unwrap();
}
