//! How SQLite scripts are split, and what their statements do to a transaction.

use whimbrel_adapter_api::{Class, Feature, Lexer};

const FEATURES: &[Feature] = &[Feature::BacktickNames, Feature::BracketNames, Feature::CompoundBodies];

const PATTERNS: &[(&str, Class)] = &[
    ("BEGIN", Class::Begin),
    ("COMMIT", Class::Commit),
    ("END", Class::Commit),
    ("ROLLBACK [TRANSACTION] TO", Class::Plain),
    ("ROLLBACK", Class::Rollback),
    // Without a value these only read. With a schema before them they are the same settings.
    ("PRAGMA [* .] FOREIGN_KEYS|SYNCHRONOUS|TEMP_STORE =|(", Class::Outside),
    // Changes the file itself and does not roll back.
    ("PRAGMA [* .] JOURNAL_MODE =|(", Class::NoTransaction),
    ("CREATE TEMP|TEMPORARY", Class::SessionState),
    ("VACUUM", Class::NoTransaction),
    ("DETACH", Class::NoTransaction),
    ("INSERT|REPLACE|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|REINDEX|ANALYZE", Class::Transactional),
];

/// Returns the rules. They do not depend on the session.
pub(crate) fn rules() -> Lexer {
    let mut lexer = Lexer::new(FEATURES, PATTERNS);
    // How early locks are taken. Our own transaction takes the write lock at once, and a file alone cannot tell.
    lexer.plain_control.extend(["DEFERRED", "IMMEDIATE", "EXCLUSIVE"].map(str::to_owned));
    lexer
}
