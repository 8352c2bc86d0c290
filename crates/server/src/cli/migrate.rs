//! `tuma migrate`.

use domain::audit::{Actor, Event, NewEntry};
use domain::time::Clock as _;
use gateway::SystemClock;

use crate::config::Config;
use crate::database::{self, Access};

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let store = database::open(config, Access::Migrating).await?;
    let now = SystemClock::new().now();
    let noted = store.note(vec![NewEntry::new(now, Actor::Operator, Event::SchemaMigrated)]).await;
    store.close().await;
    noted?;
    super::say("the database is up to date");
    Ok(())
}
