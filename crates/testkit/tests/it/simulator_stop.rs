//! A simulator ends when it is told to, and two can live side by side.

use reqwest::StatusCode;
use testkit::sim::{Fault, FaultRule, SimConfig, Simulator, StartError};
use testkit::wait::{LONG, wait_until};
use tokio::net::TcpStream;

use crate::support::{Bench, RECEIVER, get};

#[tokio::test]
async fn stopping_ends_requests_under_way_and_frees_the_port() {
    let bench = Bench::start().await;
    bench.sim.inject(FaultRule::always(Fault::AcceptThenStall { ms: 600_000 })).unwrap();
    let stalled = bench.twilio_message(RECEIVER, "Habari", &[]);
    let address = bench.sim.address();
    let (answer, ()) = tokio::join!(stalled.send(), async {
        wait_until(|| bench.sim.ledger().count() == 1, LONG).await.unwrap();
        bench.sim.stop().await;
    });
    assert!(answer.is_err());
    let again = Simulator::start(SimConfig { listen: address, ..SimConfig::default() }).await.unwrap();
    assert_eq!(again.base_url(), format!("http://{address}"));
}

#[tokio::test]
async fn dropping_stops_too() {
    let simulator = Simulator::start(SimConfig::default()).await.unwrap();
    let address = simulator.address();
    drop(simulator);
    testkit::wait::wait_for(async || TcpStream::connect(address).await.err(), LONG).await.unwrap();
}

#[tokio::test]
async fn two_simulators_know_nothing_of_each_other() {
    let (one, other) = (Bench::start().await, Bench::start().await);
    one.twilio_sent(RECEIVER, "Habari", &[]).await;
    assert_eq!((one.sim.ledger().count(), other.sim.ledger().count()), (1, 0));
}

#[tokio::test]
async fn an_address_that_is_taken_or_a_senseless_fault_does_not_start() {
    let first = Bench::start().await;
    let config = SimConfig { listen: first.sim.address(), ..SimConfig::default() };
    assert!(matches!(Simulator::start(config).await, Err(StartError::Listen(_))));
    let faults = vec![FaultRule::at_rate(7.0, Fault::Unauthorized)];
    let config = SimConfig { faults, ..SimConfig::default() };
    assert!(matches!(Simulator::start(config).await, Err(StartError::Fault(_))));
}

#[tokio::test]
async fn faults_of_the_configuration_strike_from_the_start() {
    let faults = vec![FaultRule::next(1, Fault::Error { status: 502 })];
    let bench = Bench::with(SimConfig { faults, ..SimConfig::default() }).await;
    let got = get(bench.twilio_message(RECEIVER, "Habari", &[])).await;
    assert_eq!(got.status, StatusCode::BAD_GATEWAY);
}
