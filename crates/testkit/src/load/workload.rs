//! What is asked of a server, and how fast it answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::Connection;

/// Makes the request with this number. Numbers start at 0 and never come twice.
pub type MakeRequest = Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// What a workload measured.
#[derive(Debug)]
pub struct Measured {
    /// Requests answered with the wanted status.
    pub answered: u64,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Latencies in microseconds.
    pub latency: Histogram<u64>,
}

impl Measured {
    /// Requests per second.
    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    pub fn per_second(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }

    /// A latency in milliseconds, for instance at 0.99.
    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// How much is asked: for a time or for a number of requests, whichever ends first.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// For how long.
    pub limit: Duration,
    /// How many.
    pub requests: u64,
    /// How many a second at most; 0 for as many as are answered.
    pub per_second: u32,
}

impl Extent {
    /// As many as are answered within a time.
    pub fn within(limit: Duration) -> Self {
        Self { limit, requests: u64::MAX, per_second: 0 }
    }

    /// So many, as fast as they are answered, within a time.
    pub fn of(requests: u64, limit: Duration) -> Self {
        Self { limit, requests, per_second: 0 }
    }

    /// When the request of a number may leave, from the beginning.
    fn due(&self, number: u64) -> Duration {
        match self.per_second {
            0 => Duration::ZERO,
            per_second => Duration::from_micros(number.saturating_mul(1_000_000) / u64::from(per_second)),
        }
    }
}

/// Keeps `connections` busy with one request at a time each; they are spread over the addresses. Fails at the first answer with another status than `wanted`.
pub async fn run(
    addresses: &[String],
    connections: usize,
    extent: Extent,
    wanted: u16,
    make: MakeRequest,
) -> anyhow::Result<Measured> {
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for address in addresses.iter().cycle().take(connections) {
        let (address, next, make) = (address.clone(), Arc::clone(&next), Arc::clone(&make));
        tasks.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut latency = Histogram::<u64>::new_with_max(60_000_000, 3)?;
            let mut answered = 0;
            while begun.elapsed() < extent.limit {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= extent.requests {
                    break;
                }
                if extent.per_second > 0 {
                    tokio::time::sleep_until(begun + extent.due(number)).await;
                }
                let request = make(number);
                let sent = Instant::now();
                let (status, body) = connection.exchange(&request).await?;
                anyhow::ensure!(status == wanted, "answered {status}: {}", String::from_utf8_lossy(body));
                latency.saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
                answered += 1;
            }
            anyhow::Ok((answered, latency))
        });
    }
    let mut measured =
        Measured { answered: 0, took: Duration::ZERO, latency: Histogram::new_with_max(60_000_000, 3)? };
    while let Some(task) = tasks.join_next().await {
        let (answered, latency) = task??;
        measured.answered += answered;
        measured.latency.add(latency)?;
    }
    measured.took = begun.elapsed();
    Ok(measured)
}
