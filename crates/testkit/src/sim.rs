//! A simulator of Twilio and Africa's Talking: one HTTP server that speaks the wire of both.
//!
//! It validates as they do, remembers what it took, moves messages through their lives, calls back with
//! signatures where the real one signs, and does wrong when told to: see [`Fault`]. Tests start it as a library;
//! the binary `provider-sim` is the same with options.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use testkit::sim::{Fault, FaultRule, Provider, SimConfig, Simulator};
//!
//! let simulator = Simulator::start(SimConfig::default()).await?;
//! simulator.inject(FaultRule::next(1, Fault::AcceptThenReset).on(Provider::Twilio))?;
//! // … let the gateway submit to simulator.base_url() …
//! assert_eq!(simulator.ledger().duplicates(), []);
//! simulator.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Both providers are at the same address, for their paths differ: Twilio's begin with `/2010-04-01/`, Africa's
//! Talking's with `/version1/`. What the last digits of a receiver mean is written in [`magic`]; what can be
//! asked over HTTP, in [`control`].

pub(crate) mod provider;

pub(crate) mod seed;

pub(crate) mod ledger;

pub(crate) mod faults;

pub(crate) mod life;

pub mod magic;

pub(crate) mod form;

pub(crate) mod config;

pub(crate) mod callbacks;

pub(crate) mod state;

pub(crate) mod exchange;

pub(crate) mod twilio;

pub(crate) mod africastalking;

pub(crate) mod texts;

pub(crate) mod network;

pub(crate) mod handset;

pub mod control;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::config::{
    AFRICASTALKING_API_KEY, AFRICASTALKING_SENDER, AFRICASTALKING_SHARED_SENDER, AFRICASTALKING_USERNAME,
    AfricasTalkingConfig, CallbackUrls, SimConfig, TWILIO_ACCOUNT_SID, TWILIO_API_KEY_SECRET,
    TWILIO_API_KEY_SID, TWILIO_AUTH_TOKEN, TWILIO_MESSAGING_SERVICE_SID, TWILIO_PHONE_NUMBER, TwilioConfig,
};
pub use self::faults::{Fault, FaultRule, RuleError, Scope, SpecError, Trigger};
pub use self::handset::Handset;
pub use self::ledger::{Arrival, Duplicate, Entry, Ledger, LedgerMode, SubmitRequest};
pub use self::life::ReceiptDetail;
pub use self::network::FromPhone;
pub use self::provider::{Provider, ProviderError};
pub use self::state::{CallbackStats, ProviderStats, Stats};
pub use self::texts::Text;
use crate::serve::{Answer, Handler, Hangup, bind, serve};
use crate::sim::callbacks::Callbacks;
use crate::sim::form::{TEXT, answer};
use crate::sim::network::Network;

/// A running simulator. It stops when it is dropped; [`Simulator::stop`] also waits until it has.
pub struct Simulator {
    address: SocketAddr,
    base_url: String,
    network: Arc<Network>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why a simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error("can't listen")]
    Listen(#[from] io::Error),
    /// One of the faults makes no sense.
    #[error(transparent)]
    Fault(#[from] RuleError),
}

impl Simulator {
    /// Starts to listen. When this returns, requests are answered.
    pub async fn start(config: SimConfig) -> Result<Self, StartError> {
        let listener = bind(config.listen).await?;
        let address = listener.local_addr()?;
        let (callbacks, posters) = Callbacks::new(config.callback_concurrency, config.callback_timeout);
        let rules = config.faults.clone();
        let network = Arc::new(Network::new(config, callbacks));
        network.state.faults.add(&rules)?;

        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(serve(listener, Arc::clone(&network), stop.clone()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(posters.run()));
        let timekeeper = Arc::clone(&network);
        tasks.spawn(
            stop.clone()
                .run_until_cancelled_owned(async move { timekeeper.state.callbacks.keep_time().await }),
        );
        tasks.close();
        Ok(Self { address, base_url: format!("http://{address}"), network, stop, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where both providers are: `http://127.0.0.1:40123`, to be followed by a path of theirs.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// What the providers took.
    pub fn ledger(&self) -> &Ledger {
        &self.network.state.ledger
    }

    /// Counts since the start, or the last reset.
    pub fn stats(&self) -> Stats {
        self.network.state.stats()
    }

    /// From now on a fault strikes, besides those that do already.
    pub fn inject(&self, rule: FaultRule) -> Result<(), RuleError> {
        self.network.state.faults.add(&[rule])
    }

    /// The faults that can still strike.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.network.state.faults.rules()
    }

    /// From now on nothing goes wrong.
    pub fn clear_faults(&self) {
        self.network.state.faults.clear();
    }

    /// Sets the URLs that are named, and leaves the others: what a customer enters in a provider's dashboard.
    pub fn set_callback_urls(&self, urls: CallbackUrls) {
        self.network.set_callback_urls(urls);
    }

    /// From now on another API key is good at Twilio, and the one before is not.
    pub fn set_twilio_api_key(&self, sid: &str, secret: &str) {
        self.network.twilio.set_api_key(sid, secret);
    }

    /// From now on another key is good at Africa's Talking, and the one before is not.
    pub fn set_africastalking_api_key(&self, key: &str) {
        self.network.africastalking.set_api_key(key);
    }

    /// A phone sends a message. Gives the provider's id of it.
    pub async fn send_from_phone(&self, message: &FromPhone) -> String {
        self.network.incoming(message).await
    }

    /// The phone with this number, as the gateway writes it.
    pub fn handset(&self, number: &str) -> Handset<'_> {
        Handset::new(&self.network, number)
    }

    /// A receiver opts out of a sender's bulk messages at Africa's Talking.
    pub async fn opt_out(&self, sender: &str, number: &str) {
        self.network.opt_out(sender, number).await;
    }

    /// Forgets everything, as at the start, and clears all faults. Callback URLs stay.
    pub fn reset(&self) {
        self.network.reset();
    }

    /// Stops, and waits until nothing runs any more. Requests under way see their connections close.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Handler for Network {
    async fn handle(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Hangup> {
        let path = request.uri().path();
        if path.starts_with(twilio::ROOT) {
            self.twilio.handle(&self.state, request).await
        } else if path.starts_with(africastalking::ROOT) {
            self.africastalking.handle(&self.state, request).await
        } else if path.starts_with(control::ROOT) {
            control::handle(&self, request).await
        } else {
            Ok(answer(StatusCode::NOT_FOUND, TEXT, "No provider has this path."))
        }
    }
}
