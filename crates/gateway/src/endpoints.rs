//! What callers do with their endpoints.

use std::sync::Arc;

use domain::audit::{Act, Actor};
use domain::event::EventData;
use domain::ids::{EndpointId, KeyId};
use domain::secret::SecretString;
use domain::time::Timestamp;
use store::StoreError;
use store::port::webhooks::{Delivery, Endpoint, EndpointChange, NewEndpoint, Replay, Replayable, Replayed};

use crate::fresh;
use crate::service::SmsService;
use crate::webhooks::{Courier, Poster, TURN};

/// Endpoints that a caller may have.
pub const MOST_ENDPOINTS: usize = 20;

/// Events that are looked at together when a range is posted again.
const PART: u32 = 500;

/// Events that one request to post a range again may look at.
pub const MOST_REPLAYED: u32 = 100_000;

/// Which events of a time to post again.
#[derive(Debug, Clone, Copy)]
pub struct ReplayRange {
    /// From then on.
    pub since: Timestamp,
    /// Before then.
    pub until: Timestamp,
    /// Where an earlier request stopped.
    pub behind: Option<(Timestamp, i64)>,
    /// How many to look at, [`MOST_REPLAYED`] at most.
    pub limit: u32,
}

/// An endpoint as its owner wants it.
#[derive(Debug)]
pub struct WantedEndpoint {
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

impl SmsService {
    /// Begins to bring events to endpoints.
    pub async fn start_webhooks(&self, poster: Arc<dyn Poster>) -> Result<(), StoreError> {
        self.shared.store.settle_webhooks().await?;
        let courier = Arc::new(Courier { shared: Arc::clone(&self.shared), poster });
        let turn = self.shared.settings.webhooks.timeout.max(TURN);
        self.add_worker("webhooks", turn, move |stop| Arc::clone(&courier).run(stop));
        Ok(())
    }

    /// Stores an endpoint; `None` if its owner has too many.
    pub async fn create_endpoint(
        &self,
        caller: KeyId,
        wanted: WantedEndpoint,
        by: Actor,
    ) -> Result<Option<EndpointId>, StoreError> {
        let theirs = self.endpoints(Some(caller)).await?;
        if theirs.iter().filter(|endpoint| endpoint.caller == caller).count() >= MOST_ENDPOINTS {
            return Ok(None);
        }
        let now = self.now();
        let id = fresh::endpoint_id(now);
        let WantedEndpoint { hears_all, url, description, events, secret } = wanted;
        let endpoint = NewEndpoint { id, caller, hears_all, url, description, events, secret };
        self.shared.store.create_endpoint(endpoint, Act { by, at: now }).await?;
        Ok(Some(id))
    }

    /// Endpoints, oldest first; only of one owner, if one is named.
    pub async fn endpoints(&self, caller: Option<KeyId>) -> Result<Vec<Endpoint>, StoreError> {
        let mut endpoints = self.shared.store.endpoints().await?;
        endpoints.retain(|endpoint| caller.is_none_or(|caller| endpoint.caller == caller));
        Ok(endpoints)
    }

    /// Changes an endpoint; `false` if it is not there.
    pub async fn change_endpoint(
        &self,
        id: EndpointId,
        change: EndpointChange,
        by: Actor,
    ) -> Result<bool, StoreError> {
        self.shared.store.change_endpoint(id, change, Act { by, at: self.now() }).await
    }

    /// Tells an endpoint of itself, whatever it asked for.
    pub async fn test_endpoint(&self, id: EndpointId, by: Actor) -> Result<bool, StoreError> {
        let data = EventData::from_json(format!(r#"{{"endpoint_id":"{id}"}}"#));
        self.change_endpoint(id, EndpointChange::Test(data), by).await
    }

    /// Deliveries of an endpoint, newest first.
    pub async fn deliveries(
        &self,
        endpoint: EndpointId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.shared.store.deliveries(endpoint, before, limit).await
    }

    /// Posts an event again; `false` if it is not kept, or not the endpoint's.
    pub async fn replay_event(
        &self,
        endpoint: EndpointId,
        event: (i64, [u8; 16]),
        by: Actor,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let replay = Replay { endpoint, which: Replayable::One(event.0, event.1), now, limit: 1 };
        let replayed = self.shared.store.replay(replay, Some(Act { by, at: now })).await?;
        Ok(replayed.events > 0)
    }

    /// Posts the events of a time again: what an endpoint may hear of and asked for.
    pub async fn replay_range(
        &self,
        endpoint: EndpointId,
        range: ReplayRange,
        by: Actor,
    ) -> Result<Replayed, StoreError> {
        let ReplayRange { since, until, behind, limit } = range;
        let now = self.now();
        let (mut act, mut left) = (Some(Act { by, at: now }), limit.min(MOST_REPLAYED));
        let mut replayed = Replayed { events: 0, behind: Some(behind.unwrap_or((since, i64::MIN))) };
        while let Some(behind) = replayed.behind.filter(|_| left > 0) {
            let limit = left.min(PART);
            let which = Replayable::Range { since, until, behind };
            let replay = Replay { endpoint, which, now, limit };
            let part = self.shared.store.replay(replay, act.take()).await?;
            (replayed.events, replayed.behind) = (replayed.events + part.events, part.behind);
            left -= limit;
        }
        Ok(replayed)
    }
}
