//! Reading the characters of a phone number.

use rlibphonenumber::PHONE_NUMBER_UTIL;

use super::PhoneError;

/// Characters of a text that are looked at: longer than any number with its punctuation.
const MAX_CHARS: usize = 40;
/// The most digits that can be typed: the five of an international prefix and the 15 of a number.
const MAX_DIGITS: usize = 20;

/// What a person typed: digits, and whether a `+` stood before them.
pub(super) struct Typed {
    digits: [u8; MAX_DIGITS],
    len: usize,
    pub(super) plus: bool,
}

impl Typed {
    /// Keeps the digits of a text, and refuses one that has anything else than digits and punctuation.
    pub(super) fn read(input: &str) -> Result<Self, PhoneError> {
        if input.chars().nth(MAX_CHARS).is_some() {
            return Err(PhoneError::TooLong);
        }
        let mut typed = Self { digits: [0; MAX_DIGITS], len: 0, plus: false };
        for character in input.trim().chars() {
            match character {
                '0'..='9' => typed.push(character)?,
                '+' | '\u{FF0B}' if typed.len == 0 && !typed.plus => typed.plus = true,
                _ if is_punctuation(character) => {}
                _ if character.is_alphabetic() => return Err(PhoneError::Letters),
                _ => typed.push(decimal_digit(character).ok_or(PhoneError::NotANumber)?)?,
            }
        }
        match typed.len {
            0 if typed.plus => Err(PhoneError::NotANumber),
            0 => Err(PhoneError::Empty),
            _ => Ok(typed),
        }
    }

    fn push(&mut self, digit: char) -> Result<(), PhoneError> {
        let place = self.digits.get_mut(self.len).ok_or(PhoneError::TooLong)?;
        *place = u8::try_from(digit).or(Err(PhoneError::NotANumber))?;
        self.len += 1;
        Ok(())
    }

    /// The digits in ASCII; at least one.
    pub(super) fn digits(&self) -> &str {
        self.digits.get(..self.len).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default()
    }
}

/// What stands between digits: spaces, dashes, dots and brackets, in full width too, and the invisible marks
/// that come along when a number is copied from a list of contacts. Not `/`, which Kenyans write between two
/// numbers, and not `*` and `#`, which make a service code.
fn is_punctuation(character: char) -> bool {
    matches!(character,
        ' ' | '\t' | '-' | '.' | '(' | ')' | '[' | ']'
        | '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}'
        | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FF0D}' | '\u{FF0E}'
        | '\u{FF08}' | '\u{FF09}' | '\u{FF3B}' | '\u{FF3D}'
        | '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'
        | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// The ASCII form of a decimal digit of another script, such as Arabic-Indic or full width.
fn decimal_digit(character: char) -> Option<char> {
    if character.is_ascii() {
        return None;
    }
    let normalized = PHONE_NUMBER_UTIL.normalize_digits_only(character.encode_utf8(&mut [0; 4]));
    normalized.chars().next().filter(char::is_ascii_digit)
}
