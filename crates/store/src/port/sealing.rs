//! Keys of what is sealed, and what does not stay.

use async_trait::async_trait;
use domain::audit::Act;
use domain::ids::MessageId;
use domain::phone::Msisdn;
use domain::secret::Key;
use domain::time::Timestamp;

use crate::StoreError;

/// Sealed values and their keys.
#[async_trait]
pub trait Sealing: Send + Sync {
    /// A key for a purpose of the caller's, always the same for this database and known to nobody without its master key.
    fn derive_key(&self, purpose: &str) -> Key;

    /// What a number is known by where it must not be kept: a keyed hash.
    fn receiver_hash(&self, receiver: Msisdn) -> i64;

    /// Takes the data keys as they are kept now: another process may have made one.
    async fn renew_data_keys(&self) -> Result<(), StoreError>;

    /// Makes a data key that is not in use yet, so that all nodes hear of it before anything is sealed under it. Answers its
    /// id: the one of an earlier call if that was not put to use.
    async fn add_data_key(&self, act: Act) -> Result<u32, StoreError>;

    /// Seals what is new under a data key from now on.
    async fn use_data_key(&self, id: u32, act: Act) -> Result<(), StoreError>;

    /// Seals what is old under the key for what is new: a part at a time.
    async fn reseal(&self, reseal: Reseal) -> Result<Resealed, StoreError>;

    /// Forgets the data keys before one. What is still sealed under them can't be read any more.
    async fn forget_data_keys(&self, before: u32, act: Act) -> Result<u64, StoreError>;

    /// Erases texts that have served: of one-time codes, and of what is older than texts are kept. A part at a time.
    async fn erase_texts(&self, erase: EraseTexts) -> Result<Erased, StoreError>;

    /// Forgets all that is known of a person: the messages to a number that have ended, with all that happened to them,
    /// and those from it. An opt-out goes on, by the hash of the number alone.
    /// What the audit trail says of them stays: it knows the number by its hash.
    /// Answers how many were forgotten, and which still wait or are under way.
    async fn forget_receiver(&self, receiver: Msisdn, act: Act) -> Result<ForgottenReceiver, StoreError>;
}

/// Which part of what is old to seal anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reseal {
    /// Behind which row.
    pub behind: SealedRow,
    /// How many rows to look at.
    pub limit: u32,
}

/// A row with sealed values, in the order in which they are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SealedRow {
    /// A message.
    Message(MessageId),
    /// A callback: when it came, and its number.
    Callback(Timestamp, i64),
    /// A row of one of the smaller tables.
    Other(u16, RowKey),
}

/// What a row of a smaller table is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowKey {
    /// A number.
    Number(i64),
    /// An id.
    Id([u8; 16]),
}

impl SealedRow {
    /// Before all rows.
    pub const FIRST: Self = Self::Message(MessageId::from_bytes([0; 16]));
}

/// What was sealed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resealed {
    /// How many rows were looked at.
    pub rows: u64,
    /// How many of them had another key.
    pub resealed: u64,
    /// Where to go on; `None` at the end.
    pub behind: Option<SealedRow>,
}

/// Which texts to erase.
#[derive(Debug, Clone, Copy)]
pub struct EraseTexts {
    /// The present.
    pub now: Timestamp,
    /// Of messages accepted before, whatever they are; `None` for none.
    pub accepted_before: Option<Timestamp>,
    /// One-time codes that no message can deliver any more: those accepted before this time, which did not expire earlier.
    pub codes_before: Timestamp,
    /// How many at most.
    pub limit: u32,
}

/// What was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Texts of one-time codes.
    pub codes: u64,
    /// Texts that were kept for as long as texts are, also those from phones.
    pub texts: u64,
    /// Nothing is left to erase now.
    pub is_done: bool,
}

/// What was forgotten of a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForgottenReceiver {
    /// Messages that are gone.
    pub messages: u64,
    /// Callbacks that belonged to no message.
    pub callbacks: u64,
    /// Messages from the phone that are gone.
    pub inbound: u64,
    /// Messages that have not ended: cancel them, or wait.
    pub waiting: Vec<MessageId>,
}
