//! Where the secret behind the audit trail comes from.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use domain::audit::{AuditKey, AuditKeyError, hex};
use domain::secret::ExposeSecret as _;
use rand::RngExt as _;

use crate::config::Config;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// None is set, and nowhere is a place to make one.
    #[error(
        "setting audit.key: is not set; a database that several nodes may serve needs one (TUMA_AUDIT_KEY)"
    )]
    NotSet,
    /// What is set is none.
    #[error("setting audit.key: {0}")]
    Unreadable(AuditKeyError),
    /// What stands in the file is none.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: AuditKeyError,
    },
    /// The file can't be read or made.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// The key that is set; else, for a file, the one that stands beside it, which is made if it is not there.
pub fn audit_key(config: &Config) -> Result<AuditKey, KeyError> {
    if let Some(key) = config.audit.key.get() {
        return key.expose_secret().trim().parse().map_err(KeyError::Unreadable);
    }
    let mut name = config.database_url.file().ok_or(KeyError::NotSet)?.as_os_str().to_owned();
    name.push(".audit-key");
    let path = PathBuf::from(name);
    read_or_make(&path)
        .map_err(|error| KeyError::Io { path: path.clone(), error })
        .and_then(|text| text.trim().parse().map_err(|error| KeyError::File { path, error }))
}

/// Made whole or not at all, and by one of those who make it at once; for its owner alone.
fn read_or_make(path: &Path) -> std::io::Result<String> {
    match std::fs::read_to_string(path) {
        Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => {}
        read => return read,
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let secret: [u8; 32] = rand::rng().random();
    writeln!(file, "{}", hex(&secret))?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_made) => {
            tracing::info!(path = %path.display(), "the key of the audit trail was made: keep a copy of it");
        }
        Err(other) if other.error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(other) => return Err(other.error),
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[(&str, &str)]) -> Config {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, settings).unwrap()
    }

    #[test]
    fn key_of_a_file_is_made_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("tuma.db").display());
        let config = config(&[("TUMA_DATABASE_URL", &url)]);
        audit_key(&config).unwrap();
        let path = folder.path().join("tuma.db.audit-key");
        let made = std::fs::read_to_string(&path).unwrap();
        audit_key(&config).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "no key").unwrap();
        assert!(matches!(audit_key(&config), Err(KeyError::File { .. })));
    }

    #[test]
    fn key_that_is_set_counts_and_is_not_repeated_if_it_is_none() {
        let url = ("TUMA_DATABASE_URL", "postgres://tuma@127.0.0.1/tuma");
        assert!(matches!(audit_key(&config(&[url])), Err(KeyError::NotSet)));
        assert!(audit_key(&config(&[url, ("TUMA_AUDIT_KEY", &"0f".repeat(32))])).is_ok());
        let wrong = audit_key(&config(&[url, ("TUMA_AUDIT_KEY", "hunter2")])).unwrap_err();
        assert!(!format!("{wrong} {wrong:?}").contains("hunter2"), "{wrong}");
    }
}
