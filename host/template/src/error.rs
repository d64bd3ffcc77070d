//! The engine's errors in the contract's terms.
//!
//! Replace `from_engine` by what your driver gives, with every fact: SQLSTATE, number, table,
//! constraint. An error that ends the session is `Error::lost`.

use whimbrel_adapter_api::{Error, ErrorKind};

use crate::engine::{Trouble, What};

/// Returns the error of the engine with all that it says.
pub(crate) fn from_engine(trouble: Trouble) -> Error {
    let kind = match trouble.what {
        What::Syntax => ErrorKind::Syntax,
        What::NoTable => ErrorKind::TableMissing,
        What::NoColumn => ErrorKind::ColumnMissing,
        What::Constraint => ErrorKind::Constraint,
        What::Other => ErrorKind::Other,
    };
    let mut error = Error::new(kind, trouble.message);
    error.position = trouble.at.map(|at| at as u64);
    error
}

/// Returns the error of a query that is not one statement.
pub(crate) fn several(statements: usize) -> Error {
    Error::new(ErrorKind::Other, format!("a query takes one statement, and there are {statements}"))
}

/// Decide which errors of a text before the script say that another run was first. Too few, and one
/// of two runs fails; too many, and an error is tried again for ever.
pub(crate) fn in_opening(mut error: Error) -> Error {
    if error.kind == ErrorKind::Constraint {
        error.kind = ErrorKind::FenceTaken;
    }
    error
}
