//! The templates that are there from the beginning. An operator's own of the same name goes before them.

use super::definition::Definition;

/// The built-in templates: name and definition, as JSON.
pub const BUILTIN: &[(&str, &str)] = &[
    ("chama_invite", include_str!("builtin/chama_invite.json")),
    ("otp", include_str!("builtin/otp.json")),
    ("security_alert", include_str!("builtin/security_alert.json")),
    ("transaction_received", include_str!("builtin/transaction_received.json")),
    ("transaction_sent", include_str!("builtin/transaction_sent.json")),
    ("withdrawal_request", include_str!("builtin/withdrawal_request.json")),
];

/// The built-in template of that name.
pub fn builtin(name: &str) -> Option<Definition> {
    let (_, json) = BUILTIN.iter().find(|(builtin, _)| *builtin == name)?;
    serde_json::from_str(json).ok()
}
