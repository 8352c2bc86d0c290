//! The `tuma` program.

use clap::Parser as _;
use server::cli::{self, Arguments};

/// Many small allocations on many threads: faster than the system's allocator, and flat over time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    cli::run(Arguments::parse()).await
}
