//! The key of the first start: where nobody could call, one is made that may everything.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use domain::audit::{Act, Actor};
use domain::secret::{ExposeSecret as _, SecretString};
use domain::time::Clock as _;
use gateway::SystemClock;
use store::Store;

use crate::cli::say;
use crate::config::Config;
use crate::keys::{self, Scope};

/// Makes the key and shows it this once, to whoever started the program at a terminal. Else standard error is kept with the
/// log, which many read: then it goes into a file for its owner alone.
pub(super) async fn offer(store: &dyn Store, config: &Config) -> anyhow::Result<()> {
    if !store.keys().await?.is_empty() {
        return Ok(());
    }
    let now = SystemClock::new().now();
    let (secret, key) = keys::create("first start", &[Scope::Admin], None, now);
    let id = key.id;
    let file = (!std::io::stderr().is_terminal()).then(|| place(config.database_url.expose()));
    if let Some(file) = &file
        && let Err(problem) = write(file, &secret)
    {
        // What nobody could read is not made.
        let file = file.display();
        tracing::warn!(%problem, %file, "there is no API key, and the first one can't be kept: run tuma keys create");
        return Ok(());
    }
    // Another node may have been faster.
    if !store.create_first_key(key, Act { by: Actor::System, at: now }).await? {
        file.map(std::fs::remove_file).transpose()?;
        return Ok(());
    }
    if let Some(file) = file {
        let file = file.display();
        tracing::warn!(key = %id, %file, "there was no API key: one was made that may everything, and is in a file");
        return Ok(());
    }
    tracing::warn!(key = %id, "there was no API key: one was made that may everything, and shown on standard error");
    say(format_args!("\n{id}, for the first start, with the scope admin. It is shown this once:\n"));
    say(secret.expose_secret());
    say("\nMake one for each caller with it (POST /api-keys, or tuma keys create), then revoke it.\n");
    Ok(())
}

/// Beside a database that is a file, or else in the working directory.
fn place(database_url: &str) -> PathBuf {
    let file = database_url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    format!("{}.first-key", file.unwrap_or("tuma")).into()
}

fn write(path: &Path, secret: &SecretString) -> std::io::Result<()> {
    // One of a database that is gone, which may be another's to read.
    match std::fs::remove_file(path) {
        Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => return Err(problem),
        _ => {}
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(secret.expose_secret().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
