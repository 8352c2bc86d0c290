//! How long callers may keep the gateway waiting, how many there may be, and what every answer says. Over real sockets,
//! with settings of milliseconds: no clock that is turned by hand reaches them.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::wait::{LONG, wait_for};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::{KENYAN, TestApp};
use crate::http::{Client, http2};

const QUESTION: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: tuma\r\n\r\n";

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// What comes until the gateway closes.
async fn rest(connection: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    // A connection that was cut may also be reset.
    let _ = timeout(LONG, connection.read_to_end(&mut rest)).await.unwrap();
    String::from_utf8_lossy(&rest).into_owned()
}

/// One answer whose body is `{"status":"live"}`.
async fn answer(connection: &mut TcpStream) -> String {
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let byte = timeout(LONG, connection.read_u8()).await.unwrap().unwrap();
        answer.push(char::from(byte));
    }
    answer
}

/// Waits until a connection was cut for this reason.
async fn is_counted(app: &TestApp, why: &str) {
    let line = |text: &str| {
        text.lines().any(|line| line.starts_with("sms_http_cut_count_total{") && line.contains(why))
    };
    wait_for(async || line(&app.metrics().await).then_some(()), LONG).await.unwrap();
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_off_and_counted() {
    let app = TestApp::setup().set("TUMA_HTTP__HEADER_TIMEOUT_MS", "200").start().await;
    let mut connection = connect(app.gateway.address).await;
    connection.write_all(b"GET /health/live HTTP/1.1\r\nhost: tuma\r\nx-endless: ").await.unwrap();
    // A byte at each look.
    let is_cut = async || connection.write_all(b"x").await.is_err().then_some(());
    wait_for(is_cut, LONG).await.unwrap();
    is_counted(&app, "slow_head").await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_said_is_closed() {
    let app = TestApp::setup().set("TUMA_HTTP__HEADER_TIMEOUT_MS", "100").start().await;
    assert_eq!(rest(&mut connect(app.gateway.address).await).await, "");
    is_counted(&app, "slow_head").await;
}

#[tokio::test]
async fn a_connection_may_rest_longer_than_a_head_may_take_and_is_then_closed() {
    let app = TestApp::setup()
        .set("TUMA_HTTP__HEADER_TIMEOUT_MS", "50")
        .set("TUMA_HTTP__IDLE_TIMEOUT_MS", "1500")
        .start()
        .await;
    let mut connection = connect(app.gateway.address).await;
    connection.write_all(QUESTION).await.unwrap();
    answer(&mut connection).await;
    // Meanwhile heads that are late are cut.
    assert_eq!(rest(&mut connect(app.gateway.address).await).await, "");
    connection.write_all(QUESTION).await.unwrap();
    answer(&mut connection).await;
    assert_eq!(rest(&mut connection).await, "");
}

#[tokio::test]
async fn a_body_that_trickles_is_answered_408_also_while_a_wait_was_asked_for() {
    let app = TestApp::setup().set("TUMA_HTTP__BODY_TIMEOUT_MS", "100").start().await;
    let secret = crate::app::CALLBACK_SECRET;
    for path in ["/sms", "/sms/bulk", "/sms/explain", &format!("/webhooks/africastalking/status/{secret}")] {
        let mut connection = connect(app.gateway.address).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: tuma\r\nx-api-key: {}\r\nprefer: wait=30\r\ncontent-length: 500\r\n\r\n{{",
            app.key
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let answer = rest(&mut connection).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 408"), "{path}: {head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "body_timeout");
    }
}

#[tokio::test]
async fn a_caller_that_does_not_take_its_answers_is_cut_off_and_counted() {
    let app = TestApp::setup().set("TUMA_HTTP__WRITE_TIMEOUT_MS", "200").start().await;
    let connection = connect(app.gateway.address).await;
    let (_reads_nothing, mut questions) = connection.into_split();
    // Until nothing fits any more, neither answers nor questions.
    let asking = async {
        let question = b"GET /openapi.json HTTP/1.1\r\nhost: tuma\r\n\r\n";
        while questions.write_all(question).await.is_ok() {}
    };
    timeout(LONG, asking).await.unwrap();
    is_counted(&app, "slow_reader").await;
}

#[tokio::test]
async fn a_caller_of_http_2_that_gives_its_answer_no_window_is_cut_off_and_counted() {
    let app = TestApp::setup().set("TUMA_HTTP__WRITE_TIMEOUT_MS", "200").start().await;
    let client = http2(Some(0)).build().unwrap();
    let answer = client
        .request(Method::GET, format!("http://{}/openapi.json", app.gateway.address))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    is_counted(&app, "slow_reader").await;
    answer.bytes().await.unwrap_err();
}

#[tokio::test]
async fn a_head_beyond_its_bounds_is_answered_431() {
    let app = TestApp::setup()
        .set("TUMA_HTTP__MAX_HEADER_BYTES", "8192")
        .set("TUMA_HTTP__MAX_HEADERS", "20")
        .start()
        .await;
    let long = format!("GET /health/live HTTP/1.1\r\nhost: tuma\r\nx-long: {}\r\n\r\n", "x".repeat(9_000));
    let lines = "x-one: 1\r\n".repeat(30);
    let many = format!("GET /health/live HTTP/1.1\r\nhost: tuma\r\n{lines}\r\n");
    for head in [long, many] {
        let mut connection = connect(app.gateway.address).await;
        connection.write_all(head.as_bytes()).await.unwrap();
        let answer = rest(&mut connection).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_come_back_and_a_closed_one_makes_room() {
    let app = TestApp::setup()
        .set("TUMA_HTTP__MAX_CONNECTIONS", "3")
        .set("TUMA_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "2")
        .set("TUMA_OPERATIONS_LISTEN", "127.0.0.1:0")
        .start()
        .await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = connect(app.gateway.address).await;
        connection.write_all(QUESTION).await.unwrap();
        answer_head(&mut connection).await;
        open.push(connection);
    }
    let refused = rest(&mut connect(app.gateway.address).await).await;
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nretry-after: "), "{head}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["code"], "too_many_connections");
    is_counted(&app, "full_for_address").await;
    drop(open.pop());
    let again = async || {
        let mut connection = connect(app.gateway.address).await;
        connection.write_all(QUESTION).await.unwrap();
        let first = timeout(LONG, connection.read_u8()).await.unwrap();
        let mut second = [0; 11];
        first.is_ok().then_some(())?;
        connection.read_exact(&mut second).await.ok()?;
        second.starts_with(b"TTP/1.1 404").then_some(())
    };
    wait_for(again, LONG).await.unwrap();
}

/// Reads the head of an answer, and what of its body came with it.
async fn answer_head(connection: &mut TcpStream) {
    let mut bytes = [0; 4_096];
    let count = timeout(LONG, connection.read(&mut bytes)).await.unwrap().unwrap();
    assert!(bytes[..count].starts_with(b"HTTP/1.1 "), "{count} bytes");
}

#[tokio::test]
async fn callers_behind_a_trusted_proxy_are_not_counted_as_one() {
    let app = TestApp::setup()
        .set("TUMA_HTTP__MAX_CONNECTIONS_PER_ADDRESS", "1")
        .set("TUMA_HTTP__TRUSTED_PROXIES", r#"["127.0.0.1"]"#)
        .start()
        .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut connection = connect(app.gateway.address).await;
        connection.write_all(QUESTION).await.unwrap();
        answer(&mut connection).await;
        open.push(connection);
    }
}

#[tokio::test]
async fn connections_that_rest_do_not_hold_up_a_stop() {
    let app = TestApp::start().await;
    let mut resting = connect(app.gateway.address).await;
    resting.write_all(QUESTION).await.unwrap();
    answer(&mut resting).await;
    // It has begun a head, which it never ends.
    let mut slow = connect(app.gateway.address).await;
    slow.write_all(b"GET /health/live HTTP/1.1\r\n").await.unwrap();
    let begun = tokio::time::Instant::now();
    app.gateway.stop().await;
    // Less than a head may take.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(rest(&mut resting).await, "");
}

#[tokio::test]
async fn every_answer_tells_browsers_to_keep_off_and_none_tells_what_serves_it() {
    let app = TestApp::setup().set("TUMA_OPERATIONS_LISTEN", "127.0.0.1:0").start().await;
    let client = Client::new();
    let operations = app.gateway.operations_address.unwrap();
    let mut answers = vec![
        app.post("/sms", &json!({"receiver": KENYAN, "message": "Habari"})).await,
        app.post("/sms", &json!({})).await,
        app.anonymous(Method::GET, "/sms").send().await,
        app.get("/nowhere").await,
        app.request(Method::DELETE, "/sms").send().await,
        app.get("/openapi.json").await,
    ];
    for path in ["/health/live", "/metrics", "/nowhere"] {
        answers.push(client.request(Method::GET, &format!("http://{operations}{path}")).send().await);
    }
    for answer in &answers {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        assert_eq!(
            answer.header("content-security-policy"),
            Some("default-src 'none'; frame-ancestors 'none'")
        );
    }
    answers.push(app.get("/docs/").await);
    answers.push(app.get("/docs/swagger-ui.css").await);
    for answer in &answers {
        let header = |name| answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        for name in ["server", "x-powered-by", "via", "strict-transport-security"] {
            assert_eq!(answer.header(name), None, "{answer:?}");
        }
        if answer.status >= 400 {
            assert!(!answer.text.contains(env!("CARGO_PKG_VERSION")), "{}", answer.text);
        }
    }
}
