//! The rules of the house that neither the compiler nor Clippy knows. Each finding names a file and a line.
//!
//! The rules look at words, not at types: enough to catch a slip, cheap enough to run on every save.

mod files;

mod source;

mod modules;

mod edges;

mod words;

mod text;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail};

use crate::shell;
use files::File;
use source::Source;

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

pub(crate) fn run() -> Result<()> {
    let findings = findings()?;
    for finding in &findings {
        shell::say(finding);
    }
    if !findings.is_empty() {
        bail!("tidy found {} broken rules", findings.len());
    }
    shell::say("tidy: the rules of the house hold");
    Ok(())
}

fn findings() -> Result<Vec<Finding>> {
    let files = files::list()?;
    let mut sources: Vec<Source> = files.iter().filter(|file| file.is("rs")).map(Source::new).collect();
    source::mark_test_files(&mut sources);

    let mut findings = edges::check()?;
    for (_, of_crate) in by_crate(&sources) {
        findings.extend(modules::check(&of_crate));
    }
    for source in &sources {
        findings.extend(words::check(source));
    }
    for file in &files {
        findings.extend(text::check(file));
    }
    findings.extend(contributing(&files));
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(findings)
}

fn contributing(files: &[File]) -> Vec<Finding> {
    let page = files.iter().find(|file| file.path == "CONTRIBUTING.md");
    page.map(|page| text::listed_paths_exist(page, |path| shell::root().join(path).exists()))
        .unwrap_or_default()
}

/// The sources under each crate's `src`, keyed by the crate's folder.
fn by_crate(sources: &[Source]) -> BTreeMap<&str, Vec<&Source>> {
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources {
        if let Some((folder, _)) = source.path.split_once("/src/") {
            crates.entry(folder).or_default().push(source);
        }
    }
    crates
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_rules_of_the_house_hold() {
        let broken: Vec<String> = super::findings().unwrap().iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    }
}
