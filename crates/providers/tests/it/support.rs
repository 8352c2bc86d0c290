//! A small HTTP server that answers what it is told, in order, and keeps what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Closes the connection without reading.
    CloseBeforeReading,
    /// Reads the request and closes the connection.
    CloseAfterReading,
    /// Reads the request, answers a status line and half a body, and closes.
    BreakOff { status: u16 },
    /// Reads the request and never answers.
    Silence,
    /// Reads the request and answers what is not HTTP.
    Garbage,
    /// Speaks first, and no HTTP.
    Greeting,
}

impl Reply {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        Self::of(status, "application/json", body)
    }

    pub(crate) fn of(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self::Answer { status, headers, body: body.into() }
    }

    pub(crate) fn with_header(self, name: &'static str, value: impl Into<String>) -> Self {
        match self {
            Self::Answer { status, mut headers, body } => {
                headers.push((name, value.into()));
                Self::Answer { status, headers, body }
            }
            other => other,
        }
    }
}

/// A request as it came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) line: String,
    /// With names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The path and the query.
    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }

    /// The fields of the form, decoded.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    recorded: Vec<Recorded>,
    connections: usize,
}

pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts a server; after the last reply, that one is given again.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { replies: replies.into_iter().collect(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let task = spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Adds a reply to the end.
    pub(crate) fn then(&self, reply: Reply) {
        self.state.lock().unwrap().replies.push_back(reply);
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        self.state.lock().unwrap().recorded.clone()
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// The one request that was made.
    pub(crate) fn only(&self) -> Recorded {
        let mut recorded = self.recorded();
        assert_eq!(recorded.len(), 1, "{recorded:?}");
        recorded.remove(0)
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of the test's own, stopped when it is dropped")]
fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(future)
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    // Dropped with this task, which stops what it holds.
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        state.lock().unwrap().connections += 1;
        let state = Arc::clone(&state);
        connections.spawn(async move { while serve(&mut stream, &state).await.is_some() {} });
    }
}

/// One request. `None` where the connection ends.
async fn serve(stream: &mut TcpStream, state: &Mutex<State>) -> Option<()> {
    let before = state.lock().unwrap().replies.front().cloned();
    match before {
        Some(Reply::CloseBeforeReading) => return None,
        Some(Reply::Greeting) => {
            stream.write_all(b"220 mail.example.co.ke ESMTP\r\n").await.ok()?;
            return None;
        }
        _ => {}
    }
    let recorded = read(stream).await?;
    match reply(state, recorded) {
        Reply::Answer { status, headers, body } => {
            let headers: String =
                headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.ok()
        }
        Reply::BreakOff { status } => {
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 100\r\n\r\n{{\"sid\":");
            stream.write_all(answer.as_bytes()).await.ok()?;
            None
        }
        Reply::Garbage => {
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.ok()?;
            None
        }
        Reply::Silence => std::future::pending().await,
        Reply::CloseAfterReading | Reply::CloseBeforeReading | Reply::Greeting => None,
    }
}

fn reply(state: &Mutex<State>, recorded: Recorded) -> Reply {
    let mut state = state.lock().unwrap();
    state.recorded.push(recorded);
    if state.replies.len() > 1 { state.replies.pop_front() } else { state.replies.front().cloned() }
        .expect("a server without replies was asked")
}

async fn read(stream: &mut TcpStream) -> Option<Recorded> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(position) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break position;
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let mut body = bytes.split_off(head_end + 4);
    let head = String::from_utf8(bytes).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
    while body.len() < length {
        (stream.read_buf(&mut body).await.ok()? > 0).then_some(())?;
    }
    Some(Recorded { line, headers, body: String::from_utf8(body).unwrap() })
}
