//! `tuma keys`.

mod rotate_data;

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::ids::KeyId;
use domain::secret::ExposeSecret as _;
use domain::time::Clock as _;
use store::{MasterKeys, Store};

use super::{print, say};
use crate::config::Config;
use crate::keys::{self, Scope};
use gateway::SystemClock;

/// Make, list and end API keys.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key. It is printed once, alone, on standard output; only a hash is kept.
    Create {
        /// What you call the caller.
        #[arg(long)]
        name: String,
        /// What it may do, separated by commas: sms:send, sms:read, admin.
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<Scope>,
        /// Days after which the key ends by itself.
        #[arg(long)]
        expires_in_days: Option<u32>,
    },
    /// List all keys.
    List,
    /// Print a new key for `TUMA_DATA_KEY`, which opens what is sealed. Nothing keeps it.
    GenerateDataKey,
    /// Seal all numbers and texts under a new data key. A gateway may serve meanwhile; whoever is stopped goes on where
    /// it was with the same command.
    RotateData,
    /// End a key.
    Revoke {
        /// Its id, as `list` shows it.
        id: KeyId,
    },
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
        match self {
            Self::Create { name, scopes, expires_in_days } => {
                let lifetime = expires_in_days.map(|days| Duration::from_secs(u64::from(days) * 86_400));
                let (secret, key) = keys::create(&name, &scopes, lifetime, now);
                let id = key.id;
                store.create_key(key).await?;
                say(format_args!("{id}: the key is shown this once; send it as Authorization: Bearer …"));
                print(secret.expose_secret());
            }
            Self::List => {
                for key in store.keys().await? {
                    let state = match (key.revoked_at, key.expires_at) {
                        (Some(at), _) => format!("revoked {at}"),
                        (None, Some(at)) if at <= now => format!("expired {at}"),
                        (None, Some(at)) => format!("expires {at}"),
                        (None, None) => "valid".into(),
                    };
                    print(format_args!("{}\t{}\t{}\t{state}", key.id, key.name, key.scopes.join(",")));
                }
            }
            Self::GenerateDataKey => {}
            Self::RotateData => rotate_data::run(store).await?,
            Self::Revoke { id } => {
                anyhow::ensure!(store.revoke_key(id, now).await?, "there is no key {id}");
                say(format_args!("{id} is revoked; running gateways notice within http.key_cache_ms"));
            }
        }
        Ok(())
    }
}
