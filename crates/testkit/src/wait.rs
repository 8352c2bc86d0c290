//! Waiting for something that another task does, without guessing how long it takes.
//!
//! The condition is asked again and again (level-triggered), so nothing is missed that became true between two
//! looks, and a test takes as long as it must and no longer. A condition that has been true and is false again
//! by the next look is not seen: ask for something that lasts, such as a count that only grows.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long between two looks.
const INTERVAL: Duration = Duration::from_millis(2);

/// A limit that no test should come near: it only keeps a broken one from hanging.
pub const LONG: Duration = Duration::from_mins(1);

/// The condition did not come true in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("waited {0:?} in vain")]
pub struct TimedOut(pub Duration);

/// Waits until `condition` holds, at most for `limit`.
pub async fn wait_until(mut condition: impl FnMut() -> bool, limit: Duration) -> Result<(), TimedOut> {
    wait_for(async || condition().then_some(()), limit).await
}

/// Waits until `look` finds something, at most for `limit`: for conditions that need to be awaited themselves,
/// such as an answer over HTTP.
pub async fn wait_for<T>(look: impl AsyncFnMut() -> Option<T>, limit: Duration) -> Result<T, TimedOut> {
    wait_patiently(INTERVAL, look, limit).await
}

/// The same with a look only so often: for looks that cost what they wait for its time.
pub async fn wait_patiently<T>(
    interval: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
    limit: Duration,
) -> Result<T, TimedOut> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            return Err(TimedOut(limit));
        }
        sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn returns_as_soon_as_the_condition_holds() {
        let mut looks = 0;
        let waited = wait_until(
            || {
                looks += 1;
                looks == 3
            },
            LONG,
        )
        .await;
        assert_eq!((waited, looks), (Ok(()), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_at_the_limit() {
        let limit = Duration::from_secs(3);
        assert_eq!(wait_until(|| false, limit).await, Err(TimedOut(limit)));
    }

    #[tokio::test(start_paused = true)]
    async fn gives_back_what_was_found() {
        assert_eq!(wait_for(async || Some(7), LONG).await, Ok(7));
    }
}
