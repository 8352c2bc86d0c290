//! `tuma verify`.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::ids::VerificationId;
use domain::secret::Zeroizing;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::{print, say};

/// Send one-time codes through a running gateway, and check them.
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Send a code to a number.
    Start(Start),
    /// Check a code that somebody typed in; fails if it is not the right one.
    Check(Check),
    /// Show where a verification stands.
    Show(Show),
}

#[derive(Debug, Args)]
struct Start {
    /// The number.
    #[arg(value_name = "NUMBER")]
    receiver: String,
    /// The language of the text.
    #[arg(long)]
    locale: Option<String>,
    /// The sender ID to show.
    #[arg(long)]
    sender: Option<String>,
    /// For how many seconds the code is good.
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
    /// How many digits it has.
    #[arg(long, value_name = "DIGITS")]
    length: Option<u64>,
    #[command(flatten)]
    client: Client,
}

#[derive(Debug, Args)]
struct Check {
    /// The verification's id.
    #[arg(value_name = "ID")]
    id: VerificationId,
    /// The code. Others on this machine may see it here: without it, it is asked for, or read from the standard input.
    #[arg(value_name = "CODE")]
    code: Option<String>,
    #[command(flatten)]
    client: Client,
}

#[derive(Debug, Args)]
struct Show {
    /// The verification's id.
    #[arg(value_name = "ID")]
    id: VerificationId,
    #[command(flatten)]
    client: Client,
}

impl Verify {
    /// Prints the gateway's answer; fails if it refused.
    pub(super) async fn run(self, environment: &[(String, String)]) -> anyhow::Result<()> {
        match self.verb {
            Verb::Start(start) => start.run(environment).await,
            Verb::Check(check) => check.run(environment).await,
            Verb::Show(Show { id, client }) => {
                let path = format!("verifications/{id}");
                shown(client.ask(environment, Method::GET, &path, None).await?).map(|_answer| ())
            }
        }
    }
}

impl Start {
    async fn run(self, environment: &[(String, String)]) -> anyhow::Result<()> {
        let mut body = Map::new();
        body.insert("receiver".into(), self.receiver.into());
        for (name, value) in [("locale", self.locale), ("sender", self.sender)] {
            body.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        for (name, value) in [("ttl", self.ttl), ("length", self.length)] {
            body.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        let body = Value::from(body);
        let asked = self.client.ask(environment, Method::POST, "verifications", Some(&body)).await?;
        shown(asked).map(|_answer| ())
    }
}

impl Check {
    async fn run(self, environment: &[(String, String)]) -> anyhow::Result<()> {
        let code = match self.code {
            Some(code) => Zeroizing::new(code),
            None => typed()?,
        };
        let path = format!("verifications/{}/check", self.id);
        let body = json!({"code": code.trim()});
        let answer = shown(self.client.ask(environment, Method::POST, &path, Some(&body)).await?)?;
        anyhow::ensure!(answer["valid"] == true, "this is not the code, or not any more");
        Ok(())
    }
}

/// A line of the standard input.
fn typed() -> anyhow::Result<Zeroizing<String>> {
    let input = std::io::stdin();
    if input.is_terminal() {
        say("The code:");
    }
    let mut line = Zeroizing::new(String::new());
    input.lock().read_line(&mut line).context("the code can't be read")?;
    anyhow::ensure!(!line.trim().is_empty(), "no code was given");
    Ok(line)
}

/// Prints an answer; an error if it is a refusal.
fn shown((is_granted, answer): (bool, Value)) -> anyhow::Result<Value> {
    print(serde_json::to_string_pretty(&answer)?);
    anyhow::ensure!(is_granted, "refused");
    Ok(answer)
}
