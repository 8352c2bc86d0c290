//! One-time codes, and what becomes of them.
//!
//! A verification begins with the message that carries its code: see [`NewMessage::verification`].
//!
//! [`NewMessage::verification`]: super::messages::NewMessage::verification

use std::fmt;

use async_trait::async_trait;
use domain::audit::Actor;
use domain::conversion::Conversion;
use domain::guard::Grain;
use domain::ids::{KeyId, VerificationId};
use domain::phone::{Country, Msisdn};
use domain::route::ProviderName;
use domain::time::Timestamp;
use domain::verification::{Code, Examined, Progress};

use crate::StoreError;

/// Verifications, from where they have begun.
#[async_trait]
pub trait Verifications: Send + Sync {
    /// Checks codes, or ends verifications: one after the other, however many ask at once. One answer for each id, in
    /// order; `None` where there is none, or another caller's.
    async fn change_verifications(
        &self,
        change: ChangeVerifications,
    ) -> Result<Vec<Option<Seen>>, StoreError>;

    /// One verification.
    async fn verification(&self, id: VerificationId) -> Result<Option<Verification>, StoreError>;

    /// The newest verification of a caller for a number that is open, with its code if that is kept.
    async fn open_verification(
        &self,
        caller: KeyId,
        receiver: Msisdn,
        now: Timestamp,
    ) -> Result<Option<(VerificationId, Option<Code>)>, StoreError>;

    /// Verifications whose time has run out and that nobody has ended, those of earliest end first.
    async fn overdue_verifications(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<VerificationId>, StoreError>;

    /// What came of codes by route and country, of those that were sent in these stretches of time.
    async fn conversions(&self, asked: AskedConversions) -> Result<Vec<RouteConversion>, StoreError>;
}

/// A verification that begins with the message that carries its code.
#[derive(Clone)]
pub struct NewVerification {
    /// The code. Kept as a keyed hash.
    pub code: Code,
    /// How many codes are examined. One that goes on with an earlier code has what is left of it at most.
    pub checks: u16,
    /// When its time runs out.
    pub expires_at: Timestamp,
    /// Whether the code itself is kept, sealed, for as long as the verification is open.
    pub keeps_code: bool,
    /// The verification that has the same code. If it has ended, nothing is accepted.
    pub same_as: Option<VerificationId>,
}

impl fmt::Debug for NewVerification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewVerification").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// A verification as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Its id.
    pub id: VerificationId,
    /// Whose it is.
    pub caller: KeyId,
    /// The country of its receiver.
    pub country: Country,
    /// Where it stands. It may be overdue.
    pub progress: Progress,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// What happens to verifications.
#[derive(Debug, Clone)]
pub struct ChangeVerifications {
    /// Which.
    pub ids: Vec<VerificationId>,
    /// What.
    pub deed: Deed,
    /// Only this caller's; `None` for any.
    pub caller: Option<KeyId>,
    /// Who does it.
    pub by: Actor,
    /// The present.
    pub now: Timestamp,
}

/// What happens to a verification.
#[derive(Clone)]
pub enum Deed {
    /// A code was typed in.
    Check(Code),
    /// Its caller ends it.
    Cancel,
    /// Its time is looked at.
    Expire,
}

impl fmt::Debug for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check(_) => "Check",
            Self::Cancel => "Cancel",
            Self::Expire => "Expire",
        })
    }
}

/// What became of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How it is now.
    pub verification: Verification,
    /// Whether a code was examined, and what it was.
    pub examined: Examined,
    /// Whether it ended by this.
    pub has_ended: bool,
    /// Whether nobody has said before that the message arrived: then it counts.
    pub is_news: bool,
}

/// Which stretches of time: those of a grain from one number on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedConversions {
    /// How long each is.
    pub grain: Grain,
    /// The number of the first.
    pub first: i64,
}

/// What came of the codes that a route was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConversion {
    /// The provider.
    pub provider: ProviderName,
    /// The country.
    pub country: Country,
    /// What came of them.
    pub conversion: Conversion,
}
