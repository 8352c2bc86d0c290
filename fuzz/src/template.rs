//! Definitions of templates, by the linter, and values by the rendering: the first line is the definition, what follows are
//! values.

use domain::encoding::{Encoding, measure};
use domain::ids::MessageId;
use domain::phone::Country;
use domain::template::{Definition, Template, Variables};

pub fn check(data: &[u8]) {
    let (line, rest) = super::first_line(data);
    let Ok(definition) = serde_json::from_str::<Definition>(line) else { return };
    let (template, report) = Template::compile(&definition);
    assert_eq!(template.is_none(), report.has_errors());
    let Some(template) = template else { return };
    // What is kept is read back, and is as good.
    let kept = serde_json::to_string(&definition).unwrap();
    let (again, _) = Template::compile(&serde_json::from_str(&kept).unwrap());
    assert_eq!(again.unwrap().worst(), template.worst());
    let variables = serde_json::from_slice::<Variables>(rest).unwrap_or_default();
    let Ok(rendered) = template.render(None, &variables, MessageId::from_bytes([7; 16]), Country::KE) else {
        return;
    };
    let is_this = |case: &&domain::template::WorstCase| {
        case.locale == rendered.locale && case.variant == rendered.variant
    };
    let most = template.worst().iter().find(is_this).unwrap().most;
    let measured = measure(&rendered.text);
    assert!(measured.segments <= most.segments, "{measured:?} beyond {most:?}");
    assert!(most.encoding == Encoding::Ucs2 || measured.encoding == Encoding::Gsm7);
}
