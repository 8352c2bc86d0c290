//! The guard against SMS pumping: where messages may go, what it counts and decides, and what it refuses.

use std::time::Duration;

use domain::audit::Actor;
use domain::guard::{AllowedCountries, Limits, Mode, Policy, Rule};
use domain::ids::DecisionId;
use gateway::limits::{Allows, LimitBy, LimitRule};
use gateway::request::Content;
use gateway::settings::Settings;
use gateway::{SendError, SendRequest, Verdict};
use store::port::guard::{Decision, DecisionFilter};
use testkit::wait::{LONG, wait_for};

use crate::bench::{AMERICAN, Bench, KENYAN, caller, kenyans, request, seconds, text, wrong_fields};

fn code(body: &str) -> Content {
    Content { scenario: Some("otp".into()), ..text(body) }
}

/// Three codes within a minute to one block of numbers.
fn three_a_minute(mode: Mode) -> impl Fn(&mut Settings) {
    move |settings| {
        settings.guard.mode = mode;
        let prefix = Limits { per_minute: 3, per_hour: 0, per_day: 0 };
        settings.guard.policy = Policy { prefix, ..Policy::default() };
    }
}

fn only(countries: &[&str]) -> impl Fn(&mut Settings) {
    let countries = AllowedCountries::these(countries.iter().map(|code| code.parse().unwrap()));
    move |settings| settings.guard.countries = countries.clone()
}

impl Bench {
    /// Sends a code that is refused; gives the decision.
    async fn refused(&self, receiver: &str) -> DecisionId {
        match self.try_send(receiver, code("Your code is 1")).await {
            Err(SendError::GuardRefused { decision }) => decision,
            other => panic!("not refused by the guard: {other:?}"),
        }
    }

    /// Lets the guard hand over what it counted, until the decisions are as `is` wants them.
    async fn decisions(&self, is: impl Fn(&[Decision]) -> bool) -> Vec<Decision> {
        let filter = DecisionFilter { limit: 100, ..DecisionFilter::default() };
        let look = async || {
            self.clock.advance(Duration::from_millis(500));
            let found = self.service.guard_decisions(filter.clone()).await.unwrap();
            is(&found).then_some(found)
        };
        wait_for(look, LONG).await.unwrap()
    }
}

#[tokio::test]
async fn a_message_to_a_country_that_is_not_allowed_is_refused_and_not_stored() {
    let bench = Bench::setup().settings(only(&["KE"])).start().await;
    let refused = bench.try_send(AMERICAN, text("Habari")).await;
    assert_eq!(wrong_fields(refused), [("/receiver".into(), "country_not_allowed")]);
    assert_eq!(bench.count().await, 0);
    bench.send(KENYAN).await;
}

#[tokio::test]
async fn receivers_in_a_country_that_is_not_allowed_are_refused_one_by_one() {
    let bench = Bench::setup().settings(only(&["KE"])).start().await;
    let receivers = [KENYAN.to_owned(), AMERICAN.to_owned()];
    let answer = bench.try_bulk(&receivers, text("Karibu")).await.unwrap();
    assert!(matches!(&answer.verdicts[0], Verdict::Accepted(_)));
    assert!(matches!(&answer.verdicts[1], Verdict::Rejected { code, .. } if code == "country_not_allowed"));
    let refused = bench.try_bulk(&receivers[1..], text("Karibu")).await;
    assert_eq!(wrong_fields(refused), [("/receivers/0".into(), "country_not_allowed")]);
}

#[tokio::test]
async fn a_country_that_a_route_names_or_that_is_the_default_is_allowed() {
    let bench = Bench::setup()
        .settings(only(&[]))
        .settings(|settings| {
            settings.default_region = "TZ".parse().unwrap();
            settings.rules.push(crate::bench::rule("twilio", &[], &["+1415"], &[]));
        })
        .start()
        .await;
    for receiver in [KENYAN, AMERICAN, "+255712345678"] {
        bench.send(receiver).await;
    }
    let refused = bench.try_send("+12125550100", text("Habari")).await;
    assert_eq!(wrong_fields(refused), [("/receiver".into(), "country_not_allowed")]);
}

#[tokio::test]
async fn a_repeated_request_is_answered_as_before_though_its_country_is_not_allowed_any_more() {
    let bench = Bench::start().await;
    let again = || SendRequest { idempotency_key: Some("k".into()), ..request(AMERICAN, text("Habari")) };
    let first = bench.service.send_sms(caller(), again()).await.unwrap();
    let bench = bench.restart_with(|setup| setup.settings(only(&["KE"]))).await;
    assert_eq!(bench.service.send_sms(caller(), again()).await.unwrap().id, first.id);
}

#[tokio::test]
async fn in_shadow_what_is_suspicious_is_sent_and_the_decision_is_kept() {
    let bench = Bench::setup().settings(three_a_minute(Mode::Shadow)).start().await;
    for _ in 0..5 {
        bench.try_send(KENYAN, code("Your code is 1")).await.unwrap();
    }
    let [decision] = bench.decisions(|found| !found.is_empty()).await.try_into().unwrap();
    assert_eq!((decision.mode, decision.messages, decision.sampled), (Mode::Shadow, 2, 2));
    assert_eq!(decision.prefix.unwrap().to_string(), "+2547123");
    assert_eq!((decision.country.as_str(), decision.caller), ("KE", caller().key));
    let [reason] = decision.reasons.as_slice() else { panic!("{:?}", decision.reasons) };
    assert_eq!((reason.rule, reason.figure, reason.threshold), (Rule::PrefixVelocity, 4, 3));
}

#[tokio::test]
async fn codes_that_a_limit_refuses_are_none_to_the_guard() {
    let one_for_a_group = LimitRule {
        name: "per_group".into(),
        scenarios: Vec::new(),
        countries: Vec::new(),
        by: LimitBy::Group,
        allows: Allows::Messages { limit: 1, period: Duration::from_hours(1) },
    };
    let bench = Bench::setup()
        .settings(three_a_minute(Mode::Enforce))
        .settings(|settings| settings.limits = vec![one_for_a_group])
        .start()
        .await;
    let of_group = |name: &str| Content { group: Some(name.into()), ..code("Your code is 1") };
    let answer = bench.try_bulk(&kenyans(3), of_group("a")).await.unwrap();
    let limited =
        |verdict: &&Verdict| matches!(verdict, Verdict::Rejected { code, .. } if code == "rate_limited");
    assert_eq!(answer.verdicts.iter().filter(limited).count(), 2);
    let [first, second, third] = kenyans(3).try_into().unwrap();
    bench.try_send(&first, of_group("b")).await.unwrap();
    bench.try_send(&second, of_group("c")).await.unwrap();
    let beyond = bench.try_send(&third, of_group("d")).await;
    assert!(matches!(beyond, Err(SendError::GuardRefused { .. })), "{beyond:?}");
}

#[tokio::test]
async fn what_is_enforced_is_refused_with_a_decision_that_is_kept() {
    let bench = Bench::setup().settings(three_a_minute(Mode::Enforce)).start().await;
    for _ in 0..3 {
        bench.try_send(KENYAN, code("Your code is 1")).await.unwrap();
    }
    let decision = bench.refused(KENYAN).await;
    assert_eq!(bench.refused("+254712399999").await, decision, "of the same block");
    // Other blocks and other scenarios go on.
    bench.try_send("+254733000111", code("Your code is 1")).await.unwrap();
    bench.send(KENYAN).await;
    assert_eq!(bench.count().await, 5);
    let kept = bench.decisions(|found| found.iter().any(|kept| kept.messages == 2)).await;
    assert_eq!((kept[0].id, kept[0].mode), (decision, Mode::Enforce));
    // A minute later there is room again.
    bench.clock.advance(seconds(120));
    bench.try_send(KENYAN, code("Your code is 1")).await.unwrap();
}

#[tokio::test]
async fn receivers_that_the_guard_refuses_are_refused_one_by_one() {
    let bench = Bench::setup().settings(three_a_minute(Mode::Enforce)).start().await;
    let answer = bench.try_bulk(&kenyans(5), code("Your code is 1")).await.unwrap();
    let refused = answer
        .verdicts
        .iter()
        .filter(|verdict| matches!(verdict, Verdict::Rejected { code, .. } if code == "guard_refused"));
    assert_eq!((refused.count(), bench.count().await), (2, 3));
    let refused = bench.try_bulk(&kenyans(1), code("Your code is 2")).await;
    assert_eq!(wrong_fields(refused), [("/receivers/0".into(), "guard_refused")]);
}

#[tokio::test]
async fn what_was_counted_is_known_after_a_restart() {
    let bench = Bench::setup().settings(three_a_minute(Mode::Enforce)).start().await;
    for _ in 0..3 {
        bench.try_send(KENYAN, code("Your code is 1")).await.unwrap();
    }
    let bench = bench.restart().await;
    bench.refused(KENYAN).await;
}

#[tokio::test]
async fn a_repeated_request_is_counted_once() {
    let bench = Bench::setup().settings(three_a_minute(Mode::Enforce)).start().await;
    let again =
        || SendRequest { idempotency_key: Some("k".into()), ..request(KENYAN, code("Your code is 1")) };
    let first = bench.service.send_sms(caller(), again()).await.unwrap();
    for _ in 0..10 {
        assert_eq!(bench.service.send_sms(caller(), again()).await.unwrap().id, first.id);
    }
    for _ in 0..2 {
        bench.try_send(KENYAN, code("Your code is 1")).await.unwrap();
    }
    // Refused if it were made now, and answered as before all the same.
    bench.refused(KENYAN).await;
    assert_eq!(bench.service.send_sms(caller(), again()).await.unwrap().id, first.id);
    assert_eq!(bench.decisions(|found| !found.is_empty()).await[0].messages, 1);
}

#[tokio::test]
async fn codes_that_are_confirmed_make_room_and_tell_that_a_decision_was_wrong() {
    let limits = Limits { per_minute: 0, per_hour: 0, per_day: 3 };
    let policy = Policy { prefix: limits, ..Policy::default() };
    let bench = Bench::setup().settings(|settings| settings.guard.policy = policy).start().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(bench.try_send(KENYAN, code("Your code is 1")).await.unwrap().id);
    }
    bench.decisions(|found| !found.is_empty()).await;
    for id in &ids {
        let message = bench.show(*id).await.summary.message;
        for _ in 0..2 {
            bench.service.confirm(&message, Actor::System).await.unwrap();
        }
    }
    // Four were verified today: ten times as many may be sent.
    for _ in 0..20 {
        bench.try_send(KENYAN, code("Your code is 1")).await.unwrap();
    }
    let [decision] = bench.decisions(|found| found[0].confirmed > 0).await.try_into().unwrap();
    assert_eq!((decision.messages, decision.sampled, decision.confirmed), (1, 1, 1));
}

#[tokio::test]
async fn a_guard_that_is_off_decides_nothing() {
    let bench = Bench::setup().settings(three_a_minute(Mode::Off)).start().await;
    for _ in 0..5 {
        bench.try_send(KENYAN, code("Your code is 1")).await.unwrap();
    }
    bench.dispatchers_look().await;
    let filter = DecisionFilter { limit: 100, ..DecisionFilter::default() };
    assert_eq!(bench.service.guard_decisions(filter).await, Ok(Vec::new()));
}
