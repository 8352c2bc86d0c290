//! The edges of the gateway: configuration, HTTP, the command line, and the one place where all is wired.

pub mod keys;

pub mod config;

pub mod secrets;

pub mod telemetry;

pub mod webhooks;

pub mod auth;

pub mod http;

mod listen;

mod broker;

pub mod assemble;

pub mod cli;

/// What receivers of events are told to write compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/webhooks.md")]
struct ForReceivers;
