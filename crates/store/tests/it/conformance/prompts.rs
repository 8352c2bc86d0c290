//! Questions to many: opening, replies, and one outcome each.

use std::time::Duration;

use domain::attempt::ProviderMessageId;
use domain::audit::{Act, Actor};
use domain::event::EventKind;
use domain::ids::{InboundId, PromptId};
use domain::inbound::{Handling, Inbound, Origin};
use domain::message::MessageStatus;
use domain::prompt::{Fate, Kind, Outcome, Policy};
use domain::reply::Answer;
use domain::secret::Body;
use domain::time::Timestamp;
use store::Store;
use store::port::inbound::NewInbound;
use store::port::messages::{Accept, Accepted, Cancel, Idempotency, NewMessage, Obstacle};
use store::port::prompts::{
    ForgetPrompts, LAST_REPLIES, NewPrompt, OpenPrompt, PromptFilter, PromptOpened, PromptRecord, Remind,
    ReplyFate,
};
use store::port::queue::Next;
use store::port::sealing::{Reseal, SealedRow};

use crate::conformance::inbound::{carried, from_phone};
use crate::support::{
    Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, With as _, accepted, caller, end, entropy, message_at,
    not_submitted, operator, receiver, rejected, resend, retry,
};

pub(crate) const DOUBT: Duration = Duration::from_mins(10);

pub(crate) fn prompt_id(n: u64) -> PromptId {
    PromptId::new(NOW, entropy(n))
}

/// The `n`-th prompt, named `WR-n`: an approval by all of the first `asked` receivers, open for a day.
pub(crate) fn approval(n: u64, asked: u64, at: Timestamp) -> OpenPrompt {
    let prompt = NewPrompt {
        id: PromptId::new(at, entropy(n)),
        caller: caller(1),
        kind: Kind::Approval,
        reference: format!("WR-{n}").parse().unwrap(),
        policy: Policy::All,
        veto: true,
        created_at: at,
        closes_at: at.plus(DAY),
        reminders: Vec::new(),
    };
    let messages = (1..=asked).map(|who| question(n, who, at)).collect();
    OpenPrompt { prompt, accept: Accept { messages, idempotency: None, no_repeats_since: None } }
}

fn question(n: u64, who: u64, at: Timestamp) -> NewMessage {
    message_at(n * 1_000 + who, at).with(|message| {
        message.receiver = receiver(who);
        message.body = Body::new(format!("Withdrawal WR-{n}: APPROVE or REJECT?"));
    })
}

/// A message from a phone, brought by the `n`-th call.
pub(crate) fn said(n: u64, who: u64, words: &str, at: Timestamp) -> NewInbound {
    let new = from_phone(n, words, None);
    let inbound = Inbound {
        provider_message_id: ProviderMessageId::new(format!("SMsaid{n}")).unwrap(),
        from: Origin::Phone(receiver(who)),
        received_at: at,
        ..new.inbound
    };
    let (doubt, ask_again_after) = (DOUBT, DOUBT);
    NewInbound { id: InboundId::new(at, entropy(n)), inbound, doubt, ask_again_after, ..new }
}

/// The same call once more, later.
pub(crate) fn again(new: NewInbound, at: Timestamp) -> NewInbound {
    let inbound = Inbound { received_at: at, ..new.inbound };
    NewInbound { id: InboundId::new(at, entropy(u64::MAX)), inbound, ..new }
}

/// What a message from a phone does to prompts.
pub(crate) async fn hear(store: &dyn Store, new: NewInbound) -> ReplyFate {
    store.receive_inbound(new).await.unwrap().fate.unwrap_or(ReplyFate::NotOurs)
}

/// Opens it, and has its messages sent a second later.
pub(crate) async fn ask(store: &dyn Store, open: OpenPrompt) -> PromptId {
    let (id, at) = (open.prompt.id, open.prompt.created_at);
    assert_eq!(store.open_prompt(open).await, Ok(PromptOpened::Accepted(Accepted::Stored)));
    send(store, at.plus(SECOND)).await;
    id
}

async fn send(store: &dyn Store, at: Timestamp) {
    let claimed = store.claim(crate::support::claim(at)).await.unwrap().claimed;
    let ends = claimed.iter().map(|claimed| crate::support::end(claimed, accepted("SM1"), Next::Stop));
    store.finish(ends.collect()).await.unwrap();
}

async fn shown<F: Fixture>(bench: &Bench<F>, id: PromptId) -> PromptRecord {
    bench.prompt(id).await.unwrap().unwrap()
}

async fn outcome<F: Fixture>(bench: &Bench<F>, id: PromptId) -> Option<Outcome> {
    shown(bench, id).await.summary.closed.map(|(_, outcome, _)| outcome)
}

/// The fate and the answer of a reply that is kept, and whether its sender hears of it.
fn kept(fate: ReplyFate) -> (PromptId, Fate, Option<Answer>, bool) {
    match fate {
        ReplyFate::Kept(kept) => (kept.prompt, kept.fate, kept.answer, kept.tell),
        other => panic!("{other:?}"),
    }
}

fn which(fate: &ReplyFate) -> (Vec<String>, bool) {
    match fate {
        ReplyFate::Which { open, ask } => (open.iter().map(|one| one.reference.to_string()).collect(), *ask),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn opened_prompt_reads_back_with_its_messages_queued<F: Fixture>(mut bench: Bench<F>) {
    let mut open = approval(1, 3, NOW);
    open.prompt.reminders = vec![NOW.plus(HOUR), NOW.plus(2 * HOUR)];
    open.prompt.policy = Policy::AtLeast(2);
    let opened = bench.open_prompt(open.clone()).await;
    assert_eq!(opened, Ok(PromptOpened::Accepted(Accepted::Stored)));
    bench.reopen().await;
    let record = shown(&bench, open.prompt.id).await;
    let prompt = &record.summary.prompt;
    assert_eq!((prompt.id, prompt.caller, prompt.kind), (open.prompt.id, caller(1), Kind::Approval));
    assert_eq!((prompt.reference.as_str(), prompt.policy, prompt.veto), ("WR-1", Policy::AtLeast(2), true));
    assert_eq!((prompt.created_at, prompt.closes_at), (NOW, NOW.plus(DAY)));
    assert_eq!(prompt.reminders, open.prompt.reminders);
    assert_eq!(record.summary.closed, None);
    let tally = record.summary.tally;
    assert_eq!((tally.asked, tally.needed, tally.silent()), (3, 2, 3));
    for (place, one) in record.receivers.iter().enumerate() {
        let id = open.accept.messages[place].id();
        assert_eq!(one.receiver, Some(receiver(place as u64 + 1)));
        assert_eq!((one.messages.as_slice(), one.answer), (&[(id, Some(MessageStatus::Queued))][..], None));
    }
    assert_eq!(bench.take(NOW).await.len(), 3);
    assert!(bench.prompt(prompt_id(9)).await.unwrap().is_none());
}

pub(crate) async fn prompt_is_opened_whole_or_not_at_all<F: Fixture>(bench: Bench<F>) {
    let id = ask(&*bench, approval(1, 2, NOW)).await;
    // The same name for one of the receivers, and a message that is there already.
    let mut taken = approval(2, 3, NOW);
    taken.prompt.reference = "wr 1".replace(' ', "/").parse().unwrap();
    assert_eq!(bench.open_prompt(taken).await, Ok(PromptOpened::ReferenceTaken(vec![0, 1])));
    let mut broken = approval(3, 2, NOW);
    broken.accept.messages[1].message.id = shown(&bench, id).await.receivers[0].messages[0].0;
    bench.open_prompt(broken).await.unwrap_err();
    let all = bench.prompts(PromptFilter { limit: 10, ..PromptFilter::default() }).await.unwrap();
    assert_eq!(all.iter().map(|one| one.prompt.id).collect::<Vec<_>>(), [id]);
    assert_eq!(bench.list(store::port::messages::Filter::default()).await.len(), 2);
    // When it is closed, its name may be used again.
    assert_eq!(bench.close_prompt(id, operator(NOW)).await, Ok(Some(true)));
    let mut again = approval(4, 2, NOW);
    again.prompt.reference = "WR-1".parse().unwrap();
    ask(&*bench, again).await;
}

pub(crate) async fn repeated_request_opens_no_second_prompt<F: Fixture>(bench: Bench<F>) {
    let idempotency = |reply: &str| Idempotency {
        key: [1; 32],
        request: [2; 32],
        reply: reply.into(),
        now: NOW,
        since: NOW.minus(DAY),
    };
    let open = |n: u64| {
        let mut open = approval(n, 2, NOW);
        open.accept.idempotency = Some(idempotency(&format!("prompt {n}")));
        open
    };
    assert_eq!(bench.open_prompt(open(1)).await, Ok(PromptOpened::Accepted(Accepted::Stored)));
    let repeated = Ok(PromptOpened::Accepted(Accepted::Repeated("prompt 1".into())));
    assert_eq!(bench.open_prompt(open(2)).await, repeated);
    assert!(bench.prompt(open(2).prompt.id).await.unwrap().is_none());
}

pub(crate) async fn all_approve_and_the_evidence_is_kept<F: Fixture>(mut bench: Bench<F>) {
    bench.keep_events(true).await.unwrap();
    let id = ask(&*bench, approval(1, 2, NOW)).await;
    let first = hear(&*bench, said(1, 1, "  [approve] asante 👍", NOW.plus(MINUTE))).await;
    assert_eq!(kept(first), (id, Fate::Counted, Some(Answer::Approve), true));
    assert_eq!(outcome(&bench, id).await, None);
    hear(&*bench, said(2, 2, "APPROVE wr1", NOW.plus(2 * MINUTE))).await;
    bench.reopen().await;
    let record = shown(&bench, id).await;
    let closed = (NOW.plus(2 * MINUTE), Outcome::Approved, Actor::System);
    assert_eq!(record.summary.closed, Some(closed));
    let replies: Vec<_> = record.replies.iter().map(|one| (one.place, one.words.expose())).collect();
    assert_eq!(replies, [(0, "  [approve] asante 👍"), (1, "APPROVE wr1")]);
    let told = bench.raised_events(10).await.unwrap();
    let kinds: Vec<_> = told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["prompt.replied", "prompt.replied", "prompt.closed"]);
    let data = told[2].data.expose();
    for part in [
        "\"outcome\":\"approved\"",
        "+254712000002",
        "[approve] asante 👍",
        &record.replies[1].id.to_string(),
    ] {
        assert!(data.contains(part), "{data} has no {part}");
    }
}

pub(crate) async fn one_who_rejects_vetoes_and_what_waits_is_not_sent<F: Fixture>(bench: Bench<F>) {
    let mut open = approval(1, 3, NOW);
    open.accept.messages[2].message.scheduled_at = Some(NOW.plus(HOUR));
    let id = ask(&*bench, open).await;
    hear(&*bench, said(1, 2, "Kataa", NOW.plus(MINUTE))).await;
    assert_eq!(outcome(&bench, id).await, Some(Outcome::Rejected));
    let record = shown(&bench, id).await;
    assert_eq!(record.receivers[2].messages[0].1, Some(MessageStatus::Canceled));
    // Too late, and kept.
    let late = hear(&*bench, said(2, 1, "approve WR-1", NOW.plus(2 * MINUTE))).await;
    assert_eq!(kept(late), (id, Fate::Late, Some(Answer::Approve), true));
    let record = shown(&bench, id).await;
    assert_eq!((record.replies.len(), record.summary.tally.approved), (2, 0));
}

pub(crate) async fn last_answer_of_a_person_counts<F: Fixture>(bench: Bench<F>) {
    let mut open = approval(1, 2, NOW);
    open.prompt.veto = false;
    let id = ask(&*bench, open).await;
    let tell = |fate| kept(fate).3;
    let say = |n: u64, words: &'static str, minutes: u32| {
        hear(&*bench, said(n, 1, words, NOW.plus(MINUTE * minutes)))
    };
    assert!(tell(say(1, "reject", 3).await));
    assert!(!tell(say(2, "REJECT!", 4).await), "it changes nothing");
    assert!(tell(say(3, "approve", 5).await));
    // One that came before, and was handled later.
    say(4, "reject", 1).await;
    let record = shown(&bench, id).await;
    assert_eq!((record.summary.tally.approved, record.summary.tally.rejected), (1, 0));
    assert_eq!(record.replies.len(), 4);
    hear(&*bench, said(5, 2, "approve", NOW.plus(6 * MINUTE))).await;
    assert_eq!(outcome(&bench, id).await, Some(Outcome::Approved));
}

pub(crate) async fn same_message_again_counts_once<F: Fixture>(mut bench: Bench<F>) {
    let id = ask(&*bench, approval(1, 1, NOW)).await;
    let reply = said(1, 1, "approve", NOW.plus(MINUTE));
    hear(&*bench, reply.clone()).await;
    bench.reopen().await;
    let received = bench.receive_inbound(again(reply.clone(), NOW.plus(HOUR))).await.unwrap();
    assert_eq!((received.id, received.handling), (reply.id, Handling::Answered));
    assert!(received.is_repeated && received.fate.is_none());
    assert_eq!(shown(&bench, id).await.replies.len(), 1);
}

pub(crate) async fn two_prompts_are_told_apart_or_asked_about<F: Fixture>(bench: Bench<F>) {
    let one = ask(&*bench, approval(1, 2, NOW)).await;
    let two = ask(&*bench, approval(2, 2, NOW.plus(MINUTE))).await;
    let answered = |new| NewInbound { answers: Some(carried()), ..new };
    let asked = hear(&*bench, answered(said(1, 1, "approve", NOW.plus(2 * MINUTE)))).await;
    assert_eq!(which(&asked), (vec!["WR-2".into(), "WR-1".into()], true));
    let again = hear(&*bench, answered(said(2, 1, "approve!!", NOW.plus(3 * MINUTE)))).await;
    assert!(!which(&again).1, "not again so soon");
    let named = hear(&*bench, said(3, 1, "approve WR-2", NOW.plus(4 * MINUTE))).await;
    assert_eq!(kept(named).0, two);
    let unknown = hear(&*bench, said(4, 2, "approve WR-3", NOW.plus(4 * MINUTE))).await;
    assert!(which(&unknown).1);
    let stranger = hear(&*bench, said(5, 7, "approve WR-2", NOW.plus(4 * MINUTE))).await;
    assert_eq!(stranger, ReplyFate::NotOurs);
    assert_eq!((shown(&bench, one).await.replies.len(), shown(&bench, two).await.replies.len()), (0, 1));
}

pub(crate) async fn nobody_answers_before_the_message_left<F: Fixture>(bench: Bench<F>) {
    let open = approval(1, 1, NOW);
    let id = open.prompt.id;
    bench.open_prompt(open).await.unwrap();
    let early = hear(&*bench, said(1, 1, "approve WR-1", NOW.plus(SECOND))).await;
    assert_eq!(early, ReplyFate::NotOurs);
    send(&*bench, NOW.plus(MINUTE)).await;
    let before = hear(&*bench, said(2, 1, "approve WR-1", NOW.plus(30 * SECOND))).await;
    assert_eq!(before, ReplyFate::NotOurs);
    hear(&*bench, said(3, 1, "approve WR-1", NOW.plus(2 * MINUTE))).await;
    assert_eq!(outcome(&bench, id).await, Some(Outcome::Approved));
}

pub(crate) async fn prompt_ends_by_time_and_by_call_once<F: Fixture>(bench: Bench<F>) {
    bench.keep_events(true).await.unwrap();
    let one = ask(&*bench, approval(1, 2, NOW)).await;
    let two = ask(&*bench, approval(2, 2, NOW)).await;
    let over = NOW.plus(DAY);
    assert_eq!(bench.expire_prompts(over.minus(SECOND), 10).await, Ok(0));
    assert_eq!(bench.close_prompt(two, Act { by: Actor::Key(caller(1)), at: NOW }).await, Ok(Some(true)));
    assert_eq!(bench.close_prompt(two, operator(NOW)).await, Ok(Some(false)));
    assert_eq!(bench.close_prompt(prompt_id(9), operator(NOW)).await, Ok(None));
    assert_eq!(bench.expire_prompts(over, 10).await, Ok(1));
    assert_eq!(bench.expire_prompts(over, 10).await, Ok(0));
    assert_eq!(outcome(&bench, one).await, Some(Outcome::Expired));
    let canceled = (NOW, Outcome::Canceled, Actor::Key(caller(1)));
    assert_eq!(shown(&bench, two).await.summary.closed, Some(canceled));
    assert_eq!(bench.raised_events(10).await.unwrap().len(), 2);
}

pub(crate) async fn what_asks_for_a_decision_that_was_made_is_not_sent_again<F: Fixture>(bench: Bench<F>) {
    let open = approval(1, 2, NOW);
    let (id, messages) = (open.prompt.id, [1, 2].map(|who| question(1, who, NOW).id()));
    bench.open_prompt(open).await.unwrap();
    let mut taken = bench.take(NOW).await;
    taken.sort_by_key(|claimed| claimed.submission.message_id);
    bench.finish(vec![end(&taken[1], rejected(), Next::Stop)]).await.unwrap();
    assert_eq!(bench.close_prompt(id, operator(NOW.plus(SECOND))).await, Ok(Some(true)));
    bench.finish(vec![end(&taken[0], not_submitted(), retry(NOW.plus(MINUTE)))]).await.unwrap();
    assert_eq!(bench.status(messages[0]).await, MessageStatus::Canceled);
    let refused = bench.resend(resend(messages[1], NOW.plus(MINUTE))).await.unwrap().unwrap();
    assert_eq!((refused.has_moved(), refused.obstacle), (false, Some(Obstacle::Decided)));
    assert_eq!(bench.status(messages[1]).await, MessageStatus::Failed);
}

pub(crate) async fn reply_after_its_time_ends_a_prompt_that_nobody_closed_yet<F: Fixture>(bench: Bench<F>) {
    let id = ask(&*bench, approval(1, 1, NOW)).await;
    let late = hear(&*bench, said(1, 1, "approve", NOW.plus(DAY))).await;
    assert_eq!(kept(late).1, Fate::Late);
    assert_eq!(outcome(&bench, id).await, Some(Outcome::Expired));
}

pub(crate) async fn those_who_are_silent_are_reminded_once<F: Fixture>(bench: Bench<F>) {
    let mut open = approval(1, 3, NOW);
    open.prompt.reminders = vec![NOW.plus(HOUR), NOW.plus(2 * HOUR), NOW.plus(3 * HOUR)];
    let id = ask(&*bench, open).await;
    hear(&*bench, said(1, 1, "approve", NOW.plus(MINUTE))).await;
    assert!(bench.due_reminders(NOW.plus(59 * MINUTE), 10).await.unwrap().is_empty());
    let now = NOW.plus(HOUR);
    let due = bench.due_reminders(now, 10).await.unwrap();
    let [due] = due.as_slice() else { panic!("{due:?}") };
    assert_eq!((due.prompt, due.remind_at), (id, now));
    let silent: Vec<_> = due.messages.iter().map(|message| message.receiver).collect();
    assert_eq!(silent, [receiver(2), receiver(3)]);
    assert_eq!(due.messages[0].body, Body::new("Withdrawal WR-1: APPROVE or REJECT?"));
    let again = |n: u64| question(100 * n, n, now);
    let messages = vec![(due.messages[0].id, again(2)), (due.messages[1].id, again(3))];
    let remind = Remind { prompt: id, remind_at: now, messages, now };
    // One answers between the look and the deed.
    hear(&*bench, said(2, 2, "approve", now)).await;
    assert_eq!(bench.remind(remind.clone()).await, Ok(vec![again(3).id()]));
    assert_eq!(bench.remind(remind).await, Ok(Vec::new()), "another node has done it");
    let record = shown(&bench, id).await;
    assert_eq!(record.receivers.iter().map(|one| one.messages.len()).collect::<Vec<_>>(), [1, 1, 2]);
    // The second and the third time have passed while nobody looked: one reminder will do.
    let later = NOW.plus(5 * HOUR);
    let due = bench.due_reminders(later, 10).await.unwrap();
    let remind = Remind { prompt: id, remind_at: due[0].remind_at, messages: Vec::new(), now: later };
    bench.remind(remind).await.unwrap();
    assert!(bench.due_reminders(later.plus(DAY), 10).await.unwrap().is_empty());
}

pub(crate) async fn whoever_the_first_message_did_not_leave_for_is_not_reminded<F: Fixture>(bench: Bench<F>) {
    let mut open = approval(1, 3, NOW);
    open.prompt.reminders = vec![NOW.plus(HOUR)];
    let of_the_second = open.accept.messages[1].message.id;
    bench.open_prompt(open).await.unwrap();
    bench
        .cancel(Cancel { messages: vec![of_the_second], by: Actor::Key(caller(1)), now: NOW })
        .await
        .unwrap();
    send(&*bench, NOW.plus(SECOND)).await;
    let due = bench.due_reminders(NOW.plus(HOUR), 10).await.unwrap();
    let reminded: Vec<_> = due[0].messages.iter().map(|message| message.receiver).collect();
    assert_eq!(reminded, [receiver(1), receiver(3)]);
}

pub(crate) async fn words_are_sealed_and_read_under_a_new_key<F: Fixture>(bench: Bench<F>) {
    let id = ask(&*bench, approval(1, 2, NOW)).await;
    hear(&*bench, said(1, 1, "Approve, ndugu", NOW.plus(MINUTE))).await;
    let key = bench.add_data_key(operator(NOW)).await.unwrap();
    bench.use_data_key(key, operator(NOW)).await.unwrap();
    let mut behind = Some(SealedRow::FIRST);
    while let Some(row) = behind {
        behind = bench.reseal(Reseal { behind: row, limit: 2 }).await.unwrap().behind;
    }
    assert_eq!(bench.forget_data_keys(key, operator(NOW)).await, Ok(1));
    assert_eq!(shown(&bench, id).await.replies[0].words, Body::new("Approve, ndugu"));
}

pub(crate) async fn what_is_old_is_forgotten_and_what_is_open_stays<F: Fixture>(bench: Bench<F>) {
    let old = ask(&*bench, approval(1, 1, NOW)).await;
    hear(&*bench, said(1, 1, "approve", NOW.plus(MINUTE))).await;
    let mut open = approval(2, 1, NOW.plus(HOUR));
    open.prompt.closes_at = NOW.plus(300 * DAY);
    let open = ask(&*bench, open).await;
    hear(&*bench, said(2, 1, "not approve WR-2", NOW.plus(2 * HOUR))).await;
    let forget = |prompts, words| ForgetPrompts { prompts_before: prompts, words_before: words, limit: 10 };
    let later = NOW.plus(DAY);
    assert_eq!(bench.forget_prompts(forget(None, Some(later))).await, Ok(true));
    let words = |record: PromptRecord| record.replies[0].words.clone();
    assert!(words(shown(&bench, old).await).is_erased());
    assert_eq!(words(shown(&bench, open).await), Body::new("not approve WR-2"));
    assert_eq!(bench.forget_prompts(forget(Some(later), None)).await, Ok(true));
    assert!(bench.prompt(old).await.unwrap().is_none());
    assert!(bench.prompt(open).await.unwrap().is_some());
}

pub(crate) async fn person_that_is_forgotten_is_in_no_prompt<F: Fixture>(bench: Bench<F>) {
    let mut open = approval(1, 2, NOW);
    open.prompt.veto = false;
    let id = ask(&*bench, open).await;
    hear(&*bench, said(1, 1, "approve", NOW.plus(MINUTE))).await;
    bench.forget_receiver(receiver(1), operator(NOW)).await.unwrap();
    let record = shown(&bench, id).await;
    assert_eq!((record.receivers[0].receiver, record.receivers[0].answer), (None, Some(Answer::Approve)));
    assert!(record.replies[0].words.is_erased());
    let after = hear(&*bench, said(2, 1, "reject WR-1", NOW.plus(2 * MINUTE))).await;
    assert_eq!(after, ReplyFate::NotOurs);
    hear(&*bench, said(3, 2, "approve", NOW.plus(3 * MINUTE))).await;
    assert_eq!(outcome(&bench, id).await, Some(Outcome::Approved));
}

pub(crate) async fn prompts_are_listed_newest_first<F: Fixture>(bench: Bench<F>) {
    let at = |n: u32| NOW.plus(MINUTE * n);
    let mut ids = Vec::new();
    for n in 1..=3_u32 {
        ids.push(ask(&*bench, approval(n.into(), 2, at(n))).await);
    }
    bench.close_prompt(ids[1], operator(at(9))).await.unwrap();
    let list = async |filter: PromptFilter| -> Vec<PromptId> {
        let found = bench.prompts(PromptFilter { limit: 2, ..filter }).await.unwrap();
        found.iter().map(|one| one.prompt.id).collect()
    };
    assert_eq!(list(PromptFilter::default()).await, [ids[2], ids[1]]);
    assert_eq!(list(PromptFilter { after: Some(ids[1]), ..PromptFilter::default() }).await, [ids[0]]);
    assert_eq!(list(PromptFilter { is_open: Some(true), ..PromptFilter::default() }).await, [ids[2], ids[0]]);
    assert_eq!(list(PromptFilter { is_open: Some(false), ..PromptFilter::default() }).await, [ids[1]]);
    assert!(list(PromptFilter { caller: Some(caller(2)), ..PromptFilter::default() }).await.is_empty());
}

/// Of answers that race each other on three nodes, one decides.
pub(crate) async fn racing_replies_leave_one_outcome_and_one_event<F: Fixture>(bench: Bench<F>) {
    bench.keep_events(true).await.unwrap();
    let nodes = if bench.is_shared() {
        [
            bench.fixture.open_beside().await,
            bench.fixture.open_beside().await,
            bench.fixture.open_beside().await,
        ]
    } else {
        [(); 3].map(|()| std::sync::Arc::clone(&bench.store))
    };
    for round in 1..=6_u64 {
        let at = NOW.plus(HOUR * u32::try_from(round).unwrap());
        let mut open = approval(round, 6, at);
        open.prompt.policy = Policy::AtLeast(2);
        let id = ask(&*bench, open).await;
        let replies = (1..=6_u64).map(|who| {
            let word = if who % 2 == 0 { "approve" } else { "reject" };
            let reply = said(round * 10 + who, who, &format!("{word} WR-{round}"), at.plus(MINUTE));
            let node = std::sync::Arc::clone(&nodes[usize::try_from(who).unwrap() % 3]);
            async move { hear(&*node, reply).await }
        });
        let fates = futures_util::future::join_all(replies).await;
        let counted = fates.into_iter().filter(|fate| kept(fate.clone()).1 == Fate::Counted).count();
        let record = shown(&bench, id).await;
        assert_eq!(record.replies.len(), 6);
        assert_eq!(record.replies.iter().filter(|reply| reply.fate == Fate::Counted).count(), counted);
        let tally = record.summary.tally;
        let (_, outcome, _) = record.summary.closed.unwrap();
        assert_eq!(tally.outcome(record.summary.prompt.policy, true), Some(outcome));
        let told = bench.raised_events(100).await.unwrap();
        let closed = told
            .iter()
            .filter(|one| one.kind == EventKind::PromptClosed.as_str() && one.subject == *id.as_bytes());
        assert_eq!(closed.count(), 1);
    }
}

pub(crate) async fn whoever_writes_again_and_again_fills_nothing<F: Fixture>(bench: Bench<F>) {
    bench.keep_events(true).await.unwrap();
    let mut open = approval(1, 2, NOW);
    open.prompt.veto = false;
    let id = ask(&*bench, open).await;
    let first = hear(&*bench, said(1, 1, "I approve", NOW.plus(MINUTE))).await;
    assert_eq!(kept(first).1, Fate::Counted);
    let words = "approve or not".repeat(100);
    for n in 2..=40 {
        let unclear = hear(&*bench, said(n, 1, &words, NOW.plus(MINUTE * u32::try_from(n).unwrap()))).await;
        assert_eq!(kept(unclear).1, Fate::Unclear);
    }
    let record = shown(&bench, id).await;
    // The first, which stands, and the last ones.
    let numbers: Vec<_> = record.replies.iter().map(|reply| reply.id).collect();
    let last = (41 - LAST_REPLIES as u64..=40)
        .map(|n| said(n, 1, "", NOW.plus(MINUTE * u32::try_from(n).unwrap())).id);
    assert_eq!(numbers, [said(1, 1, "", NOW.plus(MINUTE)).id].into_iter().chain(last).collect::<Vec<_>>());
    assert_eq!((record.receivers[0].answer, record.receivers[0].left_out), (Some(Answer::Approve), 19));
    assert_eq!(record.receivers[1].left_out, 0);
    hear(&*bench, said(50, 2, "approve", NOW.plus(HOUR))).await;
    assert_eq!(outcome(&bench, id).await, Some(Outcome::Approved));
    let told = bench.raised_events(100).await.unwrap();
    let closed = told.iter().find(|one| one.kind == EventKind::PromptClosed.as_str()).unwrap();
    assert!(closed.data.expose().contains("\"replies_left_out\":19"));
}

pub(crate) async fn prompt_that_is_open_is_seen_behind_many_that_are_closed<F: Fixture>(bench: Bench<F>) {
    let first = ask(&*bench, approval(1, 1, NOW)).await;
    let store = &bench.store;
    let others = (2..=205_u64).map(|n| async move {
        let open = approval(n, 1, NOW.plus(SECOND));
        let id = open.prompt.id;
        store.open_prompt(open).await.unwrap();
        store.close_prompt(id, operator(NOW.plus(SECOND))).await.unwrap();
    });
    futures_util::future::join_all(others).await;
    let mut same = approval(300, 1, NOW.plus(MINUTE));
    same.prompt.reference = "WR-1".parse().unwrap();
    assert_eq!(bench.open_prompt(same).await, Ok(PromptOpened::ReferenceTaken(vec![0])));
    let answered = hear(&*bench, said(1, 1, "approve WR-1", NOW.plus(MINUTE))).await;
    assert_eq!(kept(answered), (first, Fate::Counted, Some(Answer::Approve), true));
    // What it was told of late is known still.
    let late = hear(&*bench, said(2, 1, "reject WR-1", NOW.plus(2 * MINUTE))).await;
    assert_eq!(kept(late).1, Fate::Late);
}
