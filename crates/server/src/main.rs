//! The `tuma` program.

use clap::Parser as _;
use server::cli::{self, Arguments};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    #[cfg(feature = "fault-points")]
    let _armed = gateway::fault::arm();
    // Large by what some verbs hold while they wait.
    Box::pin(cli::run(Arguments::parse())).await
}
