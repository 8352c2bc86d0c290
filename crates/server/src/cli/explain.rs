//! `tuma explain`: what would become of a message, without a running gateway and without sending anything.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use domain::ids::KeyId;
use domain::route::{ProviderName, Route};
use domain::time::{Clock, Timestamp};
use gateway::explain::{Explanation, Way};
use gateway::request::Content;
use gateway::{Caller, SendError, SendRequest, SystemClock};
use store::{Store, StoreError};
use tempfile::TempDir;

use super::{print, say};
use crate::assemble::{self, Carriers};
use crate::config::{Config, Metrics};
use crate::telemetry::Figures;

/// Say what would become of a message, and send nothing.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The receiver, in any form that people write phone numbers.
    receiver: String,
    /// The text.
    text: String,
    /// What it is for: otp, transaction, `chama_invite`, `chama_withdrawal`, alert or general.
    #[arg(long)]
    scenario: Option<String>,
    /// The sender ID to show.
    #[arg(long)]
    sender: Option<String>,
    /// As one of the receivers of `POST /sms/bulk`: those go by lanes of their own.
    #[arg(long)]
    bulk: bool,
}

/// A provider that an operator took out of service, and since when.
type Drained = Vec<(ProviderName, Timestamp)>;

impl Explain {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let (store, _folder) = open(config).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let explained = self.explain(config, &store, &clock).await;
        store.close().await;
        let (explanation, drained) = explained?;
        show(&explanation, &drained, clock.now());
        Ok(())
    }

    async fn explain(
        self,
        config: &Config,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<(Explanation, Drained)> {
        // Nothing is counted, and nothing is pushed.
        let figures = Figures::start(&Metrics { otlp_endpoint: None, ..config.metrics.clone() })?;
        let service = assemble::service(config, &Carriers::of(config)?, store, &figures, clock);
        let request = SendRequest {
            receiver: self.receiver,
            content: Content {
                message: self.text,
                scenario: self.scenario,
                sender: self.sender,
                ..Content::default()
            },
            idempotency_key: None,
        };
        let nobody = Caller::of(KeyId::new(clock.now(), [0; 10]));
        let way = if self.bulk { Way::Bulk } else { Way::Alone };
        let explanation = service.explain(&nobody, &request, way).await.inspect_err(|refusal| {
            if let SendError::Invalid(errors) = refusal {
                for error in errors {
                    say(format_args!("{} {}", error.pointer.trim_start_matches('/'), error.problem));
                }
            }
        })?;
        Ok((explanation, store.drained().await?))
    }
}

/// The database of the settings; where there is none yet, an empty one for as long as this takes.
async fn open(config: &Config) -> anyhow::Result<(Arc<dyn Store>, Option<TempDir>)> {
    let options = config.store_options(false, false);
    match store::open(config.database_url.expose(), options).await {
        Err(StoreError::Missing | StoreError::OlderSchema { found: 0, .. }) => {
            let folder = tempfile::tempdir().context("no temporary folder can be made")?;
            let url = format!("sqlite:{}", folder.path().join("empty.db").display());
            let store = store::open(&url, config.store_options(true, false)).await?;
            Ok((store, Some(folder)))
        }
        opened => Ok((opened.context("the store can't be opened")?, None)),
    }
}

fn show(explanation: &Explanation, drained: &Drained, now: Timestamp) {
    let Explanation { receiver, scenario, priority, encoding, characters, segments, .. } = explanation;
    let row = |name: &str, value: String| print(format_args!("{name:<10}{value}"));
    row("receiver", format!("{}, {}", receiver.to_e164(), receiver.country()));
    row("scenario", format!("{scenario}, lane {priority}"));
    let unit = if *segments == 1 { "segment" } else { "segments" };
    row("text", format!("{characters} characters, {}, {segments} {unit}", encoding.as_str()));
    for offender in &explanation.offenders {
        let (character, position) = (offender.character, offender.position);
        row("", format!("{character:?} at {position} makes it travel as {}", encoding.as_str()));
    }
    let leaves = match explanation.leaves_at {
        at if explanation.is_held => format!("{at}, held back by quiet hours"),
        at if at > now => at.to_string(),
        _ => "at once".into(),
    };
    row("leaves", leaves);
    row("expires", explanation.expires_at.map_or_else(|| "never".into(), |at| at.to_string()));
    if let Some(by) = &explanation.opted_out {
        row("refused", format!("the receiver {by}"));
    }
    for reached in &explanation.reached {
        row("refused", reached.to_string());
    }
    print("routes");
    let since = |route: &Route| drained.iter().find(|(name, _)| *name == route.provider).map(|(_, at)| *at);
    let taken = explanation.routes.iter().position(|route| route.is_usable() && since(route).is_none());
    for (index, route) in explanation.routes.iter().enumerate() {
        let drained = since(route).map(|at| format!("; drained since {at}")).unwrap_or_default();
        let mark = if taken == Some(index) { " <- taken" } else { "" };
        print(format_args!("  {}. {}{drained}{mark}", index + 1, route.explain()));
    }
    say("breakers of a running gateway are not known here: GET /providers shows them");
}
