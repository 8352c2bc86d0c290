//! Delivery receipts that come at a fixed rate while something else is measured: Twilio's, signed, each about a message
//! of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::connection::{Connection, post_with};
use crate::sim::TWILIO_ACCOUNT_SID;
use crate::sim::twilio::sign::{self, Signer};

/// Connections that carry them.
const CONNECTIONS: usize = 16;

/// How often receipts leave: as many at once as are due by then.
const TICK: Duration = Duration::from_millis(10);

/// Receipts on their way.
#[derive(Debug)]
pub struct Receipts {
    stop: oneshot::Sender<()>,
    task: JoinSet<anyhow::Result<u64>>,
}

#[derive(Deserialize)]
struct Bulk {
    results: Vec<Accepted>,
}

#[derive(Deserialize)]
struct Accepted {
    id: String,
}

/// The ids in the answers to bulk requests.
pub async fn accepted_ids(
    gateway: &str,
    requests: u64,
    make: impl Fn(u64) -> Vec<u8>,
) -> anyhow::Result<Vec<String>> {
    let mut connection = Connection::open(gateway).await?;
    let mut ids = Vec::new();
    for number in 0..requests {
        let (status, body) = connection.exchange(&make(number)).await?;
        anyhow::ensure!(status == 202, "answered {status}: {}", String::from_utf8_lossy(body));
        let bulk: Bulk = serde_json::from_slice(body)?;
        ids.extend(bulk.results.into_iter().map(|accepted| accepted.id));
    }
    Ok(ids)
}

impl Receipts {
    /// Posts a receipt for each of these messages, so many a second, until it is told to stop or all are posted.
    pub fn start(gateway: &str, auth_token: &str, ids: Vec<String>, per_second: u32) -> Self {
        let (stop, stopped) = oneshot::channel();
        let gateway = gateway.to_owned();
        let signer = Signer::new(auth_token);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let requests = ids.into_iter().map(|id| request(&gateway, &signer, &id)).collect();
            deliver(&gateway, requests, per_second, stopped).await
        });
        Self { stop, task }
    }

    /// Stops. Answers how many were posted and answered 200.
    pub async fn stop(mut self) -> anyhow::Result<u64> {
        // It may have ended by itself.
        let _ = self.stop.send(());
        self.task.join_next().await.context("nothing posts receipts")??
    }
}

fn request(gateway: &str, signer: &Signer, id: &str) -> Vec<u8> {
    let path = format!("/webhooks/twilio/status?m={id}&a=1");
    let sid = format!("SM{}", id.trim_start_matches("msg_"));
    let fields =
        [("MessageSid", sid.as_str()), ("MessageStatus", "delivered"), ("AccountSid", TWILIO_ACCOUNT_SID)];
    let signature = signer.sign(&format!("http://{gateway}{path}"), &fields);
    let form: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let form = form.join("&");
    post_with(&path, (sign::HEADER, &signature), "application/x-www-form-urlencoded", &form)
}

async fn deliver(
    gateway: &str,
    requests: Vec<Vec<u8>>,
    per_second: u32,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<u64> {
    let (waiting, taken) = mpsc::channel::<Vec<u8>>(1_024);
    let taken = Arc::new(tokio::sync::Mutex::new(taken));
    let mut carriers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (gateway, taken) = (gateway.to_owned(), Arc::clone(&taken));
        carriers.spawn(async move {
            let mut connection = Connection::open(&gateway).await?;
            let mut delivered = 0_u64;
            loop {
                let next = taken.lock().await.recv().await;
                let Some(request) = next else { return anyhow::Ok(delivered) };
                let (status, body) = connection.exchange(&request).await?;
                anyhow::ensure!(
                    status == 200,
                    "a receipt was answered {status}: {}",
                    String::from_utf8_lossy(body)
                );
                delivered += 1;
            }
        });
    }
    // When the last carrier fails, nobody takes what waits, and sending fails too.
    drop(taken);
    let mut due = Instant::now();
    for request in requests {
        if due > Instant::now() + TICK {
            sleep_until(due).await;
        }
        if stopped.try_recv().is_ok() {
            break;
        }
        due += Duration::from_secs(1) / per_second;
        if waiting.send(request).await.is_err() {
            break;
        }
    }
    drop(waiting);
    let mut delivered = 0;
    while let Some(carried) = carriers.join_next().await {
        delivered += carried??;
    }
    Ok(delivered)
}
