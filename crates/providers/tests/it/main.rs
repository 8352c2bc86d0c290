//! The adapters against servers of our own: what goes over the wire, and what each answer means.
//!
//! Modules are listed so that each one imports only those above it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does; Clippy knows only the tests themselves"
)]

mod support;

mod fixture;

mod factory_choose;

mod adding_a_provider;

mod secrets_hide;

mod renewable_renew;

mod transport_fail;

mod forms_encode;

mod twilio_configure;

mod twilio_send;

mod twilio_callback;

mod twilio_find;

mod twilio_probe;

mod twilio_incoming;

mod twilio_openapi;

mod africastalking_configure;

mod africastalking_send;

mod africastalking_callback;

mod africastalking_incoming;

mod africastalking_probe;
