//! Splits a script into statements.
//!
//! A [`Lexer`] from an adapter's dialect is compiled into [`Rules`]. By these a [`Splitter`] reads a file in parts and
//! gives out statements and COPY data in order; [`Pieces`] packs what is to be sent into the pieces that an adapter
//! pulls; [`locate`] finds the place of a statement again. Of a file no more is held than one statement.
//!
//! It knows no engine by name, does not parse SQL and does not change a byte of a statement.

mod body;
mod buffer;
mod lexer;
mod locate;
mod location;
mod patterns;
mod pieces;
mod statements;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use whimbrel_adapter_api::{Class, Lexer};

use lexer::Features;
use patterns::Patterns;

pub use locate::{Located, locate};
pub use location::{Location, Problem, ProblemKind, SplitError};
pub use patterns::FaultyPattern;
pub use pieces::{Pieces, Take};
pub use statements::{Form, Item, Splitter, Statement, Word, Words};

/// A compiled [`Lexer`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rules(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    features: Features,
    patterns: Patterns,
    plain_control: BTreeSet<String>,
}

impl Rules {
    /// Compiles what a dialect says.
    ///
    /// # Errors
    ///
    /// The first pattern that cannot be understood.
    pub fn new(lexer: &Lexer) -> Result<Self, FaultyPattern> {
        let (features, patterns) = (Features::new(lexer), Patterns::new(lexer)?);
        Ok(Rules(Arc::new(Compiled { features, patterns, plain_control: lexer.plain_control.clone() })))
    }

    /// Returns whether some statement is of this class.
    #[must_use]
    pub fn have(&self, class: Class) -> bool {
        self.0.patterns.have(class)
    }

    /// Returns whether a word says nothing about a transaction beyond that it begins or ends.
    #[must_use]
    pub fn is_plain_control(&self, word: &str) -> bool {
        self.0.plain_control.contains(&word.to_ascii_uppercase())
    }
}
