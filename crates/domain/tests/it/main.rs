//! Rules that are checked from outside, through the crate's public names.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod audit_chain;
mod content_properties;
mod encoding_properties;
mod encoding_rewrite;
mod encoding_vectors;
mod guard_replay;
mod guard_traces;
mod phone_parse;
mod phone_properties;
mod sender_parse;
mod template_lint;
mod template_properties;
mod template_render;
