//! Sender ids: `SenderId::parse`.

use domain::phone::SenderId;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(sender) = SenderId::parse(text) else {
        let json = serde_json::to_string(text).unwrap();
        assert!(serde_json::from_str::<SenderId>(&json).is_err(), "settings take what callers may not send");
        return;
    };
    assert_eq!(sender.as_str(), text);
    assert_eq!(sender.to_string().parse(), Ok(sender.clone()));
    let json = serde_json::to_string(&sender).unwrap();
    assert_eq!(serde_json::from_str::<SenderId>(&json).unwrap(), sender);
    // It stands in a form, and behind a plus a number has at most 15 digits.
    assert!(
        text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" +".contains(&byte))
    );
}
