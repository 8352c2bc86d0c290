//! The chores of housekeeping: closes what nobody will finish, ends what waits in vain, measures the queue, forgets what is
//! no longer kept.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Clock;
use store::StoreError;
use store::port::events::Lease;
use store::port::guard::ForgetGuard;
use store::port::history::{Forgotten, KeepHistory};
use store::port::messages::Sweep;
use store::port::queue::Recovery;
use store::port::sealing::{EraseTexts, Erased};

use crate::lease::SKEW;
use crate::shared::Shared;
use crate::stop::Stop;

/// How often attempts are looked for that nobody will finish.
pub(crate) const RECOVERY_TURN: Duration = Duration::from_secs(10);

/// How often the depth of the queue is measured.
pub(crate) const DEPTH_TURN: Duration = Duration::from_secs(5);

/// How often messages are looked for that wait in vain.
pub(crate) const SWEEP_TURN: Duration = Duration::from_mins(1);

/// How often what is no longer kept is forgotten, and room is made for what will come.
pub(crate) const HISTORY_TURN: Duration = Duration::from_hours(1);

/// How often texts are looked for that have served.
pub(crate) const ERASE_TURN: Duration = Duration::from_secs(5);

/// How often data keys are looked for that others have made. A new one is put to use only after three times as long.
pub const DATA_KEYS_TURN: Duration = Duration::from_secs(10);

/// How often it is looked which templates other nodes have published.
pub(crate) const TEMPLATES_TURN: Duration = Duration::from_secs(2);

/// Who looks. It never rests: without the newest keys, a node can neither read what others wrote nor accept anything.
pub(crate) const DATA_KEYS: &str = "data-keys";

/// Texts that are erased together: a part of a commit that others wait for.
const ERASE_BATCH: u32 = 500;

/// How long a one-time code may be sent if its message does not say when it expires.
const CODE_SERVES: Duration = Duration::from_mins(10);

/// How long after that its text stays: somebody may have it in hand.
const CODE_RESTS: Duration = Duration::from_mins(1);

/// How long counts of the guard are kept: its windows reach two stretches back, and reports a month.
const KEEP_MINUTES: Duration = Duration::from_mins(10);
const KEEP_HOURS: Duration = Duration::from_hours(48);
const KEEP_DAYS: Duration = Duration::from_hours(40 * 24);

/// Messages that are looked through together: a part of a commit that others wait for.
const SWEEP_BATCH: u32 = 1_000;

/// Closes open attempts whose lease has run out, so that the reconciler finds out how they ended.
pub(crate) async fn recover_regularly(shared: Arc<Shared>, stop: Stop) {
    while pause(&*shared.clock, RECOVERY_TURN, &stop).await {
        match recover(&shared, false).await {
            Ok(0) => {}
            Ok(attempts) => {
                tracing::warn!(attempts, "leases ran out: nobody knows yet whether these were sent");
            }
            Err(problem) => tracing::error!(%problem, "open attempts can't be looked for"),
        }
    }
}

/// Closes open attempts that nobody will finish. Answers how many.
pub(crate) async fn recover(shared: &Shared, only_node: bool) -> Result<u64, StoreError> {
    let recovery = Recovery { node: shared.node, now: shared.clock.now(), only_node };
    let closed = shared.store.recover(recovery).await?;
    shared.metrics.recovered(closed);
    Ok(closed)
}

/// Ends the wait of messages that are past the horizon.
pub(crate) async fn sweep_regularly(shared: Arc<Shared>, stop: Stop) {
    while pause(&*shared.clock, SWEEP_TURN, &stop).await {
        if !does_for_all(&shared, "sweep", SWEEP_TURN).await {
            continue;
        }
        loop {
            stop.beat(shared.clock.now());
            match sweep(&shared).await {
                Ok(seen) if seen == SWEEP_BATCH && !stop.soft.is_cancelled() => {}
                Ok(_) => break,
                Err(problem) => {
                    tracing::error!(%problem, "messages that wait in vain can't be looked for");
                    break;
                }
            }
        }
    }
}

async fn sweep(shared: &Shared) -> Result<u32, StoreError> {
    let now = shared.clock.now();
    let horizon = now.minus(shared.settings.reconcile.horizon);
    let reporting = shared.router.providers().filter(|provider| provider.capabilities().reports_delivery);
    let sweep = Sweep {
        accepted_before: horizon,
        unmoved_since: horizon,
        limit: SWEEP_BATCH,
        reporting: reporting.map(|provider| provider.provider_name().clone()).collect(),
        now,
    };
    let swept = shared.store.sweep(sweep).await?;
    shared.metrics.swept(swept);
    Ok(swept.seen)
}

/// Looks regularly which templates other nodes have published.
pub(crate) async fn renew_templates_regularly(shared: Arc<Shared>, stop: Stop) {
    while pause(&*shared.clock, TEMPLATES_TURN, &stop).await {
        if let Err(problem) = shared.templates.renew(&*shared.store).await {
            tracing::error!(%problem, "it can't be looked which templates are in force");
        }
    }
}

/// Measures the queue.
pub(crate) async fn measure_depth(shared: Arc<Shared>, stop: Stop) {
    while pause(&*shared.clock, DEPTH_TURN, &stop).await {
        match shared.store.depth(shared.clock.now()).await {
            Ok(depth) => shared.metrics.queue_depth(depth),
            Err(problem) => tracing::warn!(%problem, "the queue can't be measured"),
        }
        match shared.store.watch_counts().await {
            Ok(counts) => shared.metrics.watches(counts),
            Err(problem) => tracing::warn!(%problem, "the watches can't be counted"),
        }
    }
}

/// Forgets what is no longer kept, and makes room for what will come.
pub(crate) async fn keep_history_regularly(shared: Arc<Shared>, stop: Stop) {
    while pause(&*shared.clock, HISTORY_TURN, &stop).await {
        if !does_for_all(&shared, "history", HISTORY_TURN).await {
            continue;
        }
        loop {
            stop.beat(shared.clock.now());
            match keep_history(&shared).await {
                Ok(forgotten) if !forgotten.is_done && !stop.soft.is_cancelled() => {}
                Ok(_) => break,
                Err(problem) => {
                    tracing::error!(%problem, "what is no longer kept can't be forgotten");
                    break;
                }
            }
        }
        forget_guard(&shared, &stop).await;
        forget_told(&shared, &stop).await;
    }
}

/// Forgets events that were handed out long ago.
async fn forget_told(shared: &Shared, stop: &Stop) {
    let before = shared.clock.now().minus(shared.settings.webhooks.keep);
    while !stop.soft.is_cancelled() {
        stop.beat(shared.clock.now());
        match shared.store.forget_told(before, SWEEP_BATCH).await {
            Ok(false) => {}
            Ok(true) => break,
            Err(problem) => {
                tracing::error!(%problem, "events of long ago can't be forgotten");
                break;
            }
        }
    }
}

/// Forgets what the guard counted and decided long ago.
async fn forget_guard(shared: &Shared, stop: &Stop) {
    let now = shared.clock.now();
    let forget = ForgetGuard {
        minutes_before: now.minus(KEEP_MINUTES),
        hours_before: now.minus(KEEP_HOURS),
        days_before: now.minus(KEEP_DAYS),
        decisions_before: now.minus(shared.settings.guard.keep_decisions),
        feedback_before: shared.settings.keep_messages.map(|keep| now.minus(keep)),
        limit: SWEEP_BATCH,
    };
    while !stop.soft.is_cancelled() {
        stop.beat(shared.clock.now());
        match shared.store.forget_guard(forget).await {
            Ok(false) => {}
            Ok(true) => break,
            Err(problem) => {
                tracing::error!(%problem, "what the guard counted long ago can't be forgotten");
                break;
            }
        }
    }
}

/// Forgets a part of what is no longer kept.
pub(crate) async fn keep_history(shared: &Shared) -> Result<Forgotten, StoreError> {
    let (now, settings) = (shared.clock.now(), &shared.settings);
    let keep = KeepHistory {
        now,
        audit_since: now.minus(settings.keep_audit),
        messages_since: settings.keep_messages.map(|keep| now.minus(keep)),
        replies_since: now.minus(settings.idempotency_window),
        limit: SWEEP_BATCH,
    };
    let forgotten = shared.store.keep_history(keep).await?;
    shared.metrics.forgotten(forgotten);
    Ok(forgotten)
}

/// Erases texts that have served.
pub(crate) async fn erase_regularly(shared: Arc<Shared>, stop: Stop) {
    while pause(&*shared.clock, ERASE_TURN, &stop).await {
        if !does_for_all(&shared, "erase", ERASE_TURN).await {
            continue;
        }
        loop {
            stop.beat(shared.clock.now());
            match erase_texts(&shared).await {
                Ok(erased) if !erased.is_done && !stop.soft.is_cancelled() => {}
                Ok(_) => break,
                Err(problem) => {
                    tracing::error!(%problem, "texts that have served can't be erased");
                    break;
                }
            }
        }
    }
}

/// Erases a part of the texts that have served.
pub(crate) async fn erase_texts(shared: &Shared) -> Result<Erased, StoreError> {
    let now = shared.clock.now();
    let erase = EraseTexts {
        now: now.minus(CODE_RESTS),
        accepted_before: shared.settings.keep_texts.map(|keep| now.minus(keep)),
        codes_before: now.minus(CODE_SERVES),
        limit: ERASE_BATCH,
    };
    let erased = shared.store.erase_texts(erase).await?;
    shared.metrics.erased(erased);
    Ok(erased)
}

/// Hears of data keys that another process has made or put to use.
pub(crate) async fn renew_data_keys_regularly(shared: Arc<Shared>, stop: Stop) {
    while pause(&*shared.clock, DATA_KEYS_TURN, &stop).await {
        if let Err(problem) = shared.store.renew_data_keys().await {
            tracing::error!(%problem, "the data keys can't be read");
        }
    }
}

/// Whether this node is the one of all that does a chore which need not be done twice. Whoever has it keeps it, as long as
/// it comes back in time.
pub(crate) async fn does_for_all(shared: &Shared, name: &'static str, turn: Duration) -> bool {
    if !shared.store.is_shared() {
        return true;
    }
    let now = shared.clock.now();
    let lease = Lease { name, node: shared.node, until: now.plus(2 * turn), ended_before: now.minus(SKEW) };
    match shared.store.take_lease(lease).await {
        Ok(taken) => taken,
        Err(problem) => {
            tracing::warn!(%problem, chore = name, "it can't be found out which node does this");
            false
        }
    }
}

/// Waits until it is time for the next turn; `false` when it is time to end. A paused chore goes on waiting.
pub(crate) async fn pause(clock: &dyn Clock, turn: Duration, stop: &Stop) -> bool {
    loop {
        stop.beat(clock.now());
        let wake = clock.sleep_until(clock.now().plus(turn));
        tokio::select! {
            () = stop.soft.cancelled() => return false,
            () = wake => {}
        }
        if !stop.is_paused() {
            return true;
        }
    }
}
