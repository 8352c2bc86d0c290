//! Requests that can never be accepted: kept with their problem, for people to look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::HeaderMap;
use async_nats::jetstream::Message;
use async_nats::jetstream::message::PublishMessage;
use domain::scenario::Priority;

use super::link::{Link, Trouble, stream_that_keeps};
use crate::config::Broker;
use crate::http::problem::{Problem, ProblemBody};

/// The problem, as HTTP would have answered it (RFC 9457).
const PROBLEM: &str = "Tuma-Problem";
/// Where the request came from.
const SUBJECT: &str = "Tuma-Subject";
const SEQUENCE: &str = "Tuma-Sequence";
/// What its producer called it. Under another name, for the dead are told apart by where they came from.
const MESSAGE_ID: &str = "Tuma-Msg-Id";
/// How long the request was, where there was no room to keep it.
const LEFT_OUT: &str = "Tuma-Left-Out-Bytes";

/// What the problem, and the words about where the request came from, take at most.
const OUR_WORDS: usize = 16 * 1024;

/// The place for them.
#[derive(Debug)]
pub(super) struct DeadLetters {
    settings: Broker,
    link: Arc<Link>,
    /// Whether its stream was seen since the last failure.
    is_there: AtomicBool,
}

impl DeadLetters {
    pub(super) fn new(settings: &Broker, link: &Arc<Link>) -> Self {
        Self { settings: settings.clone(), link: Arc::clone(link), is_there: AtomicBool::new(false) }
    }

    /// Keeps a request. When this answers, the broker has it.
    pub(super) async fn keep(
        &self,
        lane: Priority,
        message: &Message,
        problem: Problem,
    ) -> Result<(), Trouble> {
        if !self.is_there.load(Ordering::Relaxed) {
            let Broker { dead_stream, dead_subject, dead_days, .. } = &self.settings;
            self.link.stream(stream_that_keeps(dead_stream, dead_subject, *dead_days)).await?;
        }
        let kept = self.publish(lane, message, problem).await;
        // Somebody may have removed the stream: then it is made again.
        self.is_there.store(kept.is_ok(), Ordering::Relaxed);
        kept
    }

    async fn publish(&self, lane: Priority, message: &Message, problem: Problem) -> Result<(), Trouble> {
        let info = message.info().map_err(Trouble::of("a message without its place"))?;
        let subject = format!("{}.{lane}", self.settings.dead_subject);
        // Delivered and found dead twice, it is kept once. The time: places begin anew in a stream that was made anew.
        let published = info.published.unix_timestamp_nanos();
        let id = format!("{}:{}:{published}", info.stream, info.stream_sequence);
        let kept = kept_headers(message);
        let mut publish = if message.payload.len() + bytes(&kept) + OUR_WORDS > self.link.max_payload() {
            // One that fills what the broker carries has no room for its problem beside it: better that than to come
            // again for ever.
            PublishMessage::build().header(LEFT_OUT, message.payload.len().to_string().as_str())
        } else {
            PublishMessage::build().headers(kept).payload(message.payload.clone())
        };
        publish = publish
            .header(SUBJECT, message.subject.as_str())
            .header(SEQUENCE, info.stream_sequence.to_string().as_str())
            .message_id(id);
        if let Ok(problem) = serde_json::to_string(&ProblemBody::from(problem)) {
            publish = publish.header(PROBLEM, problem.as_str());
        }
        let sent = self.link.context().send_publish(subject, publish).await;
        let ack = sent.map_err(Trouble::of("a dead letter can't be published"))?;
        ack.await.map_err(Trouble::of("a dead letter was not acknowledged"))?;
        Ok(())
    }
}

/// How long headers are on the wire: names, values, and what parts them.
fn bytes(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    lines.map(|(name, value)| AsRef::<str>::as_ref(name).len() + value.as_str().len() + 4).sum()
}

/// What its producer wrote beside the request, without the broker's own words.
fn kept_headers(message: &Message) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
        let text: &str = name.as_ref();
        for value in values {
            if text.eq_ignore_ascii_case("nats-msg-id") {
                kept.append(MESSAGE_ID, value.as_str());
            } else if !text.to_ascii_lowercase().starts_with("nats-") {
                kept.append(text, value.as_str());
            }
        }
    }
    kept
}
