//! `tuma migrate`.

use domain::audit::{Actor, Event, NewEntry};
use domain::time::Clock as _;
use gateway::SystemClock;

use crate::config::Config;

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let store = store::open(config.database_url.expose(), config.store_options(true, false)).await?;
    let now = SystemClock::new().now();
    let noted = store.note(vec![NewEntry::new(now, Actor::Operator, Event::SchemaMigrated)]).await;
    store.close().await;
    noted?;
    super::say("the database is up to date");
    Ok(())
}
