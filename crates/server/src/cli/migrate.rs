//! `tuma migrate`.

use store::Options;

use crate::config::Config;

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let store =
        store::open(config.database_url.expose(), Options { migrate: true, exclusive: false }).await?;
    store.close().await;
    super::say("the database is up to date");
    Ok(())
}
