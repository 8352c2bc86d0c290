//! What people write back: answers to prompts, and the words that stop messages.
//!
//! The first line has the references that the sender may name, the rest is the reply.

use domain::consent::{Keyword, Keywords, folded};
use domain::reply::{Reading, Reference, Says};

pub fn check(data: &[u8]) {
    let (line, rest) = super::first_line(data);
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let references: Vec<Reference> = line.split(' ').filter_map(|name| name.parse().ok()).take(4).collect();
    let references: Vec<&Reference> = references.iter().collect();
    let reading = Reading::of(text, &references);
    names_what_is_written(&reading, text, &references);
    if matches!(reading.says, Says::Plainly(..)) {
        let denied = Reading::of(&format!("NOT {text}"), &references);
        assert!(!matches!(denied.says, Says::Plainly(..)), "an answer that was taken back counts");
    }
    let without = Reading::of(text, &[]);
    if matches!(without.says, Says::Plainly(..)) {
        // Stopped or answered: only the words of `Resume` may mean either, and whoever listens decides.
        let keyword = Keywords::default().read(text);
        assert!(keyword.is_none_or(|keyword| keyword == Keyword::Resume), "{keyword:?} is an answer as well");
    }
    if text.is_ascii() {
        assert_eq!(Reading::of(&text.to_ascii_uppercase(), &references), reading, "capitals change it");
        assert_eq!(Reading::of(&text.to_ascii_lowercase(), &references), reading, "small letters change it");
    }
    if reading.named.iter().any(|at| references[*at].has_digit()) {
        assert!(without.names_another, "a reference that nobody knows was overlooked");
    }
}

/// A prompt is answered by its name only where that was written.
fn names_what_is_written(reading: &Reading, text: &str, references: &[&Reference]) {
    assert!(reading.named.is_sorted_by(|first, second| first < second), "named twice");
    let written = folded(text).concat();
    for at in &reading.named {
        let key = references[*at].key();
        // What can't be seen parts a word there and is dropped here, or the other way round.
        assert!(!text.is_ascii() || written.contains(key), "a reference was named that is not there");
    }
}
