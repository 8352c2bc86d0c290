//! The GSM 7-bit default alphabet and its extension table (3GPP TS 23.038, sections 6.2.1 and 6.2.1.1).
//!
//! Two traps: the alphabet has the capital Ç but not the small ç, and of the Greek capitals only those that
//! don't look like Latin letters. The national shift tables (Turkish, Portuguese, Hindi ...) are left out:
//! the providers' APIs have no way to ask for them, and send such texts as UCS-2.

/// Septets of each ASCII character: 1, or 2 behind an escape, or 0 for one that the alphabet lacks.
const ASCII: [u8; 128] = ascii();

const fn ascii() -> [u8; 128] {
    let mut septets = [0; 128];
    let mut code = 0x20;
    while code < 0x7F {
        septets[code] = 1;
        code += 1;
    }
    septets[b'\n' as usize] = 1;
    septets[b'\r' as usize] = 1;
    septets[b'`' as usize] = 0;
    septets[0x0C] = 2;
    let extension = b"^{}\\[~]|";
    let mut index = 0;
    while index < extension.len() {
        septets[extension[index] as usize] = 2;
        index += 1;
    }
    septets
}

/// How many septets a character takes; `None` if it is in neither table.
pub(super) fn septets(character: char) -> Option<usize> {
    if let Some(&septets) = ASCII.get(character as usize) {
        return if septets == 0 { None } else { Some(usize::from(septets)) };
    }
    match character {
        '¡' | '£' | '¤' | '¥' | '§' | '¿' | 'Ä' | 'Å' | 'Æ' | 'Ç' | 'É' | 'Ñ' | 'Ö' | 'Ø' | 'Ü' | 'ß'
        | 'à' | 'ä' | 'å' | 'æ' | 'è' | 'é' | 'ì' | 'ñ' | 'ò' | 'ö' | 'ø' | 'ù' | 'ü' | 'Γ' | 'Δ' | 'Θ'
        | 'Λ' | 'Ξ' | 'Π' | 'Σ' | 'Φ' | 'Ψ' | 'Ω' => Some(1),
        '€' => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_has_127_characters_and_the_extension_10() {
        let count =
            |wanted| ('\0'..='\u{FFFF}').filter(|&character| septets(character) == Some(wanted)).count();
        assert_eq!((count(1), count(2)), (127, 10));
    }

    #[test]
    fn characters_that_look_like_the_alphabets_are_not_in_it() {
        for character in ['ç', '`', '\t', '\u{A0}', '\u{1B}', '\u{0391}', '\u{2019}', '\u{FF21}'] {
            assert_eq!(septets(character), None, "{character:?}");
        }
    }
}
