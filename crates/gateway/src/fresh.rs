//! New ids, and chance.

use domain::ids::{BulkId, ConsentId, DecisionId, EndpointId, InboundId, MessageId, NodeId, PromptId};
use domain::time::Timestamp;
use domain::verification::{Code, CodeLength};
use rand::Rng as _;
use rand::RngExt as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

pub(crate) fn message_id(now: Timestamp) -> MessageId {
    MessageId::new(now, rand::rng().random())
}

pub(crate) fn bulk_id(now: Timestamp) -> BulkId {
    BulkId::new(now, rand::rng().random())
}

pub(crate) fn prompt_id(now: Timestamp) -> PromptId {
    PromptId::new(now, rand::rng().random())
}

/// A process, as an owner of leases.
pub fn node_id(now: Timestamp) -> NodeId {
    NodeId::new(now, rand::rng().random())
}

pub(crate) fn inbound_id(now: Timestamp) -> InboundId {
    InboundId::new(now, rand::rng().random())
}

/// An entry of the consent ledger.
pub fn consent_id(now: Timestamp) -> ConsentId {
    ConsentId::new(now, rand::rng().random())
}

pub(crate) fn decision_id(now: Timestamp) -> DecisionId {
    DecisionId::new(now, rand::rng().random())
}

/// A new code, each digit from the operating system: what nobody must guess comes from nowhere else.
pub(crate) fn code(length: CodeLength) -> Code {
    let mut system = UnwrapErr(SysRng);
    Code::uniform(length, || system.next_u64())
}

pub(crate) fn endpoint_id(now: Timestamp) -> EndpointId {
    EndpointId::new(now, rand::rng().random())
}

/// A random factor from 0 to 1.
pub fn jitter() -> f64 {
    rand::rng().random()
}
