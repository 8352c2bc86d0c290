//! Endpoints of callers, and events on their way to them.
//!
//! An event is handed out: each endpoint that hears of it gets a delivery, in the order of the events. Of what happened to
//! one subject, the earliest that an endpoint has not got yet is posted, and no other before it has come to an end.

use async_trait::async_trait;
use domain::audit::Act;
use domain::event::EventData;
use domain::ids::{EndpointId, KeyId};
use domain::secret::SecretString;
use domain::time::Timestamp;

use super::events::About;
use crate::StoreError;

/// Webhooks.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Stores an endpoint. From now on events are kept.
    async fn create_endpoint(&self, endpoint: NewEndpoint, act: Act) -> Result<(), StoreError>;

    /// Changes an endpoint; `false` if it is not there.
    async fn change_endpoint(
        &self,
        id: EndpointId,
        change: EndpointChange,
        act: Act,
    ) -> Result<bool, StoreError>;

    /// Keeps events if there is an endpoint, and else none: a database that was moved does not know yet.
    async fn settle_webhooks(&self) -> Result<(), StoreError>;

    /// All endpoints, oldest first.
    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError>;

    /// What there is to do now.
    async fn what_is_due(&self, now: Timestamp) -> Result<Due, StoreError>;

    /// Hands out the oldest events that nobody has handed out; answers how many there were.
    async fn hand_out(&self, hand_out: HandOut) -> Result<u64, StoreError>;

    /// Takes deliveries that are due, for those first that have the fewest under way. Whoever takes one ends it; where that never happens it is due again.
    async fn take_deliveries(&self, take: TakeDeliveries) -> Result<Vec<TakenDelivery>, StoreError>;

    /// Notes how posts ended; answers which endpoints were disabled for it.
    async fn end_deliveries(&self, end: EndDeliveries) -> Result<Vec<EndpointId>, StoreError>;

    /// Deliveries of an endpoint, newest first, each with its last posts.
    async fn deliveries(
        &self,
        endpoint: EndpointId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Makes events due for an endpoint, whatever became of them before: those that are kept, that it may hear of and, unless
    /// it is named, that it asked for.
    async fn replay(&self, replay: Replay, act: Option<Act>) -> Result<Replayed, StoreError>;

    /// Forgets events that were handed out long ago, with their deliveries; answers whether all are forgotten.
    async fn forget_told(&self, before: Timestamp, limit: u32) -> Result<bool, StoreError>;

    /// What waits for endpoints that are posted to.
    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError>;
}

/// An endpoint to be stored.
#[derive(Debug)]
pub struct NewEndpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose it is.
    pub caller: KeyId,
    /// Whether it hears of what belongs to others, and to nobody.
    pub hears_all: bool,
    /// Where events are posted.
    pub url: SecretString,
    /// What its owner calls it.
    pub description: Option<String>,
    /// Kinds that it hears of; all if there is none.
    pub events: Vec<String>,
    /// What posts are signed with.
    pub secret: SecretString,
}

/// An endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose it is.
    pub caller: KeyId,
    /// Whether it hears of what belongs to others, and to nobody.
    pub hears_all: bool,
    /// Where events are posted. `None` if its row is damaged: it can be deleted, or given another.
    pub url: Option<SecretString>,
    /// What its owner calls it.
    pub description: Option<String>,
    /// Kinds that it hears of; all if there is none.
    pub events: Vec<String>,
    /// When the secret of before ends.
    pub former_ends_at: Option<Timestamp>,
    /// Since when nothing is posted, and why.
    pub disabled: Option<(Timestamp, String)>,
    /// Since when every post has failed.
    pub failing_since: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its owner's key has been revoked or has a time to end by itself: nothing is posted from then on.
    pub key_ends_at: Option<Timestamp>,
}

impl Endpoint {
    /// Why nothing is posted; `None` if it is.
    pub fn is_disabled_by(&self, now: Timestamp) -> Option<&str> {
        if self.key_ends_at.is_some_and(|end| end <= now) {
            return Some("key_ended");
        }
        self.disabled.as_ref().map(|(_, reason)| reason.as_str())
    }
}

/// What is done to an endpoint.
#[derive(Debug)]
pub enum EndpointChange {
    /// It is set anew in part.
    Set {
        /// Where events are posted.
        url: Option<SecretString>,
        /// What its owner calls it; nothing if empty.
        description: Option<String>,
        /// Kinds that it hears of.
        events: Option<Vec<String>>,
        /// Whether events are posted.
        enabled: Option<bool>,
    },
    /// It gets another secret; that of before signs too, to a time.
    Rotate(SecretString, Timestamp),
    /// It is told of itself, whatever it asked for.
    Test(EventData),
    /// It is gone.
    Delete,
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Whether there is an event to hand out.
    pub to_hand_out: bool,
    /// Whether there is a delivery that may be posted.
    pub to_post: bool,
}

/// Which events to hand out.
#[derive(Debug, Clone, Copy)]
pub struct HandOut {
    /// The present.
    pub now: Timestamp,
    /// How many at most.
    pub limit: u32,
}

/// Which deliveries to take.
#[derive(Debug, Clone)]
pub struct TakeDeliveries {
    /// The present.
    pub now: Timestamp,
    /// When one is due again whose end was never told.
    pub again_at: Timestamp,
    /// How many of an endpoint may be under way.
    pub each: u32,
    /// How many are under way, by endpoint.
    pub under_way: Vec<(EndpointId, u32)>,
    /// How many at most in all.
    pub limit: u32,
}

/// A delivery that was taken, with all that is needed to post it.
#[derive(Debug, Clone)]
pub struct TakenDelivery {
    /// To whom.
    pub endpoint: EndpointId,
    /// Where.
    pub url: SecretString,
    /// What it is signed with: one, or two while a rotation lasts.
    pub secrets: Vec<SecretString>,
    /// The event's place.
    pub number: i64,
    /// The event.
    pub event: ToldEvent,
    /// Which post this is of those since it was last made due, from 1.
    pub tries: u32,
    /// When it was first posted since it was last made due: now, if it has not been.
    pub since: Timestamp,
    /// How many posts to the endpoint have failed one after the other.
    pub failures: u32,
}

/// An event as consumers are told.
#[derive(Debug, Clone)]
pub struct ToldEvent {
    /// What happened.
    pub kind: String,
    /// To what.
    pub subject: [u8; 16],
    /// When.
    pub at: Timestamp,
    /// What is told of it.
    pub tells: Tells,
}

/// What an event tells.
#[derive(Debug, Clone)]
pub enum Tells {
    /// What whoever raised it has said.
    Data(EventData),
    /// Of a change of status: the route in force then, why, and the provider's own code, and what is known of the message.
    Status {
        /// The route.
        provider: Option<String>,
        /// Why, if it is no success.
        reason: Option<String>,
        /// The provider's own code for it.
        provider_code: Option<String>,
        /// What its caller said of the message; `None` if it is not there any more.
        about: Option<About>,
    },
}

/// How posts ended.
#[derive(Debug, Clone)]
pub struct EndDeliveries {
    /// The posts.
    pub ends: Vec<DeliveryEnd>,
    /// The present.
    pub now: Timestamp,
    /// Endpoints that have failed since then are disabled.
    pub failing_since: Timestamp,
    /// How many failures one after the other let an endpoint rest. With fewer none is disabled.
    pub rests_after: u32,
}

/// How a post ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryEnd {
    /// To whom.
    pub endpoint: EndpointId,
    /// The event's place.
    pub number: i64,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// What was answered.
    pub status: Option<u16>,
    /// Why it failed: a word of a closed set. `None` if it did not.
    pub error: Option<&'static str>,
    /// When it is due again; `None` if it is given up.
    pub again_at: Option<Timestamp>,
    /// Until when the endpoint rests, if it has failed too often.
    pub rests_until: Timestamp,
    /// Nobody wants it any more: the endpoint is disabled.
    pub is_gone: bool,
}

impl DeliveryEnd {
    /// Where its delivery stands now: it has arrived, waits to be posted again, or is given up.
    pub(crate) const fn state(&self) -> &'static str {
        match (self.error, self.again_at) {
            (None, _) => "delivered",
            (Some(_), Some(_)) => "pending",
            (Some(_), None) => "failed",
        }
    }
}

/// A delivery as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The event's place.
    pub number: i64,
    /// What happened.
    pub kind: String,
    /// To what.
    pub subject: [u8; 16],
    /// `pending`, `delivered` or `failed`.
    pub state: String,
    /// When it is due, if it is pending.
    pub due_at: Timestamp,
    /// When it was last made due, or first posted since.
    pub since: Timestamp,
    /// How many posts there were.
    pub posts_in_all: u32,
    /// The last posts, oldest first.
    pub posts: Vec<Post>,
}

/// A post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// What was answered.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Which events to post again.
#[derive(Debug, Clone, Copy)]
pub struct Replay {
    /// To whom.
    pub endpoint: EndpointId,
    /// Which.
    pub which: Replayable,
    /// The present.
    pub now: Timestamp,
    /// How many to look at.
    pub limit: u32,
}

/// Events to post again.
#[derive(Debug, Clone, Copy)]
pub enum Replayable {
    /// One, by its place and subject.
    One(i64, [u8; 16]),
    /// Those of a time, behind one.
    Range {
        /// From then on.
        since: Timestamp,
        /// Before then.
        until: Timestamp,
        /// Behind the event of this time and place.
        behind: (Timestamp, i64),
    },
}

/// What was made due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many events.
    pub events: u64,
    /// Where to go on; `None` at the end.
    pub behind: Option<(Timestamp, i64)>,
}

/// What waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that have not come to an end.
    pub deliveries: u64,
    /// Since when the oldest waits, or the oldest event that nobody has handed out.
    pub oldest: Option<Timestamp>,
}
