//! The code itself.

use crate::secret::{Zeroize as _, Zeroizing};

/// The fewest digits of a code: with five checks, one guess in two thousand is right.
pub const SHORTEST: u8 = 4;

/// The most: beyond it people mistype more than they gain.
pub const LONGEST: u8 = 10;

/// Characters of what is read as a code at most, with all that people type between digits.
const MOST_TYPED: usize = 64;

/// How many digits a code has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CodeLength(u8);

/// A length that no code has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has {SHORTEST} to {LONGEST} digits")]
pub struct CodeLengthError;

impl CodeLength {
    /// Six digits, as people know them.
    pub const USUAL: Self = Self(6);

    /// How many.
    pub const fn digits(self) -> u8 {
        self.0
    }

    /// How many codes there are of this length.
    pub const fn codes(self) -> u64 {
        10_u64.pow(self.0 as u32)
    }
}

impl TryFrom<u64> for CodeLength {
    type Error = CodeLengthError;

    fn try_from(digits: u64) -> Result<Self, Self::Error> {
        u8::try_from(digits)
            .ok()
            .filter(|digits| (SHORTEST..=LONGEST).contains(digits))
            .map(Self)
            .ok_or(CodeLengthError)
    }
}

/// A one-time code: its digits. It can be neither printed nor serialized, and is zeroed when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<String>);

/// A text that can't be any code. Says nothing of what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has {SHORTEST} to {LONGEST} digits, which may have spaces and dashes between them")]
pub struct CodeError;

impl Code {
    /// A new code, each one as likely as any other. `entropy` gives numbers of 64 bits from a source that nobody can
    /// foresee; those that would make some codes likelier than others are passed over.
    pub fn uniform(length: CodeLength, mut entropy: impl FnMut() -> u64) -> Self {
        let codes = length.codes();
        // As many whole rounds of all codes as fit into the numbers that there are.
        let fair = u64::MAX - u64::MAX % codes;
        let mut drawn = entropy();
        while drawn >= fair {
            drawn = entropy();
        }
        let width = usize::from(length.digits());
        let code = Self(Zeroizing::new(format!("{:0width$}", drawn % codes)));
        drawn.zeroize();
        code
    }

    /// Reads what a person typed: digits, with spaces and dashes wherever they like. Any number of digits that some code
    /// has is read, also where this one has another: so nobody learns more than that it was wrong.
    pub fn read(typed: &str) -> Result<Self, CodeError> {
        if typed.len() > MOST_TYPED {
            return Err(CodeError);
        }
        // Never longer than what it is made of: nothing is left behind in memory by growing.
        let mut digits = Zeroizing::new(String::with_capacity(typed.len()));
        for character in typed.chars() {
            match character {
                '0'..='9' => digits.push(character),
                character if character.is_whitespace() || is_dash(character) => {}
                _ => return Err(CodeError),
            }
        }
        let is_any = (usize::from(SHORTEST)..=usize::from(LONGEST)).contains(&digits.len());
        is_any.then_some(Self(digits)).ok_or(CodeError)
    }

    /// The digits: for the text of the message and the keyed hash, and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What keyboards make of a dash.
const fn is_dash(character: char) -> bool {
    matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn length(digits: u64) -> CodeLength {
        CodeLength::try_from(digits).unwrap()
    }

    #[test]
    fn a_code_has_four_to_ten_digits() {
        assert!([0, 3, 11, 260, u64::MAX].iter().all(|digits| CodeLength::try_from(*digits).is_err()));
        assert_eq!(length(6), CodeLength::USUAL);
        for digits in 4..=10 {
            let code = Code::uniform(length(digits), || 7);
            assert_eq!(code.expose().len() as u64, digits);
            assert!(code.expose().ends_with('7') && code.expose().starts_with("000"));
        }
    }

    #[test]
    fn numbers_that_would_favor_some_codes_are_passed_over() {
        // 2^64 is no multiple of a million: the last 551,616 numbers are too many.
        let mut drawn = [u64::MAX, u64::MAX - 551_615, u64::MAX - 551_616].into_iter();
        let code = Code::uniform(CodeLength::USUAL, || drawn.next().unwrap());
        assert_eq!(code.expose(), "999999");
        assert_eq!(drawn.next(), None);
    }

    /// Chi-squared over the digits of each place: with 9 degrees of freedom, 33.7 is exceeded once in ten thousand.
    #[test]
    fn every_digit_is_as_likely_as_any_other_at_every_place() {
        // SplitMix64 (Steele, Lea, Flood 2014): evenly spread, and the same each time.
        let mut state = 0x5eed_u64;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let mut counts = [[0_u32; 10]; 6];
        for _ in 0..100_000 {
            let code = Code::uniform(CodeLength::USUAL, &mut next);
            for (place, digit) in code.expose().bytes().enumerate() {
                counts[place][usize::from(digit - b'0')] += 1;
            }
        }
        for (place, counts) in counts.iter().enumerate() {
            let chi: f64 = counts.iter().map(|count| (f64::from(*count) - 10_000.0).powi(2) / 10_000.0).sum();
            assert!(chi < 33.7, "place {place}: {chi}");
        }
    }

    #[test]
    fn what_people_type_between_digits_is_passed_over() {
        for typed in ["482913", " 482 913 ", "482-913", "4 8 2 9 1 3", "482\u{2013}913", "482\u{a0}913\n"] {
            assert_eq!(
                Code::read(typed).map(|code| code.expose().to_owned()),
                Ok("482913".into()),
                "{typed}"
            );
        }
        for typed in ["", "482", "48291O", "12345678901", "+482913", "4829.13", "٤٨٢٩١٣", &"1 ".repeat(40)]
        {
            assert_eq!(Code::read(typed).err(), Some(CodeError), "{typed}");
        }
    }

    proptest! {
        #[test]
        fn every_code_that_is_made_reads_back(digits in 4_u64..=10, drawn in any::<u64>()) {
            let mut drawn = std::iter::once(drawn).chain(0..);
            let code = Code::uniform(length(digits), || drawn.next().unwrap());
            prop_assert!(Code::read(code.expose()) == Ok(code.clone()));
        }

        #[test]
        fn every_code_has_the_same_number_of_draws(digits in 4_u64..=10, code in any::<u64>(), round in any::<u64>()) {
            // As many rounds as fit: a draw from any of them makes the code, whichever it is.
            let codes = length(digits).codes();
            let (code, round) = (code % codes, round % (u64::MAX / codes));
            let made = Code::uniform(length(digits), || round * codes + code);
            prop_assert_eq!(made.expose().parse::<u64>().unwrap(), code);
        }
    }
}
