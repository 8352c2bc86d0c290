//! Messages from phones: stored once, heard in order, and kept for their time.

use std::sync::Arc;

use domain::audit::Actor;
use domain::consent::{Class, Extent, Keyword, Question};
use domain::ids::{ConsentId, InboundId};
use domain::inbound::{Handling, Inbound, Origin};
use domain::prompt::Kind;
use domain::quota::{Allowance, Draw};
use domain::secret::Body;
use store::port::consent::ChangeConsent;
use store::port::history::KeepHistory;
use store::port::inbound::{Answers, Became, InboundFilter, InboundRecord, NewInbound, Received, Reply};
use store::port::prompts::ReplyFate;
use store::port::sealing::EraseTexts;

use super::consent::opt_out;
use super::prompts::{approval, ask, prompt_id};
use crate::support::{
    Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, With as _, caller, entropy, message, operator, provider,
    receiver,
};

/// The `n`-th message from a phone, which the provider calls by that number.
pub(crate) fn from_phone(n: u64, text: &str, keyword: Option<Keyword>) -> NewInbound {
    let received_at = NOW.plus(SECOND * u32::try_from(n).unwrap());
    NewInbound {
        id: InboundId::new(received_at, entropy(n)),
        inbound: Inbound {
            provider: provider("twilio"),
            provider_message_id: domain::attempt::ProviderMessageId::new(format!("SMin{n}")).unwrap(),
            from: Origin::Phone(receiver(n)),
            to: "+12025550123".into(),
            body: Body::new(text),
            segments: Some(1),
            understood: None,
            received_at,
        },
        keyword,
        about: None,
        consent_id: ConsentId::new(received_at, entropy(n)),
        caller: None,
        word: None,
        raw: format!("Body={text}").into_bytes(),
        answers: None,
        doubt: HOUR,
        ask_again_after: HOUR,
    }
}

pub(crate) fn all() -> InboundFilter {
    InboundFilter { limit: 100, ..InboundFilter::default() }
}

async fn list<F: Fixture>(bench: &Bench<F>, filter: InboundFilter) -> Vec<InboundRecord> {
    bench.inbound(filter).await.unwrap()
}

async fn ids<F: Fixture>(bench: &Bench<F>, filter: InboundFilter) -> Vec<InboundId> {
    list(bench, filter).await.into_iter().map(|record| record.id).collect()
}

pub(crate) async fn message_from_a_phone_reads_back_with_every_character<F: Fixture>(mut bench: Bench<F>) {
    let texts = ["", "\0", "a\0b", "👍🏽 poa", "שלום\u{202e}", "مرحبا", &"é".repeat(1_600), "Habari\r\n\t"];
    for (n, text) in (1..).zip(texts) {
        let new =
            NewInbound { word: Some("LOAN".into()), caller: Some(caller(7)), ..from_phone(n, text, None) };
        let received = bench.receive_inbound(new.clone()).await.unwrap();
        let expected = Received {
            id: new.id,
            handling: Handling::PassedOn,
            is_repeated: false,
            is_answered: false,
            reply: None,
            fate: None,
        };
        assert_eq!(received, expected);
    }
    bench.reopen().await;
    let found = list(&bench, all()).await;
    assert_eq!(found.len(), texts.len());
    for (record, (n, text)) in found.iter().rev().zip((1..).zip(texts)) {
        assert_eq!(record.body, Some(Body::new(text)), "{n}");
        let new = from_phone(n, text, None);
        assert_eq!(record.from, new.inbound.from);
        assert_eq!((record.id, record.received_at), (new.id, new.inbound.received_at));
        assert_eq!((record.to.as_str(), record.segments), ("+12025550123", Some(1)));
        assert_eq!(
            (record.caller, record.word.as_deref(), record.keyword),
            (Some(caller(7)), Some("LOAN"), None)
        );
    }
}

pub(crate) async fn name_that_is_no_phone_is_kept_and_asks_for_nothing<F: Fixture>(bench: Bench<F>) {
    let mut new = from_phone(1, "STOP", Some(Keyword::Stop));
    new.inbound.from = Origin::Other(Body::new("MTN"));
    assert_eq!(bench.receive_inbound(new.clone()).await.unwrap().handling, Handling::PassedOn);
    assert_eq!(list(&bench, all()).await[0].from, new.inbound.from);
    assert_eq!(bench.fixture.counts(vec!["SELECT count(*) FROM consents".into()]), [0]);
}

pub(crate) async fn repeated_callback_is_known_and_changes_nothing<F: Fixture>(bench: Bench<F>) {
    let first = from_phone(1, "STOP", Some(Keyword::Stop));
    let stopped = bench.receive_inbound(first.clone()).await.unwrap();
    assert_eq!((stopped.handling, stopped.is_repeated), (Handling::OptedOut, false));
    // In between, the person has come back.
    bench
        .receive_inbound(NewInbound {
            inbound: Inbound { from: Origin::Phone(receiver(1)), ..from_phone(2, "START", None).inbound },
            ..from_phone(2, "START", Some(Keyword::Start))
        })
        .await
        .unwrap();
    let again = NewInbound { id: from_phone(9, "", None).id, ..first.clone() };
    let repeated = bench.receive_inbound(again).await.unwrap();
    let expected = Received {
        id: first.id,
        handling: Handling::OptedOut,
        is_repeated: true,
        is_answered: false,
        reply: None,
        fate: None,
    };
    assert_eq!(repeated, expected);
    let counts = ["inbound", "consents", "opt_outs"].map(|table| format!("SELECT count(*) FROM {table}"));
    assert_eq!(bench.fixture.counts(counts.to_vec()), [2, 2, 0]);
    // The same id from somebody else is another message.
    let mut other = from_phone(1, "STOP", Some(Keyword::Stop));
    (other.inbound.provider, other.id) = (provider("africastalking"), from_phone(8, "", None).id);
    other.consent_id = from_phone(8, "", None).consent_id;
    assert!(!bench.receive_inbound(other).await.unwrap().is_repeated);
}

pub(crate) async fn of_equal_callbacks_at_once_one_is_stored<F: Fixture>(bench: Bench<F>) {
    let store = &bench.store;
    let receive = (1..=20).map(|n| async move {
        let id = InboundId::new(NOW, entropy(n));
        let new = NewInbound { id, ..from_phone(1, "STOP", Some(Keyword::Stop)) };
        store.receive_inbound(new).await.unwrap()
    });
    let received = futures_util::future::join_all(receive).await;
    assert_eq!(received.iter().filter(|it| !it.is_repeated).count(), 1);
    assert!(received.iter().all(|it| it.id == received[0].id && it.handling == Handling::OptedOut));
}

pub(crate) async fn yes_is_an_opt_in_only_for_who_has_opted_out<F: Fixture>(bench: Bench<F>) {
    let yes = |n| {
        let mut new = from_phone(n, "YES", Some(Keyword::Resume));
        new.inbound.from = Origin::Phone(receiver(1));
        new
    };
    assert_eq!(bench.receive_inbound(yes(1)).await.unwrap().handling, Handling::PassedOn);
    let stop = NewInbound {
        inbound: Inbound { from: Origin::Phone(receiver(1)), ..from_phone(2, "STOP", None).inbound },
        ..from_phone(2, "STOP", Some(Keyword::Stop))
    };
    bench.receive_inbound(stop).await.unwrap();
    let question = || Question::about(Class::Service, []).unwrap();
    assert!(bench.held_back(receiver(1), question()).await.unwrap().is_some());
    assert_eq!(bench.receive_inbound(yes(3)).await.unwrap().handling, Handling::OptedIn);
    assert!(bench.held_back(receiver(1), question()).await.unwrap().is_none());
    let help = from_phone(4, "HELP", Some(Keyword::Help));
    assert_eq!(bench.receive_inbound(help).await.unwrap().handling, Handling::Helped);
}

pub(crate) async fn messages_from_phones_are_found_by_each_condition<F: Fixture>(bench: Bench<F>) {
    for n in 1..=5 {
        let mut new = from_phone(n, "Habari", None);
        new.caller = (n == 2).then(|| caller(1)).or((n == 3).then(|| caller(2)));
        if n == 4 {
            new.inbound.to = "21512".into();
        }
        new.keyword = (n == 5).then_some(Keyword::Help);
        bench.receive_inbound(new).await.unwrap();
    }
    let id = |n| from_phone(n, "", None).id;
    assert_eq!(ids(&bench, all()).await, [id(5), id(4), id(3), id(2), id(1)]);
    let page = InboundFilter { after: Some(id(4)), limit: 2, ..all() };
    assert_eq!(ids(&bench, page).await, [id(3), id(2)]);
    assert_eq!(ids(&bench, InboundFilter { from: Some(receiver(2)), ..all() }).await, [id(2)]);
    assert_eq!(ids(&bench, InboundFilter { id: Some(id(3)), ..all() }).await, [id(3)]);
    assert_eq!(ids(&bench, InboundFilter { to: Some("21512".into()), ..all() }).await, [id(4)]);
    assert_eq!(ids(&bench, InboundFilter { handling: Some(Handling::Helped), ..all() }).await, [id(5)]);
    let within =
        InboundFilter { since: Some(NOW.plus(2 * SECOND)), until: Some(NOW.plus(4 * SECOND)), ..all() };
    assert_eq!(ids(&bench, within).await, [id(3), id(2)]);
    assert_eq!(ids(&bench, InboundFilter { caller: Some(caller(1)), ..all() }).await, [id(2)]);
}

pub(crate) async fn texts_from_phones_go_when_texts_go_and_the_rest_when_messages_go<F: Fixture>(
    bench: Bench<F>,
) {
    for n in 1..=3 {
        bench.receive_inbound(from_phone(n, "Habari", None)).await.unwrap();
    }
    let erase = |accepted_before| EraseTexts {
        now: NOW.plus(30 * DAY),
        accepted_before: Some(accepted_before),
        codes_before: NOW,
        limit: 2,
    };
    let before = NOW.plus(2 * SECOND + MINUTE / 120);
    let mut erased = 0;
    loop {
        let part = bench.erase_texts(erase(before)).await.unwrap();
        erased += part.texts;
        if part.is_done {
            break;
        }
    }
    assert_eq!(erased, 2);
    let texts: Vec<_> = list(&bench, all()).await.into_iter().map(|record| record.body).collect();
    assert_eq!(texts, [Some(Body::new("Habari")), None, None]);
    let keep = KeepHistory {
        now: NOW.plus(90 * DAY),
        messages_since: Some(before),
        replies_since: NOW,
        audit_since: NOW.minus(DAY),
        limit: 1,
    };
    while !bench.keep_history(keep).await.unwrap().is_done {}
    assert_eq!(ids(&bench, all()).await, [from_phone(3, "", None).id]);
}

pub(crate) async fn person_is_forgotten_and_the_opt_out_goes_on<F: Fixture>(bench: Bench<F>) {
    bench.receive_inbound(from_phone(1, "STOP", Some(Keyword::Stop))).await.unwrap();
    bench.receive_inbound(from_phone(2, "STOP", Some(Keyword::Stop))).await.unwrap();
    let forgotten = bench.forget_receiver(receiver(1), operator(NOW.plus(HOUR))).await.unwrap();
    assert_eq!((forgotten.inbound, forgotten.messages), (1, 0));
    assert_eq!(ids(&bench, all()).await, [from_phone(2, "", None).id]);
    let question = Question::about(Class::Promotional, []).unwrap();
    assert!(bench.held_back(receiver(1), question).await.unwrap().is_some());
    let history = bench.consent_history(receiver(1), 10).await.unwrap();
    assert_eq!((history.len(), history[0].number, history[0].inbound_id), (1, None, None));
    assert_eq!(history[0].detail.as_deref(), Some("stop"));
}

pub(crate) async fn note_of_a_caller_goes_with_the_person<F: Fixture>(bench: Bench<F>) {
    let noted = opt_out(1, None, Extent::All);
    let change = ChangeConsent { changes: vec![noted], by: Actor::Key(caller(1)) };
    bench.change_consent(change).await.unwrap();
    let note = async || bench.consent_history(receiver(1), 10).await.unwrap()[0].detail.clone();
    assert_eq!(note().await.as_deref(), Some("asked at the counter"));
    bench.forget_receiver(receiver(1), operator(NOW.plus(HOUR))).await.unwrap();
    assert_eq!(note().await, None);
}

/// Answers always the same, where this became of a message.
#[derive(Debug, Clone)]
struct Answering {
    when: Handling,
    reply: Reply,
}

impl Answers for Answering {
    fn to(&self, became: &Became<'_>) -> Option<Reply> {
        (became.handling == self.when).then(|| self.reply.clone())
    }
}

/// Whatever answers a prompt is answered by what its provider is told.
pub(crate) fn carried() -> Arc<dyn Answers> {
    let answering = answering(Handling::Answered, &[&[]]);
    Arc::new(Answering { reply: Reply { is_carried: true, ..answering.reply }, ..answering })
}

/// Draws each of these quotas, or the next.
fn answering(when: Handling, draws: &[&[(i64, u32)]]) -> Answering {
    let draw = |(quota, limit): &(i64, u32)| Draw {
        quota: *quota,
        allowance: Allowance::Rate { limit: *limit, period: DAY },
        amount: 1,
    };
    let draws = draws.iter().map(|one| one.iter().map(draw).collect()).collect();
    Answering { when, reply: Reply { message: Box::new(message(50)), draws, is_carried: false } }
}

fn answered(answering: &Answering, new: NewInbound) -> NewInbound {
    let mut answering = answering.clone();
    // Each is a message of its own.
    answering.reply.message.message.id = message(entropy_of(&new)).id();
    NewInbound { answers: Some(Arc::new(answering)), ..new }
}

fn entropy_of(new: &NewInbound) -> u64 {
    1_000 + new.inbound.received_at.since(NOW).as_secs()
}

pub(crate) async fn answer_is_queued_with_what_it_answers_and_once<F: Fixture>(bench: Bench<F>) {
    let confirming = answering(Handling::OptedOut, &[&[]]);
    let stop = answered(&confirming, from_phone(50, "STOP", Some(Keyword::Stop)));
    let received = bench.receive_inbound(stop.clone()).await.unwrap();
    assert_eq!(received.reply.map(|reply| reply.id), Some(message(1_050).id()));
    let again = bench.receive_inbound(stop).await.unwrap();
    assert_eq!((again.reply, again.is_answered), (None, true), "it was answered then");
    // To somebody who has opted out of everything a moment ago.
    assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 1);
    let other = answered(&confirming, from_phone(2, "Habari", None));
    assert!(!bench.receive_inbound(other).await.unwrap().is_answered);
}

pub(crate) async fn answer_draws_the_first_that_has_room_or_is_not_said<F: Fixture>(bench: Bench<F>) {
    let helping = answering(Handling::Helped, &[&[(1, 1), (2, 2)], &[(2, 2)]]);
    let mut was_answered = Vec::new();
    for n in 1..=3 {
        let help = answered(&helping, from_phone(n, "HELP", Some(Keyword::Help)));
        was_answered.push(bench.receive_inbound(help).await.unwrap().is_answered);
    }
    assert_eq!(was_answered, [true, true, false]);
    // What is carried draws as well, and is no message.
    let mut carrying = answering(Handling::Helped, &[&[(3, 1)]]);
    carrying.reply.is_carried = true;
    for (n, is_answered) in [(4, true), (5, false), (4, true)] {
        let help = answered(&carrying, from_phone(n, "HELP", Some(Keyword::Help)));
        let received = bench.receive_inbound(help).await.unwrap();
        assert_eq!((received.is_answered, received.reply), (is_answered, None), "{n}");
    }
    assert_eq!(bench.fixture.counts(vec!["SELECT count(*) FROM messages".into()]), [2]);
}

pub(crate) async fn who_could_not_be_asked_back_is_asked_the_next_time<F: Fixture>(bench: Bench<F>) {
    for n in 1..=2 {
        ask(&*bench, approval(n, 1, NOW)).await;
    }
    let approve = |n| {
        let mut new = from_phone(n, "approve", None);
        new.inbound.from = Origin::Phone(receiver(1));
        NewInbound { ask_again_after: HOUR, ..new }
    };
    let asks = |received: &Received| match received.fate {
        Some(ReplyFate::Which { ask, .. }) => ask,
        ref other => panic!("{other:?}"),
    };
    let refused = answering(Handling::Answered, &[&[(1, 0)]]);
    for n in [10, 11] {
        let received = bench.receive_inbound(answered(&refused, approve(n))).await.unwrap();
        assert_eq!((asks(&received), received.is_answered), (true, false));
    }
    let asking = answering(Handling::Answered, &[&[]]);
    let received = bench.receive_inbound(answered(&asking, approve(12))).await.unwrap();
    assert_eq!((asks(&received), received.is_answered), (true, true));
    let received = bench.receive_inbound(answered(&refused, approve(13))).await.unwrap();
    assert!(!asks(&received), "a moment ago somebody was");
    // The same again changes nothing, whatever is open by now.
    bench.close_prompt(prompt_id(2), operator(NOW.plus(HOUR))).await.unwrap();
    let again = bench.receive_inbound(answered(&asking, approve(12))).await.unwrap();
    assert_eq!((again.is_repeated, again.fate, again.reply), (true, None, None));
}

pub(crate) async fn yes_that_a_provider_took_for_start_answers_and_opts_in<F: Fixture>(bench: Bench<F>) {
    let mut open = approval(1, 1, NOW);
    open.prompt.kind = Kind::Invite;
    let id = ask(&*bench, open).await;
    let by_first = |new: NewInbound| NewInbound {
        inbound: Inbound { from: Origin::Phone(receiver(1)), ..new.inbound.clone() },
        ..new
    };
    let stop = by_first(from_phone(5, "STOP", Some(Keyword::Stop)));
    bench.receive_inbound(stop).await.unwrap();
    let mut yes = by_first(from_phone(6, "YES", Some(Keyword::Resume)));
    yes.inbound.understood = Some(Keyword::Start);
    assert_eq!(bench.receive_inbound(yes).await.unwrap().handling, Handling::Answered);
    assert_eq!(bench.prompt(id).await.unwrap().unwrap().summary.tally.approved, 1);
    let question = Question::about(Class::Service, []).unwrap();
    assert!(bench.held_back(receiver(1), question).await.unwrap().is_none());
    // Where nothing is open it is the opt-in that the provider took it for.
    let mut later = by_first(from_phone(7, "YES", Some(Keyword::Resume)));
    later.inbound.understood = Some(Keyword::Start);
    later.inbound.received_at = NOW.plus(30 * DAY);
    assert_eq!(bench.receive_inbound(later).await.unwrap().handling, Handling::OptedIn);
}

pub(crate) async fn listeners_hear_of_texts_and_of_consent<F: Fixture>(bench: Bench<F>) {
    bench.keep_events(true).await.unwrap();
    let text = NewInbound {
        caller: Some(caller(3)),
        word: Some("LOAN".into()),
        ..from_phone(1, "Loan 500 \0 👍", None)
    };
    bench.receive_inbound(text).await.unwrap();
    bench.receive_inbound(from_phone(2, "STOP", Some(Keyword::Stop))).await.unwrap();
    let raised = bench.raised_events(10).await.unwrap();
    let kinds: Vec<_> = raised.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["inbound.received", "consent.changed"]);
    let told = raised[0].data.expose();
    assert!(
        told.contains(&receiver(1).to_e164()) && told.contains("LOAN") && told.contains("\\u0000"),
        "{told}"
    );
}

pub(crate) async fn repeated_callback_answers_nothing_that_was_asked_since<F: Fixture>(bench: Bench<F>) {
    let [one, two] = [ask(&*bench, approval(1, 2, NOW)).await, ask(&*bench, approval(2, 2, NOW)).await];
    let from = |n: u64, text: &str| {
        let mut new = from_phone(n, text, None);
        new.inbound.from = Origin::Phone(receiver(1));
        new
    };
    let which = bench.receive_inbound(from(60, "approve")).await.unwrap();
    assert!(matches!(which.fate, Some(ReplyFate::Which { ask: true, .. })), "{which:?}");
    // Now the word could be meant for one alone; but it was written before.
    bench.close_prompt(two, operator(NOW.plus(2 * MINUTE))).await.unwrap();
    let again = NewInbound { id: from_phone(150, "", None).id, ..from(60, "approve") };
    let repeated = bench.receive_inbound(again).await.unwrap();
    assert!(repeated.is_repeated && repeated.id == which.id && repeated.fate.is_none(), "{repeated:?}");
    for id in [one, two] {
        assert!(bench.prompt(id).await.unwrap().unwrap().replies.is_empty());
    }
}
