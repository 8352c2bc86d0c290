//! The consent ledger, and what it holds back.

use std::sync::Arc;

use domain::attempt::Reason;
use domain::audit::Actor;
use domain::consent::{Change, Class, Direction, Extent, Question, Source};
use domain::ids::{ConsentId, MessageId};
use domain::message::MessageStatus;
use domain::phone::SenderId;
use domain::scenario::{Priority, Scenario};
use store::port::consent::{ChangeConsent, Changed, HeldBack, OptOutFilter, OptedOut};
use store::port::messages::{Accept, Accepted, Idempotency, Moved, NewMessage, Obstacle, Resent};
use store::port::queue::Next;

use crate::support::{
    Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, With as _, caller, end, entropy, message, message_at,
    not_submitted, receiver, rejected, resend, retry,
};

pub(crate) fn sender(name: &str) -> SenderId {
    name.parse().unwrap()
}

/// The `n`-th change: of the person with that number.
pub(crate) fn opt_out(n: u64, about: Option<&str>, extent: Extent) -> Change {
    let at = NOW.plus(SECOND * u32::try_from(n).unwrap());
    Change {
        id: ConsentId::new(at, entropy(n)),
        number: receiver(n),
        sender: about.map(sender),
        direction: Direction::OptOut,
        extent,
        source: Source::Api,
        provider: None,
        inbound_id: None,
        detail: Some("asked at the counter".into()),
        at,
    }
}

fn opt_in(n: u64, of: u64, about: Option<&str>) -> Change {
    Change { number: receiver(of), direction: Direction::OptIn, ..opt_out(n, about, Extent::All) }
}

async fn change<F: Fixture>(bench: &Bench<F>, changes: Vec<Change>) -> Vec<Changed> {
    bench.change_consent(ChangeConsent { changes, by: Actor::Key(caller(1)) }).await.unwrap()
}

const ENTERED: Changed = Changed::Entered { stopped: 0 };

fn question(class: Class, senders: &[&str]) -> Option<Question> {
    Question::about(class, senders.iter().map(|name| sender(name)))
}

/// A message that asks whether it is wanted.
fn asking(n: u64, class: Class, senders: &[&str]) -> NewMessage {
    NewMessage { consent: question(class, senders), ..message(n) }
}

async fn accept<F: Fixture>(bench: &Bench<F>, messages: Vec<NewMessage>) -> Accepted {
    let accept = Accept { messages, idempotency: None, no_repeats_since: None };
    bench.accept(accept).await.unwrap()
}

fn held_back(messages: &[(u64, &Change)]) -> Accepted {
    let one = |(n, change): &(u64, &Change)| OptedOut {
        message_id: message(*n).id(),
        by: HeldBack {
            sender: change.sender.clone(),
            extent: change.extent,
            source: change.source,
            since: change.at,
        },
    };
    Accepted::OptedOut(messages.iter().map(one).collect())
}

pub(crate) async fn message_that_its_receiver_does_not_want_is_not_stored<F: Fixture>(bench: Bench<F>) {
    let [promotions, all] = [opt_out(1, Some("SHOP"), Extent::Promotional), opt_out(2, None, Extent::All)];
    assert_eq!(change(&bench, vec![promotions.clone(), all.clone()]).await, [ENTERED, ENTERED]);
    let shop = ["SHOP"];
    assert_eq!(
        accept(&bench, vec![asking(1, Class::Promotional, &shop)]).await,
        held_back(&[(1, &promotions)])
    );
    assert_eq!(accept(&bench, vec![asking(2, Class::Service, &["BANK"])]).await, held_back(&[(2, &all)]));
    assert!(bench.message(message(1).id()).await.unwrap().is_none());
    // Another class, another sender, a code, and somebody else.
    let other = |n: u64, new: NewMessage| new.with(|it| it.id = MessageId::new(NOW, entropy(n)));
    let wanted = vec![
        other(11, asking(1, Class::Service, &shop)),
        other(12, asking(1, Class::Promotional, &["BANK"])),
        other(13, NewMessage { consent: None, ..message(2) }),
        asking(3, Class::Promotional, &shop),
    ];
    assert_eq!(accept(&bench, wanted).await, Accepted::Stored);
}

pub(crate) async fn of_many_those_that_are_not_wanted_are_named_and_none_is_stored<F: Fixture>(
    bench: Bench<F>,
) {
    let changes: Vec<_> = [2, 4].map(|n| opt_out(n, None, Extent::Promotional)).to_vec();
    change(&bench, changes.clone()).await;
    let all: Vec<_> = (1..=5).map(|n| asking(n, Class::Promotional, &["SHOP"])).collect();
    let refused = held_back(&[(2, &changes[0]), (4, &changes[1])]);
    assert_eq!(accept(&bench, all.clone()).await, refused);
    for new in &all {
        assert!(bench.message(new.id()).await.unwrap().is_none());
    }
    // Also beside others, of which some are remembered by a key.
    let store = &bench.store;
    let both = all.into_iter().map(|new| async move {
        let key = Idempotency {
            key: [u8::try_from(new.message.receiver.number() % 250).unwrap(); 32],
            request: [1; 32],
            reply: "{}".into(),
            now: NOW,
            since: NOW.minus(DAY),
        };
        let accept = Accept { messages: vec![new], idempotency: Some(key), no_repeats_since: None };
        store.accept(accept).await.unwrap()
    });
    let answers = futures_util::future::join_all(both).await;
    let refused: Vec<_> = answers.iter().map(|answer| matches!(answer, Accepted::OptedOut(_))).collect();
    assert_eq!(refused, [false, true, false, true, false]);
    assert_eq!(bench.fixture.counts(vec!["SELECT count(*) FROM idempotency".into()])[0] % 3, 0);
}

pub(crate) async fn repeated_request_is_answered_as_before_whatever_was_opted_out_since<F: Fixture>(
    bench: Bench<F>,
) {
    let request = Accept {
        messages: vec![asking(1, Class::Promotional, &["SHOP"])],
        idempotency: Some(Idempotency {
            key: [7; 32],
            request: [8; 32],
            reply: "first".into(),
            now: NOW,
            since: NOW.minus(DAY),
        }),
        no_repeats_since: None,
    };
    assert_eq!(bench.accept(request.clone()).await, Ok(Accepted::Stored));
    change(&bench, vec![opt_out(1, None, Extent::All)]).await;
    assert_eq!(bench.accept(request).await, Ok(Accepted::Repeated("first".into())));
}

pub(crate) async fn opt_in_ends_what_it_is_about<F: Fixture>(bench: Bench<F>) {
    let about = |n: u64, name: &str, extent| Change {
        number: receiver(1),
        ..opt_out(n, (!name.is_empty()).then_some(name), extent)
    };
    let holds = async |names: &[&str], class| {
        bench.held_back(receiver(1), question(class, names).unwrap()).await.unwrap().is_some()
    };
    let out = vec![
        about(1, "SHOP", Extent::Promotional),
        about(2, "BANK", Extent::All),
        about(3, "", Extent::Promotional),
    ];
    change(&bench, out).await;
    assert!(holds(&["OTHER"], Class::Promotional).await && !holds(&["OTHER"], Class::Service).await);
    // To one sender: also what was about all, which that one is of.
    assert_eq!(change(&bench, vec![opt_in(4, 1, Some("SHOP"))]).await, [ENTERED]);
    assert!(!holds(&["SHOP"], Class::Promotional).await && !holds(&["OTHER"], Class::Promotional).await);
    assert!(holds(&["BANK"], Class::Service).await);
    // To promotions alone.
    let promotions = Change { extent: Extent::Promotional, ..opt_in(5, 1, Some("BANK")) };
    assert_eq!(change(&bench, vec![promotions]).await, [Changed::AsItWas]);
    assert!(holds(&["BANK"], Class::Service).await);
    assert_eq!(change(&bench, vec![opt_in(6, 1, None)]).await, [ENTERED]);
    assert!(!holds(&["BANK"], Class::Service).await);
    assert_eq!(change(&bench, vec![opt_in(7, 1, None)]).await, [Changed::AsItWas]);
}

pub(crate) async fn ledger_keeps_every_change_with_who_made_it_and_the_same_change_once<F: Fixture>(
    mut bench: Bench<F>,
) {
    let first = Change {
        provider: Some(crate::support::provider("twilio")),
        source: Source::Provider,
        ..opt_out(1, Some("SHOP"), Extent::All)
    };
    let again = Change { id: opt_out(2, None, Extent::All).id, ..first.clone() };
    let back = opt_in(3, 1, Some("SHOP"));
    let out = Change { number: receiver(1), ..opt_out(4, None, Extent::Promotional) };
    let answers = change(&bench, vec![first.clone(), again, back.clone(), out.clone()]).await;
    assert_eq!(answers, [ENTERED, Changed::AsItWas, ENTERED, ENTERED]);
    bench.reopen().await;
    let history = bench.consent_history(receiver(1), 10).await.unwrap();
    assert_eq!(history.iter().map(|it| it.id).collect::<Vec<_>>(), [out.id, back.id, first.id]);
    let oldest = &history[2];
    assert_eq!((oldest.number, &oldest.sender, oldest.at), (Some(receiver(1)), &first.sender, first.at));
    assert_eq!(
        (oldest.direction, oldest.extent, oldest.source),
        (first.direction, first.extent, first.source)
    );
    assert_eq!((&oldest.provider, &oldest.detail), (&first.provider, &first.detail));
    assert_eq!(oldest.by, Actor::Key(caller(1)));
    assert_eq!(bench.consent_history(receiver(2), 10).await.unwrap(), []);
}

pub(crate) async fn opt_outs_that_hold_are_listed_by_what_is_asked_for<F: Fixture>(bench: Bench<F>) {
    let changes = vec![
        opt_out(1, Some("SHOP"), Extent::Promotional),
        opt_out(2, Some("BANK"), Extent::All),
        opt_out(3, None, Extent::Promotional),
    ];
    change(&bench, changes).await;
    change(&bench, vec![opt_out(4, None, Extent::All), opt_in(5, 4, None)]).await;
    let ids = async |filter: OptOutFilter| -> Vec<u64> {
        let found = bench.opt_outs(filter).await.unwrap();
        let numbers = found.into_iter().map(|it| it.number.unwrap());
        numbers.map(|number| (1..=5).find(|n| receiver(*n) == number).unwrap()).collect()
    };
    let all = || OptOutFilter { limit: 10, ..OptOutFilter::default() };
    assert_eq!(ids(all()).await, [3, 2, 1]);
    assert_eq!(ids(OptOutFilter { number: Some(receiver(2)), ..all() }).await, [2]);
    assert_eq!(ids(OptOutFilter { sender: Some(sender("SHOP")), ..all() }).await, [1]);
    assert_eq!(ids(OptOutFilter { class: Some(Class::Service), ..all() }).await, [2]);
    let after = Some(opt_out(3, None, Extent::All).id);
    assert_eq!(ids(OptOutFilter { after, limit: 1, ..all() }).await, [2]);
}

pub(crate) async fn what_waits_for_somebody_who_opts_out_is_stopped<F: Fixture>(bench: Bench<F>) {
    let of = |n: u64, scenario: Scenario| {
        message(n).with(|message| {
            message.receiver = receiver(1);
            message.scenario = scenario;
            message.priority = scenario.priority();
        })
    };
    let later = of(2, Scenario::ChamaInvite).with(|message| message.scheduled_at = Some(NOW.plus(20 * DAY)));
    let by_other = of(3, Scenario::ChamaInvite).with(|message| message.sender = Some(sender("BANK")));
    let by_shop = of(4, Scenario::ChamaInvite).with(|message| message.sender = Some(sender("SHOP")));
    let to_many = of(5, Scenario::General).with(|message| message.priority = Priority::Bulk);
    let untouched = [by_other, of(6, Scenario::Alert), of(7, Scenario::Otp), of(8, Scenario::Transaction)];
    let stopped = [of(1, Scenario::ChamaInvite), later, by_shop, to_many];
    bench.add(stopped.clone().into_iter().chain(untouched.clone())).await;
    bench.add([message(20)]).await;
    let promotions = Change { at: NOW.plus(HOUR), ..opt_out(1, Some("SHOP"), Extent::Promotional) };
    assert_eq!(change(&bench, vec![promotions]).await, [Changed::Entered { stopped: 4 }]);
    for new in stopped {
        let record = bench.show(new.id()).await;
        assert_eq!(record.summary.status, MessageStatus::Canceled);
        assert_eq!(record.summary.failure.unwrap().reason, Reason::OptedOut);
    }
    for new in &untouched {
        assert_eq!(bench.status(new.id()).await, MessageStatus::Queued);
    }
    let all =
        Change { id: ConsentId::new(NOW, entropy(9)), number: receiver(1), ..opt_out(2, None, Extent::All) };
    // The notice, the alert, and what another sender would have sent: all but the code.
    assert_eq!(change(&bench, vec![all]).await, [Changed::Entered { stopped: 3 }]);
    let taken = bench.take(NOW.plus(HOUR + MINUTE)).await;
    let mut left: Vec<_> = taken.iter().map(|claimed| claimed.submission.message_id).collect();
    left.sort_unstable();
    assert_eq!(left, [untouched[2].id(), message(20).id()]);
}

/// On two nodes, where several may serve the store: what one accepts at that moment the other must see, or be seen by.
pub(crate) async fn whoever_opts_out_while_many_are_accepted_gets_none_of_them<F: Fixture>(bench: Bench<F>) {
    let other = if bench.is_shared() { bench.fixture.open_beside().await } else { Arc::clone(&bench.store) };
    for round in 0..20_u64 {
        let who = receiver(round + 1);
        let accepts = (1..=10).map(|n| {
            let new = asking(round * 100 + n, Class::Promotional, &["SHOP"]).with(|message| {
                message.receiver = who;
                message.scenario = Scenario::ChamaInvite;
                message.priority = Priority::Bulk;
            });
            let store = if n % 2 == 0 { &bench.store } else { &other };
            async move {
                let accept = Accept { messages: vec![new], idempotency: None, no_repeats_since: None };
                store.accept(accept).await.unwrap();
            }
        });
        let opts_out = async { change(&bench, vec![opt_out(round + 1, None, Extent::Promotional)]).await };
        futures_util::future::join(futures_util::future::join_all(accepts), opts_out).await;
        assert_eq!(bench.take(NOW.plus(HOUR)).await.len(), 0, "in round {round}");
    }
}

pub(crate) async fn what_is_under_way_when_its_receiver_opts_out_is_not_tried_again<F: Fixture>(
    bench: Bench<F>,
) {
    let invite = |n: u64| {
        message(n).with(|message| {
            message.receiver = receiver(1);
            message.scenario = Scenario::ChamaInvite;
        })
    };
    let code = invite(3).with(|message| message.scenario = Scenario::Otp);
    bench.add([invite(1), invite(2), code.clone()]).await;
    let mut taken = bench.take(NOW.plus(SECOND)).await;
    taken.sort_by_key(|claimed| claimed.submission.message_id);
    let refused = end(&taken[1], rejected(), Next::Stop);
    bench.finish(vec![refused]).await.unwrap();
    let all = Change { at: NOW.plus(MINUTE), ..opt_out(1, None, Extent::All) };
    assert_eq!(change(&bench, vec![all]).await, [Changed::Entered { stopped: 0 }]);
    // Accepted afterwards: who accepted it knew, such as of the confirmation that nothing will come any more.
    let confirmation = message_at(4, NOW.plus(MINUTE)).with(|message| message.receiver = receiver(1));
    let confirming = bench.add_and_take(confirmation.clone()).await;
    let ends = [&taken[0], &taken[2], &confirming];
    let ends = ends.map(|claimed| end(claimed, not_submitted(), retry(NOW.plus(2 * MINUTE))));
    bench.finish(ends.to_vec()).await.unwrap();
    let summary = bench.show(invite(1).id()).await.summary;
    assert_eq!(
        (summary.status, summary.failure.unwrap().reason),
        (MessageStatus::Canceled, Reason::OptedOut)
    );
    for goes_on in [code.id(), confirmation.id()] {
        assert_eq!(bench.status(goes_on).await, MessageStatus::Queued);
    }
    // Nor is what had ended before sent again.
    let (message_id, to) = (invite(2).id(), MessageStatus::Failed);
    let left = Resent {
        moved: Moved { message_id, from: to, to },
        limited: None,
        obstacle: Some(Obstacle::OptedOut),
    };
    assert_eq!(bench.resend(resend(message_id, NOW.plus(2 * MINUTE))).await, Ok(Some(left)));
}

pub(crate) async fn what_quiet_hours_held_is_stopped_too<F: Fixture>(bench: Bench<F>) {
    let held = message_at(1, NOW.minus(3 * DAY)).with(|message| {
        message.receiver = receiver(1);
        message.scheduled_at = Some(NOW.minus(30 * HOUR));
    });
    bench.add([NewMessage { held_until: Some(NOW.plus(HOUR)), ..held.clone() }]).await;
    let all = Change { at: NOW, ..opt_out(1, None, Extent::All) };
    assert_eq!(change(&bench, vec![all]).await, [Changed::Entered { stopped: 1 }]);
    assert_eq!(bench.status(held.id()).await, MessageStatus::Canceled);
}

pub(crate) async fn what_was_accepted_within_a_day_is_stopped<F: Fixture>(bench: Bench<F>) {
    let ago = |hours: u32| {
        let new = message_at(u64::from(hours) + 1, NOW.minus(HOUR * hours));
        new.with(|message| message.receiver = receiver(1))
    };
    bench.add([0, 1, 5, 12, 23, 24, 30].map(ago)).await;
    let all = Change { at: NOW, ..opt_out(1, None, Extent::All) };
    assert_eq!(change(&bench, vec![all]).await, [Changed::Entered { stopped: 6 }]);
    let left = bench.take(NOW.plus(MINUTE)).await;
    assert_eq!(left.iter().map(|it| it.submission.message_id).collect::<Vec<_>>(), [ago(30).id()]);
}
