//! How ClickHouse's scripts are split, and what their statements leave in the session.

use whimbrel_adapter_api::{Class, Feature, Lexer};

const FEATURES: &[Feature] = &[
    Feature::NestedComments,
    Feature::BackslashEscapes,
    Feature::BacktickNames,
    Feature::DollarQuotes,
    Feature::HashComments,
];

const PATTERNS: &[(&str, Class)] = &[
    // Where they are switched on at all, they do not hold for schema changes.
    ("BEGIN", Class::Begin),
    ("COMMIT", Class::Commit),
    ("ROLLBACK", Class::Rollback),
    ("CREATE [OR] [REPLACE] TEMPORARY", Class::SessionState),
    ("SET", Class::Setting),
    ("USE", Class::Setting),
];

/// Returns the rules, which no setting changes.
pub(crate) fn rules() -> Lexer {
    Lexer::new(FEATURES, PATTERNS)
}
