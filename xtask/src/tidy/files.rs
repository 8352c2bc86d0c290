//! The files of the project: those git tracks, and those it would if asked.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// A text file; `path` is relative to the root, with forward slashes.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    pub(super) fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|it| it == extension)
    }
}

/// Every text file of the project; what is not UTF-8 (a picture) is left out.
pub(super) fn list() -> Result<Vec<File>> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let mut paths: Vec<String> = match shell::answer(Command::new("git").args(args)) {
        Some(list) => list.split_terminator('\0').map(str::to_owned).collect(),
        None => walk()?,
    };
    paths.sort();
    paths.dedup();
    // A path may be gone: deleted and not yet staged.
    let read = |path: String| Some(File { text: fs::read_to_string(shell::root().join(&path)).ok()?, path });
    Ok(paths.into_iter().filter_map(read).collect())
}

/// The same list in a source archive, where there is no git to ask.
fn walk() -> Result<Vec<String>> {
    let root = shell::root();
    let mut folders = vec![root.clone()];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("could not list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            if name == ".git" || name == "target" || name == "node_modules" {
                continue;
            }
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if let Ok(path) = path.strip_prefix(&root) {
                paths.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    Ok(paths)
}
