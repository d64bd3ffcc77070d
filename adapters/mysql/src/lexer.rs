//! How MySQL's and MariaDB's scripts are split, and what their statements do to a transaction.
//!
//! The first pattern that matches counts, so exceptions stand before their rule. Where the server decides only when
//! it runs (EXECUTE, a compound statement), the cautious answer is given: it commits.

use whimbrel_adapter_api::{Class, Feature, Lexer};

const FEATURES: &[Feature] = &[
    Feature::BacktickNames,
    Feature::HashComments,
    Feature::DashesNeedSpace,
    Feature::ExecutableComments,
    Feature::DelimiterCommand,
    Feature::BackslashCommands,
    Feature::CompoundBodies,
];

pub(crate) const PATTERNS: &[(&str, Class)] = &[
    ("BEGIN NOT ATOMIC", Class::ImplicitCommit),
    ("BEGIN", Class::Begin),
    ("START TRANSACTION", Class::Begin),
    // The next transaction begins at once, so after these one is open.
    ("COMMIT|ROLLBACK [WORK] AND CHAIN", Class::Begin),
    ("COMMIT", Class::Commit),
    ("ROLLBACK [WORK] TO", Class::Plain),
    ("ROLLBACK", Class::Rollback),
    ("XA", Class::NoTransaction),
    // Without SESSION or GLOBAL it is about the next transaction, and refused inside one.
    ("SET TRANSACTION", Class::NoTransaction),
    ("SET ... SQL_LOG_BIN", Class::NoTransaction),
    ("SET ... BINLOG_FORMAT", Class::NoTransaction),
    ("SET ... GTID_NEXT", Class::NoTransaction),
    ("SET ... GTID_PURGED", Class::NoTransaction),
    // With `0` every statement stays in a transaction until a COMMIT, and with `1` that one is committed. A value that
    // is not written out is one that was saved before.
    ("SET GLOBAL AUTOCOMMIT", Class::Plain),
    ("SET ... AUTOCOMMIT [:] = 0|OFF|FALSE", Class::Begin),
    ("SET ... AUTOCOMMIT [:] =", Class::Commit),
    ("SET PASSWORD", Class::ImplicitCommit),
    ("SET DEFAULT ROLE", Class::ImplicitCommit),
    // Temporary tables neither commit nor roll back.
    ("CREATE [OR] [REPLACE] TEMPORARY TABLE|SEQUENCE", Class::SessionState),
    ("DROP TEMPORARY TABLE|SEQUENCE", Class::Plain),
    ("DROP PREPARE", Class::Plain),
    ("CREATE", Class::ImplicitCommit),
    ("ALTER", Class::ImplicitCommit),
    ("DROP", Class::ImplicitCommit),
    ("RENAME", Class::ImplicitCommit),
    ("TRUNCATE", Class::ImplicitCommit),
    ("GRANT", Class::ImplicitCommit),
    ("REVOKE", Class::ImplicitCommit),
    ("INSTALL", Class::ImplicitCommit),
    ("UNINSTALL", Class::ImplicitCommit),
    ("IMPORT TABLE", Class::ImplicitCommit),
    ("ANALYZE [NO_WRITE_TO_BINLOG] [LOCAL] TABLE|TABLES", Class::ImplicitCommit),
    ("CHECK TABLE|TABLES", Class::ImplicitCommit),
    ("OPTIMIZE", Class::ImplicitCommit),
    ("REPAIR", Class::ImplicitCommit),
    ("CACHE INDEX", Class::ImplicitCommit),
    ("LOAD INDEX", Class::ImplicitCommit),
    ("FLUSH [NO_WRITE_TO_BINLOG] [LOCAL] TABLE|TABLES ... WITH READ LOCK", Class::LockTables),
    ("FLUSH [NO_WRITE_TO_BINLOG] [LOCAL] TABLE|TABLES ... FOR EXPORT", Class::LockTables),
    ("FLUSH", Class::ImplicitCommit),
    ("RESET PERSIST", Class::Plain),
    ("RESET", Class::ImplicitCommit),
    ("PURGE", Class::ImplicitCommit),
    ("START", Class::ImplicitCommit),
    ("STOP", Class::ImplicitCommit),
    ("CHANGE", Class::ImplicitCommit),
    ("BACKUP", Class::ImplicitCommit),
    ("CLONE", Class::ImplicitCommit),
    ("LOCK TABLE|TABLES", Class::LockTables),
    ("UNLOCK TABLE|TABLES", Class::UnlockTables),
    // What these run is known to the server alone, and in migrations it is mostly DDL.
    ("EXECUTE", Class::ImplicitCommit),
    ("IF", Class::ImplicitCommit),
    ("CASE", Class::ImplicitCommit),
    ("LOOP", Class::ImplicitCommit),
    ("WHILE", Class::ImplicitCommit),
    ("REPEAT", Class::ImplicitCommit),
    ("FOR", Class::ImplicitCommit),
    // The server would ask the program for the file.
    ("LOAD DATA|XML [LOW_PRIORITY|CONCURRENT] LOCAL", Class::ClientCommand),
    ("SHOW WARNINGS", Class::ReadsPrevious),
    ("SHOW ERRORS", Class::ReadsPrevious),
    ("SHOW COUNT", Class::ReadsPrevious),
    ("GET [CURRENT|STACKED] DIAGNOSTICS", Class::ReadsPrevious),
    ("... ROW_COUNT", Class::ReadsPrevious),
    ("... FOUND_ROWS", Class::ReadsPrevious),
    ("SOURCE", Class::ClientCommand),
    ("SYSTEM", Class::ClientCommand),
    ("CONNECT", Class::ClientCommand),
    ("EDIT", Class::ClientCommand),
    ("TEE", Class::Skipped),
    ("NOTEE", Class::Skipped),
    ("PAGER", Class::Skipped),
    ("NOPAGER", Class::Skipped),
    ("PROMPT", Class::Skipped),
    ("WARNINGS", Class::Skipped),
    ("NOWARNING", Class::Skipped),
    // About transactions that begin later, so they must stay where they are.
    ("SET SESSION|LOCAL TRANSACTION", Class::Plain),
    ("SET ... TX_ISOLATION|TRANSACTION_ISOLATION|TX_READ_ONLY|TRANSACTION_READ_ONLY [:] =", Class::Plain),
    ("SET STATEMENT", Class::Plain),
    // What a value was computed from may be another one by now.
    ("SET ... (", Class::SessionState),
    ("SELECT ... INTO @", Class::SessionState),
    ("PREPARE", Class::SessionState),
    ("SET", Class::Setting),
    ("USE", Class::Setting),
    ("INSERT|REPLACE|UPDATE|DELETE|WITH", Class::Transactional),
];

/// The version of MySQL that took programs of other languages than SQL, and with them `$$ … $$`.
const DOLLAR_QUOTES_SINCE: u32 = 90_000;

/// Which of the two servers this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Product {
    #[default]
    MySql,
    MariaDb,
}

/// How a transaction begins and ends without a word for it: `SET @@SESSION.autocommit = OFF`.
const AUTOCOMMIT: [&str; 10] =
    ["SET", "SESSION", "LOCAL", "AUTOCOMMIT", "0", "OFF", "FALSE", "1", "ON", "TRUE"];

/// Returns the rules of a session.
pub(crate) fn rules(product: Product, version: u32, sql_mode: &str) -> Lexer {
    let mut lexer = Lexer::new(FEATURES, PATTERNS);
    lexer.comment_version = version;
    lexer.plain_control.extend(AUTOCOMMIT.map(str::to_owned));
    if product == Product::MariaDb {
        lexer.features.insert(Feature::MariaDbComments);
    } else if version >= DOLLAR_QUOTES_SINCE {
        lexer.features.insert(Feature::DollarQuotes);
    }
    if backslash_escapes(sql_mode) {
        lexer.features.insert(Feature::BackslashEscapes);
    }
    if !has(sql_mode, "ANSI_QUOTES") {
        lexer.features.insert(Feature::DoubleQuotedStrings);
    }
    lexer
}

/// How a session reads quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quoting {
    /// A backslash in a string escapes what follows.
    pub(crate) backslash_escapes: bool,
    /// `"…"` is a name, and no backslash escapes in it.
    pub(crate) ansi_quotes: bool,
}

impl Quoting {
    /// Returns what a `sql_mode` means.
    pub(crate) fn of(sql_mode: &str) -> Self {
        Quoting {
            backslash_escapes: backslash_escapes(sql_mode),
            ansi_quotes: COMBINED_MODES.iter().any(|mode| has(sql_mode, mode)),
        }
    }

    /// Returns whether `statement` may end elsewhere for a session that reads it by `other` rules: a quote behind a
    /// backslash ends a string by one of them, and not by the other.
    pub(crate) fn reads_differently(self, other: Self, statement: &str) -> bool {
        let escapes = self.backslash_escapes != other.backslash_escapes && statement.contains("\\'");
        escapes || (self != other && statement.contains("\\\""))
    }
}

/// `ANSI_QUOTES`, and the modes that bring it along.
const COMBINED_MODES: &[&str] = &["ANSI_QUOTES", "ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"];

/// Returns whether a backslash in a string escapes what follows.
pub(crate) fn backslash_escapes(sql_mode: &str) -> bool {
    !has(sql_mode, "NO_BACKSLASH_ESCAPES")
}

/// Returns product and version comment number of `10.11.19-MariaDB-log`: 101119.
pub(crate) fn product(version: &str) -> (Product, u32) {
    let product = if version.contains("MariaDB") { Product::MariaDb } else { Product::MySql };
    // An old replication trick: MariaDB may announce itself as 5.5.5.
    let version = version.strip_prefix("5.5.5-").filter(|_| product == Product::MariaDb).unwrap_or(version);
    let end = version.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(version.len());
    let mut parts = version[..end].split('.').map(|part| part.parse().unwrap_or(0_u32));
    let [major, minor, patch] = [(); 3].map(|()| parts.next().unwrap_or(0));
    (product, major * 10_000 + minor * 100 + patch)
}

fn has(sql_mode: &str, word: &str) -> bool {
    sql_mode.split(',').any(|mode| mode == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_names_the_product_and_the_number_for_comments() {
        assert_eq!(product("10.11.19-MariaDB-0+deb12u1"), (Product::MariaDb, 101_119));
        assert_eq!(product("5.5.5-11.4.2-MariaDB"), (Product::MariaDb, 110_402));
        assert_eq!(product("8.0.36"), (Product::MySql, 80_036));
        assert_eq!(product("9.7.4-2"), (Product::MySql, 90_704));
    }

    #[test]
    fn the_sql_mode_changes_the_rules() {
        let usual = rules(Product::MySql, 80_036, "STRICT_TRANS_TABLES").features;
        assert!(usual.contains(&Feature::BackslashEscapes) && usual.contains(&Feature::DoubleQuotedStrings));
        assert!(!usual.contains(&Feature::MariaDbComments));
        let ansi = rules(Product::MariaDb, 101_119, "ANSI_QUOTES,NO_BACKSLASH_ESCAPES").features;
        assert!(!ansi.contains(&Feature::BackslashEscapes) && !ansi.contains(&Feature::DoubleQuotedStrings));
        assert!(ansi.contains(&Feature::MariaDbComments));
        let newest = rules(Product::MySql, 90_704, "").features;
        assert!(newest.contains(&Feature::DollarQuotes));
        assert!(!usual.contains(&Feature::DollarQuotes) && !ansi.contains(&Feature::DollarQuotes));
    }
}
