//! What holds for every template and all values.

use domain::encoding::{Encoding, measure};
use domain::ids::MessageId;
use domain::phone::Country;
use domain::template::{Definition, Template, Variables};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Words of a template, some of which are cut in other ways than most.
fn literal() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "Habari ",
        "€",
        "[",
        "\n",
        "Ж",
        "👍",
        "🇰🇪",
        "👨\u{200D}👩",
        "e\u{301}",
        "\u{301}",
        "\u{200D}",
        "’",
        "नि",
        "क्",
        "{# c #}",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn variable() -> impl Strategy<Value = Value> {
    prop_oneof![
        (1_usize..60, prop::sample::select(vec!["basic", "gsm7", "any"]), any::<bool>()).prop_map(
            |(max_length, alphabet, transliterate)| json!({
                "type": "text", "max_length": max_length, "alphabet": alphabet, "transliterate": transliterate,
                "min_length": 0, "line_breaks": true
            })
        ),
        (-1_000_000_i64..1_000_000, 0_i64..9_000_000)
            .prop_map(|(min, more)| json!({ "type": "integer", "min": min, "max": min + more })),
        (0_i64..1_000_000, prop::sample::select(vec!["sats", "KES"]))
            .prop_map(|(max, currency)| json!({ "type": "amount", "currency": currency, "max": max })),
        Just(json!({ "type": "phone" })),
        Just(json!({ "type": "code", "min_length": 4, "length": 8 })),
        Just(json!({ "type": "choice", "values": ["leo", "kesho [sio leo]", "☀ jua"] })),
    ]
}

/// Values that are near their bounds, and some beyond.
fn value() -> impl Strategy<Value = Value> {
    let characters = prop::sample::select(vec![
        "a",
        "é",
        "€",
        "{",
        "\n",
        "Ж",
        "👍🏿",
        "👨\u{200D}👩\u{200D}👧\u{200D}👦",
        "🇰",
        "e\u{301}",
        "\u{301}",
        "\u{200D}",
        "\u{600}",
        "’",
        "नि",
        "क्",
        "ᄀ",
        "ᅡ",
        "\u{958}",
    ]);
    prop_oneof![
        (prop::collection::vec(characters.clone(), 0..70)).prop_map(|pieces| pieces.concat().into()),
        (characters, 1_usize..60).prop_map(|(piece, times)| piece.repeat(times).into()),
        (-2_000_000_i64..10_000_000).prop_map(Value::from),
        "[0-9]{4,8}".prop_map(Value::from),
        prop::sample::select(vec!["leo", "kesho [sio leo]", "☀ jua", "+254712345678"]).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::Null),
    ]
}

fn filters() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "",
        "",
        "| upper",
        "| last6",
        "| last6 | upper",
        "| sats",
        "| kes",
        "| phone_masked",
    ])
}

fn text() -> impl Strategy<Value = String> {
    let placed = (literal(), filters(), 0_usize..3)
        .prop_map(|(literal, filters, name)| format!("{literal}{{{{ v{name} {filters} }}}}"));
    (prop::collection::vec(placed, 1..4), literal()).prop_map(|(placed, end)| placed.concat() + &end)
}

fn kenya() -> Country {
    "KE".parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_rendering_goes_beyond_the_worst_case(
        text in text(),
        variables in prop::collection::vec(variable(), 3),
        values in prop::collection::vec(prop::collection::vec(value(), 3), 12),
        transliterate in any::<bool>(),
    ) {
        let names = ["v0", "v1", "v2"];
        let declared: serde_json::Map<String, Value> = names.iter().map(|name| (*name).into()).zip(variables).collect();
        let definition = json!({
            "encoding": "ucs2", "transliterate": transliterate, "variables": declared, "locales": { "en": text },
        });
        let definition: Definition = serde_json::from_value(definition).unwrap();
        let (Some(template), _) = Template::compile(&definition) else { return Ok(()) };
        let most = template.worst()[0].most;
        for given in values {
            let given: Variables = names.iter().map(|name| (*name).into()).zip(given).collect();
            let Ok(rendered) = template.render(None, &given, MessageId::from_bytes([7; 16]), kenya()) else { continue };
            let measured = measure(&rendered.text);
            prop_assert!(measured.segments <= most.segments, "{measured:?} beyond {most:?}: {:?}", rendered.text);
            if most.encoding == Encoding::Gsm7 {
                prop_assert_eq!(measured.encoding, Encoding::Gsm7);
                prop_assert!(measured.units <= most.units);
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), braced in "\\{[{%#]-?.{0,40}[%}#-]{1,3}.{0,10}") {
        for source in [text.clone(), braced.clone(), format!("{text}{braced}")] {
            let definition: Definition = serde_json::from_value(json!({ "locales": { "en": source } })).unwrap();
            let (template, report) = Template::compile(&definition);
            prop_assert_eq!(template.is_none(), report.has_errors());
        }
    }
}
