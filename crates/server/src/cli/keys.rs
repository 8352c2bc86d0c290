//! `tuma keys`.

mod rotate_data;

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::audit::{Act, Actor};
use domain::ids::KeyId;
use domain::phone::{Country, SenderId};
use domain::scenario::Scenario;
use domain::secret::ExposeSecret as _;
use domain::time::{Clock as _, Timestamp};
use store::port::keys::{ApiKey, Rotation};
use store::{MasterKeys, Store};

use super::{print, say};
use crate::config::Config;
use crate::keys::{self, LONGEST_OVERLAP, Scope};
use gateway::SystemClock;

/// Make, list, rotate and end API keys.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key. It is printed once, alone, on standard output; only a hash is kept.
    Create(Create),
    /// List all keys.
    List,
    /// Print a new key for `TUMA_DATA_KEY`, which opens what is sealed. Nothing keeps it.
    GenerateDataKey,
    /// Seal all numbers and texts under a new data key. A gateway may serve meanwhile; stopped, it can be run again,
    /// and begins anew with another key.
    RotateData,
    /// Give a key another secret, which is printed once, alone, on standard output. Those of before are taken for a while.
    Rotate {
        /// Its id, as `list` shows it.
        id: KeyId,
        /// Days for which the secrets of before are still taken, up to 90; 0 ends them at once.
        #[arg(long, default_value_t = 7)]
        overlap_days: u32,
    },
    /// End a key.
    Revoke {
        /// Its id, as `list` shows it.
        id: KeyId,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// What you call the caller.
    #[arg(long)]
    name: String,
    /// What it may do, separated by commas: sms:send, sms:read, verify, prompts, consent, templates, webhooks, admin.
    #[arg(long, value_delimiter = ',', required = true)]
    scopes: Vec<Scope>,
    /// Scenarios that it may send for, separated by commas [default: all].
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// Countries that it may send to, by their ISO 3166-1 codes, separated by commas [default: all].
    #[arg(long, value_delimiter = ',', value_parser = country)]
    countries: Vec<Country>,
    /// Senders that it may show, separated by commas [default: all, and the account's own].
    #[arg(long, value_delimiter = ',')]
    senders: Vec<SenderId>,
    /// Days after which the key ends by itself.
    #[arg(long)]
    expires_in_days: Option<u32>,
}

fn country(text: &str) -> Result<Country, &'static str> {
    let known = text.parse().ok().filter(|country: &Country| country.calling_code().is_some());
    known.ok_or("is no country with phone numbers; write its ISO 3166-1 code, such as KE")
}

impl Keys {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        if let Verb::GenerateDataKey = self.verb {
            say(
                "the key is shown this once: set TUMA_DATA_KEY to it, and keep a copy apart from the database",
            );
            print(&*MasterKeys::generate().1);
            return Ok(());
        }
        let store = store::open(config.database_url.expose(), config.store_options(true, false))
            .await
            .context("the store can't be opened")?;
        let done = self.verb.run(&*store).await;
        store.close().await;
        done
    }
}

impl Verb {
    async fn run(self, store: &dyn Store) -> anyhow::Result<()> {
        let now = SystemClock::new().now();
        let act = Act { by: Actor::Operator, at: now };
        match self {
            Self::Create(create) => create.run(store, act).await?,
            Self::List => store.keys().await?.iter().for_each(|key| print(row(key, now))),
            Self::Rotate { id, overlap_days } => {
                let overlap = days(overlap_days);
                anyhow::ensure!(overlap <= LONGEST_OVERLAP, "--overlap-days may be 90 at most");
                let (secret, hash) = keys::secret();
                let rotation = Rotation { id, hash, others_end_at: now.plus(overlap), by: act.by, now };
                anyhow::ensure!(store.rotate_key(rotation).await?, "there is no key {id}, or it has ended");
                say(format_args!(
                    "{id}: the new key is shown this once; those of before are taken until {}",
                    now.plus(overlap)
                ));
                print(secret.expose_secret());
            }
            Self::GenerateDataKey => {}
            Self::RotateData => rotate_data::run(store).await?,
            Self::Revoke { id } => {
                anyhow::ensure!(store.revoke_key(id, act).await?, "there is no key {id}");
                say(format_args!("{id} is revoked; running gateways notice within a second"));
            }
        }
        Ok(())
    }
}

impl Create {
    async fn run(self, store: &dyn Store, act: Act) -> anyhow::Result<()> {
        let (secret, kept) = keys::create(&self.name, &self.scopes, self.expires_in_days.map(days), act.at);
        let key = ApiKey { only: keys::only(&self.scenarios, &self.countries, &self.senders), ..kept };
        let id = key.id;
        store.create_key(key, act).await?;
        say(format_args!("{id}: the key is shown this once; send it as Authorization: Bearer …"));
        print(secret.expose_secret());
        Ok(())
    }
}

fn days(count: u32) -> Duration {
    Duration::from_hours(u64::from(count) * 24)
}

/// One line for people and programs, its parts separated by tabs.
fn row(key: &ApiKey, now: Timestamp) -> String {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) if at <= now => format!("expired {at}"),
        (None, Some(at)) => format!("expires {at}"),
        (None, None) => "valid".into(),
    };
    let used = key.last_used_at.map_or_else(|| "never used".into(), |at| format!("used {at}"));
    let only = &key.only;
    let lists = [("scenarios", &only.scenarios), ("countries", &only.countries), ("senders", &only.senders)];
    let held = lists.iter().filter(|(_, list)| !list.is_empty());
    let held: Vec<_> = held.map(|(what, list)| format!("{what} {}", list.join(","))).collect();
    let held = if held.is_empty() { "held to nothing".into() } else { held.join("; ") };
    let former = key.former_secret_ends_at.filter(|end| *end > now);
    let former = former.map_or_else(String::new, |end| format!("\tformer secret ends {end}"));
    format!("{}\t{}\t{}\t{state}\t{used}\t{held}{former}", key.id, key.name, key.scopes.join(","))
}
