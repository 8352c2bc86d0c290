//! A lean HTTP/1.1 connection: the generator shares its processors with what it measures, so it must cost
//! little.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept alive.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to `address`, such as `127.0.0.1:8080`.
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("{address} can't be reached"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request and reads the answer: its status and body.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed within an answer");
            }
            if let Some((head, length)) = head(&self.buffer)? {
                while self.buffer.len() < head + length {
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        bail!("the connection was closed within an answer");
                    }
                }
                let status = std::str::from_utf8(self.buffer.get(9..12).unwrap_or_default())?.parse()?;
                return Ok((status, self.buffer.get(head..).unwrap_or_default()));
            }
        }
    }
}

/// The length of the head and of the body that follows, once the head is whole.
fn head(answer: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse())
    });
    Ok(Some((end + 4, length.context("an answer has no content-length")??)))
}

/// A request with a JSON or form body.
pub fn post(path: &str, authorization: &str, media_type: &str, body: &str) -> Vec<u8> {
    post_with(path, ("authorization", authorization), media_type, body)
}

/// A request with a body and one header of its own.
pub fn post_with(path: &str, (name, value): (&str, &str), media_type: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: load\r\n{name}: {value}\r\ncontent-type: {media_type}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request without a body.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: load\r\n\r\n").into_bytes()
}
