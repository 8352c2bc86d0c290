//! What handlers need.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use domain::civil::QuietHours;
use gateway::SmsService;
use providers::address::Addresses;
use url::Url;

use crate::auth::Authenticator;
use crate::config::{ForwardedHeader, Webhooks};
use crate::telemetry::Figures;

/// What every handler can reach. Cloned by each layer for each request: so it is one pointer.
#[derive(Debug, Clone)]
pub struct State(Arc<Context>);

impl From<Context> for State {
    fn from(context: Context) -> Self {
        Self(Arc::new(context))
    }
}

impl Deref for State {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

/// What every handler can reach.
#[derive(Debug)]
pub struct Context {
    /// The use cases.
    pub service: Arc<SmsService>,
    /// Who calls.
    pub authenticator: Arc<Authenticator>,
    /// The figures for `/metrics`.
    pub figures: Figures,
    /// Our address as providers write it.
    pub public_url: Option<Url>,
    /// Whose word about who calls is believed.
    pub trusted_proxies: Addresses,
    /// Where they say it.
    pub forwarded_header: ForwardedHeader,
    /// When which messages must not leave, to explain why one did not.
    pub quiet_hours: Arc<QuietHours>,
    /// What webhook endpoints may be.
    pub webhooks: Webhooks,
    /// Bounds of a request.
    pub limits: Limits,
}

/// Bounds of a request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of its body.
    pub max_body_bytes: usize,
    /// How long it may take.
    pub timeout: Duration,
    /// How long its body may take to come.
    pub body_timeout: Duration,
}
