//! What happens to prompts in time: reminders, and their end.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Timestamp;
use store::StoreError;
use store::port::prompts::{DueReminder, ForgetPrompts, Remind};

use crate::accept::Acceptor;
use crate::metrics::Arrival;
use crate::shared::Shared;
use crate::stop::Stop;
use crate::sweep::{HISTORY_TURN, does_for_all, pause};

/// How often prompts are looked for that are due.
pub(crate) const TURN: Duration = Duration::from_secs(5);

/// Prompts that are looked after together.
const BATCH: u32 = 50;

/// Closes prompts whose time is over, and reminds those who are silent.
pub(crate) async fn look_after_regularly(shared: Arc<Shared>, stop: Stop) {
    let mut forget_at = shared.clock.now().plus(HISTORY_TURN);
    while pause(&*shared.clock, TURN, &stop).await {
        if !does_for_all(&shared, "prompts", TURN).await {
            continue;
        }
        stop.beat(shared.clock.now());
        let now = shared.clock.now();
        if let Err(problem) = expire(&shared, now, &stop).await {
            tracing::error!(%problem, "prompts whose time is over can't be closed");
        }
        if let Err(problem) = remind_all(&shared, now, &stop).await {
            tracing::error!(%problem, "those who are silent can't be reminded");
        }
        if shared.clock.now() >= forget_at {
            forget(&shared, &stop).await;
            forget_at = shared.clock.now().plus(HISTORY_TURN);
        }
    }
}

async fn expire(shared: &Shared, now: Timestamp, stop: &Stop) -> Result<(), StoreError> {
    while shared.store.expire_prompts(now, BATCH).await? == u64::from(BATCH) && !stop.soft.is_cancelled() {
        stop.beat(shared.clock.now());
    }
    Ok(())
}

async fn remind_all(shared: &Shared, now: Timestamp, stop: &Stop) -> Result<(), StoreError> {
    while !stop.soft.is_cancelled() {
        let due = shared.store.due_reminders(now, BATCH).await?;
        let is_last = due.len() < BATCH as usize;
        for prompt in due {
            remind(shared, prompt, now).await?;
        }
        if is_last {
            break;
        }
        stop.beat(shared.clock.now());
    }
    Ok(())
}

async fn remind(shared: &Shared, due: DueReminder, now: Timestamp) -> Result<(), StoreError> {
    let Shared { store, router, settings, requests, limits, guard, templates, .. } = shared;
    let acceptor = Acceptor { store: &**store, router, settings, requests, limits, guard, templates };
    let again = due.messages.iter();
    let messages: Vec<_> =
        again.filter_map(|first| Some((first.id, acceptor.again(first, due.closes_at, now)?))).collect();
    let arrivals: Vec<_> = messages
        .iter()
        .map(|(_, new)| (new.message.id, new.provider.clone(), Arrival::from(&new.message)))
        .collect();
    let remind = Remind { prompt: due.prompt, remind_at: due.remind_at, messages, now };
    let sent = shared.store.remind(remind).await?;
    for (_, provider, arrival) in arrivals.into_iter().filter(|(id, ..)| sent.contains(id)) {
        shared.metrics.accepted(arrival);
        shared.wakeups.wake(&provider);
    }
    tracing::info!(prompt.id = %due.prompt, messages = sent.len(), "prompt.reminded");
    Ok(())
}

/// Forgets what is no longer kept.
async fn forget(shared: &Shared, stop: &Stop) {
    let (now, settings) = (shared.clock.now(), &shared.settings);
    let forget = ForgetPrompts {
        prompts_before: settings.keep_messages.map(|keep| now.minus(keep)),
        words_before: settings.keep_texts.map(|keep| now.minus(keep)),
        // Nobody writes meanwhile, and of each there may be hundreds of rows.
        limit: 50,
    };
    loop {
        stop.beat(shared.clock.now());
        match shared.store.forget_prompts(forget).await {
            Ok(false) if !stop.soft.is_cancelled() => {}
            Ok(_) => return,
            Err(problem) => {
                tracing::error!(%problem, "prompts that are no longer kept can't be forgotten");
                return;
            }
        }
    }
}
