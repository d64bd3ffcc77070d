//! How DuckDB's scripts are split, and what their statements do to a transaction.

use whimbrel_adapter_api::{Class, Feature, Lexer};

const FEATURES: &[Feature] = &[Feature::NestedComments, Feature::DollarQuotes, Feature::EscapeStrings];

const PATTERNS: &[(&str, Class)] = &[
    ("BEGIN", Class::Begin),
    ("START TRANSACTION", Class::Begin),
    ("COMMIT", Class::Commit),
    ("END", Class::Commit),
    ("ROLLBACK", Class::Rollback),
    ("ABORT", Class::Rollback),
    ("CHECKPOINT", Class::NoTransaction),
    ("FORCE CHECKPOINT", Class::NoTransaction),
    ("CREATE [OR] [REPLACE] TEMP|TEMPORARY", Class::SessionState),
    ("ATTACH", Class::SessionState),
    ("SET VARIABLE", Class::SessionState),
    ("SET", Class::Setting),
    ("RESET", Class::Setting),
    ("PRAGMA", Class::Setting),
    ("USE", Class::Setting),
    ("INSERT|UPDATE|DELETE|MERGE|TRUNCATE", Class::Transactional),
    ("CREATE|ALTER|DROP", Class::Transactional),
];

/// Returns the rules, which no setting changes.
pub(crate) fn rules() -> Lexer {
    Lexer::new(FEATURES, PATTERNS)
}
