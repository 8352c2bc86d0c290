//! What the providers took: the truth that a test holds the gateway against.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use domain::time::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::sim::provider::Provider;
use crate::stopwatch::Stopwatch;

/// How much is kept of what is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LedgerMode {
    /// Everything, for as long as the simulator lives. Fetching, listing and cancelling work.
    #[default]
    Full,
    /// Counters, and hashes enough to notice what comes twice. For load: a million messages take some 20 MB.
    CountOnly,
}

/// One message that a provider took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Place in the ledger, from 1.
    pub seq: u64,
    /// Who took it.
    pub provider: Provider,
    /// The provider's name for it.
    pub provider_message_id: String,
    /// The receiver, as it was written.
    pub to: String,
    /// The sender, where one was named.
    pub from: Option<String>,
    /// The text.
    pub body: String,
    /// What it is charged as.
    pub segments: u32,
    /// Our own reference: the parameter `m` in the query of Twilio's `StatusCallback`. Africa's Talking has
    /// nothing of the kind.
    pub reference: Option<String>,
    /// Which request it came in: all messages of one request have the same number.
    pub batch: u64,
    /// How many receivers that request named.
    pub recipients: usize,
    /// When it was taken, by the simulator's clock.
    pub accepted_at: Timestamp,
    /// When it was taken, in microseconds since the simulator started.
    pub since_start_us: u64,
}

/// One request to send, whatever came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubmitRequest {
    /// Its number, the same as [`Entry::batch`].
    pub batch: u64,
    /// Whom it asked.
    pub provider: Provider,
    /// How many receivers it named; 0 if it was not read that far.
    pub recipients: usize,
    /// How many of them were taken.
    pub accepted: usize,
    /// When its head came, in microseconds since the simulator started.
    pub since_start_us: u64,
}

/// When a message that somebody watches for was taken. Kept in every [`LedgerMode`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The text.
    pub body: String,
    /// When, in microseconds since 1970.
    pub unix_us: u64,
}

/// Messages to one receiver with one text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// The receiver.
    pub to: String,
    /// The text.
    pub body: String,
    /// How often it was taken: 2 or more.
    pub count: usize,
}

/// What was taken, and the requests that brought it.
#[derive(Debug)]
pub struct Ledger {
    mode: LedgerMode,
    stopwatch: Stopwatch,
    book: Mutex<Book>,
    seen: Seen,
    /// How the texts begin whose arrivals are kept.
    watched: Option<String>,
    arrivals: Mutex<Vec<Arrival>>,
}

#[derive(Debug, Default)]
struct Book {
    entries: Vec<Entry>,
    requests: Vec<SubmitRequest>,
}

/// A message on its way into the ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken<'a> {
    pub(crate) provider: Provider,
    pub(crate) provider_message_id: &'a str,
    pub(crate) to: &'a str,
    pub(crate) from: Option<&'a str>,
    pub(crate) body: &'a str,
    pub(crate) segments: u32,
    pub(crate) reference: Option<&'a str>,
    pub(crate) batch: u64,
    pub(crate) recipients: usize,
    pub(crate) accepted_at: Timestamp,
}

impl Ledger {
    /// `watched` is how the texts begin whose arrivals are kept.
    pub(crate) fn new(mode: LedgerMode, watched: Option<String>) -> Self {
        Self {
            mode,
            stopwatch: Stopwatch::start(),
            book: Mutex::default(),
            seen: Seen::default(),
            watched,
            arrivals: Mutex::default(),
        }
    }

    /// How much it keeps.
    pub fn mode(&self) -> LedgerMode {
        self.mode
    }

    /// All messages taken, in order. Empty in [`LedgerMode::CountOnly`].
    pub fn entries(&self) -> Vec<Entry> {
        self.entries_where(|_| true)
    }

    /// The messages that `keep` holds for, in order.
    pub fn entries_where(&self, keep: impl FnMut(&&Entry) -> bool) -> Vec<Entry> {
        self.book.lock().entries.iter().filter(keep).cloned().collect()
    }

    /// The messages to one number, by any provider, in order.
    pub fn to(&self, number: &str) -> Vec<Entry> {
        self.entries_where(|entry| entry.to == number)
    }

    /// The messages that a provider took, in order.
    pub fn by(&self, provider: Provider) -> Vec<Entry> {
        self.entries_where(|entry| entry.provider == provider)
    }

    /// How many messages were taken, by all providers together. Also in [`LedgerMode::CountOnly`].
    pub fn count(&self) -> u64 {
        self.seen.taken.load(Ordering::Acquire)
    }

    /// How many different messages were taken. Two are the same if they have the same reference or, without
    /// one, the same receiver and text. Also in [`LedgerMode::CountOnly`].
    pub fn distinct(&self) -> u64 {
        self.seen.distinct.load(Ordering::Relaxed)
    }

    /// What one receiver was sent more than once. Empty in [`LedgerMode::CountOnly`]: compare
    /// [`Self::count`] with [`Self::distinct`] there.
    pub fn duplicates(&self) -> Vec<Duplicate> {
        let book = self.book.lock();
        let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
        for entry in &book.entries {
            *counts.entry((&entry.to, &entry.body)).or_default() += 1;
        }
        let mut duplicates: Vec<Duplicate> = counts
            .into_iter()
            .filter(|&(_, count)| count > 1)
            .map(|((to, body), count)| Duplicate { to: to.to_owned(), body: body.to_owned(), count })
            .collect();
        duplicates.sort_by(|a, b| (&a.to, &a.body).cmp(&(&b.to, &b.body)));
        duplicates
    }

    /// All requests to send, in the order in which they came. Empty in [`LedgerMode::CountOnly`].
    pub fn requests(&self) -> Vec<SubmitRequest> {
        let mut requests = self.book.lock().requests.clone();
        requests.sort_by_key(|request| request.batch);
        requests
    }

    /// When the messages that are watched for were taken, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().clone()
    }

    pub(crate) fn take(&self, taken: Taken<'_>) {
        if self.watched.as_ref().is_some_and(|watched| taken.body.starts_with(watched)) {
            let unix_us = self.stopwatch.unix_us();
            self.arrivals.lock().push(Arrival { body: taken.body.to_owned(), unix_us });
        }
        if self.mode == LedgerMode::Full {
            self.enter(taken);
        }
        // Last: whoever has seen the count finds the entries.
        self.seen.note(taken.reference, taken.to, taken.body);
    }

    fn enter(&self, taken: Taken<'_>) {
        let mut book = self.book.lock();
        let seq = book.entries.len() as u64 + 1;
        book.entries.push(Entry {
            seq,
            provider: taken.provider,
            provider_message_id: taken.provider_message_id.to_owned(),
            to: taken.to.to_owned(),
            from: taken.from.map(ToOwned::to_owned),
            body: taken.body.to_owned(),
            segments: taken.segments,
            reference: taken.reference.map(ToOwned::to_owned),
            batch: taken.batch,
            recipients: taken.recipients,
            accepted_at: taken.accepted_at,
            since_start_us: self.since_start_us(),
        });
    }

    pub(crate) fn note(&self, request: SubmitRequest) {
        if self.mode == LedgerMode::Full {
            self.book.lock().requests.push(request);
        }
    }

    pub(crate) fn since_start_us(&self) -> u64 {
        self.stopwatch.since_start_us()
    }

    pub(crate) fn clear(&self) {
        *self.book.lock() = Book::default();
        self.arrivals.lock().clear();
        self.seen.clear();
    }
}

/// Hashes of what was taken, in shards so that two cores seldom meet at one lock.
#[derive(Debug, Default)]
struct Seen {
    taken: AtomicU64,
    distinct: AtomicU64,
    shards: [Mutex<HashSet<u64>>; 16],
}

impl Seen {
    fn note(&self, reference: Option<&str>, to: &str, body: &str) {
        // Two of a million messages share a hash of 64 bits by accident once in 37 million runs.
        let mut hasher = DefaultHasher::new();
        match reference {
            Some(reference) => reference.hash(&mut hasher),
            None => (to, body).hash(&mut hasher),
        }
        let hash = hasher.finish();
        let new = match self.shards.get((hash % 16) as usize) {
            Some(shard) => shard.lock().insert(hash),
            None => false,
        };
        self.taken.fetch_add(1, Ordering::Release);
        self.distinct.fetch_add(u64::from(new), Ordering::Relaxed);
    }

    fn clear(&self) {
        for shard in &self.shards {
            shard.lock().clear();
        }
        self.taken.store(0, Ordering::Relaxed);
        self.distinct.store(0, Ordering::Relaxed);
    }
}
