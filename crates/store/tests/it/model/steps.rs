//! What may happen, in any order.

use domain::attempt::OutcomeKind;
use domain::receipt::ReceiptStatus;
use proptest::prelude::*;
use proptest::sample::Index;

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Accept {
        lane: Index,
        receiver: u64,
        provider: usize,
        due_in: Option<u64>,
        expires_in: Option<u64>,
    },
    Claim {
        node: u64,
        provider: usize,
        total: u32,
        lease: u64,
        quiet: bool,
    },
    Finish {
        attempt: Index,
        outcome: OutcomeKind,
        next: Comes,
        watch: bool,
    },
    /// Names the message by our id, and perhaps the attempt.
    Receipt {
        attempt: Index,
        says: Says,
        names_attempt: bool,
    },
    /// Names only the provider's id and the receiver.
    Unnamed {
        attempt: Index,
        says: Says,
    },
    Recover {
        node: u64,
        only_node: bool,
    },
    Look {
        limit: u32,
    },
    /// Settles something that was taken before, perhaps long before.
    Decide {
        watched: Index,
        verdict: Decision,
    },
    Resend {
        message: Index,
        provider: usize,
        due_in: u64,
        expires_in: Option<u64>,
    },
    Cancel {
        message: Index,
    },
    Divert {
        from: usize,
        take: u32,
    },
    Sweep {
        limit: u32,
    },
    Minutes(u64),
    /// The clock is set back.
    Back(u64),
    Reopen {
        closed: bool,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Comes {
    Stop,
    Expire,
    Wait,
    Retry { minutes: u64, provider: usize },
}

/// What a receipt says, and whether it gives a reason that another route may not share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Says {
    pub(super) status: Option<ReceiptStatus>,
    pub(super) may_help: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Decision {
    Again(u64),
    Done,
    Found(OutcomeKind, Comes),
    Resend(usize),
    WaitedInVain,
}

fn outcome() -> impl Strategy<Value = OutcomeKind> {
    // Doubt is what makes a life eventful.
    prop_oneof![
        1 => prop::sample::select(OutcomeKind::ALL),
        1 => Just(OutcomeKind::Ambiguous),
    ]
}

fn comes() -> impl Strategy<Value = Comes> {
    prop_oneof![
        1 => Just(Comes::Stop),
        1 => Just(Comes::Expire),
        4 => Just(Comes::Wait),
        4 => (0_u64..10, 0_usize..2).prop_map(|(minutes, provider)| Comes::Retry { minutes, provider }),
    ]
}

fn says() -> impl Strategy<Value = Says> {
    let status = prop::option::weighted(0.9, prop::sample::select(ReceiptStatus::ALL));
    (status, any::<bool>()).prop_map(|(status, may_help)| Says { status, may_help })
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![
        2 => (0_u64..30).prop_map(Decision::Again),
        1 => Just(Decision::Done),
        4 => (outcome(), comes()).prop_map(|(outcome, comes)| Decision::Found(outcome, comes)),
        3 => (0_usize..2).prop_map(Decision::Resend),
        2 => Just(Decision::WaitedInVain),
    ]
}

fn callers_steps() -> impl Strategy<Value = Step> {
    let soon = || prop::option::weighted(0.3, 0_u64..20);
    prop_oneof![
        4 => (any::<Index>(), 0_u64..3, 0_usize..2, soon(), soon()).prop_map(
            |(lane, receiver, provider, due_in, expires_in)| {
                Step::Accept { lane, receiver, provider, due_in, expires_in }
            }
        ),
        2 => (any::<Index>(), 0_usize..2, 0_u64..10, soon()).prop_map(
            |(message, provider, due_in, expires_in)| Step::Resend { message, provider, due_in, expires_in }
        ),
        1 => any::<Index>().prop_map(|message| Step::Cancel { message }),
    ]
}

fn workers_steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u64..3, 0_usize..2, 0_u32..5, 0_u64..15, prop::bool::weighted(0.2)).prop_map(
            |(node, provider, total, lease, quiet)| Step::Claim { node, provider, total, lease, quiet }
        ),
        8 => (any::<Index>(), outcome(), comes(), any::<bool>()).prop_map(
            |(attempt, outcome, next, watch)| Step::Finish { attempt, outcome, next, watch }
        ),
        3 => (any::<Index>(), says(), any::<bool>())
            .prop_map(|(attempt, says, names_attempt)| Step::Receipt { attempt, says, names_attempt }),
        4 => (any::<Index>(), says()).prop_map(|(attempt, says)| Step::Unnamed { attempt, says }),
    ]
}

fn chores_steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1_u64..3, prop::bool::weighted(0.2))
            .prop_map(|(node, only_node)| Step::Recover { node, only_node }),
        4 => (1_u32..5).prop_map(|limit| Step::Look { limit }),
        5 => (any::<Index>(), decision())
            .prop_map(|(watched, verdict)| Step::Decide { watched, verdict }),
        1 => (0_usize..2, 1_u32..4).prop_map(|(from, take)| Step::Divert { from, take }),
        1 => (1_u32..8).prop_map(|limit| Step::Sweep { limit }),
        5 => (1_u64..15).prop_map(Step::Minutes),
        1 => Just(Step::Minutes(130)),
        1 => (1_u64..20).prop_map(Step::Back),
        1 => any::<bool>().prop_map(|closed| Step::Reopen { closed }),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![4 => callers_steps(), 9 => workers_steps(), 8 => chores_steps()];
    prop::collection::vec(step, 20..70)
}
