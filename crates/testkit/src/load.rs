//! The load generator: how much a gateway takes, and how much of what the bare HTTP client could do that is.
//!
//! Absolute figures belong to a machine and a moment. So each run also measures R, what a bare HTTP client
//! submits to the same simulator with nothing stored, and gives every figure as a share of it.

pub mod connection;

pub mod process;

pub mod report;

pub mod workload;

pub mod codes;

pub mod history;

pub mod receipts;
