//! Whether the database answers. One that does not is not waited for: callers are refused at once, instead of piling up
//! behind each other, and one of them a second finds out whether it is back.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::StoreError;

/// All connections are busy for longer than this: the database stands still. A commit or a query may take long, but not
/// all of them at once.
const STANDS_STILL_AFTER: Duration = Duration::from_secs(2);

/// How often it is tried while it does not answer.
const TURN: Duration = Duration::from_secs(1);

/// What a number of connections are doing.
#[derive(Debug)]
pub(crate) struct Answering {
    connections: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// What is under way, oldest first.
    begun: Vec<(u64, Instant)>,
    /// It did not answer; when somebody tries again.
    try_at: Option<Instant>,
}

/// Something under way. What it became is told by [`ended`](Self::ended); dropped without it, it was given up.
pub(crate) struct UnderWay<'a> {
    answering: &'a Answering,
    number: u64,
}

impl Answering {
    pub(crate) fn new(connections: usize) -> Self {
        Self { connections, state: Mutex::default() }
    }

    /// Refuses what the database would not answer.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let stands_still = state.begun.len() >= self.connections
            && state.begun.last().is_some_and(|(_, begun)| now.duration_since(*begun) > STANDS_STILL_AFTER);
        match state.try_at {
            // Nobody could find anything out.
            _ if stands_still => Err(StoreError::NoAnswer),
            Some(try_at) if now < try_at => Err(StoreError::NoAnswer),
            Some(_) => {
                state.try_at = Some(now + TURN);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Notes that a connection is busy.
    pub(crate) fn begin(&self) -> UnderWay<'_> {
        let mut state = self.state.lock();
        state.next += 1;
        let number = state.next;
        state.begun.push((number, Instant::now()));
        UnderWay { answering: self, number }
    }
}

impl UnderWay<'_> {
    /// Notes how it ended.
    pub(crate) fn ended<T>(self, result: &Result<T, StoreError>) {
        let mut state = self.answering.state.lock();
        match result {
            Err(problem @ StoreError::Unavailable(_)) => {
                if state.try_at.is_none() {
                    tracing::error!(%problem, "the database does not answer: callers are refused until it is back");
                }
                state.try_at = Some(Instant::now() + TURN);
            }
            _ if state.try_at.take().is_some() => tracing::info!("the database answers again"),
            _ => {}
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.answering.state.lock().begun.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE: Result<(), StoreError> = Err(StoreError::NoAnswer);

    fn unavailable() -> Result<(), StoreError> {
        Err(StoreError::Unavailable("connection refused".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn while_it_does_not_answer_one_a_second_tries() {
        let answering = Answering::new(2);
        assert_eq!(answering.check(), Ok(()));
        answering.begin().ended(&unavailable());
        assert_eq!(answering.check(), GONE);
        tokio::time::advance(TURN).await;
        assert_eq!((answering.check(), answering.check()), (Ok(()), GONE));
        answering.begin().ended(&Ok::<(), StoreError>(()));
        assert_eq!((answering.check(), answering.check()), (Ok(()), Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_connections_stand_still_nobody_is_let_in() {
        let answering = Answering::new(2);
        let first = answering.begin();
        tokio::time::advance(STANDS_STILL_AFTER * 2).await;
        assert_eq!(answering.check(), Ok(()), "the other connection is free");
        let second = answering.begin();
        tokio::time::advance(STANDS_STILL_AFTER).await;
        assert_eq!(answering.check(), Ok(()), "the other one may be quick");
        tokio::time::advance(TURN).await;
        assert_eq!((answering.check(), answering.check()), (GONE, GONE));
        second.ended(&Ok::<(), StoreError>(()));
        assert_eq!(answering.check(), Ok(()));
        drop(first);
    }

    #[tokio::test(start_paused = true)]
    async fn another_mistake_is_an_answer() {
        let answering = Answering::new(1);
        answering.begin().ended(&Err::<(), _>(StoreError::Overloaded));
        assert_eq!(answering.check(), Ok(()));
    }
}
