//! A provider that does as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::attempt::{Acceptance, ProviderMessageId, Submission, SubmitOutcome};
use domain::route::ProviderName;
use providers::SmsProvider;
use providers::pace::Pace;
use providers::provider::Capabilities;

/// What it does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Conduct {
    /// Takes every message, and answers for this many fewer.
    Fewer(usize),
    /// Takes every message, and answers for this many more.
    More(usize),
    /// Panics.
    Panic,
}

/// A provider called `odd`.
#[derive(Debug)]
pub(crate) struct Odd {
    name: ProviderName,
    pace: Pace,
    conduct: Conduct,
    /// How many messages it was given.
    pub(crate) given: AtomicUsize,
}

impl Odd {
    pub(crate) fn new(conduct: Conduct) -> Self {
        let pace = Pace {
            messages_per_second: 0,
            sender_messages_per_second: 0,
            bulk_batch_size: 0,
            bulk_batch_interval_ms: 0,
            max_receivers_per_request: 10,
            max_in_flight: 4,
            connect_timeout_ms: 1_000,
            request_timeout_ms: 2_000,
        };
        Self { name: "odd".parse().unwrap(), pace, conduct, given: AtomicUsize::new(0) }
    }

    fn take(&self) -> SubmitOutcome {
        let number = self.given.fetch_add(1, Ordering::SeqCst);
        let provider_message_id = ProviderMessageId::new(format!("odd-{number}")).unwrap();
        SubmitOutcome::Accepted(Acceptance { provider_message_id, segments: None, cost: None })
    }
}

#[async_trait]
impl SmsProvider for Odd {
    fn provider_name(&self) -> &ProviderName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { callbacks_name_our_message: false, finds_submissions: false, reports_delivery: false }
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    async fn send_sms(&self, _submission: &Submission) -> SubmitOutcome {
        let outcome = self.take();
        assert!(!matches!(self.conduct, Conduct::Panic), "this provider panics");
        outcome
    }

    async fn send_bulk_sms(&self, submissions: &[Submission]) -> Vec<SubmitOutcome> {
        let mut outcomes: Vec<_> = submissions.iter().map(|_| self.take()).collect();
        match self.conduct {
            Conduct::Fewer(missing) => outcomes.truncate(submissions.len().saturating_sub(missing)),
            Conduct::More(more) => outcomes.extend((0..more).map(|_| self.take())),
            Conduct::Panic => panic!("this provider panics"),
        }
        outcomes
    }
}
