//! The plans of the statements that run all day: SQLite must find their rows by an index, whatever the history.
//! It plans without statistics, for nobody runs `ANALYZE`, so an empty database shows the plans of a full one.

#[path = "plans/people.rs"]
mod people;

use domain::ids::{KeyId, MessageId};
use domain::message::MessageStatus;
use domain::phone::{Country, Msisdn};
use domain::scenario::Scenario;
use domain::time::Timestamp;
use rusqlite::Connection;

use super::audit as audit_of_file;
use super::read::{audit, erase, events as outbox, guard, queue, watches as on_watch};
use super::write::{
    accept, claim, divert, doubt, events, finish, place, receipts, recover, resend, sweep, watches,
};
use super::{data_keys, migrate, quotas, read, sql, write};
use crate::port::audit::{AuditCursor, AuditFilter, AuditPage};
use crate::port::messages::{Filter, Page};

/// What SQLite says of statements, a line for each table that one visits.
fn plans<'a>(statements: impl IntoIterator<Item = &'a str>) -> Vec<Vec<String>> {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::run(&mut connection).unwrap();
    let plan = |sql: &str| {
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // Values are left out: without statistics they change nothing.
        explain.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().unwrap()
    };
    statements.into_iter().map(plan).collect()
}

/// Claims that the statement visits these tables, in this way and order, and sorts nothing by the way.
#[track_caller]
fn visits(sql: &str, expected: &[&str]) {
    assert_eq!(plans([sql])[0], expected, "{sql}");
}

const BY_ID: &str = "SEARCH m USING INDEX sqlite_autoindex_messages_1 (id=?)";
const STATE_BY_ID: &str = "SEARCH s USING PRIMARY KEY (message_id=?)";
const ROUND_BY_ID: &str = "SEARCH r USING PRIMARY KEY (message_id=?) LEFT-JOIN";
const ROUNDS: &str = "SEARCH rounds USING PRIMARY KEY (message_id=?)";
const STATES: &str = "SEARCH states USING PRIMARY KEY (message_id=?)";
const MESSAGES: &str = "SEARCH messages USING INDEX sqlite_autoindex_messages_1 (id=?)";
const ATTEMPTS: &str = "SEARCH attempts USING PRIMARY KEY (message_id=?)";
const ATTEMPT: &str = "SEARCH a USING PRIMARY KEY (message_id=? AND number=?)";
const LATER_ATTEMPTS: &str = "SEARCH l USING PRIMARY KEY (message_id=? AND number>?)";

#[test]
fn claim_reads_the_front_of_a_lane() {
    visits(
        claim::FRONT,
        &["SEARCH q USING PRIMARY KEY (provider=? AND lane=? AND due_at<?)", BY_ID, ROUND_BY_ID],
    );
    visits(claim::NEXT_DUE, &["SEARCH queue USING PRIMARY KEY (provider=? AND lane=?)"]);
}

#[test]
fn message_that_can_not_be_claimed_is_put_right_by_its_key() {
    visits(claim::UNDO_OPEN, &["SEARCH attempts USING PRIMARY KEY (message_id=? AND number=?)"]);
    visits(claim::GIVE_UP, &[STATES]);
}

#[test]
fn place_in_the_queue_is_taken_and_left_by_its_key() {
    let place = "SEARCH queue USING PRIMARY KEY (provider=? AND lane=? AND due_at=? AND message_id=?)";
    visits(place::PUT, &[]);
    visits(place::VACATE, &[place, "SCALAR SUBQUERY 1", STATE_BY_ID, BY_ID]);
    visits(divert::TAKE_OUT, &[place]);
    visits(divert::REROUTE, &[STATES, "SCALAR SUBQUERY 1", ROUNDS]);
}

#[test]
fn texts_that_have_served_are_found_among_codes_and_behind_a_mark() {
    let codes = ["SCAN e", "SEARCH s USING PRIMARY KEY (message_id=?) LEFT-JOIN"];
    assert_eq!(plans([erase::CODES])[0][..2], codes);
    visits(erase::OLD, &["SEARCH s USING PRIMARY KEY (message_id>? AND message_id<?)"]);
    visits(write::erase::ERASE_LATER, &[]);
    visits(write::erase::IS_NEEDED, &[STATES]);
}

#[test]
fn a_person_is_forgotten_by_the_index_of_receivers() {
    let plan = plans([write::erase::OF_RECEIVER]).remove(0);
    assert_begins(&plan[0], "SEARCH m USING INDEX messages_by_receiver (<expr>=? AND receiver_hash=?)");
}

#[test]
fn what_is_sealed_anew_is_walked_through_by_its_key() {
    visits(data_keys::MESSAGES, &["SEARCH messages USING INDEX sqlite_autoindex_messages_1 (id>?)"]);
    visits(sql::CALLBACKS_BEHIND, &["SEARCH callbacks USING INTEGER PRIMARY KEY (rowid>?)"]);
}

#[test]
fn quota_is_found_by_its_key() {
    visits(quotas::KEPT, &["SEARCH quotas USING INTEGER PRIMARY KEY (rowid=?)"]);
}

#[test]
fn claimed_run_leaves_the_queue_by_its_key() {
    let run = "SEARCH queue USING PRIMARY KEY (provider=? AND lane=? AND (due_at,message_id)<(?,?))";
    visits(claim::LEAVE, &[run]);
}

#[test]
fn attempt_is_closed_by_its_key() {
    visits(finish::CLOSE, &["SEARCH attempts USING PRIMARY KEY (message_id=? AND number=?)"]);
    visits(
        doubt::IS_IN_FORCE,
        &[
            "SEARCH states USING PRIMARY KEY (message_id=?)",
            "SCALAR SUBQUERY 1",
            "SEARCH attempts USING PRIMARY KEY (message_id=? AND number>?)",
            "SCALAR SUBQUERY 2",
            ROUNDS,
        ],
    );
}

#[test]
fn status_is_read_and_moved_by_its_key() {
    visits(write::STATUS, &["SEARCH states USING PRIMARY KEY (message_id=?)"]);
    visits(write::MOVE, &["SEARCH states USING PRIMARY KEY (message_id=?)"]);
}

#[test]
fn recovery_visits_open_attempts_only() {
    // All of them, which are few: the partial index holds no other. Not the table.
    visits(recover::RECOVER, &["SCAN attempts USING INDEX attempts_open"]);
}

#[test]
fn receipt_finds_what_it_is_about() {
    let attempt = format!("{ATTEMPT} LEFT-JOIN");
    visits(receipts::TARGET, &[BY_ID, &attempt, ROUND_BY_ID]);
    visits(receipts::MEANT, &[ATTEMPTS]);
    visits(receipts::LAST_ATTEMPT, &[ATTEMPTS]);
}

#[test]
fn receipt_finds_its_message_by_hour_and_receiver() {
    visits(
        receipts::FIND,
        &[
            "COMPOUND QUERY",
            "LEFT-MOST SUBQUERY",
            "SEARCH m USING INDEX messages_by_receiver (<expr>=? AND receiver_hash=?)",
            "SEARCH a USING PRIMARY KEY (message_id=?)",
            "UNION ALL",
            "SEARCH m USING INDEX messages_scheduled (<expr>=? AND receiver_hash=?)",
            "SEARCH a USING PRIMARY KEY (message_id=?)",
        ],
    );
}

#[test]
fn parked_receipts_are_found_by_the_providers_id() {
    visits(
        receipts::PARKED,
        &[
            "SEARCH callbacks USING INDEX callbacks_parked (provider_message_id=?)",
            "SCALAR SUBQUERY 1",
            MESSAGES,
        ],
    );
    visits(receipts::MATCH, &["SEARCH callbacks USING INTEGER PRIMARY KEY (rowid=?)"]);
}

#[test]
fn doubt_is_found_and_settled_by_keys() {
    visits(doubt::SETTLE, &["SEARCH attempts USING PRIMARY KEY (message_id=? AND number=?)"]);
    visits(doubt::STARTED, &["SEARCH attempts USING PRIMARY KEY (message_id=? AND number=?)"]);
    visits(doubt::ROUND, &[ROUNDS]);
    visits(
        doubt::DOUBTS,
        &[
            "SEARCH w USING INDEX watches_in_doubt (receiver_hash=? AND provider=?)",
            "CORRELATED SCALAR SUBQUERY 1",
            LATER_ATTEMPTS,
            STATE_BY_ID,
            ATTEMPT,
        ],
    );
    visits(
        doubt::NO_DOUBT,
        &[
            "SEARCH watches USING INDEX watches_in_doubt (receiver_hash=? AND provider=?)",
            "SCALAR SUBQUERY 1",
            MESSAGES,
        ],
    );
}

#[test]
fn what_may_tell_of_a_doubt_is_found_by_its_message_or_receiver() {
    // What is sorted are the few receipts of a message, or of a receiver that are parked.
    visits(
        doubt::TOLD,
        &[
            "SEARCH c USING INDEX callbacks_by_message (message_id=?)",
            "CORRELATED SCALAR SUBQUERY 1",
            ATTEMPTS,
            "USE TEMP B-TREE FOR ORDER BY",
        ],
    );
    visits(
        doubt::PARKED_AT,
        &[
            "SEARCH callbacks USING INDEX callbacks_parked_by_receiver (receiver_hash=? AND provider=?)",
            "USE TEMP B-TREE FOR DISTINCT",
        ],
    );
    visits(
        doubt::ATTEMPTS_AT,
        &[
            "COMPOUND QUERY",
            "LEFT-MOST SUBQUERY",
            "SEARCH m USING INDEX messages_by_receiver (<expr>=? AND receiver_hash=?)",
            "SEARCH a USING PRIMARY KEY (message_id=?)",
            "UNION ALL",
            "SEARCH m USING INDEX messages_scheduled (<expr>=? AND receiver_hash=?)",
            "SEARCH a USING PRIMARY KEY (message_id=?)",
        ],
    );
}

#[test]
fn chain_is_gone_on_with_and_read_by_its_key() {
    visits(
        audit_of_file::LANE,
        &[
            "SEARCH h USING PRIMARY KEY (chain>?)",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH a USING PRIMARY KEY (chain=? AND seq>?)",
        ],
    );
    visits(write::audit::MOVE_HEAD, &["SEARCH audit_heads USING PRIMARY KEY (chain=?)"]);
    visits(audit_of_file::FORGET, &["SEARCH audit USING PRIMARY KEY (chain=? AND seq<?)"]);
    visits(audit::PART, &["SEARCH audit USING PRIMARY KEY (chain=? AND seq>?)"]);
    visits(audit::FIRST, &["SEARCH audit USING PRIMARY KEY (chain=? AND seq>?)"]);
    visits(audit::LAST, &["SEARCH audit USING PRIMARY KEY (chain=?)"]);
    visits(audit::NEXT_WITH_ENTRIES, &["SEARCH audit USING PRIMARY KEY (chain>?)"]);
    visits(audit::NEXT_WITH_HEAD, &["SEARCH audit_heads USING PRIMARY KEY (chain>?)"]);
    visits(audit::HEAD, &["SEARCH audit_heads USING PRIMARY KEY (chain=?)"]);
}

#[test]
fn entries_are_listed_by_the_way_that_leads_to_few() {
    // What is sorted are the few entries of a message.
    let id = MessageId::new(Timestamp::from_micros(0), [0; 10]);
    visits(
        &audit::of_message_sql(&AuditFilter::default(), id).0,
        &["SEARCH audit USING INDEX audit_by_message (message_id=?)", "USE TEMP B-TREE FOR ORDER BY"],
    );
    let page = AuditPage { after: None, limit: 1 };
    visits(
        &audit::of_no_message_sql(&AuditFilter::default(), None, page).0,
        &["SCAN audit USING INDEX audit_of_no_message"],
    );
}

#[test]
fn pages_of_the_audit_trail_are_one_statement_wherever_they_begin() {
    let page = |seq| {
        let after = AuditCursor { at: Timestamp::from_micros(seq), chain: seq, seq };
        audit::of_no_message_sql(&AuditFilter::default(), None, AuditPage { after: Some(after), limit: 1 }).0
    };
    assert_eq!(page(7), page(8));
}

#[test]
fn watches_are_taken_from_the_front_and_settled_by_their_key() {
    let one = "SEARCH watches USING PRIMARY KEY (due_at=? AND message_id=?)";
    visits(watches::SET, &[]);
    visits(watches::DUE, &["SEARCH watches USING PRIMARY KEY (due_at<?)"]);
    visits(watches::ONE, &[one]);
    visits(watches::END, &[one]);
    visits(watches::RECEIVER, &[MESSAGES]);
    let attempt = format!("{ATTEMPT} LEFT-JOIN");
    visits(watches::STANDING, &[STATE_BY_ID, ROUND_BY_ID, &attempt, "SCALAR SUBQUERY 1", ATTEMPTS]);
}

#[test]
fn watches_are_counted_in_one_walk() {
    // Their number is what is asked.
    visits(on_watch::COUNT, &["SCAN watches"]);
    visits(on_watch::ACCEPTED_AT, &[MESSAGES]);
    visits(on_watch::OLDEST, &["SCAN watches", "USE TEMP B-TREE FOR ORDER BY"]);
}

#[test]
fn outbox_is_read_from_its_front_and_emptied_by_its_key() {
    visits(outbox::FRONT, &["SCAN o", &format!("{BY_ID} LEFT-JOIN")]);
    visits(outbox::OLDEST, &["SCAN outbox"]);
    visits(outbox::NEWEST, &["SCAN outbox"]);
    visits(events::FORGET, &["SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)"]);
    visits(outbox::RAISED, &["SCAN events USING INDEX events_to_publish"]);
    visits(outbox::OLDEST_RAISED, &["SCAN events USING INDEX events_to_publish"]);
    visits(outbox::NEWEST_RAISED, &["SCAN events USING COVERING INDEX events_to_publish"]);
    visits(events::FORGET_RAISED, &["SEARCH events USING INTEGER PRIMARY KEY (rowid=?)"]);
    visits(events::IS_PUBLISHED, &["SEARCH events USING INTEGER PRIMARY KEY (rowid=?)"]);
    visits(events::TAKE_LEASE, &[]);
    visits(events::RELEASE_LEASE, &["SEARCH leases USING PRIMARY KEY (name=?)"]);
}

#[test]
fn deliveries_are_found_by_what_is_due_and_events_by_what_is_new() {
    use super::deliveries;
    use super::read::webhooks as read;
    use super::write::webhooks as write;
    let message = format!("{BY_ID} LEFT-JOIN");
    visits(read::TO_HAND_OUT, &["SCAN e USING INDEX events_to_hand_out", &message]);
    visits(
        read::DUE,
        &[
            "SEARCH d USING INDEX deliveries_due (endpoint_id=? AND due_at<?)",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH f USING COVERING INDEX deliveries_by_subject (endpoint_id=? AND subject=? AND number<?)",
            "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
            &message,
        ],
    );
    visits(read::ANY_TO_HAND_OUT, &["SCAN events USING COVERING INDEX events_to_hand_out"]);
    visits(
        read::WITH_DUE,
        &[
            "SCAN w",
            "CORRELATED SCALAR SUBQUERY 2",
            "SEARCH d USING INDEX deliveries_due (endpoint_id=? AND due_at<?)",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH f USING COVERING INDEX deliveries_by_subject (endpoint_id=? AND subject=? AND number<?)",
            "SEARCH k USING PRIMARY KEY (id=?) LEFT-JOIN",
        ],
    );
    visits(
        read::DELIVERIES,
        &["SEARCH deliveries USING INDEX deliveries_of_endpoint (endpoint_id=? AND number<?)"],
    );
    visits(
        read::POSTS,
        &[
            "SEARCH d USING INDEX deliveries_of_endpoint (endpoint_id=? AND number>? AND number<?)",
            "SEARCH p USING PRIMARY KEY (number=? AND endpoint_id=? AND post>?)",
            // Of a page, already in the order of the events.
            "USE TEMP B-TREE FOR LAST TERM OF ORDER BY",
        ],
    );
    visits(read::ONE, &["SEARCH events USING INTEGER PRIMARY KEY (rowid=?)"]);
    visits(read::RANGE, &["SEARCH events USING INDEX events_by_time (at>? AND at<?)"]);
    visits(read::RANGE_OF, &["SEARCH events USING INDEX events_of_caller (caller=? AND at>? AND at<?)"]);
    visits(read::TOLD_BEFORE, &["SEARCH events USING COVERING INDEX events_by_time (at<?)"]);
    let one = "SEARCH deliveries USING PRIMARY KEY (number=? AND endpoint_id=?)";
    visits(deliveries::IS_TAKEN, &[one]);
    visits(deliveries::END, &[one]);
    visits(deliveries::POST, &[one]);
    visits(write::BEGIN_ANEW, &["SEARCH deliveries USING INDEX deliveries_due (endpoint_id=?)"]);
    visits(deliveries::FORGET_POSTS, &["SEARCH delivery_posts USING PRIMARY KEY (number=?)"]);
    visits(deliveries::FORGET_DELIVERIES, &["SEARCH deliveries USING PRIMARY KEY (number=?)"]);
    visits(deliveries::FORGET_EVENT, &["SEARCH events USING INTEGER PRIMARY KEY (rowid=?)"]);
}

#[test]
fn message_is_sent_again_by_its_key() {
    let [one, two, three] = ["SCALAR SUBQUERY 1", "SCALAR SUBQUERY 2", "SCALAR SUBQUERY 3"];
    let texts = ["SCALAR SUBQUERY 4", MESSAGES];
    visits(
        resend::STANDING,
        &[&[STATE_BY_ID, one, ROUNDS, two, ATTEMPTS, three, ATTEMPTS][..], &texts].concat(),
    );
    visits(resend::NEW_ROUND, &[]);
}

#[test]
fn sweep_walks_on_from_where_it_ended() {
    visits(sweep::MARK, &["SEARCH progress USING PRIMARY KEY (chore=?)"]);
    visits(sweep::NEXT, &["SEARCH states USING PRIMARY KEY (message_id>? AND message_id<?)"]);
    visits(sweep::SCHEDULED, &[MESSAGES]);
}

#[test]
fn repeated_text_is_looked_for_by_hour_and_receiver() {
    visits(
        accept::REPEATED,
        &["SEARCH messages USING INDEX messages_by_receiver (<expr>=? AND receiver_hash=?)"],
    );
}

#[test]
fn those_that_wait_are_read_from_the_front_of_a_lane() {
    let front = "SEARCH q USING PRIMARY KEY (provider=? AND lane=? AND due_at<?)";
    let round = "SEARCH r USING PRIMARY KEY (message_id=?)";
    visits(queue::WAITING, &[front, "CORRELATED SCALAR SUBQUERY 1", round, STATE_BY_ID, BY_ID]);
    visits(queue::STUCK_IN_LANE, &[front, "CORRELATED SCALAR SUBQUERY 1", round, STATE_BY_ID]);
    visits(queue::NEXT_LANE, &["SEARCH queue USING PRIMARY KEY ((provider,lane)>(?,?))"]);
}

#[test]
fn stuck_messages_are_looked_for_among_the_few_that_are_under_way_or_in_doubt() {
    let sorted = "USE TEMP B-TREE FOR ORDER BY";
    visits(queue::STUCK_UNDER_WAY, &["SCAN a USING INDEX attempts_open", BY_ID, sorted]);
    visits(
        queue::STUCK_IN_DOUBT,
        &[
            "SEARCH w USING INDEX watches_in_doubt (receiver_hash>?)",
            "CORRELATED SCALAR SUBQUERY 1",
            LATER_ATTEMPTS,
            STATE_BY_ID,
            ATTEMPT,
            BY_ID,
            sorted,
        ],
    );
}

#[test]
fn messages_of_a_bulk_are_found_by_the_millisecond_of_its_id() {
    visits(
        &read::of_bulk_sql(),
        &["SEARCH m USING INDEX sqlite_autoindex_messages_1 (id>? AND id<?)", STATE_BY_ID],
    );
}

#[test]
fn earlier_request_is_found_by_day_and_key() {
    visits(accept::EARLIER, &["SEARCH idempotency USING PRIMARY KEY (day=? AND key=?)"]);
}

#[test]
fn message_is_shown_by_its_id() {
    visits(&read::message_sql(), &[STATE_BY_ID, BY_ID]);
    visits(read::ATTEMPTS, &["SEARCH attempts USING PRIMARY KEY (message_id=?)"]);
    visits(read::RECEIPTS, &["SEARCH callbacks USING INDEX callbacks_by_message (message_id=?)"]);
}

#[test]
fn first_and_last_hour_are_the_ends_of_the_index() {
    let end = "SEARCH messages USING COVERING INDEX messages_by_receiver";
    visits(read::OLDEST_HOUR, &[end]);
    visits(read::NEWEST_HOUR, &[end]);
}

#[test]
fn depth_counts_the_queue_and_sorts_nothing() {
    // Its size is what is asked.
    visits(queue::DEPTH, &["SCAN queue"]);
}

#[test]
fn counts_of_the_guard_are_found_by_their_keys() {
    visits(guard::ALL, &["SEARCH guard_counts USING PRIMARY KEY (grain=? AND bucket=?)"]);
    visits(guard::ONE, &["SEARCH guard_counts USING PRIMARY KEY (grain=? AND bucket=? AND subject=?)"]);
    visits(
        guard::CHANGED,
        &[
            "SEARCH m USING PRIMARY KEY (grain=? AND bucket=?)",
            "SEARCH c USING PRIMARY KEY (grain=? AND bucket=? AND subject=?)",
        ],
    );
    visits(
        guard::DAYS_OF_ONE,
        &["SEARCH guard_counts USING INDEX guard_days (subject=? AND bucket>? AND bucket<?)"],
    );
}

#[test]
fn key_is_found_by_its_hash() {
    let ends = "SEARCH former_secrets USING INDEX former_secrets_by_key (key_id=?)";
    visits(
        &read::keys::find_sql(),
        &[
            "COMPOUND QUERY",
            "LEFT-MOST SUBQUERY",
            "SEARCH k USING INDEX sqlite_autoindex_api_keys_2 (hash=?)",
            "CORRELATED SCALAR SUBQUERY 1",
            ends,
            "UNION ALL",
            "SEARCH f USING PRIMARY KEY (hash=?)",
            "SEARCH k USING PRIMARY KEY (id=?)",
            "CORRELATED SCALAR SUBQUERY 3",
            ends,
        ],
    );
}

/// Every combination of the conditions that do not choose the index.
fn filters(base: &Filter) -> Vec<Filter> {
    let time = Some(Timestamp::from_micros(1_795_422_600_123_456));
    let all = (0..32).map(|mask| {
        let on = |bit: u32| mask >> bit & 1 == 1;
        Filter {
            since: time.filter(|_| on(0)),
            until: time.filter(|_| on(1)),
            caller: on(2).then(|| KeyId::from_bytes([0; 16])),
            scenario: on(3).then_some(Scenario::Otp),
            provider: on(4).then(|| "twilio".parse().unwrap()),
            ..base.clone()
        }
    });
    all.collect()
}

/// The plans of a list's first page and of a later one, whatever else is asked.
fn list_plans(base: &Filter, hour: Option<i64>) -> Vec<Vec<String>> {
    let pages = [None, Some(MessageId::from_bytes([0; 16]))].map(|after| Page { after, limit: 50 });
    let lists: Vec<_> = filters(base)
        .iter()
        .flat_map(|filter| {
            pages.map(|page| read::newest_sql(filter, filter.receiver.map(|_| 0), page, hour, page.limit).0)
        })
        .collect();
    plans(lists.iter().map(String::as_str))
}

/// The beginning of a line, which names the index; the range behind it depends on the bounds.
#[track_caller]
fn assert_begins(line: &str, expected: &str) {
    assert!(line.starts_with(expected), "{line}");
}

#[test]
fn list_walks_back_by_id_and_sorts_nothing() {
    // Through messages, or through states where the list asks for something that stands there.
    let messages = "m USING INDEX sqlite_autoindex_messages_1";
    let ways = ["SCAN s".into(), "SEARCH s USING PRIMARY KEY (message_id".into()];
    let other_ways = [format!("SCAN {messages}"), format!("SEARCH {messages} (id")];
    for status in [None, Some(MessageStatus::Queued), Some(MessageStatus::Delivered)] {
        for plan in list_plans(&Filter { status, ..Filter::default() }, None) {
            let first = |ways: &[String]| ways.iter().any(|way| plan[0].starts_with(way));
            if plan[0].starts_with("SEARCH m USING INDEX messages_by_caller (caller=?") {
                assert_eq!(&plan[1..], [STATE_BY_ID]);
                continue;
            }
            assert!(first(&ways) || (status.is_none() && first(&other_ways)), "{}", plan[0]);
            assert_eq!(&plan[1..], [if first(&ways) { BY_ID } else { STATE_BY_ID }]);
        }
    }
}

#[test]
fn list_of_trouble_reads_its_own_index_and_sorts_nothing() {
    use MessageStatus::{Canceled, Expired, Failed, Undelivered};
    for status in [Undelivered, Failed, Canceled, Expired] {
        for plan in list_plans(&Filter { status: Some(status), ..Filter::default() }, None) {
            assert_begins(&plan[0], "SEARCH s USING INDEX states_in_trouble (status=?");
            assert_eq!(&plan[1..], [BY_ID]);
        }
    }
}

#[test]
fn list_of_a_receiver_reads_one_hour_of_its_index() {
    let receiver = Msisdn::from_parts(254_712_345_678, Country::KE).ok();
    for status in [None, Some(MessageStatus::Sent), Some(MessageStatus::Failed)] {
        for plan in list_plans(&Filter { receiver, status, ..Filter::default() }, Some(1)) {
            assert_eq!(plan[0], "SEARCH m USING INDEX messages_by_receiver (<expr>=? AND receiver_hash=?)");
            assert_eq!(plan[1], STATE_BY_ID);
        }
    }
}
