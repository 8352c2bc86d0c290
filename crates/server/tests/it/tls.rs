//! TLS without a proxy: what is agreed on, and how a certificate is replaced while the gateway runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use reqwest::{Method, StatusCode, Version};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use testkit::clock::FakeClock;
use testkit::wait::{LONG, wait_for};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::app::TestApp;
use crate::program::Site;

/// A certificate for this machine and its key, both as PEM.
struct Pair {
    certificate: String,
    key: String,
}

fn pair(from_year: i32, to_year: i32) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.not_before = date_time_ymd(from_year, 1, 1);
    params.not_after = date_time_ymd(to_year, 1, 1);
    Pair { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// A folder with the two files.
struct Files(TempDir);

impl Files {
    fn new(pair: &Pair) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.write(pair);
        files
    }

    fn certificate(&self) -> PathBuf {
        self.0.path().join("tls.crt")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("tls.key")
    }

    fn write(&self, pair: &Pair) {
        std::fs::write(self.certificate(), &pair.certificate).unwrap();
        std::fs::write(self.key(), &pair.key).unwrap();
    }
}

/// A gateway with TLS, under a clock that is turned by hand.
async fn start(files: &Files) -> (TestApp, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::new());
    let app = TestApp::setup()
        .clock(Arc::clone(&clock) as _)
        .set("TUMA_OPERATIONS_LISTEN", "127.0.0.1:0")
        .set("TUMA_HTTP__TLS_CERTIFICATE_FILE", files.certificate().to_str().unwrap())
        .set("TUMA_HTTP__TLS_KEY_FILE", files.key().to_str().unwrap())
        .start()
        .await;
    (app, clock)
}

/// What a client needs that trusts this certificate alone, and offers these protocols.
fn trusting(pair: &Pair, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    tls
}

/// Asks whether the gateway lives.
async fn ask(address: SocketAddr, trusted: &Pair) -> reqwest::Result<reqwest::Response> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(trusting(trusted, &["h2", "http/1.1"]))
        .no_proxy();
    let client = client.timeout(LONG).build().unwrap();
    client.request(Method::GET, format!("https://{address}/sms")).send().await
}

/// Turns the clock until the gateway shows this certificate.
async fn shown(app: &TestApp, clock: &FakeClock, pair: &Pair) {
    let look = async || {
        clock.advance(Duration::from_mins(1));
        ask(app.gateway.address, pair).await.ok().map(drop)
    };
    wait_for(look, LONG).await.unwrap();
}

#[tokio::test]
async fn callers_are_served_over_tls_with_http_2_and_told_to_stay_there() {
    let pair = pair(2020, 2200);
    let files = Files::new(&pair);
    let (app, _clock) = start(&files).await;
    let answer = ask(app.gateway.address, &pair).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::UNAUTHORIZED, Version::HTTP_2));
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=63072000");
    // Health and figures are asked for without.
    assert!(app.metrics().await.contains("sms_http_certificate_end"));
}

#[tokio::test]
async fn callers_that_know_http_1_only_are_served_too() {
    let pair = pair(2020, 2200);
    let files = Files::new(&pair);
    let (app, _clock) = start(&files).await;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(trusting(&pair, &["http/1.1"]))
        .no_proxy()
        .http1_only();
    let url = format!("https://{}/sms", app.gateway.address);
    let answer = client.build().unwrap().request(Method::GET, url).send().await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::UNAUTHORIZED, Version::HTTP_11));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_bad_one_is_not() {
    let (first, second, third) = (pair(2020, 2200), pair(2020, 2200), pair(2020, 2200));
    let files = Files::new(&first);
    let (app, clock) = start(&files).await;
    ask(app.gateway.address, &first).await.unwrap();
    files.write(&second);
    shown(&app, &clock, &second).await;
    assert!(ask(app.gateway.address, &first).await.is_err());
    // Nothing can be used of this.
    files.write(&Pair { certificate: third.certificate.clone(), key: first.key });
    clock.advance(Duration::from_mins(1));
    ask(app.gateway.address, &second).await.unwrap();
    files.write(&third);
    shown(&app, &clock, &third).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut_off() {
    let pair = pair(2020, 2200);
    let files = Files::new(&pair);
    let app = TestApp::setup()
        .set("TUMA_OPERATIONS_LISTEN", "127.0.0.1:0")
        .set("TUMA_HTTP__TLS_CERTIFICATE_FILE", files.certificate().to_str().unwrap())
        .set("TUMA_HTTP__TLS_KEY_FILE", files.key().to_str().unwrap())
        .set("TUMA_HTTP__HEADER_TIMEOUT_MS", "100")
        .start()
        .await;
    let mut silent = TcpStream::connect(app.gateway.address).await.unwrap();
    assert_eq!(timeout(LONG, silent.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    // With TLS, and then without a word.
    let socket = TcpStream::connect(app.gateway.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut silent = TlsConnector::from(Arc::new(trusting(&pair, &[]))).connect(name, socket).await.unwrap();
    let _ = timeout(LONG, silent.read(&mut [0; 8])).await.unwrap();
    let cut = async || {
        let text = app.metrics().await;
        let of = |why: &str| text.lines().any(|line| line.contains("cut_count") && line.contains(why));
        (of("handshake") && of("slow_head")).then_some(())
    };
    wait_for(cut, LONG).await.unwrap();
}

#[tokio::test]
async fn the_check_says_what_is_wrong_with_a_pair() {
    let (good, other) = (pair(2020, 2200), pair(2020, 2200));
    let table = [
        (good.certificate.clone(), good.key.clone(), "ok    certificate: can be used"),
        (good.certificate.clone(), other.key.clone(), "WRONG certificate: http.tls_key_file: is not the key"),
        (good.key.clone(), good.key.clone(), "http.tls_certificate_file: holds no certificate"),
        (good.certificate.clone(), good.certificate.clone(), "http.tls_key_file: holds no private key"),
        (pair(2020, 2021).certificate, good.key.clone(), "is not the key"),
    ];
    for (certificate, key, said) in table {
        let files = Files::new(&Pair { certificate, key });
        let site = Site::new("http://127.0.0.1:9")
            .set("TUMA_HTTP__TLS_CERTIFICATE_FILE", files.certificate().to_str().unwrap())
            .set("TUMA_HTTP__TLS_KEY_FILE", files.key().to_str().unwrap());
        let checked = site.run(&["check", "--offline"]).await;
        assert!(checked.stdout.contains(said), "{said}: {}", checked.stdout);
        assert_eq!(checked.code == Some(0), said.starts_with("ok"), "{}", checked.stdout);
    }
    let old = pair(2020, 2021);
    let files = Files::new(&old);
    let site = Site::new("http://127.0.0.1:9")
        .set("TUMA_HTTP__TLS_CERTIFICATE_FILE", files.certificate().to_str().unwrap())
        .set("TUMA_HTTP__TLS_KEY_FILE", files.key().to_str().unwrap());
    let checked = site.run(&["check", "--offline"]).await;
    assert!(checked.stdout.contains("is valid from 2020-01-01T00:00:00.000Z to 2021"), "{}", checked.stdout);
}

#[tokio::test]
async fn a_hangup_makes_the_program_look_at_once_and_not_end() {
    let (first, second) = (pair(2020, 2200), pair(2020, 2200));
    let files = Files::new(&first);
    let site = Site::new("http://127.0.0.1:9")
        .set("TUMA_HTTP__TLS_CERTIFICATE_FILE", files.certificate().to_str().unwrap())
        .set("TUMA_HTTP__TLS_KEY_FILE", files.key().to_str().unwrap());
    let served = site.serve().await;
    ask(served.address, &first).await.unwrap();
    files.write(&second);
    served.hang_up().await;
    wait_for(async || ask(served.address, &second).await.ok().map(drop), LONG).await.unwrap();
}
