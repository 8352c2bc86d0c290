//! Messages, claims and receipts to try a store with, and a fresh store of each backend.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::attempt::{Acceptance, Failure, ProviderMessageId, Reason, SubmitOutcome};
use domain::audit::{Act, Actor};
use domain::encoding::Encoding;
use domain::ids::{KeyId, MessageId, NodeId};
use domain::message::{Message, MessageStatus};
use domain::phone::{Country, Msisdn};
use domain::receipt::{Receipt, ReceiptStatus};
use domain::route::ProviderName;
use domain::scenario::{Priority, Scenario};
use domain::secret::Body;
use domain::sender_pace::SenderPace;
use domain::time::Timestamp;
use store::port::messages::{Accept, Accepted, Filter, MessageRecord, NewMessage, Page, Resend};
use store::port::queue::{AttemptEnd, Claim, Claimed, Claims, Next};
use store::port::receipts::{NewReceipt, ReceiptFate};
use store::port::watches::{Settled, TakeWatches, Verdict, Watched};
use store::{MasterKeys, Options, Store};
use testkit::database::Database;

/// When every test begins. Not at the full millisecond: ids know milliseconds only.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_795_422_600_123_456);

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// What opens the data of all stores that are tried.
pub(crate) fn keys() -> MasterKeys {
    testkit::database::data_key()
}

/// Somebody at the command line.
pub(crate) fn operator(at: Timestamp) -> Act {
    Act { by: Actor::Operator, at }
}

/// How long a claim's lease runs.
pub(crate) const LEASE: Duration = MINUTE;

/// A fresh, empty store of one backend, kept until it is dropped.
pub(crate) trait Fixture: Send + Sync {
    /// Makes a place for a store, with nothing in it.
    fn fresh() -> Self;

    /// Opens the store in that place, also after it was closed.
    async fn open(&self) -> Arc<dyn Store>;

    /// The same beside whoever has it open, as another node does, or a tool.
    async fn open_beside(&self) -> Arc<dyn Store>;

    /// Changes the tables, whatever the interface allows.
    fn run(&self, sql: &str);

    /// What these statements count in the tables, whatever the interface shows.
    fn counts(&self, statements: Vec<String>) -> Vec<u64>;

    /// An id as a statement writes it.
    fn literal(id: MessageId) -> String;
}

fn hex(id: MessageId) -> String {
    let number = u128::from_be_bytes(*id.as_bytes());
    format!("{number:032x}")
}

/// A file in a folder of its own. Not `:memory:`, whose locks are others than a file's.
pub(crate) struct SqliteFixture {
    folder: tempfile::TempDir,
}

impl SqliteFixture {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("tuma.db")
    }
}

impl Fixture for SqliteFixture {
    fn fresh() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    async fn open(&self) -> Arc<dyn Store> {
        store::open(&url(&self.path()), Options { migrate: true, exclusive: true, keys: Some(keys()) })
            .await
            .unwrap()
    }

    async fn open_beside(&self) -> Arc<dyn Store> {
        let options = Options { migrate: true, exclusive: false, keys: Some(keys()) };
        store::open(&url(&self.path()), options).await.unwrap()
    }

    fn run(&self, sql: &str) {
        let file = rusqlite::Connection::open(self.path()).unwrap();
        file.busy_timeout(Duration::from_secs(5)).unwrap();
        file.execute_batch(sql).unwrap();
    }

    fn counts(&self, statements: Vec<String>) -> Vec<u64> {
        let file = rusqlite::Connection::open(self.path()).unwrap();
        statements.iter().map(|sql| file.query_row(sql, [], |row| row.get(0)).unwrap()).collect()
    }

    fn literal(id: MessageId) -> String {
        format!("x'{}'", hex(id))
    }
}

/// A database of its own on the server that `cargo xtask test` starts.
pub(crate) struct PostgresFixture {
    database: Database,
}

impl PostgresFixture {
    /// One without any tables.
    pub(crate) fn empty() -> Self {
        Self { database: Database::empty_on_postgres() }
    }

    pub(crate) fn url(&self) -> String {
        self.database.url().to_owned()
    }

    /// Runs statements on this database. On a thread of its own: the client waits by a runtime of its own.
    pub(crate) fn execute(&self, sql: &str) {
        let (url, sql) = (self.url(), sql.to_owned());
        let run =
            move || postgres::Client::connect(&url, postgres::NoTls).unwrap().batch_execute(&sql).unwrap();
        std::thread::spawn(run).join().unwrap();
    }
}

impl Fixture for PostgresFixture {
    fn fresh() -> Self {
        Self { database: Database::on_postgres() }
    }

    async fn open(&self) -> Arc<dyn Store> {
        store::open(&self.url(), Options { migrate: true, exclusive: true, keys: Some(keys()) })
            .await
            .unwrap()
    }

    async fn open_beside(&self) -> Arc<dyn Store> {
        self.open().await
    }

    fn run(&self, sql: &str) {
        self.execute(sql);
    }

    fn counts(&self, statements: Vec<String>) -> Vec<u64> {
        let url = self.url();
        let run = move || {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
            let count = |sql: &String| client.query_one(sql, &[]).unwrap().get::<_, i64>(0).cast_unsigned();
            statements.iter().map(count).collect()
        };
        std::thread::spawn(run).join().unwrap()
    }

    fn literal(id: MessageId) -> String {
        format!("'{}'::uuid", hex(id))
    }
}

pub(crate) fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// A store on the bench, with short words for what most tests do.
pub(crate) struct Bench<F> {
    pub(crate) fixture: F,
    pub(crate) store: Arc<dyn Store>,
}

impl<F> Deref for Bench<F> {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl<F: Fixture> Bench<F> {
    pub(crate) async fn new() -> Self {
        let fixture = F::fresh();
        let store = fixture.open().await;
        Self { fixture, store }
    }

    /// Closes the store and opens it again.
    pub(crate) async fn reopen(&mut self) {
        self.store.close().await;
        self.store = self.fixture.open().await;
    }

    pub(crate) async fn add(&self, messages: impl IntoIterator<Item = NewMessage>) {
        let accept =
            Accept { messages: messages.into_iter().collect(), idempotency: None, no_repeats_since: None };
        assert_eq!(self.accept(accept).await, Ok(Accepted::Stored));
    }

    /// Claims all that is due.
    pub(crate) async fn take(&self, now: Timestamp) -> Vec<Claimed> {
        self.claim(claim(now)).await.unwrap().claimed
    }

    /// Accepts one message and claims it.
    pub(crate) async fn add_and_take(&self, new: NewMessage) -> Claimed {
        let due_at = new.due_at();
        self.add([new]).await;
        let mut claimed = self.take(due_at).await;
        assert_eq!(claimed.len(), 1);
        claimed.remove(0)
    }

    /// Accepts one message and has the provider take it.
    pub(crate) async fn add_and_send(&self, new: NewMessage, provider_message_id: &str) -> MessageId {
        let claimed = self.add_and_take(new).await;
        self.end(&claimed, accepted(provider_message_id), Next::Stop).await;
        claimed.submission.message_id
    }

    /// Ends a claimed attempt a second after the message was due.
    pub(crate) async fn end(&self, claimed: &Claimed, outcome: SubmitOutcome, next: Next) {
        self.finish(vec![end(claimed, outcome, next)]).await.unwrap();
    }

    /// Accepts one message, whose attempt ends nobody knows how; it is looked after a minute later.
    pub(crate) async fn add_and_doubt(&self, new: NewMessage) -> Claimed {
        let claimed = self.add_and_take(new).await;
        self.doubt(&claimed).await;
        claimed
    }

    /// Ends an attempt nobody knows how.
    pub(crate) async fn doubt(&self, claimed: &Claimed) {
        let end = end(claimed, ambiguous(), Next::Wait);
        self.finish(vec![AttemptEnd { watch_at: Some(end.ended_at.plus(MINUTE)), ..end }]).await.unwrap();
    }

    /// Takes all watches that are due.
    pub(crate) async fn look(&self, now: Timestamp) -> Vec<Watched> {
        let take = TakeWatches { now, lease_until: now.plus(LEASE), limit: 100 };
        self.take_watches(take).await.unwrap()
    }

    pub(crate) async fn decide(&self, watched: &Watched, verdict: Verdict) {
        let settled = Settled { watch: watched.watch, verdict };
        self.settle_watches(vec![settled]).await.unwrap();
    }

    /// How many watches there are.
    pub(crate) async fn watches(&self) -> u64 {
        self.watch_counts().await.unwrap().iter().map(|count| count.watches).sum()
    }

    pub(crate) async fn receive(&self, receipt: Receipt) -> ReceiptFate {
        let new = NewReceipt { receipt, raw: b"MessageStatus=x".to_vec() };
        let fates = self.record_receipts(vec![new]).await.unwrap();
        assert_eq!(fates.len(), 1);
        fates[0]
    }

    pub(crate) async fn show(&self, id: MessageId) -> MessageRecord {
        self.message(id).await.unwrap().unwrap()
    }

    pub(crate) async fn status(&self, id: MessageId) -> MessageStatus {
        self.show(id).await.summary.status
    }

    /// The ids of the first hundred messages of a list.
    pub(crate) async fn list(&self, filter: Filter) -> Vec<MessageId> {
        let page = Page { after: None, limit: 100 };
        self.messages(filter, page).await.unwrap().into_iter().map(|summary| summary.message.id).collect()
    }
}

/// The `n`-th message: accepted `n` milliseconds after [`NOW`], to a receiver of its own.
pub(crate) fn message(n: u64) -> NewMessage {
    let created_at = NOW.plus(Duration::from_millis(n));
    NewMessage {
        message: plain(n, created_at),
        provider: provider("twilio"),
        held_until: None,
        draws: Vec::new(),
        consent: None,
        verification: None,
    }
}

/// A message that was accepted at a certain time.
pub(crate) fn message_at(n: u64, created_at: Timestamp) -> NewMessage {
    NewMessage {
        message: plain(n, created_at),
        provider: provider("twilio"),
        held_until: None,
        draws: Vec::new(),
        consent: None,
        verification: None,
    }
}

fn plain(n: u64, created_at: Timestamp) -> Message {
    Message {
        id: MessageId::new(created_at, entropy(n)),
        bulk_id: None,
        caller: caller(1),
        receiver: receiver(n),
        sender: None,
        scenario: Scenario::Transaction,
        priority: Priority::Normal,
        body: Body::new(format!("Deposit {n} received.")),
        encoding: Encoding::Gsm7,
        segments: 1,
        reference: None,
        group: None,
        metadata: std::collections::BTreeMap::new(),
        scheduled_at: None,
        expires_at: None,
        created_at,
        template: None,
    }
}

/// Changes to a message under construction.
pub(crate) trait With: Sized {
    fn with(self, change: impl FnOnce(&mut Message)) -> Self;
    fn via(self, name: &str) -> Self;
    fn id(&self) -> MessageId;
}

impl With for NewMessage {
    fn with(mut self, change: impl FnOnce(&mut Message)) -> Self {
        change(&mut self.message);
        self
    }

    fn via(self, name: &str) -> Self {
        Self { provider: provider(name), ..self }
    }

    fn id(&self) -> MessageId {
        self.message.id
    }
}

pub(crate) fn entropy(n: u64) -> [u8; 10] {
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&n.to_be_bytes());
    entropy
}

pub(crate) fn caller(n: u64) -> KeyId {
    KeyId::new(NOW, entropy(n))
}

pub(crate) fn node(n: u64) -> NodeId {
    NodeId::new(NOW, entropy(n))
}

pub(crate) fn receiver(n: u64) -> Msisdn {
    Msisdn::from_parts(254_712_000_000 + n, Country::KE).unwrap()
}

pub(crate) fn provider(name: &str) -> ProviderName {
    name.parse().unwrap()
}

/// Claims everything that is due at a provider, by the first node.
pub(crate) fn claim(now: Timestamp) -> Claim {
    Claim {
        node: node(1),
        provider: provider("twilio"),
        at_most: [1_000; 4],
        total: 1_000,
        requests: [1_000; 4],
        at_once: u32::MAX,
        guaranteed: [0; 4],
        guaranteed_requests: [0; 4],
        receivers_per_request: 1,
        now,
        lease_until: now.plus(LEASE),
        quiet: Arc::default(),
        senders: SenderPace::default(),
    }
}

pub(crate) fn ids(claims: &Claims) -> Vec<MessageId> {
    ids_of(&claims.claimed)
}

pub(crate) fn ids_of(claimed: &[Claimed]) -> Vec<MessageId> {
    claimed.iter().map(|claimed| claimed.submission.message_id).collect()
}

pub(crate) fn end(claimed: &Claimed, outcome: SubmitOutcome, next: Next) -> AttemptEnd {
    AttemptEnd {
        message_id: claimed.submission.message_id,
        attempt: claimed.submission.attempt,
        outcome,
        ended_at: claimed.due_at.plus(SECOND),
        next,
        watch_at: None,
    }
}

pub(crate) fn accepted(id: &str) -> SubmitOutcome {
    SubmitOutcome::Accepted(Acceptance { provider_message_id: provider_id(id), segments: None, cost: None })
}

pub(crate) fn rejected() -> SubmitOutcome {
    SubmitOutcome::Rejected(Failure::with_code(Reason::InvalidRecipient, 21_211))
}

pub(crate) fn not_submitted() -> SubmitOutcome {
    SubmitOutcome::not_submitted(Failure::with_code(Reason::RateLimited, 429))
}

pub(crate) fn ambiguous() -> SubmitOutcome {
    SubmitOutcome::Ambiguous(Failure::new(Reason::Timeout))
}

/// Another try in the same lane.
pub(crate) fn retry(due_at: Timestamp) -> Next {
    Next::Retry {
        provider: provider("twilio"),
        priority: Priority::Normal,
        due_at,
        expires_at: None,
        refused_by: Vec::new(),
    }
}

pub(crate) fn provider_id(id: &str) -> ProviderMessageId {
    ProviderMessageId::new(id).unwrap()
}

/// Sends a message again at once, wherever a resend may begin.
pub(crate) fn resend(message_id: MessageId, now: Timestamp) -> Resend {
    use MessageStatus::{Expired, Failed, Sent, Undelivered};
    Resend {
        message_id,
        standing: &[Sent, Undelivered, Failed, Expired],
        last_attempt: None,
        failure: None,
        provider: provider("twilio"),
        priority: Priority::Normal,
        due_at: now,
        expires_at: None,
        refused_by: Vec::new(),
        draws: Vec::new(),
        by: Actor::Operator,
        now,
    }
}

/// A receipt that names the message by our id, as Twilio's do through the callback URL.
pub(crate) fn receipt_for(id: MessageId, status: ReceiptStatus) -> Receipt {
    Receipt {
        provider: provider("twilio"),
        provider_message_id: provider_id("SM1"),
        message_id: Some(id),
        attempt: None,
        receiver: None,
        provider_status: status.as_str().into(),
        status: Some(status),
        failure: None,
        network_code: None,
        received_at: NOW.plus(MINUTE),
    }
}

/// A receipt that names the message by the provider's id and the receiver, as those of Africa's Talking do.
pub(crate) fn receipt_by(provider_message_id: &str, to: Msisdn, status: ReceiptStatus) -> Receipt {
    Receipt {
        provider: provider("twilio"),
        provider_message_id: provider_id(provider_message_id),
        message_id: None,
        attempt: None,
        receiver: Some(to),
        provider_status: status.as_str().into(),
        status: Some(status),
        failure: None,
        network_code: None,
        received_at: NOW.plus(MINUTE),
    }
}
