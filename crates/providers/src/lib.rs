//! The providers that carry messages: one file for each, and the only crate that talks to them.
//!
//! A new provider is a file here and a line in [`REGISTRY`]. Nothing outside this crate names a provider: its
//! settings are read by the adapter from `[providers.<name>]`, and its callbacks come in by one generic route.

pub mod address;

pub mod pace;

pub mod provider;

pub mod settings;

pub mod endpoint;

pub mod client;

pub mod factory;

pub mod renewable;

mod callback;

pub mod africastalking;

pub mod twilio;

pub use factory::{ProviderFactory, Registration};
pub use provider::SmsProvider;
pub use renewable::Renewable;

/// Every provider that Tuma speaks to. **This is the one line to add.**
pub const REGISTRY: &[Registration] = &[twilio::REGISTRATION, africastalking::REGISTRATION];
