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
use crate::suite::Part;

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

/// In this order a failure comes before those that follow from it. Beside each the smallest part that it belongs to.
const GROUPS: &[(&str, Part, &[Check])] = &[
    ("identity", Part::Smoke, identity::CHECKS),
    ("sessions", Part::Smoke, sessions::CHECKS),
    ("scripts", Part::Smoke, scripts::CHECKS),
    ("values", Part::Whole, values::CHECKS),
    ("reads", Part::Smoke, reads::CHECKS),
    ("tables", Part::Smoke, tables::CHECKS),
    ("transactions", Part::Whole, transactions::CHECKS),
    ("language", Part::Whole, language::CHECKS),
    ("history", Part::Smoke, history::CHECKS),
    ("atomic", Part::Smoke, atomic::CHECKS),
    ("stepwise", Part::Smoke, stepwise::CHECKS),
    ("batches", Part::Whole, batches::CHECKS),
    ("fence", Part::Whole, fence::CHECKS),
    ("limits", Part::Whole, limits::CHECKS),
    ("cancel", Part::Whole, cancel::CHECKS),
    ("kills", Part::Whole, kills::CHECKS),
];

/// Returns the checks of a part, each with what it is about.
pub(crate) fn of(part: Part) -> impl Iterator<Item = (&'static str, &'static Check)> {
    let groups = GROUPS.iter().filter(move |(_, smallest, _)| part == Part::Whole || part == *smallest);
    groups.flat_map(|(about, _, checks)| checks.iter().map(|check| (*about, check)))
}
