//! The adapter's requests against Twilio's own description of its API.
//!
//! Prism plays Twilio from Twilio's `OpenAPI` document and refuses what does not fit it. Its answers are the
//! examples of the document, so this is also a check that those can be read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use domain::attempt::OutcomeKind;
use domain::secret::Body;
use providers::provider::SubmissionQuery;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::fixture::{AMINA, NOW, msisdn, over, submission, twilio};

/// Twilio's document, reduced to what the adapter uses (twilio/twilio-oai, Apache-2.0).
const DOCUMENT: &str = include_str!("../vectors/twilio_messages_openapi.json");
/// The account of the document's examples.
const EXAMPLE_ACCOUNT: &str = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The document with its own slips mended, in a file. Its examples of lists have relative addresses where its
/// schema says `uri`, which Prism refuses to answer; and the first example has a next page, which would be the
/// same example again. What is asked of requests stays as it is.
fn mended_document() -> PathBuf {
    let mut document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let path = "/paths/~12010-04-01~1Accounts~1{AccountSid}~1Messages.json/get/responses/200/content";
    let list = document.pointer_mut(path).unwrap().get_mut("application/json").unwrap();
    for name in ["uri", "first_page_uri", "next_page_uri", "previous_page_uri"] {
        let property = list.pointer_mut(&format!("/schema/properties/{name}")).unwrap();
        assert!(property.as_object_mut().unwrap().remove("format").is_some(), "{name}");
    }
    assert!(list["examples"].as_object_mut().unwrap().remove("readFullPage1").is_some());
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("twilio_messages_openapi.json");
    fs::write(&file, document.to_string()).unwrap();
    file
}

/// Prism, listening. Stopped when it is dropped.
struct Prism {
    base: String,
    _process: Child,
}

impl Prism {
    async fn start() -> Self {
        let program = std::env::var_os("PRISM_CLI").filter(|program| Path::new(program).exists());
        let mut process = Command::new("node")
            .arg(program.expect("run `cargo xtask test`, which installs Prism"))
            .args(["mock", "--port", "0", "--errors"])
            .arg(mended_document())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        loop {
            let line = lines.next_line().await.unwrap().expect("Prism ended before it listened");
            if let Some((_, base)) = line.split_once("Prism is listening on ") {
                let base = base.trim().to_owned();
                // Read on, so that Prism never waits for somebody to read what it logs.
                drain(lines.into_inner());
                return Self { base, _process: process };
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "ends with the process that it reads from")]
fn drain(mut output: impl tokio::io::AsyncRead + Unpin + Send + 'static) {
    tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
}

/// The status of the answer to a request that the adapter would not make.
async fn status_of(base: &str, credential: &str, body: &str) -> u16 {
    let host = base.strip_prefix("http://").unwrap();
    let request = format!(
        "POST /2010-04-01/Accounts/{EXAMPLE_ACCOUNT}/Messages.json HTTP/1.1\r\nhost: {host}\r\n{credential}\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn every_request_fits(base: &str, credentials: Value) {
    let account = json!({"account_sid": EXAMPLE_ACCOUNT});
    let twilio = twilio(base, Value::Object(over(account, credentials)));

    let outcome = twilio.send_sms(&submission(AMINA, "Habari & karibu 😀")).await;
    assert_eq!(outcome.kind(), OutcomeKind::Accepted, "create: {outcome:?}");

    let query = SubmissionQuery {
        receiver: msisdn(AMINA),
        body: Body::new("not among the examples"),
        started_at: NOW,
        known: Vec::new(),
    };
    assert_eq!(twilio.find_submission(&query).await, Ok(None), "list");

    assert_eq!(twilio.balance().await.unwrap().currency(), "USD", "balance");

    let line = twilio.check_credentials().await;
    assert!(line.as_deref().is_ok_and(|line| line.contains("active")), "account: {line:?}");
}

#[tokio::test]
async fn requests_fit_twilios_document_in_both_authentication_modes() {
    let prism = Prism::start().await;
    every_request_fits(&prism.base, json!({})).await;
    let api_key = json!({"api_key_sid": "SK0123456789abcdef0123456789abcdef", "api_key_secret": "s3cret"});
    every_request_fits(&prism.base, api_key).await;
    let all_fields = json!({"validity_period_s": 600, "smart_encoded": true});
    every_request_fits(&prism.base, all_fields).await;
    let service = json!({"messaging_service_sid": "MG0123456789abcdef0123456789abcdef"});
    every_request_fits(&prism.base, service).await;

    // And Prism does refuse: without these, the above would prove nothing.
    let credential = "authorization: Basic eDp5\r\n";
    assert_eq!(status_of(&prism.base, credential, "To=%2B254712345678&Body=x").await, 201);
    assert_eq!(status_of(&prism.base, "", "To=%2B254712345678&Body=x").await, 401);
    assert_eq!(status_of(&prism.base, credential, "Body=x").await, 422);
    let wrong_type = "To=%2B254712345678&Body=x&ValidityPeriod=soon";
    assert_eq!(status_of(&prism.base, credential, wrong_type).await, 422);
}
