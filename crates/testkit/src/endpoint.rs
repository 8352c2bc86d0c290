//! A server that answers everything and keeps it: where providers or the gateway call back to, in tests.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, StatusCode};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::serve::{Answer, Handler, Hangup, bind, serve};
use crate::wait::{LONG, TimedOut, wait_until};

/// A request that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its method.
    pub method: Method,
    /// Path and query, byte for byte.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// When its body had come.
    pub at: Instant,
}

impl Received {
    /// The fields of a form, decoded, in the order in which they came.
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The first field of this name in a form.
    pub fn field(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(&self.body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A server on a free port of this machine that answers 200 with no body, or what it is told to, and keeps the
/// requests in the order in which they came. It ends when it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    shelf: Arc<Shelf>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Shelf {
    received: Mutex<Vec<Received>>,
    status: AtomicU16,
    body: Mutex<Bytes>,
    delay_ms: AtomicU64,
    hangs_up: AtomicBool,
}

impl Endpoint {
    /// Starts to listen.
    pub async fn start() -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Starts to listen at an address.
    pub async fn start_at(address: SocketAddr) -> io::Result<Self> {
        let listener = bind(address).await?;
        let address = listener.local_addr()?;
        let shelf = Arc::new(Shelf {
            received: Mutex::new(Vec::new()),
            status: AtomicU16::new(200),
            body: Mutex::default(),
            delay_ms: AtomicU64::new(0),
            hangs_up: AtomicBool::new(false),
        });
        let stop = CancellationToken::new();
        TaskTracker::new().spawn(serve(listener, Arc::clone(&shelf), stop.clone()));
        Ok(Self { address, shelf, stop })
    }

    /// The URL of a path here: `endpoint.url("/hooks?k=1")`.
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// From now on answers with `status`.
    pub fn answer(&self, status: StatusCode) {
        self.shelf.status.store(status.as_u16(), Ordering::SeqCst);
    }

    /// From now on answers with `body`.
    pub fn answer_with(&self, body: impl Into<Bytes>) {
        *self.shelf.body.lock() = body.into();
    }

    /// From now on breaks connections when a request has come (and been kept), or answers again.
    pub fn hang_up(&self, hangs_up: bool) {
        self.shelf.hangs_up.store(hangs_up, Ordering::SeqCst);
    }

    /// From now on answers this long after the request has come (and been kept).
    pub fn delay(&self, delay: Duration) {
        self.shelf.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// What came, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shelf.received.lock().clone()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.shelf.received.lock().len()
    }

    /// Waits until `count` requests have come, and gives all that there are then.
    pub async fn wait_for(&self, count: usize) -> Result<Vec<Received>, TimedOut> {
        wait_until(|| self.count() >= count, LONG).await?;
        Ok(self.received())
    }

    /// Forgets what came.
    pub fn clear(&self) {
        self.shelf.received.lock().clear();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Handler for Shelf {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Hangup> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Err(Hangup) };
        let target = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
        let received = Received {
            method: head.method,
            target,
            headers: head.headers,
            body: body.to_bytes(),
            at: Instant::now(),
        };
        self.received.lock().push(received);
        if self.hangs_up.load(Ordering::SeqCst) {
            return Err(Hangup);
        }
        let delay = self.delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
        let mut answer = Answer::new(Full::new(self.body.lock().clone()));
        *answer.status_mut() =
            StatusCode::from_u16(self.status.load(Ordering::SeqCst)).unwrap_or(StatusCode::OK);
        Ok(answer)
    }
}
