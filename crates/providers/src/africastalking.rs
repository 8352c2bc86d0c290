//! Africa's Talking bulk SMS, by the form endpoint that its own client libraries use (Africa's Talking,
//! "Sending SMS").
//!
//! What shapes this adapter: one request carries many receivers, and its answer has a verdict for each, under
//! an HTTP status that says nothing (201 for refusals too). No request can be asked after, and receipts name
//! only the provider's id: an answer that is lost leaves a message in doubt until a receipt for its number
//! comes. And receipts bear no signature, so they are taken at a secret URL only.

mod errors;

mod incoming;

mod settings;

mod wire;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::attempt::{Failure, ProviderMessageId, Reason, Submission, SubmitOutcome};
use domain::consent::Extent;
use domain::inbound::{Inbound, ListedOptOut};
use domain::money::Money;
use domain::phone::{Msisdn, SenderId};
use domain::receipt::{Receipt, ReceiptStatus};
use domain::route::ProviderName;
use domain::secret::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use self::settings::Settings;
use crate::address::Addresses;
use crate::callback::{self, Params};
use crate::client::{ANSWER_LIMIT, HttpClient};
use crate::endpoint::{Endpoint, Form, field};
use crate::factory::{ConfigError, ProviderConfig, Registration};
use crate::pace::Pace;
use crate::provider::{
    CallbackError, CallbackKind, CallbackRequest, Capabilities, INTERNATIONAL, ProbeError, SmsProvider,
};

/// Receivers in one request at most: the answer has some 200 bytes for each, and must stay below
/// [`ANSWER_LIMIT`](crate::client::ANSWER_LIMIT).
const MOST_RECEIVERS: u32 = 200;

/// What the registry knows of Africa's Talking.
pub const REGISTRATION: Registration = Registration {
    name: "africastalking",
    settings: settings::SECTION,
    environment: settings::ENVIRONMENT,
    secrets: &["api_key", "callback_secret"],
    identities: &["username"],
    create: |config| Ok(Arc::new(AfricasTalking::new(&config)?)),
};

/// The longest network code that is kept: an MCC has three digits, an MNC at most three.
const LONGEST_NETWORK_CODE: usize = 8;

/// One Africa's Talking account.
pub struct AfricasTalking {
    name: ProviderName,
    pace: Pace,
    client: HttpClient,
    messaging: Endpoint,
    user: Endpoint,
    username: String,
    /// The field of the sender where a message names none, encoded; may be empty.
    from: String,
    default_sender: Option<SenderId>,
    /// The fields that are the same in each request, encoded.
    always: String,
    retry_gateway_errors: bool,
    callback_secret: Option<SecretString>,
    callback_addresses: Addresses,
}

impl fmt::Debug for AfricasTalking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AfricasTalking({})", self.name)
    }
}

impl AfricasTalking {
    fn new(config: &ProviderConfig) -> Result<Self, ConfigError> {
        let settings = settings::read(config)?;
        let mut user = Form::with_capacity(64);
        user.push("username", &settings.username);
        let url = |path: &str| settings.base_url.at(path).map_err(|error| config.invalid(error.to_string()));
        config.at_most_receivers(MOST_RECEIVERS)?;
        let client = HttpClient::new(settings.base_url.url(), &config.pace)
            .map_err(|error| config.invalid(error.to_string()))?;
        Ok(Self {
            name: config.name.clone(),
            pace: config.pace,
            client,
            messaging: Endpoint::post_form(url("/version1/messaging")?, settings.credential.clone()),
            user: Endpoint::get(
                url(&format!("/version1/user?{}", user.as_str()))?,
                settings.credential.clone(),
            ),
            default_sender: settings.from.clone(),
            from: settings.from.as_ref().map(|from| field("from", from.as_str())).unwrap_or_default(),
            always: always(&settings),
            username: settings.username,
            retry_gateway_errors: settings.retry_gateway_errors,
            callback_secret: settings.callback_secret,
            callback_addresses: settings.callback_addresses,
        })
    }

    /// Submits messages of one text and one sender to different receivers, in one request.
    async fn submit(&self, submissions: &[&Submission]) -> Vec<SubmitOutcome> {
        let Some(first) = submissions.first() else { return Vec::new() };
        let mut numbers = String::with_capacity(16 * submissions.len());
        for submission in submissions {
            if !numbers.is_empty() {
                numbers.push(',');
            }
            numbers.push_str(&submission.receiver.to_e164());
        }
        let body = first.body.expose();
        let mut form = Form::with_capacity(256 + 2 * numbers.len() + body.len() + body.len() / 2);
        form.push("username", &self.username);
        form.push("to", &numbers);
        form.push("message", body);
        match &first.sender {
            Some(sender) => form.push("from", sender.as_str()),
            None => form.push_encoded(&self.from),
        }
        form.push_encoded(&self.always);
        match self.client.post(&self.messaging, form).await {
            Ok(answer) => wire::submitted(&answer, submissions, self.retry_gateway_errors),
            Err(error) => vec![error.outcome(); submissions.len()],
        }
    }

    /// The positions of the messages that can go together with the first one that has no outcome yet: of the
    /// same text and sender, and each receiver once, because a verdict is told by its number.
    fn next_request(&self, submissions: &[Submission], outcomes: &[Option<SubmitOutcome>]) -> Vec<usize> {
        let most = usize::try_from(self.pace.max_receivers_per_request).unwrap_or(usize::MAX);
        let mut together: Vec<(usize, &Submission)> = Vec::with_capacity(submissions.len().min(most));
        for (position, submission) in submissions.iter().enumerate() {
            let goes_along = together
                .first()
                .is_none_or(|(_, first)| first.body == submission.body && first.sender == submission.sender)
                && together.iter().all(|(_, other)| other.receiver != submission.receiver);
            if outcomes.get(position).is_some_and(Option::is_none) && goes_along && together.len() < most {
                together.push((position, submission));
            }
        }
        together.into_iter().map(|(position, _)| position).collect()
    }

    /// Takes a callback by the secret in its URL, and the address that it comes from.
    fn admit(&self, request: &CallbackRequest<'_>) -> Result<(), CallbackError> {
        let secret =
            self.callback_secret.as_ref().ok_or(CallbackError::Forged("no callback secret is set"))?;
        let token = request.token.ok_or(CallbackError::Forged("no secret in the URL"))?;
        if !bool::from(secret.expose_secret().as_bytes().ct_eq(token.as_bytes())) {
            return Err(CallbackError::Forged("wrong secret in the URL"));
        }
        let is_listed = request.caller.is_some_and(|caller| self.callback_addresses.contains(caller));
        if !self.callback_addresses.is_empty() && !is_listed {
            return Err(CallbackError::Forged("an address that is not listed in callback_addresses"));
        }
        Ok(())
    }

    fn receipt(&self, params: &Params<'_>, request: &CallbackRequest<'_>) -> Result<Receipt, CallbackError> {
        let field = |name, missing| params.get(name).ok_or(CallbackError::Malformed(missing));
        let id = field("id", "no id")?;
        let word = field("status", "no status")?;
        let status = receipt_status(word);
        let is_bad = matches!(status, Some(ReceiptStatus::Failed | ReceiptStatus::Undelivered));
        let network_code = params.get("networkCode").filter(|code| code.len() <= LONGEST_NETWORK_CODE);
        Ok(Receipt {
            provider: self.name.clone(),
            provider_message_id: ProviderMessageId::new(id)
                .filter(|id| id.as_str() != wire::NO_ID)
                .ok_or(CallbackError::Malformed("the id is none"))?,
            message_id: None,
            attempt: None,
            receiver: params.get("phoneNumber").and_then(|number| Msisdn::parse(number, INTERNATIONAL).ok()),
            provider_status: callback::word(word),
            status,
            failure: is_bad.then(|| failure(word, params.get("failureReason"))),
            network_code: network_code.map(str::to_owned),
            received_at: request.received_at,
        })
    }
}

fn always(settings: &Settings) -> String {
    let enqueue = if settings.enqueue { "&enqueue=1" } else { "" };
    let keyword = settings.keyword.as_ref().map(|keyword| field("keyword", keyword)).unwrap_or_default();
    format!("{enqueue}{keyword}")
}

/// What the status of a report says (Africa's Talking, "Delivery reports"). `Success` means delivered here,
/// but only accepted in the answer to a request. `AbsentSubscriber` is not called final; a later `Success`
/// goes over it.
fn receipt_status(word: &str) -> Option<ReceiptStatus> {
    match word {
        "Sent" | "Submitted" | "Buffered" => Some(ReceiptStatus::Sent),
        "Success" => Some(ReceiptStatus::Delivered),
        "Rejected" => Some(ReceiptStatus::Failed),
        "Failed" | "Expired" | "AbsentSubscriber" => Some(ReceiptStatus::Undelivered),
        _ => None,
    }
}

/// Why it failed: by the failure reason, else by the status.
fn failure(status: &str, reason: Option<&str>) -> Failure {
    let by_status = match status {
        "Expired" => Reason::Expired,
        "AbsentSubscriber" => Reason::Unreachable,
        _ => Reason::Unknown,
    };
    match reason.and_then(callback::code) {
        Some(name) => Failure::with_code(errors::failure_reason(name).unwrap_or(by_status), name),
        None => Failure::new(by_status),
    }
}

#[async_trait]
impl SmsProvider for AfricasTalking {
    fn provider_name(&self) -> &ProviderName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            callbacks_name_our_message: false,
            finds_submissions: false,
            reports_delivery: self.callback_secret.is_some(),
        }
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    async fn send_sms(&self, submission: &Submission) -> SubmitOutcome {
        let outcome = self.submit(&[submission]).await.pop();
        outcome.unwrap_or_else(|| SubmitOutcome::Ambiguous(Failure::new(Reason::BadAnswer)))
    }

    async fn send_bulk_sms(&self, submissions: &[Submission]) -> Vec<SubmitOutcome> {
        let mut outcomes: Vec<Option<SubmitOutcome>> = vec![None; submissions.len()];
        loop {
            let positions = self.next_request(submissions, &outcomes);
            if positions.is_empty() {
                break;
            }
            let request: Vec<&Submission> =
                positions.iter().filter_map(|position| submissions.get(*position)).collect();
            for (position, outcome) in positions.iter().zip(self.submit(&request).await) {
                if let Some(place) = outcomes.get_mut(*position) {
                    *place = Some(outcome);
                }
            }
        }
        let lost = || SubmitOutcome::Ambiguous(Failure::new(Reason::BadAnswer));
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(lost)).collect()
    }

    fn parse_callback(&self, request: &CallbackRequest<'_>) -> Result<Vec<Receipt>, CallbackError> {
        if request.kind != CallbackKind::Status {
            return Err(CallbackError::Unsupported);
        }
        self.admit(request)?;
        self.receipt(&Params::parse(request.body), request).map(|receipt| vec![receipt])
    }

    fn parse_incoming(&self, request: &CallbackRequest<'_>) -> Result<Inbound, CallbackError> {
        self.admit(request)?;
        incoming::read(&self.name, request)
    }

    fn parse_opt_out(&self, request: &CallbackRequest<'_>) -> Result<ListedOptOut, CallbackError> {
        self.admit(request)?;
        incoming::opt_out(&self.name, request)
    }

    fn default_sender(&self) -> Option<SenderId> {
        self.default_sender.clone()
    }

    /// `UserInBlacklist` (406) is what a sender for promotions hears about everybody who has shut out promotions at the
    /// operator: no word on anything else.
    fn refusal_extent(&self) -> Extent {
        Extent::Promotional
    }

    async fn balance(&self) -> Result<Money, ProbeError> {
        wire::balance(&self.client.get(&self.user, ANSWER_LIMIT).await?)
    }

    async fn check_credentials(&self) -> Result<String, ProbeError> {
        self.balance().await.map(|balance| format!("the account has {balance}"))
    }
}
