//! `tuma health`.

use testkit::sim::{SimConfig, Simulator};

use crate::program::{Finished, Site};

/// Runs `tuma health` in a folder where nothing is set.
async fn health(address: impl std::fmt::Display) -> Finished {
    Site::bare().run(&["health", "--url", &format!("http://{address}")]).await
}

#[tokio::test]
async fn a_gateway_that_is_ready_is_healthy() {
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let served = Site::new(sim.base_url()).serve().await;
    let asked = health(served.address).await;
    assert_eq!((asked.code, asked.stdout.as_str()), (Some(0), "ready\n"), "{}", asked.stderr);
}

#[tokio::test]
async fn what_answers_and_is_not_ready_is_not_healthy() {
    // The simulated networks answer, and have no such page.
    let sim = Simulator::start(SimConfig::default()).await.unwrap();
    let asked = health(sim.base_url().trim_start_matches("http://")).await;
    assert_eq!(asked.code, Some(1));
    assert!(asked.stderr.contains("not ready: 404"), "{}", asked.stderr);
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_not_healthy() {
    let (_reserved, address) = crate::app::refusing_address();
    let asked = health(address).await;
    assert_eq!(asked.code, Some(1));
    assert!(asked.stderr.contains("the gateway can't be reached"), "{}", asked.stderr);
}
