//! Random conversations about two prompts with two approvers, beside what must be true of all of them: no reply ever counts for
//! another prompt than the one that its sender meant, and each prompt has one outcome.
//!
//! Each approver means one prompt with each reply, and writes its name or leaves it out. Replies come twice, late, against each
//! other, on two nodes at once, and again after the node that took one has died before it could say so. The one thing that
//! the model grants is stated in `domain::prompt::binding`: whoever writes a word without a name means something that was
//! open within the last ten minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::attempt::{Attempt, SubmitOutcome};
use domain::event::EventKind;
use domain::ids::{InboundId, PromptId};
use domain::prompt::{Fate, Kind, Outcome, Policy, Tally};
use domain::reply::Answer;
use domain::time::Timestamp;
use proptest::prelude::*;
use store::Store;
use store::port::inbound::NewInbound;
use store::port::prompts::{OpenPrompt, PromptOpened, PromptRecord};
use store::port::queue::Next;

use crate::conformance::prompts::{DOUBT, again, approval, hear, said};
use crate::support::{
    Bench, Fixture, MINUTE, NOW, PostgresFixture, SqliteFixture, accepted, claim, end, not_submitted,
    operator,
};

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// A prompt is opened, if it was not before.
    Open { prompt: usize, policy: Policy, veto: bool, invite: bool, minutes: u32 },
    /// What waits is sent; some of it does not leave.
    Send { leaves: bool },
    /// An approver writes and the message comes in.
    Write { who: u64, means: usize, approve: bool, named: bool, on: usize },
    /// Both write at the same moment, on two nodes.
    Race { means: usize, approve: [bool; 2], named: bool },
    /// A message that came before comes again.
    Again { which: prop::sample::Index, on: usize },
    /// Somebody closes a prompt.
    Close { prompt: usize },
    /// The chore looks for those whose time is over.
    Expire,
    /// Time passes.
    Minutes(u32),
    /// The node dies; what it had committed is there, and whatever it was asked last it is asked again.
    Crash,
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Any), Just(Policy::All), Just(Policy::AtLeast(2))]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let open = (0..2_usize, policies(), any::<bool>(), any::<bool>(), 5..90_u32).prop_map(
        |(prompt, policy, veto, invite, minutes)| Step::Open { prompt, policy, veto, invite, minutes },
    );
    let write = (1..=2_u64, 0..2_usize, any::<bool>(), any::<bool>(), 0..2_usize)
        .prop_map(|(who, means, approve, named, on)| Step::Write { who, means, approve, named, on });
    let race = (0..2_usize, any::<[bool; 2]>(), any::<bool>())
        .prop_map(|(means, approve, named)| Step::Race { means, approve, named });
    let again = (any::<prop::sample::Index>(), 0..2_usize).prop_map(|(which, on)| Step::Again { which, on });
    let step = prop_oneof![
        3 => open,
        4 => any::<bool>().prop_map(|leaves| Step::Send { leaves }),
        9 => write,
        2 => race,
        3 => again,
        1 => (0..2_usize).prop_map(|prompt| Step::Close { prompt }),
        1 => Just(Step::Expire),
        4 => (1..25_u32).prop_map(Step::Minutes),
        2 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 5..45)
}

/// A reply, and what its sender meant.
#[derive(Clone)]
struct Written {
    reply: NewInbound,
    means: PromptId,
    answer: Answer,
}

struct Conversation<F> {
    bench: Bench<F>,
    now: Timestamp,
    numbers: u64,
    prompts: [Option<OpenPrompt>; 2],
    written: Vec<Written>,
    outcomes: BTreeMap<PromptId, (Timestamp, Outcome)>,
}

impl<F: Fixture> Conversation<F> {
    async fn new() -> Self {
        let bench = Bench::<F>::new().await;
        bench.keep_events(true).await.unwrap();
        let (written, outcomes) = (Vec::new(), BTreeMap::new());
        Self { bench, now: NOW, numbers: 0, prompts: [None, None], written, outcomes }
    }

    async fn play(&mut self, step: &Step) {
        match step {
            Step::Open { prompt, policy, veto, invite, minutes } => {
                self.open(*prompt, *policy, *veto, *invite, *minutes).await;
            }
            Step::Send { leaves } => self.send(*leaves).await,
            Step::Write { who, means, approve, named, on } => {
                if let Some(new) = self.write(*who, *means, *approve, *named).await {
                    hear(&*self.node(*on).await, new.reply.clone()).await;
                    self.written.push(new);
                }
            }
            Step::Race { means, approve, named } => self.race(*means, *approve, *named).await,
            Step::Again { which, on } => self.again(which, *on).await,
            Step::Close { prompt } => {
                if let Some(open) = &self.prompts[*prompt] {
                    self.bench.close_prompt(open.prompt.id, operator(self.now)).await.unwrap();
                }
            }
            Step::Expire => _ = self.bench.expire_prompts(self.now, 10).await.unwrap(),
            Step::Minutes(minutes) => self.now = self.now.plus(MINUTE * *minutes),
            Step::Crash => self.crash().await,
        }
        // Each thing at a moment of its own.
        self.now = self.now.plus(crate::support::SECOND);
    }

    async fn node(&self, number: usize) -> Arc<dyn Store> {
        if number == 1 && self.bench.is_shared() {
            self.bench.fixture.open_beside().await
        } else {
            Arc::clone(&self.bench.store)
        }
    }

    async fn open(&mut self, which: usize, policy: Policy, veto: bool, invite: bool, minutes: u32) {
        if self.prompts[which].is_some() {
            return;
        }
        let mut open = approval(which as u64 + 1, 2, self.now);
        open.prompt.policy = policy;
        open.prompt.veto = veto;
        open.prompt.kind = if invite { Kind::Invite } else { Kind::Approval };
        open.prompt.closes_at = self.now.plus(MINUTE * minutes);
        let opened = self.bench.open_prompt(open.clone()).await.unwrap();
        assert!(matches!(opened, PromptOpened::Accepted(_)), "{opened:?}");
        self.prompts[which] = Some(open);
    }

    async fn send(&self, leaves: bool) {
        let claimed = self.bench.claim(claim(self.now)).await.unwrap().claimed;
        let ends = claimed.iter().enumerate().map(|(at, claimed)| {
            let outcome = if leaves || at % 2 == 0 { accepted("SM1") } else { not_submitted() };
            end(claimed, outcome, Next::Stop)
        });
        self.bench.finish(ends.collect()).await.unwrap();
    }

    /// What an approver writes who means a prompt: nothing if that was not sent yet, and no lone word for what ended long ago.
    async fn write(&mut self, who: u64, means: usize, approve: bool, named: bool) -> Option<Written> {
        let open = self.prompts[means].clone()?;
        let record = self.bench.prompt(open.prompt.id).await.unwrap().unwrap();
        let asked = &record.receivers[usize::try_from(who).unwrap() - 1];
        let (message, _) = asked.messages[0];
        let attempts = self.bench.show(message).await.attempts;
        let may_have_left =
            |attempt: &Attempt| !matches!(attempt.ended, Some((_, SubmitOutcome::NotSubmitted { .. })));
        if !attempts.iter().any(may_have_left) {
            return None;
        }
        let closed_at = record.summary.closed.map_or(self.now, |(at, ..)| at);
        let is_in_mind = closed_at.min(open.prompt.closes_at).plus(DOUBT) >= self.now;
        let named = named || !is_in_mind;
        let word = match (open.prompt.kind, approve) {
            (Kind::Approval, true) => "Approve",
            (Kind::Approval, false) => "reject!",
            (Kind::Invite, true) => "Kubali",
            (Kind::Invite, false) => "hapana",
        };
        let text = if named { format!("{word} {}", open.prompt.reference) } else { word.to_owned() };
        self.numbers += 1;
        let answer = if approve { Answer::Approve } else { Answer::Reject };
        let reply = said(self.numbers, who, &text, self.now);
        Some(Written { reply, means: open.prompt.id, answer })
    }

    async fn race(&mut self, means: usize, approve: [bool; 2], named: bool) {
        let first = self.write(1, means, approve[0], named).await;
        let second = self.write(2, means, approve[1], named).await;
        let (Some(first), Some(second)) = (first, second) else { return };
        let nodes = [self.node(0).await, self.node(1).await];
        tokio::join!(hear(&*nodes[0], first.reply.clone()), hear(&*nodes[1], second.reply.clone()));
        self.written.extend([first, second]);
    }

    async fn again(&mut self, which: &prop::sample::Index, on: usize) {
        if self.written.is_empty() {
            return;
        }
        let reply = which.get(&self.written).reply.clone();
        let node = self.node(on).await;
        self.repeat(&*node, reply).await;
    }

    async fn repeat(&self, node: &dyn Store, reply: NewInbound) {
        let first = reply.id;
        let received = node.receive_inbound(again(reply, self.now)).await.unwrap();
        assert_eq!((received.id, received.is_repeated, received.fate), (first, true, None));
    }

    /// What was answered is lost on its way: whoever asked asks again.
    async fn crash(&mut self) {
        self.bench.reopen().await;
        if let Some(last) = self.written.last().cloned() {
            self.repeat(&*self.bench.store, last.reply).await;
        }
    }

    async fn check(&mut self) {
        let told = self.bench.raised_events(1_000).await.unwrap();
        let mut kept = BTreeSet::new();
        for open in self.prompts.clone().into_iter().flatten() {
            let record = self.bench.prompt(open.prompt.id).await.unwrap().unwrap();
            for reply in &record.replies {
                assert!(kept.insert(reply.id), "a reply is kept twice");
                self.check_reply(&record, reply.id, reply.fate, reply.answer);
            }
            self.check_outcome(&open, &record);
            let closed = told.iter().filter(|event| {
                event.kind == EventKind::PromptClosed.as_str() && event.subject == *open.prompt.id.as_bytes()
            });
            assert_eq!(closed.count(), usize::from(record.summary.closed.is_some()));
        }
    }

    fn check_reply(&self, record: &PromptRecord, id: InboundId, fate: Fate, answer: Option<Answer>) {
        let written = self.written.iter().find(|written| written.reply.id == id).unwrap();
        assert_eq!(record.summary.prompt.id, written.means, "a reply is about another prompt than was meant");
        assert_eq!(answer, Some(written.answer));
        let at = written.reply.inbound.received_at;
        if fate == Fate::Counted {
            assert!(at < record.summary.prompt.closes_at);
            assert!(record.summary.closed.as_ref().is_none_or(|(closed, ..)| at <= *closed));
        }
    }

    fn check_outcome(&mut self, open: &OpenPrompt, record: &PromptRecord) {
        let mut last: BTreeMap<usize, (Timestamp, InboundId, Answer)> = BTreeMap::new();
        for reply in record.replies.iter().filter(|reply| reply.fate == Fate::Counted) {
            let answered = (reply.received_at, reply.id, reply.answer.unwrap());
            let known = last.entry(reply.place).or_insert(answered);
            *known = (*known).max(answered);
        }
        let tally = Tally::of(open.prompt.policy, 2, last.into_values().map(|(_, _, answer)| answer));
        assert_eq!(record.summary.tally, tally);
        let by_policy = tally.outcome(open.prompt.policy, open.prompt.veto);
        let Some((at, outcome, _)) = record.summary.closed.clone() else {
            assert_eq!(by_policy, None, "it should have been closed");
            assert!(!self.outcomes.contains_key(&open.prompt.id));
            return;
        };
        match outcome {
            Outcome::Approved | Outcome::Rejected => assert_eq!(by_policy, Some(outcome)),
            Outcome::Expired => assert!(by_policy.is_none() && at >= open.prompt.closes_at),
            Outcome::Canceled => assert_eq!(by_policy, None),
        }
        let first = *self.outcomes.entry(open.prompt.id).or_insert((at, outcome));
        assert_eq!(first, (at, outcome), "a prompt has one outcome");
    }
}

fn converse<F: Fixture>(conversations: u32) {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: conversations,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let mut conversation = Conversation::<F>::new().await;
            for step in &steps {
                conversation.play(step).await;
                conversation.check().await;
            }
        });
        Ok(())
    });
    if let Err(problem) = result {
        panic!("{problem}");
    }
}

#[test]
fn no_reply_counts_for_another_prompt_and_each_has_one_outcome_on_sqlite() {
    converse::<SqliteFixture>(48);
}

#[test]
fn no_reply_counts_for_another_prompt_and_each_has_one_outcome_on_postgresql() {
    converse::<PostgresFixture>(12);
}
