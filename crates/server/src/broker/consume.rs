//! Requests to send, taken from the broker lane by lane.
//!
//! Each lane has a consumer and a loop of its own: a code never waits behind bulk. A batch is worked on side by side, so
//! that the store's group commit gathers it. A request is acknowledged after it is on disk and not before; one that is
//! delivered twice is answered by the store as repeated, by its idempotency key.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::message::{AckKind, Info};
use domain::scenario::Priority;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use gateway::stop::Stop;
use gateway::{SendError, SmsService};

use super::caller::StandingCaller;
use super::dead::DeadLetters;
use super::figures::{Fate, Figures};
use super::link::{Link, Trouble, stream_of_requests};
use crate::config::Broker;
use crate::http::problem::Problem;
use crate::http::read_send;

/// How long the broker holds an ask for more while there is nothing. Five seconds later the client gives up an ask that a
/// lost connection took with it. Not sooner: what is delivered to an ask that was given up comes again after a while only.
const HOLD: Duration = Duration::from_secs(2);

/// What the broker has delivered and not heard of, to all nodes together: also what it is to deliver later.
const MOST_PENDING: i64 = 20_000;

/// The longest wait before a request that could not be accepted comes again.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// The longest wait for room under a limit. What has to wait longer is refused, as it is over HTTP.
const LONGEST_HELD: Duration = Duration::from_hours(1);

/// How often a worker that rests looks whether it may work again.
const PAUSED_TURN: Duration = Duration::from_secs(1);

/// One lane's loop.
pub(super) struct Consumer {
    pub(super) lane: Priority,
    pub(super) link: Arc<Link>,
    pub(super) service: Arc<SmsService>,
    pub(super) caller: Arc<StandingCaller>,
    pub(super) dead: Arc<DeadLetters>,
    pub(super) figures: Arc<Figures>,
    pub(super) settings: Broker,
    pub(super) max_body_bytes: usize,
}

/// Why a request was not accepted.
enum Refusal {
    /// It will never be.
    Never(Problem),
    /// A limit leaves room for it in so long. Nobody else need wait.
    Held(Duration),
    /// Not now.
    Later(Trouble),
    /// The key that stands for the broker may not send any more.
    NoCaller,
}

impl Consumer {
    pub(super) async fn run(self: Arc<Self>, stop: Stop) {
        let (mut consumer, mut failures) = (None, 0);
        while !stop.is_asked() {
            stop.beat(self.link.now());
            if stop.is_paused() {
                self.link.pause(PAUSED_TURN, &stop).await;
                continue;
            }
            match self.turn(&mut consumer, &stop).await {
                Ok(()) => failures = 0,
                Err(trouble) => {
                    consumer = None;
                    self.tell(&trouble, failures);
                    failures += 1;
                    self.link.rest(failures, &stop).await;
                }
            }
        }
        self.link.flush().await;
    }

    /// Once for each trouble, when it begins. That there is no connection is told by whoever lost it.
    fn tell(&self, trouble: &Trouble, failures: u32) {
        self.figures.failed("consume");
        if failures == 0 && !matches!(trouble, Trouble::Away) {
            tracing::warn!(lane = %self.lane, %trouble, "requests can't be taken from the broker; trying again");
        }
    }

    /// Takes a batch, and works on it to the end. Fails also if the store could take nothing now: then the lane rests
    /// before it takes more.
    async fn turn(&self, consumer: &mut Option<PullConsumer>, stop: &Stop) -> Result<(), Trouble> {
        self.link.up()?;
        let consumer = match consumer {
            Some(consumer) => consumer,
            None => consumer.insert(self.prepare().await?),
        };
        let asked = consumer.batch().max_messages(self.settings.max_in_flight).expires(HOLD).messages().await;
        let mut batch = asked.map_err(Trouble::of("nothing can be asked for"))?;
        let (mut is_open, mut is_idle, mut trouble) = (true, true, None);
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                // All that is there is begun before any of it is waited for, also when it is time to stop.
                biased;
                next = batch.next(), if is_open => match next {
                    Some(Ok(message)) => {
                        is_idle = false;
                        under_way.push(self.take(message));
                    }
                    Some(Err(problem)) => {
                        trouble = Some(Trouble::of("a batch ended early")(problem));
                        is_open = false;
                    }
                    None => is_open = false,
                },
                Some(failed) = under_way.next(), if !under_way.is_empty() => trouble = trouble.or(failed),
                () = stop.asked(), if is_open => is_open = false,
                else => break,
            }
        }
        drop(under_way);
        if is_idle && trouble.is_none() && !stop.is_asked() {
            self.link.up()?;
            // Silence may be that of a consumer whose stream was removed: it still holds asks, and has nothing to give.
            consumer.get_info().await.map_err(Trouble::of("the consumer is gone"))?;
        }
        trouble.map_or(Ok(()), Err)
    }

    /// Makes the stream and this lane's consumer, or takes those that are there as they are.
    async fn prepare(&self) -> Result<PullConsumer, Trouble> {
        let stream = self.link.stream_that_stands(stream_of_requests(&self.settings)).await?;
        let name = format!("tuma-{}", self.lane);
        let config = PullConfig {
            durable_name: Some(name.clone()),
            filter_subject: format!("{}.{}", self.settings.send_subject, self.lane),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.settings.ack_wait(),
            max_ack_pending: MOST_PENDING,
            ..PullConfig::default()
        };
        let made = stream.get_or_create_consumer(&name, config).await;
        made.map_err(Trouble::of("the consumer can't be had"))
    }

    /// Takes one request to its end: accepted, dead, or to come again. What kept it from either of the first is answered.
    async fn take(&self, message: Message) -> Option<Trouble> {
        let (fate, answer, trouble) = match self.accept(&message).await {
            Ok(()) => (Fate::Accepted, AckKind::Ack, None),
            Err(Refusal::Never(problem)) => match self.dead.keep(self.lane, &message, problem).await {
                Ok(()) => (Fate::Dead, AckKind::Term, None),
                Err(trouble) => (Fate::Later, again(&message), Some(trouble)),
            },
            Err(Refusal::Held(room_in)) => (Fate::Later, held(&message, room_in), None),
            Err(Refusal::Later(trouble)) => (Fate::Later, again(&message), Some(trouble)),
            Err(Refusal::NoCaller) => {
                let problem = "broker.api_key is not valid any more, or may not send".into();
                let trouble = Trouble::Broker { what: "requests have no caller", problem };
                (Fate::Later, again(&message), Some(trouble))
            }
        };
        self.figures.consumed(self.lane, fate);
        if let Err(problem) = message.ack_with(answer).await {
            // Not heard: it comes again after a while, and is then known.
            tracing::debug!(%problem, "an acknowledgment could not be sent");
        }
        trouble
    }

    async fn accept(&self, message: &Message) -> Result<(), Refusal> {
        let info = message.info().map_err(|problem| Refusal::Later(Trouble::of("no place")(problem)))?;
        let key = idempotency_key(message, &info);
        let request = read_send(&message.payload, &key, self.max_body_bytes).map_err(Refusal::Never)?;
        let caller = self.caller.identify().await.map_err(|problem| Refusal::Later(problem.into()))?;
        match self.service.send_sms(caller.ok_or(Refusal::NoCaller)?, request).await {
            Ok(_) => Ok(()),
            Err(SendError::Store(problem)) => Err(Refusal::Later(problem.into())),
            Err(SendError::Limited(reached)) if reached.again_in <= LONGEST_HELD => {
                Err(Refusal::Held(reached.again_in))
            }
            Err(refusal) => Err(Refusal::Never(refusal.into())),
        }
    }
}

/// What makes a request repeatable: as its producer says, or else its place in the stream. The time is in it because
/// places begin anew in a stream that was made anew.
fn idempotency_key(message: &Message, info: &Info<'_>) -> String {
    let header = |name: &str| {
        let mut headers = message.headers.iter().flat_map(|headers| headers.iter());
        headers.find(|(key, _)| AsRef::<str>::as_ref(*key).eq_ignore_ascii_case(name))?.1.first()
    };
    if let Some(key) = header("Idempotency-Key").or_else(|| header("Nats-Msg-Id")) {
        return key.as_str().to_owned();
    }
    format!("{}:{}:{}", info.stream, info.stream_sequence, info.published.unix_timestamp_nanos())
}

/// Again after a while, which grows each time.
fn again(message: &Message) -> AckKind {
    AckKind::Nak(Some(pause_of(message)))
}

/// Again when there may be room. Others wait for the same room: whoever finds none waits longer each time.
fn held(message: &Message, room_in: Duration) -> AckKind {
    AckKind::Nak(Some(pause_of(message).max(room_in.min(LONGEST_DELAY))))
}

fn pause_of(message: &Message) -> Duration {
    let delivered = message.info().map_or(1, |info| info.delivered);
    let doublings = u32::try_from(delivered.saturating_sub(1)).unwrap_or(0).min(5);
    Duration::from_secs(1 << doublings).min(LONGEST_DELAY)
}
