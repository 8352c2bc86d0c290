//! What holds for every text that is looked at.

use std::sync::LazyLock;

use domain::content::{ContentRules, RuleName, Ruling, Rulings};
use domain::scenario::Scenario;
use proptest::prelude::*;

/// First digits of issuers, and how long their numbers are.
const ISSUERS: &[(&str, usize)] = &[
    ("4", 13),
    ("4", 16),
    ("4", 19),
    ("51", 16),
    ("2221", 16),
    ("34", 15),
    ("37", 15),
    ("36", 14),
    ("6011", 16),
    ("3528", 16),
    ("62", 16),
    ("62", 19),
    ("5060", 19),
    ("6759", 13),
];

/// The digit that makes a number of the others a card's.
fn check_digit(digits: &str) -> u32 {
    let sum: u32 = digits
        .chars()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = digit.to_digit(10).unwrap();
            if place % 2 == 0 { [0, 2, 4, 6, 8, 1, 3, 5, 7, 9][digit as usize] } else { digit }
        })
        .sum();
    (10 - sum % 10) % 10
}

/// Numbers of cards, in one piece.
fn cards() -> impl Strategy<Value = String> {
    (prop::sample::select(ISSUERS), prop::collection::vec(0_u32..10, 19)).prop_map(
        |((prefix, length), rest)| {
            let rest = rest.iter().map(u32::to_string).collect::<String>();
            let mut number: String = format!("{prefix}{rest}").chars().take(length - 1).collect();
            number.push_str(&check_digit(&number).to_string());
            number
        },
    )
}

/// A number in groups, with signs between them.
fn grouped(number: &str, size: usize, sign: &str) -> String {
    let digits: Vec<char> = number.chars().collect();
    digits.chunks(size).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(sign)
}

static RULES: LazyLock<ContentRules> = LazyLock::new(ContentRules::default);

fn rule(text: &str) -> Option<&'static str> {
    rule_for(text, Scenario::General)
}

fn rule_for(text: &str, scenario: Scenario) -> Option<&'static str> {
    RULES.broken_by(text, scenario).map(RuleName::as_str)
}

/// Words that stand around a number, without digits of their own.
fn words() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "Card ", "Kadi yako: ", "👍 ", "(", "x", "Ksh "])
}

proptest! {
    #[test]
    fn a_card_number_is_found_however_it_is_written(
        card in cards(),
        size in 1_usize..=4,
        sign in prop::sample::select(vec![" ", "-", ".", "\u{A0}", "–"]),
        before in words(),
        after in prop::sample::select(vec!["", " exp 12/27", ".", ", asante", " 👍"]),
    ) {
        for number in [card.clone(), grouped(&card, size, sign)] {
            let text = format!("{before}{number}{after}");
            prop_assert_eq!(rule(&text), Some("card_number"), "{}", text);
        }
    }

    #[test]
    fn one_wrong_digit_makes_it_another_number(card in cards(), place in 0_usize..13, by in 1_u8..10) {
        let mut digits = card.into_bytes();
        digits[place] = b'0' + (digits[place] - b'0' + by) % 10;
        prop_assert_eq!(rule(&String::from_utf8(digits).unwrap()), None);
    }

    #[test]
    fn a_phone_number_and_an_amount_are_no_card(
        number in 700_000_000_u64..800_000_000,
        amount in 1_u32..100_000_000,
        form in prop::sample::select(vec!["254{n} {a}", "+254{n} {a}", "0{n} {a}", "{a} 254{n}", "254{n} 254{n}"]),
    ) {
        let text = form.replace("{n}", &number.to_string()).replace("{a}", &amount.to_string());
        prop_assert_eq!(rule(&text), None, "{}", text);
    }

    #[test]
    fn receipts_of_money_pass(code in "[A-Z]{3}[0-9A-Z]{6}[0-9]", amount in 1_u32..1_000_000, balance in 0_u32..9_000_000) {
        let text = format!(
            "{code} Confirmed. Ksh{amount}.00 sent to JANE WANJIKU 0712345678 on 23/11/26 at 8:30 AM. New balance is \
             Ksh{balance}.00"
        );
        prop_assert_eq!(rule(&text), None, "{}", text);
    }

    #[test]
    fn codes_pass_as_otp(code in "[0-9]{4,8}", word in prop::sample::select(vec!["PIN", "password", "nywila", "code"])) {
        for text in [format!("Your {word} is {code}"), format!("{word}: {code}"), format!("{word} yako ni {code}.")] {
            prop_assert_eq!(rule_for(&text, Scenario::Otp), None, "{}", text);
        }
    }

    #[test]
    fn a_hash_is_found_whole_and_not_in_part(hash in "[0-9a-f]{64}", length in 1_usize..64) {
        prop_assert_eq!(rule(&format!("Tx {hash}.")), Some("transaction_id"));
        prop_assert_eq!(rule(&format!("Tx 0x{hash}")), Some("transaction_id"));
        let part: String = hash.chars().take(length).collect();
        prop_assert_ne!(rule(&format!("Tx {part}…")), Some("transaction_id"));
    }

    #[test]
    fn what_is_allowed_is_never_found(text in any::<String>(), card in cards()) {
        let allow = Ruling::Allow;
        let rulings = Rulings { card_number: allow, password: allow, pin: allow, transaction_id: allow };
        let rules = ContentRules::new(rulings, &[], &[]).unwrap();
        prop_assert_eq!(rules.broken_by(&format!("{text}{card}"), Scenario::General), None);
        // And no text is too strange for the rules.
        let _ = rule(&text);
    }
}
