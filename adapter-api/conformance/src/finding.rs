//! Why a check fails.

use std::fmt::{self, Debug};

use whimbrel_adapter_api::{Error, ErrorKind, ReadError};

/// What an adapter does that it should not, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding(String);

impl Finding {
    /// Returns a finding.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Finding(what.into())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<Error> for Finding {
    fn from(error: Error) -> Self {
        Finding(format!("{:?}: {}", error.kind, error.message))
    }
}

impl From<ReadError> for Finding {
    fn from(error: ReadError) -> Self {
        Finding(format!("set {}: {}", error.set, Finding::from(error.error)))
    }
}

/// Fails unless `condition` holds.
pub(crate) fn holds(condition: bool, otherwise: impl Into<String>) -> Result<(), Finding> {
    if condition { Ok(()) } else { Err(Finding(otherwise.into())) }
}

/// Fails unless what was found is what was expected.
pub(crate) fn agree<F: Debug + PartialEq<E>, E: Debug>(
    what: &str,
    found: F,
    expected: E,
) -> Result<(), Finding> {
    holds(found == expected, format!("{what}: {found:?} instead of {expected:?}"))
}

/// Fails unless the answer is an error, and returns it.
pub(crate) fn refusal<T>(what: &str, answer: Result<T, Error>) -> Result<Error, Finding> {
    answer.err().ok_or_else(|| Finding(format!("{what} is no error")))
}

/// Fails unless the answer is an error of this kind, and returns it.
pub(crate) fn refused<T>(what: &str, answer: Result<T, Error>, kind: ErrorKind) -> Result<Error, Finding> {
    let error = refusal(what, answer)?;
    holds(error.kind == kind, format!("{what} is {:?} instead of {kind:?}: {}", error.kind, error.message))?;
    Ok(error)
}

/// Says during what something was found.
pub(crate) trait During<T> {
    fn during(self, what: &str) -> Result<T, Finding>;
}

impl<T, E: Into<Finding>> During<T> for Result<T, E> {
    fn during(self, what: &str) -> Result<T, Finding> {
        self.map_err(|error| Finding(format!("{what}: {}", error.into())))
    }
}
