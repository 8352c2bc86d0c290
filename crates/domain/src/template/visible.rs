//! Which characters of a value can be seen, and stay where they stand.
//!
//! A name that turns round the text behind it, or an address with a gap that nobody sees, says another thing to people than
//! to whoever checked it.

/// Format characters (`Cf` of Unicode 16, but U+200C and U+200D), the two separators (`Zl`, `Zp`), and letters and marks that
/// are blank.
const HIDDEN: &[(char, char)] = &[
    ('\u{AD}', '\u{AD}'),
    ('\u{34F}', '\u{34F}'),
    ('\u{600}', '\u{605}'),
    ('\u{61C}', '\u{61C}'),
    ('\u{6DD}', '\u{6DD}'),
    ('\u{70F}', '\u{70F}'),
    ('\u{890}', '\u{891}'),
    ('\u{8E2}', '\u{8E2}'),
    ('\u{115F}', '\u{1160}'),
    ('\u{17B4}', '\u{17B5}'),
    ('\u{180E}', '\u{180E}'),
    ('\u{200B}', '\u{200B}'),
    ('\u{200E}', '\u{200F}'),
    ('\u{2028}', '\u{202E}'),
    ('\u{2060}', '\u{206F}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{FEFF}', '\u{FEFF}'),
    ('\u{FFA0}', '\u{FFA0}'),
    ('\u{FFF0}', '\u{FFFB}'),
    ('\u{110BD}', '\u{110BD}'),
    ('\u{110CD}', '\u{110CD}'),
    ('\u{13430}', '\u{1343F}'),
    ('\u{1BCA0}', '\u{1BCA3}'),
    ('\u{1D173}', '\u{1D17A}'),
    ('\u{E0000}', '\u{E00FF}'),
];

/// Zero width, and yet written: Persian and Malayalam words and families of emoji are made with them.
const NON_JOINER: char = '\u{200C}';
const JOINER: char = '\u{200D}';

/// Whether a character shows nothing of itself: a control character, or one that only changes what stands around it.
pub(super) fn is_hidden(character: char) -> bool {
    let is_format = HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&character));
    character.is_control() || is_format || is_joiner(character)
}

/// The first character that is hidden where it stands, with its place. A joiner is none behind what it joins.
pub(super) fn first_hidden(text: &str) -> Option<(usize, char)> {
    let mut before = None;
    text.chars().enumerate().find(|(_, character)| {
        let is_at_work = is_joiner(*character) && before.is_some_and(joins);
        before = Some(*character);
        is_hidden(*character) && !is_at_work
    })
}

const fn is_joiner(character: char) -> bool {
    matches!(character, NON_JOINER | JOINER)
}

/// Whether a joiner has a use behind this one: letters and marks from the Hebrew block on, and emoji. Behind those of Latin, Greek
/// and Cyrillic, digits, points and spaces it would only hide.
fn joins(character: char) -> bool {
    let is_among_joined = character >= '\u{590}' && !('\u{1E00}'..='\u{206F}').contains(&character);
    is_among_joined && !character.is_whitespace() && !is_hidden(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_round_or_hides_is_hidden() {
        for (text, place) in [
            ("Wanjiku \u{202E}moc.live", 8),
            ("a\u{2066}b", 1),
            ("evil\u{200B}.example", 4),
            ("evil\u{200D}.example", 4),
            ("1\u{200C}2", 1),
            ("\u{200D}", 0),
            ("é\u{200D}", 1),
            ("می\u{200C}\u{200C}خواهم", 3),
            ("a\u{2028}b", 1),
            ("a\u{2029}b", 1),
            ("a\u{AD}b", 1),
            ("\u{FEFF}a", 0),
            ("a\u{E0041}", 1),
            ("\u{3164}", 0),
            ("a\u{7F}", 1),
        ] {
            let found = first_hidden(text).map(|(place, _)| place);
            assert_eq!(found, Some(place), "{:?}", text.escape_unicode().to_string());
        }
    }

    #[test]
    fn what_people_write_is_seen() {
        for text in [
            "Wangarĩ",
            "می\u{200C}خواهم",
            "അവന\u{D4D}\u{200D}",
            "क\u{94D}\u{200D}ष",
            "👨\u{200D}👩\u{200D}👧",
            "❤\u{FE0F}\u{200D}🔥",
            "👍🏿 🇰🇪 1\u{FE0F}\u{20E3}",
            "עברית",
        ] {
            assert_eq!(first_hidden(text), None, "{:?}", text.escape_unicode().to_string());
        }
    }
}
