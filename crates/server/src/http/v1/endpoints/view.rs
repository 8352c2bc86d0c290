//! Endpoints and their deliveries as callers see them.

use domain::secret::ExposeSecret as _;
use domain::time::Timestamp;
use serde::Serialize;
use store::port::events::event_id;
use store::port::webhooks::{Delivery, Endpoint, Post};
use utoipa::ToSchema;

/// An endpoint.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct ShownEndpoint {
    /// Its id.
    #[schema(example = "whe_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    pub(super) id: String,
    /// The API key that it belongs to.
    #[schema(example = "key_019ab0c4e1f27d3c8a5b6f7081920a3b")]
    pub(super) owner: String,
    /// Where events are posted. Empty if it can't be read any more: give it another, or delete the endpoint.
    pub(super) url: String,
    /// Kinds of events that it hears of; all if there is none.
    pub(super) events: Vec<String>,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// `own` or `all`.
    #[schema(example = "own")]
    pub(super) callers: &'static str,
    /// `enabled` or `disabled`.
    #[schema(example = "enabled")]
    pub(super) status: &'static str,
    /// Why it is disabled: `by_its_owner`, `failed_too_long`, `gone`, `key_ended`, or `unreadable` if its address or secret
    /// is damaged in the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disabled_reason: Option<String>,
    /// When it was disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) disabled_at: Option<String>,
    /// Since when every post has failed. After three days it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failing_since: Option<String>,
    /// When the secret of before a rotation ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) former_secret_ends_at: Option<String>,
    /// When it was made.
    pub(super) created_at: String,
}

/// An endpoint with a secret that is shown this once.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct EndpointWithSecret {
    /// What posts are signed with.
    #[schema(example = "whsec_…")]
    pub(super) secret: String,
    /// The endpoint.
    #[serde(flatten)]
    pub(super) endpoint: ShownEndpoint,
}

/// Endpoints.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct EndpointList {
    /// The endpoints, the oldest first.
    pub(super) webhook_endpoints: Vec<ShownEndpoint>,
}

/// A page of deliveries, newest first.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct DeliveryPage {
    /// The deliveries.
    pub(super) deliveries: Vec<ShownDelivery>,
    /// Where the next page begins: give it as `cursor`. Not there on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// An event on its way to an endpoint.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct ShownDelivery {
    /// The event's id.
    #[schema(example = "evt_019ab0c4e1f27d3c8a5b6f7081920a3b_e12")]
    pub(super) event_id: String,
    /// What happened.
    #[schema(example = "message.delivered")]
    pub(super) kind: String,
    /// `pending`, `delivered`, or `failed` if it was given up.
    #[schema(example = "delivered")]
    pub(super) status: String,
    /// When it is posted next, if it is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_post_at: Option<String>,
    /// How many posts there were.
    pub(super) post_count: u32,
    /// The last 20 posts, the oldest first.
    pub(super) posts: Vec<ShownPost>,
}

/// A post.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct ShownPost {
    /// When it began.
    pub(super) at: String,
    /// How long it took.
    pub(super) took_ms: u32,
    /// What was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<u16>,
    /// Why it failed: `status`, `gone`, `timeout`, `unreachable`, `broken_off` or `forbidden_address`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// What was made due again.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct Replayed {
    /// How many events. Those that are still on their way are not counted.
    pub(super) events: u64,
    /// Whether all of the time were looked at.
    pub(super) complete: bool,
    /// Where the rest begins, if there is one: give it as `cursor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

impl ShownEndpoint {
    pub(super) fn new(endpoint: Endpoint, now: Timestamp) -> Self {
        let text = |time: Timestamp| time.to_string();
        let reason = endpoint.is_disabled_by(now).map(ToOwned::to_owned);
        Self {
            id: endpoint.id.to_string(),
            owner: endpoint.caller.to_string(),
            url: endpoint.url.map(|url| url.expose_secret().to_owned()).unwrap_or_default(),
            events: endpoint.events,
            description: endpoint.description,
            callers: if endpoint.hears_all { "all" } else { "own" },
            status: if reason.is_some() { "disabled" } else { "enabled" },
            disabled_reason: reason,
            disabled_at: endpoint.disabled.map(|(at, _)| text(at)),
            failing_since: endpoint.failing_since.map(text),
            former_secret_ends_at: endpoint.former_ends_at.filter(|end| *end > now).map(text),
            created_at: text(endpoint.created_at),
        }
    }
}

impl From<Post> for ShownPost {
    fn from(post: Post) -> Self {
        Self { at: post.at.to_string(), took_ms: post.took_ms, answer: post.status, error: post.error }
    }
}

impl From<Delivery> for ShownDelivery {
    fn from(delivery: Delivery) -> Self {
        let is_pending = delivery.state == "pending";
        Self {
            event_id: event_id(delivery.subject, delivery.number),
            kind: delivery.kind,
            status: delivery.state,
            next_post_at: is_pending.then(|| delivery.due_at.to_string()),
            post_count: delivery.posts_in_all,
            posts: delivery.posts.into_iter().map(ShownPost::from).collect(),
        }
    }
}
