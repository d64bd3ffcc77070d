//! What the targets share.
//!
//! Each target in `src/bin` takes any bytes and states what must hold for them beside that nothing panics. Most read
//! their input as text, so that a seed under `corpus` can be read and written by hand.
//!
//! Starts nothing: `cargo xtask fuzz` builds the targets and runs them.

use std::fmt;

/// The mark in a seed in whose place the password is put.
pub const MARK: &str = "{}";

/// The password that must not be seen anywhere.
pub const PASSWORD: &str = "hunter2-secret";

/// Returns whether a password can be put into this input. The fuzzer sees what is compared, and tries the password itself:
/// it is no secret where the input has it in the open.
#[must_use]
pub fn can_hide(input: &str) -> bool {
    !input.contains(PASSWORD)
}

/// Panics when a text holds the password.
#[track_caller]
pub fn assert_hidden(said: &impl fmt::Display) {
    let said = said.to_string();
    assert!(!said.contains(PASSWORD), "the password is shown: {said}");
}
