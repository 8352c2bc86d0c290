//! Endpoints that fail, and what is tried again and given up for it.

use domain::event::EventKind;
use domain::secret::ExposeSecret as _;
use domain::time::Timestamp;
use store::port::webhooks::{DeliveryEnd, EndpointChange};

use super::webhooks::{create, end, endpoint, hand_out, id, note, raise, raised, shown, take};
use crate::support::{Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, operator};

pub(crate) async fn endpoint_that_fails_rests_is_probed_and_in_the_end_disabled<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &["prompt.*"])).await;
    create(&bench, endpoint(2, 1, &["endpoint.*"])).await;
    for subject in 1..=20 {
        raise(&bench, raised(subject, Some(1), EventKind::PromptClosed)).await;
    }
    hand_out(&bench, NOW).await;
    let taken = take(&bench, NOW).await;
    assert_eq!(taken.len(), 16, "no more than may be under way");
    let soon = NOW.plus(SECOND);
    let ends: Vec<_> = taken.iter().map(|taken| end(taken, NOW, Some(soon))).collect();
    assert_eq!(note(&bench, ends, NOW).await, []);
    assert_eq!(shown(&take(&bench, NOW.plus(MINUTE)).await), [], "it rests");
    let [probe] = take(&bench, NOW.plus(HOUR)).await.try_into().unwrap();
    assert_eq!(probe.failures, 16);
    note(&bench, vec![end(&probe, NOW.plus(HOUR), None)], NOW.plus(HOUR)).await;
    let taken = take(&bench, NOW.plus(HOUR)).await;
    assert_eq!(taken.len(), 16, "it is well again");
    // An event that it never takes is given up; it has taken another one meanwhile.
    let first = NOW.plus(HOUR);
    note(&bench, vec![end(&taken[1], first, Some(first))], first).await;
    note(&bench, vec![end(&taken[4], first.plus(DAY), None)], first.plus(DAY)).await;
    let began = first.plus(3 * DAY);
    let given_up = DeliveryEnd { again_at: None, ..end(&taken[1], began, Some(began)) };
    assert_eq!(note(&bench, vec![given_up], began).await, []);
    // From now on it fails, for three days.
    for _ in 0..4 {
        note(&bench, vec![end(&taken[0], began, Some(began))], began).await;
    }
    let last = began.plus(3 * DAY);
    assert_eq!(note(&bench, vec![end(&taken[2], last, Some(last))], last).await, [id(1)]);
    assert_eq!(note(&bench, vec![end(&taken[3], last, Some(last))], last).await, [], "told once");
    let read = bench.endpoints().await.unwrap();
    assert_eq!(read[0].disabled, Some((last, "failed_too_long".into())));
    hand_out(&bench, last).await;
    let told = take(&bench, last).await;
    assert_eq!(shown(&told).len(), 1);
    assert_eq!((told[0].endpoint, told[0].event.kind.as_str()), (id(2), "endpoint.disabled"));
    // Enabled, it goes on with what waited.
    let enable = EndpointChange::Set { url: None, description: None, events: None, enabled: Some(true) };
    assert!(bench.change_endpoint(id(1), enable, operator(last)).await.unwrap());
    let goes_on = take(&bench, last.plus(HOUR)).await;
    assert_eq!(goes_on.iter().filter(|taken| taken.endpoint == id(1)).count(), 16);
    let failed = bench.deliveries(id(1), None, 100).await.unwrap();
    assert_eq!(failed.iter().filter(|it| it.state == "failed").count(), 1);
}

pub(crate) async fn endpoint_that_never_took_its_only_event_is_disabled_when_that_is_given_up<F: Fixture>(
    bench: Bench<F>,
) {
    create(&bench, endpoint(1, 1, &[])).await;
    raise(&bench, raised(1, Some(1), EventKind::PromptClosed)).await;
    hand_out(&bench, NOW).await;
    // It was due for a while before it was first posted: from then on it has three days.
    let first = NOW.plus(HOUR);
    let [only] = take(&bench, first).await.try_into().unwrap();
    assert_eq!(only.since, first);
    for n in 0..4 {
        let at = first.plus(n * MINUTE);
        assert_eq!(note(&bench, vec![end(&only, at, Some(at))], at).await, []);
    }
    // Given up by a clock that is a little ahead, so that the endpoint itself has not failed for three days yet.
    let last = first.plus(3 * DAY).minus(SECOND);
    let given_up = DeliveryEnd { again_at: None, ..end(&only, last, Some(last)) };
    assert_eq!(note(&bench, vec![given_up], last).await, [id(1)]);
}

pub(crate) async fn poisoned_event_does_not_disable_an_endpoint_that_takes_others<F: Fixture>(
    bench: Bench<F>,
) {
    create(&bench, endpoint(1, 1, &[])).await;
    for kind in [EventKind::PromptReplied, EventKind::PromptClosed] {
        raise(&bench, raised(1, Some(1), kind)).await;
    }
    raise(&bench, raised(2, Some(1), EventKind::PromptClosed)).await;
    hand_out(&bench, NOW).await;
    let [poison, other] = take(&bench, NOW).await.try_into().unwrap();
    for n in 0..6 {
        note(&bench, vec![end(&poison, NOW.plus(n * HOUR), Some(NOW.plus(n * HOUR)))], NOW).await;
    }
    note(&bench, vec![end(&other, NOW.plus(DAY), None)], NOW.plus(DAY)).await;
    // After three days the first is given up, and what stood behind it begins its own three days.
    let later = NOW.plus(3 * DAY).plus(HOUR);
    let given_up = DeliveryEnd { again_at: None, ..end(&poison, later, Some(later)) };
    assert_eq!(note(&bench, vec![given_up], later).await, []);
    let [behind] = take(&bench, later).await.try_into().unwrap();
    assert_eq!((behind.event.kind.as_str(), behind.tries, behind.since), ("prompt.closed", 1, later));
    // Whoever gives up at the first post shows nothing of the endpoint.
    let given_up = DeliveryEnd { again_at: None, ..end(&behind, later, Some(later)) };
    assert_eq!(note(&bench, vec![given_up], later).await, []);
    assert_eq!(bench.endpoints().await.unwrap()[0].disabled, None);
}

pub(crate) async fn endpoint_that_is_enabled_or_moved_gets_three_days_for_what_waited<F: Fixture>(
    bench: Bench<F>,
) {
    create(&bench, endpoint(1, 1, &[])).await;
    for subject in [1, 2] {
        raise(&bench, raised(subject, Some(1), EventKind::PromptClosed)).await;
    }
    hand_out(&bench, NOW).await;
    let set = |url: Option<&str>, enabled| EndpointChange::Set {
        url: url.map(Into::into),
        description: None,
        events: None,
        enabled,
    };
    let taken = take(&bench, NOW).await;
    note(&bench, taken.iter().map(|it| end(it, NOW, Some(NOW.plus(15 * MINUTE)))).collect(), NOW).await;
    bench.change_endpoint(id(1), set(None, Some(false)), operator(NOW)).await.unwrap();
    let later = NOW.plus(4 * DAY);
    bench.change_endpoint(id(1), set(None, Some(true)), operator(later)).await.unwrap();
    let taken = take(&bench, later).await;
    let fresh: Vec<_> = taken.iter().map(|it| (it.tries, it.since)).collect();
    assert_eq!(fresh, [(1, later), (1, later)]);
    // All but given up, it moves: the first failure of the new address is its first.
    let fails = |at: Timestamp| taken.iter().map(move |it| end(it, at, Some(at))).collect::<Vec<_>>();
    for _ in 0..3 {
        note(&bench, fails(later), later).await;
    }
    let last = later.plus(3 * DAY);
    bench.change_endpoint(id(1), set(Some("https://example.org/"), None), operator(last)).await.unwrap();
    assert_eq!(bench.endpoints().await.unwrap()[0].failing_since, None);
    let moved = take(&bench, last).await;
    assert_eq!(moved[0].url.expose_secret(), "https://example.org/");
    assert_eq!((moved[0].tries, moved[0].since, moved[0].failures), (1, last, 0));
    assert_eq!(note(&bench, vec![end(&moved[0], last, Some(last))], last).await, []);
}

pub(crate) async fn endpoint_that_was_hardly_tried_is_not_disabled_for_the_time_alone<F: Fixture>(
    bench: Bench<F>,
) {
    create(&bench, endpoint(1, 1, &[])).await;
    raise(&bench, raised(1, Some(1), EventKind::PromptClosed)).await;
    hand_out(&bench, NOW).await;
    let [taken] = take(&bench, NOW).await.try_into().unwrap();
    note(&bench, vec![end(&taken, NOW, Some(NOW))], NOW).await;
    // Nobody posted for four days.
    let later = NOW.plus(4 * DAY);
    for _ in 2..5 {
        assert_eq!(note(&bench, vec![end(&taken, later, Some(later))], later).await, []);
    }
    assert_eq!(note(&bench, vec![end(&taken, later, Some(later))], later).await, [id(1)]);
}

pub(crate) async fn failure_that_is_told_late_begins_nothing_again<F: Fixture>(bench: Bench<F>) {
    create(&bench, endpoint(1, 1, &[])).await;
    raise(&bench, raised(1, Some(1), EventKind::PromptClosed)).await;
    hand_out(&bench, NOW).await;
    let [first] = take(&bench, NOW).await.try_into().unwrap();
    // Another node takes it when it is due again, and it arrives.
    let [second] = take(&bench, NOW.plus(MINUTE)).await.try_into().unwrap();
    note(&bench, vec![end(&second, NOW, None)], NOW).await;
    note(&bench, vec![end(&first, NOW, Some(NOW))], NOW).await;
    let [listed] = bench.deliveries(id(1), None, 10).await.unwrap().try_into().unwrap();
    assert_eq!((listed.state.as_str(), listed.posts_in_all), ("delivered", 2));
    assert_eq!(shown(&take(&bench, NOW.plus(DAY)).await), []);
}
