//! Any text arrives as it was.

use proptest::prelude::*;
use providers::endpoint::{Form, field};

fn decoded(form: &Form) -> Vec<(String, String)> {
    form_urlencoded::parse(form.as_str().as_bytes()).into_owned().collect()
}

#[test]
fn text_of_any_script_is_encoded_byte_for_byte() {
    let mut form = Form::with_capacity(0);
    form.push("To", "+254712345678");
    form.push("Body", "a b+c&d=e%f\0 Ñ 😀");
    assert_eq!(form.as_str(), "To=%2B254712345678&Body=a+b%2Bc%26d%3De%25f%00+%C3%91+%F0%9F%98%80");
}

proptest! {
    #[test]
    fn fields_read_back(values in proptest::collection::vec(".*|\\PC{0,40}|[\0\r\n&=+%]{0,8}", 1..5)) {
        let mut form = Form::with_capacity(16);
        for value in &values {
            form.push("Body", value);
        }
        let last = values.last().unwrap();
        form.push_encoded(&field("Again", last));
        let mut expected: Vec<_> = values.iter().map(|value| ("Body".to_owned(), value.clone())).collect();
        expected.push(("Again".to_owned(), last.clone()));
        prop_assert_eq!(decoded(&form), expected);
        prop_assert!(form.as_str().is_ascii());
    }
}
