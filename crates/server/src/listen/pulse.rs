//! What a connection is doing, so that one that keeps us waiting can be closed.
//!
//! hyper has a time-out for heads, but it runs also while a connection rests between two requests: a caller that keeps
//! its connections would lose them after seconds. And it has none for a caller that does not take its answer: one that
//! lets no byte through, or one of HTTP/2 that gives an answer no window. So all is watched here: what comes in and goes
//! out is seen by [`Watched`], what is asked by [`Pulse::begin`], what is answered by [`Answer`].

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a connection may keep us waiting, and for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the head of a request; the first one's from the connection's beginning.
    pub(super) head: Duration,
    /// For the next request to begin.
    pub(super) rest: Duration,
    /// For what was written to be taken.
    pub(super) write: Duration,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its next request has not begun.
    Rest,
    /// The head of a request has begun and not ended.
    Head,
    /// We have something to answer.
    Busy,
}

/// What is known when one looks at a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing can be overdue before this moment.
    Again(Instant),
    /// It has kept us waiting for too long.
    Overdue(Phase),
}

/// One connection's present state.
#[derive(Debug)]
pub(super) struct Pulse {
    patience: Patience,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    under_way: usize,
    /// Since when answers wait to be taken, by the numbers of their requests.
    answered: BTreeMap<u64, Instant>,
    requests: u64,
    /// HTTP/2 has frames between requests that begin none.
    has_frames: bool,
}

impl Pulse {
    /// Of a connection that has just been opened: its first head is awaited.
    pub(super) fn new(patience: Patience) -> Arc<Self> {
        let state = State {
            phase: Phase::Head,
            since: Instant::now(),
            under_way: 0,
            answered: BTreeMap::new(),
            requests: 0,
            has_frames: false,
        };
        Arc::new(Self { patience, state: Mutex::new(state) })
    }

    /// Whether something is overdue, or when to look again. A wait that begins after this look ends at the earliest when
    /// the shortest patience is over, so that no look comes too late.
    pub(super) fn look(&self, now: Instant) -> Look {
        let state = self.state.lock();
        let Patience { head, rest, write } = self.patience;
        let shortest = now + head.min(rest).min(write);
        let ends = match state.phase {
            // The first answer that waits has waited for the longest.
            Phase::Busy => match state.answered.values().min() {
                Some(answered) => *answered + write,
                None => return Look::Again(shortest),
            },
            Phase::Head => state.since + head,
            Phase::Rest => state.since + rest,
        };
        if ends <= now { Look::Overdue(state.phase) } else { Look::Again(ends.min(shortest)) }
    }

    /// Whether we have something to answer.
    pub(super) fn is_busy(&self) -> bool {
        self.state.lock().phase == Phase::Busy
    }

    /// When the first head must have come.
    pub(super) fn first_head(&self) -> Instant {
        self.state.lock().since + self.patience.head
    }

    /// A request's head has come. What is given back ends it.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> UnderWay {
        let mut state = self.state.lock();
        state.under_way += 1;
        state.requests += 1;
        state.phase = Phase::Busy;
        state.has_frames = version == Version::HTTP_2;
        UnderWay { pulse: Arc::clone(self), number: state.requests }
    }

    fn received(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Rest && !state.has_frames {
            (state.phase, state.since) = (Phase::Head, Instant::now());
        }
    }
}

/// A request that is not answered to its end yet.
pub(super) struct UnderWay {
    pulse: Arc<Pulse>,
    number: u64,
}

impl UnderWay {
    /// Its answer is there, and waits to be taken.
    pub(super) fn answer(self, body: axum::body::Body) -> Answer {
        self.pulse.state.lock().answered.insert(self.number, Instant::now());
        Answer { body, _under_way: self }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.pulse.state.lock();
        state.answered.remove(&self.number);
        state.under_way -= 1;
        if state.under_way == 0 {
            (state.phase, state.since) = (Phase::Rest, Instant::now());
        }
    }
}

/// An answer's body. Its request is under way until the last of it is written.
pub(super) struct Answer {
    body: axum::body::Body,
    _under_way: UnderWay,
}

impl Body for Answer {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells its pulse what comes in, and fails when what goes out is not taken.
pub(super) struct Watched<S> {
    stream: S,
    pulse: Arc<Pulse>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse, stalled: None }
    }

    /// Counts from the first write that had to wait until all is taken: a byte now and then is no progress.
    fn in_time<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            let patience = self.pulse.patience.write;
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        }
        if let Some(stalled) = &mut self.stalled
            && stalled.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.pulse.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.stalled = None;
        }
        self.in_time(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        self.in_time(context, closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        rest: Duration::from_secs(75),
        write: Duration::from_secs(30),
    };

    fn seconds(from: Instant, count: u64) -> Instant {
        from + Duration::from_secs(count)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_awaited_from_the_beginning_and_then_from_its_first_byte() {
        let pulse = Pulse::new(PATIENCE);
        let opened = Instant::now();
        assert_eq!(pulse.look(seconds(opened, 9)), Look::Again(seconds(opened, 10)));
        assert_eq!(pulse.look(seconds(opened, 10)), Look::Overdue(Phase::Head));
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(pulse.begin(Version::HTTP_11));
        // It rests since the fifth second, and is looked at in time for a head that begins right now.
        assert_eq!(pulse.look(seconds(opened, 5)), Look::Again(seconds(opened, 15)));
        assert_eq!(pulse.look(seconds(opened, 79)), Look::Again(seconds(opened, 80)));
        assert_eq!(pulse.look(seconds(opened, 80)), Look::Overdue(Phase::Rest));
        tokio::time::advance(Duration::from_secs(20)).await;
        pulse.received();
        pulse.received();
        assert_eq!(pulse.look(seconds(opened, 34)), Look::Again(seconds(opened, 35)));
        assert_eq!(pulse.look(seconds(opened, 35)), Look::Overdue(Phase::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_overdue_while_a_request_is_under_way() {
        let pulse = Pulse::new(PATIENCE);
        let opened = Instant::now();
        let (first, second) = (pulse.begin(Version::HTTP_2), pulse.begin(Version::HTTP_2));
        drop(first);
        assert_eq!(pulse.look(seconds(opened, 1_000)), Look::Again(seconds(opened, 1_010)));
        drop(second);
        // Frames between requests begin none.
        pulse.received();
        assert_eq!(pulse.look(seconds(opened, 75)), Look::Overdue(Phase::Rest));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_is_overdue_whatever_else_is_asked() {
        let pulse = Pulse::new(PATIENCE);
        let opened = Instant::now();
        let answer = pulse.begin(Version::HTTP_2).answer(axum::body::Body::empty());
        let _later = pulse.begin(Version::HTTP_2);
        assert_eq!(pulse.look(seconds(opened, 25)), Look::Again(seconds(opened, 30)));
        assert_eq!(pulse.look(seconds(opened, 30)), Look::Overdue(Phase::Busy));
        drop(answer);
        assert_eq!(pulse.look(seconds(opened, 30)), Look::Again(seconds(opened, 40)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_byte_by_byte_is_given_up() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let (mut caller, ours) = tokio::io::duplex(8);
        let mut ours = Watched::new(ours, Pulse::new(PATIENCE));
        let writing = async {
            let written = ours.write_all(&[7; 1_000]).await;
            written.unwrap_err().kind()
        };
        let taking = async {
            loop {
                tokio::time::advance(Duration::from_secs(3)).await;
                if caller.read_u8().await.is_err() {
                    break;
                }
            }
        };
        let begun = Instant::now();
        let failed = tokio::select! {
            failed = writing => failed,
            () = taking => io::ErrorKind::Other,
        };
        assert_eq!(failed, io::ErrorKind::TimedOut);
        assert!((30..=36).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }
}
