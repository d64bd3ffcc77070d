//! The checks, by what they are about.

mod atomic;
mod batches;
mod cancel;
mod fence;
mod history;
mod identity;
mod kills;
mod language;
mod limits;
mod reads;
mod scripts;
mod sessions;
mod stepwise;
mod tables;
mod transactions;
mod values;

use crate::bench::Bench;
use crate::finding::Finding;
use crate::report::Verdict;

/// What a check answers: a failure is a [`Finding`].
pub(crate) type Outcome = Result<Verdict, Finding>;

/// One check.
pub(crate) struct Check {
    /// What it asserts, as a sentence.
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Bench) -> Outcome,
}

const fn check(name: &'static str, run: fn(&Bench) -> Outcome) -> Check {
    Check { name, run }
}

/// In this order a failure comes before those that follow from it.
const GROUPS: &[(&str, &[Check])] = &[
    ("identity", identity::CHECKS),
    ("sessions", sessions::CHECKS),
    ("scripts", scripts::CHECKS),
    ("values", values::CHECKS),
    ("reads", reads::CHECKS),
    ("tables", tables::CHECKS),
    ("transactions", transactions::CHECKS),
    ("language", language::CHECKS),
    ("history", history::CHECKS),
    ("atomic", atomic::CHECKS),
    ("stepwise", stepwise::CHECKS),
    ("batches", batches::CHECKS),
    ("fence", fence::CHECKS),
    ("limits", limits::CHECKS),
    ("cancel", cancel::CHECKS),
    ("kills", kills::CHECKS),
];

/// Returns every check with what it is about.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static Check)> {
    GROUPS.iter().flat_map(|(about, checks)| checks.iter().map(|check| (*about, check)))
}
