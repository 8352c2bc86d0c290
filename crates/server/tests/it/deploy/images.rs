//! What is run is what was looked at: every image by its digest, and ours by its version.

use serde_json::Value;

use super::files::{Files, Findings, text, values_of};

const DOCKERFILES: &[&str] = &["docker/Dockerfile", "compose/nats.Dockerfile"];

pub(super) fn check(files: &Files, findings: &mut Findings) {
    for path in DOCKERFILES {
        let stages = files.stages(path);
        for (at, stage) in stages.iter().enumerate() {
            let before: Vec<&str> = stages[..at].iter().map(|stage| stage.name.as_str()).collect();
            let known = before.contains(&stage.image.as_str()) || is_pinned(&stage.image);
            findings.unless(known, format_args!("{path}: {} is not pinned by tag and digest", stage.image));
            for copied in stage.all("COPY").filter_map(|rest| rest.strip_prefix("--from=")) {
                let from = copied.split(' ').next().unwrap_or_default();
                findings.unless(before.contains(&from), format_args!("{path}: {from} is no stage before"));
            }
        }
    }
    check_toolchain(files, findings);
    let compose = files.yaml("compose/compose.yaml");
    for (name, service) in compose["services"].as_object().into_iter().flatten() {
        let image = text(&service["image"]);
        let known = if service["build"].is_null() { is_pinned(image) } else { is_tagged(image) };
        findings.unless(known, format_args!("compose.yaml: {name}: {image} is not pinned"));
    }
    check_version(files, &compose, findings);
}

/// The image's toolchain is the one that is named, and new enough for the workspace.
fn check_toolchain(files: &Files, findings: &mut Findings) {
    let stages = files.stages("docker/Dockerfile");
    let named = stages[0].environment().into_iter().find(|(name, _)| name == "RUSTUP_TOOLCHAIN");
    let named = named.map(|(_, version)| version).unwrap_or_default();
    let fits = stages[0].image.starts_with(&format!("rust:{named}-"))
        && named.starts_with(&format!("{}.", env!("CARGO_PKG_RUST_VERSION")));
    findings.unless(fits, format_args!("docker/Dockerfile: the image has not the toolchain {named}"));
}

/// Ours has the version of the workspace wherever it is named.
fn check_version(files: &Files, compose: &Value, findings: &mut Findings) {
    let version = env!("CARGO_PKG_VERSION");
    let ours = format!("tuma:{version}");
    for node in ["node-1", "node-2", "node-3"] {
        let image = text(&compose["services"][node]["image"]);
        findings.unless(image == ours, format_args!("compose.yaml: {node} is not {ours}"));
    }
    for (path, document) in files.all_yaml("kubernetes/") {
        for image in values_of(&document, "image") {
            findings.unless(text(image) == ours, format_args!("{path}: {image} is not {ours}"));
        }
        for tag in values_of(&document, "newTag") {
            findings.unless(text(tag) == version, format_args!("{path}: {tag} is not {version}"));
        }
    }
}

/// `name:tag@sha256:` and 64 digits.
fn is_pinned(image: &str) -> bool {
    image.split_once("@sha256:").is_some_and(|(name, digest)| {
        is_tagged(name) && digest.len() == 64 && digest.chars().all(|it| it.is_ascii_hexdigit())
    })
}

/// `name:tag`, and the tag is not one that goes on to something else without a word.
fn is_tagged(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split_once(':').is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest")
}
