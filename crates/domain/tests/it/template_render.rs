//! What is written into a text, and what is refused.

use domain::ids::MessageId;
use domain::phone::Country;
use domain::template::{Definition, Locale, Template, VariableProblem, Variables, builtin};
use serde_json::{Value, json};

fn template(definition: Value) -> Template {
    let definition: Definition = serde_json::from_value(definition).unwrap();
    let (template, report) = Template::compile(&definition);
    template.unwrap_or_else(|| panic!("{:?}", report.findings))
}

fn variables(values: Value) -> Variables {
    serde_json::from_value(values).unwrap()
}

fn kenya() -> Country {
    "KE".parse().unwrap()
}

fn id(chance: u64) -> MessageId {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&chance.to_be_bytes());
    MessageId::from_bytes(bytes)
}

fn text(template: &Template, locale: &str, values: Value) -> String {
    let locale: Locale = locale.parse().unwrap();
    template.render(Some(&locale), &variables(values), id(0), kenya()).unwrap().text
}

/// The mistakes, each as `pointer code`.
fn mistakes(template: &Template, values: Value) -> Vec<String> {
    let errors = template.render(None, &variables(values), id(0), kenya()).unwrap_err();
    errors.iter().map(|error| format!("{} {}", error.pointer(), error.problem.code())).collect()
}

#[test]
fn filters_write_values_as_people_read_them() {
    let all = template(json!({
        "variables": {
            "tx": { "type": "text", "max_length": 80 },
            "sats": { "type": "amount", "currency": "sats", "max": 100_000_000 },
            "kes": { "type": "amount", "currency": "KES", "max": 1_000_000 },
            "count": { "type": "integer", "min": 0, "max": 1_000_000 },
            "phone": { "type": "phone" },
        },
        "locales": { "en": "{{ tx | last6 | upper }} {{ sats }} {{ kes | kes }} {{ count | sats }} {{ phone | phone_masked }} {{ phone }}" },
    }));
    let values =
        json!({ "tx": "9f8e7d6c5b4a", "sats": 10000, "kes": 1500, "count": 21000, "phone": "0712 345 678" });
    assert_eq!(
        text(&all, "en", values),
        "6C5B4A 10,000 sats KES 1,500.00 21,000 sats +254*****5678 +254712345678"
    );
}

#[test]
fn built_in_transaction_shows_the_last_six_of_its_id() {
    let (received, _) = Template::compile(&builtin("transaction_received").unwrap());
    let values = json!({ "amount": 10000, "from": "Wanjiku", "transaction_id": "3f7a90bb21c4d8e6" });
    assert_eq!(
        text(&received.unwrap(), "en", values),
        "You received 10,000 sats from Wanjiku. Transaction ending in c4d8e6."
    );
}

#[test]
fn a_locale_falls_back_to_its_language_and_then_to_the_default() {
    let (otp, _) = Template::compile(&builtin("otp").unwrap());
    let otp = otp.unwrap();
    for (wanted, found) in [("sw", "sw"), ("sw-KE", "sw"), ("en-GB", "en"), ("fr", "en")] {
        assert_eq!(otp.locale(Some(&wanted.parse().unwrap())).as_str(), found, "{wanted}");
    }
    assert_eq!(otp.locale(None).as_str(), "en");
    let code = json!({ "code": "482913" });
    assert!(text(&otp, "sw-KE", code).starts_with("Nambari yako ni 482913. Itatumika kwa dakika 10."));
}

#[test]
fn every_mistake_is_named_and_no_value_is_repeated() {
    let strict = template(json!({
        "variables": {
            "name": { "type": "text", "max_length": 5 },
            "place": { "type": "text", "max_length": 5 },
            "n": { "type": "integer", "min": 1, "max": 9 },
            "code": { "type": "code", "length": 6 },
            "phone": { "type": "phone" },
            "day": { "type": "choice", "values": ["leo"] },
            "sum": { "type": "amount", "currency": "KES", "max": 10 },
            "left": { "type": "integer", "min": 1, "max": 9 },
        },
        "locales": { "en": "{{ name }}{{ place }}{{ n }}{{ code }}{{ phone }}{{ day }}{{ sum }}{{ left }}" },
    }));
    let values = json!({
        "name": "Wanjiku", "place": "Thĩka", "n": 10, "code": "12345", "phone": "112", "day": "kesho", "sum": "1.005",
        "extra": 1, "0712345678": 1,
    });
    assert_eq!(
        mistakes(&strict, values),
        [
            "/variables unknown_variable",
            "/variables/extra unknown_variable",
            "/variables/code invalid_code",
            "/variables/day out_of_bounds",
            "/variables/left required",
            "/variables/n out_of_bounds",
            "/variables/name too_long",
            "/variables/phone invalid_receiver",
            "/variables/place character_not_allowed",
            "/variables/sum invalid_amount",
        ]
    );
    let problem = VariableProblem::Character {
        character: 'ĩ',
        position: 2,
        alphabet: domain::template::Alphabet::Basic,
    };
    assert_eq!(problem.to_string(), "has ĩ (U+0129) at position 2, which is not in its alphabet, basic");
    assert_eq!(
        mistakes(&strict, json!({ "name": 1, "place": null, "n": "x", "code": 123_456, "left": 1.5 })).len(),
        8
    );
}

#[test]
fn a_name_is_written_plain_only_where_its_variable_says_so() {
    let of = |transliterate: bool| {
        template(json!({
            "variables": { "name": { "type": "text", "max_length": 20, "transliterate": transliterate } },
            "locales": { "en": "{{ name }}" },
        }))
    };
    assert_eq!(text(&of(true), "en", json!({ "name": "Ng’ang’a" })), "Ng'ang'a");
    assert_eq!(
        mistakes(&of(false), json!({ "name": "Ng’ang’a" })),
        ["/variables/name character_not_allowed"]
    );
}

#[test]
fn a_text_is_not_empty_unless_its_variable_says_so() {
    let of = |bounds: Value| {
        let mut variable = json!({ "type": "text", "max_length": 5 });
        variable.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
        template(json!({ "variables": { "name": variable }, "locales": { "en": "Habari {{ name }}" } }))
    };
    for empty in ["", " ", "   "] {
        assert_eq!(mistakes(&of(json!({})), json!({ "name": empty })), ["/variables/name too_short"]);
    }
    assert_eq!(text(&of(json!({ "min_length": 0 })), "en", json!({ "name": "" })), "Habari ");
    let three = of(json!({ "min_length": 3 }));
    assert_eq!(mistakes(&three, json!({ "name": " ab " })), ["/variables/name too_short"]);
    assert_eq!(text(&three, "en", json!({ "name": "abc" })), "Habari abc");
    let problem = VariableProblem::TooShort { found: 2, min: 3 };
    assert_eq!(problem.to_string(), "has 2 characters, 3 are needed at least");
}

#[test]
fn a_value_adds_no_line_unless_its_variable_says_so() {
    for alphabet in ["basic", "gsm7", "any"] {
        let of = |line_breaks: bool| {
            template(json!({
                "encoding": "ucs2",
                "variables": { "note": {
                    "type": "text", "max_length": 40, "alphabet": alphabet, "line_breaks": line_breaks
                } },
                "locales": { "en": "{{ note }}" },
            }))
        };
        let note = json!({ "note": "Habari\n@evil.example #123456" });
        assert_eq!(
            mistakes(&of(false), note.clone()),
            ["/variables/note character_not_allowed"],
            "{alphabet}"
        );
        assert_eq!(
            mistakes(&of(true), json!({ "note": "a\r\nb" })),
            ["/variables/note character_not_allowed"]
        );
        let problem = of(true).render(None, &variables(json!({ "note": "a\nb\tc" })), id(0), kenya());
        assert!(problem.unwrap_err()[0].problem.to_string().starts_with("has U+0009 at position 3"));
        if alphabet != "basic" {
            assert_eq!(text(&of(true), "en", note).lines().count(), 2, "{alphabet}");
        }
    }
    let problem = VariableProblem::LineBreak { position: 6 };
    assert_eq!(problem.to_string(), "has a line break at position 6, and the template allows none");
}

#[test]
fn a_value_turns_nothing_round_and_hides_nothing() {
    let any = template(json!({
        "encoding": "ucs2",
        "variables": { "name": { "type": "text", "max_length": 40, "alphabet": "any" } },
        "locales": { "en": "{{ name }} invites you" },
    }));
    for name in [
        "Wanjiku \u{202E}",
        "a\u{2066}b",
        "evil\u{200B}.example",
        "evil\u{200D}.example",
        "a\u{2028}b",
        "a\u{2029}b",
    ] {
        assert_eq!(mistakes(&any, json!({ "name": name })), ["/variables/name character_not_allowed"]);
    }
    for name in ["Wangarĩ", "می\u{200C}خواهم", "👨\u{200D}👩\u{200D}👧"] {
        assert_eq!(text(&any, "en", json!({ "name": name })), format!("{name} invites you"));
    }
    // It is named by its number, for it would turn round the sentence about it.
    let problem = VariableProblem::Character {
        character: '\u{202E}',
        position: 2,
        alphabet: domain::template::Alphabet::Any,
    };
    assert_eq!(problem.to_string(), "has U+202E at position 2, which is not in its alphabet, any");
}

#[test]
fn variants_are_taken_by_weight_and_always_the_same_for_a_message() {
    let weighted = template(json!({
        "locales": { "en": [{ "weight": 3, "text": "a" }, { "weight": 1, "text": "b" }] },
    }));
    let variant = |chance| weighted.render(None, &Variables::default(), id(chance), kenya()).unwrap().variant;
    assert_eq!([0, 1, 2, 3, 4, 7].map(variant), [0, 0, 0, 1, 0, 1]);
    assert_eq!(variant(123_456), variant(123_456));
}

#[test]
fn braces_in_a_value_are_only_braces() {
    let plain = template(json!({
        "variables": { "name": { "type": "text", "max_length": 20, "alphabet": "gsm7" } },
        "locales": { "en": "{{ name }}" },
    }));
    assert_eq!(text(&plain, "en", json!({ "name": "{{ 7 * 7 }}" })), "{{ 7 * 7 }}");
}

#[test]
fn debug_shows_no_value() {
    let values = variables(json!({ "code": "482913" }));
    assert_eq!(format!("{values:?}"), "Variables(1 values)");
}
