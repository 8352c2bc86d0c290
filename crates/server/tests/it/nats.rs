//! The other side of the broker: a producer of requests, and a consumer of events.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::{Config as PullConfig, Stream as Messages};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt as _;
use serde_json::Value;
use testkit::nats::NatsServer;
use testkit::wait::{LONG, wait_for};

/// Somebody at the broker who is not Tuma.
pub(crate) struct Peer {
    pub(crate) jetstream: Context,
}

/// What came out of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) subject: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Vec<u8>,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap()
    }

    pub(crate) fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_default().to_owned()
    }
}

impl Peer {
    pub(crate) async fn of(nats: &NatsServer) -> Self {
        let client = async_nats::connect(nats.url()).await.unwrap();
        Self { jetstream: jetstream::new(client) }
    }

    /// Publishes a request, which the broker acknowledges. Again while there is no stream yet, or one that is being made.
    pub(crate) async fn ask(&self, lane: &str, body: impl AsRef<[u8]>, headers: &[(&str, &str)]) {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        let (subject, body) = (format!("sms.send.{lane}"), body.as_ref().to_vec());
        let publish = async || {
            let (all, body) = (all.clone(), body.clone().into());
            let ack = self.jetstream.publish_with_headers(subject.clone(), all, body).await.unwrap();
            match ack.await {
                Ok(_) => Some(()),
                Err(problem) if problem.kind() == PublishErrorKind::StreamNotFound => None,
                Err(problem) => panic!("not published: {problem}"),
            }
        };
        wait_for(publish, LONG).await.unwrap();
    }

    /// Waits until the gateway has made its stream.
    pub(crate) async fn wait_for_stream(&self, stream: &str) -> jetstream::stream::Stream {
        wait_for(async || self.jetstream.get_stream(stream).await.ok(), LONG).await.unwrap()
    }

    /// Reads a stream from its beginning, once something is in it: NATS 2.9 answers for a stream that it is still making,
    /// and a consumer made at that moment delivers nothing.
    pub(crate) async fn listen(&self, stream: &str) -> Listener {
        let mut stream = self.wait_for_stream(stream).await;
        let has_some = async || (stream.info().await.ok()?.state.messages > 0).then_some(());
        wait_for(has_some, LONG).await.unwrap();
        let consumer = stream.create_consumer(PullConfig::default()).await.unwrap();
        let messages = consumer.stream().max_messages_per_batch(1_000).messages().await.unwrap();
        Listener { messages, told: Vec::new() }
    }
}

/// A consumer that keeps all that it hears, in the order of the stream.
pub(crate) struct Listener {
    messages: Messages,
    told: Vec<Told>,
}

impl Listener {
    /// Hears more until it has heard enough.
    pub(crate) async fn until(&mut self, enough: impl FnMut(&[Told]) -> bool) -> &[Told] {
        self.until_within(LONG, enough).await
    }

    /// The same with another limit.
    pub(crate) async fn until_within(
        &mut self,
        limit: Duration,
        mut enough: impl FnMut(&[Told]) -> bool,
    ) -> &[Told] {
        let hearing = async {
            while !enough(&self.told) {
                let Some(Ok(message)) = self.messages.next().await else { continue };
                message.ack().await.unwrap();
                let headers = message.headers.iter().flat_map(HeaderMap::iter);
                let headers = headers.map(|(name, values)| (name.to_string(), values[0].to_string()));
                let (subject, payload) = (message.subject.to_string(), message.payload.to_vec());
                self.told.push(Told { subject, headers: headers.collect(), payload });
            }
        };
        let heard = tokio::time::timeout(limit, hearing).await;
        if heard.is_err() {
            let tail: Vec<_> = self.told.iter().rev().take(20).collect();
            panic!("not heard in time; of {} the last are {tail:?}", self.told.len());
        }
        &self.told
    }

    pub(crate) fn told(&self) -> &[Told] {
        &self.told
    }
}

/// The kinds of a message's events, in the order in which they came.
pub(crate) fn kinds(told: &[Told], message: &str) -> Vec<String> {
    told.iter().filter(|told| told.text("message_id") == message).map(|told| told.text("kind")).collect()
}
