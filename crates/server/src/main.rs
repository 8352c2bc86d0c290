//! The `tuma` program.

use clap::Parser as _;
use server::cli::{self, Arguments};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    cli::run(Arguments::parse()).await
}
