//! One-time codes: begun with their message, checked, and ended.
//!
//! What happens to a verification is decided by the domain alone ([`Kept::after`]), from its row as this transaction holds it.
//! Whatever ends a verification is counted for the route of its message in the same commit, and stops the message if that has
//! not left: a code that is of no use is not paid for, and nobody types it in.

use domain::audit::{Actor, Event, NewEntry};
use domain::conversion::Conversion;
use domain::event::{EventData, EventKind, NewEvent};
use domain::guard::{Bucket, Grain};
use domain::ids::{KeyId, MessageId, VerificationId};
use domain::message::MessageStatus;
use domain::phone::Country;
use domain::route::ProviderName;
use domain::time::Timestamp;
use domain::verification::{Examined, Progress, VerificationStatus};

use super::super::row::{optional_time, time, word};
use super::super::sql::{Row, Statements, get, params};
use super::cancel;
use super::events::raise;
use super::guard::{CONFIRM, SAY};
use crate::StoreError;
use crate::port::guard::FeedbackOutcome;
use crate::port::messages::{Accept, NewMessage};
use crate::port::verifications::{ChangeVerifications, Deed, NewVerification, Seen, Verification};
use crate::seal::Vault;

/// The columns of a verification, for [`kept`], which reads them by position.
macro_rules! columns {
    () => {
        "message_id, caller, receiver_hash, country, status, code_hash, checks_left, created_at, expires_at, ended_at"
    };
}

pub(in super::super) const FIND: &str =
    concat!("SELECT ", columns!(), " FROM verifications WHERE message_id = ?1");

/// Written with the index's own condition.
pub(in super::super) const OPEN: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM verifications WHERE status = 'pending' AND receiver_hash = ?1 ORDER BY message_id"
);

const BEGIN: &str = "INSERT INTO verifications (message_id, caller, receiver_hash, country, status, code_hash, \
     sealed_code, checks_left, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?7, ?8, ?9)";

/// A code that has ended is not kept.
pub(in super::super) const MOVE: &str = "UPDATE verifications SET status = ?2, checks_left = ?3, ended_at = ?4, \
     sealed_code = CASE WHEN ?2 = 'pending' THEN sealed_code ELSE NULL END WHERE message_id = ?1";

/// Whether a message carries a code that is of no use any more.
pub(in super::super) const IS_DEAD: &str = "SELECT EXISTS (SELECT 1 FROM verifications \
     WHERE message_id = ?1 AND (status <> 'pending' OR expires_at <= ?2))";

pub(in super::super) const ROUTE: &str = "SELECT status, provider FROM states WHERE message_id = ?1";

const COUNT: &str = "INSERT INTO conversions AS c (grain, bucket, provider, country, sent, verified) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (grain, bucket, provider, country) DO UPDATE SET \
     sent = c.sent + excluded.sent, verified = c.verified + excluded.verified";

/// How conversions are counted.
pub(in super::super) const GRAINS: [Grain; 2] = [Grain::Minute, Grain::Day];

/// A verification's row.
pub(in super::super) struct Kept {
    pub(in super::super) verification: Verification,
    pub(in super::super) receiver_hash: i64,
    pub(in super::super) code_hash: [u8; 32],
}

pub(in super::super) fn kept(row: &Row<'_>) -> Result<Kept, StoreError> {
    let verification = Verification {
        id: VerificationId::from_bytes(get(row, 0)?),
        caller: KeyId::from_bytes(get(row, 1)?),
        country: word(row, 3)?,
        progress: Progress { status: word(row, 4)?, checks_left: get(row, 6)?, expires_at: time(row, 8)? },
        created_at: time(row, 7)?,
        ended_at: optional_time(row, 9)?,
    };
    let code_hash = get::<Vec<u8>>(row, 5)?.try_into().map_err(|_length| StoreError::Corrupt)?;
    Ok(Kept { verification, receiver_hash: get(row, 2)?, code_hash })
}

/// What happens to a row: what a caller asks for, or that another code takes its place.
#[derive(Clone, Copy)]
pub(in super::super) enum Blow<'a> {
    Deed(&'a Deed),
    Superseded,
}

impl Kept {
    /// The row of a verification that begins with a message.
    pub(in super::super) fn begun(vault: &Vault, new: &NewMessage, receiver_hash: i64) -> Option<Self> {
        let (begins, message) = (new.verification.as_ref()?, &new.message);
        let id = VerificationId::of(message.id);
        let verification = Verification {
            id,
            caller: message.caller,
            country: message.receiver.country(),
            progress: Progress::begun(begins.checks, begins.expires_at),
            created_at: message.created_at,
            ended_at: None,
        };
        Some(Self { verification, receiver_hash, code_hash: vault.code_hash(id, &begins.code) })
    }

    /// Lets something happen to it. Answers what was examined, and whether it ended by that.
    pub(in super::super) fn after(
        &mut self,
        blow: Blow<'_>,
        vault: &Vault,
        now: Timestamp,
    ) -> (Examined, bool) {
        let before = self.verification.progress;
        let (after, examined) = match blow {
            Blow::Deed(Deed::Check(code)) => {
                let id = self.verification.id;
                before.checked(|| vault.is_code(id, code, &self.code_hash), now)
            }
            Blow::Deed(Deed::Cancel) => (before.canceled(now), Examined::Not),
            Blow::Deed(Deed::Expire) => (before.at(now), Examined::Not),
            Blow::Superseded => (before.superseded(now), Examined::Not),
        };
        let has_ended = after.status.has_ended() && !before.status.has_ended();
        if has_ended {
            self.verification.ended_at = Some(now);
        }
        self.verification.progress = after;
        (examined, has_ended)
    }

    /// What the audit trail is told of it. The receiver by its hash, and nothing of the code.
    pub(in super::super) fn entry(
        &self,
        (examined, has_ended): (Examined, bool),
        by: &Actor,
        now: Timestamp,
    ) -> Option<NewEntry> {
        let event = match self.verification.progress.status {
            VerificationStatus::Pending if examined == Examined::Wrong => Event::VerificationRefused,
            _ if !has_ended => return None,
            VerificationStatus::Pending => return None,
            VerificationStatus::Approved => Event::VerificationApproved,
            VerificationStatus::Expired => Event::VerificationExpired,
            VerificationStatus::Failed => Event::VerificationFailed,
            VerificationStatus::Canceled => Event::VerificationCanceled,
            VerificationStatus::Superseded => Event::VerificationSuperseded,
        };
        Some(told(self.verification.id, self.receiver_hash, event, by.clone(), now))
    }

    /// What others are told of its end. Neither the number nor the code.
    pub(in super::super) fn event(&self) -> Option<NewEvent> {
        let Verification { id, caller, country, progress, ended_at, .. } = &self.verification;
        let kind = match progress.status {
            VerificationStatus::Pending => return None,
            VerificationStatus::Approved => EventKind::VerificationApproved,
            VerificationStatus::Expired => EventKind::VerificationExpired,
            VerificationStatus::Failed => EventKind::VerificationFailed,
            VerificationStatus::Canceled | VerificationStatus::Superseded => EventKind::VerificationCanceled,
        };
        let data = serde_json::json!({
            "id": id,
            "message_id": id.message(),
            "status": progress.status,
            "checks_left": progress.checks_left,
            "country": country.as_str(),
        });
        Some(NewEvent {
            kind,
            subject: *id.as_bytes(),
            caller: Some(*caller),
            at: (*ended_at)?,
            data: EventData::from_json(data.to_string()),
        })
    }

    /// Whether its message is of no use where that has not left: it was ended, and by more than the time, by which the
    /// message ends itself.
    pub(in super::super) fn stops_message(&self) -> bool {
        let status = self.verification.progress.status;
        status.has_ended() && status != VerificationStatus::Expired
    }

    pub(in super::super) fn is_of(&self, caller: Option<KeyId>) -> bool {
        caller.is_none_or(|caller| caller == self.verification.caller)
    }

    /// What its end counts for the route that its message took: whether that was given the code, and whether it arrived.
    /// `None` if it says nothing of it. A code that was typed in did arrive, whatever the provider says.
    pub(in super::super) fn conversion(&self, standing: MessageStatus) -> Option<Conversion> {
        use MessageStatus::{Delivered, Sent, Undelivered};
        let status = self.verification.progress.status;
        let is_verified = status == VerificationStatus::Approved;
        let was_given = is_verified || matches!(standing, Sent | Delivered | Undelivered);
        (was_given && status.tells_of_route())
            .then(|| Conversion { sent: 1, verified: u64::from(is_verified) })
    }

    /// The stretches of time that it counts for: by when it began, so that a share does not depend on how soon codes end.
    pub(in super::super) fn buckets(&self) -> [Bucket; 2] {
        GRAINS.map(|grain| grain.at(self.verification.created_at))
    }
}

fn told(id: VerificationId, receiver: i64, event: Event, by: Actor, now: Timestamp) -> NewEntry {
    NewEntry { message_id: Some(id.message()), receiver: Some(receiver), ..NewEntry::new(now, by, event) }
}

/// What the audit trail is told of a verification that begins.
pub(in super::super) fn begun(new: &NewMessage, receiver: i64) -> NewEntry {
    let message = &new.message;
    let id = VerificationId::of(message.id);
    told(id, receiver, Event::VerificationBegun, Actor::Key(message.caller), message.created_at)
}

/// The code of a verification that begins, where it is kept.
pub(in super::super) fn sealed_code(
    vault: &Vault,
    id: VerificationId,
    new: &NewVerification,
) -> Result<Option<Vec<u8>>, StoreError> {
    new.keeps_code.then(|| vault.seal_code(id, &new.code)).transpose()
}

/// Whether a message carries a code that has ended. Its text is not submitted again.
pub(super) fn is_dead(
    statements: &mut Statements<'_>,
    message_id: MessageId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let found =
        statements.first(IS_DEAD, params![message_id.as_bytes(), now.as_micros()], |row| get(row, 0))?;
    Ok(found.unwrap_or(false))
}

/// Whether a message is to carry the code of a verification that has ended.
pub(super) fn is_late(statements: &mut Statements<'_>, accept: &Accept) -> Result<bool, StoreError> {
    for new in &accept.messages {
        let Some(earlier) = new.verification.as_ref().and_then(|begins| begins.same_as) else { continue };
        let found = statements.first(FIND, params![earlier.as_bytes()], kept)?;
        let is_open = found.is_some_and(|found| {
            let Verification { caller, progress, .. } = found.verification;
            caller == new.message.caller && !progress.at(new.message.created_at).status.has_ended()
        });
        if !is_open {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Begins the verification whose code a message carries, and ends those that it takes the place of.
pub(super) fn begin(
    statements: &mut Statements<'_>,
    new: &NewMessage,
    receiver: i64,
) -> Result<(), StoreError> {
    let (message, vault) = (&new.message, statements.vault());
    let (Some(begins), Some(row)) = (&new.verification, Kept::begun(&vault, new, receiver)) else {
        return Ok(());
    };
    let (mut checks, by) = (begins.checks, Actor::Key(message.caller));
    for mut open in statements.collect(OPEN, params![receiver], kept)? {
        if open.verification.caller != message.caller {
            continue;
        }
        if begins.same_as == Some(open.verification.id) {
            checks = checks.min(open.verification.progress.checks_left);
        }
        let came = open.after(Blow::Superseded, &vault, message.created_at);
        write(statements, &open, came, &by, message.created_at)?;
    }
    let id = row.verification.id;
    statements.execute(
        BEGIN,
        params![
            id.as_bytes(),
            message.caller.as_bytes(),
            receiver,
            message.receiver.country().as_str(),
            row.code_hash,
            sealed_code(&vault, id, begins)?,
            checks,
            message.created_at.as_micros(),
            begins.expires_at.as_micros(),
        ],
    )?;
    statements.tell(begun(new, receiver));
    Ok(())
}

pub(super) fn change(
    statements: &mut Statements<'_>,
    change: &ChangeVerifications,
) -> Result<Vec<Option<Seen>>, StoreError> {
    let mut seen = Vec::with_capacity(change.ids.len());
    for id in &change.ids {
        let found = statements.first(FIND, params![id.as_bytes()], kept)?;
        seen.push(match found.filter(|found| found.is_of(change.caller)) {
            Some(found) => Some(change_one(statements, found, change)?),
            None => None,
        });
    }
    Ok(seen)
}

fn change_one(
    statements: &mut Statements<'_>,
    mut found: Kept,
    change: &ChangeVerifications,
) -> Result<Seen, StoreError> {
    let vault = statements.vault();
    let came = found.after(Blow::Deed(&change.deed), &vault, change.now);
    write(statements, &found, came, &change.by, change.now)?;
    let is_news = came.0 == Examined::Right && arrived(statements, found.verification.id, change.now)?;
    Ok(Seen { verification: found.verification, examined: came.0, has_ended: came.1, is_news })
}

/// Says of a message that it arrived; answers whether nobody has said so before.
fn arrived(statements: &mut Statements<'_>, id: VerificationId, now: Timestamp) -> Result<bool, StoreError> {
    let values = params![id.as_bytes(), FeedbackOutcome::Confirmed.as_str(), now.as_micros()];
    let is_news = statements.execute(SAY, values)? > 0;
    if is_news {
        statements.execute(CONFIRM, params![id.as_bytes()])?;
    }
    Ok(is_news)
}

/// Writes what has happened to a row, tells of it, and counts it for its route if it ended.
fn write(
    statements: &mut Statements<'_>,
    row: &Kept,
    came: (Examined, bool),
    by: &Actor,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (examined, has_ended) = came;
    if examined == Examined::Not && !has_ended {
        return Ok(());
    }
    let Verification { id, progress, ended_at, country, .. } = &row.verification;
    let ended = ended_at.map(Timestamp::as_micros);
    let values = params![id.as_bytes(), progress.status.as_str(), progress.checks_left, ended];
    statements.execute(MOVE, values)?;
    statements.tell(row.entry(came, by, now));
    if has_ended {
        raise(statements, row.event().as_slice())?;
        let read = |row: &Row<'_>| Ok((word::<MessageStatus>(row, 0)?, word::<ProviderName>(row, 1)?));
        let route = statements.first(ROUTE, params![id.as_bytes()], read)?;
        let counted = route.and_then(|(standing, name)| row.conversion(standing).map(|it| (it, name)));
        if let Some((conversion, provider)) = counted {
            for bucket in row.buckets() {
                count(statements, bucket, &provider, *country, conversion)?;
            }
        }
        if row.stops_message() {
            cancel::cancel_one(statements, id.message(), by, now)?;
        }
    }
    Ok(())
}

fn count(
    statements: &mut Statements<'_>,
    bucket: Bucket,
    provider: &ProviderName,
    country: Country,
    counted: Conversion,
) -> Result<(), StoreError> {
    let values = params![
        bucket.grain.as_str(),
        bucket.number,
        provider.as_str(),
        country.as_str(),
        counted.sent.cast_signed(),
        counted.verified.cast_signed(),
    ];
    statements.execute(COUNT, values).map(|_rows| ())
}
