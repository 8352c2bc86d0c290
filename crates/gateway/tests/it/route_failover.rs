//! When a route fails: what goes elsewhere, when, and what comes back.

use std::time::Duration;

use domain::audit::Actor;
use domain::breaker::BreakerState;
use domain::message::MessageStatus;
use domain::route::Standing;
use gateway::explain::Way;
use gateway::request::Content;
use store::port::messages::MessageRecord;
use testkit::sim::{Fault, FaultRule, Provider};
use testkit::wait::{LONG, wait_for};

use crate::bench::{AMERICAN, Bench, KENYAN, caller, kenyans, request, seconds, text};

const DOWN: Fault = Fault::Error { status: 503 };

fn asked(record: &MessageRecord) -> Vec<&str> {
    record.attempts.iter().map(|attempt| attempt.provider.as_str()).collect()
}

fn code() -> Content {
    Content { scenario: Some("otp".into()), ..text("Your code is 482913") }
}

/// Africa's Talking says that it is out of order.
async fn with_kenyas_route_down() -> Bench {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::always(DOWN).on(Provider::AfricasTalking)).unwrap();
    bench
}

/// The same, and known by now.
async fn with_kenyas_breaker_open() -> Bench {
    let bench = with_kenyas_route_down().await;
    for receiver in kenyans(3) {
        let id = bench.try_send(&receiver, code()).await.unwrap().id;
        bench.comes_to(id, MessageStatus::Sent).await;
    }
    let open = async || {
        bench.clock.advance(Duration::from_millis(100));
        let id = bench.try_send(KENYAN, code()).await.unwrap().id;
        bench.stands(id, MessageStatus::Sent).await;
        let providers = bench.service.providers().await.unwrap();
        providers.iter().any(|it| matches!(it.breaker, BreakerState::Open { .. })).then_some(())
    };
    wait_for(open, LONG).await.unwrap();
    bench
}

#[tokio::test]
async fn a_code_takes_the_other_route_at_once_when_its_own_is_down() {
    let bench = with_kenyas_route_down().await;
    let id = bench.try_send(KENYAN, code()).await.unwrap().id;
    // The clock stands: nothing was waited for.
    let shown = bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(asked(&shown), ["africastalking", "twilio"]);
    assert_eq!(shown.summary.provider.as_str(), "twilio");
}

#[tokio::test]
async fn a_route_that_fails_again_and_again_is_not_asked_any_more_and_explain_says_why() {
    let bench = with_kenyas_breaker_open().await;
    let id = bench.try_send(KENYAN, code()).await.unwrap().id;
    let shown = bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(asked(&shown), ["twilio"]);

    let explanation = bench.service.explain(&caller(), &request(KENYAN, code()), Way::Alone).await.unwrap();
    let lines: Vec<_> =
        explanation.routes.iter().map(|route| (route.provider.as_str(), route.standing)).collect();
    assert!(
        matches!(lines[..], [("twilio", Standing::Usable), ("africastalking", Standing::Open { .. })]),
        "{lines:?}"
    );
}

#[tokio::test]
async fn an_invitation_waits_for_its_route_while_that_is_down_for_a_short_time() {
    let bench = with_kenyas_breaker_open().await;
    let invitation = Content { scenario: Some("chama_invite".into()), ..text("Karibu") };
    let id = bench.try_send(KENYAN, invitation).await.unwrap().id;
    assert_eq!(bench.show(id).await.summary.provider.as_str(), "africastalking");
    bench.clock.advance(seconds(400));
    let shown = bench.comes_to(id, MessageStatus::Sent).await;
    assert_eq!(shown.summary.provider.as_str(), "twilio", "not for longer than five minutes");
}

#[tokio::test]
async fn a_route_that_works_again_is_found_out_by_a_low_risk_message_and_used_again() {
    let bench = with_kenyas_breaker_open().await;
    bench.sim.clear_faults();
    bench.clock.advance(seconds(10));
    let code_at_once = bench.try_send(KENYAN, code()).await.unwrap().id;
    assert_eq!(bench.show(code_at_once).await.summary.provider.as_str(), "twilio", "no code is a probe");
    for receiver in kenyans(2) {
        let probe = bench.send(&receiver).await;
        let shown = bench.comes_to(probe, MessageStatus::Sent).await;
        assert_eq!(asked(&shown), ["africastalking"]);
    }
    let id = bench.try_send(KENYAN, code()).await.unwrap().id;
    let shown = bench.comes_to(id, MessageStatus::Sent).await;
    assert_eq!(asked(&shown), ["africastalking"]);
}

#[tokio::test]
async fn with_all_routes_down_nothing_is_lost_but_codes_whose_time_is_over() {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::always(DOWN).on(Provider::AfricasTalking)).unwrap();
    bench
        .sim
        .inject(FaultRule::always(Fault::TooManyRequests { retry_after_s: None }).on(Provider::Twilio))
        .unwrap();
    let old_code = bench.try_send(KENYAN, code()).await.unwrap().id;
    let mut others = Vec::new();
    for (receiver, scenario) in [(KENYAN, "general"), (KENYAN, "chama_invite"), (AMERICAN, "alert")] {
        let content = Content { scenario: Some(scenario.into()), ..text(scenario) };
        others.push(bench.try_send(receiver, content).await.unwrap().id);
    }
    bench.comes_to(old_code, MessageStatus::Expired).await;
    for id in &others {
        assert!(!bench.status(*id).await.is_final());
    }
    bench.sim.clear_faults();
    for id in others {
        bench.comes_to(id, MessageStatus::Sent).await;
    }
    assert_eq!(bench.sim.ledger().duplicates(), []);
}

#[tokio::test]
async fn what_another_route_may_take_goes_there_and_what_none_would_take_stops() {
    let bench = Bench::start().await;
    // The simulated network has no route to the first, and says that the second is no number.
    let unserved = bench.send("+254712000407").await;
    let wrong = bench.send("+254712000403").await;
    let shown = bench.stands(unserved, MessageStatus::Sent).await;
    assert_eq!(asked(&shown), ["africastalking", "twilio"]);
    let shown = bench.stands(wrong, MessageStatus::Failed).await;
    assert_eq!(asked(&shown), ["africastalking"]);
}

#[tokio::test]
async fn a_drained_provider_gets_nothing_what_waits_leaves_it_and_it_stays_drained_over_a_restart() {
    let bench = Bench::start().await;
    let kenyas = "africastalking".parse().unwrap();
    assert_eq!(bench.service.drain(&kenyas, Actor::Operator).await.unwrap(), Some(true));
    let id = bench.send(KENYAN).await;
    let shown = bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(asked(&shown), ["twilio"]);

    let bench = bench.restart().await;
    let id = bench.send(KENYAN).await;
    let shown = bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(asked(&shown), ["twilio"]);

    assert_eq!(bench.service.resume(&kenyas, Actor::Operator).await.unwrap(), Some(true));
    let id = bench.send(KENYAN).await;
    let shown = bench.stands(id, MessageStatus::Sent).await;
    assert_eq!(asked(&shown), ["africastalking"]);
    assert_eq!(bench.service.drain(&"nobody".parse().unwrap(), Actor::Operator).await.unwrap(), None);
}

#[tokio::test]
async fn what_waits_for_a_provider_takes_another_when_it_is_drained() {
    let bench = Bench::start().await;
    let later = bench.clock.advance(Duration::ZERO).plus(seconds(10));
    let content = Content { scheduled_at: Some(later), ..text("Habari") };
    let id = bench.try_send(KENYAN, content).await.unwrap().id;
    bench.service.drain(&"africastalking".parse().unwrap(), Actor::Operator).await.unwrap();
    bench.clock.advance(seconds(10));
    let shown = bench.comes_to(id, MessageStatus::Sent).await;
    assert_eq!(asked(&shown), ["twilio"]);
}
