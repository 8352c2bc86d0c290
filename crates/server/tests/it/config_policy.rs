//! Settings of what becomes of a message: the defaults are those of the rules, and each can be changed.

use std::time::Duration;

use domain::breaker::BreakerPolicy;
use domain::phone::Country;
use domain::policy::{OnAmbiguous, OnSilence, ScenarioPolicy};
use domain::route::Target;
use domain::scenario::Scenario;
use gateway::Settings;
use gateway::settings::Reconcile;
use server::config::Config;

fn settings(environment: &[(&str, &str)]) -> Settings {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(None, environment).unwrap().gateway()
}

#[test]
fn the_default_file_says_what_the_rules_say_of_each_scenario() {
    let settings = settings(&[]);
    for scenario in Scenario::ALL {
        assert!(settings.scenarios.contains_key(scenario), "{scenario}");
        assert_eq!(settings.policy(*scenario), ScenarioPolicy::of(*scenario), "{scenario}");
    }
}

#[test]
fn the_default_file_says_what_the_rules_say_of_all_else() {
    let (settings, rules) = (settings(&[]), Settings::default());
    assert_eq!(settings.breaker, BreakerPolicy::default());
    assert_eq!(format!("{:?}", settings.reconcile), format!("{:?}", Reconcile::default()));
    assert_eq!(settings.bulk_patience, rules.bulk_patience);
    assert_eq!(settings.silence_cap_percent, rules.silence_cap_percent);
    assert_eq!((settings.no_repeats_within, rules.no_repeats_within), (None, None));
}

#[test]
fn the_policy_of_one_scenario_can_be_changed_by_itself() {
    let settings = settings(&[
        ("TUMA_SCENARIOS__OTP__EXPIRES_AFTER_S", "0"),
        ("TUMA_SCENARIOS__OTP__ON_AMBIGUOUS", "resend"),
        ("TUMA_SCENARIOS__GENERAL__ON_SILENCE", "failover"),
        ("TUMA_SCENARIOS__GENERAL__DELIVER_WITHIN_S", "7"),
        ("TUMA_RETRY__MAX_ATTEMPTS", "3"),
    ]);
    let (otp, general) = (settings.policy(Scenario::Otp), settings.policy(Scenario::General));
    assert_eq!((otp.expires_after, otp.on_ambiguous), (None, OnAmbiguous::Resend));
    assert_eq!((general.on_silence, general.deliver_within), (OnSilence::Failover, Duration::from_secs(7)));
    for scenario in Scenario::ALL {
        assert_eq!(settings.policy(*scenario).retry.max_attempts, 3, "{scenario}");
    }
}

#[test]
fn invitations_alone_have_quiet_hours_and_an_empty_text_takes_them_back() {
    let held = |settings: &Settings| {
        let windows = settings.quiet_hours.by_scenario.iter();
        windows.map(|(scenario, window)| format!("{scenario} {window}")).collect::<Vec<_>>()
    };
    assert_eq!(held(&settings(&[])), ["chama_invite 21:00-07:00"]);
    assert!(settings(&[]).quiet_hours.zone.is_none());
    assert!(settings(&[("TUMA_QUIET_HOURS__BY_SCENARIO__CHAMA_INVITE", "")]).quiet_hours.is_empty());
    let others = settings(&[
        ("TUMA_QUIET_HOURS__BY_SCENARIO__GENERAL", "22:00-06:00"),
        ("TUMA_QUIET_HOURS__TIME_ZONE", "Africa/Nairobi"),
    ]);
    assert_eq!(held(&others), ["chama_invite 21:00-07:00", "general 22:00-06:00"]);
    assert_eq!(others.quiet_hours.zone.as_ref().unwrap().to_string(), "Africa/Nairobi");
}

#[test]
fn rules_may_go_by_the_hour_and_by_price() {
    let rule = "[{scenarios = [\"chama_invite\"], hours = \"08:00-18:00\", time_zone = \"Africa/Nairobi\", \
                cheapest_of = [\"africastalking\", \"twilio\"]}]";
    let price = "[{provider = \"twilio\", country = \"KE\", per_segment = \"0.0079\", currency = \"USD\"}]";
    let settings = settings(&[
        ("TUMA_ROUTING__RULES", rule),
        ("TUMA_ROUTING__PRICES", price),
        ("TUMA_ROUTING__EXCHANGE__USD", "129.5"),
        ("TUMA_ROUTING__EXCHANGE__KES", "1"),
    ]);
    let [rule] = settings.rules.as_slice() else { panic!("one rule") };
    assert_eq!(rule.hours.unwrap().to_string(), "08:00-18:00");
    assert!(matches!(&rule.to, Target::CheapestOf(providers) if providers.len() == 2));
    let [price] = settings.prices.list.as_slice() else { panic!("one price") };
    assert_eq!((price.country, price.per_segment.micros()), (Country::KE, 7_900));
    let rates = &settings.prices.exchange.0;
    assert_eq!((rates["USD"], rates["KES"]), (129.5, 1.0));
}

#[test]
fn the_guard_against_repetitions_is_off_unless_it_is_set() {
    let within = |seconds| settings(&[("TUMA_MESSAGES__NO_REPEATS_WITHIN_S", seconds)]).no_repeats_within;
    assert_eq!((within("0"), within("30")), (None, Some(Duration::from_secs(30))));
}
