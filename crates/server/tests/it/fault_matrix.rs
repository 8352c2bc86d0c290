//! Every fault of the networks, at each provider and for each scenario: where the message ends, and how often the
//! networks took it.
//!
//! Each case has a gateway and networks of its own. The message goes to Kenya, and the provider that the fault
//! strikes is its first route; the other one is its next and works. The fault strikes once. A case is over when
//! nothing is left to do: no message waits, nobody watches it, no receipt is on its way.

use std::fmt;
use std::time::Duration;

use domain::time::Clock as _;
use futures_util::{StreamExt as _, stream};
use gateway::SystemClock;
use serde_json::json;
use testkit::sim::{CallbackUrls, Fault, FaultRule, Provider};
use testkit::wait::wait_patiently;

use crate::app::{AMERICAN, CALLBACK_SECRET, KENYAN, TestApp, refusing_address, text};

/// What becomes of a message, by what strikes it (the words are those of `provider-sim --fault`).
///
/// Columns differ by policy, and within it by lane: only codes and alerts leave a route that is too busy, and only
/// invitations wait for theirs to come back. A cell is the status, the reason if there is one, and who took the
/// message: `T` for Twilio, `A` for Africa's Talking, once for each time, `-` for nobody.
///
/// Twilio can be asked what it has, so nothing stays unknown there. Africa's Talking can't: what it took and did not
/// say is known by its report; where none comes (last rows), the policy decides.
const TABLE: &str = "
| strikes                                | at | otp                        | transaction, chama_withdrawal, general | alert                      | chama_invite               |
|                                        |    | at_most_once, urgent       | at_most_once                           | resend, urgent             | resend, bulk               |
|----------------------------------------|----|----------------------------|----------------------------------------|----------------------------|----------------------------|
| slow=4000                              | T  | delivered A                | delivered A                            | delivered A                | delivered T                |
| 429=1                                  | T  | delivered A                | delivered T                            | delivered A                | delivered T                |
| error=500                              | T  | delivered A                | delivered A                            | delivered A                | delivered T                |
| error=502                              | T  | delivered A                | delivered A                            | delivered A                | delivered T                |
| error=503                              | T  | delivered A                | delivered A                            | delivered A                | delivered T                |
| refuse=21211                           | T  | failed/invalid_recipient - | failed/invalid_recipient -             | failed/invalid_recipient - | failed/invalid_recipient - |
| refuse=21408                           | T  | delivered A                | delivered A                            | delivered A                | delivered A                |
| unauthorized                           | T  | delivered A                | delivered A                            | delivered A                | delivered T                |
| reset-before-read                      | T  | delivered A                | delivered A                            | delivered A                | delivered T                |
| reset-before-accept                    | T  | delivered A                | delivered A                            | delivered A                | delivered T                |
| accept-then-error=500                  | T  | delivered T                | delivered T                            | delivered T                | delivered T                |
| accept-then-error=503                  | T  | delivered T                | delivered T                            | delivered T                | delivered T                |
| accept-then-stall=4000                 | T  | delivered T                | delivered T                            | delivered T                | delivered T                |
| accept-then-reset                      | T  | delivered T                | delivered T                            | delivered T                | delivered T                |
| malformed-answer                       | T  | delivered T                | delivered T                            | delivered T                | delivered T                |
| receipt-early                          | T  | delivered T                | delivered T                            | delivered T                | delivered T                |
| receipt-late=300                       | T  | delivered T                | delivered T                            | delivered T                | delivered T                |
| receipt-duplicate=2                    | T  | delivered T                | delivered T                            | delivered T                | delivered T                |
| receipt-out-of-order                   | T  | delivered T                | delivered T                            | delivered T                | delivered T                |
| receipt-unknown-word                   | T  | delivered T                | delivered T                            | delivered T                | delivered T                |
| receipt-never                          | T  | sent T                     | sent T                                 | sent T                     | sent T                     |
| undelivered                            | T  | undelivered/unknown T      | undelivered/unknown T                  | undelivered/unknown T      | undelivered/unknown T      |
| accept-then-error=500 + receipt-never  | T  | sent T                     | sent T                                 | sent T                     | sent T                     |
| accept-then-stall=4000 + receipt-never | T  | sent T                     | sent T                                 | sent T                     | sent T                     |
| accept-then-reset + receipt-never      | T  | sent T                     | sent T                                 | sent T                     | sent T                     |
| malformed-answer + receipt-never       | T  | sent T                     | sent T                                 | sent T                     | sent T                     |
| slow=4000                              | A  | failed/outcome_unknown -   | failed/outcome_unknown -               | delivered T                | delivered T                |
| 429=1                                  | A  | delivered T                | delivered A                            | delivered T                | delivered A                |
| error=500                              | A  | failed/outcome_unknown -   | failed/outcome_unknown -               | delivered T                | delivered T                |
| error=502                              | A  | failed/outcome_unknown -   | failed/outcome_unknown -               | delivered T                | delivered T                |
| error=503                              | A  | delivered T                | delivered T                            | delivered T                | delivered A                |
| refuse=403                             | A  | failed/invalid_recipient - | failed/invalid_recipient -             | failed/invalid_recipient - | failed/invalid_recipient - |
| refuse=407                             | A  | delivered T                | delivered T                            | delivered T                | delivered T                |
| refuse=405                             | A  | delivered T                | delivered T                            | delivered T                | delivered A                |
| refuse=501                             | A  | delivered T                | delivered T                            | delivered T                | delivered A                |
| unauthorized                           | A  | delivered T                | delivered T                            | delivered T                | delivered A                |
| reset-before-read                      | A  | failed/outcome_unknown -   | failed/outcome_unknown -               | delivered T                | delivered T                |
| reset-before-accept                    | A  | failed/outcome_unknown -   | failed/outcome_unknown -               | delivered T                | delivered T                |
| accept-then-error=500                  | A  | delivered A                | delivered A                            | delivered A                | delivered A                |
| accept-then-stall=4000                 | A  | delivered A                | delivered A                            | delivered A                | delivered A                |
| accept-then-reset                      | A  | delivered A                | delivered A                            | delivered A                | delivered A                |
| malformed-answer                       | A  | delivered A                | delivered A                            | delivered A                | delivered A                |
| receipt-early                          | A  | delivered A                | delivered A                            | delivered A                | delivered A                |
| receipt-late=300                       | A  | delivered A                | delivered A                            | delivered A                | delivered A                |
| receipt-duplicate=2                    | A  | delivered A                | delivered A                            | delivered A                | delivered A                |
| receipt-out-of-order                   | A  | delivered A                | delivered A                            | delivered A                | delivered A                |
| receipt-unknown-word                   | A  | delivered A                | delivered A                            | delivered A                | delivered A                |
| receipt-never                          | A  | sent A                     | sent A                                 | sent A                     | sent A                     |
| undelivered                            | A  | undelivered/unreachable A  | undelivered/unreachable A              | undelivered/unreachable A  | undelivered/unreachable A  |
| accept-then-error=500 + receipt-never  | A  | failed/outcome_unknown A   | failed/outcome_unknown A               | delivered AT               | delivered AT               |
| accept-then-stall=4000 + receipt-never | A  | failed/outcome_unknown A   | failed/outcome_unknown A               | delivered AT               | delivered AT               |
| accept-then-reset + receipt-never      | A  | failed/outcome_unknown A   | failed/outcome_unknown A               | delivered AT               | delivered AT               |
| malformed-answer + receipt-never       | A  | failed/outcome_unknown A   | failed/outcome_unknown A               | delivered AT               | delivered AT               |
";

/// Cases at once: more would slow each other down until they time out by themselves.
const AT_ONCE: usize = 40;

/// Longer than any case takes: what is not there by then is another result.
const LIMIT: Duration = Duration::from_secs(25);

const SETTINGS: &[(&str, &str)] = &[
    ("TUMA_RETRY__BASE_MS", "1"),
    ("TUMA_RECONCILE__FIRST_LOOK_MS", "100"),
    ("TUMA_RECONCILE__INTERVAL_MS", "100"),
    ("TUMA_RECONCILE__ABSENT_AFTER_MS", "1000"),
    ("TUMA_SCENARIOS__OTP__DECIDE_AFTER_S", "2"),
    ("TUMA_SCENARIOS__TRANSACTION__DECIDE_AFTER_S", "2"),
    ("TUMA_SCENARIOS__CHAMA_INVITE__DECIDE_AFTER_S", "2"),
    ("TUMA_SCENARIOS__CHAMA_WITHDRAWAL__DECIDE_AFTER_S", "2"),
    ("TUMA_SCENARIOS__ALERT__DECIDE_AFTER_S", "2"),
    ("TUMA_SCENARIOS__GENERAL__DECIDE_AFTER_S", "2"),
    // An alert fails over on silence, but only where the route is known to report: nothing is known of it here.
    ("TUMA_SCENARIOS__ALERT__DELIVER_WITHIN_S", "1"),
    // The test may run at night.
    ("TUMA_QUIET_HOURS__BY_SCENARIO__CHAMA_INVITE", ""),
    ("TUMA_PROVIDERS__TWILIO__CONNECT_TIMEOUT_MS", "1000"),
    ("TUMA_PROVIDERS__TWILIO__REQUEST_TIMEOUT_MS", "1500"),
    ("TUMA_PROVIDERS__AFRICASTALKING__CONNECT_TIMEOUT_MS", "1000"),
    ("TUMA_PROVIDERS__AFRICASTALKING__REQUEST_TIMEOUT_MS", "1500"),
];

/// One message and what strikes it.
#[derive(Debug, Clone, Copy)]
struct Case {
    strikes: &'static str,
    at: Provider,
    scenario: &'static str,
    expected: &'static str,
}

/// A case that came out otherwise.
struct Deviation {
    case: Case,
    seen: String,
}

/// The cases of the table that strike at a provider.
fn cases(at: Provider) -> Vec<Case> {
    let mut rows = TABLE.lines().filter(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        cells
    });
    let head = rows.next().unwrap();
    let mut cases = Vec::new();
    for row in rows.filter(|row| row[1] == letter(at)) {
        for (scenarios, expected) in head.iter().zip(&row).skip(2) {
            let of_column = scenarios.split(", ");
            cases.extend(of_column.map(|scenario| Case { strikes: row[0], at, scenario, expected }));
        }
    }
    cases
}

fn letter(provider: Provider) -> &'static str {
    match provider {
        Provider::Twilio => "T",
        Provider::AfricasTalking => "A",
    }
}

/// Runs a case. Answers what was seen, unless it is what was expected.
async fn run(case: Case) -> Option<Deviation> {
    let (_kept, address) = refusing_address();
    let url = format!("http://{address}");
    let routes = format!(
        r#"[{{countries=["KE"],provider="{}"}},{{countries=["KE"],provider="{}"}}]"#,
        case.at,
        if case.at == Provider::Twilio { Provider::AfricasTalking } else { Provider::Twilio },
    );
    let setup = SETTINGS.iter().fold(TestApp::setup(), |setup, (variable, value)| setup.set(variable, value));
    let setup = setup.set("TUMA_LISTEN", &address.to_string()).set("TUMA_PUBLIC_URL", &url);
    let app = setup.set("TUMA_ROUTING__RULES", &routes).start().await;
    app.sim.set_callback_urls(CallbackUrls {
        africastalking_delivery: Some(format!("{url}/webhooks/africastalking/status/{CALLBACK_SECRET}")),
        ..CallbackUrls::default()
    });
    for fault in case.strikes.split(" + ") {
        app.sim.inject(format!("{}:{fault}@x1", case.at).parse::<FaultRule>().unwrap()).unwrap();
    }
    let body = json!({"receiver": KENYAN, "message": "Habari", "scenario": case.scenario});
    let id = app.send(&body).await;

    let mut seen = String::new();
    let as_expected = async || {
        let is_over = is_over(&app).await;
        seen = format!("{}{}", observed(&app, &id).await, if is_over { "" } else { " (not over)" });
        (seen == case.expected).then_some(())
    };
    let outcome = wait_patiently(Duration::from_millis(50), as_expected, LIMIT).await;
    outcome.is_err().then_some(Deviation { case, seen })
}

/// Whether nothing is left to do.
async fn is_over(app: &TestApp) -> bool {
    let sim = &app.sim;
    // A fault that has not struck is yet to come.
    if sim.stats().callbacks.pending > 0 || !sim.faults().is_empty() {
        return false;
    }
    let store = &app.gateway.store;
    let now = SystemClock::new().now();
    store.watch_counts().await.unwrap().is_empty() && store.depth(now).await.unwrap().is_empty()
}

/// Where the message stands, and who took it how often.
async fn observed(app: &TestApp, id: &str) -> String {
    let shown = app.show(id).await;
    let mut takers: Vec<&str> =
        app.sim.ledger().entries().iter().map(|entry| letter(entry.provider)).collect();
    takers.sort_unstable();
    let takers = if takers.is_empty() { "-".to_owned() } else { takers.concat() };
    let reason = shown["reason"].as_str().map(|reason| format!("/{reason}")).unwrap_or_default();
    format!("{}{reason} {takers}", text(&shown["status"]))
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { strikes, at, scenario, expected } = self.case;
        write!(f, "{strikes} at {at}, {scenario}: expected {expected}, seen {}", self.seen)
    }
}

async fn all_come_out_as_the_table_says(at: Provider) {
    let cases = cases(at);
    assert!(cases.len() > 120, "the table is not read: {} cases", cases.len());
    let deviations: Vec<Deviation> =
        stream::iter(cases).map(run).buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    let lines: Vec<String> = deviations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} cases came out otherwise:\n{}", lines.len(), lines.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strikes_at_twilio_is_found_out_and_ends_as_the_table_says() {
    all_come_out_as_the_table_says(Provider::Twilio).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strikes_at_africas_talking_ends_as_the_table_and_the_policy_say() {
    all_come_out_as_the_table_says(Provider::AfricasTalking).await;
}

/// Where the table ends: Africa's Talking's 503 is taken for its load balancer's word that nobody was there to take the
/// message (`africastalking/errors.rs`). Were it said of a message that was taken, the receiver would have it twice,
/// whatever the policy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_503_of_africas_talking_is_believed_even_if_it_lies() {
    for (scenario, expected) in [("otp", "delivered AT"), ("chama_invite", "delivered AA")] {
        let case =
            Case { strikes: "accept-then-error=503", at: Provider::AfricasTalking, scenario, expected };
        let deviation = run(case).await.map(|deviation| deviation.to_string());
        assert_eq!(deviation, None);
    }
}

/// What Twilio has for a number may be the message under way, so nobody asks before that has ended; and nobody
/// decides either, for Twilio can be asked then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubt_at_twilio_outlasts_another_message_to_the_same_number() {
    let setup = SETTINGS.iter().fold(TestApp::setup(), |setup, (variable, value)| setup.set(variable, value));
    let app = setup.set("TUMA_PROVIDERS__TWILIO__REQUEST_TIMEOUT_MS", "20000").start().await;
    let lost = FaultRule::next(1, Fault::AcceptThenReset).on(Provider::Twilio);
    let late = FaultRule::next(1, Fault::AcceptThenStall { ms: 5_000 }).on(Provider::Twilio);
    app.sim.inject(lost).unwrap();
    app.sim.inject(late).unwrap();
    let first = app.send(&json!({"receiver": AMERICAN, "message": "The first"})).await;
    let is_lost = async || (app.sim.ledger().count() == 1).then_some(());
    wait_patiently(Duration::from_millis(5), is_lost, LIMIT).await.unwrap();
    app.send(&json!({"receiver": AMERICAN, "message": "The second"})).await;
    let shown = app.shown_when(&first, "sent").await;
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown:#}");
    assert_eq!(app.sim.ledger().duplicates(), []);
}
