//! The same of what people say and are asked: messages from phones, consent, prompts, codes. What a statement reads must not
//! grow with what others have said.

use domain::ids::{InboundId, KeyId, PromptId};

use super::super::people::OPEN_NAMES;
use super::super::read::{inbound as of_phones, prompts as asked, verifications as codes};
use super::super::write::{again, consent, inbound, prompts, verifications};
use super::{STATE_BY_ID, assert_begins, plans, visits};
use crate::port::inbound::InboundFilter;
use crate::port::prompts::PromptFilter;

/// Claims that the statement finds its rows by these, and that it walks through no table.
#[track_caller]
fn finds(sql: &str, by: &[&str]) {
    let plan = plans([sql]).remove(0);
    assert!(!plan.iter().any(|line| line.starts_with("SCAN ") && line != "SCAN r"), "{plan:#?}");
    for one in by {
        assert!(plan.iter().any(|line| line.contains(one)), "{one} is not in {plan:#?}");
    }
}

#[test]
fn message_from_a_phone_is_known_by_its_providers_id() {
    visits(
        inbound::BEFORE,
        &["SEARCH inbound USING INDEX inbound_by_provider (provider=? AND provider_message_id=?)"],
    );
}

#[test]
fn messages_from_phones_are_listed_by_the_index_of_whoever_is_asked_for() {
    let after = Some(InboundId::from_bytes([0; 16]));
    for after in [None, after] {
        let caller = Some(KeyId::from_bytes([0; 16]));
        let of_caller = InboundFilter { caller, after, limit: 50, ..InboundFilter::default() };
        let plan = plans([of_phones::inbound_sql(&of_caller, None).0.as_str()]).remove(0);
        assert_begins(&plan[0], "SEARCH inbound USING INDEX inbound_by_caller (caller=?");
        assert_eq!(plan.len(), 1, "{plan:?}");
        let of_number = InboundFilter { after, limit: 50, ..InboundFilter::default() };
        let plan = plans([of_phones::inbound_sql(&of_number, Some(1)).0.as_str()]).remove(0);
        assert_begins(&plan[0], "SEARCH inbound USING INDEX inbound_by_number (from_hash=?");
        assert_eq!(plan.len(), 1, "{plan:?}");
    }
}

#[test]
fn what_somebody_does_not_want_is_found_by_the_number() {
    visits(consent::OF_NUMBER, &["SEARCH opt_outs USING PRIMARY KEY (number_hash=?)"]);
}

#[test]
fn what_stands_in_the_way_of_a_message_is_found_by_its_id_and_its_receiver() {
    finds(
        again::OPTED_OUT,
        &["sqlite_autoindex_messages_1 (id=?)", "SEARCH o USING PRIMARY KEY (number_hash=?)"],
    );
    let plan = plans([again::IS_DECIDED]).remove(0);
    let by_message = "SEARCH m USING COVERING INDEX prompt_messages_by_message (message_id=?)";
    assert_eq!(plan[2..], [by_message, "SEARCH p USING PRIMARY KEY (id=?)"]);
}

#[test]
fn what_waits_for_somebody_is_found_by_hour_and_receiver() {
    visits(
        consent::ACCEPTED,
        &["SEARCH m USING INDEX messages_by_receiver (<expr>=? AND receiver_hash=?)", STATE_BY_ID],
    );
    let plan = plans([consent::SCHEDULED]).remove(0);
    assert_begins(&plan[0], "SEARCH m USING INDEX messages_scheduled (<expr>>?");
    assert_eq!(plan[1], STATE_BY_ID);
}

#[test]
fn prompts_of_a_number_are_those_that_are_open_and_those_that_were_closed_last() {
    let open = "prompt_receivers_by_number (receiver_hash=? AND closed_at=?)";
    finds(OPEN_NAMES, &[open, "SEARCH p USING PRIMARY KEY (id=?)"]);
    finds(
        asked::OF_RECEIVER,
        &[
            open,
            "prompt_receivers_by_number (receiver_hash=? AND closed_at>?)",
            "SEARCH p USING PRIMARY KEY (id=?)",
            "SEARCH m USING PRIMARY KEY (prompt_id=? AND place=?)",
            "SEARCH a USING PRIMARY KEY (message_id=?)",
        ],
    );
}

#[test]
fn replies_are_found_by_the_person_and_the_prompt() {
    let of_one = "prompt_replies_by_place (prompt_id=? AND place=?)";
    finds(asked::PLACES, &["SEARCH r USING PRIMARY KEY (prompt_id=?)", of_one]);
    finds(prompts::kept::OF_PLACE, &[of_one]);
    finds(prompts::LAST_ASK, &["SEARCH prompt_asks USING PRIMARY KEY (receiver_hash=?)"]);
    finds(prompts::PLACE_OF, &["prompt_messages_by_message (message_id=? AND prompt_id=?)"]);
    finds(prompts::WAITING, &["SEARCH p USING PRIMARY KEY (prompt_id=?)", STATE_BY_ID]);
}

#[test]
fn prompts_whose_time_has_come_are_found_among_those_that_are_open() {
    finds(prompts::OVERDUE, &["SEARCH prompts USING INDEX prompts_open (closes_at<?)"]);
    finds(asked::DUE, &["SEARCH prompts USING INDEX prompts_to_remind (remind_at"]);
}

#[test]
fn prompts_are_listed_by_their_caller_or_among_those_that_are_open() {
    let page = |filter| format!("SELECT id FROM prompts {}", asked::list_sql(&filter).0);
    for after in [None, Some(PromptId::from_bytes([0; 16]))] {
        let caller = Some(KeyId::from_bytes([0; 16]));
        let of_caller = PromptFilter { caller, after, limit: 50, ..PromptFilter::default() };
        let plan = plans([page(of_caller).as_str()]).remove(0);
        assert_begins(&plan[0], "SEARCH prompts USING COVERING INDEX prompts_by_caller (caller=?");
        assert_eq!(plan.len(), 1, "{plan:?}");
        let open = PromptFilter { is_open: Some(true), after, limit: 50, ..PromptFilter::default() };
        let plan = plans([page(open).as_str()]).remove(0);
        assert!(plan[0].contains("prompts_open_by_id"), "{plan:?}");
        assert_eq!(plan.len(), 1, "{plan:?}");
    }
}

#[test]
fn what_is_old_of_prompts_is_found_by_indexes() {
    for sql in prompts::forget::OF_OLD.iter().chain([&prompts::forget::OLD]) {
        finds(sql, &["SEARCH prompts USING PRIMARY KEY (id<?)"]);
    }
    finds(prompts::forget::ERASE_WORDS, &["prompt_replies_words (inbound_id<?)"]);
    finds(prompts::forget::FORGET_ASKS, &["prompt_asks_by_time (asked_at<?)"]);
    finds(
        prompts::forget::FORGET_WORDS,
        &[
            "prompt_receivers_by_number (receiver_hash=?)",
            "prompt_replies_by_place (prompt_id=? AND place=?)",
        ],
    );
}

#[test]
fn code_is_found_by_its_message_and_those_that_are_open_by_their_receiver() {
    let by_id = "SEARCH verifications USING PRIMARY KEY (message_id=?)";
    visits(verifications::FIND, &[by_id]);
    visits(verifications::MOVE, &[by_id]);
    finds(codes::OPEN, &["verifications_open (receiver_hash=?)"]);
    finds(codes::OVERDUE, &["verifications_next (expires_at<?)"]);
    finds(verifications::OPEN, &["verifications_open (receiver_hash=?)"]);
    visits(verifications::ROUTE, &["SEARCH states USING PRIMARY KEY (message_id=?)"]);
}
