//! What is told to others: the outbox of changes of status, and what else was raised.
//!
//! An event of a status is written in the transaction that moves the status, by the database itself: no way of moving one can
//! forget it, and none is written for what was taken back. All else is raised by the change that it tells of, in its
//! transaction (`write::events::raise`). While nobody wants events, none are written and a change of status costs nothing
//! more.

use async_trait::async_trait;
use domain::event::{EventData, NewEvent};
use domain::ids::{BulkId, KeyId, MessageId, NodeId};
use domain::time::Timestamp;

use crate::StoreError;

/// Events on their way out.
#[async_trait]
pub trait Events: Send + Sync {
    /// Whether events are kept for the broker: by any node, of any message.
    async fn are_events_kept(&self) -> Result<bool, StoreError>;

    /// Keeps events from now on, or none any more. Those that are kept already stay. For all nodes: whoever ends it
    /// ends it for all.
    async fn keep_events(&self, keep: bool) -> Result<(), StoreError>;

    /// The oldest events. Those of a message are in the order in which they happened.
    async fn events(&self, limit: u32) -> Result<Vec<Event>, StoreError>;

    /// Forgets events that have arrived.
    async fn forget_events(&self, numbers: Vec<i64>) -> Result<(), StoreError>;

    /// Raises events that belong to no other change.
    async fn raise_events(&self, events: Vec<NewEvent>) -> Result<(), StoreError>;

    /// The oldest events for the broker that were raised. Those of a subject are in the order in which they happened.
    async fn raised_events(&self, limit: u32) -> Result<Vec<RaisedEvent>, StoreError>;

    /// Forgets, for the broker, raised events that have arrived.
    async fn forget_raised(&self, numbers: Vec<i64>) -> Result<(), StoreError>;

    /// How many events wait for the broker, and for how long.
    async fn outbox(&self) -> Result<Outbox, StoreError>;

    /// Takes or renews a lease; `false` while another node holds it.
    async fn take_lease(&self, lease: Lease) -> Result<bool, StoreError>;

    /// Gives a lease back: others need not wait for its end.
    async fn release_lease(&self, name: &'static str, node: NodeId) -> Result<(), StoreError>;
}

/// A change of status. Neither the number nor the text of its message is in it.
///
/// Words are as they are kept: those that a newer version writes pass through an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place; no other event ever has it.
    pub number: i64,
    /// The message.
    pub message_id: MessageId,
    /// Where it stands since.
    pub status: String,
    /// The route in force then.
    pub provider: String,
    /// Why, if it is no success.
    pub reason: Option<String>,
    /// The provider's own code for it.
    pub provider_code: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What is told of the message; `None` if it is not there any more.
    pub about: Option<About>,
}

/// What its caller said of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What it is for.
    pub scenario: String,
    /// The bulk request that it came with.
    pub bulk_id: Option<BulkId>,
    /// The caller's own name for it.
    pub reference: Option<String>,
    /// The savings group or campaign that it belongs to.
    pub group: Option<String>,
    /// The caller's own data: a JSON object.
    pub metadata: Option<String>,
}

/// An event that was raised by the change that it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaisedEvent {
    /// Its place; no other raised event ever has it.
    pub number: i64,
    /// What happened: a word of `EventKind`, or one that a newer version knows.
    pub kind: String,
    /// To what: the bytes of an id.
    pub subject: [u8; 16],
    /// Whose it is.
    pub caller: Option<KeyId>,
    /// When.
    pub at: Timestamp,
    /// What is told of it.
    pub data: EventData,
}

impl RaisedEvent {
    /// Never two events' id, also not of two databases: what it happened to, and its number. The letter sets it apart from
    /// those of the outbox, which are numbered by themselves.
    pub fn id(&self) -> String {
        event_id(self.subject, self.number)
    }
}

/// The id of an event that is not in the outbox.
pub fn event_id(subject: [u8; 16], number: i64) -> String {
    format!("evt_{:032x}_e{number}", u128::from_be_bytes(subject))
}

/// The number and the subject of an event, out of its id.
pub fn read_event_id(text: &str) -> Option<(i64, [u8; 16])> {
    let (subject, number) = text.strip_prefix("evt_")?.split_once("_e")?;
    let is_hex = subject.len() == 32 && subject.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let subject = u128::from_str_radix(subject, 16).ok().filter(|_| is_hex)?;
    Some((number.parse().ok()?, subject.to_be_bytes()))
}

/// How the outbox stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outbox {
    /// About how many events wait: from the number of the oldest to that of the newest. To count them would take longer
    /// the more they are.
    pub events: u64,
    /// When the oldest happened.
    pub oldest: Option<Timestamp>,
}

/// Work that one node does for all, such as publishing.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// What.
    pub name: &'static str,
    /// Who.
    pub node: NodeId,
    /// Until when, if nobody renews it.
    pub until: Timestamp,
    /// Leases of others that ended before count no more. A little before the present: clocks of nodes differ. So it is with
    /// those that end later by more than the time from here to `until`: a clock was wrong.
    pub ended_before: Timestamp,
}
