//! The `tuma` program.

use clap::Parser as _;
use server::cli::{self, Arguments};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    #[cfg(feature = "fault-points")]
    let _armed = gateway::fault::arm();
    cli::run(Arguments::parse()).await
}
