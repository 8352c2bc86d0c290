//! `tuma demo`.

use clap::Args;

/// Run the gateway against simulated networks, with nothing configured.
#[derive(Debug, Args)]
pub(super) struct Demo {}

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        Ok(())
    }
}
