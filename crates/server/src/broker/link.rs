//! The connection to the broker: made once, in the background, and again whenever it is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::connection::State;
use async_nats::jetstream::context::{ContextBuilder, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config as StreamConfig, RetentionPolicy, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{Client, ConnectOptions, Event};
use domain::secret::ExposeSecret as _;
use domain::time::{Clock, Timestamp};
use gateway::stop::Stop;

use super::LONGEST_REST;
use crate::config::Broker;

/// How long a connection may take to stand, and an answer to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often an idle connection is tried: one that has silently died is noticed after two of these.
const PING: Duration = Duration::from_secs(10);

/// How long making a stream may take another node.
const SETTLES_IN: Duration = Duration::from_secs(1);

/// The shortest wait before another try to connect; doubled each time.
const FIRST_REST: Duration = Duration::from_millis(100);

/// What is wrong between the broker and us. Holds nothing of a message: the client's sentences are about its protocol.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// There is no connection now.
    #[error("the broker is not connected")]
    Away,
    /// The broker refuses, or does not answer.
    #[error("the broker: {what}: {problem}")]
    Broker {
        /// What was wanted.
        what: &'static str,
        /// What was answered.
        problem: String,
    },
    /// The store refuses.
    #[error("the store: {0}")]
    Store(#[from] store::StoreError),
}

impl Trouble {
    /// The broker's answer to something.
    pub(super) fn of<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Self {
        move |problem| Self::Broker { what, problem: problem.to_string() }
    }
}

/// A connection that mends itself.
#[derive(Debug)]
pub(super) struct Link {
    context: Context,
    clock: Arc<dyn Clock>,
    /// Held while a stream is made: see [`stream_that_stands`](Self::stream_that_stands).
    making: tokio::sync::Mutex<()>,
}

impl Link {
    /// Begins to connect. Does not wait: the broker may be down for as long as it likes.
    pub(super) async fn open(settings: &Broker, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let (stands, was_away) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let options = options(settings).await?.retry_on_initial_connect().event_callback(move |event| {
            let (stands, was_away) = (Arc::clone(&stands), Arc::clone(&was_away));
            async move { hear(&event, &stands, &was_away) }
        });
        let client = connect(settings, options).await.context("the broker's settings can't be used")?;
        Ok(Self { context: context(client), clock, making: tokio::sync::Mutex::default() })
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Bytes that the broker carries in one message, headers included.
    pub(super) fn max_payload(&self) -> usize {
        self.context.client().server_info().max_payload
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Nothing is handed to the client while there is no connection: what it holds back it sends later, when somebody
    /// else may have sent more.
    pub(super) fn up(&self) -> Result<(), Trouble> {
        let is_up = self.context.client().connection_state() == State::Connected;
        if is_up { Ok(()) } else { Err(Trouble::Away) }
    }

    /// Makes a stream, or takes the one that is there as it is.
    pub(super) async fn stream(&self, config: StreamConfig) -> Result<Stream, Trouble> {
        let _alone = self.making.lock().await;
        self.context.get_or_create_stream(config).await.map_err(Trouble::of("the stream can't be had"))
    }

    /// The same for who will make a consumer on it: waits until the stream has stood for a while. NATS 2.9 answers for a
    /// stream that it is still making, and a consumer made at that moment delivers nothing, ever.
    pub(super) async fn stream_that_stands(&self, config: StreamConfig) -> Result<Stream, Trouble> {
        let stream = self.stream(config).await?;
        let made = stream.cached_info().created.unix_timestamp_nanos() / 1_000;
        let made = Timestamp::from_micros(i64::try_from(made).unwrap_or(0));
        // Where the broker's clock is ahead, no longer than that.
        let stands = made.plus(SETTLES_IN).min(self.now().plus(SETTLES_IN));
        self.clock.sleep_until(stands).await;
        Ok(stream)
    }

    /// Sees to it that what was said has left, such as acknowledgments before the end.
    pub(super) async fn flush(&self) {
        if self.up().is_ok() {
            // What was not heard comes again.
            let _ = tokio::time::timeout(PATIENCE, self.context.client().flush()).await;
        }
    }

    /// Rests before the `failures`-th try, or until it is time to stop.
    pub(super) async fn rest(&self, failures: u32, stop: &Stop) {
        self.pause(backoff(failures, gateway::jitter()), stop).await;
    }

    /// Waits, or until it is time to stop.
    pub(super) async fn pause(&self, wait: Duration, stop: &Stop) {
        tokio::select! {
            () = stop.asked() => {}
            () = self.clock.sleep_until(self.now().plus(wait)) => {}
        }
    }
}

/// Doubled each time, and drawn from the upper half, so that nodes don't come back together and none comes at once.
fn backoff(failures: u32, jitter: f64) -> Duration {
    let longest = FIRST_REST.saturating_mul(1 << failures.min(16)).min(LONGEST_REST);
    longest.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// Notes what becomes of the connection. That it is lost, or can't be had, is told once.
fn hear(event: &Event, stands: &AtomicBool, was_away: &AtomicBool) {
    match event {
        Event::Connected => {
            was_away.store(false, Ordering::Relaxed);
            stands.store(true, Ordering::Relaxed);
            tracing::info!("the broker is connected");
        }
        Event::Disconnected | Event::Closed => {
            stands.store(false, Ordering::Relaxed);
            if !was_away.swap(true, Ordering::Relaxed) {
                tracing::warn!("the connection to the broker is lost: events are kept until it stands again");
            }
        }
        Event::ClientError(problem) => {
            if !stands.load(Ordering::Relaxed) && !was_away.swap(true, Ordering::Relaxed) {
                tracing::warn!(%problem, "the broker can't be reached: events are kept until it can");
            }
        }
        Event::ServerError(problem) => tracing::warn!(%problem, "the broker refuses something"),
        Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => {
            tracing::debug!(%event, "the broker's client");
        }
    }
}

fn context(client: Client) -> Context {
    let builder = ContextBuilder::new();
    builder.timeout(PATIENCE).ack_timeout(PATIENCE).build(client)
}

async fn connect(settings: &Broker, options: ConnectOptions) -> anyhow::Result<Client> {
    let servers = settings.url.all().iter().cloned().map(async_nats::ServerAddr::from_url);
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    Ok(options.connect(servers).await?)
}

/// Who we are, and how patient.
async fn options(settings: &Broker) -> anyhow::Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .name("tuma")
        .connection_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .ping_interval(PING)
        .reconnect_delay_callback(|tries| {
            // At once the first time: connections are lost for a moment.
            let again = u32::try_from(tries).unwrap_or(u32::MAX).saturating_sub(1);
            if again == 0 { Duration::ZERO } else { backoff(again, gateway::jitter()) }
        });
    if let Some(token) = settings.token.get() {
        options = options.token(token.expose_secret().to_owned());
    } else if let Some(password) = settings.password.get() {
        options = options.user_and_password(settings.user.clone(), password.expose_secret().to_owned());
    } else if let Some(path) = &settings.credentials_file {
        options = options.credentials_file(path).await.context("broker.credentials_file can't be read")?;
    }
    if let Some(path) = &settings.ca_file {
        options = options.add_root_certificates(path.clone());
    }
    if let (Some(certificate), Some(key)) = (&settings.certificate_file, &settings.key_file) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if settings.url.all().iter().any(|url| url.scheme() == "tls") || settings.ca_file.is_some() {
        options = options.require_tls(true);
    }
    Ok(options)
}

/// Asks the broker once whether it is there, takes us, and has JetStream with our streams. Answers in words, for
/// `tuma check`.
pub(crate) async fn probe(settings: &Broker) -> anyhow::Result<String> {
    let client = connect(settings, options(settings).await?.max_reconnects(1)).await?;
    let version = client.server_info().version;
    let context = context(client);
    let mut absent = Vec::new();
    let consumed = settings.consumes().then_some([&settings.send_stream, &settings.dead_stream]);
    let published = settings.publishes().then_some(&settings.event_stream);
    for stream in consumed.into_iter().flatten().chain(published) {
        match context.get_stream(stream).await.map_err(|problem| problem.kind()) {
            Ok(_) => {}
            Err(GetStreamErrorKind::JetStream(error))
                if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                absent.push(stream.as_str());
            }
            Err(problem) => anyhow::bail!("JetStream can't be asked for the stream {stream}: {problem}"),
        }
    }
    let streams = match absent.as_slice() {
        [] => "all streams are there".to_owned(),
        absent => format!("tuma serve will make the streams {}", absent.join(", ")),
    };
    Ok(format!("NATS {version} answers; {streams}"))
}

/// A stream of requests to send: what was acknowledged is gone, texts and numbers with it.
pub(super) fn stream_of_requests(settings: &Broker) -> StreamConfig {
    // Each lane by name: a request for a lane that nobody reads would wait for ever, so its producer is refused.
    let lanes = domain::scenario::Priority::ALL.iter();
    StreamConfig {
        name: settings.send_stream.clone(),
        subjects: lanes.map(|lane| format!("{}.{lane}", settings.send_subject)).collect(),
        retention: RetentionPolicy::WorkQueue,
        ..StreamConfig::default()
    }
}

/// A stream that keeps what comes for a time.
pub(super) fn stream_that_keeps(name: &str, subject: &str, days: u64) -> StreamConfig {
    StreamConfig {
        name: name.into(),
        subjects: vec![format!("{subject}.>")],
        max_age: Duration::from_secs(days.saturating_mul(86_400)),
        ..StreamConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_limit_and_are_never_short() {
        let waits: Vec<_> = (0..8).map(|failures| backoff(failures, 1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(backoff(7, 0.0), LONGEST_REST / 2);
        assert_eq!(backoff(u32::MAX, 1.0), LONGEST_REST);
    }
}
