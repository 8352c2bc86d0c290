//! Numbers that mean something, so that a test, or a person before a screen, chooses what becomes of a message
//! by its receiver alone.
//!
//! It is the **last six digits** of a receiver that count; `+254712030003` is a possible Kenyan number.
//!
//! | last six digits | at | what becomes of the message |
//! |---|---|---|
//! | `021211`, `021610`, … | Twilio | refused with this code, HTTP 400 |
//! | `030003`, `030007`, … | Twilio | taken, then `undelivered` or `failed` with this code |
//! | `000100` | Africa's Talking | taken with status code 100, Processed |
//! | `000401` to `000409`, `000500` to `000502` | Africa's Talking | the receiver is refused with this status code |
//! | `000921` to `000927` | Africa's Talking | taken, then `Failed`; `DeliveryFailure`, `UserInBlackList`, `DoNotDisturbRejection`, `UserDoesNotExist`, `NotNetworkSubcriber`, `UserIsInactive`, `UserAccountSuspended` |
//! | `000931` | Africa's Talking | taken, then `Rejected` for `DeliveryFailure` |
//! | `000932`, `000933` | Africa's Talking | taken, then `Expired`, `AbsentSubscriber` |
//! | `000910` | both | taken, and never heard of again |
//! | `000911` | both | taken and told to be sent, and never heard of again |
//!
//! Twilio's own test numbers (+1500555000x, see its page on test credentials) work besides.

use crate::sim::life::Silence;

/// The last six digits of a number.
pub(crate) fn last_six(number: &str) -> Option<u32> {
    let digits = number.as_bytes();
    let tail = digits.get(digits.len().checked_sub(6)?..)?;
    tail.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

/// How much of its life a message to this number tells.
pub(crate) fn silence(number: &str) -> Silence {
    match last_six(number) {
        Some(910) => Silence::Always,
        Some(911) => Silence::AfterSent,
        _ => Silence::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_six_digits_at_the_end_count() {
        assert_eq!(last_six("+254712030003"), Some(30_003));
        assert_eq!(last_six("+254712999910"), Some(999_910));
        assert_eq!(last_six("12345"), None);
        assert_eq!(last_six("+25471203000x"), None);
        assert_eq!(last_six(""), None);
    }
}
