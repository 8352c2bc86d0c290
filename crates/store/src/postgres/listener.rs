//! Hears what other nodes tell over the database (PostgreSQL, "LISTEN").
//!
//! What is told while the connection is lost is lost too: whoever listens looks from time to time all the same.

use std::time::Duration;

use domain::route::ProviderName;
use postgres::fallible_iterator::FallibleIterator as _;
use tokio::sync::mpsc;

use super::connection::{Address, Connection, error};
use super::sql::{Statements, column, params};
use crate::StoreError;

/// How often it is looked whether anybody still listens.
const TURN: Duration = Duration::from_secs(1);

/// Wake-ups that may wait to be heard. More of them say nothing new.
const WAITING: usize = 64;

const LISTEN: &str = "LISTEN tuma_wakeups";

const TELL: &str = "SELECT pg_notify('tuma_wakeups', w.provider) FROM UNNEST($1::text[]) AS w (provider)";

/// Tells all nodes, once the transaction is committed.
pub(super) fn tell<'a>(
    statements: &mut Statements<'_>,
    providers: impl Iterator<Item = &'a ProviderName>,
) -> Result<(), StoreError> {
    let names: std::collections::BTreeSet<&str> = providers.map(ProviderName::as_str).collect();
    statements.execute(TELL, params![column(names.into_iter())]).map(|_told| ())
}

/// Listens on a thread and a connection of its own, as long as the answer is kept.
pub(super) fn listen(address: Address) -> mpsc::Receiver<ProviderName> {
    let (heard, hearing) = mpsc::channel(WAITING);
    let listening = move || {
        while !heard.is_closed() {
            if let Err(problem) = address.connect().and_then(|connection| hear(connection, &heard)) {
                tracing::warn!(%problem, "other nodes can't be heard: messages they accept are looked for");
                std::thread::park_timeout(TURN);
            }
        }
    };
    // Without it, looking finds everything a little later.
    if let Err(problem) = std::thread::Builder::new().name("store-listener".into()).spawn(listening) {
        tracing::warn!(%problem, "other nodes can't be heard: messages they accept are looked for");
    }
    hearing
}

/// Passes on what is heard, until nobody wants it any more.
fn hear(mut connection: Connection, heard: &mpsc::Sender<ProviderName>) -> Result<(), StoreError> {
    let client = &mut connection.client;
    client.batch_execute(LISTEN).map_err(error)?;
    while !heard.is_closed() {
        let within_a_turn = client.notifications().timeout_iter(TURN).for_each(|notification| {
            if let Ok(provider) = notification.payload().parse() {
                // When many wait already, its turn will come by looking.
                let _ = heard.try_send(provider);
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
