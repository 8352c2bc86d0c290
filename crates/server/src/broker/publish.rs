//! Events on their way to the broker: at least once, and those of a message in order.
//!
//! One node publishes for all. It takes the front of the outbox, publishes in rounds in which each message has one
//! event, and forgets what the broker has acknowledged. An event that may have arrived is published again under the same
//! id, by which JetStream drops the second (ADR-4 of NATS: `Nats-Msg-Id`) and a consumer can too.
//!
//! An event that is larger than the broker carries would stand in front of all others for ever. It goes out without what makes it
//! large, and where that does not help it is set aside.

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
use serde_json::{Map, Value};
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

/// What the headers of an event take at most: the broker counts them too.
const HEADERS: usize = 256;

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
        self.figures.published(arrived.iter().filter(|it| matches!(it, Ok(true))).count());
        if !statuses.is_empty() {
            self.store.forget_events(statuses).await?;
        }
        if !raised.is_empty() {
            self.store.forget_raised(raised).await?;
        }
        arrived.into_iter().try_for_each(|it| it.map(|_has_it| ()))
    }

    /// Answers whether the broker has it: one that it does not carry need not be published again either.
    async fn publish_one(&self, event: &Outgoing) -> Result<bool, Trouble> {
        let Some(payload) = self.payload(event) else { return Ok(false) };
        let publish = PublishMessage::build().payload(payload).message_id(&event.id);
        let subject = format!("{}.{}", self.settings.event_subject, event.kind);
        let sent = self.link.context().send_publish(subject, publish).await;
        sent.map_err(Trouble::of("an event can't be published"))?
            .await
            .map(|_place| true)
            .map_err(Trouble::of("an event was not acknowledged"))
    }

    /// What the broker can carry of an event; `None` if that is nothing: then those behind it go on.
    fn payload(&self, event: &Outgoing) -> Option<Bytes> {
        let room = self.link.max_payload().saturating_sub(HEADERS);
        if event.payload.len() <= room {
            return Some(event.payload.clone());
        }
        let shortened = event.shortened(room);
        let (bytes, max) = (event.payload.len(), room);
        if shortened.is_some() {
            self.figures.oversized("shortened");
            tracing::warn!(event.id = %event.id, event.kind = %event.kind, bytes, max, "an event was shortened: the broker does not carry it whole");
        } else {
            self.figures.oversized("set_aside");
            tracing::error!(event.id = %event.id, event.kind = %event.kind, bytes, max, "an event was set aside: the broker does not carry it");
        }
        shortened
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

    /// The event without the largest parts of its data, which it names, so that it has room; `None` where nothing can be left out,
    /// or that does not help.
    fn shortened(&self, room: usize) -> Option<Bytes> {
        let mut event: Map<String, Value> = serde_json::from_slice(&self.payload).ok()?;
        let Some(Value::Object(mut data)) = event.remove("data") else { return None };
        let mut left_out = Vec::new();
        loop {
            let (name, _) = data.iter().max_by_key(|(_, value)| value.to_string().len())?;
            let name = name.clone();
            data.remove(&name);
            left_out.push(name);
            let mut shortened = event.clone();
            shortened.insert("data".into(), data.clone().into());
            shortened.insert("left_out".into(), left_out.clone().into());
            let payload = serde_json::to_vec(&shortened).ok()?;
            if payload.len() <= room {
                return Some(payload.into());
            }
        }
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
    use domain::event::EventData;

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

    fn raised(data: &str) -> Outgoing {
        let event = RaisedEvent {
            number: 7,
            kind: "prompt.closed".into(),
            subject: [1; 16],
            caller: None,
            at: Timestamp::from_micros(1_795_422_600_123_456),
            data: EventData::from_json(data),
        };
        Outgoing::of_raised(&event).unwrap()
    }

    #[test]
    fn what_makes_an_event_too_large_is_left_out_and_named() {
        let large =
            format!(r#"{{"prompt_id":"prm_1","replies":["{}"],"receivers":[1,2]}}"#, "x".repeat(2_000));
        let event = raised(&large);
        let short: Value = serde_json::from_slice(&event.shortened(1_000).unwrap()).unwrap();
        assert_eq!(short["data"], serde_json::json!({"prompt_id": "prm_1", "receivers": [1, 2]}));
        assert_eq!(short["left_out"], serde_json::json!(["replies"]));
        assert_eq!((&short["id"], &short["kind"]), (&event.id.clone().into(), &event.kind.clone().into()));
    }

    #[test]
    fn event_of_which_nothing_can_be_left_out_has_no_shorter_form() {
        assert!(raised(r#"{"a":"b"}"#).shortened(10).is_none());
        assert!(Outgoing::of_status(&event(1, 1)).unwrap().shortened(10).is_none());
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
