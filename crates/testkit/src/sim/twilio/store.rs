//! The messages that Twilio has.

use std::collections::HashMap;

use domain::time::Timestamp;
use parking_lot::Mutex;

use super::error::Late;
use super::message::{Message, Status};
use crate::sim::life::Stage;

/// All messages of the account, in the order in which they were taken.
#[derive(Debug, Default)]
pub(crate) struct Store {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    messages: Vec<Option<Message>>,
    places: HashMap<String, usize>,
    /// The places of the messages to a number: a gateway that asks for them must not cost a look at all.
    by_receiver: HashMap<String, Vec<usize>>,
}

/// How a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Delivered,
    NotDelivered(Late, u32),
}

/// What is known only once a message moves on.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) ending: Ending,
    pub(crate) segments: u32,
    pub(crate) price_micros: i64,
    /// The sender that a messaging service chooses.
    pub(crate) pool_sender: &'static str,
}

/// Why a message is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unchanged {
    /// There is none with this SID.
    Unknown,
    /// It has gone too far, or not far enough.
    Stage,
}

impl Ending {
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Delivered => Status::Delivered,
            Self::NotDelivered(Late::Failed, _) => Status::Failed,
            Self::NotDelivered(Late::Undelivered, _) => Status::Undelivered,
        }
    }

    pub(crate) fn error_code(self) -> Option<u32> {
        match self {
            Self::Delivered => None,
            Self::NotDelivered(_, code) => Some(code),
        }
    }
}

impl Store {
    pub(crate) fn insert(&self, message: Message) {
        let mut rows = self.rows.lock();
        let place = rows.messages.len();
        rows.places.insert(message.sid.clone(), place);
        rows.by_receiver.entry(message.to.clone()).or_default().push(place);
        rows.messages.push(Some(message));
    }

    pub(crate) fn get(&self, sid: &str) -> Option<Message> {
        self.rows.lock().find(sid).cloned()
    }

    /// The message reaches a stage; `false` if it is not there any more, or was canceled.
    pub(crate) fn enter(&self, sid: &str, stage: Stage, facts: &Facts, now: Timestamp) -> bool {
        let mut rows = self.rows.lock();
        let Some(message) = rows.find(sid).filter(|message| message.status != Status::Canceled) else {
            return false;
        };
        message.updated = now;
        message.segments = facts.segments;
        message.from.get_or_insert_with(|| facts.pool_sender.to_owned());
        match stage {
            Stage::Queued => message.status = Status::Queued,
            Stage::Sent => {
                message.status = Status::Sent;
                message.sent = Some(now);
                message.price_micros = Some(facts.price_micros);
            }
            Stage::Ended => {
                message.status = facts.ending.status();
                message.error_code = facts.ending.error_code();
            }
            _ => {}
        }
        true
    }

    /// Cancels a message that was not sent yet.
    pub(crate) fn cancel(&self, sid: &str, now: Timestamp) -> Result<Message, Unchanged> {
        self.change(sid, now, |message| {
            let waits = message.status.waits();
            if waits {
                message.status = Status::Canceled;
            }
            waits
        })
    }

    /// Empties the body of a message that has come to its end.
    pub(crate) fn redact(&self, sid: &str, now: Timestamp) -> Result<Message, Unchanged> {
        self.change(sid, now, |message| {
            let over = message.status.is_final();
            if over {
                message.body.clear();
            }
            over
        })
    }

    /// Forgets a message that has come to its end.
    pub(crate) fn delete(&self, sid: &str) -> Result<(), Unchanged> {
        let mut rows = self.rows.lock();
        let message = rows.find(sid).ok_or(Unchanged::Unknown)?;
        if !message.status.is_final() {
            return Err(Unchanged::Stage);
        }
        // Its place stays known: a page token may point to it.
        if let Some(&place) = rows.places.get(sid)
            && let Some(message) = rows.messages.get_mut(place)
        {
            *message = None;
        }
        Ok(())
    }

    /// The newest messages first (to one number, or all), from those older than `after` on: `count` that `keep`
    /// holds for after `skip` of them, and whether there are more.
    pub(crate) fn page(
        &self,
        to: Option<&str>,
        after: Option<&str>,
        skip: usize,
        count: usize,
        keep: impl Fn(&Message) -> bool,
    ) -> (Vec<Message>, bool) {
        let rows = self.rows.lock();
        let end = match after {
            Some(sid) => rows.places.get(sid).copied().unwrap_or(0),
            None => rows.messages.len(),
        };
        let kept = |message: &&Message| keep(message);
        if let Some(to) = to {
            let places = rows.by_receiver.get(to).map_or(&[][..], Vec::as_slice);
            let older = places.iter().rev().filter(|place| **place < end);
            let older = older.filter_map(|place| rows.messages.get(*place)?.as_ref());
            return cut(older.filter(kept).skip(skip), count);
        }
        let older = rows.messages.get(..end).unwrap_or_default();
        cut(older.iter().rev().flatten().filter(kept).skip(skip), count)
    }

    pub(crate) fn clear(&self) {
        *self.rows.lock() = Rows::default();
    }

    fn change(
        &self,
        sid: &str,
        now: Timestamp,
        change: impl FnOnce(&mut Message) -> bool,
    ) -> Result<Message, Unchanged> {
        let mut rows = self.rows.lock();
        let message = rows.find(sid).ok_or(Unchanged::Unknown)?;
        if !change(message) {
            return Err(Unchanged::Stage);
        }
        message.updated = now;
        Ok(message.clone())
    }
}

/// The first `count`, and whether there are more.
fn cut<'a>(mut found: impl Iterator<Item = &'a Message>, count: usize) -> (Vec<Message>, bool) {
    let page = found.by_ref().take(count).cloned().collect();
    (page, found.next().is_some())
}

impl Rows {
    fn find(&mut self, sid: &str) -> Option<&mut Message> {
        let place = *self.places.get(sid)?;
        self.messages.get_mut(place)?.as_mut()
    }
}
