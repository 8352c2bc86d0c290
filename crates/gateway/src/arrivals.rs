//! Who waits for what in this process: dispatchers for work, callers for an outcome.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::ids::MessageId;
use domain::route::ProviderName;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// Wakes the dispatcher of a provider when there may be work.
#[derive(Debug)]
pub(crate) struct Wakeups(BTreeMap<ProviderName, Arc<Notify>>);

impl Wakeups {
    pub(crate) fn new(providers: impl Iterator<Item = ProviderName>) -> Self {
        Self(providers.map(|provider| (provider, Arc::new(Notify::new()))).collect())
    }

    pub(crate) fn of(&self, provider: &ProviderName) -> Arc<Notify> {
        self.0.get(provider).map(Arc::clone).unwrap_or_default()
    }

    pub(crate) fn wake(&self, provider: &ProviderName) {
        if let Some(waiting) = self.0.get(provider) {
            waiting.notify_one();
        }
    }

    pub(crate) fn wake_all(&self) {
        self.0.values().for_each(|waiting| waiting.notify_one());
    }
}

/// Callers that wait until a provider has accepted or refused their message.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(Mutex<HashMap<MessageId, Vec<oneshot::Sender<()>>>>);

/// A place in [`Outcomes`], given up when dropped.
pub(crate) struct Ticket<'a> {
    outcomes: &'a Outcomes,
    id: MessageId,
    settled: oneshot::Receiver<()>,
}

impl Outcomes {
    /// Takes a place before the message is accepted, so that no outcome is missed.
    pub(crate) fn expect(&self, id: MessageId) -> Ticket<'_> {
        let (settle, settled) = oneshot::channel();
        self.0.lock().entry(id).or_default().push(settle);
        Ticket { outcomes: self, id, settled }
    }

    /// Tells all who wait for this message.
    pub(crate) fn settle(&self, id: MessageId) {
        let waiting = self.0.lock().remove(&id);
        for waiting in waiting.into_iter().flatten() {
            // Whoever has stopped waiting needs no word.
            let _ = waiting.send(());
        }
    }
}

impl Ticket<'_> {
    /// Returns when the message is settled.
    pub(crate) async fn settled(&mut self) {
        let _ = (&mut self.settled).await;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.settled.close();
        let mut outcomes = self.outcomes.0.lock();
        if let Some(waiting) = outcomes.get_mut(&self.id) {
            waiting.retain(|waiting| !waiting.is_closed());
            if waiting.is_empty() {
                outcomes.remove(&self.id);
            }
        }
    }
}
