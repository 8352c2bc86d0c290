//! What the linter finds, and how it says where.

use domain::encoding::Encoding;
use domain::template::{BUILTIN, Definition, Report, Severity, Template, builtin};
use serde_json::{Value, json};

fn lint(definition: Value) -> Report {
    let definition: Definition = serde_json::from_value(definition).unwrap();
    Template::compile(&definition).1
}

/// The errors, each as `pointer line:column message`.
fn errors(definition: Value) -> Vec<String> {
    let report = lint(definition);
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let shown = errors.map(|finding| {
        let place = finding.place.map_or(String::new(), |at| format!(" {}:{}", at.line, at.column));
        format!("{}{place} {}", finding.pointer, finding.message)
    });
    shown.collect()
}

fn of_text(text: &str) -> Value {
    json!({ "variables": { "name": { "type": "text", "max_length": 20 } }, "locales": { "en": text } })
}

#[test]
fn a_character_outside_of_gsm7_is_named_with_its_place() {
    let report = lint(of_text("Dear {{ name }},\nit’s done"));
    let finding = report.findings.first().unwrap();
    let place = finding.place.unwrap();
    assert_eq!((finding.character, place.line, place.column, place.position), (Some('’'), 2, 3, 19));
    assert!(finding.message.contains("U+2019"), "{}", finding.message);
}

#[test]
fn with_transliterate_curly_quotes_are_written_plain_and_other_letters_are_still_refused() {
    let mut definition = of_text("It’s {{ name }} … – ok");
    definition["transliterate"] = true.into();
    assert_eq!(errors(definition), Vec::<String>::new());
    let mut definition = of_text("Wangarĩ");
    definition["transliterate"] = true.into();
    assert_eq!(errors(definition), ["/locales/en 1:7 ĩ (U+0129) is not in GSM-7"]);
}

#[test]
fn a_variable_that_may_leave_gsm7_breaks_the_promise() {
    let definition = json!({
        "variables": {
            "name": { "type": "text", "max_length": 20, "alphabet": "any" },
            "day": { "type": "choice", "values": ["leo", "kesho ☀"] },
        },
        "locales": { "en": "{{ name }}: {{ day }}" },
    });
    assert_eq!(
        errors(definition.clone()),
        [
            "/locales/en 1:4 name may hold characters that are not in GSM-7: its alphabet is any",
            "/locales/en 1:16 day may be value 1, where ☀ (U+2600) at position 6 is not in GSM-7",
        ]
    );
    let mut honest = definition;
    honest["encoding"] = "ucs2".into();
    let report = lint(honest);
    assert!(!report.has_errors());
    assert_eq!(report.worst.first().unwrap().most.encoding, Encoding::Ucs2);
}

#[test]
fn a_promise_of_segments_is_held_against_the_longest_values() {
    let mut definition = of_text(&format!("{}{{{{ name }}}}", "a".repeat(141)));
    definition["max_segments"] = 1.into();
    assert_eq!(
        errors(definition.clone()),
        ["/locales/en takes up to 2 segments (161 units of gsm7), 1 are allowed"]
    );
    definition["variables"]["name"]["max_length"] = 19.into();
    assert_eq!(errors(definition), Vec::<String>::new());
}

#[test]
fn mistakes_are_named_by_their_place() {
    let definition = json!({
        "default_locale": "fr",
        "variables": {
            "n": { "type": "integer", "min": 5, "max": 1 },
            "code": { "type": "code", "length": 2 },
            "word": { "type": "text", "max_length": 3, "default": "four" },
            "long": { "type": "text", "min_length": 4, "max_length": 3 },
            "blank": { "type": "text", "max_length": 3, "default": "" },
            "amount": { "type": "amount", "currency": "KES", "max": 10 },
        },
        "locales": {
            "en": [
                { "weight": 0, "text": "{{ n }}{{ code }}{{ word }}{{ amount | sats }}{{ long }}{{ blank }}" },
                { "text": "{% if n %}{% endif %}" },
                { "text": "{{ other }}" },
            ],
        },
    });
    assert_eq!(
        errors(definition),
        [
            "/locales has no text in fr, the default locale",
            "/locales/en/0/weight must be from 1 to 10000",
            "/variables/blank/default has 0 characters, 1 are needed at least",
            "/variables/code/length must be from 4 to 10, and not below min_length",
            "/variables/long/min_length must be at most max_length",
            "/variables/n/max must be from min to 9007199254740991",
            "/variables/word/default has 4 characters, 3 are allowed",
            "/locales/en/0/text 1:31 the filter sats does not fit amount there",
            "/locales/en/1/text 1:4 only text and {{ variable | filter }} may stand here: a template has no conditions, \
             loops or blocks",
            "/locales/en/2/text 1:4 other is not among the variables",
        ]
    );
}

#[test]
fn a_variable_that_no_text_uses_is_a_warning() {
    let report = lint(of_text("Habari"));
    let finding = report.findings.first().unwrap();
    assert_eq!((finding.severity, finding.pointer.as_str()), (Severity::Warning, "/variables/name"));
    assert!(!report.has_errors());
}

#[test]
fn a_mark_is_not_written_onto_a_variable() {
    let mut definition = of_text("{{ name }}\u{301}");
    definition["encoding"] = "ucs2".into();
    assert_eq!(errors(definition), ["/locales/en 1:11 a mark stands here with no letter before it"]);
}

/// The promises of the built-in templates: what each takes at most, and that nothing else was found.
#[test]
fn built_in_templates_keep_to_one_segment_of_gsm7_where_they_can() {
    let mut worst = Vec::new();
    for (name, json) in BUILTIN {
        let definition = builtin(name).unwrap();
        assert_eq!(serde_json::from_str::<Definition>(json).unwrap(), definition);
        let (template, report) = Template::compile(&definition);
        assert_eq!(report.findings, [], "{name}");
        for case in template.unwrap().worst() {
            let most = case.most;
            worst.push(format!(
                "{name} {}: {} of {}, {}",
                case.locale, most.units, most.encoding, most.segments
            ));
        }
    }
    assert_eq!(
        worst,
        [
            "chama_invite en: 128 of gsm7, 1",
            "chama_invite sw: 129 of gsm7, 1",
            "otp en: 111 of gsm7, 1",
            "otp sw: 99 of gsm7, 1",
            "security_alert en: 147 of gsm7, 1",
            "security_alert sw: 146 of gsm7, 1",
            "transaction_received en: 116 of gsm7, 1",
            "transaction_received sw: 117 of gsm7, 1",
            "transaction_sent en: 110 of gsm7, 1",
            "transaction_sent sw: 109 of gsm7, 1",
            "withdrawal_request en: 178 of gsm7, 2",
            "withdrawal_request sw: 174 of gsm7, 2",
        ]
    );
}
