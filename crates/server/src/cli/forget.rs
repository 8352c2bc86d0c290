//! `tuma forget`: erases what is known of a person.

use anyhow::Context as _;
use clap::Args;
use domain::audit::{Act, Actor};
use domain::phone::Msisdn;
use domain::secret::{ExposeSecret as _, SecretString};
use domain::time::Clock as _;
use gateway::SystemClock;

use super::{print, say};
use crate::config::Config;

/// Erase all messages to a number that have ended, with all that happened to them. The audit trail stays: it has a keyed
/// hash of the number, and no text.
#[derive(Debug, Args)]
pub(super) struct Forget {
    /// The number, such as +254712345678. `-` reads it from standard input: everybody on this machine can read command
    /// lines.
    number: SecretString,
}

impl Forget {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let number = match self.number.expose_secret() {
            "-" => SecretString::from(std::io::read_to_string(std::io::stdin())?),
            _ => self.number,
        };
        let receiver = Msisdn::parse(number.expose_secret().trim(), config.messages.default_region)
            .map_err(|problem| anyhow::anyhow!("the number {problem}"))?;
        let store = store::open(config.database_url.expose(), config.store_options(false, false))
            .await
            .context("the store can't be opened")?;
        let forgotten =
            store.forget_receiver(receiver, Act { by: Actor::Operator, at: SystemClock::new().now() }).await;
        store.close().await;
        let forgotten = forgotten?;
        say(format_args!(
            "{} messages are gone, and {} from the phone",
            forgotten.messages, forgotten.inbound
        ));
        for id in &forgotten.waiting {
            print(id);
        }
        anyhow::ensure!(
            forgotten.waiting.is_empty(),
            "these messages wait or are under way: cancel them (tuma queue cancel), or wait, and run this again"
        );
        Ok(())
    }
}
