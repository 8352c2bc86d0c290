//! The gateway from outside: over HTTP with the wiring of the program, and the program itself.
//!
//! Modules are listed so that each one imports only those above it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does; Clippy knows only the tests themselves"
)]

mod http;

mod answers;
mod app;

mod sms_send;

mod sms_content;

mod prompts;
mod rate_limits;

mod spending;

mod sms_bulk;

mod sms_show;

mod sms_letters;
mod sms_list;

mod sms_cancel;

mod sms_retry;

mod sms_explain;

mod auth;

mod issuer;

mod callers_tokens;

mod callers_failures;

mod callers_nodes;

mod problems;

mod idempotency;

mod prefer_wait;

mod callbacks;

mod inbound_receive;

mod opt_outs;
mod scenarios;

mod fault_matrix;

mod timeline;

mod operators;

mod audit_list;
mod guard;
mod verifications;

mod nodes;

mod health;

mod connections;

mod metrics;

mod openapi;

mod nats;

mod callers;

mod broker;

mod broker_nodes;

mod limits;

mod config;

mod config_policy;

mod program;

mod secrets_read;

mod secrets_vault;

mod secrets_aws;

mod secrets_renew;

mod program_keys;

mod program_nodes;

mod program_audit;

mod audited;

mod program_move;
mod program_opt_out;
mod program_outage;

mod program_serve;

mod program_check;

mod tls;
mod webhooks;

mod program_send;

mod program_template;

mod program_verify;
mod templates;

mod program_health;

mod program_prompt;
mod program_queue;

mod program_guard;

mod program_explain;

mod program_kill;

mod program_crash;

mod program_full;

mod program_broker;

mod program_demo;

mod deploy;

mod program_canary;

#[path = "../../../../fuzz/src/lib.rs"]
mod fuzzed;

mod fuzz_corpus;
