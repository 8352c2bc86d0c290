//! One-time codes: made and sent, checked, ended.
//!
//! A code is in the text of its message and nowhere else: what is kept of it is a keyed hash. It begins in the same commit
//! in which its message is accepted, so that limits, the guard and what it costs are those of any code. Whether a code is
//! right is decided by the store, one check after the other.

mod text;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use domain::audit::{Actor, Event, NewEntry};
use domain::ids::{KeyId, MessageId, VerificationId};
use domain::phone::Msisdn;
use domain::scenario::Scenario;
use domain::template::Locale;
use domain::time::Timestamp;
use domain::verification::{Code, CodeLength, Examined};
use store::StoreError;
use store::port::verifications::{ChangeVerifications, Deed, NewVerification, Seen, Verification};

use crate::accept::Repeatable;
use crate::feedback::COUNTS_FOR;
use crate::fresh;
use crate::refused::Asked;
use crate::request::{Caller, Content, FieldError, FieldProblem, Remaining, SendError, SendRequest};
use crate::service::SmsService;
use crate::templates::OTP;

/// The shortest time that a code is good: it has to arrive, and be typed in.
const SHORTEST_TTL: Duration = Duration::from_secs(30);

/// How often a code is made anew because the one that was to be sent again has just ended.
const TRIES: usize = 3;

/// Characters of a site's name (RFC 1035).
const LONGEST_DOMAIN: usize = 253;

/// A code that is asked for.
#[derive(Clone, Default)]
pub struct VerificationRequest {
    /// Where it goes, in any form that people write phone numbers.
    pub receiver: String,
    /// The language of the text.
    pub locale: Option<String>,
    /// The sender ID asked for.
    pub sender: Option<String>,
    /// The address of the end user who asked for it.
    pub client_ip: Option<IpAddr>,
    /// For how many seconds it is good.
    pub ttl: Option<u64>,
    /// How many digits it has.
    pub length: Option<u64>,
    /// The site for which browsers fill it in.
    pub web_otp_domain: Option<String>,
    /// What makes the request repeatable.
    pub idempotency_key: Option<String>,
}

impl fmt::Debug for VerificationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationRequest").field("locale", &self.locale).finish_non_exhaustive()
    }
}

/// A verification that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunVerification {
    /// Its id.
    pub id: VerificationId,
    /// Until when the code is good.
    pub expires_at: Timestamp,
    /// The message that carries the code.
    pub message_id: MessageId,
    /// The scarcest of the limits that it counts for.
    pub remaining: Option<Remaining>,
}

/// What of a request is right.
struct Terms {
    locale: Locale,
    length: CodeLength,
    ttl: Duration,
    domain: Option<String>,
}

impl SmsService {
    /// Makes a code and sends it. When this answers, both are on disk. A code that the same caller has open for the same
    /// receiver ends, unless the settings say that it is sent again.
    pub async fn begin_verification(
        &self,
        caller: Caller,
        request: VerificationRequest,
    ) -> Result<BegunVerification, SendError> {
        for _ in 1..TRIES {
            match self.begin(&caller, &request).await {
                Err(SendError::Store(StoreError::Conflict)) => {}
                answer => return answer,
            }
        }
        self.begin(&caller, &request).await
    }

    async fn begin(
        &self,
        caller: &Caller,
        request: &VerificationRequest,
    ) -> Result<BegunVerification, SendError> {
        let (settings, now) = (&self.shared.settings.verifications, self.now());
        let mut send = SendRequest {
            receiver: request.receiver.clone(),
            content: Content {
                scenario: Some(Scenario::Otp.as_str().into()),
                sender: request.sender.clone(),
                client_ip: request.client_ip,
                ..Content::default()
            },
            idempotency_key: request.idempotency_key.clone(),
        };
        let terms = match self.terms(request) {
            Ok(terms) => terms,
            Err(errors) => {
                return Err(self.refused(Asked::one(caller, &send), SendError::Invalid(errors)).await);
            }
        };
        let expires_at = now.plus(terms.ttl);
        let earlier = self.code_to_send_again(caller, request, terms.length).await?;
        let (same_as, code) = match earlier {
            Some((id, code)) => (Some(id), code),
            None => (None, fresh::code(terms.length)),
        };
        let wanted = text::Wanted {
            locale: &terms.locale,
            code: &code,
            ttl: terms.ttl,
            domain: terms.domain.as_deref(),
            longest: self.shared.settings.max_characters(Scenario::Otp),
            // Which variant it is, is drawn anew each time that a code is asked for.
            id: fresh::message_id(now),
            region: self.default_region(),
        };
        let written = match text::of(self.shared.templates.get(OTP).as_deref(), &wanted) {
            Ok(written) => written,
            Err(errors) => {
                let wrong = SendError::Invalid(errors.into_iter().map(FieldError::from).collect());
                return Err(self.refused(Asked::one(caller, &send), wrong).await);
            }
        };
        send.content.message = written.text;
        send.content.expires_at = Some(expires_at);
        let known_by = known_by(request);
        let repeatable =
            Repeatable::verification(&request.receiver, &known_by, request.idempotency_key.as_deref());
        let asked = Asked::one(caller, &send);
        let (checks, keeps_code) = (settings.checks, settings.resend_same_code);
        let begins = NewVerification { code, checks, expires_at, keeps_code, same_as };
        let prepared = self.acceptor().prepare_code(caller, &send, written.used, repeatable, now);
        let stored = match self.judged(prepared.map(|prepared| prepared.carrying(&begins))) {
            Ok(prepared) => self.store(asked, prepared).await?,
            Err(refused) => self.earlier(asked, repeatable, refused).await?,
        };
        let is_repeated = stored.repeated;
        let answer = stored.into_answer()?;
        let id = VerificationId::of(answer.id);
        let kept = if is_repeated { self.shared.store.verification(id).await? } else { None };
        if !is_repeated {
            self.shared.metrics.verification_begun();
        }
        let expires_at = kept.map_or(answer.created_at.plus(terms.ttl), |kept| kept.progress.expires_at);
        Ok(BegunVerification { id, expires_at, message_id: answer.id, remaining: answer.remaining })
    }

    /// Everything that is wrong with what is asked of the code.
    fn terms(&self, request: &VerificationRequest) -> Result<Terms, Vec<FieldError>> {
        let (settings, mut errors) = (&self.shared.settings.verifications, Vec::new());
        let mut wrong = |pointer: &str, problem| errors.push(FieldError { pointer: pointer.into(), problem });
        let length = request.length.map_or(Ok(settings.length), CodeLength::try_from);
        let length = length.unwrap_or_else(|problem| {
            wrong("/length", FieldProblem::CodeLength(problem));
            settings.length
        });
        let ttl = request.ttl.map_or(settings.ttl, Duration::from_secs);
        if !(SHORTEST_TTL..=settings.longest_ttl).contains(&ttl) {
            let (least, most) = (SHORTEST_TTL.as_secs(), settings.longest_ttl.as_secs());
            wrong("/ttl", FieldProblem::Ttl { least, most });
        }
        let locale = request.locale.as_deref().map_or(Ok(settings.locale.clone()), str::parse);
        let locale = locale.unwrap_or_else(|problem| {
            wrong("/locale", FieldProblem::Locale(problem));
            settings.locale.clone()
        });
        let domain = request.web_otp_domain.as_ref().or(settings.web_otp_domain.as_ref());
        if domain.is_some_and(|domain| !is_domain(domain)) {
            wrong("/web_otp_domain", FieldProblem::WebOtpDomain);
        }
        if errors.is_empty() {
            Ok(Terms { locale, length, ttl, domain: domain.cloned() })
        } else {
            Err(errors)
        }
    }

    /// The code that is open for the receiver, where the settings want it sent again and it is as long as asked for.
    async fn code_to_send_again(
        &self,
        caller: &Caller,
        request: &VerificationRequest,
        length: CodeLength,
    ) -> Result<Option<(VerificationId, Code)>, SendError> {
        if !self.shared.settings.verifications.resend_same_code {
            return Ok(None);
        }
        // What is no number is refused in a moment.
        let Ok(receiver) = Msisdn::parse(&request.receiver, self.default_region()) else { return Ok(None) };
        let open = self.shared.store.open_verification(caller.key, receiver, self.now()).await?;
        let open = open.and_then(|(id, code)| Some((id, code?)));
        Ok(open.filter(|(_, code)| code.expose().len() == usize::from(length.digits())))
    }

    /// Checks a code that somebody typed in; `None` if there is no such verification, or it is another caller's.
    pub async fn check_code(
        &self,
        id: VerificationId,
        code: Code,
        of: Option<KeyId>,
        by: Actor,
    ) -> Result<Option<Seen>, StoreError> {
        let Some(seen) = self.change_verification(id, Deed::Check(code), of, by.clone()).await? else {
            return Ok(None);
        };
        let progress = seen.verification.progress;
        self.shared.metrics.code_checked(seen.examined);
        match seen.examined {
            Examined::Right if seen.is_news => self.tell_guard(&seen.verification).await,
            Examined::Not if !seen.has_ended => {
                let refused = NewEntry {
                    message_id: Some(id.message()),
                    outcome: Some(progress.status.as_str()),
                    ..NewEntry::new(self.now(), by, Event::VerificationRefused)
                };
                self.note(vec![refused]).await;
            }
            _ => {}
        }
        Ok(Some(seen))
    }

    /// Ends a verification; `None` if there is no such verification, or it is another caller's.
    pub async fn cancel_verification(
        &self,
        id: VerificationId,
        of: Option<KeyId>,
        by: Actor,
    ) -> Result<Option<Seen>, StoreError> {
        self.change_verification(id, Deed::Cancel, of, by).await
    }

    /// One verification as it is now; `None` if there is none, or it is another caller's.
    pub async fn verification(
        &self,
        id: VerificationId,
        of: Option<KeyId>,
    ) -> Result<Option<Verification>, StoreError> {
        let found = self.shared.store.verification(id).await?;
        let own = found.filter(|found| of.is_none_or(|of| of == found.caller));
        Ok(own.map(|found| Verification { progress: found.progress.at(self.now()), ..found }))
    }

    async fn change_verification(
        &self,
        id: VerificationId,
        deed: Deed,
        caller: Option<KeyId>,
        by: Actor,
    ) -> Result<Option<Seen>, StoreError> {
        let change = ChangeVerifications { ids: vec![id], deed, caller, by, now: self.now() };
        let seen = self.shared.store.change_verifications(change).await?.pop().flatten();
        if let Some(seen) = seen.as_ref().filter(|seen| seen.has_ended) {
            self.shared.metrics.verification_ended(seen.verification.progress.status);
        }
        Ok(seen)
    }

    /// By what is verified the guard tells people from pumping.
    async fn tell_guard(&self, verification: &Verification) {
        let (shared, now) = (&self.shared, self.now());
        if !shared.guard.watches(Scenario::Otp) || now.since(verification.created_at) > COUNTS_FOR {
            return;
        }
        match shared.store.message(verification.id.message()).await {
            Ok(Some(record)) => shared.guard.verified(&record.summary.message, now),
            Ok(None) => {}
            Err(problem) => {
                tracing::warn!(%problem, "the guard could not be told of a code that was verified");
            }
        }
    }
}

/// What a request is known by when it is made again: all that was asked, and nothing that is another each time.
fn known_by(request: &VerificationRequest) -> Content {
    let text = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
    Content {
        sender: request.sender.clone(),
        client_ip: request.client_ip,
        reference: request.locale.clone(),
        group: request.web_otp_domain.clone(),
        message: format!("{} {}", text(request.ttl), text(request.length)),
        ..Content::default()
    }
}

/// Letters, digits and hyphens between dots.
fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= LONGEST_DOMAIN && name.contains('.') && name.split('.').all(is_label)
}

/// Whether a setting names a site as it must.
pub fn is_site(name: &str) -> bool {
    is_domain(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_has_a_name_of_letters_digits_and_hyphens() {
        for name in ["example.com", "login.bit-coin.co.ke", "xn--80ak6aa92e.com"] {
            assert!(is_domain(name), "{name}");
        }
        for name in [
            "",
            "localhost",
            "example.com #1",
            "-a.com",
            "a..com",
            "exämple.com",
            "a\n.com",
            &"a.".repeat(200),
        ] {
            assert!(!is_domain(name), "{name}");
        }
    }
}
