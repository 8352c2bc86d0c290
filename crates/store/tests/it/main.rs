//! The store from outside: what every backend must do, and what SQLite's file adds to it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod at_rest;
mod conformance;
mod model;
mod model_prompts;
mod postgres;

mod sqlite;
mod support;
mod transfer;
