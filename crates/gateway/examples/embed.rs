//! The gateway inside another program, without HTTP: `cargo run -p gateway --example embed`.
//!
//! Sends one message to Kenya and one abroad through the simulated networks, so it runs anywhere. A real program
//! leaves out the simulator and takes its credentials from its own settings.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::KeyId;
use domain::time::Clock as _;
use gateway::request::Content;
use gateway::{Caller, Parts, SendRequest, Settings, SmsService, SystemClock};
use providers::{ProviderFactory, REGISTRY};
use serde_json::json;
use store::Options;
use testkit::sim::{self, SimConfig, Simulator};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let networks = Simulator::start(SimConfig::default()).await?;
    let folder = tempfile::tempdir()?;

    // One set of keys for each provider; what is left out has its default.
    let keys = json!({
        "twilio": {
            "account_sid": sim::TWILIO_ACCOUNT_SID,
            "auth_token": sim::TWILIO_AUTH_TOKEN,
            "phone_number": sim::TWILIO_PHONE_NUMBER,
            "base_url": networks.base_url(),
        },
        "africastalking": {
            "username": sim::AFRICASTALKING_USERNAME,
            "api_key": sim::AFRICASTALKING_API_KEY,
            "base_url": networks.base_url(),
        },
    });
    let configs = REGISTRY.iter().map(|provider| {
        let keys = keys.get(provider.name).and_then(|keys| keys.as_object()).cloned().unwrap_or_default();
        provider.configure(keys, None)
    });
    let factory = ProviderFactory::new(REGISTRY, configs.collect::<Result<Vec<_>, _>>()?, None);

    let database = format!("sqlite:{}", folder.path().join("tuma.db").display());
    let service = SmsService::new(Parts {
        store: store::open(&database, Options { migrate: true, exclusive: true, keys: None }).await?,
        providers: factory.create_configured()?,
        default_provider: factory.default_provider().clone(),
        clock: Arc::new(SystemClock::new()),
        settings: Settings {
            rules: serde_json::from_value(json!([{ "countries": ["KE"], "provider": "africastalking" }]))?,
            ..Settings::default()
        },
        meter: opentelemetry::global::meter("embed"),
    });
    service.start().await?;

    // The caller is an API key's id for HTTP; a program that embeds the service chooses its own.
    let caller = Caller::of(KeyId::new(SystemClock::new().now(), [0; 10]));
    for receiver in ["0712345678", "+14155550100"] {
        let request = SendRequest {
            receiver: receiver.into(),
            content: Content { message: "Habari".into(), ..Content::default() },
            idempotency_key: None,
        };
        let (accepted, record) =
            service.send_sms_and_wait(caller.clone(), request, Duration::from_secs(5)).await?;
        let (provider, status) = record.map_or_else(
            || ("nobody".into(), accepted.status),
            |record| (record.summary.provider.to_string(), record.summary.status),
        );
        say(&format!("{}: {status} by {provider}, {} segment", accepted.id, accepted.segments));
    }

    service.stop().await;
    networks.stop().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what the example shows")]
fn say(line: &str) {
    println!("{line}");
}
