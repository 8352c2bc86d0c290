//! The nodes that serve one database.

use domain::ids::NodeId;
use domain::time::Timestamp;
use store::port::events::Lease;
use store::port::nodes::{Beat, Leave};
use store::port::queue::Recovery;

use crate::support::{Bench, Fixture, MINUTE, NOW, SECOND, message, node};

async fn beat<F: Fixture>(bench: &Bench<F>, by: u64, now: Timestamp) -> Vec<NodeId> {
    bench.beat(Beat { node: node(by), now, gone_before: now.minus(10 * SECOND) }).await.unwrap()
}

pub(crate) async fn every_node_is_told_of_all_that_live<F: Fixture>(bench: Bench<F>) {
    assert_eq!(beat(&bench, 2, NOW).await, [node(2)]);
    assert_eq!(beat(&bench, 1, NOW.plus(SECOND)).await, [node(1), node(2)]);
    assert_eq!(beat(&bench, 2, NOW.plus(2 * SECOND)).await, [node(1), node(2)]);
    // The first was not heard of for more than ten seconds.
    assert_eq!(beat(&bench, 2, NOW.plus(12 * SECOND)).await, [node(2)]);
}

pub(crate) async fn node_that_leaves_is_forgotten_at_once<F: Fixture>(bench: Bench<F>) {
    beat(&bench, 1, NOW).await;
    beat(&bench, 2, NOW).await;
    bench.leave(Leave { node: node(1), now: NOW }).await.unwrap();
    assert_eq!(beat(&bench, 2, NOW.plus(SECOND)).await, [node(2)]);
}

pub(crate) async fn leases_of_a_node_that_leaves_end_at_once_and_those_of_others_do_not<F: Fixture>(
    bench: Bench<F>,
) {
    bench.add([message(1)]).await;
    // By the first node, for a minute.
    assert_eq!(bench.take(NOW.plus(SECOND)).await.len(), 1);
    let recovery = Recovery { node: node(2), now: NOW.plus(SECOND), only_node: false };
    bench.leave(Leave { node: node(2), now: NOW.plus(SECOND) }).await.unwrap();
    assert_eq!(bench.recover(recovery).await, Ok(0));
    bench.leave(Leave { node: node(1), now: NOW.plus(SECOND) }).await.unwrap();
    assert_eq!(bench.recover(recovery).await, Ok(1));
}

pub(crate) async fn leases_of_a_node_that_is_gone_end_and_those_of_others_do_not<F: Fixture>(
    bench: Bench<F>,
) {
    beat(&bench, 1, NOW).await;
    bench.add([message(1)]).await;
    // By the first node, for a minute.
    assert_eq!(bench.take(NOW.plus(SECOND)).await.len(), 1);
    let recovery = |now| Recovery { node: node(2), now, only_node: false };
    beat(&bench, 2, NOW.plus(5 * SECOND)).await;
    assert_eq!(bench.recover(recovery(NOW.plus(5 * SECOND))).await, Ok(0));
    beat(&bench, 2, NOW.plus(11 * SECOND)).await;
    assert_eq!(bench.recover(recovery(NOW.plus(11 * SECOND))).await, Ok(1));
    assert!(NOW.plus(11 * SECOND) < NOW.plus(MINUTE));
}

pub(crate) async fn what_a_node_did_for_all_another_may_do_when_it_is_gone_or_has_left<F: Fixture>(
    bench: Bench<F>,
) {
    let lease = |by, now: Timestamp| Lease {
        name: "sweep",
        node: node(by),
        until: now.plus(MINUTE),
        ended_before: now.minus(2 * SECOND),
    };
    beat(&bench, 1, NOW).await;
    assert_eq!(bench.take_lease(lease(1, NOW)).await, Ok(true));
    let (missed, later) = (NOW.plus(11 * SECOND), NOW.plus(12 * SECOND));
    beat(&bench, 2, missed).await;
    assert_eq!(bench.take_lease(lease(2, missed)).await, Ok(true));
    assert_eq!(bench.take_lease(lease(3, later)).await, Ok(false));
    bench.leave(Leave { node: node(2), now: later }).await.unwrap();
    assert_eq!(bench.take_lease(lease(3, later)).await, Ok(true));
}
