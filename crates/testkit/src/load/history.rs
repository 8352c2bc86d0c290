//! What a database has in it that was in use for a while: messages of the last thirty days, all of them delivered.
//!
//! Written through the store's own port, a thousand at a time, as a gateway does it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
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
use store::port::messages::{Accept, Accepted, NewMessage};
use store::port::queue::{AttemptEnd, Claim, Next};
use store::port::receipts::NewReceipt;
use store::{Options, Store};

use crate::stopwatch::Stopwatch;

/// Messages in a commit.
const TOGETHER: u32 = 1_000;

/// How far back they go.
const SINCE: Duration = Duration::from_hours(30 * 24);

/// Phones that they went to.
const RECEIVERS: u64 = 200_000;

/// Fills an empty database, to the next thousand.
pub async fn fill(database: &str, messages: u64) -> anyhow::Result<()> {
    let store = store::open(
        database,
        Options { migrate: true, exclusive: true, keys: Some(crate::database::data_key()) },
    )
    .await?;
    let thousands = messages.div_ceil(u64::from(TOGETHER));
    let step = SINCE / u32::try_from(thousands.max(1)).context("too many messages")?;
    let now = i64::try_from(Stopwatch::start().unix_us())?;
    let mut at = Timestamp::from_micros(now).minus(SINCE);
    for _ in 0..thousands {
        some(&*store, at).await?;
        at = at.plus(step);
    }
    store.close().await;
    Ok(())
}

/// Messages that were accepted, submitted and delivered at a time.
async fn some(store: &dyn Store, at: Timestamp) -> anyhow::Result<()> {
    let provider: ProviderName = "twilio".parse()?;
    let new = || {
        Ok(NewMessage {
            message: message(at)?,
            provider: provider.clone(),
            held_until: None,
            draws: Vec::new(),
            consent: None,
            verification: None,
        })
    };
    let messages = (0..TOGETHER).map(|_| new()).collect::<anyhow::Result<_>>()?;
    let stored = store.accept(Accept { messages, idempotency: None, no_repeats_since: None }).await?;
    anyhow::ensure!(stored == Accepted::Stored, "messages of the history were not stored");
    let claim = Claim {
        node: NodeId::new(Timestamp::from_micros(0), [1; 10]),
        provider: provider.clone(),
        at_most: [TOGETHER; 4],
        total: TOGETHER,
        requests: [TOGETHER; 4],
        at_once: u32::MAX,
        guaranteed: [0; 4],
        guaranteed_requests: [0; 4],
        receivers_per_request: 1,
        now: at,
        lease_until: at.plus(Duration::from_mins(1)),
        quiet: Arc::default(),
        senders: SenderPace::default(),
    };
    let claims = store.claim(claim).await?;
    anyhow::ensure!(claims.claimed.len() == TOGETHER as usize, "messages of the history were not claimed");
    let mut ends = Vec::new();
    let mut receipts = Vec::new();
    for claimed in &claims.claimed {
        let (id, attempt) = (claimed.submission.message_id, claimed.submission.attempt);
        let sid = format!("SM{:032x}", rand::random::<u128>());
        let provider_message_id = ProviderMessageId::new(&sid).context("no id of a provider")?;
        let acceptance =
            Acceptance { provider_message_id: provider_message_id.clone(), segments: Some(1), cost: None };
        ends.push(AttemptEnd {
            message_id: id,
            attempt,
            outcome: SubmitOutcome::Accepted(acceptance),
            ended_at: at.plus(Duration::from_millis(200)),
            next: Next::Stop,
            watch_at: None,
        });
        let receipt = Receipt {
            provider: provider.clone(),
            message_id: Some(id),
            attempt: Some(attempt),
            receiver: None,
            provider_status: "delivered".into(),
            status: Some(ReceiptStatus::Delivered),
            failure: None,
            network_code: None,
            received_at: at.plus(Duration::from_secs(4)),
            provider_message_id,
        };
        let raw = format!("MessageSid={sid}&MessageStatus=delivered&AccountSid=AC0");
        receipts.push(NewReceipt { receipt, raw: raw.into_bytes() });
    }
    store.finish(ends).await?;
    store.record_receipts(receipts).await?;
    Ok(())
}

fn message(at: Timestamp) -> anyhow::Result<Message> {
    let scenario = Scenario::Transaction;
    Ok(Message {
        id: MessageId::new(at, rand::random()),
        bulk_id: None,
        caller: KeyId::new(Timestamp::from_micros(0), [1; 10]),
        receiver: Msisdn::from_parts(254_712_000_000 + rand::random::<u64>() % RECEIVERS, Country::KE)?,
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
        expires_at: None,
        created_at: at,
        template: None,
    })
}
