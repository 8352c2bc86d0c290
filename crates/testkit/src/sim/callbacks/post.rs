//! A client that posts forms to callback URLs, over connections that stay open.
//!
//! It speaks plain HTTP only: the gateway that it calls is on the same machine or network. It is not the
//! gateway's own HTTP client, which would cost as much as the gateway under load.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A form to be posted.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    /// Where to, without a fragment.
    pub(crate) url: String,
    /// The form, encoded.
    pub(crate) form: String,
    /// A signature, and the name of its header.
    pub(crate) signature: Option<(&'static str, String)>,
    /// How the provider names itself.
    pub(crate) user_agent: &'static str,
}

/// Why nobody has taken a form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("the URL is not one of plain HTTP")]
    Url,
    #[error("can't connect")]
    Connect(#[source] std::io::Error),
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    #[error("no answer in time")]
    Late,
    #[error("answered {0}")]
    Refused(StatusCode),
}

/// Posts one form at a time.
pub(crate) struct Poster {
    limit: Duration,
    open: HashMap<String, Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

impl Poster {
    /// `limit` is for the whole exchange, connecting included.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, open: HashMap::new() }
    }

    pub(crate) async fn send(&mut self, post: &Post) -> Result<Bytes, PostError> {
        let uri: Uri = post.url.parse().or(Err(PostError::Url))?;
        let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(PostError::Url);
        };
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let request = request(&uri, post)?;
        match timeout(self.limit, self.exchange(address, request)).await {
            Ok(Ok((status, answer))) if status.is_success() => Ok(answer),
            Ok(Ok((status, _))) => Err(PostError::Refused(status)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PostError::Late),
        }
    }

    async fn exchange(
        &mut self,
        address: String,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), PostError> {
        // Not in the map while in use: an exchange that fails or is dropped takes its connection with it.
        let mut open = match self.open.remove(&address).and_then(Open::still) {
            Some(open) => open,
            None => Open::to(&address).await?,
        };
        let answered = open.exchange(request).await.map_err(PostError::Broken)?;
        self.open.insert(address, open);
        Ok(answered)
    }
}

impl Open {
    async fn to(address: &str) -> Result<Self, PostError> {
        let socket = TcpStream::connect(address).await.map_err(PostError::Connect)?;
        socket.set_nodelay(true).map_err(PostError::Connect)?;
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(PostError::Broken)?;
        Ok(Self { sender, connection: Box::pin(connection) })
    }

    /// This connection, unless the other side has closed it meanwhile.
    fn still(mut self) -> Option<Self> {
        let closed = (&mut self.connection).now_or_never().is_some();
        (!closed && !self.sender.is_closed()).then_some(self)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), hyper::Error> {
        let answer = self.sender.send_request(request);
        let whole = async {
            let answer = answer.await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            Ok((status, body))
        };
        tokio::pin!(whole);
        tokio::select! {
            biased;
            answered = &mut whole => answered,
            // The connection ended with the answer, or instead of it: what has come of it is known now.
            _ = &mut self.connection => whole.await,
        }
    }
}

fn request(uri: &Uri, post: &Post) -> Result<Request<Full<Bytes>>, PostError> {
    let header = |text: &str| HeaderValue::from_str(text).or(Err(PostError::Url));
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::new(Full::new(Bytes::from(post.form.clone())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.parse().or(Err(PostError::Url))?;
    let headers = request.headers_mut();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    headers.insert(HOST, header(host)?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(USER_AGENT, HeaderValue::from_static(post.user_agent));
    if let Some((name, signature)) = &post.signature {
        headers.insert(HeaderName::from_static(name), header(signature)?);
    }
    Ok(request)
}
