//! Sender IDs that carriers and providers take, and those that they don't.

use domain::phone::{SenderError, SenderId};

#[test]
fn names_short_codes_and_long_codes_are_taken_as_they_are() {
    for text in
        ["Tuma", "BITSACCO", "Bank 24", "4U", "a", "ABCDEFGHIJK", "20880", "123", "12345678", "+15005550006"]
    {
        let sender: SenderId = text.parse().unwrap();
        assert_eq!((sender.as_str(), sender.to_string().as_str()), (text, text));
        assert_eq!(format!("{sender:?}"), format!("SenderId({text:?})"));
    }
}

#[test]
fn other_texts_are_refused_with_the_reason() {
    for (text, error) in [
        ("", SenderError::Empty),
        ("ABCDEFGHIJKL", SenderError::TooLong),
        ("MG0123456789abcdef0123456789abcdef", SenderError::TooLong),
        (" Tuma", SenderError::Name),
        ("   ", SenderError::Name),
        ("Tuma-SMS", SenderError::Name),
        ("Tüma", SenderError::Name),
        ("12 34", SenderError::Name),
        ("Tu\nma", SenderError::Name),
        ("12", SenderError::ShortCode),
        ("254712345678", SenderError::ShortCode),
        ("+", SenderError::LongCode),
        ("+123456", SenderError::LongCode),
        ("+0712345678", SenderError::LongCode),
        ("+1234567890123456", SenderError::LongCode),
        ("+254 712345678", SenderError::LongCode),
    ] {
        assert_eq!(SenderId::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn json_is_the_text_and_is_checked_when_read() {
    let sender: SenderId = serde_json::from_str("\"Tuma\"").unwrap();
    assert_eq!(serde_json::to_string(&sender).unwrap(), "\"Tuma\"");
    assert!(serde_json::from_str::<SenderId>("\"no-good\"").is_err());
}
