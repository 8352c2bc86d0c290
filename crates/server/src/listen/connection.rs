//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::figures::Cut;
use super::pulse::{Look, Phase, Pulse, Watched};
use crate::config::Http;
use crate::http::{OverTls, Routes, full};

/// Headers in a head unless set otherwise. hyper keeps room for so many without asking for memory.
const USUAL_HEADERS: usize = 100;

/// Requests at once on one connection of HTTP/2: as many as callers may count on (RFC 9113, section 6.5.2).
const STREAMS: u32 = 100;

/// How long a connection that is refused may take to hear of it.
const REFUSAL: Duration = Duration::from_millis(500);

/// How long a connection that ends may take for that, beside what it is answering: for a head that is on its way.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs what hyper wants to run beside a connection, so that somebody waits for it.
#[derive(Debug, Clone)]
struct Tasks(TaskTracker);

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// What serves a connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Serving {
    routes: Routes,
    http: Arc<Builder<Tasks>>,
    stopping: CancellationToken,
}

impl Serving {
    pub(super) fn new(
        routes: Routes,
        settings: &Http,
        tasks: TaskTracker,
        stopping: CancellationToken,
    ) -> Self {
        let mut http = Builder::new(Tasks(tasks));
        http.http1().max_buf_size(settings.max_header_bytes);
        if settings.max_headers != USUAL_HEADERS {
            http.http1().max_headers(settings.max_headers);
        }
        let bytes = u32::try_from(settings.max_header_bytes).unwrap_or(u32::MAX);
        http.http2().max_header_list_size(bytes).max_concurrent_streams(STREAMS);
        Self { routes, http: Arc::new(http), stopping }
    }

    /// Serves requests without TLS. Says why, if it had to be cut.
    pub(super) async fn plain(self, stream: TcpStream, peer: SocketAddr, pulse: Arc<Pulse>) -> Option<Cut> {
        self.serve(stream, peer, pulse, false).await
    }

    /// Agrees on TLS, then serves requests.
    pub(super) async fn over_tls(
        self,
        tls: TlsAcceptor,
        stream: TcpStream,
        peer: SocketAddr,
        pulse: Arc<Pulse>,
    ) -> Option<Cut> {
        let agreed = tokio::select! {
            agreed = tls.accept(stream) => agreed,
            () = sleep_until(pulse.first_head()) => return Some(Cut::Handshake),
            () = self.stopping.cancelled() => return None,
        };
        let Ok(stream) = agreed else { return Some(Cut::Handshake) };
        self.serve(stream, peer, pulse, true).await
    }

    async fn serve<S>(self, stream: S, peer: SocketAddr, pulse: Arc<Pulse>, is_tls: bool) -> Option<Cut>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(&pulse)));
        let (routes, beats) = (self.routes.clone(), Arc::clone(&pulse));
        let service = service_fn(move |request: Request<Incoming>| {
            let under_way = beats.begin(request.version());
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            if is_tls {
                request.extensions_mut().insert(OverTls);
            }
            let answering = routes.clone().answer(request);
            async move {
                let answer = answering.await.map(|body| under_way.answer(body));
                Ok::<_, Infallible>(answer)
            }
        });
        let mut connection = std::pin::pin!(self.http.serve_connection(stream, service));
        let (mut next, mut is_ending) = (Instant::now(), false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended.err().and_then(|problem| cut_by(&*problem)),
                () = self.stopping.cancelled(), if !is_ending => {
                    (is_ending, next) = (true, Instant::now() + FAREWELL);
                    connection.as_mut().graceful_shutdown();
                }
                () = sleep_until(next) => match pulse.look(Instant::now()) {
                    _ if is_ending && !pulse.is_busy() => return None,
                    Look::Again(moment) => next = moment,
                    Look::Overdue(Phase::Head) => return Some(Cut::SlowHead),
                    Look::Overdue(Phase::Busy) => return Some(Cut::SlowReader),
                    // With HTTP/2 the caller is told, so that it sends no request into a connection that ends.
                    Look::Overdue(Phase::Rest) => {
                        (is_ending, next) = (true, Instant::now() + FAREWELL);
                        connection.as_mut().graceful_shutdown();
                    }
                },
            }
        }
    }
}

/// Whether a connection failed because what was written was not taken. Other ends are the caller's business.
fn cut_by(problem: &(dyn Error + 'static)) -> Option<Cut> {
    let mut causes = std::iter::successors(Some(problem), |cause| (*cause).source());
    // The system has a time-out too, for callers that have gone.
    let is_ours =
        |cause: &io::Error| cause.kind() == io::ErrorKind::TimedOut && cause.raw_os_error().is_none();
    let is_late = causes.any(|cause| cause.downcast_ref().is_some_and(is_ours));
    is_late.then_some(Cut::SlowReader)
}

/// Says that there are too many connections, and closes this one.
pub(super) async fn refuse(mut stream: TcpStream) {
    let told = async {
        stream.write_all(&full()).await?;
        stream.shutdown().await?;
        // What the caller has sent is read: closed over unread bytes, a connection takes back what was written to it.
        let mut unread = [0; 1_024];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    let _ = timeout(REFUSAL, told).await;
}
