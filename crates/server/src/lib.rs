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
