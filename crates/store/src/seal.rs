//! Numbers and texts at rest: sealed, and found again by a keyed hash.
//!
//! A value is sealed by XChaCha20-Poly1305 under a data key, with a nonce of its own and bound to its row and column: one
//! that was copied to another row can't be read there. The data keys are in the database too, each sealed under the
//! master key, which is not. So a data key is changed without telling every node, and the master key without touching a
//! row. What is looked for by number is found by a hash under a key of its own (a blind index), which never changes.

mod cipher;
mod master;

use std::sync::Arc;

use domain::audit::AuditKeys;
use domain::ids::{MessageId, VerificationId};
use domain::phone::{Country, Msisdn};
use domain::receipt::Receipt;
use domain::secret::{Body, Key, Zeroizing};
use domain::time::Timestamp;
use domain::verification::Code;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::RwLock;
use sha2::Sha256;

use self::cipher::Cipher;
pub use self::master::{MasterKeyError, MasterKeys};
use crate::StoreError;
use crate::port::sealing::{RowKey, SealedRow};

/// Bytes of a key.
const KEY: usize = 32;

/// Bytes that say which key sealed a value.
const KEY_ID: usize = 4;

/// How many keys may be made while a process does not look.
const MADE_SINCE: u32 = 100;

/// What the key is derived for under which codes are hashed.
const CODES: &str = "codes of verifications";

/// The id of the key that hashes; the ids of those that seal begin with one.
const INDEX: u32 = 0;

/// What a value begins with that was there before values were sealed: the migration writes it, and it is gone before
/// anybody is served.
const PLAIN: &[u8] = b"plain:";

/// A column whose values are sealed. Its name is sealed with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Receiver,
    Body,
    Callback,
    EventData,
    InboundFrom,
    InboundText,
    InboundRaw,
    ConsentNumber,
    ReplyWords,
    Code,
    EndpointUrl,
    EndpointSecret,
    EndpointFormer,
}

impl Column {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Receiver => b"messages.receiver",
            Self::Body => b"messages.body",
            Self::Callback => b"callbacks.raw",
            Self::EventData => b"events.data",
            Self::InboundFrom => b"inbound.from",
            Self::InboundText => b"inbound.text",
            Self::InboundRaw => b"inbound.raw",
            Self::ConsentNumber => b"consents.number",
            Self::ReplyWords => b"prompt_replies.words",
            Self::Code => b"verifications.code",
            Self::EndpointUrl => b"webhook_endpoints.url",
            Self::EndpointSecret => b"webhook_endpoints.secret",
            Self::EndpointFormer => b"webhook_endpoints.former",
        }
    }
}

/// A data key as kept: sealed under a master key.
#[derive(Debug, Clone)]
pub(crate) struct WrappedKey {
    pub(crate) id: u32,
    pub(crate) wrapped: Vec<u8>,
    /// What is new is sealed under the newest of these.
    pub(crate) is_in_use: bool,
}

impl WrappedKey {
    /// A new key, in use if it is the first of its kind.
    pub(crate) fn create(id: u32, is_in_use: bool, master: &MasterKeys) -> Result<Self, StoreError> {
        let key = Zeroizing::new(rand::random::<[u8; KEY]>());
        Ok(Self { id, wrapped: master.wrap(id, &key)?, is_in_use })
    }

    /// The two keys of a new database.
    pub(crate) fn first(master: &MasterKeys) -> Result<[Self; 2], StoreError> {
        Ok([Self::create(INDEX, true, master)?, Self::create(INDEX + 1, true, master)?])
    }
}

/// The keys of a database as of now, for whoever reads or writes it.
#[derive(Debug)]
pub(crate) struct Keyring {
    master: MasterKeys,
    vault: RwLock<Arc<Vault>>,
}

impl Keyring {
    /// Unwraps the keys of a database.
    pub(crate) fn open(master: MasterKeys, kept: &[WrappedKey]) -> Result<Self, StoreError> {
        let vault = Vault::open(&master, kept)?;
        Ok(Self { master, vault: RwLock::new(Arc::new(vault)) })
    }

    /// The keys.
    pub(crate) fn vault(&self) -> Arc<Vault> {
        Arc::clone(&self.vault.read())
    }

    /// Takes the keys as they are kept now.
    pub(crate) fn renew(&self, kept: &[WrappedKey]) -> Result<(), StoreError> {
        let vault = Vault::open(&self.master, kept)?;
        *self.vault.write() = Arc::new(vault);
        Ok(())
    }

    /// A key to come after these.
    pub(crate) fn next(&self, kept: &[WrappedKey]) -> Result<WrappedKey, StoreError> {
        let last = kept.iter().map(|key| key.id).max().unwrap_or(INDEX);
        WrappedKey::create(last + 1, false, &self.master)
    }

    /// Those of the keys that are wrapped by an older master key, wrapped by the first one.
    pub(crate) fn rewrap(&self, kept: &[WrappedKey]) -> Result<Vec<WrappedKey>, StoreError> {
        let older = kept.iter().filter(|key| !self.master.is_newest(key));
        older
            .map(|key| {
                let wrapped = self.master.wrap(key.id, &self.master.unwrap(key)?)?;
                Ok(WrappedKey { wrapped, ..key.clone() })
            })
            .collect()
    }
}

/// Seals, opens and hashes.
pub(crate) struct Vault {
    /// By id, ascending.
    keys: Vec<(u32, Cipher)>,
    /// The id of the one that seals.
    current: u32,
    index: Hmac<Sha256>,
    audit: AuditKeys,
    codes: Hmac<Sha256>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} keys)", self.keys.len())
    }
}

impl Vault {
    fn open(master: &MasterKeys, kept: &[WrappedKey]) -> Result<Self, StoreError> {
        let (mut keys, mut index, mut current) = (Vec::new(), None, None);
        for wrapped in kept {
            let key = master.unwrap(wrapped)?;
            if wrapped.id == INDEX {
                index = Hmac::<Sha256>::new_from_slice(&*key).ok();
                continue;
            }
            keys.push((wrapped.id, Cipher::new(&key)));
            if wrapped.is_in_use {
                current = current.max(Some(wrapped.id));
            }
        }
        keys.sort_by_key(|(id, _)| *id);
        match (index, current) {
            (Some(index), Some(current)) => Ok(Self::new(keys, current, index)),
            _ => Err(StoreError::Corrupt),
        }
    }

    fn new(keys: Vec<(u32, Cipher)>, current: u32, index: Hmac<Sha256>) -> Self {
        let audit = AuditKeys::new(&derived(&index, AuditKeys::PURPOSE));
        let codes = keyed(&derived(&index, CODES));
        Self { keys, current, index, audit, codes }
    }

    /// Seals a number for the row of its message.
    pub(crate) fn seal_receiver(&self, id: MessageId, receiver: Msisdn) -> Result<Vec<u8>, StoreError> {
        self.seal(Column::Receiver, id.as_bytes(), &receiver.number().to_be_bytes())
    }

    /// The number of a message. The country is not sealed.
    pub(crate) fn receiver(
        &self,
        id: MessageId,
        sealed: &[u8],
        country: Country,
    ) -> Result<Msisdn, StoreError> {
        let number = self.open_value(Column::Receiver, id.as_bytes(), sealed)?;
        let number = u64::from_be_bytes(number.as_slice().try_into().map_err(|_length| StoreError::Corrupt)?);
        Msisdn::from_parts(number, country).map_err(|_impossible| StoreError::Corrupt)
    }

    /// Seals a text for the row of its message.
    pub(crate) fn seal_body(&self, id: MessageId, body: &Body) -> Result<Vec<u8>, StoreError> {
        self.seal(Column::Body, id.as_bytes(), body.expose().as_bytes())
    }

    /// The text of a message; an erased one where there is none any more.
    pub(crate) fn body(&self, id: MessageId, sealed: Option<&[u8]>) -> Result<Body, StoreError> {
        let Some(sealed) = sealed else { return Ok(Body::erased()) };
        self.open_text(Column::Body, id.as_bytes(), sealed)
    }

    /// Seals what a provider sent, for the row of that callback.
    pub(crate) fn seal_callback(&self, row: &CallbackRow<'_>, raw: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.seal(Column::Callback, &row.bytes(), raw)
    }

    /// What a provider sent.
    pub(crate) fn callback(&self, row: &CallbackRow<'_>, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.open_value(Column::Callback, &row.bytes(), sealed).map(|mut raw| std::mem::take(&mut *raw))
    }

    /// What a code is known by: a hash under a key of its own, bound to its verification.
    pub(crate) fn code_hash(&self, id: VerificationId, code: &Code) -> [u8; KEY] {
        self.of_code(id, code).finalize().into_bytes().into()
    }

    /// Whether this is the code of a verification. Takes the same time whatever it is.
    pub(crate) fn is_code(&self, id: VerificationId, code: &Code, hash: &[u8; KEY]) -> bool {
        self.of_code(id, code).verify_slice(hash).is_ok()
    }

    fn of_code(&self, id: VerificationId, code: &Code) -> Hmac<Sha256> {
        self.codes.clone().chain_update(id.as_bytes()).chain_update(code.expose())
    }

    /// Seals a code for the row of its verification.
    pub(crate) fn seal_code(&self, id: VerificationId, code: &Code) -> Result<Vec<u8>, StoreError> {
        self.seal(Column::Code, id.as_bytes(), code.expose().as_bytes())
    }

    /// The code of a verification.
    pub(crate) fn code(&self, id: VerificationId, sealed: &[u8]) -> Result<Code, StoreError> {
        let code = self.open_value(Column::Code, id.as_bytes(), sealed)?;
        let code = std::str::from_utf8(&code).ok().and_then(|code| Code::read(code).ok());
        code.ok_or(StoreError::Corrupt)
    }

    /// What a number is found by. Two numbers may have the same one, once in a blue moon.
    pub(crate) fn blind(&self, receiver: Msisdn) -> i64 {
        self.blind_number(receiver.number())
    }

    /// The same for digits.
    pub(crate) fn blind_number(&self, number: u64) -> i64 {
        let hash = keyed_hash(&self.index, b"receiver", &number.to_be_bytes());
        i64::from_be_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
    }

    /// What the number of a message is found by.
    pub(crate) fn blind_sealed(&self, id: MessageId, sealed: &[u8]) -> Result<i64, StoreError> {
        self.receiver(id, sealed, Country::ZZ).map(|receiver| self.blind(receiver))
    }

    /// A key for another purpose, always the same for this database.
    pub(crate) fn derive(&self, purpose: &str) -> Key {
        derived(&self.index, purpose)
    }

    /// What the audit trail is made and checked with.
    pub(crate) fn audit(&self) -> &AuditKeys {
        &self.audit
    }

    /// No keys yet: only to read those of a database.
    pub(crate) fn closed() -> Self {
        let index = Hmac::<Sha256>::new(&rand::random::<[u8; 64]>().into());
        Self::new(Vec::new(), INDEX, index)
    }

    /// The id of the key that seals.
    pub(crate) fn current(&self) -> u32 {
        self.current
    }

    /// Whether a value is sealed under another key than what is new.
    pub(crate) fn is_outdated(&self, sealed: &[u8]) -> bool {
        key_id(sealed) != Some(self.current)
    }

    /// The same value under the key for what is new. Reads also what was there before values were sealed.
    pub(crate) fn reseal(&self, column: Column, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let Some(plain) = sealed.strip_prefix(PLAIN) else {
            return self.seal(column, row, &self.open_value(column, row, sealed)?);
        };
        match column {
            Column::Receiver => self.seal(column, row, &plain_number(plain)?.to_be_bytes()),
            other => self.seal(other, row, plain),
        }
    }

    /// Seals a value for its row and column.
    pub(crate) fn seal(&self, column: Column, row: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let cipher = self.key(self.current)?;
        cipher
            .seal(&self.current.to_be_bytes(), &[column.name(), row].concat(), plain)
            .map_err(|_too_long| StoreError::Internal("a value can't be sealed".into()))
    }

    /// Seals a text for its row and column.
    pub(crate) fn seal_text(&self, column: Column, row: &[u8], text: &str) -> Result<Vec<u8>, StoreError> {
        self.seal(column, row, text.as_bytes())
    }

    /// Opens a text that was sealed for this row and column.
    pub(crate) fn open_text(&self, column: Column, row: &[u8], sealed: &[u8]) -> Result<Body, StoreError> {
        let text = self.open_value(column, row, sealed)?;
        std::str::from_utf8(&text).map(Body::new).map_err(|_damaged| StoreError::Corrupt)
    }

    /// Opens a value that was sealed for this row and column.
    pub(crate) fn open_value(
        &self,
        column: Column,
        row: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let (id, sealed) = sealed.split_first_chunk::<KEY_ID>().ok_or(StoreError::Corrupt)?;
        let cipher = self.key(u32::from_be_bytes(*id))?;
        cipher.open(&[column.name(), row].concat(), sealed).ok_or(StoreError::Corrupt)
    }

    fn key(&self, id: u32) -> Result<&Cipher, StoreError> {
        if let Some((_, key)) = self.keys.iter().rev().find(|(known, _)| *known == id) {
            return Ok(key);
        }
        // One that was made since this process looked has a number soon after those that it knows. Any other is damage.
        let last = self.keys.last().map_or(INDEX, |(last, _)| *last);
        if id > last && id - last <= MADE_SINCE {
            Err(StoreError::UnknownKey)
        } else {
            Err(StoreError::Corrupt)
        }
    }
}

/// A hash under a key of its own: a block, as the hash fills it up (RFC 2104).
fn keyed(key: &Key) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    block[..KEY].copy_from_slice(&**key);
    Hmac::<Sha256>::new(&(*block).into())
}

fn keyed_hash(index: &Hmac<Sha256>, kind: &[u8], data: &[u8]) -> [u8; KEY] {
    index.clone().chain_update(kind).chain_update(data).finalize().into_bytes().into()
}

fn derived(index: &Hmac<Sha256>, purpose: &str) -> Key {
    Zeroizing::new(keyed_hash(index, b"key", purpose.as_bytes()))
}

/// Whether a value was there before values were sealed.
pub(crate) fn is_plain(sealed: &[u8]) -> bool {
    sealed.starts_with(PLAIN)
}

fn plain_number(plain: &[u8]) -> Result<u64, StoreError> {
    std::str::from_utf8(plain).ok().and_then(|digits| digits.parse().ok()).ok_or(StoreError::Corrupt)
}

/// Rows that were sealed anew.
#[derive(Debug)]
pub(crate) struct ResealedRows {
    /// How many rows were looked at.
    pub(crate) rows: u64,
    /// The key that they are sealed under now.
    pub(crate) key: u32,
    pub(crate) messages: Vec<SealedMessage>,
    pub(crate) callbacks: Vec<SealedCallback>,
    pub(crate) cells: Vec<SealedCell>,
    /// Where to go on; `None` at the end.
    pub(crate) behind: Option<SealedRow>,
}

impl ResealedRows {
    /// Nothing so far, under this key.
    pub(crate) fn none(key: u32) -> Self {
        Self { rows: 0, key, messages: Vec::new(), callbacks: Vec::new(), cells: Vec::new(), behind: None }
    }

    /// How many values had another key.
    pub(crate) fn resealed(&self) -> usize {
        self.messages.len() + self.callbacks.len() + self.cells.len()
    }
}

/// A value in a row of a smaller table.
#[derive(Debug)]
pub(crate) struct SealedCell {
    /// Its place in the list of these tables.
    pub(crate) table: u16,
    pub(crate) key: RowKey,
    /// Its place among the sealed columns of the table.
    pub(crate) column: usize,
    /// As it stood in the row.
    pub(crate) was: Vec<u8>,
    pub(crate) now: Vec<u8>,
}

/// What a message's row has sealed.
#[derive(Debug)]
pub(crate) struct SealedMessage {
    pub(crate) id: MessageId,
    pub(crate) receiver_hash: i64,
    /// As the number stood in the row: one that somebody else has sealed anew is left.
    pub(crate) was: Vec<u8>,
    pub(crate) receiver: Vec<u8>,
    pub(crate) body: Option<Vec<u8>>,
}

/// What a callback's row has sealed.
#[derive(Debug)]
pub(crate) struct SealedCallback {
    pub(crate) id: i64,
    pub(crate) received_at: Timestamp,
    pub(crate) receiver_hash: Option<i64>,
    /// As it stood in the row.
    pub(crate) was: Vec<u8>,
    pub(crate) raw: Vec<u8>,
}

/// What a callback's row is told apart by before it has a number.
pub(crate) struct CallbackRow<'a> {
    pub(crate) received_at: Timestamp,
    pub(crate) provider_message_id: &'a str,
}

impl<'a> From<&'a Receipt> for CallbackRow<'a> {
    fn from(receipt: &'a Receipt) -> Self {
        Self { received_at: receipt.received_at, provider_message_id: receipt.provider_message_id.as_str() }
    }
}

impl CallbackRow<'_> {
    /// As it is sealed with the value.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&self.received_at.as_micros().to_be_bytes(), self.provider_message_id.as_bytes()].concat()
    }
}

fn key_id(sealed: &[u8]) -> Option<u32> {
    sealed.first_chunk::<KEY_ID>().map(|id| u32::from_be_bytes(*id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keyring() -> (Keyring, Vec<WrappedKey>) {
        let master = MasterKeys::generate().0;
        let kept = WrappedKey::first(&master).unwrap().to_vec();
        (Keyring::open(master, &kept).unwrap(), kept)
    }

    fn id(random: u8) -> MessageId {
        MessageId::new(Timestamp::from_micros(1_795_422_600_123_456), [random; 10])
    }

    #[test]
    fn one_value_is_sealed_differently_each_time_and_opens_in_its_own_place_only() {
        let vault = keyring().0.vault();
        let body = Body::new("Nambari yako ni 482913");
        let [first, second] = [(); 2].map(|()| vault.seal_body(id(1), &body).unwrap());
        assert_ne!(first, second);
        assert!(!first.windows(6).any(|window| window == b"482913"));
        assert_eq!(vault.body(id(1), Some(&first)).unwrap(), body);
        // In another row, in another column, changed, and cut.
        assert_eq!(vault.body(id(2), Some(&first)).unwrap_err(), StoreError::Corrupt);
        assert_eq!(vault.receiver(id(1), &first, Country::KE).unwrap_err(), StoreError::Corrupt);
        let mut changed = first.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(vault.body(id(1), Some(&changed)).unwrap_err(), StoreError::Corrupt);
        assert_eq!(vault.body(id(1), Some(&first[..20])).unwrap_err(), StoreError::Corrupt);
    }

    #[test]
    fn a_new_key_seals_what_is_new_once_it_is_in_use_and_older_ones_open_what_is_old() {
        let (ring, mut kept) = keyring();
        let old = ring.vault().seal_body(id(1), &Body::new("Habari")).unwrap();
        kept.push(ring.next(&kept).unwrap());
        ring.renew(&kept).unwrap();
        assert!(!ring.vault().is_outdated(&old), "not in use yet");
        kept.last_mut().unwrap().is_in_use = true;
        ring.renew(&kept).unwrap();
        let vault = ring.vault();
        assert!(vault.is_outdated(&old));
        let new = vault.reseal(Column::Body, id(1).as_bytes(), &old).unwrap();
        assert!(!vault.is_outdated(&new));
        assert_eq!(vault.body(id(1), Some(&new)).unwrap(), Body::new("Habari"));
        // A node that has not heard of the key yet fails, and damages nothing.
        let (_, kept) = (kept.pop(), kept);
        let behind = Keyring::open(ring.master.clone(), &kept).unwrap();
        assert_eq!(behind.vault().body(id(1), Some(&new)).unwrap_err(), StoreError::UnknownKey);
    }

    #[test]
    fn another_master_key_opens_nothing_and_an_older_one_is_replaced() {
        let (ring, kept) = keyring();
        let blind = ring.vault().blind_number(254_712_345_678);
        let (stranger, text) = MasterKeys::generate();
        assert_eq!(Keyring::open(stranger, &kept).unwrap_err(), StoreError::WrongKey);
        let both = MasterKeys::read(&format!("{},{}", &*text, &*ring.master.text())).unwrap();
        let ring = Keyring::open(both, &kept).unwrap();
        let rewrapped = ring.rewrap(&kept).unwrap();
        assert_eq!(rewrapped.len(), kept.len());
        let alone = Keyring::open(MasterKeys::read(&text).unwrap(), &rewrapped).unwrap();
        assert_eq!(alone.vault().blind_number(254_712_345_678), blind);
        assert!(alone.rewrap(&rewrapped).unwrap().is_empty());
    }

    #[test]
    fn neither_keys_nor_what_they_open_is_shown() {
        let ring = keyring().0;
        let shown = format!("{ring:?}");
        assert!(!shown.contains(&*ring.master.text()), "{shown}");
    }

    proptest! {
        #[test]
        fn numbers_and_texts_come_back_as_they_were(number in 1_000_000_u64..999_999_999_999_999, text in ".{1,200}") {
            let vault = keyring().0.vault();
            let receiver = Msisdn::from_parts(number, Country::KE).unwrap();
            let sealed = vault.seal_receiver(id(1), receiver).unwrap();
            prop_assert_eq!(vault.receiver(id(1), &sealed, Country::KE).unwrap(), receiver);
            let body = Body::new(text);
            let sealed = vault.seal_body(id(1), &body).unwrap();
            prop_assert_eq!(vault.body(id(1), Some(&sealed)).unwrap(), body);
        }
    }
}
