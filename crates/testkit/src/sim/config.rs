//! How a simulator is set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::time::{Clock, Sleep, Timestamp};
use serde::{Deserialize, Serialize};

use crate::sim::faults::FaultRule;
use crate::sim::ledger::LedgerMode;
use crate::sim::life::ReceiptDetail;

// Nobody's credentials. They are put together from two parts so that tools which look for leaked ones do not
// take them for such.

/// The Twilio account SID that a simulator knows unless it is told another.
pub const TWILIO_ACCOUNT_SID: &str = concat!("AC", "fa4efa4efa4efa4efa4efa4efa4efa4e");
/// The auth token of that account, which also signs callbacks.
pub const TWILIO_AUTH_TOKEN: &str = concat!("7e57", "7e577e577e577e577e577e577e57");
/// The SID of an API key of that account.
pub const TWILIO_API_KEY_SID: &str = concat!("SK", "fa4efa4efa4efa4efa4efa4efa4efa4e");
/// The secret of that API key.
pub const TWILIO_API_KEY_SECRET: &str = concat!("simulated", "-secret-of-an-api-key");
/// A messaging service of that account. Any other SID of the right form does as well.
pub const TWILIO_MESSAGING_SERVICE_SID: &str = concat!("MG", "fa4efa4efa4efa4efa4efa4efa4efa4e");
/// A Twilio number that messages may come from: the valid one of Twilio's test credentials. Any other sender of
/// the right form does as well.
pub const TWILIO_PHONE_NUMBER: &str = "+15005550006";
/// The Africa's Talking user name that a simulator knows unless it is told another.
pub const AFRICASTALKING_USERNAME: &str = "sandbox";
/// The key of that user.
pub const AFRICASTALKING_API_KEY: &str = concat!("atsk_", "simulated_key_of_the_sandbox");
/// The sender ID that is registered unless others are.
pub const AFRICASTALKING_SENDER: &str = "TUMA";
/// The sender ID that all users of Africa's Talking share, shown where none is named.
pub const AFRICASTALKING_SHARED_SENDER: &str = "AFRICASTKNG";

/// How a simulator is set up. [`Default`] is what most tests want; change single fields of it.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Where to listen; port 0 for any free one. Default 127.0.0.1:0.
    pub listen: SocketAddr,
    /// What all chance comes from. Default 1.
    pub seed: u64,
    /// What dates come from. Delays run in real time whatever it shows. Default the machine's clock.
    pub clock: Arc<dyn Clock>,
    /// How much is kept of what is taken. Default everything.
    pub ledger: LedgerMode,
    /// Texts that begin so are watched for: when each was taken is kept, whatever the ledger keeps. Default none.
    pub watched_text: Option<String>,
    /// Whether the last digits of a receiver choose what becomes of a message. Turn it off for load with made-up
    /// numbers, of which some would be magic by accident. Default on.
    pub magic_numbers: bool,
    /// Twilio's side.
    pub twilio: TwilioConfig,
    /// Africa's Talking's side.
    pub africastalking: AfricasTalkingConfig,
    /// Where callbacks go that no request names a URL for. Default nowhere.
    pub callback_urls: CallbackUrls,
    /// From taking a message to its being sent. Default 20 ms.
    pub sent_after: Duration,
    /// From taking a message to its end. Default 60 ms.
    pub ended_after: Duration,
    /// Which stages of a message are told. Default all.
    pub receipts: ReceiptDetail,
    /// How many callbacks are under way at most. Default 32.
    pub callback_concurrency: usize,
    /// How long a callback may take. Default 15 s, as at Twilio (its page on error 11205).
    pub callback_timeout: Duration,
    /// What goes wrong from the start. Default nothing.
    pub faults: Vec<FaultRule>,
}

/// How Twilio's side of a simulator is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwilioConfig {
    /// Account SID, in the path and (with the auth token) in Basic authentication.
    pub account_sid: String,
    /// Auth token; signs callbacks in either way of authentication.
    pub auth_token: String,
    /// API key SID, for Basic authentication with the secret.
    pub api_key_sid: String,
    /// API key secret.
    pub api_key_secret: String,
    /// Money on the account at the start, in millionths of a US dollar. Default 1,000.
    pub balance_micros: i64,
    /// Price of a segment in millionths of a US dollar. Default 0.0075.
    pub price_micros: i64,
    /// How many requests may be under way at once before Twilio answers 429 with code 20429. Default no limit.
    pub concurrency_limit: Option<u32>,
}

/// How Africa's Talking's side of a simulator is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AfricasTalkingConfig {
    /// The user.
    pub username: String,
    /// The user's key.
    pub api_key: String,
    /// The sender IDs that are registered. An empty sender is always allowed.
    pub senders: Vec<String>,
    /// Money on the account at the start, in millionths of a Kenyan shilling. Default 1,000,000,000.
    pub balance_micros: i64,
    /// Price of a segment in millionths of a Kenyan shilling. Default 0.8.
    pub price_micros: i64,
}

/// Where callbacks go that no request names a URL for: what a customer enters in a provider's dashboard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallbackUrls {
    /// Africa's Talking's delivery reports.
    pub africastalking_delivery: Option<String>,
    /// Messages from phones, by Africa's Talking.
    pub africastalking_incoming: Option<String>,
    /// Opt-outs from bulk messages, by Africa's Talking.
    pub africastalking_opt_out: Option<String>,
    /// Messages from phones, by Twilio.
    pub twilio_incoming: Option<String>,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            seed: 1,
            clock: Arc::new(WallClock),
            ledger: LedgerMode::Full,
            watched_text: None,
            magic_numbers: true,
            twilio: TwilioConfig::default(),
            africastalking: AfricasTalkingConfig::default(),
            callback_urls: CallbackUrls::default(),
            sent_after: Duration::from_millis(20),
            ended_after: Duration::from_millis(60),
            receipts: ReceiptDetail::All,
            callback_concurrency: 32,
            callback_timeout: Duration::from_secs(15),
            faults: Vec::new(),
        }
    }
}

impl Default for TwilioConfig {
    fn default() -> Self {
        Self {
            account_sid: TWILIO_ACCOUNT_SID.to_owned(),
            auth_token: TWILIO_AUTH_TOKEN.to_owned(),
            api_key_sid: TWILIO_API_KEY_SID.to_owned(),
            api_key_secret: TWILIO_API_KEY_SECRET.to_owned(),
            balance_micros: 1_000_000_000,
            price_micros: 7_500,
            concurrency_limit: None,
        }
    }
}

impl Default for AfricasTalkingConfig {
    fn default() -> Self {
        Self {
            username: AFRICASTALKING_USERNAME.to_owned(),
            api_key: AFRICASTALKING_API_KEY.to_owned(),
            senders: vec![AFRICASTALKING_SENDER.to_owned(), AFRICASTALKING_SHARED_SENDER.to_owned()],
            balance_micros: 1_000_000_000_000_000,
            price_micros: 800_000,
        }
    }
}

/// The machine's clock. The server has its own: the simulator does not depend on the server.
#[derive(Debug)]
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "the simulator is a provider: it has a clock of its own"
        )]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp::from_micros(since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
    }

    fn sleep_until(&self, moment: Timestamp) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(moment.since(self.now())))
    }
}
