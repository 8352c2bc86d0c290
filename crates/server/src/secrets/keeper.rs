//! Keeps secrets fresh: looks at their places again and again, gives providers new credentials, tells of old secrets.
//!
//! A look that fails changes nothing: what was read before stays in force. A provider gets new credentials only when all
//! of its secrets could be read, so that a key and its name are never of two times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::secret::{ExposeSecret as _, SecretString};
use domain::time::{Clock, Timestamp};
use gateway::stop::Stop;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use parking_lot::Mutex;
use providers::{Renewable, SmsProvider as _};
use tokio::sync::Notify;

use super::{Stores, Unread};
use crate::config::secrets::is_identity;
use crate::config::{Config, Fetched, PROVIDERS};

/// How long the worker may go without a sign of life.
pub(crate) const TURN: Duration = Duration::from_secs(30);

/// From one look for which a provider's refusal was the reason to the next.
const HURRY: Duration = Duration::from_secs(5);

/// How often the log tells of a secret that is old.
const DAY: Duration = Duration::from_hours(24);

/// What belongs to the stores themselves: read anew whenever we log in, and no business of ours.
const OF_STORES: &str = "secrets.";

/// Looks after the secrets that may change.
pub(crate) struct Keeper {
    config: Config,
    stores: Stores,
    providers: Vec<Arc<Renewable>>,
    refused: Arc<Notify>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    ages: Ages,
}

/// Since when each secret is the one it is.
type Ages = Arc<Mutex<BTreeMap<String, Timestamp>>>;

/// What has been seen so far.
struct Known {
    /// What each setting is in force with.
    in_force: BTreeMap<String, SecretString>,
    /// What was told of settings that need a restart.
    told: BTreeMap<String, SecretString>,
    /// When the log told last that a secret is old.
    old_told: BTreeMap<String, Timestamp>,
}

impl Keeper {
    /// Looks after the secrets of these settings; `None` if none of them can change.
    pub(crate) fn new(
        config: &Config,
        providers: Vec<Arc<Renewable>>,
        refused: Arc<Notify>,
        clock: Arc<dyn Clock>,
        meter: &Meter,
    ) -> Option<Self> {
        if !config.held.iter().any(|(_, held)| held.source.can_change()) {
            return None;
        }
        let in_force = config
            .held
            .iter()
            .filter_map(|(key, held)| Some((key.to_owned(), held.fetched.as_ref()?.value.clone())));
        let known = Known { in_force: in_force.collect(), told: BTreeMap::new(), old_told: BTreeMap::new() };
        let ages = config.held.iter().filter_map(|(key, held)| {
            Some((key.to_owned(), held.fetched.as_ref()?.created_at?)).filter(|_| !is_identity(key))
        });
        let ages: Ages = Arc::new(Mutex::new(ages.collect()));
        observe(meter, Arc::clone(&ages), Arc::clone(&clock));
        let stores = Stores::of(config, Arc::clone(&clock));
        Some(Self {
            config: config.clone(),
            stores,
            providers,
            refused,
            clock,
            known: Mutex::new(known),
            ages,
        })
    }

    /// Runs until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        let refresh = self.config.secrets.refresh();
        let mut look_at = self.clock.now().plus(refresh);
        let mut may_hurry_from = Timestamp::from_micros(i64::MIN);
        loop {
            let now = self.clock.now();
            stop.beat(now);
            self.tell_of_old_ones(now);
            if now >= look_at {
                if !stop.is_paused() {
                    tokio::select! {
                        () = stop.asked() => return,
                        () = self.look(&stop) => {}
                    }
                }
                look_at = self.clock.now().plus(refresh);
                continue;
            }
            tokio::select! {
                () = stop.asked() => return,
                () = self.clock.sleep_until(look_at.min(now.plus(TURN))) => {}
                () = self.refused.notified() => {
                    let at_once = may_hurry_from.max(self.clock.now());
                    if at_once < look_at {
                        tracing::warn!("a provider refused its credentials: looking whether there are new ones");
                        look_at = at_once;
                        may_hurry_from = at_once.plus(HURRY);
                    }
                }
            }
        }
    }

    /// One look at all places.
    async fn look(&self, stop: &Stop) {
        // Places that do not answer take their time, one after the other.
        let alive = || stop.beat(self.clock.now());
        let (fetched, unread) = self.stores.look(&self.config.held, alive).await;
        for (setting, problem) in &unread {
            tracing::warn!(setting, %problem, "a secret can't be looked at: it stays as it was");
        }
        self.take(&fetched, &unread);
    }

    /// Puts into force what has changed.
    fn take(&self, fetched: &BTreeMap<String, Fetched>, unread: &Unread) {
        let now = self.clock.now();
        let mut known = self.known.lock();
        let changed: Vec<&str> = fetched
            .iter()
            .filter(|(setting, secret)| !is_same(known.in_force.get(*setting), &secret.value))
            .map(|(setting, _)| setting.as_str())
            .collect();
        for provider in &self.providers {
            let prefix = format!("{PROVIDERS}{}.", provider.provider_name());
            let is_complete = !unread.keys().any(|setting| setting.starts_with(&prefix));
            if is_complete && changed.iter().any(|setting| setting.starts_with(&prefix)) {
                self.renew(provider, &prefix, fetched, &mut known, now);
            }
        }
        for setting in
            changed.into_iter().filter(|it| !it.starts_with(PROVIDERS) && !it.starts_with(OF_STORES))
        {
            let Some(secret) = fetched.get(setting) else { continue };
            if !is_same(known.told.get(setting), &secret.value) {
                tracing::warn!(setting, "a secret has changed: the new one is used from the next start on");
                known.told.insert(setting.to_owned(), secret.value.clone());
            }
        }
        // Last: whoever sees a new age may count on the new secret.
        for (setting, secret) in fetched.iter().filter(|(setting, _)| !is_identity(setting)) {
            if let Some(created_at) = secret.created_at {
                self.ages.lock().insert(setting.clone(), created_at);
            }
        }
    }

    /// Gives a provider its new credentials. What it has under way keeps those that it began with.
    fn renew(
        &self,
        provider: &Renewable,
        prefix: &str,
        fetched: &BTreeMap<String, Fetched>,
        known: &mut Known,
        now: Timestamp,
    ) {
        let name = provider.provider_name();
        let made = self
            .config
            .with_secrets(fetched.clone())
            .and_then(|config| Ok(config.factory()?.create_provider(Some(name))?));
        match made {
            Ok(made) => {
                provider.renew(made, now.plus(self.config.secrets.previous_valid()));
                let of_provider = fetched.iter().filter(|(setting, _)| setting.starts_with(prefix));
                known
                    .in_force
                    .extend(of_provider.map(|(setting, secret)| (setting.clone(), secret.value.clone())));
                tracing::info!(provider = %name, "new credentials are in force");
            }
            Err(problem) => {
                tracing::error!(provider = %name, %problem, "new credentials can't be used: those of before stay in force");
            }
        }
    }

    /// Tells of secrets that are old, each once a day.
    fn tell_of_old_ones(&self, now: Timestamp) {
        let Some(max_age) = self.config.secrets.max_age() else { return };
        let old = newly_old(&self.ages.lock(), max_age, &mut self.known.lock().old_told, now);
        for (setting, age) in old {
            tracing::warn!(setting, days = days(age), "a secret is old: change it");
        }
    }
}

/// The secrets that are old, without those that were told of within a day.
fn newly_old(
    ages: &BTreeMap<String, Timestamp>,
    max_age: Duration,
    told: &mut BTreeMap<String, Timestamp>,
    now: Timestamp,
) -> Vec<(String, Duration)> {
    let ages = ages.iter().map(|(setting, created_at)| (setting, now.since(*created_at)));
    let mut old = Vec::new();
    for (setting, age) in ages.filter(|(_, age)| *age > max_age) {
        if told.get(setting).is_none_or(|told| now.since(*told) >= DAY) {
            told.insert(setting.clone(), now);
            old.push((setting.clone(), age));
        }
    }
    old
}

/// Whole days.
pub(crate) fn days(age: Duration) -> u64 {
    age.as_secs() / DAY.as_secs()
}

fn is_same(before: Option<&SecretString>, now: &SecretString) -> bool {
    before.is_some_and(|before| before.expose_secret() == now.expose_secret())
}

/// The age of each secret whose age is known. Names of settings are a closed set.
fn observe(meter: &Meter, ages: Ages, clock: Arc<dyn Clock>) {
    meter
        .f64_observable_gauge("tuma.secret.age")
        .with_description("For how long a secret has been the same, where its place knows that.")
        .with_unit("d")
        .with_callback(move |gauge| {
            let now = clock.now();
            for (setting, created_at) in ages.lock().iter() {
                let days = now.since(*created_at).as_secs_f64() / DAY.as_secs_f64();
                gauge.observe(days, &[KeyValue::new("setting", setting.clone())]);
            }
        })
        .build();
}

#[cfg(test)]
mod tests {
    use testkit::clock::FakeClock;

    use super::*;

    #[test]
    fn old_secrets_are_told_once_a_day_until_they_are_changed() {
        let (start, max_age) = (FakeClock::START, 90 * DAY);
        let mut ages = BTreeMap::from([("a".to_owned(), start), ("b".to_owned(), start.plus(60 * DAY))]);
        let mut told = BTreeMap::new();
        let mut old_after = |hours: u64, ages: &BTreeMap<String, Timestamp>| {
            let old = newly_old(ages, max_age, &mut told, start.plus(Duration::from_hours(hours)));
            old.into_iter().map(|(setting, age)| (setting, days(age))).collect::<Vec<_>>()
        };
        let a = |days| vec![("a".to_owned(), days)];
        assert_eq!(old_after(90 * 24, &ages), []);
        assert_eq!(old_after(91 * 24, &ages), a(91));
        assert_eq!(old_after(92 * 24 - 1, &ages), []);
        assert_eq!(old_after(92 * 24, &ages), a(92));
        ages.insert("a".to_owned(), start.plus(93 * DAY));
        assert_eq!(old_after(94 * 24, &ages), []);
        assert_eq!(old_after(152 * 24, &ages), [("b".to_owned(), 92)]);
    }
}
