//! `tuma migrate`.

use crate::config::Config;

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let store = store::open(config.database_url.expose(), config.store_options(true, false)).await?;
    store.close().await;
    super::say("the database is up to date");
    Ok(())
}
