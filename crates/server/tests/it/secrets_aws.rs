//! Secrets from AWS Secrets Manager, played by Moto: the program as an operator runs it, with credentials for AWS in its
//! environment.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::moto::MotoServer;
use testkit::sim::{AFRICASTALKING_API_KEY, AFRICASTALKING_USERNAME, SimConfig, Simulator};
use testkit::wait::{LONG, wait_for};

use crate::app::KENYAN;
use crate::http::Client;
use crate::program::Site;

const REGION: &str = "af-south-1";
/// What opens the store. Nobody's, like the other.
const OWN_KEY: &str = concat!("own-key-", "of-nobody-at-aws");
const NEW_KEY: &str = concat!("atsk_", "another_key_of_the_sandbox");

/// Tells the store something, as an administrator would.
async fn tell(moto: &MotoServer, action: &str, body: &Value) {
    // Moto reads the service and the region out of the signature, and checks none.
    let scope = format!("Credential=test/20261127/{REGION}/secretsmanager/aws4_request");
    let signature = format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0");
    let request = Client::new().request(Method::POST, &format!("{}/", moto.url()));
    let request = request.header("x-amz-target", &format!("secretsmanager.{action}"));
    let request = request.header("authorization", &signature).json(body);
    let answer = request.header("content-type", "application/x-amz-json-1.1").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// Both the name and the key of Africa's Talking come from the store.
fn site(sim: &Simulator, moto: &MotoServer) -> Site {
    Site::new(sim.base_url())
        .set("TUMA_SECRETS__AWS__ENDPOINT", &moto.url())
        .set("TUMA_SECRETS__AWS__REGION", REGION)
        .set("AWS_ACCESS_KEY_ID", "test")
        .set("AWS_SECRET_ACCESS_KEY", OWN_KEY)
        .set("SMS_AT_API_KEY", "aws:tuma/at#key")
        .set("SMS_AT_USERNAME", "aws:tuma/at#username")
        .set("SMS_AT_CALLBACK_SECRET", "aws:tuma-callback")
}

async fn store() -> MotoServer {
    let moto = MotoServer::start().await;
    let text = json!({"key": AFRICASTALKING_API_KEY, "username": AFRICASTALKING_USERNAME}).to_string();
    tell(&moto, "CreateSecret", &json!({"Name": "tuma/at", "SecretString": text})).await;
    let text = concat!("a-path-that-", "nobody-guesses");
    tell(&moto, "CreateSecret", &json!({"Name": "tuma-callback", "SecretString": text})).await;
    moto
}

#[tokio::test]
async fn whole_secrets_and_fields_are_fetched_and_their_age_is_known() {
    let (sim, moto) = (Simulator::start(SimConfig::default()).await.unwrap(), store().await);
    let checked = site(&sim, &moto).run(&["check"]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    for line in [
        "ok    secret providers.africastalking.api_key: from AWS Secrets Manager (tuma/at, field key), 0 days old\n",
        "ok    secret providers.africastalking.username: from AWS Secrets Manager (tuma/at, field username)\n",
        "ok    secret providers.africastalking.callback_secret: from AWS Secrets Manager (tuma-callback), 0 days old\n",
        "ok    provider africastalking: ",
    ] {
        assert!(checked.stdout.contains(line), "{line}\n{}", checked.stdout);
    }
    assert!(!(checked.stdout + &checked.stderr).contains(AFRICASTALKING_API_KEY));
}

#[tokio::test]
async fn what_the_store_does_instead_is_said() {
    let (sim, moto) = (Simulator::start(SimConfig::default()).await.unwrap(), store().await);
    let (_kept, nowhere) = crate::app::refusing_address();
    let nowhere = format!("http://{nowhere}");
    let table = [
        ("SMS_AT_API_KEY", "aws:tuma/other", "has no such secret"),
        ("SMS_AT_API_KEY", "aws:tuma/at#token", "has no text token in tuma/at"),
        ("SMS_AT_API_KEY", "aws:tuma-callback#token", "has no text token in tuma-callback"),
        ("TUMA_SECRETS__AWS__ENDPOINT", nowhere.as_str(), "can't be reached"),
        ("AWS_ACCESS_KEY_ID", "", "no credentials"),
    ];
    for (variable, value, expected) in table {
        let folder = tempfile::TempDir::new().unwrap();
        let served = site(&sim, &moto)
            .set("HOME", folder.path().to_str().unwrap())
            .set("AWS_EC2_METADATA_DISABLED", "true")
            .set(variable, value)
            .run(&["serve"])
            .await;
        assert_eq!(served.code, Some(1), "{value}");
        assert!(served.stderr.contains("AWS Secrets Manager"), "{value}: {}", served.stderr);
        assert!(served.stderr.contains(expected), "{value}: {}", served.stderr);
        assert!(!served.stderr.contains(AFRICASTALKING_API_KEY), "{}", served.stderr);
    }
}

#[tokio::test]
async fn a_new_version_is_used_when_the_provider_refuses_the_old_one() {
    let (sim, moto) = (Simulator::start(SimConfig::default()).await.unwrap(), store().await);
    let site = site(&sim, &moto)
        .set("TWILIO_ACCOUNT_SID", "")
        .set("TUMA_ROUTING__DEFAULT_PROVIDER", "africastalking")
        .set("RUST_LOG", "trace");
    let key = site.key("sms:send,sms:read").await;
    let served = site.serve().await;
    let text = json!({"key": NEW_KEY, "username": AFRICASTALKING_USERNAME}).to_string();
    tell(&moto, "PutSecretValue", &json!({"SecretId": "tuma/at", "SecretString": text})).await;
    sim.set_africastalking_api_key(NEW_KEY);
    let body = json!({"receiver": KENYAN, "message": "Habari"});
    let answer = served.request(Method::POST, "/sms").key(&key).json(&body).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let path = format!("/sms/{}", answer.json()["id"].as_str().unwrap());
    let sent = async || {
        let shown = served.request(Method::GET, &path).key(&key).send().await.json();
        (shown["status"] == "sent").then_some(shown)
    };
    let shown = wait_for(sent, LONG).await.unwrap();
    assert_eq!(shown["attempts"][0]["outcome"], "rejected", "{shown:#}");
    assert_eq!(sim.ledger().count(), 1);
    // Whatever the level of the log: none of the keys stands in it.
    let log = served.log();
    assert!(log.contains("new credentials are in force"), "{log}");
    for secret in [NEW_KEY, AFRICASTALKING_API_KEY, OWN_KEY] {
        assert!(!log.contains(secret), "the log has a key");
    }
}
