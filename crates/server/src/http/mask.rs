//! Numbers as a caller may see them.

use domain::phone::Msisdn;

use crate::keys::{Identity, Scope};

/// A number in full for who may read numbers, masked for all others.
pub(super) fn number(receiver: Msisdn, viewer: &Identity) -> String {
    if viewer.may(Scope::Read) { receiver.to_e164() } else { receiver.masked() }
}

/// A text that was meant as a number, as its sender gave it: digits masked but for the last two, unless the
/// viewer may read numbers.
pub(super) fn as_given(text: &str, viewer: &Identity) -> String {
    if viewer.may(Scope::Read) {
        return text.chars().take(64).collect();
    }
    let digits = text.chars().filter(|letter| letter.is_numeric()).count();
    let mut seen = 0;
    let mask = |letter: char| {
        seen += usize::from(letter.is_numeric());
        if letter.is_numeric() && seen + 2 <= digits { '*' } else { letter }
    };
    text.chars().take(64).map(mask).collect()
}

#[cfg(test)]
mod tests {
    use domain::ids::KeyId;
    use domain::time::Timestamp;
    use store::port::keys::ApiKey;

    use super::*;

    fn viewer(scope: &str) -> Identity {
        let now = Timestamp::from_micros(0);
        let key = ApiKey::new(KeyId::new(now, [0; 10]), "test", [0; 32], now);
        ApiKey { scopes: vec![scope.into()], ..key }.into()
    }

    #[test]
    fn only_who_may_read_sees_a_number_in_full() {
        assert_eq!(as_given("0712-345 6789x", &viewer("sms:send")), "****-*** **89x");
        assert_eq!(as_given("0712-345 6789x", &viewer("sms:read")), "0712-345 6789x");
    }
}
