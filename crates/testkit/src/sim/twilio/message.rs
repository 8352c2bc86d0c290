//! Twilio's Message resource (twilio.com/docs/messaging/api/message-resource).

use std::fmt::Write;

use domain::time::Timestamp;

use crate::sim::form::{Dates, push_json, push_json_or_null};

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Accepted,
    Scheduled,
    Queued,
    Sent,
    Delivered,
    Undelivered,
    Failed,
    Canceled,
}

impl Status {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Nothing comes after it.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Undelivered | Self::Failed | Self::Canceled)
    }

    /// It can still be canceled.
    pub(crate) const fn waits(self) -> bool {
        matches!(self, Self::Accepted | Self::Scheduled | Self::Queued)
    }
}

/// A message, as Twilio keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) sid: String,
    pub(crate) to: String,
    pub(crate) from: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) body: String,
    pub(crate) status: Status,
    pub(crate) error_code: Option<u32>,
    /// 0 until a messaging service has chosen a sender.
    pub(crate) segments: u32,
    pub(crate) media: u32,
    /// Known when the message was sent, in millionths of a US dollar.
    pub(crate) price_micros: Option<i64>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) sent: Option<Timestamp>,
    /// Where its status is told, without a fragment; empty for nowhere. Not part of the resource.
    pub(crate) callback: String,
}

impl Message {
    /// Appends the resource as JSON. Numbers are strings where Twilio has strings.
    pub(crate) fn push_json(&self, out: &mut String, account: &str, dates: &Dates) {
        out.push_str("{\"account_sid\":");
        push_json(out, account);
        out.push_str(",\"api_version\":\"2010-04-01\",\"body\":");
        push_json(out, &self.body);
        out.push_str(",\"date_created\":");
        dates.push_json(out, self.created);
        out.push_str(",\"date_sent\":");
        dates.push_json_or_null(out, self.sent);
        out.push_str(",\"date_updated\":");
        dates.push_json(out, self.updated);
        out.push_str(",\"direction\":\"outbound-api\",\"error_code\":");
        match self.error_code {
            // Writing to a String does not fail.
            Some(code) => _ = write!(out, "{code}"),
            None => out.push_str("null"),
        }
        out.push_str(",\"error_message\":");
        push_json_or_null(out, self.error_code.map(|_| "The message was not delivered"));
        out.push_str(",\"from\":");
        push_json_or_null(out, self.from.as_deref());
        out.push_str(",\"messaging_service_sid\":");
        push_json_or_null(out, self.service.as_deref());
        let _ = write!(out, ",\"num_media\":\"{}\",\"num_segments\":\"{}\"", self.media, self.segments);
        out.push_str(",\"price\":");
        push_json_or_null(out, self.price_micros.map(charge).as_deref());
        let (sid, status) = (&self.sid, self.status.as_str());
        let place = format_args!("/2010-04-01/Accounts/{account}/Messages/{sid}");
        let _ = write!(
            out,
            ",\"price_unit\":\"USD\",\"sid\":\"{sid}\",\"status\":\"{status}\",\
             \"subresource_uris\":{{\"media\":\"{place}/Media.json\"}},\"to\":"
        );
        push_json(out, &self.to);
        let _ = write!(out, ",\"uri\":\"{place}.json\"}}");
    }
}

/// A charge is a negative price: `-0.00750`.
fn charge(micros: i64) -> String {
    format!("-{}.{:05}", micros / 1_000_000, micros % 1_000_000 / 10)
}
