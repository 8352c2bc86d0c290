//! What is told of a message beside what happened to it: what its caller gave along.

use serde::Serialize;
use serde_json::value::RawValue;
use store::port::events::About;

/// Neither the number nor the text.
#[derive(Debug, Default, Serialize)]
pub struct AboutMessage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bulk_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
}

impl<'a> AboutMessage<'a> {
    /// Nothing of a message that is not there any more.
    pub fn of(about: Option<&'a About>) -> Self {
        let Some(about) = about else { return Self::default() };
        Self {
            scenario: Some(about.scenario.as_str()),
            reference: about.reference.as_deref(),
            group: about.group.as_deref(),
            bulk_id: about.bulk_id.map(|id| id.to_string()),
            metadata: about.metadata.as_deref().and_then(|json| serde_json::from_str(json).ok()),
        }
    }
}
