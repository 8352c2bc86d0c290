//! Rust text cut into what is code, what is quoted and what is said about it.
//!
//! This is no parser. It knows comments, literals and `#[cfg(test)]`, so that the rules do not trip over a word
//! in a sentence; `syn` would know more, at the price of a large dependency for a few words.

use super::files::File;

pub(super) struct Source {
    pub(super) path: String,
    /// Only compiled in tests: the rules for what ships leave it alone.
    pub(super) is_test: bool,
    /// What is said about the code, each as the line where it starts and its text.
    pub(super) comments: Vec<(usize, String)>,
    pub(super) tokens: Vec<Placed>,
    /// `tokens` without what `#[cfg(test)]` marks.
    pub(super) shipped: Vec<Placed>,
}

/// A token and the line where it starts, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) line: usize,
    pub(super) token: Token,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, a keyword or a number.
    Word(String),
    /// What stands between the quotes of a string, escapes as written.
    Text(String),
    /// `::`
    Path,
    /// Any other sign.
    Sign(char),
}

impl Placed {
    pub(super) fn word(&self) -> Option<&str> {
        if let Token::Word(word) = &self.token { Some(word) } else { None }
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        self.token == Token::Sign(sign)
    }

    pub(super) fn is_path(&self) -> bool {
        self.token == Token::Path
    }
}

impl Source {
    pub(super) fn new(file: &File) -> Self {
        let (tokens, comments) = cut(&file.text);
        let shipped = without_tests(&tokens);
        let is_test = !file.path.contains("/src/");
        Self { path: file.path.clone(), is_test, comments, tokens, shipped }
    }

    /// The module this file is, as a path from the crate root: `src/http/v1.rs` is `[http, v1]`, the root `[]`.
    pub(super) fn module(&self) -> Vec<&str> {
        let inside = self.path.split_once("/src/").map_or("", |(_, inside)| inside);
        let mut names: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
        if matches!(names.last(), Some(&("mod" | "lib" | "main"))) {
            names.pop();
        }
        names
    }
}

/// `#[cfg(test)] mod cases;` makes `cases.rs`, and all below it, a test.
pub(super) fn mark_test_files(sources: &mut [Source]) {
    let mut tests: Vec<(String, Vec<String>)> = Vec::new();
    for source in sources.iter() {
        let Some((folder, _)) = source.path.split_once("/src/") else { continue };
        let ours: Vec<String> = source.module().iter().map(ToString::to_string).collect();
        let shipped = outlined(&source.shipped);
        for name in outlined(&source.tokens).into_iter().filter(|name| !shipped.contains(name)) {
            let module = ours.iter().cloned().chain([name.to_owned()]).collect();
            tests.push((folder.to_owned(), module));
        }
    }
    for source in sources {
        let module = source.module();
        let is_under = |(folder, test): &(String, Vec<String>)| {
            source.path.starts_with(&format!("{folder}/src/"))
                && module.len() >= test.len()
                && module.iter().zip(test).all(|(a, b)| a == b)
        };
        source.is_test |= tests.iter().any(is_under);
    }
}

/// The names in `mod name;`.
fn outlined(tokens: &[Placed]) -> Vec<&str> {
    let lines = tokens.windows(3).filter(|at| at[0].is_word("mod") && at[2].is_sign(';'));
    lines.filter_map(|at| at[1].word()).collect()
}

/// Drops each item under `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn without_tests(tokens: &[Placed]) -> Vec<Placed> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_cfg_test(&tokens[at..]) {
            at = end_of_item(tokens, at);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn is_cfg_test(tokens: &[Placed]) -> bool {
    let start = ["#", "[", "cfg", "("];
    let fits = |placed: &Placed, wanted: &str| match &placed.token {
        Token::Word(word) => word == wanted,
        Token::Sign(sign) => wanted.chars().eq([*sign]),
        Token::Text(_) | Token::Path => false,
    };
    if tokens.len() < 7 || !start.iter().zip(tokens).all(|(wanted, placed)| fits(placed, wanted)) {
        return false;
    }
    let rest = &tokens[4..];
    rest[0].is_word("test") || (rest[0].is_word("all") && rest[1].is_sign('(') && rest[2].is_word("test"))
}

/// Where the item with the attribute at `start` ends: after its block, or after its semicolon.
fn end_of_item(tokens: &[Placed], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, placed) in tokens.iter().enumerate().skip(start) {
        match placed.token {
            Token::Sign('{' | '(' | '[') => depth += 1,
            Token::Sign('}') if depth <= 1 => return at + 1,
            Token::Sign('}' | ')' | ']') => depth = depth.saturating_sub(1),
            Token::Sign(';') if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Cuts Rust text into tokens and comments; character literals and lifetimes leave nothing.
fn cut(text: &str) -> (Vec<Placed>, Vec<(usize, String)>) {
    let mut reader = Reader { chars: text.chars().collect(), at: 0, line: 1 };
    let (mut tokens, mut comments) = (Vec::new(), Vec::new());
    while let Some(next) = reader.peek(0) {
        let line = reader.line;
        if let Some(comment) = reader.comment(next) {
            comments.push((line, comment));
        } else if let Some(token) = reader.token(next) {
            tokens.push(Placed { line, token });
        }
    }
    (tokens, comments)
}

#[cfg(test)]
pub(super) fn tokens(text: &str) -> Vec<Placed> {
    cut(text).0
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn take(&mut self) -> Option<char> {
        let taken = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(taken == '\n');
        Some(taken)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while self.peek(0).is_some_and(&wanted) {
            taken.extend(self.take());
        }
        taken
    }

    fn comment(&mut self, next: char) -> Option<String> {
        match (next, self.peek(1)) {
            ('/', Some('/')) => Some(self.take_while(|it| it != '\n')),
            ('/', Some('*')) => Some(self.block_comment()),
            _ => None,
        }
    }

    fn token(&mut self, next: char) -> Option<Token> {
        match (next, self.peek(1)) {
            ('"', _) => Some(self.string()),
            ('\'', _) => {
                self.character_or_lifetime();
                None
            }
            (':', Some(':')) => {
                self.at += 2;
                Some(Token::Path)
            }
            _ if is_word(next) => Some(self.word_or_raw_string()),
            _ => {
                self.take();
                (!next.is_whitespace()).then_some(Token::Sign(next))
            }
        }
    }

    /// Block comments nest.
    fn block_comment(&mut self) -> String {
        let mut text = String::new();
        let mut depth = 0_usize;
        while let Some(taken) = self.take() {
            text.push(taken);
            match (taken, self.peek(0)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => continue,
            }
            text.extend(self.take());
            if depth == 0 {
                break;
            }
        }
        text
    }

    fn string(&mut self) -> Token {
        self.take();
        let mut text = String::new();
        while let Some(taken) = self.take() {
            match taken {
                '"' => break,
                '\\' => {
                    text.push(taken);
                    text.extend(self.take());
                }
                _ => text.push(taken),
            }
        }
        Token::Text(text)
    }

    fn raw_string(&mut self, hashes: usize) -> Token {
        self.at += hashes + 1;
        let mut text = String::new();
        while let Some(taken) = self.take() {
            if taken == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.at += hashes;
                break;
            }
            text.push(taken);
        }
        Token::Text(text)
    }

    /// `'a'` and `'\n'` are characters; `'a` is a lifetime or a label.
    fn character_or_lifetime(&mut self) {
        self.take();
        if self.peek(0) == Some('\\') {
            self.at += 2;
            self.take_while(|it| it != '\'');
            self.take();
        } else if self.peek(1) == Some('\'') {
            self.take();
            self.take();
        } else {
            self.take_while(is_word);
        }
    }

    /// `r"…"`, `br#"…"#` and `c"…"` begin like words; `r#type` is one.
    fn word_or_raw_string(&mut self) -> Token {
        let word = self.take_while(is_word);
        let hashes = self.chars.iter().skip(self.at).take_while(|next| **next == '#').count();
        let is_quoted = self.peek(hashes) == Some('"');
        match word.as_str() {
            "r" | "br" | "cr" if is_quoted => self.raw_string(hashes),
            "b" | "c" if is_quoted && hashes == 0 => self.string(),
            "r" if hashes == 1 => {
                self.at += 1;
                Token::Word(self.take_while(is_word))
            }
            _ => Token::Word(word),
        }
    }
}

fn is_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(tokens: &[Placed]) -> Vec<(usize, &str)> {
        tokens.iter().filter_map(|placed| Some((placed.line, placed.word()?))).collect()
    }

    #[test]
    fn comments_and_literals_are_not_words() {
        let text = "a // no\n/* no /* no */ no */ b 'n' '\\'' '\"' c<'no>\nr#\"no \" no\"# \"no \\\" no\" b\"no\" d r#e";
        assert_eq!(words(&tokens(text)), [(1, "a"), (2, "b"), (2, "c"), (3, "d"), (3, "e")]);
    }

    #[test]
    fn strings_keep_their_text_and_the_line_where_they_start() {
        let found = tokens("x(\n\"one\ntwo\");\ny");
        let text = Placed { line: 2, token: Token::Text("one\ntwo".to_owned()) };
        assert!(found.contains(&text), "{found:?}");
        assert_eq!(words(&found), [(1, "x"), (4, "y")]);
    }

    #[test]
    fn test_items_do_not_ship() {
        let text = "a; #[cfg(test)] mod tests { fn b() { c[0]; } } d #[cfg(test)] use e::{f}; \
                    #[cfg(all(test, unix))] #[path = \"x\"] mod g; #[cfg(not(test))] h";
        let shipped = without_tests(&tokens(text));
        let words: Vec<&str> = words(&shipped).into_iter().map(|(_, word)| word).collect();
        assert_eq!(words, ["a", "d", "cfg", "not", "test", "h"]);
    }

    #[test]
    fn a_file_is_a_test_when_the_line_that_names_it_is() {
        let file =
            |path: &str, text: &str| Source::new(&File { path: path.to_owned(), text: text.to_owned() });
        let mut sources = [
            file("crates/a/src/lib.rs", "mod b; #[cfg(test)] mod cases;"),
            file("crates/a/src/b.rs", ""),
            file("crates/a/src/cases/mod.rs", ""),
            file("crates/a/tests/it/main.rs", ""),
            file("crates/c/src/cases.rs", ""),
        ];
        mark_test_files(&mut sources);
        assert_eq!(sources.map(|source| source.is_test), [false, false, true, true, false]);
    }
}
