//! Whoever stops it gives it the time that it takes.

use super::files::{Files, Findings, text};
use super::settings::load;

/// Seconds for what comes after the soft stop: writing down what waits, closing the store, pushing the last figures.
const AFTER_S: u64 = 10;

pub(super) fn check(files: &Files, findings: &mut Findings) {
    let Ok(config) = load(&[]) else { return };
    let needed = config.dispatch.soft_stop_s + AFTER_S;
    let mut enough = |given: Option<u64>, place: &str| {
        let what = format!("{place}: {given:?} seconds to stop are not {needed}");
        findings.unless(given.is_some_and(|given| given >= needed), what);
    };
    let unit = files.variables("systemd/tuma.service");
    let timeout = unit.iter().find(|(name, _)| name == "TimeoutStopSec");
    enough(timeout.and_then(|(_, seconds)| seconds.parse().ok()), "tuma.service");

    let compose = files.yaml("compose/compose.yaml");
    for node in ["node-1", "node-2", "node-3"] {
        let grace = text(&compose["services"][node]["stop_grace_period"]).strip_suffix('s');
        enough(grace.and_then(|seconds| seconds.parse().ok()), &format!("compose.yaml: {node}"));
    }

    let deployment = files.yaml("kubernetes/base/gateway/deployment.yaml");
    let pod = &deployment["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_u64();
    let before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
    enough(grace.map(|grace| grace.saturating_sub(before.unwrap_or(0))), "deployment.yaml");

    let stages = files.stages("docker/Dockerfile");
    let told = stages.last().is_some_and(|image| image.all("STOPSIGNAL").any(|it| it == "SIGTERM"));
    findings.unless(told, "docker/Dockerfile: it is not stopped by SIGTERM");
    let told = files.text("systemd/tuma.service").lines().any(|line| line == "KillSignal=SIGTERM");
    findings.unless(told, "tuma.service: it is not stopped by SIGTERM");
}
