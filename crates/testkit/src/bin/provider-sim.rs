//! `provider-sim`: Twilio and Africa's Talking on this machine, for demonstrations, load and tests from outside.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use testkit::sim::{
    AfricasTalkingConfig, CallbackUrls, FaultRule, LedgerMode, ReceiptDetail, SimConfig, Simulator,
    TwilioConfig,
};
use tracing_subscriber::EnvFilter;

/// Allocation is a good part of what a request costs here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Twilio and Africa's Talking, simulated.
#[derive(Parser)]
#[command(name = "provider-sim", version)]
struct Options {
    /// Where to listen; port 0 for any free one
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// What all chance comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Something that goes wrong; may be given many times. The form is `provider:fault=value@when`, where only the
    /// fault is needed and `when` is a rate or a count: slow=200@0.1, twilio:accept-then-reset@x3, 429=5
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<FaultRule>,
    /// Keep counters only: for load
    #[arg(long)]
    count_only: bool,
    /// Keep when each text that begins so was taken, also with --count-only
    #[arg(long, value_name = "TEXT")]
    watch_text: Option<String>,
    /// The last digits of a number mean nothing: for load with made-up numbers
    #[arg(long)]
    no_magic: bool,
    /// Call back for the end of a message only
    #[arg(long)]
    final_only: bool,
    /// Milliseconds from taking a message to its being sent
    #[arg(long, default_value_t = 20, value_name = "MS")]
    sent_after: u64,
    /// Milliseconds from taking a message to its end
    #[arg(long, default_value_t = 60, value_name = "MS")]
    ended_after: u64,
    /// Callbacks under way at most
    #[arg(long, default_value_t = 32, value_name = "N")]
    callback_concurrency: usize,
    /// Requests at once before Twilio answers 429
    #[arg(long, value_name = "N")]
    twilio_concurrency: Option<u32>,
    /// Where Twilio posts messages from phones
    #[arg(long, value_name = "URL")]
    callback_twilio_incoming: Option<String>,
    /// Where Africa's Talking posts delivery reports
    #[arg(long, value_name = "URL")]
    callback_africastalking: Option<String>,
    /// Where Africa's Talking posts messages from phones
    #[arg(long, value_name = "URL")]
    callback_africastalking_incoming: Option<String>,
    /// Where Africa's Talking posts opt-outs
    #[arg(long, value_name = "URL")]
    callback_africastalking_opt_out: Option<String>,
    /// A sender ID registered at Africa's Talking, besides the usual ones; may be given many times
    #[arg(long = "africastalking-sender", value_name = "SENDER")]
    africastalking_senders: Vec<String>,
    /// Threads; 0 for one a core
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if options.threads > 0 {
        builder.worker_threads(options.threads);
    }
    let runtime = builder.enable_all().build().context("can't start the runtime")?;
    runtime.block_on(run(options.into_config()))
}

async fn run(config: SimConfig) -> Result<()> {
    let listen = config.listen;
    let simulator =
        Simulator::start(config).await.with_context(|| format!("can't start the simulator at {listen}"))?;
    let base = simulator.base_url();
    tracing::info!("Twilio and Africa's Talking are simulated at {base}; control at {base}/_sim/stats");
    stopped().await?;
    let stats = simulator.stats();
    tracing::info!(
        messages = stats.messages,
        distinct = stats.distinct_messages,
        callbacks = stats.callbacks.sent,
        "stopped"
    );
    simulator.stop().await;
    Ok(())
}

/// Waits for an interrupt or a request to end.
async fn stopped() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("can't listen for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("can't listen for SIGINT"),
        _ = terminate.recv() => Ok(()),
    }
}

impl Options {
    fn into_config(self) -> SimConfig {
        let mut africastalking = AfricasTalkingConfig::default();
        africastalking.senders.extend(self.africastalking_senders);
        SimConfig {
            listen: self.listen,
            seed: self.seed,
            ledger: if self.count_only { LedgerMode::CountOnly } else { LedgerMode::Full },
            watched_text: self.watch_text,
            magic_numbers: !self.no_magic,
            twilio: TwilioConfig { concurrency_limit: self.twilio_concurrency, ..TwilioConfig::default() },
            africastalking,
            callback_urls: CallbackUrls {
                africastalking_delivery: self.callback_africastalking,
                africastalking_incoming: self.callback_africastalking_incoming,
                africastalking_opt_out: self.callback_africastalking_opt_out,
                twilio_incoming: self.callback_twilio_incoming,
            },
            sent_after: Duration::from_millis(self.sent_after),
            ended_after: Duration::from_millis(self.ended_after),
            receipts: if self.final_only { ReceiptDetail::FinalOnly } else { ReceiptDetail::All },
            callback_concurrency: self.callback_concurrency,
            faults: self.faults,
            ..SimConfig::default()
        }
    }
}
