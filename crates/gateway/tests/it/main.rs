//! The use cases through their facade: a real SQLite file, the real adapters, the simulated networks, and a clock
//! that is turned by hand.
//!
//! Modules are listed so that each one imports only those above it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does; Clippy knows only the tests themselves"
)]

mod bench;

mod provider;

mod message_accept;

mod bulk_accept;

mod template_send;

mod route_choose;

mod refusal_tell;
mod request_repeat;

mod outcome_await;

mod submission_retry;

mod submission_misbehave;

mod doubt_resolve;

mod route_failover;

mod message_operate;

mod lane_pace;

mod message_schedule;

mod code_verify;

mod message_guard;

mod service_stop;
