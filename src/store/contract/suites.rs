//! The lists of what is run: each macro makes one test of each function of its suites, for the
//! backend that names it.

/// Makes a module `$backend` of tests that call the functions of `$suite` with `$home`.
macro_rules! suite {
    ($backend:ident, $home:expr, $suite:path: $($test:ident)*) => {
        mod $backend {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test]
                async fn $test() {
                    use $suite as suite;
                    suite::$test(&$home).await;
                }
            )*
        }
    };
}
pub(crate) use suite;

macro_rules! broker_contract {
    ($backend:ident, $home:expr) => {
        mod broker_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::broker:
                inserts_are_read_back_in_order
                updates_replace_and_are_read_in_order_of_last_writing
                what_is_ignored_is_not_stored
                a_page_ends_at_its_entries
                a_page_ends_at_its_bytes_but_has_one_entry
                reading_past_the_end_finds_nothing
                an_unknown_room_is_empty
                bodies_and_ids_come_back_as_they_were
                whitespace_around_a_message_comes_back
                rooms_are_apart
                a_cleared_room_begins_anew
                stored_entries_outlive_a_restart
                a_large_batch_is_stored_whole
                it_answers_until_it_is_closed
            );
        }
        mod updates_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::updates:
                an_update_too_many_is_refused_and_the_rest_of_its_batch_is_not
                updates_are_bounded_in_bytes
                what_is_not_larger_may_always_replace
                replacing_again_and_again_fills_nothing
                the_bound_outlives_a_restart_and_ends_with_a_clearing
                more_than_was_asked_for_is_told_in_bytes
            );
        }
        mod order_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::order:
                members_are_told_in_order_and_n_grows_by_one
                a_publication_says_who_is_told
                clearing_is_told_and_n_goes_on
                clearing_an_unknown_room_is_told_too
                n_goes_on_after_the_last_member_left
                what_a_member_was_told_can_be_read
                fifty_rooms_at_once
            );
        }
        mod positions_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::positions:
                an_entry_is_placed_where_it_is_told
                members_are_told_the_index_of_an_insert_and_of_nothing_else
                an_entry_is_placed_when_it_is_stored
                an_index_is_an_offset_from_the_logs_beginning
                no_index_is_used_again
                n_goes_on_where_the_index_does
                a_position_names_the_log_as_pages_do
                a_page_tells_the_places_that_are_known
                how_a_room_stands_is_known_without_reading_its_log
            );
        }
        mod spaces_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::spaces:
                rooms_of_different_spaces_never_meet
                a_name_within_a_space_may_be_any_text
            );
        }
    };
}
pub(crate) use broker_contract;

macro_rules! upkeep_contract {
    ($backend:ident, $home:expr) => {
        mod keys_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::keys:
                a_second_insert_with_a_key_is_neither_stored_nor_told
                duplicates_leave_the_rest_of_their_batch_as_it_is
                keys_are_of_a_room_and_of_inserts_alone
                any_text_is_a_key
                the_newest_thousand_keys_are_known
                keys_outlive_a_restart_and_end_with_a_clearing
            );
        }
        mod receipts_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::receipts:
                the_second_of_a_receipt_is_replayed
                receipts_leave_the_rest_of_their_batch_as_it_is
                refusals_are_not_kept
                what_is_not_stored_is_told_once_too
                of_fifty_at_once_in_as_many_rooms_one_is_published
                receipts_outlive_a_restart_and_a_clearing
                a_receipt_is_kept_for_a_day
                a_key_stands_for_one_thing_whether_or_not_it_is_published
            );
        }
        mod upkeep_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::upkeep:
                what_is_recalled_is_hidden_and_keeps_its_place
                recalling_again_returns_it_and_tells_nobody
                a_recalled_message_comes_back_byte_for_byte
                a_long_key_is_recalled_and_told_whole
                what_is_not_there_is_not_recalled
                only_the_newest_are_recalled
                a_recall_outlives_a_restart_and_its_key_stays_known
                a_log_is_forgotten_with_what_came_meanwhile
                what_comes_after_it_lives_on
                a_later_word_replaces_an_earlier_one
                it_outlives_a_restart_and_a_clearing
                a_room_without_a_log_and_without_members_expires
            );
        }
        mod retention_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::retention:
                what_is_too_old_is_hidden_though_nobody_has_trimmed
                of_too_many_the_oldest_are_hidden
                many_old_updates_are_found
                a_room_without_a_rule_keeps_all
                a_rule_is_for_lives_that_it_names_with_their_dialect
                a_walk_finds_every_room_with_messages
                one_node_is_chosen
            );
        }
        mod erase_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::erase:
                what_a_user_said_is_overwritten_and_keeps_its_place
                erasing_reaches_every_copy
                erasing_in_named_rooms_leaves_the_others
                erasing_in_the_middle_of_a_batch_leaves_its_neighbours
                inserts_are_overwritten_by_their_indexes
                of_what_is_overwritten_by_its_index_nothing_is_left
                whose_a_message_is_says_the_form_of_its_room
            );
        }
        mod lives_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::lives:
                a_life_begins_with_index_0_and_counts_through_all_but_its_end
                a_room_that_keeps_nothing_counts_on
                the_newest_and_any_window_are_read_by_index
                a_life_is_forgotten_with_what_came_late
                forgetting_outlives_a_restart
            );
        }
        mod trim_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::trim:
                what_is_trimmed_is_gone_and_nothing_else_moves
                a_log_is_trimmed_to_a_number_of_inserts
                what_is_too_old_goes_with_what_stands_before_it
                updates_go_by_their_last_writing
                an_emptied_log_counts_on
                a_cleared_log_counts_anew
                trimming_in_the_middle_of_a_batch_splits_it
                trimming_outlives_a_restart
                a_page_below_the_start_begins_there
                keys_and_recalls_of_what_is_gone_are_gone
                a_long_log_is_hidden_at_once
                a_room_that_is_not_there_is_trimmed_in_vain
                members_are_told_the_index_behind_a_trimming
            );
        }
    };
}
pub(crate) use upkeep_contract;

macro_rules! presence_contract {
    ($backend:ident, $home:expr) => {
        mod presence_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::presence:
                newcomers_are_told_to_the_others_and_get_the_roster_in_join_order
                departures_are_told_as_they_were
                entering_again_is_not_announced
                the_hidden_see_and_are_not_seen
                who_shows_up_joins_last
                who_hides_is_gone
                a_stranger_departs_unnoticed
                presence_and_messages_share_one_order
                rooms_are_listed_while_anybody_is_there
                a_thousand_members_are_in_join_order
                a_room_goes_on_after_everybody_left
            );
        }
        mod connections_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::connections:
                each_connection_is_told_with_how_many_there_are
                a_user_has_one_place_as_long_as_any_of_its_connections_is_there
                connections_of_a_number_and_of_its_text_are_one_user
                the_hidden_connections_of_a_user_are_not_counted
                a_held_place_counts_as_a_connection
                a_held_place_is_given_up_beside_another_connection
                who_comes_and_goes_learns_how_many_of_its_user_are_there
                who_was_removed_counts_no_more
                whoever_ends_leaves_what_it_is_in
                held_places_and_guests_are_no_connections_of_a_user
            );
        }
        mod remove_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::remove:
                who_is_removed_is_out_with_all_its_connections
                a_removal_has_its_place_in_the_order
                of_the_hidden_only_its_node_learns_that_it_was_removed
                a_held_place_is_removed_and_is_held_no_more
                a_stranger_is_removed_from_nowhere
                the_sessions_of_a_user_are_ended_as_is_said
            );
        }
        mod directory_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::directory:
                a_users_connections_are_found_with_their_rooms
                who_never_claims_is_found_by_the_name_that_it_entered_with
                guests_are_members_and_no_users
                members_come_in_pages_in_the_order_of_their_joining
                ten_thousand_members_are_read_while_people_come_and_go
                rooms_come_in_pages_by_name
                users_come_in_pages_by_uid
                users_and_rooms_are_counted
            );
        }
        mod spaces_presence_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::spaces:
                rooms_are_listed_with_their_spaces
            );
        }
        mod kickout_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::kickout:
                a_second_session_evicts_the_first_and_its_rooms_are_held
                a_held_place_is_taken_over_silently_in_its_order
                a_held_place_is_given_up_once
                who_was_kicked_gives_up_no_place_of_its_successor
                entering_hidden_leaves_the_place_held
                the_rooms_of_the_hidden_are_not_held
                a_kick_of_a_kick_inherits_the_holds
                claiming_again_changes_nothing
                the_evicted_depart_unnoticed
                an_end_is_for_the_session_of_that_connection
                number_and_text_are_one_uid
                of_fifty_claims_one_survives
            );
        }
        mod revocations_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::revocations:
                the_session_of_a_revoked_user_is_refused
                a_session_is_told_of_a_revocation_by_whoever_runs_beside_it
                a_claim_whose_check_may_have_missed_a_revocation_fails
                all_connections_of_a_revoked_user_are_told
                a_visitor_whose_check_may_have_missed_a_revocation_is_checked_again
            );
        }
    };
}
pub(crate) use presence_contract;

macro_rules! outbox_contract {
    ($backend:ident, $home:expr) => {
        mod outbox_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::outbox::messages:
                messages_are_told_in_their_order
                a_batch_names_its_room_and_is_bounded
                a_life_is_told_as_people_call_it
                a_dialects_rooms_are_asked_for_by_its_word
                an_inbox_is_told_to_nobody
                what_nobody_asked_for_is_not_written
                a_clearing_is_told
                a_trimming_is_told
                a_batch_never_changes
                a_room_is_taken_by_one_until_its_lease_is_over
                what_became_of_a_batch_may_be_said_twice
                rooms_are_sent_beside_each_other
                endpoints_have_queues_of_their_own
                what_waits_outlives_a_restart
            );
        }
        mod outbox_presence_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::outbox::presence:
                joins_and_leaves_are_told_with_the_rooms_beginning_and_end
                who_returns_in_time_has_not_left
                a_user_leaves_with_the_last_connection
                the_hidden_are_not_told
                a_place_that_is_held_is_not_left
                who_is_taken_out_has_left
                sessions_are_told_as_their_users
                a_number_is_told_as_a_number
            );
        }
        mod outbox_erasing_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::outbox::erasing:
                what_is_erased_is_not_told
                what_is_erased_is_not_told_of_rooms_without_messages
                who_is_erased_is_erased_from_all_that_was_put_aside
            );
        }
        mod outbox_parking_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::outbox::bounds:
                a_parked_batch_leaves_a_gap_and_can_be_replayed
                parked_batches_are_listed_in_pages
                too_much_drops_the_oldest_and_says_so
            );
        }
    };
}
pub(crate) use outbox_contract;

macro_rules! outbox_bounds_contract {
    ($backend:ident, $home:expr) => {
        mod outbox_bounds_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::outbox::bounds:
                gaps_are_bounded_and_the_oldest_become_one
                refused_batches_are_bounded_too
                what_was_dropped_is_counted
                what_cant_be_read_is_dropped_with_a_gap
            );
        }
    };
}
pub(crate) use outbox_bounds_contract;

macro_rules! nodes_contract {
    ($backend:ident, $home:expr) => {
        mod nodes_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::nodes:
                each_node_is_asked_by_its_name
                a_node_that_is_not_there_is_gone
                a_dialect_that_a_node_does_not_have_is_gone
                who_does_not_answer_in_time_is_late
                a_question_and_its_answer_may_be_any_bytes
                all_nodes_are_told_once
                the_words_of_one_node_come_in_their_order
                of_many_questions_at_once_each_has_its_answer
            );
        }
    };
}
pub(crate) use nodes_contract;

macro_rules! tokens_contract {
    ($backend:ident, $home:expr) => {
        mod tokens_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::tokens:
                a_token_is_its_owners_alone
                who_only_reads_is_no_administrator
                the_unknown_are_refused
                of_fifty_creations_one_creates
                a_refresh_kills_the_old_token
                a_revoked_token_is_dead
                number_and_text_are_one_uid
                accounts_are_listed_by_uid
                it_answers
            );
        }
    };
}
pub(crate) use tokens_contract;

macro_rules! records_contract {
    ($backend:ident, $home:expr) => {
        mod records_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::records:
                a_record_is_read_as_it_was_written
                only_what_was_expected_is_replaced
                of_fifty_who_expect_the_same_one_writes
                what_is_deleted_is_gone_and_its_version_is_never_used_again
                an_index_follows_what_is_written_and_deleted
                collections_are_apart
                pages_are_in_the_order_of_ids_and_stable
                what_has_expired_is_not_there
                a_megabyte_is_kept_and_ends_a_page_with_others
                what_is_no_record_changes_nothing
                records_outlive_a_restart
                a_revocation_is_never_outlived_by_a_token_that_does_not_tell_its_age
            );
        }
    };
}
pub(crate) use records_contract;

macro_rules! limits_contract {
    ($backend:ident, $home:expr) => {
        mod limits_contract {
            use super::*;
            $crate::store::contract::suite!($backend, $home, $crate::store::contract::limits:
                the_thirty_first_is_refused
                a_window_begins_with_the_first_and_is_not_prolonged
                uids_are_counted_apart
                number_and_text_are_one_uid
                without_a_limit_anybody_comes_in
            );
        }
    };
}
pub(crate) use limits_contract;
