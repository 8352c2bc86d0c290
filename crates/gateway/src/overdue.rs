//! The chores of one-time codes: ends those whose time has passed, and learns what came of them.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Actor;
use domain::guard::Grain;
use domain::verification::VerificationStatus;
use store::StoreError;
use store::port::verifications::{AskedConversions, ChangeVerifications, Deed};

use crate::shared::Shared;
use crate::stop::Stop;
use crate::sweep::{does_for_all, pause};

/// From one look at what is overdue, and at what came of codes, to the next.
pub(crate) const TURN: Duration = Duration::from_secs(5);

/// Verifications that are ended together: a part of a commit that others wait for.
const TOGETHER: u32 = 500;

/// How far back "lately" is: long enough for a route with little traffic to have something to tell.
const LATELY: Duration = Duration::from_hours(1);

/// Over how many days it is learned what is usual in a country.
const USUAL_DAYS: i64 = 14;

/// Ends what is overdue, and learns what came of codes.
pub(crate) async fn keep_regularly(shared: Arc<Shared>, stop: Stop) {
    while pause(&*shared.clock, TURN, &stop).await {
        if shared.settings.roles.chores && does_for_all(&shared, "verifications", TURN).await {
            expire_all(&shared, &stop).await;
        }
        if let Err(problem) = learn(&shared).await {
            tracing::warn!(%problem, "what came of codes can't be read; routes stay as they are");
        }
    }
}

async fn expire_all(shared: &Shared, stop: &Stop) {
    loop {
        stop.beat(shared.clock.now());
        match expire(shared).await {
            Ok(TOGETHER) if !stop.soft.is_cancelled() => {}
            Ok(_) => break,
            Err(problem) => {
                tracing::error!(%problem, "codes whose time has passed can't be ended");
                break;
            }
        }
    }
}

/// Ends a part of what is overdue. Answers how many it looked at.
async fn expire(shared: &Shared) -> Result<u32, StoreError> {
    let now = shared.clock.now();
    let ids = shared.store.overdue_verifications(now, TOGETHER).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let looked_at = u32::try_from(ids.len()).unwrap_or(TOGETHER);
    let change = ChangeVerifications { ids, deed: Deed::Expire, caller: None, by: Actor::System, now };
    for seen in shared.store.change_verifications(change).await?.into_iter().flatten() {
        if seen.has_ended {
            shared.metrics.verification_ended(VerificationStatus::Expired);
        }
    }
    Ok(looked_at)
}

/// Reads what came of codes.
pub(crate) async fn learn(shared: &Shared) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let ask = |grain: Grain, first| shared.store.conversions(AskedConversions { grain, first });
    let lately = ask(Grain::Minute, Grain::Minute.at(now.minus(LATELY)).number).await?;
    let over_days = ask(Grain::Day, Grain::Day.at(now).number - USUAL_DAYS).await?;
    shared.router.conversions().learn(&lately, &over_days);
    shared.metrics.conversions(lately);
    Ok(())
}
