//! The guard's books: brings what it counted to the store once a second, and what other nodes counted back.
//!
//! A code is decided about by what this node knows. So two nodes may let a little more pass together than one would, for a
//! second.

use std::sync::Arc;
use std::time::Duration;

use domain::guard::rules::FORTNIGHT;
use domain::guard::{Grain, Mode, Subject};
use domain::time::Timestamp;
use store::StoreError;
use store::port::guard::{AskedCounts, AskedSubjects, Days};

use crate::shared::Shared;
use crate::stop::Stop;
use crate::sweep::pause;

/// From one time to the next.
pub(crate) const TURN: Duration = Duration::from_secs(1);

/// Subjects whose counts are brought together: a part of a commit that others wait for.
const TOGETHER: usize = 400;

/// Subjects about whom the store is asked one by one in a turn.
const ASKED: usize = 100;

/// What others counted may be seen so much later than it says: it was on its way, and clocks differ.
const LATE: Duration = Duration::from_secs(15);

/// Reads what was counted before this process began.
pub(crate) async fn open(shared: &Shared) -> Result<(), StoreError> {
    if shared.guard.mode() == Mode::Off {
        return Ok(());
    }
    let now = shared.clock.now();
    begin_day(shared, now).await?;
    learn(shared, AskedSubjects::All, now).await
}

/// Keeps the books until it is told to stop, and once more then.
pub(crate) async fn keep_regularly(shared: Arc<Shared>, stop: Stop) {
    let mut day = Grain::Day.at(shared.clock.now());
    let mut is_away = false;
    while pause(&*shared.clock, TURN, &stop).await {
        let today = Grain::Day.at(shared.clock.now());
        let turn = turn(&shared, today != day).await;
        if let Err(problem) = &turn
            && !is_away
        {
            tracing::error!(%problem, "what the guard counts can't be kept; it goes on with what it knows");
        }
        is_away = turn.is_err();
        if !is_away {
            day = today;
        }
    }
    if let Err(problem) = hand_over(&shared).await {
        tracing::warn!(%problem, "what the guard counted last could not be kept");
    }
}

async fn turn(shared: &Shared, begins_day: bool) -> Result<(), StoreError> {
    hand_over(shared).await?;
    let now = shared.clock.now();
    if begins_day {
        begin_day(shared, now).await?;
    }
    let unread = shared.guard.take_unread(ASKED);
    if !unread.is_empty()
        && let Err(problem) = ask(shared, unread.clone(), now).await
    {
        shared.guard.give_back_unread(unread);
        return Err(problem);
    }
    if shared.store.is_shared() {
        learn(shared, AskedSubjects::ChangedSince(now.minus(LATE)), now).await?;
    }
    Ok(())
}

/// Brings all that the store does not have.
async fn hand_over(shared: &Shared) -> Result<(), StoreError> {
    while let Some((kept, is_more)) = shared.guard.hand_out(TOGETHER, shared.clock.now()) {
        if let Err(problem) = shared.store.keep_guard(kept.clone()).await {
            shared.guard.not_kept(kept);
            return Err(problem);
        }
        shared.guard.kept(&kept);
        // What comes meanwhile is for the next turn.
        if !is_more {
            break;
        }
    }
    Ok(())
}

async fn learn(shared: &Shared, of: AskedSubjects, now: Timestamp) -> Result<(), StoreError> {
    let counts = shared.store.guard_counts(AskedCounts { now, of }).await?;
    shared.guard.learn(&counts, now);
    Ok(())
}

/// All about subjects that are new here: another node may know them, or this one has forgotten them.
async fn ask(shared: &Shared, subjects: Vec<Subject>, now: Timestamp) -> Result<(), StoreError> {
    let totals = shared.store.guard_days(fortnight(now), subjects.clone()).await?;
    shared.guard.learn_fortnight(&totals, now);
    learn(shared, AskedSubjects::These(subjects), now).await
}

async fn begin_day(shared: &Shared, now: Timestamp) -> Result<(), StoreError> {
    let totals = shared.store.guard_days(fortnight(now), Vec::new()).await?;
    shared.guard.begin_day(&totals, now);
    Ok(())
}

/// The days before today.
fn fortnight(now: Timestamp) -> Days {
    let today = Grain::Day.at(now).number;
    Days { first: today - FORTNIGHT, last: today - 1 }
}
