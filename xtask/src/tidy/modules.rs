//! Inside a crate, the root lists its modules so that each one imports only those above it.
//!
//! So a reader can start at the top of the list and never meet a name that is explained further down.

use std::collections::HashMap;

use super::Finding;
use super::source::{Placed, Source, Token};

/// Checks one crate, given everything under its `src`.
pub(super) fn check(sources: &[&Source]) -> Vec<Finding> {
    let Some(root) = root(sources) else { return Vec::new() };
    let names = declared(&root.shipped);
    let places: HashMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (*name, place)).collect();
    let renamed = reexported(&root.shipped, &places);

    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        let module = source.module();
        let Some(ours) = module.first().copied() else { continue };
        let Some(place) = places.get(ours) else { continue };
        for (line, head) in heads(&source.shipped, module.len()) {
            let theirs =
                if places.contains_key(head) { head } else { renamed.get(head).copied().unwrap_or(ours) };
            if places.get(theirs) > Some(place) {
                findings.push(Finding::new(&source.path, line, upward(ours, theirs, &root.path)));
            }
        }
    }
    findings
}

fn upward(ours: &str, theirs: &str, root: &str) -> String {
    format!(
        "`{ours}` imports `{theirs}`, which {root} lists below it: move what is shared up, or swap the two lines if \
         `{theirs}` does not import `{ours}`"
    )
}

/// `src/lib.rs`, or `src/main.rs` of a crate that has no library.
fn root<'a>(sources: &[&'a Source]) -> Option<&'a Source> {
    let ending = |end: &str| sources.iter().find(|source| source.path.ends_with(end)).copied();
    ending("/src/lib.rs").or_else(|| ending("/src/main.rs"))
}

/// The modules of the root, in the order of their lines.
fn declared(root: &[Placed]) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, inside) in root.windows(3).zip(depths(root)) {
        if inside == 0 && at[0].is_word("mod") && (at[2].is_sign(';') || at[2].is_sign('{')) {
            names.extend(at[1].word());
        }
    }
    names
}

/// Names that the root takes from a module and offers as its own: `pub use message::Message`.
fn reexported<'a>(root: &'a [Placed], places: &HashMap<&str, usize>) -> HashMap<&'a str, &'a str> {
    let mut names = HashMap::new();
    for (at, placed) in root.iter().enumerate() {
        if !placed.is_word("use") {
            continue;
        }
        let item = root[at + 1..].split(|placed| placed.is_sign(';')).next().unwrap_or_default();
        let mut path = item.iter().filter_map(Placed::word).filter(|word| !matches!(*word, "crate" | "self"));
        let Some(module) = path.next().filter(|word| places.contains_key(word)) else { continue };
        // A name is offered where a path ends: before a comma, a brace or the semicolon.
        for (at, placed) in item.iter().enumerate() {
            let ends = item.get(at + 1).is_none_or(|next| next.is_sign(',') || next.is_sign('}'));
            if let Some(name) = placed.word().filter(|name| ends && *name != module) {
                names.insert(name, module);
            }
        }
    }
    names
}

/// The first name of every path from the crate root, written `crate::x`, `crate::{x, y}` or, in a module `depth`
/// levels below the root, with as many `super`s.
fn heads(tokens: &[Placed], depth: usize) -> Vec<(usize, &str)> {
    let mut heads = Vec::new();
    let mut inner = InlineModules::default();
    let mut at = 0;
    while at < tokens.len() {
        inner.see(&tokens[at..]);
        let climbed = climb(&tokens[at..], depth + inner.open.len());
        if let Some(steps) = climbed {
            at += steps;
            heads.extend(first_names(&tokens[at..]));
        } else {
            at += 1;
        }
    }
    heads
}

/// How many tokens lead from here to the crate root: `crate::` or `super::super::`; none if it is another path.
fn climb(tokens: &[Placed], depth: usize) -> Option<usize> {
    let is_step = |at: usize, word: &str| {
        tokens.get(at).is_some_and(|it| it.is_word(word)) && tokens.get(at + 1).is_some_and(Placed::is_path)
    };
    if is_step(0, "crate") {
        return Some(2);
    }
    let supers = (0..=depth).take_while(|count| is_step(count * 2, "super")).count();
    (supers > 0 && supers == depth).then_some(supers * 2)
}

/// `x` of `x::y`, or `x` and `y` of `{x::a, y::{b, c}}`.
fn first_names(tokens: &[Placed]) -> Vec<(usize, &str)> {
    let Some(first) = tokens.first().filter(|first| first.is_sign('{')) else {
        return tokens.first().and_then(line_and_word).into_iter().collect();
    };
    let mut names = Vec::new();
    let mut before = first;
    for (depth, placed) in depths(tokens).zip(tokens).skip(1).take_while(|(depth, _)| *depth > 0) {
        if depth == 1 && (before.is_sign('{') || before.is_sign(',')) {
            names.extend(line_and_word(placed));
        }
        before = placed;
    }
    names
}

fn line_and_word(placed: &Placed) -> Option<(usize, &str)> {
    Some((placed.line, placed.word()?))
}

/// How many braces are open before each token.
fn depths(tokens: &[Placed]) -> impl Iterator<Item = usize> {
    tokens.iter().scan(0_usize, |open, placed| {
        let before = *open;
        match placed.token {
            Token::Sign('{') => *open += 1,
            Token::Sign('}') => *open = open.saturating_sub(1),
            _ => {}
        }
        Some(before)
    })
}

/// The `mod x { … }` blocks around the current token, each as the number of braces open before its own.
#[derive(Default)]
struct InlineModules {
    open: Vec<usize>,
    braces: usize,
}

impl InlineModules {
    fn see(&mut self, tokens: &[Placed]) {
        match tokens {
            [first, _, third, ..] if first.is_word("mod") && third.is_sign('{') => {
                self.open.push(self.braces);
            }
            [first, ..] if first.is_sign('{') => self.braces += 1,
            [first, ..] if first.is_sign('}') => {
                self.braces = self.braces.saturating_sub(1);
                if self.open.last() == Some(&self.braces) {
                    self.open.pop();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::File;
    use super::*;

    fn check_texts(files: &[(&str, &str)]) -> Vec<String> {
        let file =
            |(path, text): &(&str, &str)| File { path: format!("crates/a/src/{path}"), text: (*text).into() };
        let mut sources: Vec<Source> = files.iter().map(file).map(|file| Source::new(&file)).collect();
        super::super::source::mark_test_files(&mut sources);
        let found = check(&sources.iter().collect::<Vec<_>>());
        found.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
    }

    const ROOT: (&str, &str) =
        ("lib.rs", "//! mod no;\npub mod low;\n#[rustfmt::skip]\npub(crate) mod mid { }\nmod high;\n");

    #[test]
    fn modules_are_read_in_the_order_of_the_root() {
        let tokens = super::super::source::tokens(ROOT.1);
        assert_eq!(declared(&tokens), ["low", "mid", "high"]);
    }

    #[test]
    fn a_nested_module_is_not_one_of_the_root() {
        let tokens = super::super::source::tokens("mod a { mod b; } mod c;");
        assert_eq!(declared(&tokens), ["a", "c"]);
    }

    #[test]
    fn an_import_of_a_module_above_is_fine() {
        assert!(
            check_texts(&[ROOT, ("high.rs", "use crate::low::X;\nuse super::mid::Y;\ncrate::high::z();")])
                .is_empty()
        );
    }

    #[test]
    fn an_import_of_a_module_below_is_found_with_its_line() {
        assert_eq!(check_texts(&[ROOT, ("low.rs", "\nuse crate::high::X;")]), ["crates/a/src/low.rs:2"]);
    }

    #[test]
    fn a_group_is_looked_into() {
        let text = "use crate::{\n  low::{high, X},\n  mid,\n  high::Y,\n};";
        assert_eq!(check_texts(&[ROOT, ("mid.rs", text)]), ["crates/a/src/mid.rs:4"]);
    }

    #[test]
    fn a_path_in_an_expression_counts() {
        assert_eq!(
            check_texts(&[ROOT, ("low/deep.rs", "fn f() {\n crate::high::g() }")]),
            ["crates/a/src/low/deep.rs:2"]
        );
    }

    #[test]
    fn super_counts_when_it_reaches_the_root() {
        assert_eq!(check_texts(&[ROOT, ("low.rs", "use super::high::X;")]), ["crates/a/src/low.rs:1"]);
        assert_eq!(
            check_texts(&[ROOT, ("low/deep.rs", "use super::super::high::X;")]),
            ["crates/a/src/low/deep.rs:1"]
        );
        assert!(check_texts(&[ROOT, ("low/deep.rs", "use super::high::X;")]).is_empty());
        assert!(check_texts(&[ROOT, ("low.rs", "mod x { use super::high::X; }")]).is_empty());
        assert_eq!(
            check_texts(&[ROOT, ("low.rs", "mod x { }\nuse super::high::X;")]),
            ["crates/a/src/low.rs:2"]
        );
    }

    #[test]
    fn a_name_offered_again_by_the_root_counts_as_its_module() {
        let root = ("lib.rs", "mod low; mod high; pub use high::{X, deep::Y as Z};");
        assert_eq!(check_texts(&[root, ("low.rs", "use crate::X;\nuse crate::Z;")]).len(), 2);
    }

    #[test]
    fn tests_and_comments_may_look_anywhere() {
        let text = "//! See [`crate::high`].\n#[cfg(test)] mod tests { use crate::high::X; }";
        assert!(check_texts(&[ROOT, ("low.rs", text)]).is_empty());
    }

    #[test]
    fn a_binary_without_a_library_is_held_to_the_same() {
        assert_eq!(
            check_texts(&[("main.rs", "mod a; mod b;"), ("a.rs", "use crate::b;")]),
            ["crates/a/src/a.rs:1"]
        );
    }
}
