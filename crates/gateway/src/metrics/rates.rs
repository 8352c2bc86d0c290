//! How often a provider takes what is submitted, over the last minutes.

use domain::attempt::OutcomeKind;

/// Over how many minutes a provider's success and error rates are taken.
const RATE_MINUTES: usize = 5;
/// The same as a difference of minutes.
const RATE_SPAN: i64 = 5;

/// How a provider's attempts ended, minute by minute.
#[derive(Debug, Default)]
pub(super) struct Rates {
    slots: [Minute; RATE_MINUTES],
}

#[derive(Debug, Default, Clone, Copy)]
struct Minute {
    number: i64,
    attempts: u64,
    taken: u64,
}

impl Rates {
    pub(super) fn count(&mut self, minute: i64, kind: OutcomeKind) {
        let index = minute.rem_euclid(RATE_SPAN);
        if let Some(slot) = self.slots.get_mut(usize::try_from(index).unwrap_or(0)) {
            if slot.number != minute {
                *slot = Minute { number: minute, ..Minute::default() };
            }
            slot.attempts += 1;
            slot.taken += u64::from(kind == OutcomeKind::Accepted);
        }
    }

    pub(super) fn success(&self, minute: i64) -> Option<f64> {
        let recent = self.slots.iter().filter(|slot| slot.number > minute - RATE_SPAN);
        let (attempts, taken) =
            recent.fold((0, 0), |(attempts, taken), slot| (attempts + slot.attempts, taken + slot.taken));
        #[expect(clippy::cast_precision_loss, reason = "a share for graphs")]
        let share = (attempts > 0).then(|| taken as f64 / attempts as f64);
        share
    }

    pub(super) fn error(&self, minute: i64) -> Option<f64> {
        self.success(minute).map(|success| 1.0 - success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_forget_what_is_older_than_five_minutes() {
        let mut rates = Rates::default();
        rates.count(100, OutcomeKind::Rejected);
        rates.count(102, OutcomeKind::Accepted);
        assert_eq!(rates.success(104), Some(0.5));
        assert_eq!(rates.success(105), Some(1.0));
        assert_eq!(rates.error(105), Some(0.0));
        assert_eq!(rates.success(107), None);
    }
}
