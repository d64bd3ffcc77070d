//! An adapter that is linked in and the same adapter in its library, with and without tokio.
//!
//! Each check asserts what it expects of any adapter over SQLite and returns all that it was told. It runs in every
//! way there is ([`ways`]), and what it was told must be the same in all of them.
//!
//! What any adapter must do, linked in or loaded, is the conformance suite's. What a user sees of a library that is
//! dropped in, or that cannot work, is told by `loading.rs`.

mod migrations;
mod scratch;
mod sessions;
mod ways;

use crate::ways::Subject::{Probe, Sqlite};
use crate::ways::the_same_either_way;

#[test]
fn a_session_may_change_its_thread_and_what_it_did_stays() {
    the_same_either_way(&[Probe, Sqlite], sessions::from_open_to_close);
}

#[test]
fn a_panic_in_the_body_of_a_transaction_is_taken_back_and_goes_on() {
    the_same_either_way(&[Probe, Sqlite], sessions::panicking);
}

#[test]
fn a_running_statement_is_cancelled_from_another_thread() {
    the_same_either_way(&[Probe, Sqlite], sessions::cancelled);
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
