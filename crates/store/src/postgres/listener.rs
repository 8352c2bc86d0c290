//! Hears what other nodes tell over the database (PostgreSQL, "LISTEN").
//!
//! What is told while the connection is lost is lost too: whoever listens looks from time to time all the same.

use std::str::FromStr;
use std::time::Duration;

use domain::ids::KeyId;
use domain::route::ProviderName;
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator as _;
use tokio::sync::mpsc;

use super::connection::Address;
use super::errors::error;
use super::sql::{Statements, column, params};
use crate::StoreError;

/// How often it is looked whether anybody still listens.
const TURN: Duration = Duration::from_secs(1);

/// What may wait to be heard. More of it says nothing new, or is found out by looking.
const WAITING: usize = 64;

/// Something that nodes tell each other.
pub(super) struct Channel {
    listen: &'static str,
    /// What it means that nobody can be heard.
    unheard: &'static str,
}

/// Messages wait for a provider.
pub(super) const WAKEUPS: Channel = Channel {
    listen: "LISTEN tuma_wakeups",
    unheard: "other nodes can't be heard: messages they accept are looked for",
};

/// A key was rotated or revoked.
pub(super) const KEYS: Channel = Channel {
    listen: "LISTEN tuma_keys",
    unheard: "other nodes can't be heard: keys they revoke are taken until they are looked up again",
};

const TELL: &str = "SELECT pg_notify('tuma_wakeups', w.provider) FROM UNNEST($1::text[]) AS w (provider)";

/// Tells all nodes, once the transaction is committed.
pub(super) fn tell<'a>(
    statements: &mut Statements<'_>,
    providers: impl Iterator<Item = &'a ProviderName>,
) -> Result<(), StoreError> {
    let names: std::collections::BTreeSet<&str> = providers.map(ProviderName::as_str).collect();
    statements.execute(TELL, params![column(names.into_iter())]).map(|_told| ())
}

const TELL_OF_KEY: &str = "SELECT pg_notify('tuma_keys', ?1)";

/// The same for a key that has changed.
pub(super) fn tell_of_key(statements: &mut Statements<'_>, key: KeyId) -> Result<(), StoreError> {
    statements.execute(TELL_OF_KEY, params![key.to_string()]).map(|_told| ())
}

/// Listens on a thread and a connection of its own, as long as the answer is kept.
pub(super) fn listen<T: FromStr + Send + 'static>(
    address: Address,
    channel: &'static Channel,
) -> mpsc::Receiver<T> {
    let (heard, hearing) = mpsc::channel(WAITING);
    let listening = move || {
        while !heard.is_closed() {
            if let Err(problem) = address.client().and_then(|client| hear(client, channel, &heard)) {
                tracing::warn!(%problem, "{}", channel.unheard);
                std::thread::park_timeout(TURN);
            }
        }
    };
    // Without it, looking finds everything a little later.
    if let Err(problem) = std::thread::Builder::new().name("store-listener".into()).spawn(listening) {
        tracing::warn!(%problem, "{}", channel.unheard);
    }
    hearing
}

/// Passes on what is heard, until nobody wants it any more.
fn hear<T: FromStr>(
    mut client: Client,
    channel: &Channel,
    heard: &mpsc::Sender<T>,
) -> Result<(), StoreError> {
    client.batch_execute(channel.listen).map_err(error)?;
    while !heard.is_closed() {
        let within_a_turn = client.notifications().timeout_iter(TURN).for_each(|notification| {
            if let Ok(told) = notification.payload().parse() {
                // When many wait already, its turn will come by looking.
                let _ = heard.try_send(told);
            }
            Ok(())
        });
        within_a_turn.map_err(error)?;
        if client.is_closed() {
            return Err(StoreError::Unavailable("the connection was closed".into()));
        }
    }
    Ok(())
}
