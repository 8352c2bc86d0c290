//! A message on its way through Twilio, and the status callbacks that tell of it.

use std::sync::Arc;

use super::sign::{HEADER, Signer};
use super::store::{Facts, Store};
use crate::sim::callbacks::{Journey, Post};
use crate::sim::life::Stage;

/// What all journeys share.
pub(crate) struct Roads {
    pub(crate) account_sid: String,
    pub(crate) signer: Signer,
    /// The messages, where they are kept.
    pub(crate) store: Option<Store>,
    pub(crate) clock: Arc<dyn domain::time::Clock>,
}

/// One message on its way.
pub(crate) struct MessageJourney {
    pub(crate) roads: Arc<Roads>,
    pub(crate) sid: String,
    pub(crate) to: String,
    pub(crate) from: Option<String>,
    pub(crate) service: Option<String>,
    /// Where its status is told, without a fragment; empty for nowhere.
    pub(crate) callback: String,
    pub(crate) facts: Facts,
}

impl Journey for MessageJourney {
    fn enter(&self, stage: Stage) -> bool {
        let store = self.roads.store.as_ref();
        store.is_none_or(|store| store.enter(&self.sid, stage, &self.facts, self.roads.clock.now()))
    }

    fn post(&self, stage: Stage) -> Option<Post> {
        if self.callback.is_empty() {
            return None;
        }
        let ended = stage == Stage::Ended;
        let status = self.word(stage);
        let code = self.facts.ending.error_code().filter(|_| ended).map(|code| code.to_string());
        let done = (ended && status != "failed").then(|| self.done_date());
        let mut fields = vec![("MessageSid", self.sid.as_str()), ("MessageStatus", status)];
        fields.extend(code.as_deref().map(|code| ("ErrorCode", code)));
        fields.extend(done.as_deref().map(|done| ("RawDlrDoneDate", done)));
        fields.extend(self.service.as_deref().map(|service| ("MessagingServiceSid", service)));
        fields.extend([
            ("SmsStatus", status),
            ("SmsSid", self.sid.as_str()),
            ("To", self.to.as_str()),
            ("From", self.from.as_deref().unwrap_or(self.facts.pool_sender)),
            ("AccountSid", self.roads.account_sid.as_str()),
            ("ApiVersion", "2010-04-01"),
        ]);
        Some(signed_form(&self.roads.signer, &self.callback, &fields))
    }
}

impl MessageJourney {
    fn word(&self, stage: Stage) -> &'static str {
        match stage {
            Stage::Queued | Stage::Submitted | Stage::Buffered => "queued",
            Stage::Sent => "sent",
            Stage::Ended => self.facts.ending.status().as_str(),
            Stage::Canceled => "canceled",
            Stage::Unheard => "teleported",
        }
    }

    /// The carrier's own date, `YYMMDDhhmm` without a time zone.
    fn done_date(&self) -> String {
        let now = self.roads.clock.now();
        let now = jiff::Timestamp::from_microsecond(now.as_micros()).unwrap_or_default();
        now.strftime("%y%m%d%H%M").to_string()
    }
}

/// A form to `url`, signed.
pub(crate) fn signed_form(signer: &Signer, url: &str, fields: &[(&str, &str)]) -> Post {
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(512));
    form.extend_pairs(fields);
    Post {
        url: url.to_owned(),
        form: form.finish(),
        signature: Some((HEADER, signer.sign(url, fields))),
        user_agent: "TwilioProxy/1.1",
    }
}
