//! A message to one receiver, its status, and the one function that moves the status.

use std::collections::BTreeMap;

use crate::encoding::Encoding;
use crate::ids::{BulkId, KeyId, MessageId};
use crate::phone::{Msisdn, SenderId};
use crate::scenario::{Priority, Scenario, closed_set};
use crate::secret::Body;
use crate::template::Used;
use crate::time::Timestamp;

/// What was accepted for one receiver. Written once; what changes later is a [`MessageStatus`] and attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Identifies the message everywhere, also in the callback URL that a provider is given.
    pub id: MessageId,
    /// The bulk request it came in with, if any.
    pub bulk_id: Option<BulkId>,
    /// The API key that sent it.
    pub caller: KeyId,
    /// Where it goes.
    pub receiver: Msisdn,
    /// The sender ID that the caller asked for; the account's default if none.
    pub sender: Option<SenderId>,
    /// What it is for.
    pub scenario: Scenario,
    /// Its lane in the queue.
    pub priority: Priority,
    /// The text, in Unicode normalization form C.
    pub body: Body,
    /// How the text travels.
    pub encoding: Encoding,
    /// How many SMS the text takes, by our count. The provider's count is what is billed.
    pub segments: u16,
    /// The caller's own name for it, returned as given.
    pub reference: Option<String>,
    /// The savings group or campaign that it belongs to, for limits and figures.
    pub group: Option<String>,
    /// The caller's own data, returned as given.
    pub metadata: BTreeMap<String, String>,
    /// Not to be submitted before this time.
    pub scheduled_at: Option<Timestamp>,
    /// Not to be submitted after this time.
    pub expires_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// What the text was made of, if it was made of a template.
    pub template: Option<Used>,
}

closed_set! {
    /// Where a message stands. The words are Twilio's, which the field knows; `expired` is ours.
    MessageStatus ("status") {
        /// Accepted, and to be sent at a later time.
        Scheduled => "scheduled",
        /// Accepted, and waiting for its turn.
        Queued => "queued",
        /// Claimed by a worker; also while nobody knows how an attempt ended.
        Sending => "sending",
        /// A provider took it.
        Sent => "sent",
        /// The phone has it.
        Delivered => "delivered",
        /// A provider took it and could not deliver it.
        Undelivered => "undelivered",
        /// No provider took it.
        Failed => "failed",
        /// Stopped by the caller before it left.
        Canceled => "canceled",
        /// Its time ran out before a provider took it.
        Expired => "expired",
    }
}

closed_set! {
    /// Something that happened to a message and may move its status.
    StatusEvent ("status event") {
        /// A worker took it from the queue, with a durable attempt.
        Claimed => "claimed",
        /// The attempt certainly did not leave; it goes back to the queue.
        Requeued => "requeued",
        /// The provider's answer, or a receipt, says that the provider has it.
        Accepted => "accepted",
        /// Refused, or given up.
        Refused => "refused",
        /// Its time ran out.
        TimeRanOut => "time_ran_out",
        /// The caller stopped it.
        Stopped => "stopped",
        /// It is to be sent again: by another route, because this one did not deliver it, or because its caller
        /// asked for it. A new round begins: receipts of earlier attempts count only if they say `delivered`.
        Resent => "resent",
        /// No receipt came within the horizon, although the route reports delivery.
        WaitedInVain => "waited_in_vain",
        /// A receipt: refused by the provider after it had taken the message.
        ReceiptFailed => "receipt_failed",
        /// A receipt: the network could not deliver it.
        ReceiptUndelivered => "receipt_undelivered",
        /// A receipt: the phone has it.
        ReceiptDelivered => "receipt_delivered",
    }
}

impl MessageStatus {
    /// The one function that moves a status: where `event` leads from here. A status that an event can't move
    /// stays as it is.
    ///
    /// Receipts climb `sent < failed < undelivered < delivered` and never descend, so that receipts that come
    /// early, twice, late or in any order always end in the same place. A receipt outranks what we concluded
    /// ourselves: the provider knows better than our time-out whether the phone has the message.
    #[must_use]
    pub const fn after(self, event: StatusEvent) -> Self {
        use MessageStatus as S;
        use StatusEvent as E;
        match (self, event) {
            // Delivered is the end: nothing moves it.
            (S::Delivered, _) | (_, E::ReceiptDelivered) => S::Delivered,
            // Another try, or a new round, which begins where the last one ended.
            (S::Sending, E::Requeued) | (S::Sent | S::Undelivered | S::Failed | S::Expired, E::Resent) => {
                S::Queued
            }
            (S::Undelivered, _) | (_, E::ReceiptUndelivered) | (S::Sent, E::WaitedInVain) => S::Undelivered,

            // Our own steps.
            (S::Scheduled | S::Queued, E::Claimed) => S::Sending,
            (S::Scheduled | S::Queued | S::Sending, E::Refused | E::ReceiptFailed)
            | (S::Sent | S::Canceled | S::Expired, E::ReceiptFailed) => S::Failed,
            (S::Scheduled | S::Queued | S::Sending, E::TimeRanOut) => S::Expired,
            (S::Scheduled | S::Queued, E::Stopped) => S::Canceled,

            // Evidence that a provider has it beats our own conclusion that none does, but not a receipt that
            // says it failed: `failed` after `sent` is the later truth, whichever arrives first.
            (S::Scheduled | S::Queued | S::Sending | S::Canceled | S::Expired, E::Accepted) => S::Sent,
            (unmoved, _) => unmoved,
        }
    }

    /// No further step of ours will change it. A receipt still may.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Undelivered | Self::Failed | Self::Canceled | Self::Expired)
    }

    /// A provider has taken or refused it, or nobody will ask one any more.
    pub const fn is_submitted_or_final(self) -> bool {
        self.is_final() || matches!(self, Self::Sent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::MessageStatus as S;
    use super::StatusEvent as E;

    /// Every pair of status and event that moves something, one row a status. What is not here stays.
    /// docs/state-machine.md shows the same table.
    const MOVES: &[(S, &[(E, S)])] = &[
        (
            S::Scheduled,
            &[
                (E::Claimed, S::Sending),
                (E::Accepted, S::Sent),
                (E::Refused, S::Failed),
                (E::TimeRanOut, S::Expired),
                (E::Stopped, S::Canceled),
                (E::ReceiptFailed, S::Failed),
                (E::ReceiptUndelivered, S::Undelivered),
                (E::ReceiptDelivered, S::Delivered),
            ],
        ),
        (
            S::Queued,
            &[
                (E::Claimed, S::Sending),
                (E::Accepted, S::Sent),
                (E::Refused, S::Failed),
                (E::TimeRanOut, S::Expired),
                (E::Stopped, S::Canceled),
                (E::ReceiptFailed, S::Failed),
                (E::ReceiptUndelivered, S::Undelivered),
                (E::ReceiptDelivered, S::Delivered),
            ],
        ),
        (
            S::Sending,
            &[
                (E::Requeued, S::Queued),
                (E::Accepted, S::Sent),
                (E::Refused, S::Failed),
                (E::TimeRanOut, S::Expired),
                (E::ReceiptFailed, S::Failed),
                (E::ReceiptUndelivered, S::Undelivered),
                (E::ReceiptDelivered, S::Delivered),
            ],
        ),
        (
            S::Sent,
            &[
                (E::Resent, S::Queued),
                (E::WaitedInVain, S::Undelivered),
                (E::ReceiptFailed, S::Failed),
                (E::ReceiptUndelivered, S::Undelivered),
                (E::ReceiptDelivered, S::Delivered),
            ],
        ),
        (S::Delivered, &[]),
        (S::Undelivered, &[(E::Resent, S::Queued), (E::ReceiptDelivered, S::Delivered)]),
        (
            S::Failed,
            &[
                (E::Resent, S::Queued),
                (E::ReceiptUndelivered, S::Undelivered),
                (E::ReceiptDelivered, S::Delivered),
            ],
        ),
        (
            S::Canceled,
            &[
                (E::Accepted, S::Sent),
                (E::ReceiptFailed, S::Failed),
                (E::ReceiptUndelivered, S::Undelivered),
                (E::ReceiptDelivered, S::Delivered),
            ],
        ),
        (
            S::Expired,
            &[
                (E::Accepted, S::Sent),
                (E::Resent, S::Queued),
                (E::ReceiptFailed, S::Failed),
                (E::ReceiptUndelivered, S::Undelivered),
                (E::ReceiptDelivered, S::Delivered),
            ],
        ),
    ];

    #[test]
    fn every_status_and_event_does_what_the_table_says() {
        for (from, moves) in MOVES {
            for event in E::ALL {
                let to = moves.iter().find(|(moving, _)| moving == event).map_or(*from, |(_, to)| *to);
                assert_eq!(from.after(*event), to, "{from} after {event}");
            }
        }
        assert_eq!(MOVES.len(), S::ALL.len());
    }

    #[test]
    fn the_table_in_the_documentation_is_this_table() {
        let shown = include_str!("../../../docs/state-machine.md");
        for (from, moves) in MOVES {
            for event in E::ALL {
                let to = moves.iter().find(|(moving, _)| moving == event).map(|(_, to)| *to);
                let row = to.map_or_else(String::new, |to| format!("| `{from}` | `{event}` | `{to}` |"));
                assert!(shown.contains(&row), "missing in docs/state-machine.md: {row}");
            }
        }
        let rows = shown.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, MOVES.iter().map(|(_, moves)| moves.len()).sum::<usize>());
    }

    #[test]
    fn late_sent_receipt_does_not_downgrade_delivered() {
        assert_eq!(S::Delivered.after(E::Accepted), S::Delivered);
    }

    proptest! {
        #[test]
        fn receipts_in_any_order_and_number_end_in_one_place(
            receipts in proptest::collection::vec(
                prop::sample::select(vec![
                    E::Accepted, E::ReceiptFailed, E::ReceiptUndelivered, E::ReceiptDelivered,
                ]),
                1..8,
            ),
            seed in any::<u64>(),
        ) {
            let forward = receipts.iter().fold(S::Sending, |status, event| status.after(*event));
            let mut shuffled = receipts.clone();
            let mut state = seed;
            for index in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
            }
            let twice = shuffled.iter().chain(receipts.iter());
            prop_assert_eq!(twice.fold(S::Sending, |status, event| status.after(*event)), forward);
        }
    }
}
