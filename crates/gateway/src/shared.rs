//! What all workers of a service use.

use std::sync::Arc;

use domain::ids::NodeId;
use domain::time::Clock;
use store::Store;

use crate::answers::AnswerBook;
use crate::arrivals::{Outcomes, Wakeups};
use crate::guard::Guard;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::next::Decider;
use crate::refused::Refusals;
use crate::request_key::RequestKey;
use crate::routing::Router;
use crate::settings::Settings;
use crate::share::Nodes;
use crate::silence::Silence;
use crate::templates::Templates;

/// Parts of one service.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) requests: RequestKey,
    pub(crate) limits: Arc<Limits>,
    pub(crate) answers: Arc<AnswerBook>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) node: NodeId,
    pub(crate) settings: Settings,
    pub(crate) router: Router,
    pub(crate) wakeups: Wakeups,
    pub(crate) outcomes: Outcomes,
    pub(crate) silence: Silence,
    pub(crate) guard: Guard,
    pub(crate) templates: Templates,
    pub(crate) nodes: Nodes,
    pub(crate) refusals: Refusals,
    pub(crate) metrics: Metrics,
}

impl Shared {
    /// What decides what comes after an attempt.
    pub(crate) fn decider(&self) -> Decider<'_> {
        Decider { router: &self.router, settings: &self.settings }
    }
}
