//! Endpoints of callers, and events on their way to them.

use domain::audit::{Act, Actor};
use domain::event::{EventData, EventKind, NewEvent};
use domain::ids::EndpointId;
use domain::receipt::ReceiptStatus;
use domain::secret::ExposeSecret as _;
use domain::time::Timestamp;
use store::port::audit::{AuditFilter, AuditPage};
use store::port::sealing::{Reseal, SealedRow};
use store::port::webhooks::{
    Backlog, DeliveryEnd, Due, EndDeliveries, EndpointChange, HandOut, NewEndpoint, Replay, Replayable,
    TakeDeliveries, TakenDelivery, Tells,
};

use crate::support::{
    Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, caller, entropy, message, operator, receipt_for,
};

pub(super) fn id(n: u64) -> EndpointId {
    EndpointId::new(NOW, entropy(n))
}

pub(crate) fn endpoint(n: u64, of: u64, events: &[&str]) -> NewEndpoint {
    NewEndpoint {
        id: id(n),
        caller: caller(of),
        hears_all: false,
        url: format!("https://example.com/{n}").into(),
        description: Some("shop".into()),
        events: events.iter().map(ToString::to_string).collect(),
        secret: format!("whsec_{n}").into(),
    }
}

pub(crate) async fn create<F: Fixture>(bench: &Bench<F>, endpoint: NewEndpoint) {
    bench.create_endpoint(endpoint, operator(NOW)).await.unwrap();
}

pub(crate) fn raised(subject: u8, of: Option<u64>, kind: EventKind) -> NewEvent {
    let data = EventData::from_json(format!(r#"{{"subject":{subject}}}"#));
    NewEvent { kind, subject: [subject; 16], caller: of.map(caller), at: NOW, data }
}

/// Entries of an event: who did it, to what, and how it ended.
async fn audit_of<F: Fixture>(
    bench: &Bench<F>,
    event: &str,
) -> Vec<(String, Option<String>, Option<String>)> {
    let page = AuditPage { after: None, limit: 100 };
    let entries = bench.audit(AuditFilter::default(), page).await.unwrap().into_iter();
    entries
        .filter(|entry| entry.event == event)
        .map(|entry| (entry.actor, entry.subject, entry.outcome.map(Into::into)))
        .collect()
}

pub(crate) async fn raise<F: Fixture>(bench: &Bench<F>, event: NewEvent) {
    bench.raise_events(vec![event]).await.unwrap();
}

pub(super) async fn hand_out<F: Fixture>(bench: &Bench<F>, now: Timestamp) -> u64 {
    bench.hand_out(HandOut { now, limit: 1_000 }).await.unwrap()
}

pub(super) async fn take<F: Fixture>(bench: &Bench<F>, now: Timestamp) -> Vec<TakenDelivery> {
    let again_at = now.plus(MINUTE);
    let take = TakeDeliveries { now, again_at, each: 16, under_way: Vec::new(), limit: 100 };
    bench.take_deliveries(take).await.unwrap()
}

/// To which endpoint, which kind, of which subject.
pub(super) fn shown(taken: &[TakenDelivery]) -> Vec<(EndpointId, &str, u8)> {
    taken.iter().map(|it| (it.endpoint, it.event.kind.as_str(), it.event.subject[0])).collect()
}

pub(super) fn end(taken: &TakenDelivery, now: Timestamp, failed: Option<Timestamp>) -> DeliveryEnd {
    DeliveryEnd {
        endpoint: taken.endpoint,
        number: taken.number,
        at: now,
        took_ms: 7,
        status: Some(if failed.is_some() { 500 } else { 200 }),
        error: failed.map(|_| "status"),
        again_at: failed,
        rests_until: now.plus(HOUR),
        is_gone: false,
    }
}

pub(super) async fn note<F: Fixture>(
    bench: &Bench<F>,
    ends: Vec<DeliveryEnd>,
    now: Timestamp,
) -> Vec<EndpointId> {
    let end = EndDeliveries { ends, now, failing_since: now.minus(3 * DAY), rests_after: 5 };
    bench.end_deliveries(end).await.unwrap()
}

pub(crate) async fn endpoint_reads_back_and_events_are_told_while_there_is_one<F: Fixture>(
    mut bench: Bench<F>,
) {
    bench.add_and_send(message(1), "SM1").await;
    assert_eq!(hand_out(&bench, NOW).await, 0, "nobody asked");
    create(&bench, endpoint(1, 1, &["message.*"])).await;
    bench.reopen().await;
    let [read] = bench.endpoints().await.unwrap().try_into().unwrap();
    assert_eq!((read.id, read.caller), (id(1), caller(1)));
    assert_eq!(read.url.as_ref().unwrap().expose_secret(), "https://example.com/1");
    assert_eq!(
        (read.events.as_slice(), read.description.as_deref()),
        (&["message.*".to_owned()][..], Some("shop"))
    );
    assert_eq!(read.is_disabled_by(NOW), None);
    let id = bench.add_and_send(message(2), "SM2").await;
    bench.receive(receipt_for(id, ReceiptStatus::Delivered)).await;
    assert_eq!(hand_out(&bench, NOW.plus(MINUTE)).await, 3);
    let [queued] = take(&bench, NOW.plus(MINUTE)).await.try_into().unwrap();
    let Tells::Status { provider, about, .. } = &queued.event.tells else { panic!("{queued:?}") };
    assert_eq!((queued.event.kind.as_str(), provider.as_deref()), ("message.queued", Some("twilio")));
    assert_eq!(about.as_ref().unwrap().scenario, "transaction");
    assert_eq!(queued.secrets[0].expose_secret(), "whsec_1");
    assert!(bench.change_endpoint(read.id, EndpointChange::Delete, operator(NOW)).await.unwrap());
    assert!(!bench.change_endpoint(read.id, EndpointChange::Delete, operator(NOW)).await.unwrap());
    bench.add([message(3)]).await;
    bench.settle_webhooks().await.unwrap();
    let nothing = Due { to_hand_out: false, to_post: false };
    assert_eq!(bench.what_is_due(NOW.plus(DAY)).await.unwrap(), nothing);
}

pub(crate) async fn endpoint_gets_what_is_its_owners_and_what_it_asked_for<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &["prompt.closed"])).await;
    create(&bench, endpoint(2, 2, &[])).await;
    create(&bench, NewEndpoint { hears_all: true, ..endpoint(3, 3, &["prompt.*"]) }).await;
    raise(&bench, raised(1, Some(1), EventKind::PromptClosed)).await;
    raise(&bench, raised(2, Some(1), EventKind::PromptReplied)).await;
    raise(&bench, raised(3, None, EventKind::PromptReplied)).await;
    raise(&bench, raised(4, Some(2), EventKind::ConsentChanged)).await;
    raise(&bench, raised(5, Some(9), EventKind::ConsentChanged)).await;
    assert_eq!(hand_out(&bench, NOW).await, 5);
    let mut taken = take(&bench, NOW).await;
    taken.sort_by_key(|it| (it.endpoint, it.number));
    let (closed, replied) = ("prompt.closed", "prompt.replied");
    let expected = [
        (id(1), closed, 1),
        (id(2), "consent.changed", 4),
        (id(3), closed, 1),
        (id(3), replied, 2),
        (id(3), replied, 3),
    ];
    assert_eq!(shown(&taken), expected);
    // A key that has ended hears no more.
    let key = store::port::keys::ApiKey::new(caller(1), "wallet", [1; 32], NOW);
    bench.create_key(key, operator(NOW)).await.unwrap();
    bench.revoke_key(caller(1), operator(NOW)).await.unwrap();
    raise(&bench, raised(6, Some(1), EventKind::PromptClosed)).await;
    hand_out(&bench, NOW.plus(SECOND)).await;
    assert_eq!(shown(&take(&bench, NOW.plus(SECOND)).await), [(id(3), closed, 6)]);
    let read = bench.endpoints().await.unwrap();
    assert_eq!(read[0].is_disabled_by(NOW.plus(SECOND)), Some("key_ended"));
}

pub(crate) async fn later_event_of_a_subject_waits_and_others_pass<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &[])).await;
    for (subject, kind) in
        [(1, EventKind::PromptReplied), (1, EventKind::PromptClosed), (2, EventKind::PromptClosed)]
    {
        raise(&bench, raised(subject, Some(1), kind)).await;
    }
    hand_out(&bench, NOW).await;
    let taken = take(&bench, NOW).await;
    assert_eq!(shown(&taken), [(id(1), "prompt.replied", 1), (id(1), "prompt.closed", 2)]);
    assert_eq!(shown(&take(&bench, NOW.plus(SECOND)).await), [], "both are under way");
    let again = NOW.plus(10 * SECOND);
    note(&bench, vec![end(&taken[0], NOW, Some(again)), end(&taken[1], NOW, None)], NOW).await;
    assert_eq!(shown(&take(&bench, NOW.plus(9 * SECOND)).await), []);
    let [first] = take(&bench, again).await.try_into().unwrap();
    assert_eq!((first.event.kind.as_str(), first.tries), ("prompt.replied", 2));
    // It was never ended: it is due again.
    let [first] = take(&bench, again.plus(MINUTE)).await.try_into().unwrap();
    assert_eq!(first.event.kind, "prompt.replied");
    note(&bench, vec![end(&first, again, None)], again).await;
    assert_eq!(shown(&take(&bench, again).await), [(id(1), "prompt.closed", 1)]);
    let listed = bench.deliveries(id(1), None, 10).await.unwrap();
    let states: Vec<_> =
        listed.iter().map(|it| (it.kind.as_str(), it.state.as_str(), it.posts.len())).collect();
    let expected = [
        ("prompt.closed", "delivered", 1),
        ("prompt.closed", "pending", 0),
        ("prompt.replied", "delivered", 2),
    ];
    assert_eq!(states, expected);
    let posts: Vec<_> = listed[2].posts.iter().map(|post| (post.status, post.error.as_deref())).collect();
    assert_eq!(posts, [(Some(500), Some("status")), (Some(200), None)]);
    assert_eq!(bench.deliveries(id(1), Some(listed[1].number), 10).await.unwrap(), listed[2..]);
}

pub(crate) async fn endpoint_that_is_gone_is_disabled_at_once<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &[])).await;
    raise(&bench, raised(1, Some(1), EventKind::PromptClosed)).await;
    hand_out(&bench, NOW).await;
    let [taken] = take(&bench, NOW).await.try_into().unwrap();
    let gone = DeliveryEnd { is_gone: true, status: Some(410), ..end(&taken, NOW, Some(NOW)) };
    assert_eq!(note(&bench, vec![gone], NOW).await, [id(1)]);
    assert_eq!(shown(&take(&bench, NOW.plus(DAY)).await), []);
    let entries = audit_of(&bench, "endpoint.disabled").await;
    assert_eq!(entries, [(Actor::System.to_string(), Some(id(1).to_string()), Some("gone".to_owned()))]);
}

pub(crate) async fn both_secrets_sign_while_a_rotation_lasts_and_are_read_under_a_new_key<F: Fixture>(
    bench: Bench<F>,
) {
    create(&bench, endpoint(1, 1, &[])).await;
    let rotate = EndpointChange::Rotate("whsec_new".into(), NOW.plus(HOUR));
    assert!(bench.change_endpoint(id(1), rotate, operator(NOW)).await.unwrap());
    raise(&bench, raised(1, Some(1), EventKind::PromptClosed)).await;
    hand_out(&bench, NOW).await;
    let secrets = |taken: &[TakenDelivery]| -> Vec<String> {
        taken[0].secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect()
    };
    assert_eq!(secrets(&take(&bench, NOW).await), ["whsec_new", "whsec_1"]);
    let key = bench.add_data_key(operator(NOW)).await.unwrap();
    bench.use_data_key(key, operator(NOW)).await.unwrap();
    let mut behind = Some(SealedRow::FIRST);
    while let Some(row) = behind {
        behind = bench.reseal(Reseal { behind: row, limit: 2 }).await.unwrap().behind;
    }
    bench.forget_data_keys(key, operator(NOW)).await.unwrap();
    assert_eq!(secrets(&take(&bench, NOW.plus(MINUTE)).await), ["whsec_new", "whsec_1"]);
    assert_eq!(secrets(&take(&bench, NOW.plus(HOUR)).await), ["whsec_new"]);
    assert_eq!(bench.endpoints().await.unwrap()[0].former_ends_at, None, "it is not kept any longer");
}

pub(crate) async fn event_is_posted_again_when_it_is_asked_for<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &["prompt.*"])).await;
    create(&bench, endpoint(2, 2, &[])).await;
    for (n, kind) in
        [(1, EventKind::PromptReplied), (2, EventKind::PromptClosed), (3, EventKind::ConsentChanged)]
    {
        let event = NewEvent { at: NOW.plus(u32::from(n) * MINUTE), ..raised(n, Some(1), kind) };
        raise(&bench, event).await;
    }
    // Nobody could ever want the third: it is not kept.
    hand_out(&bench, NOW).await;
    let taken = take(&bench, NOW).await;
    let act = || Some(Act { by: Actor::Operator, at: NOW });
    let replay =
        |endpoint, which| bench.replay(Replay { endpoint, which, now: NOW.plus(HOUR), limit: 1 }, act());
    let one = Replayable::One(taken[0].number, [1; 16]);
    assert_eq!(replay(id(1), one).await.unwrap().events, 0, "it is on its way");
    let ends: Vec<_> = taken.iter().map(|taken| end(taken, NOW, None)).collect();
    note(&bench, ends, NOW).await;
    assert_eq!(replay(id(1), one).await.unwrap().events, 1);
    assert_eq!(replay(id(2), one).await.unwrap().events, 0, "it belongs to somebody else");
    assert_eq!(replay(id(1), Replayable::One(taken[0].number, [2; 16])).await.unwrap().events, 0);
    let again = take(&bench, NOW.plus(HOUR)).await;
    assert_eq!((shown(&again), again[0].tries), (vec![(id(1), "prompt.replied", 1)], 1));
    note(&bench, vec![end(&again[0], NOW, None)], NOW).await;
    let (mut behind, mut events) = (Some((NOW, i64::MIN)), 0);
    while let Some(place) = behind {
        let range = Replayable::Range { since: NOW, until: NOW.plus(2 * MINUTE), behind: place };
        let part = replay(id(1), range).await.unwrap();
        (behind, events) = (part.behind, events + part.events);
    }
    assert_eq!(events, 1, "the second happened too late");
    let all = Replayable::Range { since: NOW, until: NOW.plus(HOUR), behind: (NOW, i64::MIN) };
    let all = Replay { endpoint: id(1), which: all, now: NOW, limit: 10 };
    assert_eq!(bench.replay(all, None).await.unwrap().events, 1, "the other is due already");
    assert_eq!(audit_of(&bench, "endpoint.replayed").await.len(), 6);
}

pub(crate) async fn slow_endpoint_keeps_no_other_out<F: Fixture>(bench: Bench<F>) {
    for n in 1..=3 {
        create(&bench, endpoint(n, n, &[])).await;
        for subject in 0..20 {
            let subject = u8::try_from(n).unwrap() * 50 + subject;
            raise(&bench, raised(subject, Some(n), EventKind::PromptClosed)).await;
        }
    }
    hand_out(&bench, NOW).await;
    let take = async |under_way, limit| {
        let take = TakeDeliveries { now: NOW, again_at: NOW.plus(MINUTE), each: 16, under_way, limit };
        let taken = bench.take_deliveries(take).await.unwrap();
        [1, 2, 3].map(|n| taken.iter().filter(|it| it.endpoint == id(n)).count())
    };
    // One place gets free while the oldest two hold nearly all.
    assert_eq!(take(vec![(id(1), 15), (id(2), 14)], 1).await, [0, 0, 1]);
    assert_eq!(take(vec![(id(1), 15), (id(2), 14), (id(3), 1)], 5).await, [0, 0, 5]);
    assert_eq!(take(vec![(id(1), 16)], 8).await, [0, 4, 4]);
    assert_eq!(take(Vec::new(), 9).await, [3, 3, 3]);
}

pub(crate) async fn what_stands_behind_another_is_nothing_to_do<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &[])).await;
    for kind in [EventKind::PromptReplied, EventKind::PromptClosed] {
        raise(&bench, raised(1, Some(1), kind)).await;
    }
    let due = async |at| bench.what_is_due(at).await.unwrap();
    assert_eq!(due(NOW).await, Due { to_hand_out: true, to_post: false });
    hand_out(&bench, NOW).await;
    assert_eq!(due(NOW).await, Due { to_hand_out: false, to_post: true });
    let [first] = take(&bench, NOW).await.try_into().unwrap();
    let again = NOW.plus(15 * MINUTE);
    note(&bench, vec![end(&first, NOW, Some(again))], NOW).await;
    let nothing = Due { to_hand_out: false, to_post: false };
    assert_eq!((due(again.minus(SECOND)).await, due(again).await.to_post), (nothing, true));
}

pub(crate) async fn damaged_endpoint_and_damaged_event_are_nobody_elses_trouble<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &[])).await;
    create(&bench, endpoint(2, 1, &[])).await;
    for kind in [EventKind::PromptReplied, EventKind::PromptClosed] {
        raise(&bench, raised(1, Some(1), kind)).await;
    }
    // What was sealed for another column can't be opened.
    bench.fixture.run(
        "UPDATE events SET sealed_data = (SELECT sealed_url FROM webhook_endpoints ORDER BY id LIMIT 1) \
         WHERE number = (SELECT min(number) FROM events)",
    );
    bench.fixture.run(
        "UPDATE webhook_endpoints SET sealed_url = sealed_secret, sealed_secret = sealed_url \
         WHERE id = (SELECT id FROM webhook_endpoints ORDER BY id LIMIT 1)",
    );
    hand_out(&bench, NOW).await;
    assert_eq!(
        shown(&take(&bench, NOW).await),
        [],
        "the first can't be read, and the second stood behind it"
    );
    let next: Vec<_> = take(&bench, NOW).await;
    let of_events: Vec<_> = shown(&next).into_iter().filter(|it| it.2 == 1).collect();
    assert_eq!(of_events, [(id(2), "prompt.closed", 1)]);
    let [damaged, well] = bench.endpoints().await.unwrap().try_into().unwrap();
    assert_eq!((damaged.url.is_none(), damaged.is_disabled_by(NOW)), (true, Some("unreadable")));
    assert_eq!(well.is_disabled_by(NOW), None);
    let states: Vec<_> = bench.deliveries(id(2), None, 10).await.unwrap();
    assert_eq!(states.last().unwrap().state, "failed");
    // It is mended by another address and secret, or deleted.
    let url = EndpointChange::Set {
        url: Some("https://example.org/".into()),
        description: None,
        events: None,
        enabled: Some(true),
    };
    bench.change_endpoint(id(1), url, operator(NOW)).await.unwrap();
    let rotate = EndpointChange::Rotate("whsec_new".into(), NOW.plus(HOUR));
    bench.change_endpoint(id(1), rotate, operator(NOW)).await.unwrap();
    assert_eq!(shown(&take(&bench, NOW).await), [], "the damaged event is given up here too");
    let mended = take(&bench, NOW).await;
    let mended = mended.iter().find(|it| it.endpoint == id(1)).unwrap();
    assert_eq!((mended.secrets.len(), mended.secrets[0].expose_secret()), (1, "whsec_new"));
    assert!(bench.change_endpoint(id(1), EndpointChange::Delete, operator(NOW)).await.unwrap());
}

pub(crate) async fn replay_goes_through_the_events_of_its_caller_and_on_from_where_it_stopped<F: Fixture>(
    bench: Bench<F>,
) {
    create(&bench, endpoint(1, 1, &[])).await;
    create(&bench, NewEndpoint { hears_all: true, ..endpoint(2, 2, &[]) }).await;
    for n in 1..=9 {
        // Every third is the caller's.
        let of = if n % 3 == 0 { 1 } else { 7 };
        let event =
            NewEvent { at: NOW.plus(u32::from(n) * MINUTE), ..raised(n, Some(of), EventKind::PromptClosed) };
        raise(&bench, event).await;
    }
    let test = EndpointChange::Test(EventData::from_json("{}"));
    bench.change_endpoint(id(2), test, operator(NOW)).await.unwrap();
    hand_out(&bench, NOW).await;
    let taken = take(&bench, NOW).await;
    let ends = taken.iter().map(|taken| end(taken, NOW, None)).collect();
    note(&bench, ends, NOW).await;
    let replay = async |endpoint, behind| {
        let which = Replayable::Range { since: NOW, until: NOW.plus(HOUR), behind };
        bench.replay(Replay { endpoint, which, now: NOW, limit: 2 }, None).await.unwrap()
    };
    let first = replay(id(1), (NOW, i64::MIN)).await;
    assert_eq!((first.events, first.behind.unwrap().0), (2, NOW.plus(6 * MINUTE)));
    let rest = replay(id(1), first.behind.unwrap()).await;
    assert_eq!((rest.events, rest.behind), (1, None));
    assert_eq!(take(&bench, NOW).await.len(), 3);
    let all = replay(id(2), (NOW, i64::MIN)).await;
    assert_eq!((all.events, all.behind.unwrap().0), (2, NOW.plus(MINUTE)), "its own test, and the first");
    // Of tests only its own.
    bench.change_endpoint(id(2), EndpointChange::Delete, operator(NOW)).await.unwrap();
    create(&bench, NewEndpoint { hears_all: true, ..endpoint(3, 2, &["endpoint.*"]) }).await;
    assert_eq!(replay(id(3), (NOW, i64::MIN)).await.events, 0);
}

pub(crate) async fn of_many_posts_the_last_are_listed<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &[])).await;
    create(&bench, endpoint(2, 1, &[])).await;
    raise(&bench, raised(1, Some(1), EventKind::PromptClosed)).await;
    hand_out(&bench, NOW).await;
    let taken = take(&bench, NOW).await;
    for n in 0..25 {
        let at = NOW.plus(n * MINUTE);
        note(&bench, taken.iter().map(|it| end(it, at, Some(at))).collect(), at).await;
    }
    let [listed] = bench.deliveries(id(1), None, 10).await.unwrap().try_into().unwrap();
    assert_eq!((listed.posts_in_all, listed.posts.len()), (25, 20));
    assert_eq!((listed.posts[0].at, listed.posts[19].at), (NOW.plus(5 * MINUTE), NOW.plus(24 * MINUTE)));
}

pub(crate) async fn endpoint_is_told_of_itself_whatever_it_asked_for<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &["prompt.closed"])).await;
    create(&bench, endpoint(2, 1, &[])).await;
    let test = EndpointChange::Test(EventData::from_json(r#"{"a":1}"#));
    assert!(bench.change_endpoint(id(1), test, operator(NOW)).await.unwrap());
    let [told] = take(&bench, NOW).await.try_into().unwrap();
    assert_eq!((told.endpoint, told.event.kind.as_str()), (id(1), "endpoint.test"));
}

pub(crate) async fn what_was_told_long_ago_is_forgotten_with_its_deliveries<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &[])).await;
    bench.keep_events(true).await.unwrap();
    for n in 1..=5 {
        raise(
            &bench,
            NewEvent { at: NOW.plus(u32::from(n) * HOUR), ..raised(n, Some(1), EventKind::PromptClosed) },
        )
        .await;
    }
    hand_out(&bench, NOW).await;
    let backlog = bench.backlog(NOW).await.unwrap();
    assert_eq!((backlog.deliveries, backlog.oldest), (5, Some(NOW)));
    let taken = take(&bench, NOW).await;
    note(&bench, vec![end(&taken[0], NOW, None)], NOW).await;
    // The broker has the first.
    let first = bench.raised_events(1).await.unwrap()[0].number;
    bench.forget_raised(vec![first]).await.unwrap();
    let before = NOW.plus(4 * HOUR);
    let mut rounds = 0;
    while !bench.forget_told(before, 2).await.unwrap() {
        rounds += 1;
    }
    assert_eq!(rounds, 1);
    assert_eq!(bench.deliveries(id(1), None, 10).await.unwrap().len(), 2);
    assert_eq!(bench.backlog(NOW).await.unwrap().deliveries, 2);
    assert!(bench.change_endpoint(id(1), EndpointChange::Delete, operator(NOW)).await.unwrap());
    let backlog = bench.backlog(NOW).await.unwrap();
    assert_eq!((backlog.deliveries, backlog.oldest), (0, None), "nothing waits for one that is gone");
    assert_eq!(bench.raised_events(10).await.unwrap().len(), 4, "what the broker has not got stays for it");
}

pub(crate) async fn nothing_waits_for_a_key_that_has_ended<F: Fixture>(bench: Bench<F>) {
    let key = store::port::keys::ApiKey::new(caller(1), "wallet", [1; 32], NOW);
    bench.create_key(key, operator(NOW)).await.unwrap();
    create(&bench, endpoint(1, 1, &[])).await;
    raise(&bench, raised(1, Some(1), EventKind::PromptClosed)).await;
    hand_out(&bench, NOW).await;
    assert_eq!(bench.backlog(NOW.plus(HOUR)).await.unwrap().oldest, Some(NOW));
    bench.revoke_key(caller(1), operator(NOW)).await.unwrap();
    assert_eq!(bench.backlog(NOW.plus(HOUR)).await.unwrap(), Backlog::default());
}
