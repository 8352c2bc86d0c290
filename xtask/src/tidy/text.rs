//! Rules for any text file, read line by line.

use super::Finding;
use super::files::File;

/// A file longer than this holds two ideas.
const MOST_LINES: usize = 600;

/// Kinds of file that people write and read.
const WRITTEN: &[&str] = &["rs", "js", "ts", "css", "sh"];

/// What only holds on one machine or behind one mirror, spelled in halves so that this file does not bear it.
const REGISTRIES: &[&str] = &[
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("\"reso", "lved\":"),
    concat!("replace", "-with"),
];
const FOLDERS: &[&str] = &[concat!("/", "work"), concat!("/", "root")];

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let count = file.text.lines().count();
    if count > MOST_LINES && WRITTEN.iter().any(|kind| file.is(kind)) {
        let message = format!("{count} lines, at most {MOST_LINES}: split it by idea");
        findings.push(Finding::new(&file.path, MOST_LINES + 1, message));
    }
    for (line, text) in (1..).zip(file.text.lines()) {
        if let Some(word) = REGISTRIES.iter().find(|word| text.contains(**word)) {
            findings.push(Finding::new(
                &file.path,
                line,
                format!("names a registry ({word}): the client knows its own"),
            ));
        }
        if let Some(folder) = FOLDERS.iter().find(|folder| has_folder(text, folder)) {
            findings.push(Finding::new(&file.path, line, format!("{folder} is a folder of one machine")));
        }
    }
    findings
}

/// Whether `folder` stands there as an absolute path: not as the tail or the head of a longer name.
fn has_folder(text: &str, folder: &str) -> bool {
    let is_name = |it: char| it.is_alphanumeric() || "_-./}>)".contains(it);
    let goes_on = |it: char| it.is_alphanumeric() || "_-".contains(it);
    text.match_indices(folder).any(|(at, _)| {
        let (before, after) = text.split_at(at);
        let after = after.strip_prefix(folder).unwrap_or_default();
        !before.ends_with(is_name) && !after.starts_with(goes_on)
    })
}

/// The numbered lists name files; whoever moves one of those keeps the list true.
pub(super) fn listed_paths_exist(page: &File, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_list = false;
    for (line, text) in (1..).zip(page.text.lines()) {
        let is_indented = text.starts_with([' ', '\t']);
        in_list = is_numbered(text) || in_list && (is_indented || text.is_empty());
        let quoted = text.split('`').skip(1).step_by(2).filter(|_| in_list);
        for path in quoted.filter_map(checkable).filter(|path| !exists(path)) {
            findings.push(Finding::new(&page.path, line, format!("`{path}` does not exist")));
        }
    }
    findings
}

/// `1. text`, indented or not.
fn is_numbered(text: &str) -> bool {
    let text = text.trim_start();
    let rest = text.trim_start_matches(|it: char| it.is_ascii_digit());
    rest.len() < text.len() && rest.starts_with(". ")
}

/// The part of a quoted word that must exist: `crates/providers/src/<name>.rs` asks for `crates/providers/src`.
fn checkable(quoted: &str) -> Option<&str> {
    let is_path = quoted.contains('/') || [".rs", ".toml", ".md"].iter().any(|end| quoted.ends_with(end));
    if !is_path || quoted.starts_with(['/', '-', '.']) || quoted.contains([' ', ':', '(', '"']) {
        return None;
    }
    let fixed = match quoted.find(['<', '*', '{', '…']) {
        Some(at) => quoted.split_at(at).0.rsplit_once('/')?.0,
        None => quoted.split('#').next()?,
    };
    Some(fixed).filter(|path| !path.is_empty() && !path.contains("NNNN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    fn lines(found: &[Finding]) -> Vec<usize> {
        found.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_long_file_is_found_if_people_wrote_it() {
        let text = "x\n".repeat(MOST_LINES + 1);
        assert_eq!(check(&file("a.rs", &text)).len(), 1);
        assert!(check(&file("a.json", &text)).is_empty());
        assert!(check(&file("a.rs", &"x\n".repeat(MOST_LINES))).is_empty());
    }

    #[test]
    fn a_folder_of_one_machine_is_found() {
        let [work, root] = [FOLDERS[0], FOLDERS[1]];
        let text = format!(
            "cd {work}\n\"{root}/.cargo\"\ncrates{work}/a\n{work}ers\nhttps://a.example{root}\n${{x}}{work}"
        );
        assert_eq!(lines(&check(&file("a.md", &text))), [1, 2]);
    }

    #[test]
    fn an_address_of_a_registry_is_found() {
        assert_eq!(lines(&check(&file("a.json", &format!("\n{}", REGISTRIES[0])))), [2]);
    }

    #[test]
    fn paths_in_numbered_lists_must_exist() {
        let text = "See `gone/a.rs`.\n\n1. Write `here/<name>.rs`.\n   Then `gone/b.rs#part`, `GET /v1/x`, `/v1/y`.\n\n\
                    2. Edit `here/c.rs` and `gone/*.rs`.\n\nAfter: `gone/d.rs`.\n";
        let found = listed_paths_exist(&file("CONTRIBUTING.md", text), |path| path.starts_with("here"));
        assert_eq!(lines(&found), [4, 6]);
    }
}
