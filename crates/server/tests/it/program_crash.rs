//! Sudden death, again and again, at any moment and at each named one: nothing is lost, and nothing is sent twice.
//!
//! The program runs on its own, with its database and receipts, while messages come in; the simulators of the
//! networks live here, and their ledger is the truth. What may be said of a message depends on who carries it and on
//! its scenario's policy: `verdict.rs` has the rules, and docs/reliability.md says them in words.
//!
//! The short runs are a part of the tests. `cargo xtask crash` makes the long ones, of the same code.

mod load;

mod kill;

mod verdict;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::str::FromStr;

use testkit::database::Database;
use testkit::sim::{Fault, FaultRule, ReceiptDetail, SimConfig, Simulator};

use self::kill::{Arena, Plan};
use self::load::Load;
use self::verdict::Account;
use crate::app::text;
use crate::program::Site;

/// How much is asked, and how often the program dies.
#[derive(Debug, Clone, Copy)]
struct Scale {
    requests: usize,
    kills: usize,
    /// What decides when it dies.
    seed: u64,
}

impl Scale {
    /// The short run, unless the environment asks for another: `TUMA_TEST_CRASH_MESSAGES`, `TUMA_TEST_CRASH_KILLS`
    /// and `TUMA_TEST_CRASH_SEED`.
    fn or_as_asked(self) -> Self {
        Self {
            requests: asked("TUMA_TEST_CRASH_MESSAGES").unwrap_or(self.requests),
            kills: asked("TUMA_TEST_CRASH_KILLS").unwrap_or(self.kills),
            seed: asked("TUMA_TEST_CRASH_SEED").unwrap_or(self.seed),
        }
    }

    fn part(self, of: usize) -> Self {
        Self { requests: self.requests.div_ceil(of), kills: self.kills.div_ceil(of), ..self }
    }
}

fn asked<T: FromStr<Err: Debug>>(variable: &str) -> Option<T> {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, not a setting of the gateway")]
    let set = std::env::var(variable).ok()?;
    Some(set.parse().unwrap())
}

/// Short times, so that what is in doubt is settled while the test looks. The policies that count are set by name:
/// all scenarios that are sent here never expire.
const SETTINGS: &[(&str, &str)] = &[
    ("RUST_LOG", "warn"),
    ("TUMA_RETRY__BASE_MS", "10"),
    ("TUMA_RECONCILE__FIRST_LOOK_MS", "100"),
    ("TUMA_RECONCILE__INTERVAL_MS", "200"),
    // Longer than a busy machine may take to read a request of a client that is dead.
    ("TUMA_RECONCILE__ABSENT_AFTER_MS", "2000"),
    ("TUMA_SCENARIOS__GENERAL__DECIDE_AFTER_S", "5"),
    ("TUMA_SCENARIOS__CHAMA_WITHDRAWAL__DECIDE_AFTER_S", "5"),
    ("TUMA_SCENARIOS__CHAMA_INVITE__DECIDE_AFTER_S", "5"),
    ("TUMA_SCENARIOS__ALERT__DECIDE_AFTER_S", "5"),
    // A receipt that was lost with the program is no reason to send twice here.
    ("TUMA_SCENARIOS__ALERT__ON_SILENCE", "wait"),
    ("TUMA_QUIET_HOURS__BY_SCENARIO__CHAMA_INVITE", ""),
    ("TUMA_BREAKER__FIRST_OPEN_MS", "200"),
    ("TUMA_BREAKER__LONGEST_OPEN_MS", "1000"),
    ("TUMA_PROVIDERS__TWILIO__MESSAGES_PER_SECOND", "0"),
    ("TUMA_PROVIDERS__TWILIO__BULK_BATCH_SIZE", "0"),
    ("TUMA_PROVIDERS__TWILIO__CONNECT_TIMEOUT_MS", "500"),
    ("TUMA_PROVIDERS__TWILIO__REQUEST_TIMEOUT_MS", "1500"),
    ("TUMA_PROVIDERS__AFRICASTALKING__MESSAGES_PER_SECOND", "0"),
    ("TUMA_PROVIDERS__AFRICASTALKING__CONNECT_TIMEOUT_MS", "500"),
    ("TUMA_PROVIDERS__AFRICASTALKING__REQUEST_TIMEOUT_MS", "1500"),
];

/// What goes wrong on the networks' side, during the second third of a run.
fn faults() -> [FaultRule; 3] {
    [
        FaultRule::at_rate(0.03, Fault::AcceptThenReset),
        FaultRule::at_rate(0.02, Fault::AcceptThenStall { ms: 2_500 }),
        FaultRule::at_rate(0.03, Fault::ResetBeforeAccept),
    ]
}

/// Lets messages in and the program die, until all of them were let in; then gives it time, and reads the ledgers.
async fn crash(scale: Scale, database: &Database, policies: &[(&str, &str)]) -> Account {
    let config =
        SimConfig { magic_numbers: false, receipts: ReceiptDetail::FinalOnly, ..SimConfig::default() };
    let sim = Simulator::start(config).await.unwrap();
    let site = SETTINGS
        .iter()
        .chain(policies)
        .fold(Site::new(sim.base_url()), |site, (variable, value)| site.set(variable, value))
        .set("TUMA_DATABASE_URL", database.url());
    let key = site.key("admin").await;
    let (mut arena, address) = Arena::new(site, &sim, database);
    let load = Load::new(address, &key, scale.requests);
    let plan = Plan::new(scale.kills, scale.seed);
    let faults = faults();
    let killing = arena.run(plan, &load, &faults);
    let (gateway, ()) = futures_util::future::join(killing, load.send_all()).await;
    load.settled(&gateway).await;
    let account = Account::draw_up(&load, &sim, arena.deaths(), policies).await;
    let stored = load.stored().await.iter().map(|message| text(&message["id"])).collect();
    drop(gateway);
    check_trail(arena.site(), &stored).await;
    sim.stop().await;
    account
}

/// The audit trail holds, each message that is stored has the entry of its being accepted, and no other has one.
async fn check_trail(site: &Site, stored: &BTreeSet<String>) {
    let verified = site.run(&["audit", "verify"]).await;
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
    let exported = site.run(&["audit", "export"]).await.stdout;
    let accepted = exported.lines().filter(|line| line.contains("\"sms.accepted\"")).map(|line| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        text(&entry["message_id"])
    });
    let accepted: Vec<String> = accepted.collect();
    let entered: BTreeSet<String> = accepted.iter().cloned().collect();
    assert_eq!(entered.len(), accepted.len(), "a message was entered twice");
    assert!(entered == *stored, "{} messages are stored, {} were entered", stored.len(), entered.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_it_dies_nothing_is_lost_and_nothing_is_sent_twice() {
    let scale = Scale { requests: 3_000, kills: 20, seed: 1 }.or_as_asked();
    let account = crash(scale, &Database::in_a_file(), &[]).await;
    println!("{account}");
    account.check();
}

/// Here a node that died is missed by the next one, which looks after what it left open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_nothing_is_lost_and_nothing_is_sent_twice_either() {
    let scale = Scale { requests: 1_000, kills: 6, seed: 3 }.or_as_asked();
    let account = crash(scale, &Database::on_postgres(), &[]).await;
    println!("{account}");
    account.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_policy_says_resend_nothing_is_lost_even_if_nobody_can_be_asked() {
    let scale = Scale { requests: 2_000, kills: 16, seed: 2 }.or_as_asked().part(4);
    let account =
        crash(scale, &Database::in_a_file(), &[("TUMA_SCENARIOS__GENERAL__ON_AMBIGUOUS", "resend")]).await;
    println!("{account}");
    account.check();
}
