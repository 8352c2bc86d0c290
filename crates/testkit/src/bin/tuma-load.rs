//! `tuma-load`: how much a gateway takes on this machine, and how much of R that is.
//!
//! R is what a bare HTTP client submits to the same simulator with nothing stored. Everything runs on the
//! loopback interface, in a temporary folder, and ends by itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use clap::Parser;
use hdrhistogram::Histogram;
use tempfile::TempDir;
use testkit::database::DATA_KEY;
use testkit::load::codes::{self, Waits};
use testkit::load::connection::{self, Connection, post};
use testkit::load::history;
use testkit::load::process::{Process, Usage, create_key, free_address};
use testkit::load::receipts::{self, Receipts};
use testkit::load::report::{CodesLine, Line, codes_table, table};
use testkit::load::workload::{self, Extent, MakeRequest, Measured};
use testkit::sim::{TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER};
use tokio::time::Instant;

/// How long the gateway may take to send what it accepted.
const DRAIN: Duration = Duration::from_mins(2);

/// How long nodes need to share the work once all of them answer.
const JOINED: Duration = Duration::from_secs(4);

/// The codes that are sent beside a backlog: ten seconds of them.
const CODES: codes::Pace = codes::Pace { codes: 500, per_second: 50 };

/// Receipts that come in while accepting is measured.
const RECEIPTS_PER_SECOND: u32 = 2_000;

/// Measure a gateway.
#[derive(Debug, Parser)]
struct Load {
    /// The gateway's program.
    #[arg(long)]
    tuma: PathBuf,
    /// The simulator's program [default: beside this one]
    #[arg(long)]
    provider_sim: Option<PathBuf>,
    /// Seconds for each kind of work.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections that send at once.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Messages a second, for a soak.
    #[arg(long, default_value_t = 1_000)]
    per_second: u32,
    /// Messages that wait in the queue before anything is measured.
    #[arg(long, default_value_t = 0)]
    backlog: u64,
    /// Delivered messages of the last thirty days that are in the database before anything is measured.
    #[arg(long, default_value_t = 0)]
    history: u64,
    /// An SQLite file for the history, made if it is not there, so that further runs find it [default: a temporary one]
    #[arg(long, conflicts_with = "database")]
    history_file: Option<PathBuf>,
    /// Gateways that serve the database together; more than one needs `--database`.
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// Only this kind of work.
    #[arg(long, value_enum)]
    only: Vec<Work>,
    /// Where the databases are put [default: the system's temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// An empty database to measure on, such as `postgres://tuma@127.0.0.1/load`, instead of a SQLite file for each kind of
    /// work. What one kind leaves in it is there for the next.
    #[arg(long)]
    database: Option<String>,
    /// An SQLite file with the history, of which each kind of work gets a copy.
    #[arg(skip)]
    template: Option<PathBuf>,
}

/// Kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Work {
    /// One message a request, accepted and durable; submitting stands still.
    Accept,
    /// One message a request: accepted, submitted one by one, outcome recorded.
    EndToEnd,
    /// The same, with a delivery receipt for each.
    Receipts,
    /// 100 receivers a request, accepted.
    Bulk,
    /// One message a request, accepted, while 2,000 receipts a second come in; beside the same without.
    AcceptBesideReceipts,
    /// The same as end to end, at `--per-second`, with the memory of each minute. Only when asked for.
    Soak,
    /// 500 codes at 50 a second beside the backlog, which leaves at the account's pace. Only when asked for.
    Codes,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut load = Load::parse();
    load.tuma = load.tuma.canonicalize().with_context(|| format!("{} is not there", load.tuma.display()))?;
    match load.only.as_slice() {
        [Work::Codes] => return load.codes().await,
        [Work::Soak] => return load.soak().await,
        _ => {}
    }
    anyhow::ensure!(load.nodes == 1 || load.database.is_some(), "several nodes need --database");
    let scratch = load.folder()?;
    load.prepare(scratch.path()).await?;
    let raw = load.raw().await?;
    let mut lines = vec![Line {
        work: "R: bare client to the simulator",
        per_second: raw.per_second(),
        of_raw: Some(1.0),
        latency_ms: Some(latency(&raw)),
        cpu_us: None,
        resident_mib: None,
    }];
    // Codes have a table of their own.
    for work in [Work::Accept, Work::EndToEnd, Work::Receipts, Work::Bulk] {
        if load.only.is_empty() || load.only.contains(&work) {
            lines.push(load.measure(work, raw.per_second()).await?);
        }
    }
    if load.only.is_empty() || load.only.contains(&Work::AcceptBesideReceipts) {
        lines.extend(load.beside_receipts(raw.per_second()).await?);
    }
    print(&table(&lines));
    if load.only.contains(&Work::Codes) {
        load.codes().await?;
    }
    Ok(())
}

impl Load {
    /// Makes the history that was asked for.
    async fn prepare(&mut self, folder: &Path) -> anyhow::Result<()> {
        match &self.database {
            _ if self.history == 0 => {}
            Some(database) => history::fill(database, self.history).await?,
            None => {
                let template = self.history_file.clone().unwrap_or_else(|| folder.join("history.db"));
                if !template.exists() {
                    history::fill(&format!("sqlite:{}", template.display()), self.history).await?;
                }
                self.template = Some(template);
            }
        }
        Ok(())
    }

    async fn raw(&self) -> anyhow::Result<Measured> {
        let simulator = self.simulator(None).await?;
        let path = format!("/2010-04-01/Accounts/{TWILIO_ACCOUNT_SID}/Messages.json");
        let credentials = format!("{TWILIO_ACCOUNT_SID}:{TWILIO_AUTH_TOKEN}");
        let authorization =
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials));
        let make: MakeRequest = Arc::new(move |number| {
            let body =
                format!("To=%2B447400{:06}&From=%2B15005550006&Body=Habari+{number}", number % 1_000_000);
            post(&path, &authorization, "application/x-www-form-urlencoded", &body)
        });
        workload::run(
            std::slice::from_ref(&simulator.address),
            self.connections,
            Extent::within(self.limit()),
            201,
            make,
        )
        .await
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    async fn simulator(&self, seed: Option<u64>) -> anyhow::Result<Process> {
        let program = match &self.provider_sim {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("provider-sim"),
        };
        let address = free_address()?;
        let mut command = Command::new(program);
        command.args(["--listen", &address, "--count-only", "--no-magic", "--final-only"]);
        command.args(["--sent-after", "1", "--ended-after", "5", "--callback-concurrency", "64"]);
        command.args(["--seed", &seed.unwrap_or(1).to_string()]).env("RUST_LOG", "warn");
        command.args(["--watch-text", codes::MARKER]);
        Process::start(command, address, "/_sim/stats").await
    }

    async fn gateways(
        &self,
        work: Work,
        simulator: &Process,
        folder: &Path,
    ) -> anyhow::Result<(Gateways, String)> {
        let file = folder.join("tuma.db");
        if let Some(template) = &self.template {
            std::fs::copy(template, &file)?;
        }
        let database = self.database.clone().unwrap_or_else(|| format!("sqlite:{}", file.display()));
        let key = create_key(&self.tuma, &database)?;
        let mut nodes = Vec::new();
        let public = free_address()?;
        for node in 0..self.nodes {
            let address = if node == 0 { public.clone() } else { free_address()? };
            nodes.push(self.node(work, simulator, folder, &database, (address, &public)).await?);
        }
        if self.nodes > 1 {
            // Until then they let each other go first.
            tokio::time::sleep(JOINED).await;
        }
        let addresses = nodes.iter().map(|node| node.address.clone()).collect();
        Ok((Gateways { nodes, addresses }, format!("Bearer {key}")))
    }

    async fn node(
        &self,
        work: Work,
        simulator: &Process,
        folder: &Path,
        database: &str,
        (address, public): (String, &str),
    ) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.tuma);
        command
            .arg("serve")
            .current_dir(folder)
            .env("TUMA_DATABASE_URL", database)
            .env("TUMA_DATA_KEY", DATA_KEY)
            .env("TUMA_LISTEN", &address)
            .env("RUST_LOG", "warn")
            // Its receivers are of countries that nobody sends to by default.
            .env("TUMA_GUARD__COUNTRIES", r#"["*"]"#)
            .env("TWILIO_ACCOUNT_SID", TWILIO_ACCOUNT_SID)
            .env("TWILIO_AUTH_TOKEN", TWILIO_AUTH_TOKEN)
            .env("TWILIO_PHONE_NUMBER", TWILIO_PHONE_NUMBER)
            .env("TWILIO_API_BASE_URL", format!("http://{}", simulator.address))
            .env("TUMA_PROVIDERS__TWILIO__BULK_BATCH_SIZE", "0")
            .env(
                "TUMA_PROVIDERS__TWILIO__MESSAGES_PER_SECOND",
                match work {
                    // Accepting alone: one message a second leaves.
                    Work::Accept | Work::Bulk | Work::AcceptBesideReceipts => "1",
                    Work::EndToEnd | Work::Receipts | Work::Soak => "0",
                    // Twilio's default, of which bulk may take 95 %.
                    Work::Codes => "1000",
                },
            );
        if matches!(work, Work::Receipts | Work::AcceptBesideReceipts) {
            command.env("TUMA_PUBLIC_URL", format!("http://{public}"));
        }
        Process::start(command, address, "/health/ready").await
    }

    fn folder(&self) -> std::io::Result<TempDir> {
        match &self.folder {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        }
    }

    /// Puts the backlog into the queue.
    async fn fill(&self, gateway: &Gateways, authorization: &str) -> anyhow::Result<()> {
        if self.backlog > 0 {
            let make = bulk_request(authorization.to_owned());
            workload::run(&gateway.addresses, 8, Extent::of(self.backlog.div_ceil(100), DRAIN), 202, make)
                .await?;
        }
        Ok(())
    }

    /// Codes beside a backlog of bulk.
    async fn codes(&self) -> anyhow::Result<()> {
        let folder = self.folder()?;
        let simulator = self.simulator(Some(3)).await?;
        let (gateway, authorization) = self.gateways(Work::Codes, &simulator, folder.path()).await?;
        self.fill(&gateway, &authorization).await?;
        let queued = self.backlog.div_ceil(100) * 100;
        let before = messages_taken(&simulator).await?;
        let waits = codes::run(gateway.first(), &simulator.address, &authorization, CODES).await?;
        let after = messages_taken(&simulator).await?;
        print(&codes_table(&codes_line(&waits, queued, before, after)));
        Ok(())
    }

    /// The memory of each minute while messages come in at a pace.
    async fn soak(&self) -> anyhow::Result<()> {
        let folder = self.folder()?;
        let simulator = self.simulator(Some(5)).await?;
        let (gateway, authorization) = self.gateways(Work::Soak, &simulator, folder.path()).await?;
        let extent = Extent { per_second: self.per_second, ..Extent::within(self.limit()) };
        let make = single_request(authorization);
        let soaking = workload::run(&gateway.addresses, self.connections, extent, 202, make);
        print("| minute | messages taken by the provider | resident MiB |\n|---|---|---|");
        let watching = async {
            for minute in 0_u32.. {
                let (taken, usage) = (messages_taken(&simulator).await?, gateway.usage());
                print(&format!("| {minute} | {taken} | {} |", usage.resident_kib / 1_024));
                tokio::time::sleep(Duration::from_mins(1)).await;
            }
            anyhow::Ok(())
        };
        let measured = tokio::select! {
            measured = soaking => measured?,
            stopped = watching => return stopped,
        };
        let [half, most, all] = latency(&measured);
        let (taken, usage) = (messages_taken(&simulator).await?, gateway.usage());
        print(&format!("| the end | {taken} | {} |\n", usage.resident_kib / 1_024));
        print(&format!(
            "{} answered, {:.0} a second; p50 {half:.1}, p99 {most:.1}, max {all:.1} ms",
            measured.answered,
            measured.per_second()
        ));
        Ok(())
    }

    /// What is accepted while receipts come in, and just before that without them, by the same gateway.
    async fn beside_receipts(&self, raw: f64) -> anyhow::Result<[Line; 2]> {
        let folder = self.folder()?;
        let simulator = self.simulator(Some(4)).await?;
        let work = Work::AcceptBesideReceipts;
        let (gateway, authorization) = self.gateways(work, &simulator, folder.path()).await?;
        // Enough for as long as it is measured.
        let wanted = u64::from(RECEIPTS_PER_SECOND) * (self.seconds + 1);
        let make = bulk_request(authorization.clone());
        let ids =
            receipts::accepted_ids(gateway.first(), wanted.div_ceil(100), |number| make(number)).await?;
        let run = || {
            let make = single_request(authorization.clone());
            workload::run(&gateway.addresses, self.connections, Extent::within(self.limit()), 202, make)
        };
        let before = gateway.usage();
        let alone = run().await?;
        let between = gateway.usage();
        let receipts = Receipts::start(gateway.first(), TWILIO_AUTH_TOKEN, ids, RECEIPTS_PER_SECOND);
        let begun = Instant::now();
        let beside = run().await?;
        let took = begun.elapsed();
        let posted = receipts.stop().await?;
        let wanted = u64::from(RECEIPTS_PER_SECOND) * took.as_secs();
        anyhow::ensure!(posted * 10 >= wanted * 9, "only {posted} receipts of {wanted} were taken");
        Ok([
            line(Work::Accept, &alone, alone.answered, alone.took, raw, (before, between)),
            line(work, &beside, beside.answered, beside.took, raw, (between, gateway.usage())),
        ])
    }

    async fn measure(&self, work: Work, raw: f64) -> anyhow::Result<Line> {
        let folder = self.folder()?;
        let simulator = self.simulator(Some(2)).await?;
        let (gateway, authorization) = self.gateways(work, &simulator, folder.path()).await?;
        self.fill(&gateway, &authorization).await?;
        let before = gateway.usage();
        let begun = Instant::now();
        let (make, each): (MakeRequest, u64) = match work {
            Work::Bulk => (bulk_request(authorization), 100),
            _ => (single_request(authorization), 1),
        };
        let measured =
            workload::run(&gateway.addresses, self.connections, Extent::within(self.limit()), 202, make)
                .await?;
        let messages = measured.answered * each;
        let took = match work {
            Work::Accept | Work::Bulk | Work::Codes | Work::AcceptBesideReceipts => measured.took,
            Work::EndToEnd | Work::Soak => drained(&gateway, "sms_sent_count_total", messages, begun).await?,
            Work::Receipts => drained(&gateway, "sms_receipt_count_total", messages, begun).await?,
        };
        Ok(line(work, &measured, messages, took, raw, (before, gateway.usage())))
    }
}

/// The gateways under load.
struct Gateways {
    nodes: Vec<Process>,
    addresses: Vec<String>,
}

impl Gateways {
    fn first(&self) -> &str {
        self.addresses.first().map_or("", String::as_str)
    }

    fn usage(&self) -> Usage {
        Usage::of_all(&self.nodes)
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures to read")]
fn line(
    work: Work,
    measured: &Measured,
    messages: u64,
    took: Duration,
    raw: f64,
    (before, after): (Usage, Usage),
) -> Line {
    let per_second = messages as f64 / took.as_secs_f64();
    Line {
        work: match work {
            Work::Accept => "POST /sms: accepted, durable",
            Work::EndToEnd => "POST /sms: end to end, outcome recorded",
            Work::Receipts => "POST /sms: end to end, with a receipt",
            Work::Bulk => "POST /sms/bulk, 100 receivers: accepted",
            Work::AcceptBesideReceipts => "POST /sms: accepted, beside 2,000 receipts a second",
            Work::Codes => "POST /sms: codes",
            Work::Soak => "POST /sms: a soak",
        },
        per_second,
        of_raw: Some(per_second / raw),
        latency_ms: Some(latency(measured)),
        cpu_us: Some((after.cpu_us - before.cpu_us) as f64 / messages as f64),
        resident_mib: Some(after.resident_kib as f64 / 1_024.0),
    }
}

/// Messages that the simulator has taken so far.
async fn messages_taken(simulator: &Process) -> anyhow::Result<u64> {
    let mut connection = Connection::open(&simulator.address).await?;
    let (_, body) = connection.exchange(&connection::get("/_sim/stats")).await?;
    let stats: serde_json::Value = serde_json::from_slice(body)?;
    stats.get("messages").and_then(serde_json::Value::as_u64).context("the simulator does not count")
}

#[expect(clippy::cast_precision_loss, reason = "figures to read")]
fn codes_line(waits: &Waits, queued: u64, before: u64, after: u64) -> CodesLine {
    let ms = |histogram: &Histogram<u64>| {
        [0.5, 0.99, 1.0].map(|quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0)
    };
    let codes = waits.answered.len();
    let bulk = after.saturating_sub(before + codes);
    CodesLine {
        backlog: [queued.saturating_sub(before), queued.saturating_sub(before + bulk)],
        codes,
        answered_ms: ms(&waits.answered),
        arrived_ms: ms(&waits.arrived),
        bulk_per_second: bulk as f64 / waits.took.as_secs_f64(),
    }
}

fn latency(measured: &Measured) -> [f64; 3] {
    [measured.latency_ms(0.5), measured.latency_ms(0.99), measured.latency_ms(1.0)]
}

fn single_request(authorization: String) -> MakeRequest {
    Arc::new(move |number| {
        let body = format!(
            r#"{{"receiver":"+447400{:06}","message":"You have received KES 1,500 from a friend. Ref {number}","scenario":"transaction"}}"#,
            number % 1_000_000
        );
        post("/sms", &authorization, "application/json", &body)
    })
}

fn bulk_request(authorization: String) -> MakeRequest {
    Arc::new(move |number| {
        let receivers: Vec<String> =
            (0..100).map(|index| format!("\"+447400{:06}\"", (number * 100 + index) % 1_000_000)).collect();
        let body = format!(r#"{{"receivers":[{}],"message":"Karibu chama chetu"}}"#, receivers.join(","));
        post("/sms/bulk", &authorization, "application/json", &body)
    })
}

/// Waits until a counter of the gateway has reached `wanted`; answers how long it took from `begun`.
async fn drained(gateway: &Gateways, counter: &str, wanted: u64, begun: Instant) -> anyhow::Result<Duration> {
    let mut connections = Vec::new();
    for address in &gateway.addresses {
        connections.push(Connection::open(address).await?);
    }
    let request = connection::get("/metrics");
    loop {
        let mut reached = 0;
        for connection in &mut connections {
            let (_, body) = connection.exchange(&request).await?;
            reached += total(std::str::from_utf8(body)?, counter);
        }
        if reached >= wanted {
            return Ok(begun.elapsed());
        }
        anyhow::ensure!(begun.elapsed() < DRAIN, "{counter} stands at {reached} of {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The sum of a counter over all its labels.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn total(metrics: &str, counter: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(counter));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

#[expect(clippy::print_stdout, reason = "the table is the result")]
fn print(table: &str) {
    println!("{table}");
}
