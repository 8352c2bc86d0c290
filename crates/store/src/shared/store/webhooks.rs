//! Webhooks, over the group-commit layer and connections that read.

use async_trait::async_trait;
use domain::audit::Act;
use domain::ids::EndpointId;
use domain::time::Timestamp;

use super::super::read;
use super::BackendStore;
use crate::StoreError;
use crate::group::{EndpointOperation, Operation};
use crate::port::webhooks::{
    Backlog, Delivery, Due, EndDeliveries, Endpoint, EndpointChange, HandOut, NewEndpoint, Replay, Replayed,
    TakeDeliveries, TakenDelivery, Webhooks,
};

#[async_trait]
impl Webhooks for BackendStore {
    async fn create_endpoint(&self, endpoint: NewEndpoint, act: Act) -> Result<(), StoreError> {
        let create = EndpointOperation::Create(endpoint, act);
        self.group()?.ask(create, Operation::Endpoint).await.map(|_created| ())
    }

    async fn change_endpoint(
        &self,
        id: EndpointId,
        change: EndpointChange,
        act: Act,
    ) -> Result<bool, StoreError> {
        self.group()?.ask(EndpointOperation::Change(id, change, act), Operation::Endpoint).await
    }

    async fn settle_webhooks(&self) -> Result<(), StoreError> {
        if self.read(read::webhooks::is_settled).await? {
            return Ok(());
        }
        self.group()?.ask(EndpointOperation::Settle, Operation::Endpoint).await.map(|_settled| ())
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError> {
        self.read(read::webhooks::endpoints).await
    }

    async fn what_is_due(&self, now: Timestamp) -> Result<Due, StoreError> {
        self.read(move |statements| read::webhooks::what_is_due(statements, now)).await
    }

    async fn hand_out(&self, hand_out: HandOut) -> Result<u64, StoreError> {
        self.group()?.ask(hand_out, Operation::HandOut).await
    }

    async fn take_deliveries(&self, take: TakeDeliveries) -> Result<Vec<TakenDelivery>, StoreError> {
        self.group()?.ask(take, Operation::TakeDeliveries).await
    }

    async fn end_deliveries(&self, end: EndDeliveries) -> Result<Vec<EndpointId>, StoreError> {
        self.group()?.ask(end, Operation::EndDeliveries).await
    }

    async fn deliveries(
        &self,
        endpoint: EndpointId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.read(move |statements| read::webhooks::deliveries(statements, endpoint, before, limit)).await
    }

    async fn replay(&self, replay: Replay, act: Option<Act>) -> Result<Replayed, StoreError> {
        self.group()?.ask((replay, act), Operation::Replay).await
    }

    async fn forget_told(&self, before: Timestamp, limit: u32) -> Result<bool, StoreError> {
        self.group()?.ask((before, limit), Operation::ForgetTold).await
    }

    async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        self.read(move |statements| read::webhooks::backlog(statements, now)).await
    }
}
