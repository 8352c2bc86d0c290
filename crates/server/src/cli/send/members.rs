//! Sending a template to each row of a file.
//!
//! Rows go in batches of a hundred, cut from the file alone: a run that goes on after another makes the same batches, with
//! the same idempotency keys. What a batch was answered is written beside the file before the next one is sent. So each row is
//! sent once, however often the command is run.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::super::{print, say};
use super::batch::{Gateway, Outcome};
use super::progress::Progress;

/// Rows of a batch: what a bulk request takes.
const BATCH: usize = 100;

/// Rows that a dry run asks about at once.
const AT_ONCE: usize = 8;

const BAR: &str = "{bar:40} {pos} of {len} rows, {eta} left";

/// A row that can be asked for.
pub(super) struct Member {
    /// Where it stands in the file, counted from 1.
    pub(super) line: u64,
    /// The receiver with its variables, as the API takes it.
    pub(super) body: Map<String, Value>,
}

/// A row that is not sent, and why.
struct Bad {
    line: u64,
    why: String,
}

/// Sends to each row, or asks about each. Fails if a row was not sent, or could not be.
pub(super) async fn send(
    file: &Path,
    progress: Option<&Path>,
    dry_run: bool,
    common: Map<String, Value>,
    gateway: &Gateway,
) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let (members, mut bad) = read(&bytes)?;
    let bar = bar(members.len());
    if dry_run {
        for asked in members.chunks(AT_ONCE) {
            let answers = asked.iter().map(|member| gateway.explain(member, &common));
            let answers = futures_util::future::join_all(answers).await;
            for (member, answer) in asked.iter().zip(answers) {
                bad.extend(answer?.map(|why| Bad { line: member.line, why }));
            }
            bar.inc(asked.len() as u64);
        }
        bar.finish_and_clear();
        return tell(&members, bad, "would be sent");
    }
    let path = progress.map_or_else(|| beside(file), Path::to_path_buf);
    let mut progress = Progress::open(&path, &digest(&bytes, &common))?;
    for (number, batch) in members.chunks(BATCH).enumerate() {
        let outcomes = if let Some(outcomes) = progress.outcomes(number) {
            outcomes
        } else {
            progress.begin(number)?;
            let outcomes = gateway.send(batch, &common, &progress.key(number)).await?;
            progress.end(number, &outcomes)?;
            outcomes
        };
        anyhow::ensure!(outcomes.len() == batch.len(), "{} is of another file", path.display());
        for (member, outcome) in batch.iter().zip(outcomes) {
            if let Outcome::Refused(why) = outcome {
                bad.push(Bad { line: member.line, why });
            }
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    tell(&members, bad, "sent")
}

fn tell(members: &[Member], mut bad: Vec<Bad>, done: &str) -> anyhow::Result<()> {
    bad.sort_by_key(|bad| bad.line);
    for Bad { line, why } in &bad {
        say(format_args!("line {line}: {why}"));
    }
    let lines: BTreeSet<u64> = bad.iter().map(|bad| bad.line).collect();
    let good = members.iter().filter(|member| !lines.contains(&member.line)).count();
    print(format_args!("{good} rows {done}, {} not", bad.len()));
    anyhow::ensure!(bad.is_empty(), "not every row was sent");
    Ok(())
}

/// The rows, and those that can't be read.
fn read(bytes: &[u8]) -> anyhow::Result<(Vec<Member>, Vec<Bad>)> {
    // Spreadsheets write a mark of the encoding in front.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().context("the first line can't be read")?.clone();
    anyhow::ensure!(header.iter().any(|name| name == "receiver"), "there is no column receiver");
    let (mut members, mut bad, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(problem) => {
                bad.push(unreadable(&problem)?);
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        match member(line, &header, &record) {
            Err(why) => bad.push(Bad { line, why }),
            Ok((number, body)) => match seen.insert(number, line) {
                Some(earlier) => bad.push(Bad { line, why: format!("has the number of line {earlier}") }),
                None => members.push(Member { line, body }),
            },
        }
    }
    Ok((members, bad))
}

/// A row that can't be read. What stands in it is not repeated.
fn unreadable(problem: &csv::Error) -> anyhow::Result<Bad> {
    let line = problem.position().map_or(0, csv::Position::line);
    let why = match problem.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} columns, and the first line {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".into(),
        _ => anyhow::bail!("line {line} can't be read"),
    };
    Ok(Bad { line, why })
}

/// The digits of the receiver, and the body. A cell that is empty has no value: the variable's default stands.
fn member(
    line: u64,
    header: &csv::StringRecord,
    record: &csv::StringRecord,
) -> Result<(String, Map<String, Value>), String> {
    let (mut body, mut variables) = (Map::new(), Map::new());
    for (name, cell) in header.iter().zip(record).filter(|(_, cell)| !cell.is_empty()) {
        match name {
            "receiver" | "locale" => body.insert(name.into(), cell.into()),
            _ => variables.insert(name.into(), cell.into()),
        };
    }
    let receiver = body.get("receiver").and_then(Value::as_str).ok_or("has no receiver")?;
    let mut digits: String = receiver.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        // Not a number: the gateway says so, for this row alone.
        digits = format!("line {line}");
    }
    body.insert("variables".into(), Value::Object(variables));
    Ok((digits, body))
}

/// What tells this file and these options from all others.
fn digest(bytes: &[u8], common: &Map<String, Value>) -> String {
    let mut hash = Sha256::new();
    let options = Value::Object(common.clone()).to_string();
    hash.update((options.len() as u64).to_be_bytes());
    hash.update(options);
    hash.update(bytes);
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".progress");
    name.into()
}

fn bar(rows: usize) -> ProgressBar {
    // A template that can't be read is a mistake of this file, which a test finds: then the bar is a plain one.
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_wrong| ProgressStyle::default_bar());
    ProgressBar::new(rows as u64).with_style(style)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn template_of_the_bar_can_be_read() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }

    #[test]
    fn columns_become_variables_and_bad_rows_have_their_lines() {
        let file = [
            "\u{FEFF}receiver,name,locale,amount",
            "0712345678, Wanjiku ,sw,",
            "0712 345 678,Otieno,,5",
            "x,\"a",
            "b\",,",
            ",No,,",
            "+1415,y",
            "",
        ];
        let (members, bad) = read(file.join("\n").as_bytes()).unwrap();
        let shown: Vec<_> =
            members.into_iter().map(|member| (member.line, Value::Object(member.body))).collect();
        let wanjiku = json!({"receiver": "0712345678", "locale": "sw", "variables": {"name": "Wanjiku"}});
        assert_eq!(shown, [(2, wanjiku), (4, json!({"receiver": "x", "variables": {"name": "a\nb"}}))]);
        let bad: Vec<_> = bad.into_iter().map(|bad| (bad.line, bad.why)).collect();
        assert_eq!(
            bad,
            [
                (3, "has the number of line 2".to_owned()),
                (6, "has no receiver".to_owned()),
                (7, "has 2 columns, and the first line 4".to_owned()),
            ]
        );
        assert!(read(b"number,name\n1,2\n").is_err());
    }
}
