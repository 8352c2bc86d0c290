//! A message on its way through Africa's Talking, and the delivery reports that tell of it. Nothing signs them.

use super::words::{Ending, network_code};
use crate::sim::callbacks::{Journey, Post};
use crate::sim::life::Stage;

/// One message on its way.
pub(crate) struct ReportJourney {
    pub(crate) url: String,
    pub(crate) id: String,
    pub(crate) number: String,
    pub(crate) ending: Ending,
}

impl Journey for ReportJourney {
    /// Nothing can be asked about a message that was sent, so nothing is kept of it.
    fn enter(&self, _stage: Stage) -> bool {
        true
    }

    fn post(&self, stage: Stage) -> Option<Post> {
        let mut fields = vec![
            ("id", self.id.as_str()),
            ("status", self.word(stage)),
            ("phoneNumber", self.number.as_str()),
            ("networkCode", network_code(&self.number)),
        ];
        if stage == Stage::Ended {
            fields.extend(self.ending.failure_reason.map(|reason| ("failureReason", reason)));
        }
        Some(form(&self.url, &fields))
    }
}

impl ReportJourney {
    fn word(&self, stage: Stage) -> &'static str {
        match stage {
            Stage::Queued | Stage::Sent | Stage::Canceled => "Sent",
            Stage::Submitted => "Submitted",
            Stage::Buffered => "Buffered",
            Stage::Ended => self.ending.status,
            Stage::Unheard => "Teleported",
        }
    }
}

/// A form to `url`.
pub(crate) fn form(url: &str, fields: &[(&str, &str)]) -> Post {
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(192));
    form.extend_pairs(fields);
    Post { url: url.to_owned(), form: form.finish(), signature: None, user_agent: "akka-http/10.2.10" }
}
