//! Which crate may build on which: domain <- store, providers <- gateway <- server; testkit sits beside gateway.
//!
//! Cargo refuses circles but not shortcuts. Dev-dependencies are free: tests may stand anywhere.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use crate::shell;

const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("store", &["domain"]),
    ("providers", &["domain"]),
    ("testkit", &["domain", "store"]),
    ("gateway", &["domain", "store", "providers"]),
    ("server", &["domain", "store", "providers", "gateway", "testkit"]),
    ("xtask", &[]),
];

/// Asks cargo rather than reading the manifests: it knows inheritance, targets and renames.
pub(super) fn check() -> Result<Vec<Finding>> {
    let args = ["--format-version", "1", "--no-deps", "--offline"];
    let answer = shell::answer(shell::cargo("metadata").args(args))
        .context("`cargo metadata` failed: is each Cargo.toml in order?")?;
    let metadata: Value = serde_json::from_str(&answer).context("`cargo metadata` did not answer in JSON")?;
    Ok(broken(&metadata).iter().map(finding).collect())
}

struct Edge {
    from: String,
    to: String,
    manifest: String,
}

/// The edges between our own crates that `MAY_USE` does not list.
fn broken(metadata: &Value) -> Vec<Edge> {
    let mut edges = Vec::new();
    for package in array(metadata, "packages") {
        let from = text(package, "name");
        let allowed = MAY_USE.iter().find(|(name, _)| *name == from).map(|(_, allowed)| *allowed);
        let ours = array(package, "dependencies").filter(|it| it.get("path").is_some_and(Value::is_string));
        for dependency in ours.filter(|it| text(it, "kind") != "dev") {
            let to = text(dependency, "name");
            if !allowed.is_some_and(|allowed| allowed.contains(&to)) {
                let manifest = text(package, "manifest_path").to_owned();
                edges.push(Edge { from: from.to_owned(), to: to.to_owned(), manifest });
            }
        }
    }
    edges
}

fn finding(edge: &Edge) -> Finding {
    let Edge { from, to, manifest } = edge;
    let lines = fs::read_to_string(manifest).unwrap_or_default();
    let line = lines.lines().position(|line| line.starts_with(to.as_str())).map_or(1, |at| at + 1);
    let root = shell::root();
    let path = Path::new(manifest).strip_prefix(&root).unwrap_or(Path::new(manifest));
    let message =
        format!("`{from}` may not depend on `{to}` (the permitted edges are in xtask/src/tidy/edges.rs)");
    Finding::new(&path.to_string_lossy(), line, message)
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn broken_edges(from: &str, dependencies: &Value) -> Vec<String> {
        let package = json!({"name": from, "manifest_path": "x", "dependencies": dependencies});
        broken(&json!({"packages": [package]})).into_iter().map(|edge| edge.to).collect()
    }

    #[test]
    fn an_edge_outside_the_table_is_broken() {
        let found = broken_edges(
            "store",
            &json!([{"name": "domain", "path": "y"}, {"name": "providers", "path": "y"}]),
        );
        assert_eq!(found, ["providers"]);
    }

    #[test]
    fn dev_dependencies_and_crates_of_others_are_free() {
        let free =
            json!([{"name": "gateway", "path": "y", "kind": "dev"}, {"name": "gateway", "path": null}]);
        assert!(broken_edges("store", &free).is_empty());
    }

    #[test]
    fn a_build_dependency_is_an_edge_and_an_unlisted_crate_has_none() {
        let domain = json!([{"name": "domain", "path": "y", "kind": "build"}]);
        assert_eq!(broken_edges("newcomer", &domain), ["domain"]);
    }
}
