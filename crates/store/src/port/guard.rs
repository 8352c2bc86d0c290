//! What the guard against pumping counts and decides, and what callers say of their codes.

use async_trait::async_trait;
use domain::audit::Actor;
use domain::guard::ledger::Entered;
use domain::guard::{Count, Mode, Reason, Rule, Subject};
use domain::ids::{DecisionId, KeyId, MessageId};
use domain::phone::{Country, NumberPrefix};
use domain::scenario::Scenario;
use domain::time::Timestamp;

use crate::StoreError;

/// Counts, decisions and feedback.
#[async_trait]
pub trait Guard: Send + Sync {
    /// Adds to counts and decisions. What other nodes add at the same time is added too.
    async fn keep_guard(&self, kept: KeptByGuard) -> Result<(), StoreError>;

    /// What all nodes have counted in the stretches of time that run, and those before them.
    async fn guard_counts(&self, asked: AskedCounts) -> Result<Vec<Entered>, StoreError>;

    /// What was counted on whole days, by subject; of these subjects, or of all if none is named.
    async fn guard_days(&self, days: Days, of: Vec<Subject>) -> Result<Vec<(Subject, Count)>, StoreError>;

    /// Decisions, newest first.
    async fn guard_decisions(&self, filter: DecisionFilter) -> Result<Vec<Decision>, StoreError>;

    /// Keeps what a caller says of a message; `false` if it was said before.
    async fn keep_feedback(&self, feedback: Feedback) -> Result<bool, StoreError>;

    /// Forgets what is no longer kept, a part at a time. Answers whether it is done.
    async fn forget_guard(&self, forget: ForgetGuard) -> Result<bool, StoreError>;
}

/// What was counted and decided since the last time.
#[derive(Debug, Clone)]
pub struct KeptByGuard {
    /// The present.
    pub now: Timestamp,
    /// To add to counts.
    pub counts: Vec<Entered>,
    /// New decisions, and what to add to those that are there.
    pub decisions: Vec<Decision>,
    /// Messages of decisions that were sent all the same: what becomes of them tells whether the decisions are right.
    pub samples: Vec<(MessageId, DecisionId)>,
}

/// Whose counts are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedCounts {
    /// The present.
    pub now: Timestamp,
    /// Who.
    pub of: AskedSubjects,
}

/// Who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedSubjects {
    /// Everybody.
    All,
    /// These.
    These(Vec<Subject>),
    /// Those of whom something was counted since.
    ChangedSince(Timestamp),
}

/// Whole days of UTC, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub first: i64,
    /// The last.
    pub last: i64,
}

/// What the guard thought of codes of one caller to one block within a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Its id.
    pub id: DecisionId,
    /// When the first of them was asked for.
    pub at: Timestamp,
    /// When the last of them was.
    pub last_at: Timestamp,
    /// Whether it was refused: [`Mode::Enforce`], or would have been.
    pub mode: Mode,
    /// The country.
    pub country: Country,
    /// The block; `None` where there were too many to tell apart.
    pub prefix: Option<NumberPrefix>,
    /// Who asked.
    pub caller: KeyId,
    /// What for.
    pub scenario: Scenario,
    /// Why, as it was with the first of them.
    pub reasons: Vec<Reason>,
    /// How many codes.
    pub messages: i64,
    /// How many of them were sent and are looked at again.
    pub sampled: i64,
    /// How many of these were verified: the decision was wrong about them.
    pub confirmed: i64,
}

/// Which decisions. A condition left empty is met by all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    /// At or after this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// In this mode.
    pub mode: Option<Mode>,
    /// About this country.
    pub country: Option<Country>,
    /// About blocks with these digits.
    pub prefix: Option<u64>,
    /// About this caller.
    pub caller: Option<KeyId>,
    /// For this reason, maybe beside others.
    pub rule: Option<Rule>,
    /// Those before this one.
    pub after: Option<DecisionId>,
    /// How many at most.
    pub limit: u32,
}

/// What a caller says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// The message.
    pub message_id: MessageId,
    /// Its receiver has shown that it arrived, such as by typing in the code.
    pub outcome: FeedbackOutcome,
    /// Who says so.
    pub by: Actor,
    /// When it was said.
    pub now: Timestamp,
}

/// What can be said of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedbackOutcome {
    /// It did what it was sent for.
    Confirmed,
}

impl FeedbackOutcome {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
        }
    }
}

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct ForgetGuard {
    /// Minutes that ended before this time are forgotten.
    pub minutes_before: Timestamp,
    /// The same for hours.
    pub hours_before: Timestamp,
    /// The same for days.
    pub days_before: Timestamp,
    /// Decisions before this time are forgotten, with their samples.
    pub decisions_before: Timestamp,
    /// Feedback on messages accepted before this time is forgotten; `None` for none.
    pub feedback_before: Option<Timestamp>,
    /// How much to forget at once: a part of a commit that others wait for.
    pub limit: u32,
}
