//! One suite for an adapter that is linked in and for the same adapter in its library, with and without tokio.
//!
//! Each check asserts what it expects of any adapter over SQLite and returns all that it was told. It runs in every
//! way there is ([`ways`]), and what it was told must be the same in all of them.
//!
//! What a user sees of a library that is dropped in, or that cannot work, is told by `loading.rs`.

mod dialects;
mod migrations;
mod rows;
mod scratch;
mod scripts;
mod sessions;
mod transactions;
mod ways;

use crate::ways::Subject::{Probe, Sqlite};
use crate::ways::the_same_either_way;

#[test]
fn an_adapter_says_who_it_is_and_which_urls_it_takes() {
    the_same_either_way(&[Probe, Sqlite], sessions::identity);
}

#[test]
fn a_session_may_change_its_thread_and_what_it_did_stays() {
    the_same_either_way(&[Probe, Sqlite], sessions::from_open_to_close);
}

#[test]
fn a_reader_of_a_database_that_is_not_there_creates_none() {
    the_same_either_way(&[Probe, Sqlite], sessions::nothing_to_read);
}

#[test]
fn a_script_is_run_whole() {
    the_same_either_way(&[Probe, Sqlite], scripts::whole);
}

#[test]
fn a_failing_statement_is_pointed_at_and_its_error_is_data() {
    the_same_either_way(&[Probe, Sqlite], scripts::failing);
}

#[test]
fn a_running_statement_is_cancelled_from_another_thread() {
    the_same_either_way(&[Probe, Sqlite], scripts::cancelled);
}

#[test]
fn every_kind_of_value_goes_in_and_comes_out() {
    the_same_either_way(&[Probe, Sqlite], rows::values);
    the_same_either_way(&[Sqlite], rows::whole_numbers_without_a_sign);
}

#[test]
fn a_query_is_one_statement_with_all_of_its_parameters() {
    the_same_either_way(&[Probe, Sqlite], rows::parameters);
}

#[test]
fn absent_and_empty_are_told_apart_among_several_sets() {
    the_same_either_way(&[Probe, Sqlite], rows::sets);
}

#[test]
fn no_more_rows_come_than_are_wanted() {
    the_same_either_way(&[Probe, Sqlite], rows::enough);
}

#[test]
fn table_exists_takes_names_letter_by_letter() {
    the_same_either_way(&[Probe, Sqlite], rows::names);
}

#[test]
fn a_transaction_keeps_or_takes_back_what_its_body_did() {
    the_same_either_way(&[Probe, Sqlite], transactions::kept_or_taken_back);
}

#[test]
fn a_transaction_inside_another_is_taken_back_alone() {
    the_same_either_way(&[Probe, Sqlite], transactions::nested);
}

#[test]
fn a_panic_in_the_body_of_a_transaction_is_taken_back_and_goes_on() {
    the_same_either_way(&[Probe, Sqlite], transactions::panicking);
}

#[test]
fn a_reading_transaction_takes_no_writes() {
    the_same_either_way(&[Sqlite], transactions::reading);
}

#[test]
fn the_dialect_of_a_session_writes_texts_that_the_session_runs() {
    the_same_either_way(&[Probe, Sqlite], dialects::texts);
}

#[test]
fn migrations_go_up_and_down() {
    the_same_either_way(&[Probe, Sqlite], migrations::up_and_down);
}

#[test]
fn the_demo_set_runs_from_the_binary() {
    the_same_either_way(&[Sqlite], migrations::demo);
}

#[test]
fn a_statement_that_fails_in_a_transaction_takes_its_migration_back() {
    the_same_either_way(&[Probe, Sqlite], migrations::failing_as_a_whole);
}

#[test]
fn a_statement_that_fails_without_a_transaction_leaves_those_before_it() {
    the_same_either_way(&[Probe, Sqlite], migrations::failing_step_by_step);
}

#[test]
fn a_run_is_cancelled_in_the_middle_of_a_statement() {
    the_same_either_way(&[Probe, Sqlite], migrations::cancelled);
}
