//! A phone in the simulated networks: what it has received, and what its owner writes back.

use std::fmt;

use crate::sim::network::{FromPhone, Network};
use crate::sim::provider::Provider;
use crate::sim::texts::Text;

/// A phone.
#[derive(Clone)]
pub struct Handset<'sim> {
    network: &'sim Network,
    number: String,
}

impl fmt::Debug for Handset<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handset").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<'sim> Handset<'sim> {
    pub(crate) fn new(network: &'sim Network, number: &str) -> Self {
        Self { network, number: number.to_owned() }
    }

    /// The number, as it was given.
    pub fn number(&self) -> &str {
        &self.number
    }

    /// All texts that the networks took for this phone, and replies to what it wrote, in the order in which they came.
    pub fn texts(&self) -> Vec<Text> {
        texts(self.network, &self.number)
    }

    /// The last of them.
    pub fn last_text(&self) -> Option<Text> {
        self.texts().pop()
    }

    /// Writes to a number or short code, by this network. Gives the provider's id of the message. When this returns,
    /// Twilio has heard the gateway's answer.
    pub async fn send(&self, provider: Provider, to: &str, text: &str) -> String {
        let message =
            FromPhone { provider, from: self.number.clone(), to: to.to_owned(), text: text.to_owned() };
        self.network.incoming(&message).await
    }

    /// Answers the last text: by the network that brought it, to the sender that it shows, or else to `number`, which is
    /// the account's own. `None` if there is no text.
    pub async fn reply(&self, number: &str, text: &str) -> Option<String> {
        let last = self.last_text()?;
        let to = last.from.unwrap_or_else(|| number.to_owned());
        Some(self.send(last.provider, &to, text).await)
    }
}

/// What a phone has received.
pub(crate) fn texts(network: &Network, number: &str) -> Vec<Text> {
    let taken = network.state.ledger.to(number).into_iter().map(|entry| Text {
        provider: entry.provider,
        from: entry.from,
        body: entry.body,
        at: entry.accepted_at,
    });
    let answers = network.in_answers.lock().clone().into_iter();
    let mut texts: Vec<Text> = taken.chain(answers.filter(|it| it.to == number).map(|it| it.text)).collect();
    // Those of one moment stay in their order.
    texts.sort_by_key(|text| text.at);
    texts
}
