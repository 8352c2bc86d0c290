//! How fast the store is here: accepts by concurrent callers, then whole lives of messages (accept, claim, finish,
//! receipt), each write as durable as in service.
//!
//! ```text
//! cargo run --release -p store --example throughput
//! cargo run --release -p store --example throughput -- --seconds 10 --callers 64 --submitters 256 --history 1000000 --dir /data
//! ```
//!
//! `--history` stores that many finished messages of the last thirty days first. `--by-provider-id` sends receipts
//! that name the provider's id and the receiver, as those of Africa's Talking do, instead of our own id.
//! `--idempotency` gives each accept a key. `--events` keeps events, and fetches and forgets them meanwhile as a broker's
//! publisher does. `--database` measures another database than a SQLite file: an empty one.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a tool that measures")]

use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::attempt::{Acceptance, ProviderMessageId, SubmitOutcome};
use domain::encoding::Encoding;
use domain::ids::{KeyId, MessageId, NodeId};
use domain::message::Message;
use domain::phone::{Country, Msisdn};
use domain::receipt::{Receipt, ReceiptStatus};
use domain::route::ProviderName;
use domain::scenario::Scenario;
use domain::secret::Body;
use domain::sender_pace::SenderPace;
use domain::time::Timestamp;
use store::port::messages::{Accept, Idempotency, NewMessage};
use store::port::queue::{AttemptEnd, Claim, Claimed, Next};
use store::port::receipts::NewReceipt;
use store::{Options, Store};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Messages under way at once in whole lives: what a gateway has that keeps a provider busy.
const UNDER_WAY: usize = 1_024;

/// Phones that the messages go to.
const RECEIVERS: u64 = 200_000;

/// What may go wrong: all of it ends the measurement.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Settings {
    dir: Option<PathBuf>,
    seconds: u64,
    callers: u64,
    submitters: u64,
    history: u64,
    by_provider_id: bool,
    idempotency: bool,
    events: bool,
    database: Option<String>,
}

impl Settings {
    fn read() -> Outcome<Self> {
        let arguments: Vec<String> = std::env::args().collect();
        let after = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).cloned()
        };
        let number = |name: &str, default| after(name).map_or(Ok(default), |text| u64::from_str(&text));
        let flag = |name: &str| arguments.iter().any(|argument| argument == name);
        Ok(Self {
            dir: after("--dir").map(Into::into),
            seconds: number("--seconds", 5)?,
            callers: number("--callers", 64)?,
            submitters: number("--submitters", 256)?,
            history: number("--history", 0)?,
            by_provider_id: flag("--by-provider-id"),
            idempotency: flag("--idempotency"),
            events: flag("--events"),
            database: after("--database"),
        })
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let settings = Settings::read()?;
    let temporary = tempfile::tempdir()?;
    let dir = settings.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let file = dir.join("throughput.db");
    let address = settings.database.clone().unwrap_or_else(|| format!("sqlite:{}", file.display()));
    let store = store::open(&address, Options { migrate: true, exclusive: true }).await?;
    store.ping().await?;

    if settings.history > 0 {
        let phase = Phase::begin();
        preload(&*store, settings.history).await?;
        phase.report("history", settings.history);
    }
    let carrier = settings.events.then(|| Carrier::start(&store));
    accepts(&store, &settings).await?;
    drain(&*store).await?;
    lives(&store, &settings).await?;
    if let Some(carrier) = carrier {
        println!("events: {} carried off, {} left", carrier.end().await?, store.outbox().await?.events);
    }
    store.close().await;
    if let Ok(file) = std::fs::metadata(&file) {
        println!("file: {} MiB", file.len() >> 20);
    }
    Ok(())
}

/// Fetches and forgets events, as fast as they come.
struct Carrier {
    work: JoinSet<Outcome<u64>>,
    stop: Arc<AtomicBool>,
}

impl Carrier {
    fn start(store: &Arc<dyn Store>) -> Self {
        let (store, stop) = (Arc::clone(store), Arc::new(AtomicBool::new(false)));
        let (mut work, stopping) = (JoinSet::new(), Arc::clone(&stop));
        work.spawn(async move {
            store.keep_events(true).await?;
            let mut carried = 0;
            while !stopping.load(Ordering::Relaxed) {
                let numbers: Vec<i64> = store.events(500).await?.iter().map(|event| event.number).collect();
                carried += numbers.len() as u64;
                if numbers.len() < 500 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                store.forget_events(numbers).await?;
            }
            Ok(carried)
        });
        Self { work, stop }
    }

    async fn end(self) -> Outcome<u64> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.work.join_all().await.into_iter().collect::<Outcome<Vec<u64>>>()?.iter().sum())
    }
}

/// What a phase cost, from its beginning on.
struct Phase {
    start: Instant,
    cost: Option<Cost>,
}

impl Phase {
    fn begin() -> Self {
        Self { start: Instant::now(), cost: Cost::so_far() }
    }

    /// Prints the rate. The writer's processor time and the bytes written tell more than the rate does where other
    /// programs run too.
    fn report(&self, what: &str, messages: u64) {
        let elapsed = self.start.elapsed();
        let rate = u128::from(messages) * 1_000 / elapsed.as_millis().max(1);
        println!("{what}: {messages} messages in {elapsed:.1?}, {rate}/s");
        if let (Some(before), Some(after), 1..) = (&self.cost, Cost::so_far(), messages) {
            println!(
                "{what}: a message took {:.1?} of the writer and {} bytes written",
                Duration::from_nanos((after.writer_nanos - before.writer_nanos) / messages),
                (after.bytes - before.bytes) / messages,
            );
        }
    }
}

/// What this process has used, where the system tells (Linux).
struct Cost {
    writer_nanos: u64,
    bytes: u64,
}

impl Cost {
    fn so_far() -> Option<Self> {
        let threads = std::fs::read_dir("/proc/self/task").ok()?.flatten();
        let writer = threads.map(|thread| thread.path()).find(|path| {
            std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "store-writer")
        })?;
        let times = std::fs::read_to_string(writer.join("schedstat")).ok()?;
        let io = std::fs::read_to_string("/proc/self/io").ok()?;
        Some(Self {
            writer_nanos: times.split(' ').next()?.parse().ok()?,
            bytes: io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse().ok()?,
        })
    }
}

/// Median, 99th and last percentile of some times.
fn report_latencies(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at =
        |share: usize| times.get((times.len() * share / 1_000).min(times.len().saturating_sub(1))).copied();
    if let (Some(p50), Some(p99), Some(p999), Some(max)) = (at(500), at(990), at(999), at(1_000)) {
        println!("{what}: p50 {p50:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?}, longest {max:.1?}");
    }
}

/// Each caller accepts one message after the other.
async fn accepts(store: &Arc<dyn Store>, settings: &Settings) -> Outcome<()> {
    let (phase, length) = (Phase::begin(), Duration::from_secs(settings.seconds));
    let start = phase.start;
    let mut callers = JoinSet::new();
    for _ in 0..settings.callers {
        let (store, idempotency) = (Arc::clone(store), settings.idempotency);
        callers.spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < length {
                let before = Instant::now();
                store.accept(one(idempotency)?).await?;
                times.push(before.elapsed());
            }
            Outcome::Ok(times)
        });
    }
    let times = callers.join_all().await.into_iter().collect::<Outcome<Vec<_>>>()?.concat();
    phase.report("accept", times.len() as u64);
    report_latencies("accept", times);
    Ok(())
}

/// Callers accept, one worker claims, others submit: each message by itself from accept to receipt.
async fn lives(store: &Arc<dyn Store>, settings: &Settings) -> Outcome<()> {
    let (phase, length) = (Phase::begin(), Duration::from_secs(settings.seconds));
    let start = phase.start;
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (submit, submitted) = mpsc::channel::<Claimed>(UNDER_WAY);
    let submitted = Arc::new(tokio::sync::Mutex::new(submitted));
    let mut callers = JoinSet::new();
    for _ in 0..settings.callers {
        let (store, room) = (Arc::clone(store), Arc::clone(&room));
        let idempotency = settings.idempotency;
        callers.spawn(async move {
            while start.elapsed() < length {
                room.acquire().await?.forget();
                store.accept(one(idempotency)?).await?;
            }
            Outcome::Ok(())
        });
    }
    let mut workers = JoinSet::new();
    {
        let (store, stop) = (Arc::clone(store), Arc::clone(&stop));
        workers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                for claimed in store.claim(claim(256)?).await?.claimed {
                    submit.send(claimed).await?;
                }
            }
            Outcome::Ok(())
        });
    }
    for _ in 0..settings.submitters {
        let (store, room, done) = (Arc::clone(store), Arc::clone(&room), Arc::clone(&done));
        let (submitted, by_provider_id) = (Arc::clone(&submitted), settings.by_provider_id);
        workers.spawn(async move {
            loop {
                let Some(claimed) = submitted.lock().await.recv().await else { return Ok(()) };
                let (end, receipt) = end_and_receipt(&claimed, by_provider_id)?;
                store.finish(vec![end]).await?;
                store.record_receipts(vec![receipt]).await?;
                done.fetch_add(1, Ordering::Relaxed);
                room.add_permits(1);
            }
        });
    }
    callers.join_all().await.into_iter().collect::<Outcome<()>>()?;
    phase.report("whole life", done.load(Ordering::Relaxed));
    stop.store(true, Ordering::Relaxed);
    workers.join_all().await.into_iter().collect()
}

/// Ends what the accepts left in the queue, a thousand at a time.
async fn drain(store: &dyn Store) -> Outcome<()> {
    let phase = Phase::begin();
    let mut ended = 0;
    loop {
        let claimed = end_some(store).await?;
        if claimed == 0 {
            break;
        }
        ended += claimed;
    }
    phase.report("claim, finish, receipt in thousands", ended);
    Ok(())
}

/// Claims up to a thousand messages and ends them; answers how many.
async fn end_some(store: &dyn Store) -> Outcome<u64> {
    let claimed = store.claim(claim(1_000)?).await?.claimed;
    let ended = claimed.iter().map(|claimed| end_and_receipt(claimed, false));
    let (ends, receipts) = ended.collect::<Outcome<Vec<_>>>()?.into_iter().unzip();
    store.finish(ends).await?;
    store.record_receipts(receipts).await?;
    Ok(claimed.len() as u64)
}

/// Whole lives of the last thirty days, a thousand at a time.
async fn preload(store: &dyn Store, messages: u64) -> Outcome<()> {
    let month = Duration::from_hours(30 * 24);
    let step = month / u32::try_from(messages.div_ceil(1_000))?;
    let mut at = now()?.minus(month);
    for _ in 0..messages.div_ceil(1_000) {
        at = at.plus(step);
        let messages = (0..1_000).map(|_| new_message(at)).collect::<Outcome<_>>()?;
        store.accept(Accept { messages, idempotency: None, no_repeats_since: None }).await?;
        end_some(store).await?;
    }
    Ok(())
}

fn one(idempotency: bool) -> Outcome<Accept> {
    let now = now()?;
    let idempotency = idempotency.then(|| Idempotency {
        key: std::array::from_fn(|_| random().to_le_bytes()[0]),
        request: [7; 32],
        reply: format!("{{\"id\":\"msg_{:032x}\",\"status\":\"queued\"}}", random()),
        now,
        since: now.minus(Duration::from_hours(24)),
    });
    Ok(Accept { messages: vec![new_message(now)?], idempotency, no_repeats_since: None })
}

fn new_message(now: Timestamp) -> Outcome<NewMessage> {
    let scenario = Scenario::Transaction;
    let message = Message {
        id: MessageId::new(now, entropy()),
        bulk_id: None,
        caller: KeyId::new(Timestamp::from_micros(0), [1; 10]),
        receiver: Msisdn::from_parts(254_712_000_000 + random() % RECEIVERS, Country::KE)?,
        sender: None,
        scenario,
        priority: scenario.priority(),
        body: Body::new("Umepokea 10,000 sats kutoka kwa Wanjiku. Salio lako ni 52,300 sats. Kumb. TX8F3K2."),
        encoding: Encoding::Gsm7,
        segments: 1,
        reference: Some("TX8F3K2".into()),
        group: None,
        metadata: std::collections::BTreeMap::new(),
        scheduled_at: None,
        expires_at: Some(now.plus(Duration::from_hours(24))),
        created_at: now,
    };
    Ok(NewMessage { message, provider: provider()?, held_until: None })
}

fn claim(total: u32) -> Outcome<Claim> {
    let now = now()?;
    Ok(Claim {
        node: NodeId::new(Timestamp::from_micros(0), [1; 10]),
        provider: provider()?,
        at_most: [total; 4],
        total,
        requests: [total; 4],
        guaranteed: [0; 4],
        guaranteed_requests: [0; 4],
        receivers_per_request: 1,
        now,
        lease_until: now.plus(Duration::from_mins(1)),
        quiet: Arc::default(),
        senders: SenderPace::default(),
    })
}

fn end_and_receipt(claimed: &Claimed, by_provider_id: bool) -> Outcome<(AttemptEnd, NewReceipt)> {
    let message_id = claimed.submission.message_id;
    let provider_message_id = ProviderMessageId::new(format!("SM{:016x}{:016x}", random(), random()))
        .ok_or("no id of a provider")?;
    let acceptance = Acceptance { provider_message_id, segments: Some(1), cost: None };
    let receipt = Receipt {
        provider: provider()?,
        provider_message_id: acceptance.provider_message_id.clone(),
        message_id: (!by_provider_id).then_some(message_id),
        attempt: (!by_provider_id).then_some(claimed.submission.attempt),
        receiver: Some(claimed.submission.receiver),
        provider_status: "delivered".into(),
        status: Some(ReceiptStatus::Delivered),
        failure: None,
        network_code: None,
        received_at: now()?,
    };
    let end = AttemptEnd {
        message_id,
        attempt: claimed.submission.attempt,
        outcome: SubmitOutcome::Accepted(acceptance),
        ended_at: now()?,
        next: Next::Stop,
        watch_at: None,
    };
    let raw =
        b"MessageSid=SM0123456789abcdef0123456789abcdef&MessageStatus=delivered&To=%2B254712345678".to_vec();
    Ok((end, NewReceipt { receipt, raw }))
}

fn provider() -> Outcome<ProviderName> {
    Ok("twilio".parse()?)
}

fn now() -> Outcome<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Timestamp::from_micros(i64::try_from(since.as_micros())?))
}

fn entropy() -> [u8; 10] {
    let mut entropy = [0; 10];
    entropy[..8].copy_from_slice(&random().to_be_bytes());
    entropy[8..].copy_from_slice(&random().to_be_bytes()[..2]);
    entropy
}

/// Numbers without order (`SplitMix64`), from any thread.
fn random() -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0x1234_5678_9abc_def0);
    let mut z = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
