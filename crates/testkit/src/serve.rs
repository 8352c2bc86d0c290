//! HTTP/1.1 connections whose handler can also hang up.
//!
//! A handler that returns [`Hangup`] makes the client see its connection reset, with no byte of an answer. That
//! is why this is hyper itself and not a framework on top of it: hyper closes a connection whose service fails,
//! and leaves the socket to us.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) type Answer = Response<Full<Bytes>>;

/// The connection ends here, without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
pub(crate) struct Hangup;

/// What answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request, or hangs up.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Answer, Hangup>> + Send;
}

/// Accepts connections until `stop` is cancelled; then, or when this future is dropped, all of them end at
/// once.
pub(crate) async fn serve<H: Handler>(listener: TcpListener, handler: Arc<H>, stop: CancellationToken) {
    // The set aborts its tasks when it is dropped. A token in each connection would be polled at every request.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(socket, Arc::clone(&handler)));
                }
                // Out of descriptors, or the client is gone already: the next one may do better.
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::task::yield_now().await;
                }
            },
        }
    }
}

async fn connection<H: Handler>(socket: TcpStream, handler: Arc<H>) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "can't set TCP_NODELAY");
    }
    let service = service_fn(move |request| Arc::clone(&handler).handle(request));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
    let Err(error) = (&mut connection).await else { return };
    if error.is_user() {
        reset(&connection.into_parts().io.into_inner());
    }
}

/// Makes the close that follows a reset (RST), and not an orderly end (FIN).
fn reset(socket: &TcpStream) {
    if let Err(error) = socket.set_zero_linger() {
        tracing::debug!(%error, "can't reset a connection");
    }
}

/// Binds `listen`, whose port may be 0 for any free one.
pub(crate) async fn bind(listen: std::net::SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(listen).await
}
