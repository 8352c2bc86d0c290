//! What tests and demonstrations need around the gateway, and the gateway itself does not: a clock that is
//! turned by hand, waiting without sleeping, a server that keeps what it is sent, and a simulator that speaks
//! the wire of Twilio and Africa's Talking.
//!
//! Modules are listed so that each one imports only those above it.

pub mod clock;

pub mod wait;

pub mod stopwatch;

pub(crate) mod serve;

pub mod database;

pub mod nats;

pub mod moto;

pub mod proxy;
pub mod vault;

pub mod endpoint;

pub mod sim;

pub mod load;
