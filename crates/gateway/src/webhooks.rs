//! Events on their way to endpoints of callers: at least once, and those of one subject in order.
//!
//! One node does it for all, under a lease. In each turn it hands out what was told since, takes what is due, and notes what
//! came of it. What it took and never ended, because it died, is due again. The store gives out the earliest event of a
//! subject alone, so that one that has to be tried again keeps those behind it waiting, and no others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ids::EndpointId;
use domain::secret::SecretString;
use domain::time::Timestamp;
use domain::webhook::{AGAIN, FAILS_AFTER, GIVE_UP_AFTER, PROBE};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::Serialize;
use serde_json::value::RawValue;
use store::StoreError;
use store::port::events::event_id;
use store::port::webhooks::{
    DeliveryEnd, EndDeliveries, HandOut, TakeDeliveries, TakenDelivery, Tells, ToldEvent,
};

use crate::fresh;
use crate::lease::HeldLease;
use crate::shared::Shared;
use crate::stop::Stop;
use crate::told::AboutMessage;

/// How often what is due is looked for, where there was nothing.
pub(crate) const TURN: Duration = Duration::from_millis(250);

/// From a failure of the store to the next try, and how often a node looks whether it should take over.
const REST: Duration = Duration::from_secs(2);

/// How often what waits is measured.
const MEASURE: Duration = Duration::from_secs(15);

/// Events that are handed out together.
const BATCH: u32 = 200;

/// The lease of the node that posts.
const LEASE: &str = "webhooks";
const HOLDS_FOR: Duration = Duration::from_mins(1);
const RENEW_BELOW: Duration = Duration::from_secs(30);

/// Posts to endpoints: the one thing that is not done here.
#[async_trait]
pub trait Poster: std::fmt::Debug + Send + Sync {
    /// Posts once, and ends within the time that an endpoint may take.
    async fn post(&self, envelope: Envelope) -> Posted;
}

/// What is posted.
#[derive(Debug)]
pub struct Envelope {
    /// Where.
    pub url: SecretString,
    /// What it is signed with, each for itself.
    pub secrets: Vec<SecretString>,
    /// The event's id.
    pub id: String,
    /// When it is posted.
    pub at: Timestamp,
    /// The event, in JSON.
    pub body: SecretString,
}

/// What came of it: what was answered, or why nothing was.
pub type Posted = Result<u16, PostError>;

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostError {
    /// It is no address that may be posted to.
    Forbidden,
    /// No connection stood.
    Unreachable,
    /// It took too long.
    Timeout,
    /// The connection broke.
    BrokenOff,
}

impl PostError {
    /// The word that is kept.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden_address",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::BrokenOff => "broken_off",
        }
    }
}

/// What is answered by one who wants nothing any more.
const GONE: u16 = 410;

/// The worker.
#[derive(Debug)]
pub(crate) struct Courier {
    pub(crate) shared: Arc<Shared>,
    pub(crate) poster: Arc<dyn Poster>,
}

/// What the worker knows from one turn to the next.
struct Memory {
    lease: HeldLease,
    measured_at: Option<Timestamp>,
    /// Events whose posts have not been noted yet, by endpoint.
    under_way: HashMap<EndpointId, HashSet<i64>>,
    /// Ends that are to be noted.
    ended: Vec<DeliveryEnd>,
    failures: u32,
}

type Posts = FuturesUnordered<BoxFuture<'static, DeliveryEnd>>;

impl Courier {
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        let (mut memory, mut posts) = (self.begun(), Posts::new());
        loop {
            stop.beat(self.shared.clock.now());
            let rests = stop.is_asked() || stop.is_paused();
            if stop.is_asked() && posts.is_empty() && memory.ended.is_empty() {
                break;
            }
            let found = match self.turn(&mut memory, &mut posts, rests).await {
                Ok(found) => {
                    memory.failures = 0;
                    found
                }
                Err(problem) => {
                    if memory.failures == 0 {
                        tracing::warn!(%problem, "events can't be brought to webhooks; they are kept");
                    }
                    memory.failures += 1;
                    if stop.is_asked() {
                        break;
                    }
                    Found::Trouble
                }
            };
            if !self.wait(found, &mut memory, &mut posts, &stop).await {
                break;
            }
        }
        memory.lease.give_back().await;
    }

    fn begun(&self) -> Memory {
        let Shared { store, node, clock, .. } = &*self.shared;
        let place = (Arc::clone(store), *node, Arc::clone(clock));
        Memory {
            lease: HeldLease::new(LEASE, place, HOLDS_FOR, RENEW_BELOW),
            measured_at: None,
            under_way: HashMap::new(),
            ended: Vec::new(),
            failures: 0,
        }
    }

    /// Notes what has ended, and begins what is due.
    async fn turn(&self, memory: &mut Memory, posts: &mut Posts, rests: bool) -> Result<Found, StoreError> {
        self.note(memory).await?;
        // Also by one that rests or does nothing: what waits is what there is to worry about then.
        self.measure(memory).await?;
        if rests {
            memory.lease.give_back().await;
            return Ok(Found::Nothing);
        }
        if !memory.lease.is_ours().await? {
            return Ok(Found::NotOurs);
        }
        let store = &self.shared.store;
        let now = self.shared.clock.now();
        // The writer is not asked for what a reader knows.
        let due = store.what_is_due(now).await?;
        let handed_out =
            if due.to_hand_out { store.hand_out(HandOut { now, limit: BATCH }).await? } else { 0 };
        let may_post = due.to_post || handed_out > 0;
        let begun = if may_post { self.begin(memory, posts, now).await? } else { false };
        Ok(if handed_out > 0 || begun { Found::More } else { Found::Nothing })
    }

    /// Begins to post what is due, as far as there is room; answers whether there was anything.
    async fn begin(
        &self,
        memory: &mut Memory,
        posts: &mut Posts,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let settings = self.shared.settings.webhooks;
        let limit = settings.in_flight.saturating_sub(u32::try_from(posts.len()).unwrap_or(u32::MAX));
        if limit == 0 {
            return Ok(false);
        }
        let take = TakeDeliveries {
            now,
            again_at: now.plus(2 * settings.timeout + HOLDS_FOR),
            each: settings.in_flight_each,
            under_way: memory.under_way.iter().map(|(id, posts)| (*id, count(posts))).collect(),
            limit,
        };
        let mut has_begun = false;
        for delivery in self.shared.store.take_deliveries(take).await? {
            // What takes longer than it was taken for is due again, and must not overtake itself.
            if memory.under_way.entry(delivery.endpoint).or_default().insert(delivery.number) {
                has_begun = true;
                posts.push(self.post(delivery).boxed());
            }
        }
        Ok(has_begun)
    }

    /// Waits until there may be something to do; `false` when it is time to leave everything.
    async fn wait(&self, found: Found, memory: &mut Memory, posts: &mut Posts, stop: &Stop) -> bool {
        let clock = &self.shared.clock;
        let pause = match found {
            Found::More => Duration::ZERO,
            Found::Nothing => TURN,
            Found::NotOurs | Found::Trouble => REST,
        };
        let is_asked = stop.is_asked();
        tokio::select! {
            () = stop.hard.cancelled() => return false,
            () = stop.asked(), if !is_asked => {}
            Some(end) = posts.next() => memory.ended.push(end),
            () = clock.sleep_until(clock.now().plus(pause)), if !is_asked || posts.is_empty() => {}
        }
        while let Some(Some(end)) = posts.next().now_or_never() {
            memory.ended.push(end);
        }
        true
    }

    /// Notes what has ended. Where the store does not take it, it is kept for the next turn.
    async fn note(&self, memory: &mut Memory) -> Result<(), StoreError> {
        if memory.ended.is_empty() {
            return Ok(());
        }
        let now = self.shared.clock.now();
        let end = EndDeliveries {
            ends: memory.ended.clone(),
            now,
            failing_since: now.minus(GIVE_UP_AFTER),
            rests_after: FAILS_AFTER,
        };
        let disabled = self.shared.store.end_deliveries(end).await?;
        for end in memory.ended.drain(..) {
            if let Some(posts) = memory.under_way.get_mut(&end.endpoint) {
                posts.remove(&end.number);
            }
            self.shared.metrics.webhooks.posted(end.error, end.again_at.is_some());
        }
        memory.under_way.retain(|_, posts| !posts.is_empty());
        for endpoint in disabled {
            tracing::warn!(%endpoint, "a webhook endpoint was disabled: it is gone, or has failed for three days");
            self.shared.metrics.webhooks.disabled();
        }
        Ok(())
    }

    fn post(&self, delivery: TakenDelivery) -> impl Future<Output = DeliveryEnd> + Send + 'static {
        let (shared, poster) = (Arc::clone(&self.shared), Arc::clone(&self.poster));
        async move {
            let at = shared.clock.now();
            let id = event_id(delivery.event.subject, delivery.number);
            let answer = match written(&id, &delivery.event) {
                Ok(body) => {
                    let (url, secrets) = (delivery.url.clone(), delivery.secrets.clone());
                    poster.post(Envelope { url, secrets, id, at, body: body.into() }).await
                }
                // Of a damaged row: it is tried again, and told of as a failure.
                Err(problem) => {
                    tracing::error!(%problem, event = id, "an event can't be written");
                    Err(PostError::BrokenOff)
                }
            };
            end_of(&delivery, answer, at, shared.clock.now())
        }
    }

    async fn measure(&self, memory: &mut Memory) -> Result<(), StoreError> {
        let now = self.shared.clock.now();
        if memory.measured_at.is_none_or(|at| now.since(at) >= MEASURE) {
            self.shared.metrics.webhooks.waits(self.shared.store.backlog(now).await?, now);
            memory.measured_at = Some(now);
        }
        Ok(())
    }
}

fn count(posts: &HashSet<i64>) -> u32 {
    u32::try_from(posts.len()).unwrap_or(u32::MAX)
}

/// What a turn found.
enum Found {
    More,
    Nothing,
    NotOurs,
    Trouble,
}

/// What comes of a post.
fn end_of(delivery: &TakenDelivery, posted: Posted, at: Timestamp, now: Timestamp) -> DeliveryEnd {
    // As much as the column takes, where a clock was set meanwhile.
    let took = i32::try_from(now.since(at).as_millis()).unwrap_or(i32::MAX).unsigned_abs();
    let status = posted.ok();
    let error = match posted {
        Ok(200..=299) => None,
        Ok(GONE) => Some("gone"),
        Ok(_) => Some("status"),
        Err(error) => Some(error.as_str()),
    };
    let tries = u16::try_from(delivery.tries).unwrap_or(u16::MAX);
    let wait = AGAIN.wait(tries.min(u16::MAX - 1), None, fresh::jitter()).unwrap_or(AGAIN.cap);
    // Not by time alone: who stood still for days, or whose clock was set, has hardly tried it.
    let is_left = now.since(delivery.since) < GIVE_UP_AFTER || delivery.tries < FAILS_AFTER;
    let probes = u16::try_from(delivery.failures.saturating_sub(FAILS_AFTER)).unwrap_or(u16::MAX - 1);
    let rest =
        PROBE.wait(probes.saturating_add(1).min(u16::MAX - 1), None, fresh::jitter()).unwrap_or(PROBE.cap);
    DeliveryEnd {
        endpoint: delivery.endpoint,
        number: delivery.number,
        at,
        took_ms: took,
        status,
        error,
        again_at: (error.is_some() && is_left).then(|| now.plus(wait)),
        rests_until: now.plus(rest),
        is_gone: status == Some(GONE),
    }
}

/// An event as consumers read it (Standard Webhooks: `type`, `timestamp`, `data`).
#[derive(Serialize)]
struct Written<'a, T> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: Timestamp,
    data: T,
}

/// What is told of a change of status. No number, no text.
#[derive(Serialize)]
struct Moved<'a> {
    message_id: domain::ids::MessageId,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<&'a str>,
    #[serde(flatten)]
    about: AboutMessage<'a>,
}

fn written(id: &str, event: &ToldEvent) -> serde_json::Result<String> {
    let ToldEvent { kind, subject, at, tells } = event;
    match tells {
        Tells::Data(data) => {
            let data: &RawValue = serde_json::from_str(data.expose())?;
            serde_json::to_string(&Written { id, kind, timestamp: *at, data })
        }
        Tells::Status { provider, reason, provider_code, about } => {
            let data = Moved {
                message_id: domain::ids::MessageId::from_bytes(*subject),
                status: kind.strip_prefix("message.").unwrap_or(kind),
                provider: provider.as_deref(),
                reason: reason.as_deref(),
                provider_code: provider_code.as_deref(),
                about: AboutMessage::of(about.as_ref()),
            };
            serde_json::to_string(&Written { id, kind, timestamp: *at, data })
        }
    }
}
