//! Schemathesis asks a running gateway everything that its OpenAPI document allows, and much that it does not, and holds
//! each answer to the document.
//!
//! One worker: with two, Python 3.11 now and then fails in its own parser ("AST constructor recursion depth mismatch").
//! Its rounds have seeds that count up from one, so that a failure can be had again.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::{shell, tools};

/// The release that runs here, from `PyPI`.
const VERSION: &str = "4.32.5";

/// An answer of 500 or more, and whatever the document does not say. Not whether a route lets somebody in without a key, which
/// our own tests ask: it expects 401, and after some failures an address is answered 429.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance";

/// The last part of the address that Africa's Talking would call.
const CALLBACK_SECRET: &str = concat!("schemathesis-", "callback");

/// How long the gateway and the simulator may take to listen.
const START: Duration = Duration::from_mins(1);

/// How long.
#[derive(Args)]
pub(crate) struct Extent {
    /// Seconds after which no further round is begun
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// The seed of the first round
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

#[expect(clippy::disallowed_methods, reason = "bounds a chore, which no test fakes")]
pub(crate) fn run(extent: &Extent) -> Result<()> {
    tools::compiler()?;
    let program = install()?;
    let site = Site::start()?;
    let begun = Instant::now();
    for seed in extent.seed.. {
        let mut command = Command::new(&program);
        command.args([
            "run",
            "--no-color",
            "--checks",
            CHECKS,
            "--continue-on-failure",
            "--max-examples",
            "200",
        ]);
        command.args(["--workers", "1", "--request-timeout", "40", "--seed", &seed.to_string()]);
        command.args(["-H", &format!("Authorization: Bearer {}", site.key)]);
        command.arg(format!("http://{}/openapi.json", site.address)).current_dir(&site.folder);
        // The key is of a database that is thrown away, but it is a key: the line is not shown.
        shell::say(format_args!("$ schemathesis run --seed {seed} (round {})", seed - extent.seed + 1));
        let status = command.stdin(Stdio::null()).status().context("schemathesis can't be started")?;
        if !status.success() {
            bail!(
                "failed ({status}): again with --seed {seed}; the gateway's log is {}",
                site.keep_log()?.display()
            );
        }
        if begun.elapsed() >= Duration::from_secs(extent.seconds) {
            break;
        }
    }
    Ok(())
}

/// Puts Schemathesis into an environment of its own under `target`, unless it stands there already.
fn install() -> Result<PathBuf> {
    let home = shell::target().join("schemathesis");
    let (program, stamp) = (home.join("bin/schemathesis"), home.join("installed-version"));
    if program.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == VERSION) {
        return Ok(program);
    }
    tools::python()?;
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    let mut pip = Command::new(home.join("bin/pip"));
    shell::run(pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &format!("schemathesis=={VERSION}"),
    ]))?;
    fs::write(&stamp, VERSION).context("could not write the stamp")?;
    Ok(program)
}

/// A gateway with a new database, and the simulated networks that it submits to.
struct Site {
    folder: PathBuf,
    address: SocketAddr,
    key: String,
    children: Vec<Child>,
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Site {
    fn start() -> Result<Self> {
        let mut build = shell::cargo("build");
        build.args(["--package", "server", "--bin", "tuma", "--package", "testkit", "--bin", "provider-sim"]);
        shell::run(&mut build)?;
        let programs = shell::target().join("debug");
        let folder = std::env::temp_dir().join(format!("tuma-schemathesis-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let (address, simulator) = (free_address()?, free_address()?);
        let mut site = Self { folder, address, key: String::new(), children: Vec::new() };
        let mut networks = Command::new(programs.join("provider-sim"));
        site.spawn(networks.args(["--listen", &simulator.to_string()]), simulator)?;
        let environment = environment(address, simulator, &site.folder);
        let mut make_key = Command::new(programs.join("tuma"));
        make_key.args(["keys", "create", "--name", "schemathesis", "--scopes", "admin"]);
        let key =
            shell::answer(make_key.env_clear().envs(environment.clone())).context("no key can be made")?;
        key.trim().clone_into(&mut site.key);
        let mut gateway = Command::new(programs.join("tuma"));
        site.spawn(gateway.arg("serve").env_clear().envs(environment), address)?;
        let message = site.send(&programs, &["0712345678"])?;
        let bulk = site.send(&programs, &["0712345678", "+14155550100"])?;
        let words = words(&text(&message, "id")?, &text(&bulk, "bulk_id")?);
        fs::write(site.folder.join("schemathesis.toml"), words)?;
        Ok(site)
    }

    /// Sends a message, so that there is something to ask for; gives the answer.
    fn send(&self, programs: &Path, receivers: &[&str]) -> Result<Value> {
        let mut send = Command::new(programs.join("tuma"));
        send.args(["send", "--message", "Habari", "--url", &format!("http://{}", self.address)]);
        send.args(receivers.iter().flat_map(|receiver| ["--to", receiver]));
        let answer = shell::answer(send.env("TUMA_API_KEY", &self.key)).context("a message was not taken")?;
        serde_json::from_str(&answer).context("the answer is not JSON")
    }

    /// Starts a program, and waits until it listens.
    #[expect(clippy::disallowed_methods, reason = "a chore waits for another program, and no test fakes it")]
    fn spawn(&mut self, command: &mut Command, address: SocketAddr) -> Result<()> {
        let name = PathBuf::from(command.get_program());
        let name = name.file_name().context("a program without a name")?.to_owned();
        let log = File::create(self.folder.join(&name).with_extension("log"))?;
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.children.push(command.spawn().with_context(|| format!("{} can't be started", name.display()))?);
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > START {
                bail!("{} does not listen; its log is {}", name.display(), self.keep_log()?.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The gateway's log, in a place where it stays.
    fn keep_log(&self) -> Result<PathBuf> {
        let kept = shell::target().join("schemathesis.log");
        fs::copy(self.folder.join("tuma.log"), &kept).context("there is no log")?;
        Ok(kept)
    }
}

/// Both providers at the simulator, with the credentials that it knows (`crates/testkit/src/sim/config.rs`).
fn environment(address: SocketAddr, simulator: SocketAddr, folder: &Path) -> Vec<(&'static str, String)> {
    let simulator = format!("http://{simulator}");
    vec![
        ("RUST_LOG", "warn".into()),
        ("TUMA_LISTEN", address.to_string()),
        ("TUMA_DATABASE_URL", format!("sqlite:{}", folder.join("tuma.db").display())),
        ("TUMA_PUBLIC_URL", format!("http://{address}")),
        ("TWILIO_API_BASE_URL", simulator.clone()),
        ("TWILIO_ACCOUNT_SID", concat!("AC", "fa4efa4efa4efa4efa4efa4efa4efa4e").into()),
        ("TWILIO_AUTH_TOKEN", concat!("7e57", "7e577e577e577e577e577e577e57").into()),
        ("TWILIO_PHONE_NUMBER", "+15005550006".into()),
        ("SMS_AT_API_BASE_URL", simulator),
        ("SMS_AT_USERNAME", "sandbox".into()),
        ("SMS_AT_API_KEY", concat!("atsk_", "simulated_key_of_the_sandbox").into()),
        ("SMS_AT_CALLBACK_SECRET", CALLBACK_SECRET.into()),
    ]
}

fn text(answer: &Value, field: &str) -> Result<String> {
    Ok(answer
        .get(field)
        .and_then(Value::as_str)
        .with_context(|| format!("no {field} in an answer"))?
        .to_owned())
}

/// What is asked for among all that is made up, so that more than refusals is seen: what there is in the path, and words
/// that mean something in bodies and queries.
fn words(message: &str, bulk: &str) -> String {
    format!(
        r#"[dictionaries.messages]
values = ["{message}"]
[dictionaries.bulks]
values = ["{bulk}"]
[dictionaries.names]
values = ["africastalking", "twilio", "dispatch.twilio", "sweep", "reconcile"]
[dictionaries.providers]
values = ["africastalking", "twilio"]
[dictionaries.kinds]
values = ["status", "incoming", "opt-out"]
[dictionaries.tokens]
values = ["{CALLBACK_SECRET}"]
[dictionaries.words]
values = ["0712345678", "+14155550100", "+256772123456", "otp", "alert", "general", "Habari", "SAFESHOP",
  "queued", "sent", "twilio", "2099-01-01T00:00:00Z", "2026-01-01T00:00:00+03:00", "{message}"]
[parameters]
"path.id" = {{ dictionary = "messages", probability = 0.5 }}
"path.bulk_id" = {{ dictionary = "bulks", probability = 0.5 }}
"path.name" = {{ dictionary = "names", probability = 0.5 }}
"path.provider" = {{ dictionary = "providers", probability = 0.7 }}
"path.kind" = {{ dictionary = "kinds", probability = 0.7 }}
"path.token" = {{ dictionary = "tokens", probability = 0.5 }}
[generation.dictionaries]
string = {{ dictionary = "words", probability = 0.3 }}
"#
    )
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
