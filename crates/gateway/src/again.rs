//! Sending a message again because somebody asks for it, over HTTP or on the command line: what it needs for that, and what
//! it draws once more.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Actor;
use domain::consent::{Class, Question};
use domain::ids::{DecisionId, MessageId, VerificationId};
use domain::message::{Message, MessageStatus};
use domain::phone::SenderId;
use domain::policy::ScenarioPolicy;
use domain::quota::Draw;
use domain::route::ProviderName;
use domain::scenario::Scenario;
use domain::time::Timestamp;
use store::port::messages::{MessageSummary, Moved, Obstacle, Resend};
use store::{Store, StoreError};

use crate::limits::{Again, Limits};
use crate::request::{OptedOut, Reached};
use crate::settings::Settings;
use crate::spending::Tariff;

/// Statuses from which a message may be sent again because somebody asks for it.
pub const RETRIABLE: &[MessageStatus] =
    &[MessageStatus::Failed, MessageStatus::Undelivered, MessageStatus::Expired];

/// How long after a message was to leave it may be sent again.
const RETRY_WITHIN: Duration = Duration::from_hours(24);

/// Why a message was not moved as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// There is no such message.
    #[error("there is no such message")]
    NotFound,
    /// It stands where this can't be done.
    #[error("the message is {0}")]
    Stands(MessageStatus),
    /// It was accepted too long ago.
    #[error("the message is older than a day: send it anew")]
    TooOld,
    /// Its text is erased.
    #[error("the text was erased: send a new message")]
    Erased,
    /// It carries a one-time code that has ended.
    #[error("its code is of no use any more: ask for another")]
    CodeEnded,
    /// It asks what has been decided.
    #[error("what it asks has been decided: nobody waits for the answer")]
    Decided,
    /// Its receiver has opted out of such messages.
    #[error("the receiver {0}")]
    OptedOut(OptedOut),
    /// A limit has no room for it, or a cap no money.
    #[error("{0}")]
    Limited(Box<Reached>),
    /// The guard takes it for SMS pumping.
    #[error("the guard refuses it: it looks like SMS pumping")]
    GuardRefused {
        /// What was decided.
        decision: DecisionId,
    },
    /// No route can carry it.
    #[error("no provider is configured for this receiver")]
    NoProvider,
    /// The store can't do it now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// By which provider a message goes again, and what it draws for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The provider.
    pub provider: ProviderName,
    /// The draws.
    pub draws: Vec<Draw>,
}

/// How a message that failed, was not delivered or expired is sent again. A time of expiry that is over does not count any
/// more: whoever asks for it now wants it now, within the time that the scenario gives. Only within a day: receipts of an
/// older message would not find it.
pub fn resend_of(
    summary: &MessageSummary,
    policy: &ScenarioPolicy,
    way: impl FnOnce(&Message) -> Option<Way>,
    by: Actor,
    now: Timestamp,
) -> Result<Resend, MoveError> {
    let MessageSummary { message, status, .. } = summary;
    if !RETRIABLE.contains(status) {
        return Err(MoveError::Stands(*status));
    }
    if message.body.is_erased() {
        return Err(MoveError::Erased);
    }
    let was_to_leave = message.scheduled_at.unwrap_or(message.created_at).max(message.created_at);
    if now > was_to_leave.plus(RETRY_WITHIN) {
        return Err(MoveError::TooOld);
    }
    let Way { provider, draws } = way(message).ok_or(MoveError::NoProvider)?;
    let in_time = policy.expires_after.map(|it| now.plus(it));
    Ok(Resend {
        message_id: message.id,
        standing: RETRIABLE,
        last_attempt: None,
        failure: None,
        provider,
        priority: message.priority,
        due_at: now,
        expires_at: message.expires_at.filter(|end| *end > now).or(in_time),
        refused_by: Vec::new(),
        draws,
        by,
        now,
    })
}

/// Refuses a message whose code has ended: nobody can use it, and whoever types it in uses up checks of the one that is open.
pub(crate) async fn check_code(
    store: &dyn Store,
    message: &Message,
    now: Timestamp,
) -> Result<(), MoveError> {
    if has_dead_code(store, message, now).await? { Err(MoveError::CodeEnded) } else { Ok(()) }
}

/// Refuses a message whose receiver has opted out since it was accepted. Where it names no sender, it may show any of
/// `defaults`.
pub(crate) async fn check_consent(
    store: &dyn Store,
    message: &Message,
    defaults: &Arc<[SenderId]>,
) -> Result<(), MoveError> {
    let class = Class::of(message.scenario, message.priority);
    let Some(question) = Question::of(class, message.sender.as_ref(), defaults) else { return Ok(()) };
    match store.held_back(message.receiver, question).await? {
        Some(by) => Err(MoveError::OptedOut(OptedOut(by))),
        None => Ok(()),
    }
}

/// Whether a message carries a one-time code that has ended.
pub(crate) async fn has_dead_code(
    store: &dyn Store,
    message: &Message,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if message.scenario != Scenario::Otp {
        return Ok(false);
    }
    let found = store.verification(VerificationId::of(message.id)).await?;
    Ok(found.is_some_and(|found| found.progress.at(now).status.has_ended()))
}

/// Queues a message again, in a database that a running gateway may have open: by the provider that it took last. Whoever
/// runs the gateway is held to caps, and not to the limits of callers. Answers the provider.
pub async fn by_operator(
    store: &dyn Store,
    settings: &Settings,
    id: MessageId,
    now: Timestamp,
) -> Result<ProviderName, MoveError> {
    let summary = store.message(id).await?.ok_or(MoveError::NotFound)?.summary;
    check_code(store, &summary.message, now).await?;
    // Which senders routes have by default is not known here: opt-outs from all senders hold, and those from the one asked for.
    check_consent(store, &summary.message, &Arc::from([])).await?;
    let tariff = Tariff::new(settings.prices.clone(), settings.spending.clone());
    let limits = Limits::new(settings.limits.clone(), tariff, store);
    let provider = summary.provider.clone();
    let way = |message: &Message| {
        let draws = limits.draws_again(message, &provider, Again::Unasked, now);
        Some(Way { provider: provider.clone(), draws })
    };
    let policy = settings.policy(summary.message.scenario);
    let resend = resend_of(&summary, &policy, way, Actor::Operator, now)?;
    queue(store, &limits, &summary.message, Again::Unasked, resend).await?;
    Ok(provider)
}

/// Queues it again, or says why not.
pub(crate) async fn queue(
    store: &dyn Store,
    limits: &Limits,
    message: &Message,
    again: Again,
    resend: Resend,
) -> Result<Moved, MoveError> {
    let now = resend.now;
    let done = store.resend(resend).await?.ok_or(MoveError::NotFound)?;
    if let Some(limited) = done.limited {
        let limit = limits.rule_again(message, again, limited.place).ok_or(StoreError::Corrupt)?;
        return Err(MoveError::Limited(Box::new(Reached { limit, again_in: limited.again_at.since(now) })));
    }
    match done.obstacle {
        Some(Obstacle::CodeEnded) => Err(MoveError::CodeEnded),
        Some(Obstacle::Decided) => Err(MoveError::Decided),
        None if done.has_moved() => Ok(done.moved),
        // An opt-out that was not known when consent was checked: to try the same again would be of no use.
        Some(Obstacle::OptedOut) | None => Err(MoveError::Stands(done.moved.to)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::encoding::Encoding;
    use domain::ids::KeyId;
    use domain::phone::{Country, Msisdn};
    use domain::scenario::Priority;
    use domain::secret::Body;

    use super::*;

    const NOON: Timestamp = Timestamp::from_micros(1_795_435_200_000_000);

    fn failed() -> MessageSummary {
        let message = Message {
            id: MessageId::new(NOON, [1; 10]),
            bulk_id: None,
            caller: KeyId::new(NOON, [1; 10]),
            receiver: Msisdn::parse("+254712345678", Country::KE).unwrap(),
            sender: None,
            scenario: Scenario::Otp,
            priority: Priority::Critical,
            body: Body::new("Nambari yako ni 482913"),
            encoding: Encoding::Gsm7,
            segments: 1,
            reference: None,
            group: None,
            metadata: BTreeMap::new(),
            scheduled_at: None,
            expires_at: None,
            created_at: NOON,
            template: None,
        };
        let provider = "somebody".parse().unwrap();
        let status = MessageStatus::Failed;
        MessageSummary { message, status, provider, failure: None, updated_at: NOON }
    }

    fn again(summary: &MessageSummary, after: Duration) -> Result<Resend, MoveError> {
        let way = |_: &Message| Some(Way { provider: "somebody".parse().unwrap(), draws: vec![] });
        let policy = ScenarioPolicy::of(Scenario::Otp);
        resend_of(summary, &policy, way, Actor::Operator, NOON.plus(after))
    }

    #[test]
    fn what_failed_is_sent_again_within_a_day_and_within_the_time_of_its_scenario() {
        let expires_after = ScenarioPolicy::of(Scenario::Otp).expires_after.unwrap();
        let resend = again(&failed(), RETRY_WITHIN).unwrap();
        assert_eq!(resend.expires_at, Some(NOON.plus(RETRY_WITHIN + expires_after)));
        let later = RETRY_WITHIN + Duration::from_secs(1);
        assert_eq!(again(&failed(), later).map(|_| ()), Err(MoveError::TooOld));
        let mut scheduled = failed();
        scheduled.message.scheduled_at = Some(NOON.plus(later));
        assert!(again(&scheduled, later).is_ok(), "it was to leave just now");
    }

    #[test]
    fn time_of_expiry_counts_unless_it_is_over() {
        let mut summary = failed();
        summary.message.expires_at = Some(NOON.plus(Duration::from_mins(3)));
        let resend = again(&summary, Duration::from_mins(2)).unwrap();
        assert_eq!(resend.expires_at, summary.message.expires_at);
        let resend = again(&summary, Duration::from_mins(3)).unwrap();
        assert!(resend.expires_at > summary.message.expires_at);
    }

    #[test]
    fn what_is_on_its_way_and_what_has_no_text_is_not_sent_again() {
        let sent = MessageSummary { status: MessageStatus::Sent, ..failed() };
        let refused = again(&sent, Duration::ZERO).map(|_| ());
        assert_eq!(refused, Err(MoveError::Stands(MessageStatus::Sent)));
        let mut erased = failed();
        erased.message.body = Body::erased();
        assert_eq!(again(&erased, Duration::ZERO).map(|_| ()), Err(MoveError::Erased));
    }
}
