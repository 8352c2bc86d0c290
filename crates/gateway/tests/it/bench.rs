//! A service on the bench: its store, its networks, its clock, and short words for what most tests do.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Actor;
use domain::guard::AllowedCountries;
use domain::ids::{KeyId, MessageId};
use domain::message::MessageStatus;
use domain::phone::Country;
use domain::policy::ScenarioPolicy;
use domain::retry::RetryPolicy;
use domain::route::{Rule, Target};
use domain::scenario::Scenario;
use gateway::request::{Content, FieldProblem};
use gateway::settings::GuardSettings;
use gateway::{
    BulkAnswer, BulkRequest, Caller, Parts, SendAnswer, SendError, SendRequest, Settings, SmsService, Verdict,
};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use providers::{ProviderFactory, REGISTRY, SmsProvider};
use serde_json::{Value, json};
use store::Options;
use store::port::messages::{Filter, MessageRecord, Page};

use testkit::clock::FakeClock;
use testkit::database::Database;
use testkit::sim::{
    AFRICASTALKING_API_KEY, AFRICASTALKING_SENDER, AFRICASTALKING_USERNAME, SimConfig, Simulator,
    TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER,
};
use testkit::wait::{LONG, wait_for, wait_until};

/// A number that means nothing, in Kenya.
pub(crate) const KENYAN: &str = "+254712345678";
/// A number that means nothing, in the United States.
pub(crate) const AMERICAN: &str = "+14155550100";

/// A running service.
pub(crate) struct Bench {
    pub(crate) service: Arc<SmsService>,
    pub(crate) sim: Simulator,
    pub(crate) clock: Arc<FakeClock>,
    setup: Setup,
    database: Database,
}

/// A service before its start.
#[derive(Clone)]
pub(crate) struct Setup {
    keys: Value,
    settings: Settings,
    default: Option<&'static str>,
    more: Vec<Arc<dyn SmsProvider>>,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::setup().start().await
    }

    /// Both providers, Kenya by one of them, and the rest as it comes.
    pub(crate) fn setup() -> Setup {
        let keys = json!({
            "twilio": {
                "account_sid": TWILIO_ACCOUNT_SID,
                "auth_token": TWILIO_AUTH_TOKEN,
                "phone_number": TWILIO_PHONE_NUMBER,
            },
            "africastalking": {
                "api_key": AFRICASTALKING_API_KEY,
                "username": AFRICASTALKING_USERNAME,
                "from": AFRICASTALKING_SENDER,
            },
        });
        let guard = GuardSettings { countries: AllowedCountries::all(), ..GuardSettings::default() };
        let settings =
            Settings { guard, rules: vec![rule("africastalking", &["KE"], &[], &[])], ..Settings::default() };
        Setup { keys, settings, default: None, more: Vec::new() }
    }

    /// Stops the service, and starts another on the same store.
    pub(crate) async fn restart(self) -> Self {
        self.service.stop().await;
        let Self { sim, clock, setup, database, .. } = self;
        let service = setup.service(&sim, &clock, &database).await;
        service.start().await.unwrap();
        Self { service, sim, clock, setup, database }
    }

    /// The same with other settings.
    pub(crate) async fn restart_with(self, change: impl FnOnce(Setup) -> Setup) -> Self {
        let setup = change(self.setup.clone());
        Self { setup, ..self }.restart().await
    }

    pub(crate) async fn try_send(&self, receiver: &str, content: Content) -> Result<SendAnswer, SendError> {
        self.service.send_sms(caller(), request(receiver, content)).await
    }

    /// Sends a message that is accepted.
    pub(crate) async fn send(&self, receiver: &str) -> MessageId {
        self.try_send(receiver, text("Habari")).await.unwrap().id
    }

    pub(crate) async fn try_bulk(
        &self,
        receivers: &[String],
        content: Content,
    ) -> Result<BulkAnswer, SendError> {
        let request =
            BulkRequest { receivers: receivers.to_vec(), own: Vec::new(), content, idempotency_key: None };
        self.service.send_bulk_sms(caller(), request).await
    }

    /// Sends to many, of whom all are accepted.
    pub(crate) async fn bulk(&self, receivers: &[String], body: &str) -> Vec<MessageId> {
        let answer = self.try_bulk(receivers, text(body)).await.unwrap();
        let ids = answer.verdicts.into_iter().map(|verdict| match verdict {
            Verdict::Accepted(answer) => answer.id,
            Verdict::AcceptedBefore { .. } => panic!("accepted before"),
            Verdict::Rejected { code, .. } => panic!("{code}"),
        });
        ids.collect()
    }

    pub(crate) async fn show(&self, id: MessageId) -> MessageRecord {
        self.service.message(id).await.unwrap().unwrap()
    }

    pub(crate) async fn status(&self, id: MessageId) -> MessageStatus {
        self.show(id).await.summary.status
    }

    /// Waits until the message is as `is` wants it.
    pub(crate) async fn shown_when(
        &self,
        id: MessageId,
        is: impl Fn(&MessageRecord) -> bool,
    ) -> MessageRecord {
        let look = async || Some(self.show(id).await).filter(&is);
        match wait_for(look, LONG).await {
            Ok(record) => record,
            Err(problem) => panic!("{problem}: {:#?}", self.show(id).await),
        }
    }

    /// Waits until the message stands there.
    pub(crate) async fn stands(&self, id: MessageId, status: MessageStatus) -> MessageRecord {
        self.shown_when(id, |record| record.summary.status == status).await
    }

    /// Lets time pass until the message stands there: pauses and waits between tries come to their end.
    pub(crate) async fn comes_to(&self, id: MessageId, status: MessageStatus) -> MessageRecord {
        let clock = || self.clock.advance(Duration::from_millis(100));
        let is = |record: &MessageRecord| {
            let is_there = record.summary.status == status;
            if !is_there {
                clock();
            }
            is_there
        };
        self.shown_when(id, is).await
    }

    /// Waits until so many attempts of a message have ended.
    pub(crate) async fn tried(&self, id: MessageId, attempts: usize) -> MessageRecord {
        let ended = |record: &MessageRecord| record.attempts.iter().filter(|it| it.ended.is_some()).count();
        self.shown_when(id, |record| ended(record) == attempts).await
    }

    /// Waits until the networks have taken so many messages in all.
    pub(crate) async fn taken(&self, count: u64) {
        let taken = wait_until(|| self.sim.ledger().count() >= count, LONG).await;
        taken.unwrap_or_else(|problem| panic!("{problem}: {} of {count}", self.sim.ledger().count()));
    }

    /// How many messages there are.
    pub(crate) async fn count(&self) -> usize {
        self.service.messages(Filter::default(), Page { after: None, limit: 1_000 }).await.unwrap().len()
    }

    /// Pauses a worker. A look into the queue that had begun before is told by its time, so what the test sends
    /// next is not yet due for it.
    pub(crate) async fn pause(&self, worker: &str) {
        self.service.set_worker_paused(worker, true, Actor::Operator).await.unwrap();
        self.clock.advance(Duration::from_millis(1));
    }

    /// Returns when both dispatchers have looked into the queue once more: each has sent a message that came
    /// after what the test has done.
    pub(crate) async fn dispatchers_look(&self) {
        for receiver in [KENYAN, AMERICAN] {
            let urgent = Content { scenario: Some("alert".into()), ..text("Look") };
            let id = self.try_send(receiver, urgent).await.unwrap().id;
            self.stands(id, MessageStatus::Sent).await;
        }
    }
}

impl Setup {
    /// Sets a key of a provider.
    pub(crate) fn set(mut self, provider: &str, key: &str, value: impl Into<Value>) -> Self {
        self.keys[provider][key] = value.into();
        self
    }

    /// Leaves a provider without an account.
    pub(crate) fn without(mut self, provider: &str) -> Self {
        self.keys[provider] = json!({});
        self
    }

    pub(crate) fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Changes how submissions of all scenarios are tried again.
    pub(crate) fn retry(self, change: impl Fn(&mut RetryPolicy)) -> Self {
        self.policy(|policy| change(&mut policy.retry))
    }

    /// Changes how messages of all scenarios are treated.
    pub(crate) fn policy(mut self, change: impl Fn(&mut ScenarioPolicy)) -> Self {
        for scenario in Scenario::ALL {
            let mut policy = self.settings.policy(*scenario);
            change(&mut policy);
            self.settings.scenarios.insert(*scenario, policy);
        }
        self
    }

    /// Names the default provider.
    pub(crate) fn default(self, name: &'static str) -> Self {
        Self { default: Some(name), ..self }
    }

    /// Adds a provider that is none of the networks.
    pub(crate) fn provider(mut self, provider: Arc<dyn SmsProvider>) -> Self {
        self.more.push(provider);
        self
    }

    pub(crate) async fn start(self) -> Bench {
        let clock = Arc::new(FakeClock::new());
        let sim = Simulator::start(SimConfig::default()).await.unwrap();
        let database = Database::fresh();
        let service = self.service(&sim, &clock, &database).await;
        service.start().await.unwrap();
        Bench { service, sim, clock, setup: self, database }
    }

    async fn service(&self, sim: &Simulator, clock: &Arc<FakeClock>, database: &Database) -> Arc<SmsService> {
        let configs = REGISTRY.iter().map(|provider| {
            let mut keys = self.keys[provider.name].as_object().cloned().unwrap_or_default();
            keys.entry("base_url").or_insert_with(|| sim.base_url().into());
            provider.configure(keys, None).unwrap()
        });
        let factory = ProviderFactory::new(REGISTRY, configs, self.default);
        let default_provider = match self.default {
            // One that the registry does not know may be there all the same.
            Some(name) => name.parse().unwrap(),
            None => factory.default_provider().clone(),
        };
        Arc::new(SmsService::new(Parts {
            store: store::open(
                database.url(),
                Options { migrate: true, exclusive: true, keys: Some(testkit::database::data_key()) },
            )
            .await
            .unwrap(),
            providers: factory.create_configured().unwrap().into_iter().chain(self.more.clone()).collect(),
            default_provider,
            clock: Arc::clone(clock) as _,
            settings: self.settings.clone(),
            meter: SdkMeterProvider::default().meter("test"),
        }))
    }
}

/// The one caller.
pub(crate) fn caller() -> Caller {
    Caller::of(KeyId::new(FakeClock::START, [1; 10]))
}

pub(crate) fn text(body: &str) -> Content {
    Content { message: body.into(), ..Content::default() }
}

pub(crate) fn request(receiver: &str, content: Content) -> SendRequest {
    SendRequest { receiver: receiver.into(), content, idempotency_key: None }
}

/// A routing rule.
pub(crate) fn rule(provider: &str, countries: &[&str], prefixes: &[&str], scenarios: &[&str]) -> Rule {
    Rule {
        countries: countries.iter().map(|country| country.parse::<Country>().unwrap()).collect(),
        prefixes: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
        scenarios: scenarios.iter().map(|scenario| scenario.parse().unwrap()).collect(),
        hours: None,
        time_zone: None,
        to: Target::Provider(provider.parse().unwrap()),
    }
}

/// Kenyan numbers that mean nothing.
pub(crate) fn kenyans(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("+254712345{n:03}")).collect()
}

/// American numbers that mean nothing.
pub(crate) fn americans(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("+1415555{n:04}")).collect()
}

/// The fields that a request was refused for, each as pointer and code.
pub(crate) fn wrong_fields<T: std::fmt::Debug>(refused: Result<T, SendError>) -> Vec<(String, &'static str)> {
    match refused {
        Err(SendError::Invalid(errors)) => {
            errors.into_iter().map(|error| (error.pointer, FieldProblem::code(&error.problem))).collect()
        }
        other => panic!("not refused for its fields: {other:?}"),
    }
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
