//! Finding out whether a message whose submission ended ambiguously arrived after all.
//!
//! Twilio keeps no reference of ours on a message and knows no idempotency key, so the message is looked for:
//! by receiver, time and text, among those whose id no other message of ours has. Two lists are read. The one
//! filtered by `DateSent` is short, but leaves out what is still queued; the other has all, of all time.
//!
//! "It is not there" makes the gateway send again, so it is said only when both lists were read to their end,
//! or to where they are older than the attempt. Any doubt is an error instead.

use std::time::Duration;

use domain::attempt::{Failure, ProviderMessageId, Reason};
use domain::time::Timestamp;

use super::Twilio;
use super::wire::{self, Page, Shown};
use crate::client::Answer;
use crate::endpoint::BaseUrlError;
use crate::provider::{Found, ProbeError, SubmissionQuery};

/// The most that is read of a page: a hundred messages of 1600 characters, each of them escaped in JSON.
const PAGE_LIMIT: usize = 1024 * 1024;
/// Messages on a page; Twilio gives up to 1000.
const PAGE_SIZE: u16 = 100;
/// Pages of one list that are read at most.
const MOST_PAGES: usize = 10;
/// How far Twilio's clock and ours may be apart; its times are cut to the second besides.
const CLOCK_SKEW: Duration = Duration::from_secs(10);
/// How much later than our time-out Twilio may have created a message. One that is newer is another attempt's.
const LATEST_CREATION: Duration = Duration::from_mins(5);
/// The `DateSent` filter has a resolution of a day in GMT.
const DAY: Duration = Duration::from_hours(24);
/// What a trial account puts before every text.
const TRIAL_PREFIX: &str = "Sent from your Twilio trial account - ";

/// What a page tells.
struct Read {
    best: Option<(Timestamp, Found)>,
    next: Option<String>,
    /// Newest first all the way, and now before the attempt: what follows is older.
    is_past: bool,
}

impl Twilio {
    /// Looks for the message.
    pub(super) async fn find(&self, query: &SubmissionQuery) -> Result<Option<Found>, ProbeError> {
        let day_before = query.started_at.minus(DAY).to_string();
        let day_before = day_before.split_once('T').map_or(day_before.as_str(), |(date, _)| date);
        let to = query.receiver.number();
        for list in [
            // The parameter is called `DateSent>`; the equals sign behind it separates its value.
            format!("{}?To=%2B{to}&DateSent%3E={day_before}&PageSize={PAGE_SIZE}", self.messages_path),
            format!("{}?To=%2B{to}&PageSize={PAGE_SIZE}", self.messages_path),
        ] {
            if let Some(found) = self.find_in(list, query).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn find_in(&self, list: String, query: &SubmissionQuery) -> Result<Option<Found>, ProbeError> {
        let mut next = list;
        let mut best: Option<(Timestamp, Found)> = None;
        let mut newest_first = Order::default();
        for _ in 0..MOST_PAGES {
            let url = self.base_url.at(&next).map_err(|BaseUrlError| doubt())?;
            let answer = self.client.get(&self.read.at(url), PAGE_LIMIT).await?;
            let read = self.read_page(&answer, query, &mut newest_first)?;
            best = earliest(best, read.best);
            match read.next {
                Some(path) if !read.is_past => next = path,
                _ => return Ok(best.map(|(_, found)| found)),
            }
        }
        // Not at the end, but what was found is found.
        best.map(|(_, found)| Some(found)).ok_or_else(doubt)
    }

    fn read_page(
        &self,
        answer: &Answer,
        query: &SubmissionQuery,
        newest_first: &mut Order,
    ) -> Result<Read, ProbeError> {
        let page: Page<'_> = wire::shown(answer)?;
        let earliest_creation = query.started_at.minus(CLOCK_SKEW);
        let latest_creation = query.started_at.plus(self.pace.request_timeout() + LATEST_CREATION);
        let mut best = None;
        for message in &page.messages {
            // A message without a time can't be told from others, so nothing could be said of absence.
            let created_at = message.created_at().ok_or_else(doubt)?;
            newest_first.see(created_at);
            let in_time = (earliest_creation..=latest_creation).contains(&created_at);
            if in_time && self.is_ours(message, query) {
                best = earliest(best, found(message).map(|found| (created_at, found)));
            }
        }
        let next = match page.next_page_uri {
            Some(uri) => Some(self.own_page(&uri).ok_or_else(doubt)?),
            None => None,
        };
        Ok(Read { best, next, is_past: newest_first.is_past(earliest_creation) })
    }

    fn is_ours(&self, message: &Shown<'_>, query: &SubmissionQuery) -> bool {
        let is_outbound = message.direction.as_deref().is_none_or(|word| word.starts_with("outbound"));
        is_outbound
            && message.to.as_deref() == Some(query.receiver.to_e164().as_str())
            && query.known.iter().all(|known| known.as_str() != message.sid)
            && self.is_same_text(query.body.expose(), message.body.as_deref().unwrap_or_default())
    }

    /// Whether Twilio may show the text that was sent as this one. A text that was redacted is empty, and could
    /// be any; white space may change on the way; smart encoding replaces punctuation and symbols, so that letters and digits have to do.
    fn is_same_text(&self, sent: &str, shown: &str) -> bool {
        let shown = shown.strip_prefix(TRIAL_PREFIX).unwrap_or(shown);
        let plain = |text: &str| -> String { text.chars().filter(char::is_ascii_alphanumeric).collect() };
        shown.is_empty()
            || sent.split_whitespace().eq(shown.split_whitespace())
            || (self.smart_encoded && plain(sent) == plain(shown))
    }

    /// The next page, if it is of the same list: never another host, nor another resource.
    fn own_page(&self, uri: &str) -> Option<String> {
        let path = uri.strip_prefix(self.base_url.url().as_str().trim_end_matches('/')).unwrap_or(uri);
        let query = path.strip_prefix(self.messages_path.as_str())?;
        query.starts_with('?').then(|| path.to_owned())
    }
}

/// Whether times were seen in falling order. Twilio lists the newest first, but nowhere promises it.
#[derive(Default)]
struct Order {
    last: Option<Timestamp>,
    fell: bool,
    rose: bool,
}

impl Order {
    fn see(&mut self, time: Timestamp) {
        if let Some(last) = self.last {
            self.fell |= time < last;
            self.rose |= time > last;
        }
        self.last = Some(time);
    }

    fn is_past(&self, time: Timestamp) -> bool {
        self.fell && !self.rose && self.last.is_some_and(|last| last < time)
    }
}

fn found(message: &Shown<'_>) -> Option<Found> {
    Some(Found {
        provider_message_id: ProviderMessageId::new(message.sid.as_ref())?,
        status: message.status.as_deref().and_then(wire::receipt_status),
        cost: message.cost(),
    })
}

fn earliest(
    one: Option<(Timestamp, Found)>,
    other: Option<(Timestamp, Found)>,
) -> Option<(Timestamp, Found)> {
    one.into_iter().chain(other).min_by_key(|(created_at, _)| *created_at)
}

fn doubt() -> ProbeError {
    ProbeError::Unavailable(Failure::new(Reason::BadAnswer))
}
