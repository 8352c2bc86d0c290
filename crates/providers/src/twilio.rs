//! Twilio Programmable Messaging, by its REST API of 2010-04-01 (Twilio, "Messages resource").
//!
//! What shapes this adapter: Twilio takes one receiver a request, keeps no reference of ours and knows no
//! idempotency key, so a repeated request is a second SMS. The only thing of ours that comes back is the URL
//! of the status callback, so our message id stands in its query: a receipt then finds its message even if the
//! answer to the submission was lost. And a message can be looked up afterwards.

mod errors;

mod incoming;

mod settings;

mod signature;

mod wire;

mod search;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::attempt::{Failure, ProviderMessageId, Reason, Submission, SubmitOutcome};
use domain::ids::MessageId;
use domain::inbound::Inbound;
use domain::money::Money;
use domain::phone::{Msisdn, SenderId};
use domain::receipt::{Receipt, ReceiptStatus};
use domain::route::ProviderName;
use domain::secret::Body;

use self::settings::{DefaultSender, Settings};
use self::signature::Keys;
use crate::callback::{self, Params};
use crate::client::{ANSWER_LIMIT, HttpClient};
use crate::endpoint::{BaseUrl, Endpoint, Form, field};
use crate::factory::{ConfigError, ProviderConfig, Registration};
use crate::pace::Pace;
use crate::provider::{
    CallbackAnswer, CallbackError, CallbackKind, CallbackRequest, Capabilities, Found, INTERNATIONAL,
    ProbeError, SmsProvider, SubmissionQuery,
};

/// What the registry knows of Twilio.
pub const REGISTRATION: Registration = Registration {
    name: "twilio",
    settings: settings::SECTION,
    environment: settings::ENVIRONMENT,
    secrets: &["auth_token", "auth_token_previous", "api_key_secret", "shared_key_secret"],
    identities: &["account_sid", "api_key_sid", "shared_key_id"],
    create: |config| Ok(Arc::new(Twilio::new(&config)?)),
};

/// One Twilio account.
pub struct Twilio {
    name: ProviderName,
    pace: Pace,
    client: HttpClient,
    account_sid: String,
    by_api_key: bool,
    keys: Keys,
    base_url: BaseUrl,
    smart_encoded: bool,
    default_sender: Option<SenderId>,
    /// Where messages are created.
    create: Endpoint,
    /// Something to read, at a URL that is put in for each request.
    read: Endpoint,
    account: Endpoint,
    balance: Endpoint,
    messages_path: String,
    /// The field of the Messaging Service, encoded; empty where there is none.
    service: String,
    /// The field of the sender where a message names none, encoded; empty where the service picks it.
    from: String,
    /// The field with the callback URL up to our message id, encoded, where receipts are asked for.
    callback: Option<String>,
    /// The fields that are the same in each request, encoded.
    always: String,
}

impl fmt::Debug for Twilio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Twilio({})", self.name)
    }
}

impl Twilio {
    fn new(config: &ProviderConfig) -> Result<Self, ConfigError> {
        let settings = settings::read(config)?;
        let account_path = format!("/2010-04-01/Accounts/{}", settings.account_sid);
        let messages_path = format!("{account_path}/Messages.json");
        let url = |path: &str| settings.base_url.at(path).map_err(|error| config.invalid(error.to_string()));
        let read = Endpoint::get(url(&messages_path)?, settings.credential.clone());
        config.at_most_receivers(1)?;
        let client = HttpClient::new(settings.base_url.url(), &config.pace)
            .map_err(|error| config.invalid(error.to_string()))?;
        let callback = callback_field(config, &settings)?;
        let (service, from, default_sender) = match settings.sender {
            DefaultSender::From(sender) => (String::new(), field("From", sender.as_str()), Some(sender)),
            DefaultSender::Service(sid) => (field("MessagingServiceSid", &sid), String::new(), None),
        };
        Ok(Self {
            name: config.name.clone(),
            pace: config.pace,
            client,
            create: Endpoint::post_form(url(&messages_path)?, settings.credential),
            account: read.at(url(&format!("{account_path}.json"))?),
            balance: read.at(url(&format!("{account_path}/Balance.json"))?),
            read,
            messages_path,
            service,
            from,
            callback,
            always: always(settings.validity_period_s, settings.smart_encoded),
            account_sid: settings.account_sid,
            by_api_key: settings.by_api_key,
            keys: Keys { auth_tokens: settings.auth_tokens, shared: settings.shared_key },
            smart_encoded: settings.smart_encoded,
            default_sender,
            base_url: settings.base_url,
        })
    }

    /// The form that creates a message.
    fn form(&self, submission: &Submission) -> Form {
        let body = submission.body.expose();
        // Latin letters take one byte each; what does not fit grows the buffer.
        let mut form = Form::with_capacity(384 + body.len() + body.len() / 2);
        form.push("To", &submission.receiver.to_e164());
        form.push_encoded(&self.service);
        match &submission.sender {
            Some(sender) => form.push("From", sender.as_str()),
            None => form.push_encoded(&self.from),
        }
        form.push("Body", body);
        if let Some(callback) = &self.callback {
            form.push_encoded(callback);
            form.push_encoded(&format!("{}%26a%3D{}", submission.message_id, submission.attempt));
        }
        form.push_encoded(&self.always);
        form
    }

    /// Whether a key without access to the account resource can at least list messages.
    async fn check_list(&self) -> Result<(), ProbeError> {
        let url = self.base_url.at(&format!("{}?PageSize=1", self.messages_path));
        let url = url.or(Err(ProbeError::Refused(Failure::new(Reason::Config))))?;
        let answer = self.client.get(&self.read.at(url), ANSWER_LIMIT).await?;
        wire::shown::<wire::Page<'_>>(&answer).map(drop)
    }

    /// The parameters of a callback that Twilio has signed.
    fn signed<'a>(&self, request: &CallbackRequest<'a>) -> Result<Params<'a>, CallbackError> {
        if !self.keys.are_set() {
            return Err(CallbackError::Forged("no auth token is set to check it by"));
        }
        let form = Params::parse(request.body);
        self.keys.check(request, &form).map_err(CallbackError::Forged)?;
        if request.body.is_empty() {
            // An account may be set to call by GET: then everything stands in the URL, which is signed.
            return Ok(Params::parse(callback::query(request.url).as_bytes()));
        }
        if !callback::is_form(request.headers) {
            return Err(CallbackError::Malformed("not a form"));
        }
        Ok(form)
    }

    fn receipt(&self, params: &Params<'_>, request: &CallbackRequest<'_>) -> Result<Receipt, CallbackError> {
        let field = |name, missing| params.get(name).ok_or(CallbackError::Malformed(missing));
        if field("AccountSid", "no AccountSid")? != self.account_sid {
            return Err(CallbackError::Forged("for another account"));
        }
        let sid = field("MessageSid", "no MessageSid")?;
        let word = field("MessageStatus", "no MessageStatus")?;
        let status = wire::receipt_status(word);
        let is_bad = matches!(status, Some(ReceiptStatus::Failed | ReceiptStatus::Undelivered));
        let query = Params::parse(callback::query(request.url).as_bytes());
        Ok(Receipt {
            provider: self.name.clone(),
            provider_message_id: ProviderMessageId::new(sid)
                .ok_or(CallbackError::Malformed("MessageSid is too long"))?,
            message_id: query.get("m").and_then(|id| id.parse::<MessageId>().ok()),
            attempt: query.get("a").and_then(|number| number.parse().ok()),
            receiver: params.get("To").and_then(|to| Msisdn::parse(to, INTERNATIONAL).ok()),
            provider_status: callback::word(word),
            status,
            failure: is_bad
                .then(|| errors::delivery_failure(params.get("ErrorCode").and_then(callback::code))),
            network_code: None,
            received_at: request.received_at,
        })
    }
}

fn always(validity_period_s: Option<u32>, smart_encoded: bool) -> String {
    let validity = validity_period_s.map(|seconds| format!("&ValidityPeriod={seconds}")).unwrap_or_default();
    let encoding = if smart_encoded { "&SmartEncoded=true" } else { "" };
    format!("{validity}{encoding}")
}

/// The callback field up to our message id. `None` where receipts are not wanted, could not reach us, or could
/// not be told from forged ones.
fn callback_field(config: &ProviderConfig, settings: &Settings) -> Result<Option<String>, ConfigError> {
    let Some(public_url) = config.public_url.as_ref().filter(|_| settings.status_callbacks) else {
        return Ok(None);
    };
    if settings.auth_tokens.is_empty() && settings.shared_key.is_none() {
        tracing::warn!(
            provider = %config.name,
            "no auth token to check callbacks by: delivery receipts are not asked for"
        );
        return Ok(None);
    }
    if public_url.host_str().is_some_and(|host| host.contains('_')) {
        return Err(config.invalid(
            "Twilio calls no host with an underscore: change the public URL, or set status_callbacks = false",
        ));
    }
    let base = public_url.as_str().trim_end_matches('/');
    Ok(Some(field("StatusCallback", &format!("{base}/webhooks/{}/status?m=", config.name))))
}

#[async_trait]
impl SmsProvider for Twilio {
    fn provider_name(&self) -> &ProviderName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            callbacks_name_our_message: self.callback.is_some(),
            finds_submissions: true,
            reports_delivery: self.callback.is_some(),
        }
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    async fn send_sms(&self, submission: &Submission) -> SubmitOutcome {
        match self.client.post(&self.create, self.form(submission)).await {
            Ok(answer) => wire::submitted(&answer),
            Err(error) => error.outcome(),
        }
    }

    fn parse_callback(&self, request: &CallbackRequest<'_>) -> Result<Vec<Receipt>, CallbackError> {
        if request.kind != CallbackKind::Status {
            return Err(CallbackError::Unsupported);
        }
        self.receipt(&self.signed(request)?, request).map(|receipt| vec![receipt])
    }

    fn parse_incoming(&self, request: &CallbackRequest<'_>) -> Result<Inbound, CallbackError> {
        incoming::read(&self.name, &self.account_sid, &self.signed(request)?, request)
    }

    fn answers_carry_replies(&self) -> bool {
        true
    }

    fn answer_incoming(&self, reply: Option<&Body>) -> CallbackAnswer {
        incoming::answer(reply)
    }

    fn default_sender(&self) -> Option<SenderId> {
        self.default_sender.clone()
    }

    async fn find_submission(&self, query: &SubmissionQuery) -> Result<Option<Found>, ProbeError> {
        self.find(query).await
    }

    async fn balance(&self) -> Result<Money, ProbeError> {
        wire::balance(&self.client.get(&self.balance, ANSWER_LIMIT).await?)
    }

    /// Reads the account. An API key of the types Standard and Restricted has no access to it (Twilio, "API
    /// keys"), which looks like a wrong key: then the list of messages decides.
    async fn check_credentials(&self) -> Result<String, ProbeError> {
        let answer = self.client.get(&self.account, ANSWER_LIMIT).await?;
        let account: wire::Account<'_> = match wire::shown(&answer) {
            Ok(account) => account,
            Err(ProbeError::Refused(failure)) if self.by_api_key && failure.reason == Reason::Credential => {
                return self.check_list().await.map(|()| "the API key works".to_owned());
            }
            Err(error) => return Err(error),
        };
        let status = callback::code(&account.status).unwrap_or("unknown");
        if matches!(status, "suspended" | "closed") {
            return Err(ProbeError::Refused(Failure::with_code(Reason::Balance, status)));
        }
        let kind = account.kind.as_deref().and_then(callback::code).unwrap_or("unknown");
        Ok(format!("the account is {status}, of type {kind}"))
    }
}
