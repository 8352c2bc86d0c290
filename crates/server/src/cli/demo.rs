//! `tuma demo`: the whole gateway against simulated networks. Its numbers lead nowhere, and no credentials but
//! the simulator's are ever used.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use domain::audit::{Act, Actor};
use domain::ids::MessageId;
use domain::message::MessageStatus;
use domain::scenario::Scenario;
use domain::secret::ExposeSecret as _;
use domain::time::Clock;
use gateway::request::Content;
use gateway::{BulkRequest, Caller, SendRequest, SmsService, Verdict};
use store::port::messages::MessageRecord;
use testkit::sim::{
    AFRICASTALKING_API_KEY, AFRICASTALKING_USERNAME, CallbackUrls, SimConfig, Simulator, TWILIO_ACCOUNT_SID,
    TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER,
};

use super::{print, serve};
use crate::assemble::Gateway;
use crate::config::Config;
use crate::keys::{self, Scope};
use gateway::SystemClock;

/// How long the simulated networks may take to deliver the samples.
const DELIVERY: Duration = Duration::from_secs(30);

/// The secret part of the address that the simulated Africa's Talking calls.
const CALLBACK_SECRET: &str = "demo-callback-secret";

/// One of each scenario, to Kenya and abroad. The transaction ids are cut to their last six characters.
const SAMPLES: &[(Scenario, &[&str], &str)] = &[
    (Scenario::Otp, &["0712345678"], "Your code is 482913. It ends in 5 minutes."),
    (
        Scenario::Transaction,
        &["+14155550100"],
        "You have received 10,000 sats from Achieng. Transaction 7f3a9c.",
    ),
    (
        Scenario::ChamaWithdrawal,
        &["0722000111"],
        "Juma asks to withdraw KES 5,000 from Umoja chama. Reply APPROVE WR-12345 or REJECT WR-12345.",
    ),
    (
        Scenario::ChamaInvite,
        &["0733111222", "0110123456", "+256772123456", "+447400123456"],
        "Karibu! Achieng invites you to Umoja chama. Reply YES to join.",
    ),
    (Scenario::Alert, &["+254700000111"], "New sign-in to your account from Mombasa. Not you? Call us now."),
];

/// Run the gateway against simulated networks, with nothing configured.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where the API listens; if that is taken, a free port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// End when the samples are delivered, and fail if they are not.
    #[arg(long)]
    exit_when_delivered: bool,
}

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let listen = free(self.listen)?;
        let simulator = simulator(listen).await?;
        let config = Config::load(None, settings(listen, &simulator, folder.path()))?;
        let gateway = Gateway::start(&config, Arc::new(SystemClock::new())).await?;
        let (key, kept) = keys::create("demo", &[Scope::Admin], None, SystemClock::new().now());
        let caller = Caller::of(kept.id);
        let act = Act { by: Actor::Operator, at: kept.created_at };
        gateway.store.create_key(kept, act).await?;

        print("Tuma is running against simulated networks. Nothing leaves this machine.\n");
        let ids = send_samples(&gateway.service, caller).await?;
        let delivered = show_when_final(&gateway.service, &ids).await?;
        if !self.exit_when_delivered {
            explain(gateway.address, simulator.base_url(), key.expose_secret(), &ids);
            serve::stop_asked().await?;
            print("\nstopping");
        }
        gateway.stop().await;
        simulator.stop().await;
        anyhow::ensure!(delivered || !self.exit_when_delivered, "not everything was delivered");
        Ok(())
    }
}

/// The wanted address, or one with a free port if that is taken.
fn free(wanted: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(wanted).or_else(|_taken| TcpListener::bind((wanted.ip(), 0)));
    Ok(listener.with_context(|| format!("can't listen on {}", wanted.ip()))?.local_addr()?)
}

async fn simulator(gateway: SocketAddr) -> anyhow::Result<Simulator> {
    let by_africastalking =
        |kind| Some(format!("http://{gateway}/webhooks/africastalking/{kind}/{CALLBACK_SECRET}"));
    let callback_urls = CallbackUrls {
        africastalking_delivery: by_africastalking("status"),
        africastalking_incoming: by_africastalking("incoming"),
        africastalking_opt_out: by_africastalking("opt-out"),
        twilio_incoming: Some(format!("http://{gateway}/webhooks/twilio/incoming")),
    };
    let config = SimConfig { clock: Arc::new(SystemClock::new()), callback_urls, ..SimConfig::default() };
    Simulator::start(config).await.context("the simulated networks can't be started")
}

fn settings(listen: SocketAddr, simulator: &Simulator, folder: &Path) -> Vec<(String, String)> {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        set("TUMA_LISTEN", &listen.to_string()),
        set("TUMA_DATABASE_URL", &format!("sqlite:{}", folder.join("demo.db").display())),
        set("TUMA_PUBLIC_URL", &format!("http://{listen}")),
        // Invitations arrive in the demo also at night.
        set("TUMA_QUIET_HOURS__BY_SCENARIO__CHAMA_INVITE", ""),
        // No number of the demo leads anywhere.
        set("TUMA_GUARD__COUNTRIES", r#"["*"]"#),
        set("TWILIO_API_BASE_URL", simulator.base_url()),
        set("TWILIO_ACCOUNT_SID", TWILIO_ACCOUNT_SID),
        set("TWILIO_AUTH_TOKEN", TWILIO_AUTH_TOKEN),
        set("TWILIO_PHONE_NUMBER", TWILIO_PHONE_NUMBER),
        set("SMS_AT_API_BASE_URL", simulator.base_url()),
        set("SMS_AT_USERNAME", AFRICASTALKING_USERNAME),
        set("SMS_AT_API_KEY", AFRICASTALKING_API_KEY),
        set("SMS_AT_CALLBACK_SECRET", CALLBACK_SECRET),
    ]
}

async fn send_samples(service: &SmsService, caller: Caller) -> anyhow::Result<Vec<MessageId>> {
    let mut ids = Vec::new();
    for (scenario, receivers, text) in SAMPLES {
        let content = Content {
            message: (*text).into(),
            scenario: Some(scenario.to_string()),
            reference: Some("demo".into()),
            ..Content::default()
        };
        if let [receiver] = receivers {
            let request = SendRequest { receiver: (*receiver).into(), content, idempotency_key: None };
            ids.push(service.send_sms(caller.clone(), request).await?.id);
        } else {
            let receivers = receivers.iter().map(|receiver| (*receiver).into()).collect();
            let request = BulkRequest { receivers, own: Vec::new(), content, idempotency_key: None };
            ids.extend(
                service.send_bulk_sms(caller.clone(), request).await?.verdicts.into_iter().filter_map(
                    |verdict| match verdict {
                        Verdict::Accepted(answer) => Some(answer.id),
                        Verdict::AcceptedBefore { .. } | Verdict::Rejected { .. } => None,
                    },
                ),
            );
        }
    }
    Ok(ids)
}

/// Shows each message when it has come to its end; answers whether all were delivered.
async fn show_when_final(service: &SmsService, ids: &[MessageId]) -> anyhow::Result<bool> {
    print(format_args!(
        "{:<18}{:<18}{:<16}{:<12}{:<14}{}",
        "scenario", "receiver", "provider", "status", "cost", "took"
    ));
    let deadline = SystemClock::new().now().plus(DELIVERY);
    let mut all_delivered = true;
    for id in ids {
        let record = loop {
            let record = service.message(*id).await?.context("a message is gone")?;
            if record.summary.status.is_final() || SystemClock::new().now() > deadline {
                break record;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        all_delivered &= record.summary.status == MessageStatus::Delivered;
        print(row(&record));
    }
    Ok(all_delivered)
}

fn row(record: &MessageRecord) -> String {
    let summary = &record.summary;
    let message = &summary.message;
    let cost = record.cost().map_or_else(|| "-".into(), |cost| cost.to_string());
    let took = summary.updated_at.since(message.created_at).as_millis();
    // The demo's numbers lead nowhere, so they may be shown.
    let receiver = message.receiver.to_e164();
    let (scenario, provider, status) =
        (message.scenario.as_str(), summary.provider.as_str(), summary.status.as_str());
    format!("{scenario:<18}{receiver:<18}{provider:<16}{status:<12}{cost:<14}{took} ms")
}

fn explain(gateway: SocketAddr, simulator: &str, key: &str, ids: &[MessageId]) {
    let id = ids.first().map(ToString::to_string).unwrap_or_default();
    print(format_args!(
        "
Look around:
  the API and its description   http://{gateway}/docs
  figures for Prometheus        http://{gateway}/metrics
  what the networks received    {simulator}/_sim/ledger

Send one yourself (any number; nothing leaves this machine):
  curl http://{gateway}/sms -H 'Authorization: Bearer {key}' -d '{{\"receiver\":\"0712345678\",\"message\":\"Habari\"}}'

See what became of the first one above:
  curl http://{gateway}/sms/{id} -H 'Authorization: Bearer {key}'

Answer from a phone, and see what it gets back, and what Tuma heard:
  curl {simulator}/_sim/incoming -d '{{\"provider\":\"africastalking\",\"from\":\"+254712345678\",\"to\":\"21512\",\"text\":\"STOP\"}}'
  curl '{simulator}/_sim/texts?number=%2B254712345678'
  curl http://{gateway}/inbound -H 'Authorization: Bearer {key}'

Ctrl-C ends it; its database is thrown away."
    ));
}
