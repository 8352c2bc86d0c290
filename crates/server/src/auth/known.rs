//! Keys that were looked up, remembered for a moment so that not every request reads the store.
//!
//! Nobody is trusted for longer than the time that is set, which is a second at most: so late a node notices a revocation
//! that it was not told of. A key in use is looked up again when half of that time is over, by one of its requests, while the
//! others go on: a busy key makes nobody wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use domain::ids::KeyId;
use domain::time::Timestamp;
use parking_lot::RwLock;

use crate::keys::Identity;

/// Keys remembered at most: more than any installation has, and a bound all the same.
const MAX_REMEMBERED: usize = 10_000;

/// A key that is remembered.
#[derive(Debug)]
struct Known {
    identity: Identity,
    until: Timestamp,
    renew_at: Timestamp,
    is_renewed: AtomicBool,
}

/// What is remembered of a secret.
pub(super) enum Remembered {
    /// Its holder.
    Holder(Identity),
    /// Its holder, but this request should look it up again.
    Renew(Identity),
    /// Nothing.
    Nobody,
}

/// All that are remembered.
#[derive(Debug)]
pub(super) struct KnownKeys {
    trusted_for: Duration,
    by_hash: RwLock<HashMap<[u8; 32], Arc<Known>>>,
    changes: AtomicU64,
}

impl KnownKeys {
    pub(super) fn new(trusted_for: Duration) -> Self {
        Self { trusted_for, by_hash: RwLock::default(), changes: AtomicU64::new(0) }
    }

    pub(super) fn find(&self, hash: &[u8; 32], now: Timestamp) -> Remembered {
        let known = self.by_hash.read().get(hash).filter(|known| now < known.until).map(Arc::clone);
        match known {
            None => Remembered::Nobody,
            Some(known) if now >= known.renew_at && !known.is_renewed.swap(true, Ordering::Relaxed) => {
                Remembered::Renew(known.identity.clone())
            }
            Some(known) => Remembered::Holder(known.identity.clone()),
        }
    }

    /// Before a look-up: what is learned by it counts only if no key was changed meanwhile.
    pub(super) fn begin(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// After a look-up at `now`, when it was begun.
    pub(super) fn learn(&self, begun: u64, hash: [u8; 32], found: Option<&Identity>, now: Timestamp) {
        let mut by_hash = self.by_hash.write();
        by_hash.remove(&hash);
        let Some(identity) = found else { return };
        if self.begin() != begun {
            return;
        }
        if by_hash.len() >= MAX_REMEMBERED {
            by_hash.clear();
        }
        let known = Known {
            identity: identity.clone(),
            until: now.plus(self.trusted_for),
            renew_at: now.plus(self.trusted_for / 2),
            is_renewed: AtomicBool::new(false),
        };
        by_hash.insert(hash, Arc::new(known));
    }

    /// Forgets a key that has changed, and what look-ups that are under way will say of it.
    pub(super) fn forget(&self, key: KeyId) {
        let mut by_hash = self.by_hash.write();
        self.changes.fetch_add(1, Ordering::SeqCst);
        by_hash.retain(|_, known| known.identity.key != key);
    }
}

#[cfg(test)]
mod tests {
    use store::port::keys::ApiKey;

    use super::*;

    const HASH: [u8; 32] = [1; 32];

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_millis(millis))
    }

    fn identity() -> Identity {
        ApiKey::new(KeyId::new(at(0), [1; 10]), "key", HASH, at(0)).into()
    }

    fn known() -> KnownKeys {
        let known = KnownKeys::new(Duration::from_secs(1));
        known.learn(known.begin(), HASH, Some(&identity()), at(0));
        known
    }

    #[test]
    fn a_key_is_remembered_for_its_time_and_renewed_by_one_request_at_half_of_it() {
        let known = known();
        let find = |millis| match known.find(&HASH, at(millis)) {
            Remembered::Holder(_) => "holder",
            Remembered::Renew(_) => "renew",
            Remembered::Nobody => "nobody",
        };
        assert_eq!(
            [0, 499, 500, 500, 999, 1_000].map(find),
            ["holder", "holder", "renew", "holder", "holder", "nobody"]
        );
    }

    #[test]
    fn what_was_looked_up_before_a_change_is_not_remembered_after_it() {
        let known = known();
        let begun = known.begin();
        known.forget(identity().key);
        known.learn(begun, HASH, Some(&identity()), at(1));
        assert!(matches!(known.find(&HASH, at(1)), Remembered::Nobody));
    }

    #[test]
    fn a_key_that_is_not_there_any_more_is_forgotten() {
        let known = known();
        known.learn(known.begin(), HASH, None, at(1));
        assert!(matches!(known.find(&HASH, at(1)), Remembered::Nobody));
    }
}
