//! Secrets from Vault, or from what speaks its API.

use std::sync::Arc;

use domain::secret::ExposeSecret as _;
use gateway::SystemClock;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use server::config::{Config, SettingsError};
use server::secrets;
use tempfile::TempDir;
use testkit::vault::{ROLE_ID, ROOT_TOKEN, SECRET_ID, VaultStandIn};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const REFERENCE: (&str, &str) = ("SMS_AT_API_KEY", "vault:secret/tuma/at#api_key");

async fn vault() -> VaultStandIn {
    let vault = VaultStandIn::start(Arc::new(SystemClock::new())).await.unwrap();
    vault.put(
        "secret/tuma/at",
        &json!({"api_key": "hunter2", "username": "safeshop", "port": 4711, "list": []}),
    );
    vault
}

async fn load(url: &str, more: &[(&str, &str)]) -> Result<Config, SettingsError> {
    let own = [("TUMA_SECRETS__VAULT__ADDRESS", url)];
    let environment = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    secrets::fetch(Config::load(None, environment)?, Arc::new(SystemClock::new())).await
}

async fn refusal(url: &str, more: &[(&str, &str)]) -> String {
    let problem = load(url, more).await.unwrap_err().to_string();
    assert!(!problem.contains("hunter2") && !problem.contains(ROOT_TOKEN), "{problem}");
    problem
}

fn value(config: &Config, key: &str) -> String {
    config.held.value(key).unwrap().expose_secret().to_owned()
}

const TOKEN: (&str, &str) = ("TUMA_SECRETS__VAULT__TOKEN", ROOT_TOKEN);

#[tokio::test]
async fn fields_of_one_entry_are_read_at_once_with_a_token() {
    let vault = vault().await;
    let username = ("SMS_AT_USERNAME", "vault:secret/tuma/at#username");
    let port = ("TUMA_BROKER__PASSWORD", "vault:secret/tuma/at#port");
    let config = load(&format!("{}/", vault.url()), &[TOKEN, REFERENCE, username, port]).await.unwrap();
    assert_eq!(value(&config, "providers.africastalking.api_key"), "hunter2");
    assert_eq!(value(&config, "providers.africastalking.username"), "safeshop");
    assert_eq!(config.broker.password.get().unwrap().expose_secret(), "4711");
    assert!(config.held.get("broker.password").unwrap().fetched.as_ref().unwrap().created_at.is_some());
    assert!(config.factory().unwrap().create_provider(Some(&"africastalking".parse().unwrap())).is_ok());
    assert_eq!(vault.counts().reads, 1);
}

#[tokio::test]
async fn an_app_role_logs_in() {
    let vault = vault().await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secret-id");
    std::fs::write(&path, format!("{SECRET_ID}\n")).unwrap();
    let role = ("TUMA_SECRETS__VAULT__ROLE_ID", ROLE_ID);
    let secret = ("TUMA_SECRETS__VAULT__SECRET_ID_FILE", path.to_str().unwrap());
    let config = load(&vault.url(), &[role, secret, REFERENCE]).await.unwrap();
    assert_eq!(value(&config, "providers.africastalking.api_key"), "hunter2");
    assert_eq!(vault.counts().logins, 1);

    let wrong = ("TUMA_SECRETS__VAULT__SECRET_ID", "hunter2");
    let problem = refusal(&vault.url(), &[role, wrong, REFERENCE]).await;
    assert!(problem.contains("Vault refuses us (403)"), "{problem}");
}

#[tokio::test]
async fn what_vault_does_instead_is_said_with_the_setting_and_never_the_secret() {
    let vault = vault().await;
    let url = vault.url();
    let of = |place| [TOKEN, ("SMS_AT_API_KEY", place)];
    let table = [
        (of("vault:secret/tuma/other#api_key"), "has nothing there (404)"),
        (of("vault:other/tuma/at#api_key"), "has nothing there (404)"),
        (of("vault:secret/tuma/at#token"), "has no text token in secret/tuma/at"),
        (of("vault:secret/tuma/at#list"), "has no text list in secret/tuma/at"),
        ([("TUMA_SECRETS__VAULT__TOKEN", "hvs.hunter2"), REFERENCE], "refuses us (403)"),
        ([("TUMA_SECRETS__VAULT__TOKEN", ""), REFERENCE], "secrets.vault.token, or role_id with secret_id"),
    ];
    for (environment, expected) in &table {
        let problem = refusal(&url, environment).await;
        assert!(problem.starts_with("setting providers.africastalking.api_key: "), "{problem}");
        assert!(problem.contains("Vault") && problem.contains(expected), "{problem}");
    }
    let problem = refusal("", &[TOKEN, REFERENCE]).await;
    assert!(problem.contains("comes from Vault, and secrets.vault.address is not set"), "{problem}");
    let (_kept, address) = crate::app::refusing_address();
    let problem = refusal(&format!("http://{address}"), &[TOKEN, REFERENCE]).await;
    assert!(problem.contains("Vault can't be reached: "), "{problem}");
    vault.set_sealed(true);
    let problem = refusal(&url, &[TOKEN, REFERENCE]).await;
    assert!(problem.contains("is sealed, or down for maintenance (503)"), "{problem}");
}

#[tokio::test]
async fn a_namespace_is_named_in_each_request() {
    let vault = vault().await;
    vault.set_namespace("payments");
    let namespace = ("TUMA_SECRETS__VAULT__NAMESPACE", "payments");
    assert!(load(&vault.url(), &[TOKEN, namespace, REFERENCE]).await.is_ok());
    assert!(refusal(&vault.url(), &[TOKEN, REFERENCE]).await.contains("refuses us (403)"));
}

#[tokio::test]
async fn over_tls_only_the_authority_of_the_settings_is_trusted() {
    let vault = vault().await;
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let mut front = JoinSet::new();
    front.spawn(in_front(listener, TlsAcceptor::from(Arc::new(tls)), vault.address()));

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, cert.pem()).unwrap();
    let ca = ("TUMA_SECRETS__VAULT__CA_FILE", path.to_str().unwrap());
    let config = load(&url, &[TOKEN, ca, REFERENCE]).await.unwrap();
    assert_eq!(value(&config, "providers.africastalking.api_key"), "hunter2");
    let problem = refusal(&url, &[TOKEN, REFERENCE]).await;
    assert!(problem.contains("Vault can't be reached: "), "{problem}");
    std::fs::write(&path, "no certificate").unwrap();
    let problem = refusal(&url, &[TOKEN, ca, REFERENCE]).await;
    assert!(problem.contains("secrets.vault.ca_file"), "{problem}");
}

/// Ends TLS, and passes on what was in it.
async fn in_front(listener: TcpListener, tls: TlsAcceptor, to: std::net::SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((outside, _)) = listener.accept().await {
        let tls = tls.clone();
        connections.spawn(async move {
            // A client that does not trust us hangs up.
            let Ok(mut outside) = tls.accept(outside).await else { return };
            let mut inside = TcpStream::connect(to).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
        });
    }
}
