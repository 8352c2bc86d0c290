//! Group commit: everything that gathered while the last commit ran goes into the next one.
//!
//! A disk flush costs the same for one row as for a thousand. So writes wait in a bounded queue; a thread of
//! its own takes all that is there, runs it as one transaction, and answers each caller after the commit. A
//! group waits for nobody: a single caller pays for one flush, a thousand callers share it. Accepts, claims,
//! outcomes and receipts go into the same transaction, for a tick of each kind would cost four flushes.
//!
//! The backend sees a batch sorted by kind, so that one with multi-row statements can use them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::StoreError;
use crate::answering::Answering;
use crate::port::consent::{ChangeConsent, Changed};
use crate::port::events::Lease;
use crate::port::guard::{Feedback, ForgetGuard, KeptByGuard};
use crate::port::history::{Forgotten, KeepHistory};
use crate::port::inbound::{NewInbound, Received};
use crate::port::keys::{ApiKey, KeyUse, Rotation};
use crate::port::messages::{Accept, Accepted, Cancel, Moved, Resend, Resent, Sweep, Swept};
use crate::port::nodes::{Beat, Leave};
use crate::port::prompts::{ForgetPrompts, OpenPrompt, PromptOpened, Remind};
use crate::port::queue::{AttemptEnd, Claim, Claims, Diversion, Recovery};
use crate::port::receipts::{NewReceipt, ReceiptFate};
use crate::port::sealing::ForgottenReceiver;
use crate::port::spending::Charge;
use crate::port::templates::{Draft, Publish};
use crate::port::verifications::{ChangeVerifications, Seen};
use crate::port::watches::{Settled, TakeWatches, WatchId, WatchKind};
use crate::port::webhooks::{
    EndDeliveries, EndpointChange, HandOut, NewEndpoint, Replay, Replayed, TakeDeliveries, TakenDelivery,
};
use crate::seal::{ResealedRows, WrappedKey};
use domain::audit::{Act, Checkpoint, NewEntry};
use domain::event::NewEvent;
use domain::ids::{EndpointId, KeyId, MessageId, NodeId, PromptId};
use domain::phone::Msisdn;
use domain::route::ProviderName;
use domain::time::Timestamp;

/// Rows after which a group is full. Larger ones gain little and make the first in them wait.
const MAX_ROWS: usize = 2_048;

/// What an operation counts at most whose rows are known only once it has run.
const MAX_GUESS: u32 = 1_024;

/// Operations for which a group of their own is worth what it costs, while another is being written.
const MUCH: usize = 64;

/// How long another group is waited for before less is enough.
const PATIENCE: Duration = Duration::from_millis(5);

/// Operations that may wait. Beyond it accepts are refused, which callers see as "try again"; everything
/// else waits for room, so that an outcome is never dropped.
const MAX_WAITING: usize = 8_192;

/// Messages that may wait to be accepted: a part of a second's work. A request that carries a hundred counts a
/// hundred, so that bulk can't build a queue in front of a code.
const MAX_WAITING_MESSAGES: usize = 16_384;

/// A backend, from the side of the thread that writes.
pub(crate) trait Backend: Send + 'static {
    /// Runs a batch as one transaction and fills in the answers. On an error nothing of it may be written.
    fn commit(&mut self, batch: &mut Batch) -> Result<(), StoreError>;

    /// Takes the data keys as they are kept now.
    fn renew_keys(&mut self) -> Result<(), StoreError>;
}

/// A question, its answer once there, and who waits for it.
pub(crate) struct Pending<Q, A> {
    pub(crate) question: Q,
    pub(crate) answer: Option<A>,
    reply: oneshot::Sender<Result<A, StoreError>>,
}

impl<Q, A> Pending<Q, A> {
    /// Answers what was done apart from its batch.
    pub(crate) fn answer_with(self, result: Result<A, StoreError>) {
        let _ = self.reply.send(result);
    }

    fn settle(self, result: &Result<(), StoreError>) {
        let answer = match result {
            Ok(()) => self
                .answer
                .ok_or_else(|| StoreError::Internal("the backend left a question unanswered".into())),
            Err(error) => Err(error.clone()),
        };
        // A caller that has gone away needs no answer: the write is done all the same.
        let _ = self.reply.send(answer);
    }
}

/// Changes to API keys.
pub(crate) enum KeyChange {
    Create(ApiKey, Act),
    CreateFirst(ApiKey, Act),
    Rotate(Rotation),
    Revoke(KeyId, Act),
    Used(Vec<KeyUse>),
}

/// Changes to templates.
pub(crate) enum TemplateChange {
    Draft(Draft),
    Publish(Publish),
    Retire(String, Act),
}

/// A watch that was taken. What is needed to decide is read beside the writer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) watch: WatchId,
    pub(crate) kind: WatchKind,
}

/// A provider to take out of service, or to put back.
pub(crate) struct Drain {
    pub(crate) provider: ProviderName,
    pub(crate) since: Option<Timestamp>,
    pub(crate) act: Act,
}

/// Changes to data keys.
pub(crate) enum DataKeyChange {
    Add(WrappedKey, Act),
    Use(u32, Act),
    Forget { before: u32, act: Act },
}

/// Texts that are to be erased, by the ids of their messages.
#[derive(Debug)]
pub(crate) struct ServedTexts {
    /// One-time codes.
    pub(crate) codes: Vec<[u8; 16]>,
    /// Those that were kept for as long as texts are.
    pub(crate) texts: Vec<[u8; 16]>,
    /// Messages that are as old and have not ended: their texts are erased when they have served.
    pub(crate) later: Vec<[u8; 16]>,
    /// Messages from phones that were kept for as long.
    pub(crate) inbound: Vec<[u8; 16]>,
    /// How far all of these are gone through.
    pub(crate) mark: Option<[u8; 16]>,
}

/// What is done to webhook endpoints.
pub(crate) enum EndpointOperation {
    Create(NewEndpoint, Act),
    Change(EndpointId, EndpointChange, Act),
    Settle,
}

/// What nodes say of themselves.
pub(crate) enum NodeChange {
    Beat(Beat),
    Leave(Leave),
}

/// What a node says of a lease.
pub(crate) enum LeaseChange {
    Take(Lease),
    Release(&'static str, NodeId),
}

/// The kinds of operations, in the order in which a backend runs them: one line each, with the name of the kind, its
/// room in a batch, question and answer, and how many rows it may take.
macro_rules! operations {
    ($($kind:ident in $room:ident: $question:ty => $answer:ty, $rows:expr;)+) => {
        /// One operation on its way to the writer.
        pub(crate) enum Operation {
            $($kind(Pending<$question, $answer>),)+
            /// Take in what is waiting, and then no more.
            Stop,
        }

        /// What one commit holds, in the order in which a backend runs it: a claim that shares a commit with an
        /// accept finds the message.
        #[derive(Default)]
        pub(crate) struct Batch {
            $(pub(crate) $room: Vec<Pending<$question, $answer>>,)+
            rows: usize,
        }

        impl Batch {
            fn push(&mut self, operation: Operation) {
                match operation {
                    $(Operation::$kind(pending) => {
                        let rows: fn(&$question) -> usize = $rows;
                        self.rows += rows(&pending.question);
                        self.$room.push(pending);
                    })+
                    Operation::Stop => {}
                }
            }

            /// Tells the callers of what is answered, after the commit of it, and leaves the rest.
            pub(crate) fn settle_answered(&mut self) {
                $(for pending in self.$room.extract_if(.., |pending| pending.answer.is_some()) {
                    pending.settle(&Ok(()));
                })+
            }

            /// Takes answers back that were not committed.
            pub(crate) fn clear_answers(&mut self) {
                $(self.$room.iter_mut().for_each(|pending| pending.answer = None);)+
            }

            /// Whether nothing is left to do.
            pub(crate) fn is_empty(&self) -> bool {
                $(self.$room.is_empty())&&+
            }

            fn settle(self, result: &Result<(), StoreError>) {
                $(self.$room.into_iter().for_each(|pending| pending.settle(result));)+
            }

            fn into_operations(self) -> Vec<Operation> {
                let mut operations = Vec::new();
                $(operations.extend(self.$room.into_iter().map(Operation::$kind));)+
                operations
            }
        }
    };
}

operations! {
    Finish in finishes: Vec<AttemptEnd> => (), Vec::len;
    Receipts in receipts: Vec<NewReceipt> => Vec<ReceiptFate>, Vec::len;
    Inbound in inbound: NewInbound => Received, |_| 1;
    Consent in consents: ChangeConsent => Vec<Changed>, |change| change.changes.len();
    SettleWatches in settlements: Vec<Settled> => (), Vec::len;
    TakeWatches in watch_takes: TakeWatches => Vec<Taken>, |take| guess(take.limit);
    Cancel in cancels: Cancel => Vec<Option<Moved>>, |cancel| cancel.messages.len();
    Resend in resends: Resend => Option<Resent>, |_| 1;
    Divert in diversions: Vec<Diversion> => u64, Vec::len;
    Recover in recoveries: Recovery => u64, |_| 1;
    Sweep in sweeps: Sweep => Swept, |sweep| guess(sweep.limit);
    Charge in charges: Vec<Charge> => u64, Vec::len;
    Accept in accepts: Accept => Accepted, |accept| accept.messages.len();
    OpenPrompt in prompts: OpenPrompt => PromptOpened, |open| open.accept.messages.len();
    ClosePrompt in prompt_ends: (PromptId, Act) => Option<bool>, |_| 1;
    ExpirePrompts in prompt_expiries: (Timestamp, u32) => u64, |(_, limit)| guess(*limit);
    Remind in reminders: Remind => Vec<MessageId>, |remind| remind.messages.len();
    ForgetPrompts in prompt_forgets: ForgetPrompts => bool, |forget| guess(forget.limit);
    Verify in verifications: ChangeVerifications => Vec<Option<Seen>>, |change| change.ids.len();
    Claim in claims: Claim => Claims, |claim| guess(claim.total);
    Wake in wakes: Vec<ProviderName> => (), |_| 1;
    Key in keys: KeyChange => bool, |_| 1;
    Template in templates: TemplateChange => u32, |_| 1;
    Drain in drains: Drain => bool, |_| 1;
    History in histories: KeepHistory => Forgotten, |keep| guess(keep.limit);
    Node in nodes: NodeChange => Vec<NodeId>, |_| 1;
    Forget in forgotten: Vec<i64> => (), Vec::len;
    Raise in raised: Vec<NewEvent> => (), Vec::len;
    ForgetRaised in forgotten_raised: Vec<i64> => (), Vec::len;
    Endpoint in endpoints: EndpointOperation => bool, |_| 1;
    HandOut in handed_out: HandOut => u64, |hand_out| guess(hand_out.limit);
    TakeDeliveries in delivery_takes: TakeDeliveries => Vec<TakenDelivery>, |take| guess(take.limit);
    EndDeliveries in delivery_ends: EndDeliveries => Vec<EndpointId>, |end| end.ends.len();
    Replay in replays: (Replay, Option<Act>) => Replayed, |replay| guess(replay.0.limit);
    ForgetTold in forgotten_told: (Timestamp, u32) => bool, |forget| guess(forget.1);
    Lease in leases: LeaseChange => bool, |_| 1;
    DataKey in data_keys: DataKeyChange => u64, |_| 1;
    Reseal in resealed: ResealedRows => (), ResealedRows::resealed;
    Erase in erasures: ServedTexts => (), |served| served.codes.len() + served.texts.len() + served.inbound.len();
    ForgetReceiver in forgotten_receivers: (Msisdn, Act) => ForgottenReceiver, |_| MAX_ROWS;
    Keep in keeps: bool => (), |_| 1;
    Note in notes: Vec<NewEntry> => (), Vec::len;
    Checkpoint in checkpoints: Timestamp => Option<Checkpoint>, |_| 1;
    KeepGuard in guard_keeps: KeptByGuard => (), |kept| kept.counts.len() + kept.decisions.len();
    Feedback in feedbacks: Feedback => bool, |_| 1;
    ForgetGuard in guard_forgets: ForgetGuard => bool, |forget| guess(forget.limit);
    Ping in pings: () => (), |()| 1;
}

fn guess(limit: u32) -> usize {
    limit.min(MAX_GUESS) as usize
}

impl Batch {
    /// Whether the batch seals anything, or asks whether this node could.
    pub(crate) fn seals(&self) -> bool {
        !(self.accepts.is_empty()
            && self.prompts.is_empty()
            && self.reminders.is_empty()
            && self.receipts.is_empty()
            && self.inbound.is_empty()
            && self.consents.is_empty()
            && self.resealed.is_empty()
            && self.pings.is_empty())
    }

    /// Messages and receipts that the batch wrote something about, once it has its answers: what a backend
    /// needs to know when its log has grown.
    pub(crate) fn written(&self) -> usize {
        let asked = self.claims.iter().map(|pending| guess(pending.question.total)).sum::<usize>()
            + self.watch_takes.iter().map(|pending| guess(pending.question.limit)).sum::<usize>()
            + self.sweeps.iter().map(|pending| guess(pending.question.limit)).sum::<usize>();
        let claims = self.claims.iter().filter_map(|pending| pending.answer.as_ref());
        let claimed: usize = claims.map(|claims| claims.claimed.len() + claims.expired.len()).sum();
        let takes = self.watch_takes.iter().filter_map(|pending| pending.answer.as_ref());
        let sweeps = self.sweeps.iter().filter_map(|pending| pending.answer.as_ref());
        let swept: u32 = sweeps.map(|swept| swept.without_receipt + swept.expired).sum();
        // Of those that could only be guessed, what it really was.
        (self.rows - asked) + claimed + takes.map(Vec::len).sum::<usize>() + swept as usize
    }
}
/// The sending side of the group-commit layer.
#[derive(Debug, Clone)]
pub(crate) struct GroupCommit {
    operations: mpsc::Sender<Operation>,
    turns: Arc<Turns>,
    accepting: Arc<Semaphore>,
    answering: Arc<Answering>,
}

impl GroupCommit {
    /// Starts the threads that write, one for each backend. They share what is waiting: see [`Turns`].
    pub(crate) fn start(
        backends: Vec<impl Backend>,
    ) -> Result<(Self, Vec<std::thread::JoinHandle<()>>), StoreError> {
        let (operations, waiting) = mpsc::channel(MAX_WAITING);
        let turns = Arc::new(Turns::new(waiting, backends.len()));
        let answering = Arc::new(Answering::new(backends.len()));
        let start = |backend| {
            let (turns, answering) = (Arc::clone(&turns), Arc::clone(&answering));
            let thread = std::thread::Builder::new().name("store-writer".into());
            thread
                .spawn(move || write(backend, &turns, &answering))
                .map_err(|error| StoreError::Io(error.to_string()))
        };
        let threads = backends.into_iter().map(start).collect::<Result<_, _>>()?;
        let accepting = Arc::new(Semaphore::new(MAX_WAITING_MESSAGES));
        Ok((Self { operations, turns, accepting, answering }, threads))
    }

    /// Waits for room, then for the commit.
    pub(crate) async fn ask<Q, A>(
        self,
        question: Q,
        kind: fn(Pending<Q, A>) -> Operation,
    ) -> Result<A, StoreError> {
        let (reply, answer) = oneshot::channel();
        let operation = kind(Pending { question, answer: None, reply });
        self.operations.send(operation).await.map_err(|_closed| StoreError::Stopped)?;
        self.turns.has_gathered(&self.operations);
        answer.await.map_err(|_dropped| StoreError::Stopped)?
    }

    /// Refuses at once where there is no room or the database does not answer, then waits for the commit.
    pub(crate) async fn accept(self, accept: Accept) -> Result<Accepted, StoreError> {
        let messages = accept.messages.len();
        self.within_room(messages, accept, Operation::Accept).await
    }

    /// The same for the messages of a prompt, which wait in the same room.
    pub(crate) async fn open_prompt(self, open: OpenPrompt) -> Result<PromptOpened, StoreError> {
        let messages = open.accept.messages.len();
        self.within_room(messages, open, Operation::OpenPrompt).await
    }

    async fn within_room<Q, A>(
        self,
        messages: usize,
        question: Q,
        kind: fn(Pending<Q, A>) -> Operation,
    ) -> Result<A, StoreError> {
        self.answering.check()?;
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        let _room = self.accepting.try_acquire_many(messages).map_err(|_full| StoreError::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        self.try_send(kind(Pending { question, answer: None, reply }))?;
        answer.await.map_err(|_dropped| StoreError::Stopped)?
    }

    /// Refuses at once where there is no room or the database does not answer, then waits for the commit.
    pub(crate) async fn note(self, entries: Vec<NewEntry>) -> Result<(), StoreError> {
        self.answering.check()?;
        let (reply, answer) = oneshot::channel();
        let operation = Operation::Note(Pending { question: entries, answer: None, reply });
        self.try_send(operation)?;
        answer.await.map_err(|_dropped| StoreError::Stopped)?
    }

    fn try_send(&self, operation: Operation) -> Result<(), StoreError> {
        self.operations.try_send(operation).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => StoreError::Stopped,
        })?;
        self.turns.has_gathered(&self.operations);
        Ok(())
    }

    /// Tells the threads to end after all that is waiting. Callers that still wait for room are refused. Needs
    /// no help of theirs: a call that nobody polls any more must not keep the store open.
    pub(crate) async fn stop(self) {
        // Already ended: nothing to tell.
        let _ = self.operations.send(Operation::Stop).await;
    }
}

fn write(mut backend: impl Backend, turns: &Turns, answering: &Answering) {
    let _present = Present(turns);
    while let Some((mut batch, turn)) = turns.take() {
        let under_way = answering.begin();
        let result = commit(&mut backend, &mut batch);
        under_way.ended(&result);
        settle(&mut backend, batch, &result);
        drop(turn);
    }
}

/// Commits a batch, with the keys as they are now if another one was put to use.
fn commit(backend: &mut impl Backend, batch: &mut Batch) -> Result<(), StoreError> {
    let result = backend.commit(batch);
    if result != Err(StoreError::UnknownKey) {
        return result;
    }
    if let Err(problem) = backend.renew_keys() {
        tracing::error!(%problem, "a data key is in use that can't be read: nothing is sealed until it can");
        return result;
    }
    batch.clear_answers();
    backend.commit(batch)
}

/// Who writes what, and when.
///
/// What a group costs beside its rows is so much that two small ones are dearer than one: while somebody writes, what gathers is left
/// to whoever is done first, unless it has become much, or he takes long.
#[derive(Debug)]
struct Turns {
    waiting: Mutex<mpsc::Receiver<Operation>>,
    writing: AtomicUsize,
    present: AtomicUsize,
    changed: Condvar,
}

impl Turns {
    fn new(waiting: mpsc::Receiver<Operation>, writers: usize) -> Self {
        Self {
            waiting: Mutex::new(waiting),
            writing: AtomicUsize::new(0),
            present: AtomicUsize::new(writers),
            changed: Condvar::new(),
        }
    }

    /// Waits for a group; `None` when no more will come.
    fn take(&self) -> Option<(Batch, Turn<'_>)> {
        let mut waiting = self.waiting.lock();
        while self.writing.load(Ordering::Relaxed) > 0 && waiting.len() < MUCH && !waiting.is_closed() {
            let waited = self.changed.wait_for(&mut waiting, PATIENCE);
            if waited.timed_out() && !waiting.is_empty() {
                break;
            }
        }
        let batch = gather(&mut waiting)?;
        self.writing.fetch_add(1, Ordering::Relaxed);
        Some((batch, Turn(self)))
    }

    /// Something was added to what waits.
    fn has_gathered(&self, operations: &mpsc::Sender<Operation>) {
        if operations.max_capacity() - operations.capacity() >= MUCH {
            self.changed.notify_one();
        }
    }
}

/// A thread writes, now and then. When the last one is gone, also because it panicked, nobody may wait for an answer any more.
struct Present<'a>(&'a Turns);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        if self.0.present.fetch_sub(1, Ordering::Relaxed) == 1 {
            let mut waiting = self.0.waiting.lock();
            waiting.close();
            // To its end, also what is being sent at this moment.
            while waiting.blocking_recv().is_some() {}
        }
    }
}

/// Somebody writes. Ends also where he panics, or nobody would be done first any more.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    /// Whoever is done goes on with what waits: his connection is warm, and to wake another costs as much as a row. Where he does
    /// not, because he panicked, another one's patience ends.
    fn drop(&mut self) {
        self.0.writing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits for an operation, and takes all that have gathered; `None` when no more will come.
fn gather(waiting: &mut mpsc::Receiver<Operation>) -> Option<Batch> {
    let mut next = Some(waiting.blocking_recv()?);
    let mut batch = Batch::default();
    while let Some(operation) = next {
        if matches!(operation, Operation::Stop) {
            waiting.close();
        }
        batch.push(operation);
        next = if batch.rows < MAX_ROWS { waiting.try_recv().ok() } else { None };
    }
    Some(batch)
}

fn settle(backend: &mut impl Backend, batch: Batch, result: &Result<(), StoreError>) {
    let Err(problem @ (StoreError::Internal(_) | StoreError::Corrupt | StoreError::UnknownKey)) = result
    else {
        return batch.settle(result);
    };
    // One operation, or one damaged row, may have spoiled it for all: run each by itself, so that only the
    // culprit fails.
    tracing::error!(%problem, "a group could not be committed; trying its operations one by one");
    for operation in batch.into_operations() {
        let mut alone = Batch::default();
        alone.push(operation);
        let result = backend.commit(&mut alone);
        alone.settle(&result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backend with a mistake in it.
    struct Mistaken;

    impl Backend for Mistaken {
        fn commit(&mut self, _batch: &mut Batch) -> Result<(), StoreError> {
            panic!("a mistake")
        }

        fn renew_keys(&mut self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_writer_that_is_gone() {
        let (group, threads) = GroupCommit::start(vec![Mistaken]).unwrap();
        let with_it = group.clone().note(Vec::new()).await;
        for thread in threads {
            thread.join().unwrap_err();
        }
        let behind_it = group.clone().note(Vec::new()).await;
        assert_eq!((with_it, behind_it), (Err(StoreError::Stopped), Err(StoreError::Stopped)));
        group.stop().await;
    }
}
