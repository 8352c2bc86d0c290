//! How long a code waits in the gateway while a backlog stands beside it: from reading the 202 to the provider's
//! receiving the request.
//!
//! The codes are sent at a fixed rate, whether the earlier ones were answered or not (open loop): a gateway that is
//! slow for a moment gets no rest for it, and what it delayed meanwhile is measured.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::{self, Connection, post};
use crate::sim::Arrival;
use crate::stopwatch::Stopwatch;

/// How the text of each code begins.
pub const MARKER: &str = "Your code is ";

/// How long after the last code all of them must have arrived.
const ARRIVAL_LIMIT: Duration = Duration::from_mins(1);

/// How many codes, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Codes in all.
    pub codes: u32,
    /// Codes a second.
    pub per_second: u32,
}

/// What was measured, in microseconds.
#[derive(Debug)]
pub struct Waits {
    /// From sending the request to reading its 202.
    pub answered: Histogram<u64>,
    /// From reading the 202 to the arrival at the provider; 0 for what arrived before the 202 was read.
    pub arrived: Histogram<u64>,
    /// From the first code to the last 202.
    pub took: Duration,
}

/// A code that was answered 202.
struct Answered {
    body: String,
    /// When the 202 was read.
    unix_us: u64,
    took: Duration,
}

#[derive(Deserialize)]
struct Arrivals {
    arrivals: Vec<Arrival>,
}

/// Sends codes to the gateway at a fixed rate, and waits until the simulator has all of them.
pub async fn run(gateway: &str, simulator: &str, authorization: &str, pace: Pace) -> anyhow::Result<Waits> {
    let begun = Instant::now();
    let answered = send(gateway, authorization, pace).await?;
    let took = begun.elapsed();
    let arrivals = arrivals(simulator, answered.len()).await?;
    let mut waits = Waits {
        answered: Histogram::new_with_max(60_000_000, 3)?,
        arrived: Histogram::new_with_max(60_000_000, 3)?,
        took,
    };
    for code in answered {
        let arrived = arrivals.get(&code.body).context("a code has not arrived")?;
        waits.answered.saturating_record(micros(code.took));
        waits.arrived.saturating_record(arrived.saturating_sub(code.unix_us));
    }
    Ok(waits)
}

async fn send(gateway: &str, authorization: &str, pace: Pace) -> anyhow::Result<Vec<Answered>> {
    let stopwatch = Stopwatch::start();
    let idle: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..pace.codes {
        sleep_until(begun + Duration::from_secs(1) * number / pace.per_second).await;
        let (gateway, idle) = (gateway.to_owned(), Arc::clone(&idle));
        let body = format!("{MARKER}{number:06}");
        let request = code(authorization, number, &body);
        tasks.spawn(async move {
            let kept = idle.lock().pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => Connection::open(&gateway).await?,
            };
            let sent = Instant::now();
            let (status, answer) = connection.exchange(&request).await?;
            let (unix_us, took) = (stopwatch.unix_us(), sent.elapsed());
            anyhow::ensure!(status == 202, "answered {status}: {}", String::from_utf8_lossy(answer));
            idle.lock().push(connection);
            anyhow::Ok(Answered { body, unix_us, took })
        });
    }
    let mut answered = Vec::new();
    while let Some(code) = tasks.join_next().await {
        answered.push(code??);
    }
    Ok(answered)
}

fn code(authorization: &str, number: u32, body: &str) -> Vec<u8> {
    let json =
        format!(r#"{{"receiver":"+447400{:06}","message":"{body}","scenario":"otp"}}"#, number % 1_000_000);
    post("/sms", authorization, "application/json", &json)
}

/// When each code arrived, by its text.
async fn arrivals(simulator: &str, codes: usize) -> anyhow::Result<HashMap<String, u64>> {
    let mut connection = Connection::open(simulator).await?;
    let mut arrived: HashMap<String, u64> = HashMap::new();
    let begun = Instant::now();
    let mut seen = 0;
    loop {
        let request = connection::get(&format!("/_sim/arrivals?since={seen}"));
        let (status, body) = connection.exchange(&request).await?;
        anyhow::ensure!(status == 200, "the simulator answered {status}");
        let new: Arrivals = serde_json::from_slice(body)?;
        seen += new.arrivals.len();
        for arrival in new.arrivals {
            anyhow::ensure!(arrived.insert(arrival.body, arrival.unix_us).is_none(), "a code was sent twice");
        }
        if arrived.len() >= codes {
            return Ok(arrived);
        }
        anyhow::ensure!(begun.elapsed() < ARRIVAL_LIMIT, "{} of {codes} codes have arrived", arrived.len());
        sleep(Duration::from_millis(20)).await;
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
