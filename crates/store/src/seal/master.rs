//! The key that opens all others. It is never in the database.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::secret::{Key, Zeroizing};

use super::cipher::Cipher;
use super::{KEY, WrappedKey};
use crate::StoreError;

/// What a wrapped key is bound to, before its id.
const PURPOSE: &[u8] = b"data_keys.wrapped";

/// A file with a master key is no longer than that.
const MAX_FILE: u64 = 4_096;

/// Master keys: the first wraps, all of them unwrap. Zeroed when dropped, never shown.
#[derive(Clone)]
pub struct MasterKeys(Vec<Key>);

/// Why a text is no master key. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// Not Base64, or not 32 bytes.
    #[error("is not 32 bytes in Base64, such as `tuma keys generate-data-key` prints")]
    NotAKey,
    /// No key at all.
    #[error("is empty")]
    Empty,
}

impl std::fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKeys({})", self.0.len())
    }
}

impl MasterKeys {
    /// Reads keys as `TUMA_DATA_KEY` has them: 32 bytes in Base64 each, separated by commas, the newest first.
    ///
    /// # Errors
    /// A text that is not that.
    pub fn read(text: &str) -> Result<Self, MasterKeyError> {
        let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty()).map(key);
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(MasterKeyError::Empty) } else { Ok(Self(keys)) }
    }

    /// A new key, and its text.
    pub fn generate() -> (Self, Zeroizing<String>) {
        let keys = Self(vec![Zeroizing::new(rand::random())]);
        let text = keys.text();
        (keys, text)
    }

    /// The newest key as a text.
    pub(super) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.first().map(|key| STANDARD.encode(**key)).unwrap_or_default())
    }

    /// Reads the key beside a database, or makes one: a file for its owner alone. `None` if there is none, and none may be
    /// made.
    pub(crate) fn beside(path: &Path, create: bool) -> Result<Option<Self>, StoreError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".key");
        let io = |error: std::io::Error| StoreError::Io(format!("the data key beside the database: {error}"));
        match File::open(&name) {
            Ok(file) => {
                let mut text = Zeroizing::new(String::new());
                file.take(MAX_FILE).read_to_string(&mut text).map_err(io)?;
                Self::read(&text).map(Some).map_err(|_unreadable| StoreError::WrongKey)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
                let mut options = File::options();
                options.write(true).create_new(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let (keys, text) = Self::generate();
                let mut file = options.open(&name).map_err(io)?;
                file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
                // The name too: a key that is gone after a power cut would take the database with it.
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
                }
                Ok(Some(keys))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(error)),
        }
    }

    /// Seals a data key under the newest master key.
    pub(super) fn wrap(&self, id: u32, key: &Key) -> Result<Vec<u8>, StoreError> {
        let master = self.0.first().ok_or(StoreError::WrongKey)?;
        Cipher::new(master)
            .seal(b"", &about(id), key.as_slice())
            .map_err(|_too_long| StoreError::Internal("a key can't be wrapped".into()))
    }

    /// Opens a data key.
    pub(super) fn unwrap(&self, wrapped: &WrappedKey) -> Result<Key, StoreError> {
        self.0.iter().find_map(|master| open(master, wrapped)).ok_or(StoreError::WrongKey)
    }

    /// Whether the newest master key wrapped a key.
    pub(super) fn is_newest(&self, wrapped: &WrappedKey) -> bool {
        self.0.first().is_some_and(|master| open(master, wrapped).is_some())
    }
}

fn open(master: &Key, wrapped: &WrappedKey) -> Option<Key> {
    let opened = Cipher::new(master).open(&about(wrapped.id), &wrapped.wrapped)?;
    <[u8; KEY]>::try_from(opened.as_slice()).ok().map(Zeroizing::new)
}

/// What a wrapped key is bound to.
fn about(id: u32) -> Vec<u8> {
    [PURPOSE, &id.to_be_bytes()].concat()
}

fn key(text: &str) -> Result<Key, MasterKeyError> {
    let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_may_quote_it| MasterKeyError::NotAKey)?);
    <[u8; KEY]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_length| MasterKeyError::NotAKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_beside_a_database_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("tuma.db");
        assert!(MasterKeys::beside(&database, false).unwrap().is_none());
        let made = MasterKeys::beside(&database, true).unwrap().unwrap();
        let found = MasterKeys::beside(&database, false).unwrap().unwrap();
        assert_eq!(made.text(), found.text());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let file = std::fs::metadata(folder.path().join("tuma.db.key")).unwrap();
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_quoted() {
        for text in ["secret", "c2VjcmV0", "secret,also"] {
            let refused = MasterKeys::read(text).unwrap_err();
            assert_eq!(refused, MasterKeyError::NotAKey);
            assert!(!refused.to_string().contains("secret"));
        }
        assert_eq!(MasterKeys::read(" , ").unwrap_err(), MasterKeyError::Empty);
    }
}
