//! What the gateway asks of a store. A method is one use case and one transaction; no transaction handle
//! leaves this crate.

pub mod audit;
pub mod consent;
pub mod events;
pub mod guard;
pub mod history;
pub mod inbound;
pub mod keys;
pub mod messages;
pub mod nodes;
pub mod prompts;
pub mod queue;
pub mod receipts;
pub mod routes;
pub mod sealing;
pub mod spending;
pub mod templates;
pub mod verifications;
pub mod watches;
pub mod webhooks;

pub use audit::Audit;
pub use consent::Consents;
pub use events::Events;
pub use guard::Guard;
pub use history::History;
pub use inbound::InboundMessages;
pub use keys::Keys;
pub use messages::Messages;
pub use nodes::Nodes;
pub use prompts::Prompts;
pub use queue::Queue;
pub use receipts::Receipts;
pub use routes::Routes;
pub use sealing::Sealing;
pub use spending::Spending;
pub use templates::Templates;
pub use verifications::Verifications;
pub use watches::Watches;
pub use webhooks::Webhooks;

use async_trait::async_trait;

use crate::StoreError;

/// Everything that is kept.
#[async_trait]
pub trait Store:
    Messages
    + Queue
    + Receipts
    + InboundMessages
    + Consents
    + Watches
    + Routes
    + Nodes
    + History
    + Keys
    + Sealing
    + Spending
    + Events
    + Webhooks
    + Guard
    + Templates
    + Prompts
    + Verifications
    + Audit
    + std::fmt::Debug
{
    /// Whether the store answers, for readiness: reads something, and writes something to disk.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Whether other nodes may serve it at the same time.
    fn is_shared(&self) -> bool;

    /// Writes what is waiting, and closes. Later calls answer [`StoreError::Stopped`].
    async fn close(&self);
}
