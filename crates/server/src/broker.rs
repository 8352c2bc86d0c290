//! The message broker (NATS JetStream): requests to send come in by it, and events go out.
//!
//! It is one more edge beside HTTP, over the same service and store, and nothing waits for it: while it is down,
//! messages are accepted over HTTP and sent, and events are kept in the store's outbox. docs/adr/0015 says why it is
//! built so, docs/broker.md what producers and consumers see.

mod figures;

mod link;

mod caller;

mod dead;

mod consume;

mod publish;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::scenario::Priority;
use domain::time::Clock;
use gateway::SmsService;
use opentelemetry::metrics::Meter;
use store::Store;

use self::caller::StandingCaller;
use self::consume::Consumer;
use self::dead::DeadLetters;
use self::figures::Figures;
use self::link::Link;
use self::publish::Publisher;
use crate::auth::Authenticator;
use crate::config::{Config, Role};

pub(crate) use self::caller::NO_KEY;
pub(crate) use self::link::probe;

/// How long a worker may go without a sign of life: two answers that the broker does not give.
const TURN: Duration = Duration::from_secs(30);

/// From a failure to the next try, at the longest. The waits before are shorter, and drawn at random.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What the edge to the broker stands on.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) service: Arc<SmsService>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meter: Meter,
}

/// Keeps events from now on, or no more, before anything happens that they could tell of.
///
/// Where no broker is set, a database that one process serves keeps none: nobody would ever fetch them. One that others
/// may serve too is left as it is, for they may publish; only `broker.events = false` ends it for all of them.
pub(crate) async fn settle_events(config: &Config, store: &dyn Store) -> anyhow::Result<()> {
    let broker = &config.broker;
    let are_kept = store.are_events_kept().await.context("the outbox can't be read")?;
    let wanted = if broker.publishes() {
        true
    } else if broker.events && store.is_shared() {
        if are_kept {
            tracing::warn!(
                "events are kept for a broker, and this node has none: others must publish them, or set broker.events \
                 = false to keep none"
            );
        }
        return Ok(());
    } else {
        false
    };
    if wanted != are_kept {
        store.keep_events(wanted).await.context("whether events are kept can't be changed")?;
        tracing::info!(kept = wanted, "whether changes of status are kept as events, for all nodes");
    }
    Ok(())
}

/// The edge, before its workers are started.
pub(crate) struct Edge {
    consumers: Vec<Arc<Consumer>>,
    publisher: Option<Arc<Publisher>>,
}

impl Edge {
    /// Checks what can be checked without the broker, and begins to connect; `None` where no broker is set.
    pub(crate) async fn prepare(config: &Config, parts: Parts) -> anyhow::Result<Option<Self>> {
        let broker = &config.broker;
        if !broker.is_set() {
            return Ok(None);
        }
        let Parts { store, service, authenticator, clock, meter } = parts;
        let mut caller = None;
        if broker.consumes() && config.roles.has(Role::Api) {
            caller = Some(Arc::new(StandingCaller::new(broker, authenticator).await?));
        }
        let figures = Arc::new(Figures::new(&meter, Arc::clone(&clock)));
        let link = Arc::new(Link::open(broker, Arc::clone(&clock)).await?);
        let dead = Arc::new(DeadLetters::new(broker, &link));
        let consumers = caller.iter().flat_map(|caller| {
            Priority::ALL.iter().map(|lane| {
                Arc::new(Consumer {
                    lane: *lane,
                    link: Arc::clone(&link),
                    service: Arc::clone(&service),
                    caller: Arc::clone(caller),
                    dead: Arc::clone(&dead),
                    figures: Arc::clone(&figures),
                    settings: broker.clone(),
                    max_body_bytes: config.http.max_body_bytes,
                })
            })
        });
        let consumers = consumers.collect();
        let (node, settings) = (service.node(), broker.clone());
        let is_published_here = broker.publishes() && config.roles.has(Role::Chores);
        let publisher =
            is_published_here.then(|| Arc::new(Publisher { link, store, node, clock, figures, settings }));
        Ok(Some(Self { consumers, publisher }))
    }

    /// Begins to take requests and to publish events.
    pub(crate) fn start(self, service: &SmsService) {
        for consumer in self.consumers {
            let name = format!("consume.{}", consumer.lane);
            service.add_worker(&name, TURN, move |stop| Arc::clone(&consumer).run(stop));
        }
        if let Some(publisher) = self.publisher {
            service.add_worker("publish", TURN, move |stop| Arc::clone(&publisher).run(stop));
        }
    }
}
