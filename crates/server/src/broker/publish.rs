//! Events on their way to the broker: at least once, and those of a message in order.
//!
//! One node publishes for all. It takes the front of the outbox, publishes in rounds in which each message has one
//! event, and forgets what the broker has acknowledged. An event that may have arrived is published again under the same
//! id, by which JetStream drops the second (ADR-4 of NATS: `Nats-Msg-Id`) and a consumer can too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use domain::ids::{MessageId, NodeId};
use domain::time::{Clock, Timestamp};
use futures_util::future::join_all;
use gateway::lease::HeldLease;
use gateway::stop::Stop;
use gateway::told::AboutMessage;
use serde::Serialize;
use serde_json::value::RawValue;
use store::Store;
use store::port::events::{Event, RaisedEvent};

use super::figures::Figures;
use super::link::{Link, Trouble, stream_that_keeps};
use crate::config::Broker;

/// Events that are read together.
const BATCH: u32 = 500;

/// How often an empty outbox is looked into.
const TURN: Duration = Duration::from_millis(100);

/// How often a node that does not publish looks whether it should.
const WATCH: Duration = Duration::from_secs(2);

/// How often the outbox is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// The lease of the node that publishes.
const LEASE: &str = "publish";
const HOLDS_FOR: Duration = Duration::from_secs(20);

/// Renewed when less is left: more than publishing a round may take, which is twice the broker's patience.
const RENEW_BELOW: Duration = Duration::from_secs(12);

/// The worker.
pub(super) struct Publisher {
    pub(super) link: Arc<Link>,
    pub(super) store: Arc<dyn Store>,
    pub(super) node: NodeId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) figures: Arc<Figures>,
    pub(super) settings: Broker,
}

/// What the worker knows from one turn to the next.
struct Memory {
    lease: HeldLease,
    has_stream: bool,
    measured_at: Option<Timestamp>,
}

/// What a turn found.
enum Found {
    /// More may be there.
    More,
    /// All is published.
    Nothing,
    /// Another node publishes.
    NotOurs,
}

impl Publisher {
    pub(super) async fn run(self: Arc<Self>, stop: Stop) {
        let (mut memory, mut failures) = (self.begun(), 0);
        while !stop.is_asked() {
            stop.beat(self.clock.now());
            if stop.is_paused() {
                memory.lease.give_back().await;
                self.link.pause(WATCH, &stop).await;
                continue;
            }
            match self.turn(&mut memory).await {
                Ok(found) => {
                    failures = 0;
                    match found {
                        Found::More => {}
                        Found::Nothing => self.link.pause(TURN, &stop).await,
                        Found::NotOurs => self.link.pause(WATCH, &stop).await,
                    }
                }
                Err(trouble) => {
                    memory.has_stream = false;
                    self.tell(&trouble, failures);
                    failures += 1;
                    self.link.rest(failures, &stop).await;
                }
            }
        }
        memory.lease.give_back().await;
    }

    fn begun(&self) -> Memory {
        let place = (Arc::clone(&self.store), self.node, Arc::clone(&self.clock));
        let lease = HeldLease::new(LEASE, place, HOLDS_FOR, RENEW_BELOW);
        Memory { lease, has_stream: false, measured_at: None }
    }

    /// Once for each trouble, when it begins. That there is no connection is told by whoever lost it.
    fn tell(&self, trouble: &Trouble, failures: u32) {
        self.figures.failed("publish");
        if failures == 0 && !matches!(trouble, Trouble::Away) {
            tracing::warn!(%trouble, "events can't be published; they are kept");
        }
    }

    async fn turn(&self, memory: &mut Memory) -> Result<Found, Trouble> {
        self.measure(memory).await?;
        self.link.up()?;
        if !memory.lease.is_ours().await? {
            return Ok(Found::NotOurs);
        }
        if !memory.has_stream {
            let Broker { event_stream, event_subject, event_days, .. } = &self.settings;
            self.link.stream(stream_that_keeps(event_stream, event_subject, *event_days)).await?;
            memory.has_stream = true;
        }
        let statuses = self.store.events(BATCH).await?;
        let raised = self.store.raised_events(BATCH).await?;
        let is_full = statuses.len().max(raised.len()) == BATCH as usize;
        let written = statuses.iter().map(Outgoing::of_status).chain(raised.iter().map(Outgoing::of_raised));
        let events = written.collect::<Result<_, _>>().map_err(Trouble::of("an event can't be written"))?;
        for round in rounds(events) {
            self.link.up()?;
            if !memory.lease.is_ours().await? {
                return Ok(Found::NotOurs);
            }
            self.publish(&round).await?;
        }
        Ok(if is_full { Found::More } else { Found::Nothing })
    }

    /// Publishes events of as many messages, and forgets those that have arrived. If one has not, it fails: the next event
    /// of that message must not overtake it.
    async fn publish(&self, round: &[Outgoing]) -> Result<(), Trouble> {
        let arrived = join_all(round.iter().map(|event| self.publish_one(event))).await;
        let arrived_of = |is_raised: bool| -> Vec<i64> {
            let both =
                round.iter().zip(&arrived).filter(|(event, it)| event.is_raised == is_raised && it.is_ok());
            both.map(|(event, _)| event.number).collect()
        };
        let (statuses, raised) = (arrived_of(false), arrived_of(true));
        self.figures.published(statuses.len() + raised.len());
        if !statuses.is_empty() {
            self.store.forget_events(statuses).await?;
        }
        if !raised.is_empty() {
            self.store.forget_raised(raised).await?;
        }
        arrived.into_iter().collect()
    }

    async fn publish_one(&self, event: &Outgoing) -> Result<(), Trouble> {
        let publish = PublishMessage::build().payload(event.payload.clone()).message_id(&event.id);
        let subject = format!("{}.{}", self.settings.event_subject, event.kind);
        let sent = self.link.context().send_publish(subject, publish).await;
        sent.map_err(Trouble::of("an event can't be published"))?
            .await
            .map(|_place| ())
            .map_err(Trouble::of("an event was not acknowledged"))
    }

    async fn measure(&self, memory: &mut Memory) -> Result<(), Trouble> {
        let now = self.clock.now();
        if memory.measured_at.is_none_or(|at| now.since(at) >= MEASURE) {
            self.figures.outbox(self.store.outbox().await?);
            memory.measured_at = Some(now);
        }
        Ok(())
    }
}

/// An event as it goes out.
struct Outgoing {
    /// Its place among those of its sort.
    number: i64,
    /// Raised by what it tells of, not by a change of status.
    is_raised: bool,
    /// What it happened to.
    subject: [u8; 16],
    id: String,
    kind: String,
    payload: Bytes,
}

impl Outgoing {
    fn of_status(event: &Event) -> serde_json::Result<Self> {
        Ok(Self {
            number: event.number,
            is_raised: false,
            subject: *event.message_id.as_bytes(),
            id: id(event),
            kind: event.status.clone(),
            payload: serde_json::to_vec(&Payload::from(event))?.into(),
        })
    }

    fn of_raised(event: &RaisedEvent) -> serde_json::Result<Self> {
        let id = event.id();
        let data = serde_json::from_str(event.data.expose())?;
        let payload = serde_json::to_vec(&Raised { id: &id, kind: &event.kind, at: event.at, data })?.into();
        let (number, subject, kind) = (event.number, event.subject, event.kind.clone());
        Ok(Self { number, is_raised: true, subject, id, kind, payload })
    }
}

/// An event that is no change of status, as consumers read it.
#[derive(Serialize)]
struct Raised<'a> {
    id: &'a str,
    kind: &'a str,
    at: Timestamp,
    data: &'a RawValue,
}

/// Events in rounds: each message once in a round, its earlier events in earlier rounds.
fn rounds(events: Vec<Outgoing>) -> Vec<Vec<Outgoing>> {
    let mut seen: HashMap<[u8; 16], usize> = HashMap::new();
    let mut rounds: Vec<Vec<Outgoing>> = Vec::new();
    for event in events {
        let place = seen.entry(event.subject).or_default();
        if rounds.len() == *place {
            rounds.push(Vec::new());
        }
        rounds[*place].push(event);
        *place += 1;
    }
    rounds
}

/// Never two events' id, also not of two databases: the message's own, and the event's number.
fn id(event: &Event) -> String {
    let message = event.message_id.to_string();
    let message = message.strip_prefix(&format!("{}_", MessageId::PREFIX)).unwrap_or(&message);
    format!("evt_{message}_{}", event.number)
}

/// A change of status as consumers read it. No number, no text.
#[derive(Serialize)]
struct Payload<'a> {
    id: String,
    kind: &'a str,
    message_id: MessageId,
    status: &'a str,
    at: Timestamp,
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<&'a str>,
    #[serde(flatten)]
    about: AboutMessage<'a>,
}

impl<'a> From<&'a Event> for Payload<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            id: id(event),
            kind: &event.status,
            message_id: event.message_id,
            status: &event.status,
            at: event.at,
            provider: &event.provider,
            reason: event.reason.as_deref(),
            provider_code: event.provider_code.as_deref(),
            about: AboutMessage::of(event.about.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: i64, message: u8) -> Event {
        let at = Timestamp::from_micros(1_795_422_600_123_456);
        Event {
            number,
            message_id: MessageId::new(at, [message; 10]),
            status: "sent".into(),
            provider: "somebody".into(),
            reason: None,
            provider_code: None,
            at,
            about: None,
        }
    }

    #[test]
    fn each_message_is_in_a_round_once_and_in_order() {
        let events = [event(1, 1), event(2, 2), event(3, 1), event(4, 1), event(5, 3), event(6, 2)];
        let events = events.iter().map(Outgoing::of_status).collect::<Result<_, _>>().unwrap();
        let numbers: Vec<Vec<i64>> = rounds(events)
            .into_iter()
            .map(|round| round.into_iter().map(|event| event.number).collect())
            .collect();
        assert_eq!(numbers, [vec![1, 2, 5], vec![3, 6], vec![4]]);
    }

    #[test]
    fn payload_has_what_is_known_and_an_id_of_its_own() {
        let event = event(7, 1);
        let json = serde_json::to_value(Payload::from(&event)).unwrap();
        let message = event.message_id.to_string();
        let expected = serde_json::json!({
            "id": message.replace("msg_", "evt_") + "_7",
            "kind": "sent",
            "message_id": message,
            "status": "sent",
            "at": event.at.to_string(),
            "provider": "somebody",
        });
        assert_eq!(json, expected);
    }
}
