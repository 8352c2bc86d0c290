//! What can be asked about messages, and about the account.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use hyper::StatusCode;

use super::Twilio;
use super::error::{not_found, refusal};
use super::list::Filter;
use super::message::{Message, Status};
use super::store::Unchanged;
use crate::serve::Answer;
use crate::sim::form::{JSON, answer, push_json};
use crate::sim::state::State;

impl Twilio {
    pub(super) fn message_json(&self, status: StatusCode, message: &Message) -> Answer {
        let mut body = String::with_capacity(768 + message.body.len());
        message.push_json(&mut body, &self.roads.account_sid, &self.dates);
        answer(status, JSON, body)
    }

    pub(super) fn list(&self, query: &str) -> Answer {
        let Ok(filter) = Filter::read(query) else { return refusal(20001) };
        let (messages, more) = match &self.roads.store {
            Some(store) => {
                let keep = |message: &_| filter.keeps(message);
                store.page(filter.to(), filter.after(), filter.skip(), filter.page_size(), keep)
            }
            None => (Vec::new(), false),
        };
        answer(StatusCode::OK, JSON, filter.page_json(&self.roads.account_sid, &messages, more, &self.dates))
    }

    pub(super) fn fetch(&self, path: &str, sid: &str) -> Answer {
        match self.roads.store.as_ref().and_then(|store| store.get(sid)) {
            Some(message) => self.message_json(StatusCode::OK, &message),
            None => not_found(path),
        }
    }

    /// Cancels or redacts: nothing else of a message can be changed.
    pub(super) fn update(&self, state: &State, path: &str, sid: &str, body: &[u8]) -> Answer {
        let Some(store) = &self.roads.store else { return not_found(path) };
        let field = |name| form_urlencoded::parse(body).find(|(key, _)| key == name).map(|(_, value)| value);
        let (changed, too_far) = match (field("Status").as_deref(), field("Body").as_deref()) {
            (Some("canceled"), _) => (store.cancel(sid, state.now()), 30409),
            (None, Some("")) => (store.redact(sid, state.now()), 20009),
            _ => return refusal(20001),
        };
        match changed {
            Ok(message) => {
                if message.status == Status::Canceled && !message.callback.is_empty() {
                    self.tell_canceled(state, &message);
                }
                self.message_json(StatusCode::OK, &message)
            }
            Err(Unchanged::Unknown) => not_found(path),
            Err(Unchanged::Stage) => refusal(too_far),
        }
    }

    pub(super) fn delete(&self, path: &str, sid: &str) -> Answer {
        let Some(store) = &self.roads.store else { return not_found(path) };
        match store.delete(sid) {
            Ok(()) => {
                let mut answer = Answer::default();
                *answer.status_mut() = StatusCode::NO_CONTENT;
                answer
            }
            Err(Unchanged::Unknown) => not_found(path),
            Err(Unchanged::Stage) => refusal(20009),
        }
    }

    pub(super) fn balance_json(&self) -> Answer {
        let micros = self.balance.load(Ordering::Relaxed);
        let sign = if micros < 0 { "-" } else { "" };
        let cents = micros.unsigned_abs() / 10_000;
        let mut body = String::from("{\"account_sid\":");
        push_json(&mut body, &self.roads.account_sid);
        // Writing to a String does not fail.
        let _ =
            write!(body, ",\"balance\":\"{sign}{}.{:02}\",\"currency\":\"USD\"}}", cents / 100, cents % 100);
        answer(StatusCode::OK, JSON, body)
    }

    /// The account, with its auth token in it as at Twilio: a body that must not be logged.
    pub(super) fn account_json(&self, state: &State) -> Answer {
        let mut body = String::from("{\"auth_token\":");
        push_json(&mut body, &self.auth_token);
        body.push_str(",\"date_created\":");
        self.dates.push_json(&mut body, state.now());
        body.push_str(",\"date_updated\":");
        self.dates.push_json(&mut body, state.now());
        body.push_str(",\"friendly_name\":\"Simulated account\",\"owner_account_sid\":");
        push_json(&mut body, &self.roads.account_sid);
        body.push_str(",\"sid\":");
        push_json(&mut body, &self.roads.account_sid);
        body.push_str(",\"status\":\"active\",\"subresource_uris\":{\"messages\":");
        push_json(&mut body, &format!("/2010-04-01/Accounts/{}/Messages.json", self.roads.account_sid));
        body.push_str("},\"type\":\"Full\",\"uri\":");
        push_json(&mut body, &format!("/2010-04-01/Accounts/{}.json", self.roads.account_sid));
        body.push('}');
        answer(StatusCode::OK, JSON, body)
    }
}
