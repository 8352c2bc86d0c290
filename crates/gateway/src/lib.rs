//! What the gateway does: accept messages, submit them, take in what becomes of them.
//!
//! [`SmsService`] is the one entry, for HTTP, for the command line and for programs that embed this crate. No
//! SQL, no HTTP server and no provider's name in here. Modules stand in the order in which each imports only
//! those above it; the path of a message is `accept` -> `dispatch` -> `receipts`.

pub mod clock;

mod keyed;

pub mod spending;

pub mod limits;

pub mod listening;

pub mod settings;

mod fresh;

pub mod fault;

pub mod lease;

pub mod told;

pub mod templates;

pub mod allowed;

pub mod request;

mod request_key;

pub mod again;

mod metrics;

pub mod stop;

pub mod health;

pub mod conversions;

mod routing;

mod silence;

mod arrivals;

mod next;

mod guard;

mod share;

mod refused;

mod answers;

mod shared;

mod unwanted;

mod accept;

mod pacer;

mod dispatch;

pub mod receipts;

pub mod inbound;

pub mod reconcile;

mod nodes;

mod divert;

pub mod sweep;

mod bookkeeping;

mod overdue;

mod settle;

mod prompt_chores;

mod audit;

pub mod webhooks;

pub mod workers;

pub mod service;

pub mod endpoints;

mod send;

pub mod prompts;

mod callbacks;

pub mod operate;

mod feedback;

pub mod consent;

pub mod verify;

pub mod explain;

pub mod authoring;

pub use clock::SystemClock;
pub use fresh::{consent_id, jitter, node_id};
pub use request::{BulkAnswer, BulkRequest, Caller, FieldError, SendAnswer, SendError, SendRequest, Verdict};
pub use service::{Parts, SmsService};
pub use settings::Settings;
