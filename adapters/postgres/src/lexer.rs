//! PostgreSQL's lexical rules and the statements that matter to a transaction, as data.
//!
//! The host splits scripts by the features and judges statements by the patterns, first match wins.
//!
//! Complete for PostgreSQL 13 to 18.

use whimbrel_adapter_api::Class::{
    Begin, ClientCommand, Commit, CopyFromStdin, NoTransaction, Plain, Rollback, SessionState, Setting,
    Skipped, Transactional,
};
use whimbrel_adapter_api::{Class, Feature, Lexer};

/// Whether a backslash is an ordinary character in `'…'`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strings {
    /// `standard_conforming_strings = on`, the default since 9.1.
    Standard,
    /// A backslash escapes the next character.
    Escaping,
}

/// Returns the lexer of a session.
pub(crate) fn lexer(strings: Strings) -> Lexer {
    let mut lexer = Lexer::new(FEATURES, PATTERNS);
    if strings == Strings::Escaping {
        lexer.features.insert(Feature::BackslashEscapes);
    }
    lexer
}

const FEATURES: &[Feature] = &[
    Feature::NestedComments,
    Feature::DollarQuotes,
    Feature::EscapeStrings,
    Feature::CopyData,
    Feature::BackslashCommands,
    Feature::AtomicBodies,
];

const PATTERNS: &[(&str, Class)] = &[
    // The second half of two-phase commit stands for itself. The first ends the transaction and commits nothing yet, so
    // to the session it is a rollback.
    ("COMMIT PREPARED", NoTransaction),
    ("ROLLBACK PREPARED", NoTransaction),
    ("PREPARE TRANSACTION", Rollback),
    // The next transaction begins at once, so after these one is open.
    ("COMMIT|END [WORK|TRANSACTION] AND CHAIN", Begin),
    ("ROLLBACK|ABORT [WORK|TRANSACTION] AND CHAIN", Begin),
    ("ROLLBACK [WORK|TRANSACTION] TO", Plain),
    ("BEGIN", Begin),
    ("START TRANSACTION", Begin),
    ("COMMIT", Commit),
    ("END", Commit),
    ("ROLLBACK", Rollback),
    ("ABORT", Rollback),
    ("CREATE [UNIQUE] INDEX CONCURRENTLY", NoTransaction),
    ("DROP INDEX CONCURRENTLY", NoTransaction),
    ("REINDEX INDEX|TABLE CONCURRENTLY", NoTransaction),
    ("REINDEX SCHEMA|DATABASE|SYSTEM", NoTransaction),
    ("REINDEX ( ... CONCURRENTLY", NoTransaction),
    ("REINDEX ( ... ) SCHEMA|DATABASE|SYSTEM", NoTransaction),
    ("VACUUM", NoTransaction),
    // With a table it is an ordinary statement; without one it takes a transaction for each table.
    ("CLUSTER VERBOSE *", Plain),
    ("CLUSTER VERBOSE", NoTransaction),
    ("CLUSTER ( ... ) *", Plain),
    ("CLUSTER *", Plain),
    ("CLUSTER", NoTransaction),
    ("CREATE DATABASE", NoTransaction),
    ("DROP DATABASE", NoTransaction),
    ("ALTER DATABASE * SET TABLESPACE", NoTransaction),
    ("CREATE TABLESPACE", NoTransaction),
    ("DROP TABLESPACE", NoTransaction),
    ("ALTER SYSTEM", NoTransaction),
    // Those with a slot to create, refresh or drop; the others cannot be told by their first words.
    ("CREATE SUBSCRIPTION", NoTransaction),
    ("ALTER SUBSCRIPTION * REFRESH", NoTransaction),
    ("ALTER SUBSCRIPTION * SET|ADD|DROP PUBLICATION", NoTransaction),
    ("ALTER SUBSCRIPTION * SET (", NoTransaction),
    ("DROP SUBSCRIPTION", NoTransaction),
    ("ALTER TABLE [IF EXISTS] [ONLY] * DETACH PARTITION * CONCURRENTLY", NoTransaction),
    ("DISCARD ALL", NoTransaction),
    ("COPY ... FROM STDIN", CopyFromStdin),
    // Its answer is a stream of data that nobody takes.
    ("COPY ... TO STDOUT", ClientCommand),
    ("CREATE [GLOBAL|LOCAL] TEMP|TEMPORARY", SessionState),
    ("PREPARE", SessionState),
    // For one transaction: set again in another session they would mean nothing.
    ("SET LOCAL|TRANSACTION|CONSTRAINTS", Plain),
    ("SET", Setting),
    ("RESET", Setting),
    ("SELECT [PG_CATALOG .] SET_CONFIG", Setting),
    ("INSERT|UPDATE|DELETE|MERGE|WITH|TRUNCATE", Transactional),
    // Without CREATE INDEX, CREATE MATERIALIZED VIEW and ALTER TYPE: extensions and old servers have forms of these that
    // refuse a transaction.
    ("CREATE [OR REPLACE] VIEW|FUNCTION|PROCEDURE|TRIGGER|RULE", Transactional),
    ("CREATE [UNLOGGED] TABLE", Transactional),
    ("CREATE SEQUENCE|TYPE|DOMAIN|SCHEMA|POLICY", Transactional),
    ("ALTER TABLE|VIEW|FUNCTION|PROCEDURE|TRIGGER|SEQUENCE|SCHEMA|POLICY", Transactional),
    (
        "DROP TABLE|VIEW|INDEX|FUNCTION|PROCEDURE|TRIGGER|RULE|SEQUENCE|TYPE|DOMAIN|SCHEMA|POLICY",
        Transactional,
    ),
    ("GRANT|REVOKE|COMMENT", Transactional),
    // What psql commands change nothing that matters here; every other one cannot be run.
    ("\\RESTRICT|UNRESTRICT", Skipped),
    ("\\ECHO|QECHO|WARN|TIMING|PSET|X|T|A", Skipped),
    ("\\ENCODING UTF8|UNICODE", Skipped),
    ("\\SET ON_ERROR_STOP|QUIET|ECHO|VERBOSITY|SHOW_CONTEXT", Skipped),
];
