//! `tuma check`.

mod secrets;

use std::sync::Arc;

use clap::Args;
use domain::route::ProviderName;
use domain::time::Clock;
use gateway::SystemClock;
use providers::factory::ConfigError;
use providers::provider::ProbeError;
use providers::{ProviderFactory, REGISTRY};
use store::StoreError;

use super::print;
use crate::config::{Config, PROVIDERS, default_settings};
use crate::keys::Scope;
use crate::listen::Files;
use crate::secrets::{Unread, fetch_what_answers};
use crate::{auth, broker};

/// Say what is wrong with the settings, where secrets come from, and whether each provider's credentials work.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Print every setting with its default and meaning, as a file to start from, and check nothing.
    #[arg(long)]
    print_defaults: bool,
    /// Ask no provider, broker or store of secrets.
    #[arg(long)]
    offline: bool,
}

impl Check {
    /// Fails if anything is wrong, after saying all of it.
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        if self.print_defaults {
            print(default_settings());
            return Ok(());
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (config, unread) = if self.offline {
            (config, Unread::new())
        } else {
            fetch_what_answers(config, Arc::clone(&clock)).await?
        };
        let factory = config.factory()?;
        let mut findings = Findings::default();
        secrets::check(&config, &unread, clock.now(), &mut findings);
        check_store(&config, &mut findings).await;
        check_addresses(&config);
        check_certificate(&config, &mut findings);
        self.check_issuer(&config, &mut findings).await;
        self.check_broker(&config, &mut findings).await;
        for provider in REGISTRY {
            let name: ProviderName = provider.name.parse()?;
            if is_fetched(&config, &format!("{PROVIDERS}{name}.")) {
                self.check_provider(&factory, &name, &mut findings).await;
            } else {
                findings.working += usize::from(self.offline);
                note(&format!("provider {name}"), "its secrets are not known");
            }
        }
        if findings.working == 0 {
            findings.wrong("providers", "none is configured");
        }
        anyhow::ensure!(findings.wrong == 0, "{} of the above must be mended", findings.wrong);
        Ok(())
    }

    /// Whether the issuer of tokens shows keys.
    async fn check_issuer(&self, config: &Config, findings: &mut Findings) {
        let Some(url) = &config.jwt.jwks_url else { return };
        if self.offline {
            return fine("jwt.jwks_url", "set; not asked");
        }
        match auth::ask_issuer(url, Arc::new(SystemClock::new())).await {
            Ok(0) => findings.wrong("jwt.jwks_url", "shows no key for RS256, ES256 or EdDSA"),
            Ok(keys) => fine("jwt.jwks_url", &format!("keys: {keys}")),
            Err(problem) => findings.wrong("jwt.jwks_url", &format!("{problem:#}")),
        }
    }

    async fn check_broker(&self, config: &Config, findings: &mut Findings) {
        if !config.broker.is_set() {
            return;
        }
        if !is_fetched(config, "broker.") {
            return note("broker", "its secrets are not known");
        }
        if self.offline {
            return fine("broker", "configured; not asked");
        }
        match broker::probe(&config.broker).await {
            Ok(answer) => fine("broker", &answer),
            Err(problem) => findings.wrong("broker", &format!("{problem:#}")),
        }
        if config.broker.consumes() {
            check_caller(config, findings).await;
        }
    }

    async fn check_provider(&self, factory: &ProviderFactory, name: &ProviderName, findings: &mut Findings) {
        let what = format!("provider {name}");
        let default = if name == factory.default_provider() { " (default)" } else { "" };
        let provider = match factory.create_provider(Some(name)) {
            Ok(provider) => provider,
            Err(absent @ ConfigError::NotConfigured { .. }) => return note(&what, &absent.to_string()),
            Err(mistake) => return findings.wrong(&what, &mistake.to_string()),
        };
        findings.working += 1;
        if self.offline {
            return fine(&what, &format!("configured{default}; not asked"));
        }
        match provider.check_credentials().await {
            Ok(account) => fine(&what, &format!("{account}{default}")),
            Err(ProbeError::Unsupported) => fine(&what, &format!("configured{default}; can't be asked")),
            Err(refusal) => findings.wrong(&what, &refusal.to_string()),
        }
        if !provider.capabilities().reports_delivery {
            note(&what, "will not report delivery with these settings");
        }
    }
}

/// Whether all secrets are known whose settings begin so.
fn is_fetched(config: &Config, prefix: &str) -> bool {
    !config.held.iter().any(|(key, held)| key.starts_with(prefix) && held.fetched.is_none())
}

async fn check_store(config: &Config, findings: &mut Findings) {
    if !is_fetched(config, "database_url") || !is_fetched(config, "data_key") {
        return note("store", "its address or its key is not known");
    }
    match store::open(config.database_url.expose(), config.store_options(false, false)).await {
        Ok(store) => {
            match store.ping().await {
                Ok(()) => fine("store", "can be read and written"),
                Err(problem) => findings.wrong("store", &problem.to_string()),
            }
            store.close().await;
        }
        Err(StoreError::Missing | StoreError::OlderSchema { found: 0, .. }) => {
            note("store", "is not there yet; tuma serve makes it");
        }
        Err(StoreError::OlderSchema { found, known }) => {
            note("store", &format!("has schema version {found}; tuma serve brings it to {known}"));
        }
        Err(problem) => findings.wrong("store", &problem.to_string()),
    }
}

/// Whether requests from the broker have a caller that may send.
async fn check_caller(config: &Config, findings: &mut Findings) {
    let Some(key) = config.broker.api_key.get() else {
        return findings.wrong("broker.api_key", broker::NO_KEY);
    };
    let Ok(store) = store::open(config.database_url.expose(), config.store_options(false, false)).await
    else {
        return note("broker.api_key", "can't be looked up before the store is there");
    };
    match auth::look_up(&*store, key, SystemClock::new().now()).await {
        Ok(Some(identity)) if identity.may(Scope::Send) => fine("broker.api_key", "may send"),
        Ok(_) => findings.wrong("broker.api_key", "is not valid, or lacks the scope sms:send"),
        Err(problem) => findings.wrong("broker.api_key", &problem.to_string()),
    }
    store.close().await;
}

fn check_addresses(config: &Config) {
    match &config.public_url {
        None => note("public_url", "not set: providers are not asked to report delivery"),
        Some(url) if url.scheme() == "http" => {
            note("public_url", "is not https: anybody between the provider and here can read the callbacks");
        }
        Some(_) => fine("public_url", "set"),
    }
    if !config.listen.ip().is_loopback() && Files::of(&config.http).is_none() {
        note(
            "listen",
            "is reachable from other machines without TLS: set http.tls_certificate_file, or put a TLS proxy before it",
        );
    }
}

fn check_certificate(config: &Config, findings: &mut Findings) {
    let Some(files) = Files::of(&config.http) else { return };
    let now = SystemClock::new().now();
    match files.load().and_then(|pair| pair.check(now).map(|()| pair.ends_soon(now))) {
        Ok(None) => fine("certificate", "can be used, and fits its key"),
        Ok(Some(end)) => note("certificate", &format!("can be used, but only until {end}")),
        Err(problem) => findings.wrong("certificate", &problem.to_string()),
    }
}

fn fine(what: &str, how: &str) {
    print(format_args!("ok    {what}: {how}"));
}

fn note(what: &str, how: &str) {
    print(format_args!("note  {what}: {how}"));
}

/// What was found, said as it is found.
#[derive(Debug, Default)]
struct Findings {
    wrong: usize,
    working: usize,
}

impl Findings {
    fn wrong(&mut self, what: &str, how: &str) {
        self.wrong += 1;
        print(format_args!("WRONG {what}: {how}"));
    }
}
