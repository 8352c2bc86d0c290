//! A way to a server that can be cut or blocked: what a database's failure looks like from outside.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// What the way is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Everything passes.
    Open,
    /// Connections stand, and nothing passes: the server hangs.
    Blocked,
    /// Connections end, and new ones end at once: the server is gone.
    Cut,
}

/// Listens on a free port of this machine, and passes everything on.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
    _listening: AbortOnDropHandle<()>,
}

impl Proxy {
    /// A way to the server at an address.
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let way = watch::Sender::new(Way::Open);
        let listening = TaskTracker::new().spawn(listen(listener, server, way.subscribe()));
        Ok(Self { address, way, _listening: AbortOnDropHandle::new(listening) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the way.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn listen(listener: TcpListener, server: SocketAddr, way: watch::Receiver<Way>) {
    let connections = TaskTracker::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, server, way.clone()));
    }
}

/// Passes both ways until one side ends, or the way is cut.
async fn pass(mut client: TcpStream, server: SocketAddr, mut way: watch::Receiver<Way>) {
    let passing = async {
        let mut server = TcpStream::connect(server).await?;
        copy_bidirectional(&mut client, &mut server).await
    };
    tokio::pin!(passing);
    loop {
        let now = *way.borrow_and_update();
        tokio::select! {
            _ended = &mut passing, if now == Way::Open => return,
            changed = way.changed() => if changed.is_err() { return },
            () = std::future::ready(()), if now == Way::Cut => return,
        }
    }
}
