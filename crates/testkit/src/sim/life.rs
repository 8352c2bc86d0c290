//! The stages that a message passes after a provider took it, and when it tells of them.

use std::time::Duration;

use crate::sim::faults::ReceiptPlan;

/// A stage in the life of a message. Each provider has its own words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Twilio's messaging service has chosen a sender.
    Queued,
    /// Left the provider.
    Sent,
    /// Handed to the operator (Africa's Talking).
    Submitted,
    /// Queued by the operator (Africa's Talking).
    Buffered,
    /// A status that nobody has heard of.
    Unheard,
    /// The end: delivered or not.
    Ended,
    /// Called back before it was sent (Twilio).
    Canceled,
}

/// Which stages are told to a callback URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReceiptDetail {
    /// All of them.
    #[default]
    All,
    /// Only the end. For load.
    FinalOnly,
}

/// One step of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// How long after the message was taken.
    pub(crate) after: Duration,
    pub(crate) stage: Stage,
    /// Whether the message enters the stage now, or is only told of.
    pub(crate) enters: bool,
    /// How many receipts are posted.
    pub(crate) receipts: u8,
}

/// How fast messages live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) sent_after: Duration,
    pub(crate) ended_after: Duration,
    pub(crate) detail: ReceiptDetail,
}

/// How much of its life a message reaches and tells, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Silence {
    #[default]
    None,
    /// Told to be sent, and then never heard of again.
    AfterSent,
    /// Never heard of.
    Always,
}

/// The steps of one message through `stages`, in the order of time.
pub(crate) fn steps(stages: &[Stage], pace: Pace, silence: Silence, faults: ReceiptPlan) -> Vec<Step> {
    let reached = stages.iter().copied().filter(|&stage| silence == Silence::None || stage != Stage::Ended);
    let silent = silence == Silence::Always || faults.never;
    let receipts = |stage| {
        let told = !silent && (stage == Stage::Ended || pace.detail == ReceiptDetail::All);
        if told { 1 + faults.copies } else { 0 }
    };
    let last = stages.len().saturating_sub(1);
    let mut steps: Vec<Step> = reached
        .enumerate()
        .map(|(nth, stage)| {
            let after = moment(stage, nth, last, pace) + faults.late;
            Step { after, stage, enters: true, receipts: receipts(stage) }
        })
        .collect();
    if faults.unknown_word && !silent {
        let before_last = steps.len().saturating_sub(1);
        let after = steps.get(before_last).map_or(faults.late, |step| step.after);
        steps.insert(before_last, Step { after, stage: Stage::Unheard, enters: false, receipts: 1 });
    }
    if faults.out_of_order {
        steps = told_backwards(steps);
    }
    if faults.early {
        for step in &mut steps {
            step.after = Duration::ZERO;
        }
    }
    steps
}

fn moment(stage: Stage, nth: usize, last: usize, pace: Pace) -> Duration {
    let all = u32::try_from(last.max(1)).unwrap_or(u32::MAX);
    let done = u32::try_from(nth).unwrap_or(u32::MAX);
    match stage {
        Stage::Queued => pace.sent_after / 2,
        Stage::Ended => pace.ended_after,
        _ => pace.sent_after + pace.ended_after.saturating_sub(pace.sent_after) * done / all,
    }
}

/// Messages enter their stages in time, and tell of them in the opposite order at the same moments.
fn told_backwards(steps: Vec<Step>) -> Vec<Step> {
    let told: Vec<Step> = steps
        .iter()
        .zip(steps.iter().rev())
        .map(|(moment, told)| Step { after: moment.after, enters: false, ..*told })
        .collect();
    let entered = steps.into_iter().map(|step| Step { receipts: 0, ..step });
    let mut both: Vec<Step> = entered.chain(told).filter(|step| step.enters || step.receipts > 0).collect();
    both.sort_by_key(|step| step.after);
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        sent_after: Duration::from_millis(20),
        ended_after: Duration::from_millis(80),
        detail: ReceiptDetail::All,
    };
    const STAGES: [Stage; 4] = [Stage::Sent, Stage::Submitted, Stage::Buffered, Stage::Ended];

    /// What is posted: the millisecond, the stage, how many times.
    fn told(pace: Pace, silence: Silence, faults: ReceiptPlan) -> Vec<(u128, Stage, u8)> {
        let told = steps(&STAGES, pace, silence, faults).into_iter().filter(|step| step.receipts > 0);
        told.map(|step| (step.after.as_millis(), step.stage, step.receipts)).collect()
    }

    #[test]
    fn stages_are_spread_between_sent_and_the_end() {
        let expected = [
            (20, Stage::Sent, 1),
            (40, Stage::Submitted, 1),
            (60, Stage::Buffered, 1),
            (80, Stage::Ended, 1),
        ];
        assert_eq!(told(PACE, Silence::None, ReceiptPlan::default()), expected);
    }

    #[test]
    fn only_the_end_is_told_when_asked() {
        let pace = Pace { detail: ReceiptDetail::FinalOnly, ..PACE };
        assert_eq!(told(pace, Silence::None, ReceiptPlan::default()), [(80, Stage::Ended, 1)]);
    }

    #[test]
    fn a_silent_number_stops_where_it_says() {
        let after_sent = told(PACE, Silence::AfterSent, ReceiptPlan::default());
        assert_eq!(after_sent.last(), Some(&(60, Stage::Buffered, 1)));
        assert_eq!(told(PACE, Silence::Always, ReceiptPlan::default()), []);
    }

    #[test]
    fn receipts_out_of_order_do_not_disorder_the_message() {
        let faults = ReceiptPlan { out_of_order: true, ..ReceiptPlan::default() };
        let steps = steps(&STAGES, PACE, Silence::None, faults);
        let entered: Vec<Stage> = steps.iter().filter(|step| step.enters).map(|step| step.stage).collect();
        assert_eq!(entered, STAGES);
        let told: Vec<Stage> = told(PACE, Silence::None, faults).into_iter().map(|told| told.1).collect();
        assert_eq!(told, [Stage::Ended, Stage::Buffered, Stage::Submitted, Stage::Sent]);
    }

    #[test]
    fn faults_of_receipts_add_up() {
        let faults = ReceiptPlan { copies: 1, unknown_word: true, early: true, ..ReceiptPlan::default() };
        let expected = [
            (0, Stage::Sent, 2),
            (0, Stage::Submitted, 2),
            (0, Stage::Buffered, 2),
            (0, Stage::Unheard, 1),
            (0, Stage::Ended, 2),
        ];
        assert_eq!(told(PACE, Silence::None, faults), expected);
        let late = ReceiptPlan { late: Duration::from_millis(500), ..ReceiptPlan::default() };
        assert_eq!(told(PACE, Silence::None, late).first(), Some(&(520, Stage::Sent, 1)));
    }

    #[test]
    fn a_message_that_fails_at_once_has_one_stage() {
        let steps = steps(&[Stage::Ended], PACE, Silence::None, ReceiptPlan::default());
        assert_eq!(steps.len(), 1);
    }
}
