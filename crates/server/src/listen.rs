//! The listeners: who may connect, for how long they may keep us waiting, and TLS.
//!
//! axum's own `serve` takes every connection and waits for each for ever. What stands here is its loop, with bounds. The
//! crate `axum-server` has TLS and a graceful stop, but none of the bounds; ADR 0019 says more.

mod pulse;

mod bounds;

mod certificate;

mod figures;

mod connection;

mod descriptors;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::time::Clock;
use opentelemetry::metrics::Meter;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::bounds::{Bounds, Full, Place};
use self::certificate::Certificate;
pub(crate) use self::certificate::{CertificateError, Files};
use self::connection::Serving;
pub(crate) use self::descriptors::take_all as take_descriptors;
use self::figures::{Cut, Figures};
use self::pulse::{Patience, Pulse};
use crate::config::Http;
use crate::http::Routes;

/// Pause after the system could not give a connection: mostly there are no file descriptors, and trying on at once would
/// take a core.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections that are told at once why they are not taken. Those beyond are closed without a word.
const REFUSALS: usize = 64;

/// What all listeners share.
#[derive(Debug, Clone)]
pub(crate) struct Listeners {
    settings: Http,
    meter: Meter,
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// One listener.
struct Listener {
    socket: TcpListener,
    bounds: Arc<Bounds>,
    patience: Patience,
    serving: Serving,
    tls: Option<TlsAcceptor>,
    figures: Figures,
    refusals: Arc<Semaphore>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl Listeners {
    pub(crate) fn new(settings: Http, meter: Meter, clock: Arc<dyn Clock>) -> Self {
        Self { settings, meter, clock, stopping: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    /// The certificate, where TLS is on.
    pub(crate) fn certificate(&self) -> Result<Option<Arc<Certificate>>, CertificateError> {
        Files::of(&self.settings).map(|files| Certificate::load(files, self.clock.now())).transpose()
    }

    /// Serves callers and providers, with TLS if there is a certificate.
    pub(crate) fn serve(
        &self,
        socket: TcpListener,
        routes: Routes,
        certificate: Option<Arc<Certificate>>,
    ) -> anyhow::Result<()> {
        let tls = certificate.as_ref().map(Certificate::server).transpose()?.map(TlsAcceptor::from);
        if let Some(certificate) = certificate {
            figures::observe_end(&self.meter, &certificate);
            self.tasks.spawn(certificate.keep_fresh(Arc::clone(&self.clock), self.stopping.clone()));
        }
        self.start("api", socket, routes, tls);
        Ok(())
    }

    /// Serves health and figures. Without TLS: what asks for them stands on this machine, or beside it.
    pub(crate) fn serve_operations(&self, socket: TcpListener, routes: Routes) {
        self.start("operations", socket, routes, None);
    }

    fn start(&self, name: &'static str, socket: TcpListener, routes: Routes, tls: Option<TlsAcceptor>) {
        let settings = &self.settings;
        // Each has bounds of its own: whoever fills the one must not keep health from being asked for.
        let bounds = Bounds::new(
            settings.max_connections,
            settings.max_connections_per_address,
            settings.trusted_proxies.clone(),
        );
        let listener = Listener {
            figures: Figures::new(&self.meter, name, &bounds),
            bounds,
            patience: Patience {
                head: Duration::from_millis(settings.header_timeout_ms),
                rest: Duration::from_millis(settings.idle_timeout_ms),
                write: Duration::from_millis(settings.write_timeout_ms),
            },
            serving: Serving::new(routes, settings, self.tasks.clone(), self.stopping.clone()),
            socket,
            tls,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            stopping: self.stopping.clone(),
            tasks: self.tasks.clone(),
        };
        self.tasks.spawn(listener.run());
    }

    /// Takes no connection any more, and ends those that are open after what they are answering.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
    }

    /// Returns when all have ended.
    pub(crate) async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

impl Listener {
    async fn run(self) {
        let mut is_failing = false;
        loop {
            let accepted = tokio::select! {
                () = self.stopping.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    is_failing = false;
                    self.take(stream, peer);
                }
                // The caller has gone again.
                Err(problem) if problem.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(problem) => {
                    if !is_failing {
                        tracing::error!(%problem, "connections can't be taken; trying again");
                    }
                    is_failing = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr) {
        // Small answers leave at once.
        let _ = stream.set_nodelay(true);
        match self.bounds.take(peer.ip()) {
            Ok(place) => self.serve(stream, peer, place),
            Err(full) => self.refuse(stream, full),
        }
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr, place: Place) {
        let (serving, tls, figures) = (self.serving.clone(), self.tls.clone(), self.figures.clone());
        let pulse = Pulse::new(self.patience);
        self.tasks.spawn(async move {
            let _place = place;
            let cut = match tls {
                Some(tls) => serving.over_tls(tls, stream, peer, pulse).await,
                None => serving.plain(stream, peer, pulse).await,
            };
            if let Some(why) = cut {
                figures.cut(why);
            }
        });
    }

    /// Without TLS the caller is told. With it that would take the handshake, which costs more than most requests do.
    fn refuse(&self, stream: TcpStream, full: Full) {
        self.figures.cut(match full {
            Full::All => Cut::Full,
            Full::Source => Cut::FullForAddress,
        });
        if self.tls.is_none()
            && let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned()
        {
            self.tasks.spawn(async move {
                let _permit = permit;
                connection::refuse(stream).await;
            });
        }
    }
}

/// Listens there.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))
}
