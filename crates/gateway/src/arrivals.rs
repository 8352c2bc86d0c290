//! Who waits for what in this process: dispatchers for work, callers for an outcome.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::ids::MessageId;
use domain::route::ProviderName;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// Wakes whoever dispatches for a provider when there may be work: this node, or else the others.
#[derive(Debug)]
pub(crate) struct Wakeups {
    dispatchers: BTreeMap<ProviderName, Arc<Notify>>,
    /// Providers of which other nodes are to be told; `None` where this node dispatches itself.
    for_others: Option<Mutex<BTreeSet<ProviderName>>>,
    others: Notify,
}

impl Wakeups {
    pub(crate) fn new(providers: impl Iterator<Item = ProviderName>, dispatches: bool) -> Self {
        Self {
            dispatchers: providers.map(|provider| (provider, Arc::new(Notify::new()))).collect(),
            for_others: (!dispatches).then(Mutex::default),
            others: Notify::new(),
        }
    }

    pub(crate) fn of(&self, provider: &ProviderName) -> Arc<Notify> {
        self.dispatchers.get(provider).map(Arc::clone).unwrap_or_default()
    }

    pub(crate) fn wake(&self, provider: &ProviderName) {
        let Some(dispatcher) = self.dispatchers.get(provider) else { return };
        match &self.for_others {
            None => dispatcher.notify_one(),
            Some(for_others) => {
                // Told already, and not yet passed on: this goes with it.
                if for_others.lock().insert(provider.clone()) {
                    self.others.notify_one();
                }
            }
        }
    }

    pub(crate) fn wake_all(&self) {
        self.dispatchers.keys().for_each(|provider| self.wake(provider));
    }

    /// Waits until other nodes are to be told of something, and answers of what.
    pub(crate) async fn for_others(&self) -> Vec<ProviderName> {
        loop {
            let told: Vec<_> =
                self.for_others.iter().flat_map(|told| std::mem::take(&mut *told.lock())).collect();
            if !told.is_empty() {
                return told;
            }
            self.others.notified().await;
        }
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

    /// Messages for which somebody waits.
    pub(crate) fn expected(&self) -> Vec<MessageId> {
        self.0.lock().keys().copied().collect()
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
