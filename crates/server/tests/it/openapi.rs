//! The description of the API for machines.

use std::collections::BTreeSet;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::Value;

use crate::app::TestApp;

const API: &str = include_str!("../../../../docs/api.md");

/// Where the description stands for readers of the repository.
fn committed() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

fn description() -> Value {
    serde_json::to_value(server::http::openapi()).unwrap()
}

/// Methods and paths that are described.
fn operations(description: &Value) -> BTreeSet<(String, String)> {
    let paths = description["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    operations.collect()
}

#[test]
fn the_committed_description_is_that_of_the_handlers() {
    let now = format!("{}\n", server::http::openapi().to_pretty_json().unwrap());
    #[expect(
        clippy::disallowed_methods,
        reason = "the switch of insta, for the one snapshot that is no .snap"
    )]
    let bless = std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always");
    if bless {
        std::fs::write(committed(), &now).unwrap();
    }
    let committed = std::fs::read_to_string(committed()).unwrap_or_default();
    assert!(now == committed, "docs/openapi.json differs: run cargo xtask bless and read the diff");
}

#[tokio::test]
async fn the_description_is_served_as_it_is_committed() {
    let app = TestApp::start().await;
    let answer = app.anonymous(Method::GET, "/openapi.json").send().await;
    assert_eq!((answer.status, answer.json()), (200, description()));
}

#[tokio::test]
async fn every_operation_that_is_described_is_there() {
    let app = TestApp::start().await;
    for (method, path) in operations(&description()) {
        let path = path.replace("{id}", "1").replace(['{', '}'], "");
        let answer = app.anonymous(method.parse().unwrap(), &path).send().await;
        let absent = answer.status == 405 || answer.text.contains("no such address");
        assert!(!absent, "{method} {path}: {} {}", answer.status, answer.text);
    }
}

#[test]
fn every_route_of_the_documentation_is_described_and_no_other_is() {
    // The rows of the table at the top: `POST /sms`, or several paths after one method.
    let rows = API.lines().filter(|line| line.starts_with("| [`") || line.starts_with("| `GET /"));
    let mut documented = BTreeSet::new();
    for row in rows {
        let route = row.split('|').nth(1).unwrap();
        let method = ["POST", "PUT", "PATCH", "DELETE"]
            .into_iter()
            .find(|method| route.contains(method))
            .unwrap_or("GET");
        for quoted in route.split('`').skip(1).step_by(2) {
            let paths = quoted.split([' ', ',']).filter(|word| word.starts_with('/'));
            documented.extend(paths.map(|path| (method.to_owned(), path.to_owned())));
        }
    }
    documented.retain(|(_, path)| !path.starts_with("/openapi") && !path.starts_with("/docs"));
    documented.insert(("POST".into(), "/webhooks/{provider}/{kind}/{token}".into()));
    assert_eq!(operations(&description()), documented);
}

#[test]
fn every_answer_that_is_an_error_is_described_as_a_problem() {
    let description = description();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let is_problem = response["content"]["application/problem+json"].is_object();
                assert_eq!(is_problem, status.starts_with(['4', '5']), "{method} {path} {status}");
            }
        }
    }
}
