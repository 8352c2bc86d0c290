//! `tuma prompt`.

use clap::{Args, Subcommand};
use domain::ids::PromptId;
use domain::prompt::Policy;
use domain::time::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::print;

/// Ask many through a running gateway, and count what they answer.
#[derive(Debug, Args)]
pub(super) struct Prompt {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put a question to many.
    Start(Box<Start>),
    /// Show what was answered.
    Show(One),
    /// Close a prompt, whatever was answered.
    Close(One),
}

#[derive(Debug, Args)]
struct Start {
    /// What is asked: invite or approval.
    #[arg(long)]
    kind: String,
    /// A receiver; give it several times to ask many.
    #[arg(long, required = true, value_name = "NUMBER")]
    to: Vec<String>,
    /// The text.
    #[arg(long, short)]
    message: String,
    /// What replies name it by, such as WR-12345.
    #[arg(long)]
    reference: String,
    /// How many must approve: any, all or a number.
    #[arg(long, default_value = "all")]
    policy: Policy,
    /// One who rejects ends it.
    #[arg(long)]
    veto: bool,
    /// When its time is over (RFC 3339).
    #[arg(long, value_name = "TIME")]
    closes_at: Option<Timestamp>,
    /// When those who have not answered are asked again (RFC 3339); give it several times.
    #[arg(long, value_name = "TIME")]
    remind_at: Vec<Timestamp>,
    /// The sender ID to show.
    #[arg(long)]
    sender: Option<String>,
    /// The savings group that it belongs to.
    #[arg(long)]
    group: Option<String>,
    /// What makes it safe to repeat: the same key and question open one prompt.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    client: Client,
}

#[derive(Debug, Args)]
struct One {
    /// The prompt's id.
    #[arg(value_name = "ID")]
    id: PromptId,
    #[command(flatten)]
    client: Client,
}

impl Prompt {
    /// Prints the gateway's answer; fails if it refused.
    pub(super) async fn run(self, environment: &[(String, String)]) -> anyhow::Result<()> {
        let (is_granted, answer) = match self.verb {
            Verb::Start(start) => {
                let key = start.idempotency_key.as_deref();
                start.client.ask_once(environment, Method::POST, "/prompts", Some(&start.body()), key).await?
            }
            Verb::Show(One { id, client }) => {
                client.ask(environment, Method::GET, &format!("/prompts/{id}"), None).await?
            }
            Verb::Close(One { id, client }) => {
                client.ask(environment, Method::POST, &format!("/prompts/{id}/close"), None).await?
            }
        };
        print(serde_json::to_string_pretty(&answer)?);
        anyhow::ensure!(is_granted, "refused");
        Ok(())
    }
}

impl Start {
    fn body(&self) -> Value {
        let policy = match self.policy {
            Policy::AtLeast(number) => json!({ "n": number }),
            word => json!(word.to_string()),
        };
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| _ = body.insert(name.into(), value);
        put("kind", json!(self.kind));
        put("receivers", json!(self.to));
        put("message", json!(self.message));
        put("reference", json!(self.reference));
        put("policy", policy);
        put("veto", json!(self.veto));
        for (name, value) in [("sender", &self.sender), ("group", &self.group)] {
            if let Some(value) = value {
                put(name, json!(value));
            }
        }
        if let Some(at) = self.closes_at {
            put("closes_at", json!(at));
        }
        if !self.remind_at.is_empty() {
            put("reminders", json!(self.remind_at));
        }
        body.into()
    }
}
