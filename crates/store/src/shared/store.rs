//! The traits of a store, over the group-commit layer and connections that read.

#[path = "store/conversations.rs"]
mod conversations;
#[path = "store/webhooks.rs"]
mod webhooks;

use std::sync::Arc;

use async_trait::async_trait;
use domain::audit::{Act, Checkpoint, Entry, NewEntry, Part, Sealed};
use domain::event::NewEvent;
use domain::guard::ledger::Entered;
use domain::guard::{Count, Subject};
use domain::ids::{BulkId, KeyId, MessageId, NodeId, VerificationId};
use domain::message::MessageStatus;
use domain::phone::Msisdn;
use domain::quota::Draw;
use domain::route::ProviderName;
use domain::secret::Key;
use domain::time::Timestamp;
use domain::verification::Code;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::connection::{READERS, Readers};
use super::sql::Statements;
use super::{data_keys, outbox, read, write};
use crate::answering::Answering;
use crate::group::{
    Backend, DataKeyChange, Drain, GroupCommit, KeyChange, LeaseChange, NodeChange, Operation,
};
use crate::port::audit::{Audit, AuditChain, AuditFilter, AuditPage};
use crate::port::events::{Event, Events, Lease, Outbox, RaisedEvent};
use crate::port::guard::{
    AskedCounts, Days, Decision, DecisionFilter, Feedback, ForgetGuard, Guard, KeptByGuard,
};
use crate::port::history::{Forgotten, History, KeepHistory};
use crate::port::keys::{ApiKey, FoundKey, KeyUse, Keys, Rotation};
use crate::port::messages::{
    Accept, Accepted, Cancel, Filter, Idempotency, MessageRecord, MessageSummary, Messages, Moved, Page,
    Resend, Resent, Sweep, Swept,
};
use crate::port::nodes::{Beat, Leave, Nodes};
use crate::port::queue::{
    AttemptEnd, Claim, Claims, Diversion, LaneDepth, Queue, Recovery, Stuck, Waiter, Waiting,
};
use crate::port::receipts::{NewReceipt, ReceiptFate, Receipts};
use crate::port::routes::Routes;
use crate::port::sealing::{EraseTexts, Erased, ForgottenReceiver, Reseal, Resealed, Sealing};
use crate::port::spending::{Charge, Reservation, ReservationId, Spending};
use crate::port::verifications::{
    AskedConversions, ChangeVerifications, RouteConversion, Seen, Verification, Verifications,
};
use crate::port::watches::{Settled, TakeWatches, WatchCount, Watched, Watches};
use crate::seal::Keyring;
use crate::{Store, StoreError};

/// A store of this backend.
pub(crate) struct BackendStore {
    group: Mutex<Option<GroupCommit>>,
    writers: Mutex<Vec<std::thread::JoinHandle<()>>>,
    readers: Arc<Readers>,
    keyring: Arc<Keyring>,
    reading: Arc<Answering>,
}

impl std::fmt::Debug for BackendStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl BackendStore {
    /// Starts a thread for each writer.
    pub(super) fn start(
        writers: Vec<impl Backend>,
        readers: Arc<Readers>,
        keyring: Arc<Keyring>,
    ) -> Result<Self, StoreError> {
        let reading = Arc::new(Answering::new(READERS));
        let (group, threads) = GroupCommit::start(writers)?;
        Ok(Self { group: Mutex::new(Some(group)), writers: Mutex::new(threads), readers, keyring, reading })
    }

    fn group(&self) -> Result<GroupCommit, StoreError> {
        self.group.lock().clone().ok_or(StoreError::Stopped)
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Statements<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.group()?;
        self.reading.check()?;
        let (readers, reading) = (Arc::clone(&self.readers), Arc::clone(&self.reading));
        let keyring = Arc::clone(&self.keyring);
        let turn = self.readers.turn().await?;
        // The turn goes with the query: one whose caller has gone away still holds its connection.
        let query = move || {
            let _turn = turn;
            let under_way = reading.begin();
            let result = readers.with(query);
            if matches!(result, Err(StoreError::UnknownKey)) {
                // For whoever asks again. The worker that renews keys tells of it if it can't.
                let _ = readers.with(data_keys::kept).and_then(|kept| keyring.renew(&kept));
            }
            under_way.ended(&result);
            result
        };
        tokio::task::spawn_blocking(query).await.map_err(|_panic| StoreError::Stopped)?
    }
}

#[async_trait]
impl Messages for BackendStore {
    async fn accept(&self, accept: Accept) -> Result<Accepted, StoreError> {
        self.group()?.accept(accept).await
    }

    async fn earlier(&self, request: Idempotency) -> Result<Option<Accepted>, StoreError> {
        self.read(move |statements| write::accept::earlier(statements, &request)).await
    }

    async fn cancel(&self, cancel: Cancel) -> Result<Vec<Option<Moved>>, StoreError> {
        self.group()?.ask(cancel, Operation::Cancel).await
    }

    async fn resend(&self, resend: Resend) -> Result<Option<Resent>, StoreError> {
        self.group()?.ask(resend, Operation::Resend).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.group()?.ask(sweep, Operation::Sweep).await
    }

    async fn messages_of_bulk(&self, id: BulkId) -> Result<Vec<MessageSummary>, StoreError> {
        self.read(move |statements| read::messages_of_bulk(statements, id)).await
    }

    async fn statuses(&self, ids: Vec<MessageId>) -> Result<Vec<(MessageId, MessageStatus)>, StoreError> {
        self.read(move |statements| read::statuses(statements, &ids)).await
    }

    async fn message(&self, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.read(move |statements| read::message(statements, id)).await
    }

    async fn messages(&self, filter: Filter, page: Page) -> Result<Vec<MessageSummary>, StoreError> {
        self.read(move |statements| read::messages(statements, &filter, page)).await
    }
}

#[async_trait]
impl Queue for BackendStore {
    async fn claim(&self, claim: Claim) -> Result<Claims, StoreError> {
        self.group()?.ask(claim, Operation::Claim).await
    }

    async fn finish(&self, ends: Vec<AttemptEnd>) -> Result<(), StoreError> {
        self.group()?.ask(ends, Operation::Finish).await
    }

    async fn recover(&self, recovery: Recovery) -> Result<u64, StoreError> {
        self.group()?.ask(recovery, Operation::Recover).await
    }

    async fn waiting(&self, waiting: Waiting) -> Result<Vec<Waiter>, StoreError> {
        self.read(move |statements| read::queue::waiting(statements, &waiting)).await
    }

    async fn divert(&self, diversions: Vec<Diversion>) -> Result<u64, StoreError> {
        self.group()?.ask(diversions, Operation::Divert).await
    }

    async fn depth(&self, now: Timestamp) -> Result<Vec<LaneDepth>, StoreError> {
        self.read(move |statements| read::queue::depth(statements, now)).await
    }

    async fn stuck(&self, before: Timestamp, limit: u32) -> Result<Vec<Stuck>, StoreError> {
        self.read(move |statements| read::queue::stuck(statements, before, limit)).await
    }
}

#[async_trait]
impl Receipts for BackendStore {
    async fn record_receipts(&self, receipts: Vec<NewReceipt>) -> Result<Vec<ReceiptFate>, StoreError> {
        self.group()?.ask(receipts, Operation::Receipts).await
    }
}

#[async_trait]
impl Watches for BackendStore {
    async fn take_watches(&self, take: TakeWatches) -> Result<Vec<Watched>, StoreError> {
        let taken = self.group()?.ask(take, Operation::TakeWatches).await?;
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        // Beside the writer: what is needed to decide takes longer to read than a commit should.
        self.read(move |statements| read::watches::watched(statements, &taken, take.now)).await
    }

    async fn settle_watches(&self, settled: Vec<Settled>) -> Result<(), StoreError> {
        self.group()?.ask(settled, Operation::SettleWatches).await
    }

    async fn watch_counts(&self) -> Result<Vec<WatchCount>, StoreError> {
        self.read(read::watches::counts).await
    }
}

#[async_trait]
impl Routes for BackendStore {
    async fn drained(&self) -> Result<Vec<(ProviderName, Timestamp)>, StoreError> {
        self.read(read::drained).await
    }

    async fn set_drained(
        &self,
        provider: ProviderName,
        since: Option<Timestamp>,
        act: Act,
    ) -> Result<bool, StoreError> {
        self.group()?.ask(Drain { provider, since, act }, Operation::Drain).await
    }
}

#[async_trait]
impl Nodes for BackendStore {
    async fn beat(&self, beat: Beat) -> Result<Vec<NodeId>, StoreError> {
        self.group()?.ask(NodeChange::Beat(beat), Operation::Node).await
    }

    async fn wake_nodes(&self, providers: Vec<ProviderName>) -> Result<(), StoreError> {
        self.group()?.ask(providers, Operation::Wake).await
    }

    fn wakeups(&self) -> mpsc::Receiver<ProviderName> {
        Readers::wakeups(&self.readers)
    }

    async fn leave(&self, leave: Leave) -> Result<(), StoreError> {
        self.group()?.ask(NodeChange::Leave(leave), Operation::Node).await.map(|_nobody| ())
    }
}

#[async_trait]
impl History for BackendStore {
    async fn keep_history(&self, keep: KeepHistory) -> Result<Forgotten, StoreError> {
        self.group()?.ask(keep, Operation::History).await
    }
}

#[async_trait]
impl Keys for BackendStore {
    async fn create_key(&self, key: ApiKey, act: Act) -> Result<(), StoreError> {
        self.group()?.ask(KeyChange::Create(key, act), Operation::Key).await.map(|_changed| ())
    }

    async fn create_first_key(&self, key: ApiKey, act: Act) -> Result<bool, StoreError> {
        self.group()?.ask(KeyChange::CreateFirst(key, act), Operation::Key).await
    }

    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<FoundKey>, StoreError> {
        self.read(move |statements| read::keys::find(statements, &hash)).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.read(read::keys::all).await
    }

    async fn rotate_key(&self, rotation: Rotation) -> Result<bool, StoreError> {
        self.group()?.ask(KeyChange::Rotate(rotation), Operation::Key).await
    }

    async fn revoke_key(&self, id: KeyId, act: Act) -> Result<bool, StoreError> {
        self.group()?.ask(KeyChange::Revoke(id, act), Operation::Key).await
    }

    async fn note_key_uses(&self, mut uses: Vec<KeyUse>) -> Result<(), StoreError> {
        // All nodes in one order, so that none waits for another in a circle.
        uses.sort_unstable_by_key(|used| used.id);
        self.group()?.ask(KeyChange::Used(uses), Operation::Key).await.map(|_noted| ())
    }

    fn changed_keys(&self) -> mpsc::Receiver<KeyId> {
        Readers::changed_keys(&self.readers)
    }
}

#[async_trait]
impl Sealing for BackendStore {
    fn derive_key(&self, purpose: &str) -> Key {
        self.keyring.vault().derive(purpose)
    }

    fn receiver_hash(&self, receiver: Msisdn) -> i64 {
        self.keyring.vault().blind(receiver)
    }

    async fn renew_data_keys(&self) -> Result<(), StoreError> {
        let kept = self.read(data_keys::kept).await?;
        self.keyring.renew(&kept)
    }

    async fn add_data_key(&self, act: Act) -> Result<u32, StoreError> {
        let kept = self.read(data_keys::kept).await?;
        if let Some(waiting) = kept.iter().find(|key| !key.is_in_use) {
            return Ok(waiting.id);
        }
        let key = self.keyring.next(&kept)?;
        let id = key.id;
        self.group()?.ask(DataKeyChange::Add(key, act), Operation::DataKey).await?;
        self.renew_data_keys().await.map(|()| id)
    }

    async fn use_data_key(&self, id: u32, act: Act) -> Result<(), StoreError> {
        self.group()?.ask(DataKeyChange::Use(id, act), Operation::DataKey).await?;
        self.renew_data_keys().await
    }

    async fn reseal(&self, reseal: Reseal) -> Result<Resealed, StoreError> {
        let sealed = self.read(move |statements| data_keys::reseal(statements, reseal)).await?;
        let resealed = sealed.resealed() as u64;
        let (rows, behind) = (sealed.rows, sealed.behind);
        if resealed > 0 {
            self.group()?.ask(sealed, Operation::Reseal).await?;
        }
        Ok(Resealed { rows, resealed, behind })
    }

    async fn forget_data_keys(&self, before: u32, act: Act) -> Result<u64, StoreError> {
        let forgotten = self.group()?.ask(DataKeyChange::Forget { before, act }, Operation::DataKey).await?;
        self.renew_data_keys().await.map(|()| forgotten)
    }

    async fn erase_texts(&self, erase: EraseTexts) -> Result<Erased, StoreError> {
        // Beside the writer: to find them takes longer than a commit should.
        let (served, is_done) = self.read(move |statements| read::erase::served(statements, &erase)).await?;
        let texts = (served.texts.len() + served.inbound.len()) as u64;
        let erased = Erased { codes: served.codes.len() as u64, texts, is_done };
        if served.mark.is_some() || erased.codes > 0 || texts > 0 {
            self.group()?.ask(served, Operation::Erase).await?;
        }
        Ok(erased)
    }

    async fn forget_receiver(&self, receiver: Msisdn, act: Act) -> Result<ForgottenReceiver, StoreError> {
        self.group()?.ask((receiver, act), Operation::ForgetReceiver).await
    }
}

#[async_trait]
impl Verifications for BackendStore {
    async fn change_verifications(
        &self,
        change: ChangeVerifications,
    ) -> Result<Vec<Option<Seen>>, StoreError> {
        self.group()?.ask(change, Operation::Verify).await
    }

    async fn verification(&self, id: VerificationId) -> Result<Option<Verification>, StoreError> {
        self.read(move |statements| read::verifications::verification(statements, id)).await
    }

    async fn open_verification(
        &self,
        caller: KeyId,
        receiver: Msisdn,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, Option<Code>)>, StoreError> {
        self.read(move |statements| read::verifications::open(statements, caller, receiver, now)).await
    }

    async fn overdue_verifications(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<VerificationId>, StoreError> {
        self.read(move |statements| read::verifications::overdue(statements, now, limit)).await
    }

    async fn conversions(&self, asked: AskedConversions) -> Result<Vec<RouteConversion>, StoreError> {
        self.read(move |statements| read::verifications::conversions(statements, asked)).await
    }
}

#[async_trait]
impl Events for BackendStore {
    async fn are_events_kept(&self) -> Result<bool, StoreError> {
        self.read(outbox::are_kept).await
    }

    async fn keep_events(&self, keep: bool) -> Result<(), StoreError> {
        self.group()?.ask(keep, Operation::Keep).await
    }

    async fn events(&self, limit: u32) -> Result<Vec<Event>, StoreError> {
        self.read(move |statements| read::events::front(statements, limit)).await
    }

    async fn forget_events(&self, numbers: Vec<i64>) -> Result<(), StoreError> {
        self.group()?.ask(numbers, Operation::Forget).await
    }

    async fn raise_events(&self, events: Vec<NewEvent>) -> Result<(), StoreError> {
        self.group()?.ask(events, Operation::Raise).await
    }

    async fn raised_events(&self, limit: u32) -> Result<Vec<RaisedEvent>, StoreError> {
        self.read(move |statements| read::events::raised(statements, limit)).await
    }

    async fn forget_raised(&self, numbers: Vec<i64>) -> Result<(), StoreError> {
        self.group()?.ask(numbers, Operation::ForgetRaised).await
    }

    async fn outbox(&self) -> Result<Outbox, StoreError> {
        self.read(read::events::outbox).await
    }

    async fn take_lease(&self, lease: Lease) -> Result<bool, StoreError> {
        self.group()?.ask(LeaseChange::Take(lease), Operation::Lease).await
    }

    async fn release_lease(&self, name: &'static str, node: NodeId) -> Result<(), StoreError> {
        self.group()?.ask(LeaseChange::Release(name, node), Operation::Lease).await.map(|_held| ())
    }
}

#[async_trait]
impl Audit for BackendStore {
    async fn note(&self, entries: Vec<NewEntry>) -> Result<(), StoreError> {
        self.group()?.note(entries).await
    }

    async fn checkpoint_audit(&self, now: Timestamp) -> Result<Option<Checkpoint>, StoreError> {
        self.group()?.ask(now, Operation::Checkpoint).await
    }

    async fn audit(&self, filter: AuditFilter, page: AuditPage) -> Result<Vec<Entry>, StoreError> {
        let receiver = filter.receiver.map(|receiver| self.receiver_hash(receiver));
        self.read(move |statements| read::audit::page(statements, &filter, receiver, page)).await
    }

    async fn audit_chains(&self) -> Result<Vec<AuditChain>, StoreError> {
        self.read(read::audit::chains).await
    }

    async fn audit_part(&self, chain: i64, behind: i64, limit: u32) -> Result<Part, StoreError> {
        self.read(move |statements| read::audit::part(statements, chain, behind, limit)).await
    }

    async fn audit_place(&self, chain: i64, at: Timestamp) -> Result<i64, StoreError> {
        self.read(move |statements| read::audit::place(statements, chain, at)).await
    }

    async fn audit_checkpoints(&self) -> Result<(Option<Sealed>, Vec<Checkpoint>), StoreError> {
        self.read(read::audit::checkpoints).await
    }
}

#[async_trait]
impl Guard for BackendStore {
    async fn keep_guard(&self, kept: KeptByGuard) -> Result<(), StoreError> {
        self.group()?.ask(kept, Operation::KeepGuard).await
    }

    async fn guard_counts(&self, asked: AskedCounts) -> Result<Vec<Entered>, StoreError> {
        self.read(move |statements| read::guard::counts(statements, &asked)).await
    }

    async fn guard_days(&self, days: Days, of: Vec<Subject>) -> Result<Vec<(Subject, Count)>, StoreError> {
        self.read(move |statements| read::guard::days(statements, days, &of)).await
    }

    async fn guard_decisions(&self, filter: DecisionFilter) -> Result<Vec<Decision>, StoreError> {
        self.read(move |statements| read::guard::decisions(statements, &filter)).await
    }

    async fn keep_feedback(&self, feedback: Feedback) -> Result<bool, StoreError> {
        self.group()?.ask(feedback, Operation::Feedback).await
    }

    async fn forget_guard(&self, forget: ForgetGuard) -> Result<bool, StoreError> {
        self.group()?.ask(forget, Operation::ForgetGuard).await
    }
}

#[async_trait]
impl Spending for BackendStore {
    async fn reservations(
        &self,
        after: Option<ReservationId>,
        limit: u32,
    ) -> Result<Vec<Reservation>, StoreError> {
        self.read(move |statements| read::spending::reservations(statements, after, limit)).await
    }

    async fn settle(&self, charges: Vec<Charge>) -> Result<u64, StoreError> {
        self.group()?.ask(charges, Operation::Charge).await
    }

    async fn standing(&self, draws: Vec<Draw>) -> Result<Vec<Option<i64>>, StoreError> {
        self.read(move |statements| read::spending::standing(statements, &draws)).await
    }
}

#[async_trait]
impl Store for BackendStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.read(read::check).await?;
        self.group()?.ask((), Operation::Ping).await
    }

    fn is_shared(&self) -> bool {
        super::IS_SHARED
    }

    async fn close(&self) {
        let group = self.group.lock().take();
        // Readers first: when a connection that writes is the last to close, SQLite leaves one whole file and no log.
        self.readers.close();
        if let Some(group) = group {
            group.stop().await;
        }
        let writers = std::mem::take(&mut *self.writers.lock());
        for writer in writers {
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }
}

impl Drop for BackendStore {
    /// Whoever opens the database next finds the writers gone, their work done and the lock released.
    fn drop(&mut self) {
        self.readers.close();
        drop(self.group.lock().take());
        for writer in std::mem::take(&mut *self.writers.lock()) {
            let _ = writer.join();
        }
    }
}
