//! Both providers together.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::sim::africastalking::AfricasTalking;
use crate::sim::callbacks::Callbacks;
use crate::sim::config::{CallbackUrls, SimConfig};
use crate::sim::provider::Provider;
use crate::sim::state::State;
use crate::sim::texts::{self, InAnswer, Text};
use crate::sim::twilio::Twilio;

/// A message from a phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromPhone {
    /// Who passes it on.
    pub provider: Provider,
    /// The phone's number.
    pub from: String,
    /// The number or short code that it was sent to.
    pub to: String,
    /// The text.
    pub text: String,
}

/// Both providers, and what they share.
pub(crate) struct Network {
    pub(crate) state: State,
    pub(crate) twilio: Twilio,
    pub(crate) africastalking: AfricasTalking,
    /// What a gateway answered messages from phones with.
    pub(crate) in_answers: Mutex<Vec<InAnswer>>,
}

impl Network {
    pub(crate) fn new(config: SimConfig, callbacks: Callbacks) -> Self {
        Self {
            twilio: Twilio::new(&config),
            africastalking: AfricasTalking::new(&config),
            state: State::new(config, callbacks),
            in_answers: Mutex::default(),
        }
    }

    /// Passes a message from a phone on, and tells its id.
    pub(crate) async fn incoming(&self, message: &FromPhone) -> String {
        let FromPhone { from, to, text, .. } = message;
        let (id, post) = match message.provider {
            Provider::AfricasTalking => self.africastalking.incoming(&self.state, from, to, text),
            Provider::Twilio => {
                let url = self.state.urls.read().twilio_incoming.clone();
                let (id, post) =
                    self.twilio.incoming(&self.state, url.as_deref().unwrap_or_default(), from, to, text);
                (id, url.map(|_| post))
            }
        };
        if let Some(post) = post {
            let answer = self.state.callbacks.post_and_hear(post).await;
            // Only Twilio reads what it is answered.
            if let (Provider::Twilio, Some(answer)) = (message.provider, answer) {
                self.deliver(message, &answer);
            }
        }
        id
    }

    /// Brings the messages in an answer to the phone that wrote.
    fn deliver(&self, message: &FromPhone, answer: &[u8]) {
        let replies = texts::messages_of(answer).into_iter().map(|body| InAnswer {
            to: message.from.clone(),
            text: Text {
                provider: message.provider,
                from: Some(message.to.clone()),
                body,
                at: self.state.now(),
            },
        });
        self.in_answers.lock().extend(replies);
    }

    /// Passes on that a receiver wants no more bulk messages of a sender.
    pub(crate) async fn opt_out(&self, sender: &str, number: &str) {
        let post = AfricasTalking::opt_out(&self.state, sender, number);
        if let Some(post) = post {
            self.state.callbacks.post(post).await;
        }
    }

    /// Sets the URLs that are named in `new` and leaves the others.
    pub(crate) fn set_callback_urls(&self, new: CallbackUrls) {
        let mut urls = self.state.urls.write();
        let old = std::mem::take(&mut *urls);
        *urls = CallbackUrls {
            africastalking_delivery: new.africastalking_delivery.or(old.africastalking_delivery),
            africastalking_incoming: new.africastalking_incoming.or(old.africastalking_incoming),
            africastalking_opt_out: new.africastalking_opt_out.or(old.africastalking_opt_out),
            twilio_incoming: new.twilio_incoming.or(old.twilio_incoming),
        };
    }

    /// Everything as at the start, but without faults. Callback URLs stay.
    pub(crate) fn reset(&self) {
        self.state.reset();
        self.in_answers.lock().clear();
        self.twilio.reset(&self.state.config);
        self.africastalking.reset(&self.state.config);
    }
}
