//! What became of each message, held against what Tuma promises.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde_json::Value;
use testkit::sim::{Provider, Simulator};

use super::kill::Moment;
use super::load::{Load, message};
use crate::app::text;

/// Wrong messages that are shown.
const SHOWN: usize = 12;

/// What a run came to.
pub(super) struct Account {
    deaths: BTreeMap<Moment, usize>,
    promised: usize,
    unread: usize,
    /// What was answered 202 and is not stored.
    forgotten: Vec<String>,
    columns: BTreeMap<Promise, Column>,
}

/// The messages of one promise.
#[derive(Debug, Default)]
struct Column {
    stored: usize,
    once: usize,
    lost: usize,
    twice: usize,
    unknown: usize,
    wrong: Vec<String>,
}

/// How often the networks took a message.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    twilio: usize,
    africastalking: usize,
}

/// What may be said of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Promise {
    /// Its only provider can be asked: it goes exactly once, whenever the gateway dies.
    Certain,
    /// Never twice. If it may not have gone at all, it says so: failed, outcome unknown.
    NeverTwice,
    /// Never lost.
    NeverLost,
}

impl Account {
    pub(super) async fn draw_up(
        load: &Load,
        sim: &Simulator,
        deaths: &BTreeMap<Moment, usize>,
        policies: &[(&str, &str)],
    ) -> Self {
        let stored = load.stored().await;
        let mut taken: HashMap<(String, String), Taken> = HashMap::new();
        for entry in sim.ledger().entries() {
            let taken = taken.entry((entry.to, entry.body)).or_default();
            match entry.provider {
                Provider::Twilio => taken.twilio += 1,
                Provider::AfricasTalking => taken.africastalking += 1,
            }
        }
        let promised = load.promised();
        let ids: BTreeSet<String> = stored.iter().map(|message| text(&message["id"])).collect();
        let mut account = Self {
            deaths: deaths.clone(),
            promised: promised.len(),
            unread: load.unread(),
            forgotten: promised.difference(&ids).cloned().collect(),
            columns: BTreeMap::new(),
        };
        for shown in &stored {
            let key = (text(&shown["receiver"]), message(&text(&shown["reference"])));
            let taken = taken.remove(&key).unwrap_or_default();
            let promise = promise(shown, policies);
            account.columns.entry(promise).or_default().enter(shown, promise, taken);
        }
        // What no message of ours accounts for.
        let strays = taken.keys().map(|(to, body)| format!("sent and not stored: {to}, {body}"));
        account.forgotten.extend(strays);
        account
    }

    /// Fails if any promise was broken, or a way to die was left out.
    pub(super) fn check(&self) {
        let points = if cfg!(feature = "fault-points") { gateway::fault::FAULT_POINTS } else { &[] };
        for point in points {
            assert!(self.deaths.contains_key(&Moment::Point(point)), "it never died at {point}\n{self}");
        }
        let wrong = self.columns.values().flat_map(|column| &column.wrong);
        let wrong: Vec<&String> = wrong.chain(&self.forgotten).collect();
        let first: Vec<_> = wrong.iter().take(SHOWN).collect();
        assert!(wrong.is_empty(), "{} messages are wrong: {first:#?}\n{self}", wrong.len());
        assert!(self.promised > 0 && self.columns.len() == 3, "{self}");
    }
}

/// What may be said of a message: by its routes, and by its scenario's policy.
fn promise(shown: &Value, policies: &[(&str, &str)]) -> Promise {
    if text(&shown["country"]) == "GB" {
        return Promise::Certain;
    }
    let scenario = text(&shown["scenario"]);
    let set = format!("TUMA_SCENARIOS__{}__ON_AMBIGUOUS", scenario.to_uppercase());
    let set = policies.iter().find(|(variable, _)| *variable == set).map(|(_, policy)| *policy);
    let usual = if matches!(scenario.as_str(), "alert" | "chama_invite") { "resend" } else { "at_most_once" };
    if set.unwrap_or(usual) == "resend" { Promise::NeverLost } else { Promise::NeverTwice }
}

impl Column {
    fn enter(&mut self, shown: &Value, promise: Promise, taken: Taken) {
        let times = taken.twilio + taken.africastalking;
        self.stored += 1;
        self.once += usize::from(times == 1);
        self.lost += usize::from(times == 0);
        self.twice += usize::from(times > 1);
        let (status, reason) = (text(&shown["status"]), shown["reason"].as_str().unwrap_or_default());
        let is_unknown = status == "failed" && reason == "outcome_unknown";
        let is_sent = matches!(status.as_str(), "sent" | "delivered");
        self.unknown += usize::from(is_unknown);
        let holds = match promise {
            Promise::Certain => times == 1 && taken.twilio == 1 && is_sent,
            Promise::NeverTwice => match (taken.twilio, taken.africastalking) {
                (0, 0) => is_unknown,
                (1, 0) => is_sent,
                (0, 1) => is_sent || is_unknown,
                _ => false,
            },
            Promise::NeverLost => times >= 1 && is_sent,
        };
        if !holds {
            self.wrong.push(format!("{promise:?}, but {taken:?}: {shown}"));
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certain => "Twilio alone: exactly once",
            Self::NeverTwice => "Africa's Talking first, `at_most_once`",
            Self::NeverLost => "Africa's Talking first, `resend`: at least once",
        })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| how it died | times |\n|---|---|")?;
        for (moment, times) in &self.deaths {
            writeln!(f, "| {moment} | {times} |")?;
        }
        writeln!(f, "| **in all** | {} |\n", self.deaths.values().sum::<usize>())?;
        writeln!(
            f,
            "{} messages answered 202, {} requests without an answer.\n",
            self.promised, self.unread
        )?;
        writeln!(
            f,
            "| route and policy | stored | in the ledger once | not at all | twice | failed, outcome unknown |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for (promise, Column { stored, once, lost, twice, unknown, .. }) in &self.columns {
            writeln!(f, "| {promise} | {stored} | {once} | {lost} | {twice} | {unknown} |")?;
        }
        Ok(())
    }
}
