//! What came of the checks.

use std::fmt;

use crate::finding::Finding;

/// What came of all checks, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// One for each check.
    pub checks: Vec<Checked>,
}

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it is about: `values`.
    pub about: &'static str,
    /// What it asserts, as a sentence.
    pub name: &'static str,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The adapter does what the contract says.
    Passed,
    /// The adapter says that it cannot do this, and refuses it.
    Refused,
    /// The adapter does not do what the contract or it itself says.
    Failed(Finding),
    /// It could not be tried here.
    NotRun(&'static str),
}

impl Report {
    /// Returns whether no check has failed. One that could not be tried has not.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// Returns the checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Checked> {
        self.checks.iter().filter(|checked| matches!(checked.verdict, Verdict::Failed(_)))
    }

    /// Returns how many checks came to what: `69 passed, 4 refused`.
    #[must_use]
    pub fn summary(&self) -> String {
        let counts = ["passed", "refused", "failed", "not run"].map(|word| (self.count(word), word));
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        counts.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
    }

    /// Returns how many checks have the verdict of this [`word`](Verdict::word).
    #[must_use]
    pub fn count(&self, word: &str) -> usize {
        self.checks.iter().filter(|checked| checked.verdict.word() == word).count()
    }
}

impl Verdict {
    /// Returns the verdict in a word: `passed`, `refused`, `failed`, `not run`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Refused => "refused",
            Verdict::Failed(_) => "failed",
            Verdict::NotRun(_) => "not run",
        }
    }

    /// Returns why it is not simply passed.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Verdict::Passed => None,
            Verdict::Refused => Some("as it declares".to_owned()),
            Verdict::Failed(finding) => Some(finding.to_string()),
            Verdict::NotRun(why) => Some((*why).to_owned()),
        }
    }
}

/// A line: what it is about, what it asserts, what came of it and why.
impl fmt::Display for Checked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checked { about, name, verdict } = self;
        write!(formatter, "{:<8} {about:<13} {name}", verdict.word())?;
        match verdict.reason() {
            Some(reason) => write!(formatter, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for checked in &self.checks {
            writeln!(formatter, "{checked}")?;
        }
        formatter.write_str(&self.summary())
    }
}
