//! What is reserved of caps for messages, until it is known what they cost.
//!
//! What a message draws of a cap is reserved in the commit that accepts it. When it has left, or never will, what was charged
//! takes the place of what was reserved. The reservation covers all attempts after the one that was the last when it
//! was made; a message that is sent again is reserved for again.

use async_trait::async_trait;
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::money::Money;
use domain::phone::Country;
use domain::quota::Draw;
use domain::route::ProviderName;
use domain::time::Timestamp;

use crate::StoreError;

/// Reservations and quotas.
#[async_trait]
pub trait Spending: Send + Sync {
    /// Reservations in the order of their messages, from after one of them.
    async fn reservations(
        &self,
        after: Option<ReservationId>,
        limit: u32,
    ) -> Result<Vec<Reservation>, StoreError>;

    /// Puts what was charged in the place of what was reserved, in one commit. A reservation that has changed since it was
    /// read is left alone, for it will be read again. Answers how many were settled.
    async fn settle(&self, charges: Vec<Charge>) -> Result<u64, StoreError>;

    /// The numbers of these quotas; `None` where nothing is drawn. For people, not for decisions.
    async fn standing(&self, draws: Vec<Draw>) -> Result<Vec<Option<i64>>, StoreError>;
}

/// Names a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReservationId {
    /// For which message.
    pub message_id: MessageId,
    /// Of which quota.
    pub quota: i64,
}

/// What is reserved for a message, with what is known of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its name.
    pub id: ReservationId,
    /// How much, in what the quota counts.
    pub amount: i64,
    /// The message; `None` if it is kept no longer.
    pub message: Option<ReservedFor>,
}

/// A message for which something is reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedFor {
    /// Where it stands.
    pub status: MessageStatus,
    /// Where it goes.
    pub country: Country,
    /// How many segments it has, by our count.
    pub segments: u16,
    /// The attempts that the reservation is for and that a provider took, or may have taken.
    pub taken: Vec<Taking>,
}

/// An attempt that a provider took, or may have taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taking {
    /// Who.
    pub provider: ProviderName,
    /// How many segments, by its own count.
    pub segments: Option<u16>,
    /// What it charges, if it said so.
    pub cost: Option<Money>,
}

/// What a reservation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Which reservation.
    pub id: ReservationId,
    /// What was reserved.
    pub reserved: i64,
    /// What was charged.
    pub charged: i64,
    /// The present.
    pub now: Timestamp,
}
