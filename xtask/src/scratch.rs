//! Where tests put what is gone when they have ended.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// What a run of the tests needs at most, in MiB: the journal of PostgreSQL, and the databases of a few tests at a time.
const ROOM_MIB: u64 = 2048;

/// A folder that is removed with all that is in it when it is dropped.
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Makes a folder, in memory where there is room for it: tests make thousands of databases. Its path is short, since
    /// that of a socket may have a hundred bytes.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let has_room = free_mib(memory).is_some_and(|free| free >= ROOM_MIB);
        let home = if has_room { memory.to_owned() } else { std::env::temp_dir() };
        let folder = home.join(format!("tuma-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
        Ok(Self { folder })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed harms nobody.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What is free on the file system of a folder, as POSIX's `df` tells it.
fn free_mib(folder: &Path) -> Option<u64> {
    let told = shell::answer(Command::new("df").arg("-Pk").arg(folder))?;
    Some(available_kib(&told)? / 1024)
}

/// The fourth column of the second line.
fn available_kib(told: &str) -> Option<u64> {
    told.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::available_kib;

    #[test]
    fn what_is_free_is_read_from_what_df_prints() {
        let told = "Filesystem     1024-blocks  Used Available Capacity Mounted on\n\
                    tmpfs             24683656  7600  24676056       1% /dev/shm\n";
        assert_eq!(available_kib(told), Some(24_676_056));
        assert_eq!(available_kib("df: /dev/shm: No such file or directory\n"), None);
    }
}
