//! Words that may not stand in Rust code, or only in some places.

use super::Finding;
use super::source::{Placed, Source, Token};

/// Names of providers, as they would be written in code or in a string.
const PROVIDERS: &[&str] = &["twilio", "africastalking", "africas_talking"];

/// Nothing here knows a provider by name: a new one is a file in `providers` and a line in its registry.
const NAMELESS: &[&str] =
    &["crates/domain/src/", "crates/store/src/", "crates/gateway/src/", "crates/server/src/"];

/// Where the edge does name one, and why it must.
const NAMING: &[(&str, &str)] = &[
    ("crates/server/src/http/compat/", "speaks a provider's wire to callers who bring its client library"),
    ("crates/server/src/cli/demo", "the demonstration shows a named provider"),
];

/// How SQL begins: all the words, in this order, the first at the start.
const SQL: &[&[&str]] = &[
    &["SELECT "],
    &["INSERT ", "INTO "],
    &["UPDATE ", " SET "],
    &["DELETE FROM "],
    &["CREATE ", "TABLE "],
    &["CREATE ", "INDEX "],
    &["ALTER TABLE "],
    &["DROP TABLE "],
    &["PRAGMA "],
    &["WITH ", " AS ", "SELECT "],
];

/// Where a test holds statements of its own, and why it must.
const STATEMENTS: &[(&str, &str)] =
    &[("crates/server/tests/it/program_audit.rs", "changes a database behind the program's back")];

/// Marks of unfinished work, spelled in halves so that this file does not bear them.
const UNFINISHED: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X")];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = bare_allows(source);
    if source.path.contains("/src/") {
        findings.extend(unfinished(source));
    }
    if !source.is_test {
        findings.extend(providers(source));
    }
    let may_hold_sql = |path: &&str| source.path.starts_with(*path);
    let beside = STATEMENTS.iter().map(|(path, _)| *path);
    if !["crates/store/", "xtask/"].into_iter().chain(beside).any(|path| may_hold_sql(&path)) {
        findings.extend(sql(source));
    }
    findings
}

fn unfinished(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pair in source.tokens.windows(2) {
        let macros = pair[0].word().filter(|word| matches!(*word, "todo" | "unimplemented"));
        if let Some(word) = macros.filter(|_| pair[1].is_sign('!')) {
            findings.push(Finding::new(
                &source.path,
                pair[0].line,
                format!("`{word}!`: finish it, or leave it out"),
            ));
        }
    }
    for (start, comment) in &source.comments {
        for (line, text) in (*start..).zip(comment.lines()) {
            let mut words = text.split(|it: char| !it.is_alphanumeric() && it != '_');
            if let Some(word) = words.find(|word| UNFINISHED.contains(word)) {
                findings.push(Finding::new(&source.path, line, format!("{word}: do it, or open an issue")));
            }
        }
    }
    findings
}

fn providers(source: &Source) -> Vec<Finding> {
    let is_in = |folder: &&str| source.path.starts_with(*folder);
    if !NAMELESS.iter().any(is_in) || NAMING.iter().any(|(path, _)| is_in(path)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for placed in &source.shipped {
        let (Token::Word(text) | Token::Text(text)) = &placed.token else { continue };
        let text = text.to_lowercase();
        if let Some(name) = PROVIDERS.iter().find(|name| text.contains(**name)) {
            let message = format!("names the provider `{name}`: only crates/providers may");
            findings.push(Finding::new(&source.path, placed.line, message));
        }
    }
    findings
}

fn sql(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for placed in &source.tokens {
        let Token::Text(text) = &placed.token else { continue };
        if SQL.iter().any(|words| reads_as(text, words)) {
            findings.push(Finding::new(
                &source.path,
                placed.line,
                "SQL outside crates/store: give it a method there",
            ));
        }
    }
    findings
}

fn reads_as(text: &str, words: &[&str]) -> bool {
    let mut rest = text.trim_start_matches(['\\', 'n', ' ', '\n']);
    for (place, word) in words.iter().enumerate() {
        match rest.split_once(word) {
            Some((before, after)) if place > 0 || before.is_empty() => rest = after,
            _ => return false,
        }
    }
    true
}

fn bare_allows(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, placed) in source.tokens.iter().enumerate() {
        let opens =
            |back: usize, sign: char| at.checked_sub(back).is_some_and(|at| source.tokens[at].is_sign(sign));
        let is_attribute = opens(1, '[') && (opens(2, '#') || opens(2, '!') && opens(3, '#'));
        if !placed.is_word("allow") || !is_attribute {
            continue;
        }
        let inside = source.tokens[at..].iter().take_while(|placed| !placed.is_sign(']'));
        if !inside.filter_map(Placed::word).any(|word| word == "reason") {
            let message = "`allow` without a reason; better `#[expect(…, reason = \"…\")]`";
            findings.push(Finding::new(&source.path, placed.line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::files::File;
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let source = Source::new(&File { path: path.to_owned(), text: text.to_owned() });
        check(&source).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unfinished_work_is_found() {
        let [fix, cross] = [UNFINISHED[0], UNFINISHED[1]];
        let text =
            format!("f(to{}());\n// {fix}: later\n/* a\n {cross} */ // +254{cross}000\n\"{cross}\"", "do");
        assert_eq!(lines("crates/domain/src/a.rs", &text), [2, 4]);
        let text = format!("fn f() {{\n to{}!() }}", "do");
        assert_eq!(lines("crates/domain/src/a.rs", &text), [2]);
    }

    #[test]
    fn a_provider_is_named_only_where_it_may_be() {
        let text = "// Twilio\nlet a = \"twilio\";\n#[cfg(test)] mod tests { fn twilio() {} }\nAfricasTalking::new()";
        assert_eq!(lines("crates/gateway/src/a.rs", text), [2, 4]);
        assert_eq!(lines("crates/server/src/http/mod.rs", text), [2, 4]);
        assert!(lines("crates/server/src/http/compat/twilio.rs", text).is_empty());
        assert!(lines("crates/providers/src/twilio.rs", text).is_empty());
        assert!(lines("crates/gateway/tests/it/main.rs", text).is_empty());
    }

    #[test]
    fn sql_is_at_home_in_the_store_only() {
        let text =
            "a(\"SELECT 1\");\nb(\"\\\n   UPDATE jobs SET x\");\nc(\"DELETE /v1/keys\");\nd(\"UPDATE it\");";
        assert_eq!(lines("crates/server/src/a.rs", text), [1, 2]);
        assert!(lines("crates/store/src/a.rs", text).is_empty());
    }

    #[test]
    fn an_allow_needs_a_reason() {
        let text = "#![allow(a)]\n#[allow(b, reason = \"c\")]\n#[allow(\n d)]\nallow(e)";
        assert_eq!(lines("crates/store/src/a.rs", text), [1, 3]);
    }
}
