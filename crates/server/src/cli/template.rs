//! `tuma template`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use domain::template::{Definition, Finding, Template as Compiled, WorstCase};

use super::print;

/// Look for mistakes in templates, and say what their texts take to send at most.
#[derive(Debug, Args)]
pub(super) struct Template {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check files that hold a template each, as JSON. Fails if any has a mistake.
    Check {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

impl Template {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Verb::Check { files } = self.verb;
        let mut wrong = 0;
        for file in &files {
            if !check(file)? {
                wrong += 1;
            }
        }
        anyhow::ensure!(wrong == 0, "{wrong} of {} templates can't be used", files.len());
        Ok(())
    }
}

/// Prints what the linter found; `false` if the template can't be used.
fn check(path: &Path) -> anyhow::Result<bool> {
    let file = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{file} can't be read"))?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    let read = serde_path_to_error::deserialize::<_, Definition>(&mut reader);
    let definition = match read.map(|read| reader.end().map(|()| read)) {
        Ok(Ok(definition)) => definition,
        Ok(Err(problem)) => {
            print(format_args!("{file}: error: {problem}"));
            return Ok(false);
        }
        Err(mistake) => {
            print(format_args!("{file}: error: {}: {}", mistake.path(), mistake.inner()));
            return Ok(false);
        }
    };
    let (template, report) = Compiled::compile(&definition);
    for finding in &report.findings {
        print(format_args!("{file}: {}", line(finding)));
    }
    for WorstCase { locale, variant, most } in &report.worst {
        let (units, encoding, segments) = (most.units, most.encoding, most.segments);
        print(format_args!(
            "{file}: {locale}, variant {variant}: at most {units} units of {encoding}, segments: {segments}"
        ));
    }
    Ok(template.is_some())
}

fn line(finding: &Finding) -> String {
    let Finding { severity, pointer, place, message, .. } = finding;
    match place {
        Some(at) => format!(
            "{severity}: {pointer}, line {}, column {} (character {}): {message}",
            at.line, at.column, at.position
        ),
        None => format!("{severity}: {pointer}: {message}"),
    }
}
