//! Geographic routing: who carries what.

use domain::route::Rule;
use gateway::request::Content;

use crate::bench::{AMERICAN, Bench, KENYAN, Setup, rule, text};

/// The provider that a message to this receiver, for this purpose, is routed to.
async fn routed(setup: Setup, table: &[(&str, &str, &str)]) {
    let bench = setup.start().await;
    for (receiver, scenario, provider) in table {
        let content = Content { scenario: Some((*scenario).into()), ..text("Habari") };
        let id = bench.try_send(receiver, content).await.unwrap().id;
        let shown = bench.show(id).await;
        assert_eq!(shown.summary.provider.as_str(), *provider, "{receiver} for {scenario}");
    }
}

fn with_rules(rules: Vec<Rule>) -> Setup {
    Bench::setup().settings(|settings| settings.rules = rules)
}

#[tokio::test]
async fn kenya_goes_by_the_rule_and_the_rest_by_the_default_provider() {
    let table = [
        (KENYAN, "general", "africastalking"),
        ("+254110123456", "otp", "africastalking"),
        (AMERICAN, "general", "twilio"),
        ("+255712345678", "general", "twilio"),
        ("+447400123456", "otp", "twilio"),
    ];
    routed(Bench::setup(), &table).await;
}

#[tokio::test]
async fn the_default_provider_can_be_another() {
    let setup = Bench::setup().default("africastalking");
    routed(setup, &[(KENYAN, "general", "africastalking"), (AMERICAN, "general", "africastalking")]).await;
}

#[tokio::test]
async fn without_rules_all_goes_by_the_default_provider() {
    routed(with_rules(Vec::new()), &[(KENYAN, "general", "twilio"), (AMERICAN, "general", "twilio")]).await;
}

#[tokio::test]
async fn a_rule_may_ask_for_a_prefix() {
    let setup = with_rules(vec![rule("africastalking", &[], &["+2541", "+25471"], &[])]);
    let table = [
        ("+254110123456", "general", "africastalking"),
        ("+254712345678", "general", "africastalking"),
        ("+254733123456", "general", "twilio"),
    ];
    routed(setup, &table).await;
}

#[tokio::test]
async fn a_rule_may_ask_for_a_scenario() {
    let setup = with_rules(vec![rule("africastalking", &[], &[], &["otp", "alert"])]);
    let table = [
        (AMERICAN, "otp", "africastalking"),
        (AMERICAN, "alert", "africastalking"),
        (KENYAN, "general", "twilio"),
    ];
    routed(setup, &table).await;
}

#[tokio::test]
async fn all_conditions_of_a_rule_must_hold_and_the_first_rule_wins() {
    let setup = with_rules(vec![
        rule("twilio", &["KE"], &["+2547"], &["otp"]),
        rule("africastalking", &["KE"], &[], &[]),
        rule("twilio", &["KE"], &[], &["alert"]),
    ]);
    let table = [
        ("+254712345678", "otp", "twilio"),
        ("+254110123456", "otp", "africastalking"),
        ("+254712345678", "general", "africastalking"),
        ("+254712345678", "alert", "africastalking"),
    ];
    routed(setup, &table).await;
}

#[tokio::test]
async fn a_rule_whose_provider_has_no_account_is_passed_over() {
    routed(Bench::setup().without("africastalking"), &[(KENYAN, "general", "twilio")]).await;
}

#[tokio::test]
async fn a_rule_is_enough_where_the_default_provider_has_no_account() {
    routed(Bench::setup().without("twilio"), &[(KENYAN, "general", "africastalking")]).await;
}
