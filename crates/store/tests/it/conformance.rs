//! What every backend must do. A backend is held to it by one line, `conformance!(name, itsFixture)`.
//!
//! A test is a function over a [`Bench`](crate::support::Bench), listed below. One that is written but not
//! listed is dead code, and so a warning.

pub(crate) mod audit;
mod doubts;
mod events;
mod finish;
mod group;
mod guard;
pub(crate) mod history;
mod idempotency;
mod keys;
mod lists;
mod messages;
mod nodes;
mod queue;
mod quiet;
mod quotas;
mod receipts;
mod resend;
mod routes;
mod sealing;
mod spending;
mod sweep;
mod tampering;
mod watches;

use crate::support::{Bench, PostgresFixture, SqliteFixture};

macro_rules! conformance {
    ($backend:ident, $fixture:ty) => {
        mod $backend {
            use super::*;

            conformance!(@room messages, $fixture,
                message_with_every_field_reads_back_equal,
                message_without_options_reads_back_equal,
                text_reads_back_character_for_character,
                long_text_reads_back,
                each_scenario_and_lane_reads_back,
                accepting_shows_lists_and_queues_the_message,
                message_is_scheduled_only_if_due_after_it_was_accepted,
                accepted_message_survives_reopening,
                accept_of_many_stores_all,
                accept_of_many_stores_none_when_one_of_them_is_there_already,
                refused_accept_does_not_harm_those_beside_it,
                accept_of_nothing_stores_nothing,
                unknown_message_is_none,
                times_keep_their_microseconds,
            );
            conformance!(@room audit, $fixture,
                accepted_message_has_an_entry_without_its_number_and_text,
                each_end_of_a_message_has_its_entry,
                each_change_of_status_that_others_hear_of_has_an_entry,
                what_is_taken_back_leaves_no_entry,
                acts_of_operators_have_entries,
                acts_on_keys_have_entries_of_whoever_did_them,
                person_that_was_forgotten_stays_in_the_trail_by_hash_alone,
                feedback_has_an_entry_when_it_is_given_first,
                entries_of_many_at_once_form_chains_that_hold,
                chain_that_is_far_ahead_is_not_gone_on_with,
                entries_are_listed_by_what_is_asked_for,
                pages_of_entries_return_each_once_newest_first,
                notes_without_a_message_are_paged_too,
                checkpoint_signs_where_chains_end_if_anything_is_new,
                what_is_left_after_forgetting_holds,
                many_messages_of_one_commit_have_an_entry_each,
            );
            conformance!(@room tampering, $fixture,
                changed_entry_is_named,
                cut_tail_is_named,
                entry_that_was_taken_out_is_named,
                swapped_entries_are_named,
                head_that_was_put_back_is_named_and_the_gateway_goes_on,
                trail_that_was_put_back_as_a_whole_is_found_by_a_checkpoint,
                checkpoint_that_was_changed_is_named,
                chain_that_was_taken_out_as_a_whole_is_named,
                chain_that_knows_of_a_checkpoint_can_not_be_made_to_forget_it,
                change_of_any_column_is_found,
            );
            conformance!(@room quotas, $fixture,
                quota_is_drawn_on_to_the_last_and_survives_reopening,
                of_two_hundred_at_once_as_many_pass_as_may,
                clock_that_was_ahead_shuts_nobody_out_for_longer_than_the_rule_says,
                who_is_refused_by_one_quota_draws_on_none,
                of_many_messages_those_beyond_are_named_and_none_is_stored,
                refused_request_is_not_remembered_and_a_repeated_one_draws_nothing,
                quotas_that_have_ended_are_forgotten,
            );
            conformance!(@room spending, $fixture,
                cap_holds_what_is_reserved_and_then_what_was_charged,
                of_two_hundred_at_once_the_cap_lets_pass_what_it_can_pay,
                what_is_sent_again_is_reserved_again_within_the_cap,
                reservation_that_grew_since_it_was_read_is_left_alone,
                reservations_are_read_page_by_page,
            );
            conformance!(@room sealing, $fixture,
                all_that_is_sealed_is_read_under_a_new_key_and_the_old_one_can_go,
                key_that_went_too_early_is_told_and_takes_only_what_it_sealed,
                node_that_has_not_heard_of_a_new_key_seals_under_it_all_the_same,
                nothing_is_sealed_while_the_key_in_use_can_not_be_opened,
                of_two_that_seal_anew_the_one_with_the_older_key_writes_nothing,
                text_of_a_code_is_erased_once_it_has_served,
                erased_text_is_never_sent,
                texts_are_kept_for_as_long_as_they_are_to_be,
                person_is_forgotten_with_all_that_happened_but_for_what_waits,
                keys_for_other_purposes_are_the_same_each_time_and_differ_by_purpose,
            );
            conformance!(@room idempotency, $fixture,
                repeated_request_is_answered_as_before_and_stores_nothing,
                key_with_another_request_is_refused_and_stores_nothing,
                other_key_with_the_same_request_is_another_request,
                of_fifty_equal_requests_at_once_one_is_stored,
                key_is_remembered_to_the_end_of_its_window,
                earlier_request_is_told_without_accepting_anything,
                forgotten_key_begins_a_new_window,
                key_is_remembered_across_midnight,
                key_is_remembered_after_reopening,
                key_of_an_accept_that_failed_is_not_remembered,
                request_in_which_nothing_was_accepted_is_remembered_too,
            );
            conformance!(@room lists, $fixture,
                empty_store_lists_nothing,
                list_is_newest_first_and_complete,
                each_status_lists_its_messages,
                failed_message_is_listed_with_its_reason,
                caller_sees_only_its_own,
                scenario_and_provider_list_their_messages,
                provider_is_the_one_that_has_it_or_is_asked_next,
                conditions_combine,
                since_is_inclusive_and_until_exclusive_to_the_microsecond,
                bounds_hold_in_the_list_of_trouble,
                pages_return_every_message_once,
                pages_do_not_shift_when_messages_arrive,
                receiver_lists_its_messages_over_many_hours,
            );
            conformance!(@room history, $fixture,
                messages_that_ended_are_forgotten_with_all_that_happened_to_them,
                what_is_young_enough_is_kept,
                everything_is_kept_where_that_is_wanted,
                message_that_waits_is_kept_however_old_it_is,
                message_in_doubt_is_kept_however_old_it_is,
                what_comes_after_is_accepted_and_found,
                answers_are_forgotten_when_no_request_can_ask_for_them,
            );
            conformance!(@room queue, $fixture,
                claim_opens_an_attempt_with_what_the_provider_needs,
                claimed_message_is_not_claimed_again,
                claim_of_an_empty_queue_is_empty,
                scheduled_message_is_not_claimed_before_it_is_due,
                claim_takes_only_its_providers_messages,
                lanes_are_served_in_order_and_each_first_in_first_out,
                messages_due_at_once_go_in_the_order_of_their_ids,
                time_that_a_message_is_due_decides_its_turn,
                claim_takes_no_more_of_a_lane_than_allowed,
                claim_takes_no_more_than_allowed_in_total,
                claim_fills_no_more_requests_than_each_lane_may_open,
                what_may_begin_at_once_goes_to_the_first_lane,
                lanes_above_leave_a_lane_its_guaranteed_requests,
                lanes_above_leave_a_lane_its_guaranteed_share_of_the_total,
                sender_that_may_not_send_now_keeps_nobody_else_waiting,
                bulk_messages_with_one_text_share_a_request,
                message_of_another_lane_has_a_request_to_itself,
                rest_of_a_lane_is_claimed_next_in_order,
                messages_due_at_once_are_claimed_in_parts_and_none_is_lost,
                next_due_is_the_next_that_waits_in_each_lane,
                message_whose_time_ran_out_expires_and_is_not_claimed,
                expired_messages_of_all_lanes_are_told,
                concurrent_claimers_never_get_the_same_message,
                message_accepted_while_others_are_claimed_is_claimed_once,
                depth_counts_each_lane_of_each_provider,
                message_that_a_receipt_settled_while_it_waited_is_not_claimed,
                message_that_a_receipt_settled_does_not_expire,
            );
            conformance!(@room finish, $fixture,
                each_outcome_leads_where_it_should,
                acceptance_is_kept_with_id_segments_and_cost,
                each_reason_and_code_reads_back,
                retry_is_claimed_as_the_second_attempt_once_due,
                retry_takes_the_provider_lane_and_expiry_that_it_was_given,
                retry_whose_time_ran_out_expires,
                attempts_are_counted_over_many_retries,
                attempt_ends_once,
                attempt_ends_once_within_one_call,
                ambiguous_attempt_may_still_end_in_any_way,
                ambiguous_attempt_is_not_tried_again_twice,
                late_end_of_an_earlier_attempt_does_not_queue_the_message_beside_an_open_one,
                late_refusal_of_an_earlier_attempt_does_not_stop_a_later_one,
                late_acceptance_of_an_earlier_attempt_takes_the_message_off_the_queue,
                receipt_that_came_first_prevents_the_retry,
                end_of_an_attempt_that_never_was_changes_nothing,
                many_attempts_end_in_one_call,
                outcome_survives_reopening,
                recovery_closes_attempts_whose_lease_has_run_out,
                recovery_of_the_only_node_closes_all_of_others_and_leaves_its_own,
                recovery_leaves_attempts_that_have_ended,
                late_end_after_a_recovery_still_wins,
                recovery_finds_what_a_closed_store_left_open,
            );
            conformance!(@room receipts, $fixture,
                receipt_is_matched_by_our_id_and_moves_the_status,
                receipt_is_kept_as_it_came,
                receipts_are_shown_in_the_order_they_came,
                delivered_clears_the_reason_of_an_earlier_failure,
                receipt_for_another_receiver_is_parked_and_changes_nothing,
                receipt_for_an_unknown_message_is_parked,
                receipt_is_matched_by_the_providers_id_and_the_receiver,
                providers_id_alone_matches_nothing_of_another_receiver_or_provider,
                receipt_by_the_providers_id_finds_a_message_of_three_days_ago,
                receipt_by_the_providers_id_finds_a_message_that_was_scheduled_long_ago,
                receipt_of_any_attempt_of_the_message_is_matched,
                receipt_before_the_providers_answer_is_parked_and_applied_with_it,
                parked_receipt_of_another_provider_is_not_applied,
                parked_receipt_for_another_receiver_is_not_applied,
                parked_receipt_of_another_message_is_left_alone,
                receipt_while_the_attempt_is_open_counts_at_once,
                receipts_in_any_order_and_twice_end_in_delivered,
                receipts_of_one_call_are_answered_in_order,
                unknown_word_is_kept_and_changes_nothing,
                unknown_word_may_be_parked_too,
                receipt_settles_an_ambiguous_attempt,
                receipt_outranks_what_was_concluded,
                receipts_survive_reopening,
            );
            conformance!(@room doubts, $fixture,
                receipt_that_comes_after_a_doubt_was_given_up_still_tells,
                receipt_about_one_of_two_given_up_doubts_is_parked,
                ambiguous_end_is_on_watch_from_the_time_it_says,
                ambiguous_end_without_a_time_is_looked_after_at_once,
                given_up_attempt_keeps_its_reason_and_the_message_says_that_nobody_knows,
                attempt_in_doubt_that_was_found_out_ends_as_it_did,
                recovery_leaves_each_attempt_that_it_closes_in_doubt,
                recovery_of_a_message_that_a_receipt_has_settled_leaves_no_doubt,
                doubt_about_an_attempt_that_a_receipt_told_of_is_none,
                receipt_that_names_an_ambiguous_attempt_settles_it_as_accepted,
                receipt_of_another_provider_does_not_settle_an_attempt,
                receipt_without_our_id_settles_the_only_doubt_of_its_receiver,
                receipt_without_our_id_does_not_choose_between_two_doubts,
                receipt_without_our_id_may_be_about_an_attempt_under_way,
                receipt_without_our_id_may_be_about_an_attempt_that_was_given_up,
                receipt_without_our_id_settles_nothing_of_another_provider_or_receiver,
                parked_receipts_of_one_id_settle_a_doubt_when_it_is_looked_after,
                parked_receipts_of_two_ids_or_from_before_settle_no_doubt,
                known_ids_are_those_of_others_since_an_hour_before,
                late_end_of_an_attempt_in_doubt_ends_the_doubt,
                negative_receipt_of_an_attempt_does_not_stop_a_later_one,
                late_answer_with_another_watch_leaves_one,
                attempt_of_an_earlier_round_is_settled_and_does_not_move_the_message,
                acceptance_is_looked_after_when_it_says_so,
            );
            conformance!(@room watches, $fixture,
                taken_watch_comes_back_when_its_lease_ends,
                watches_are_taken_in_the_order_of_their_time_and_no_more_than_asked,
                watch_is_set_anew_or_ended_as_decided,
                doubt_does_not_end_because_somebody_says_so,
                pointless_watches_end_and_make_room_for_others,
                silence_of_an_attempt_is_pointless_once_there_is_a_later_one,
                receipt_of_a_fault_that_another_route_may_not_share_sets_a_watch,
                undelivered_message_is_sent_again_by_another_route,
                undelivered_message_whose_attempt_is_under_way_is_looked_after_when_it_has_ended,
                message_that_waited_in_vain_ends_by_where_it_stood,
                watches_of_one_moment_are_kept_apart,
                watches_are_counted_by_kind,
                message_under_way_is_not_ended_by_silence,
            );
            conformance!(@room sweep, $fixture,
                message_without_a_receipt_is_undelivered_at_the_horizon,
                message_that_nobody_will_report_on_stays_sent,
                message_that_was_never_claimed_expires_at_the_horizon,
                message_that_still_has_time_is_watched_until_it_is_as_old,
                message_that_nobody_was_asked_to_send_is_shown_without_an_attempt,
                watch_of_a_sweep_lasts_over_later_attempts,
                sweep_walks_on_from_where_it_ended_also_after_reopening,
                sweep_passes_by_what_has_ended,
                message_sent_again_after_the_sweep_is_on_watch,
                message_in_doubt_at_the_horizon_stays_in_doubt,
            );
            conformance!(@room resend, $fixture,
                message_is_queued_again_as_it_says,
                message_is_left_alone_where_it_does_not_stand_as_thought,
                message_whose_attempt_is_open_is_not_sent_again,
                message_that_never_left_is_sent_again_as_the_first_attempt,
                receipt_of_an_earlier_round_counts_only_if_it_says_delivered,
                receipt_of_the_new_round_counts,
                row_left_over_from_an_earlier_round_is_never_claimed,
                row_at_the_place_of_one_that_was_left_over_takes_it,
                row_left_over_does_not_expire_the_message_that_was_sent_again,
                waiting_message_is_canceled_and_leaves_the_queue,
                message_that_has_left_is_not_canceled,
                canceled_message_that_waited_elsewhere_is_never_claimed,
            );
            conformance!(@room routes, $fixture,
                those_that_wait_are_shown_and_not_taken,
                those_that_wait_are_shown_lane_by_lane,
                diverted_message_waits_for_its_new_route,
                message_that_has_left_is_not_diverted,
                depth_tells_how_long_messages_are_due,
                stuck_messages_are_told_with_what_they_wait_for,
                doubt_that_was_settled_is_not_stuck,
                drained_route_is_remembered_until_it_is_put_back,
            );
            conformance!(@room quiet, $fixture,
                message_in_quiet_hours_waits_until_they_end,
                message_in_quiet_hours_does_not_hold_back_those_behind_it,
                message_that_was_sent_again_is_held_too,
                message_is_held_from_the_start,
                repeated_text_is_refused_and_nothing_stored,
                other_text_number_or_caller_is_no_repetition,
                repetition_over_the_hour_is_found,
                request_with_a_key_says_itself_what_it_repeats,
                messages_of_a_bulk_are_those_that_came_with_it,
            );
            conformance!(@room nodes, $fixture,
                every_node_is_told_of_all_that_live,
                node_that_leaves_is_forgotten_at_once,
                leases_of_a_node_that_is_gone_end_and_those_of_others_do_not,
                what_a_node_did_for_all_another_may_do_when_it_is_gone_or_has_left,
            );
            conformance!(@room events, $fixture,
                none_is_kept_unless_somebody_wants_them,
                events_are_kept_until_nobody_wants_them_any_more,
                each_change_leaves_one_event_in_order,
                what_ends_otherwise_is_told_too,
                message_that_is_sent_again_is_told_as_queued_again,
                event_tells_what_it_must_and_no_number_and_no_text,
                many_changes_of_one_commit_leave_one_event_each,
                accept_that_is_taken_back_leaves_none,
                forgotten_event_is_gone_and_its_number_never_used_again,
                front_of_the_outbox_is_read_and_its_depth_told,
                lease_is_one_nodes_until_it_ends_or_is_given_back,
            );
            conformance!(@room guard, $fixture,
                count_that_can_not_be_read_is_left_out,
                counts_of_many_at_once_add_up,
                what_is_taken_back_is_subtracted,
                stretches_that_run_and_those_before_are_read,
                those_that_changed_lately_are_read,
                whole_days_are_added_up,
                decision_reads_back_with_every_field,
                decisions_are_found_by_each_condition,
                feedback_counts_once_however_often_it_is_given,
                sample_that_is_confirmed_is_counted_with_its_decision,
                what_is_old_is_forgotten_and_what_is_not_stays,
            );
            conformance!(@room keys, $fixture,
                created_key_is_found_by_its_hash_with_every_field,
                unknown_hash_finds_no_key,
                keys_are_listed_oldest_first,
                revoked_key_is_still_found_with_the_time_it_ended,
                first_revocation_stands,
                unknown_key_is_not_revoked,
                key_with_a_hash_or_id_in_use_is_refused,
                refused_key_does_not_harm_what_is_written_beside_it,
                after_a_rotation_both_secrets_find_the_key_and_the_old_one_says_when_it_ends,
                repeated_rotation_takes_no_secret_before_its_time,
                key_that_has_ended_or_is_not_there_gets_no_other_secret,
                first_key_is_made_only_where_there_is_none,
                latest_use_of_a_key_stands,
            );
            conformance!(@room group, $fixture,
                five_hundred_accepts_at_once_are_all_answered_and_all_there,
                whole_lives_side_by_side_end_as_they_should,
                events_of_whole_lives_side_by_side_come_in_order,
                what_was_answered_is_seen_by_the_next_read,
                write_is_done_also_when_its_caller_has_gone_away,
                closing_finishes_what_is_waiting,
                closed_store_answers_stopped,
                store_that_is_dropped_unclosed_can_be_opened_again_at_once,
            );
        }
    };
    (@room $room:ident, $fixture:ty, $($name:ident,)+) => {
        mod $room {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    $crate::conformance::$room::$name(Bench::<$fixture>::new().await).await;
                }
            )+
        }
    };
}

conformance!(sqlite, SqliteFixture);
conformance!(postgres, PostgresFixture);
