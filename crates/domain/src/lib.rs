//! The rules and words of an SMS gateway, and nothing else.
//!
//! No clock reads, no randomness, no input or output: time and entropy come in as arguments, so that every
//! rule can be tested by calling it. Modules are listed so that each one imports only those above it.

pub mod time;

pub mod secret;

pub mod ids;

pub mod phone;

pub mod encoding;

pub mod money;

pub mod scenario;

pub mod content;

pub mod template;

pub mod civil;

pub mod message;

pub mod event;

pub mod breaker;

pub mod delay;

pub mod conversion;

pub mod route;

pub mod attempt;

pub mod batch;

pub mod receipt;

pub mod consent;

pub mod inbound;

pub mod audit;

pub mod retry;

pub mod webhook;

pub mod policy;

pub mod limit;

pub mod quota;

pub mod sender_pace;

pub mod guard;

pub mod reply;

pub mod prompt;
pub mod verification;
