//! What the host must know of an engine's language.
//!
//! The host holds no SQL. It asks the dialect of a session for every text it needs, by [`Text`], and for the rules by
//! which scripts are split and judged, by [`Lexer`]. All of it is pure: no method talks to the server.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::codes::{codes, words};
use crate::connection::TableName;
use crate::value::Value;

/// The language of one session: settings such as MySQL's `sql_mode` change it.
///
/// The host holds no SQL: it asks for every text that it needs by [`Text`], and for the rules of scripts by [`Lexer`]. No
/// method talks to the server.
///
/// Made by [`Connection::dialect`](crate::Connection::dialect). Every method gives the same answer to the same question, and
/// has an answer to every question: none can fail.
pub trait Dialect: Send + Sync {
    /// Returns how scripts are split into statements and what these do.
    fn lexer(&self) -> Lexer;

    /// Returns what the session's facts say, in the host's terms. Asked only of a dialect that was given them.
    fn facts(&self) -> Facts;

    /// Returns an identifier in quotes, whatever letters it has: what is in it never ends it.
    fn quote(&self, identifier: &str) -> String;

    /// Returns a value as the engine's literal, which is that value again when the engine reads it: quotes, backslashes and
    /// line ends of a text too.
    fn literal(&self, value: &Value<'_>) -> String;

    /// Returns a text, one statement per entry, none with a delimiter and none empty.
    ///
    /// An empty list says that there is nothing to do for it, which only [`Text::Limit`] and [`Text::ResetSession`] may say.
    /// `None` says that the engine has no such thing. Every adapter has `Facts`, `History`, `CreateHistory`, `Record`, `Mark`,
    /// `Finish`, `DownScript`, `StatementChecksums`, `ResetSession`, and `Limit` without limits; `Begin` and `Commit` come
    /// with [`Capability::Transactions`](crate::Capability::Transactions). Without any other the host goes without, or
    /// refuses the option that needs it. A text that a later version added is answered by `None`.
    ///
    /// Where a [`TableName`] has a schema it must be in the text: a script may have changed what an unqualified name means.
    fn text(&self, text: &Text<'_>) -> Option<Vec<String>>;
}

/// What the host learns about a session in its first turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Facts {
    /// The product and version, for people: `PostgreSQL 15.18`.
    pub server: String,
    /// The database.
    pub database: String,
    /// The schema in which an unqualified table would be created.
    pub schema: String,
    /// The schema in which the history table was found, if it was.
    pub history_schema: Option<String>,
    /// The largest message that the server takes, in bytes.
    pub largest_message: Option<u64>,
    /// Tables whose changes cannot roll back (MyISAM and friends). A script that names one is not atomic.
    pub tables_without_transactions: Vec<String>,
}

/// The texts that the host composes its work from.
///
/// None ever gains an argument of its own: what is new becomes another text, or stands in [`Limits`], [`NewRow`] or
/// [`Count`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Text<'a> {
    /// One reading statement that gives one row of facts about the session, for
    /// [`Connection::dialect`](crate::Connection::dialect).
    Facts {
        /// The history table, which may not exist.
        history: &'a TableName,
    },
    /// One reading statement that gives more columns for the row of [`Text::Facts`]: what matters only where a migration
    /// is pending, and is dear to find out. They are NULL where it was not asked for.
    ///
    /// An adapter need not have it. It is not run where the history table does not exist: there `Facts` tells these too.
    FactsOfPending {
        /// The history table, which exists.
        history: &'a TableName,
        /// Not to be found out where so many rows of the history, or more, say that a migration is applied: nothing will
        /// be pending then, as a rule.
        unless_applied: Option<u64>,
    },
    /// One reading statement that gives the rows of the history in the order of [`HISTORY_COLUMNS`], by `position`.
    History {
        /// The history table.
        history: &'a TableName,
    },
    /// The same in fewer bytes, in three reading statements and this order:
    ///
    /// 1. The rows that are not plain, as [`Text::History`] gives them.
    /// 2. Of each plain one, by `position`: `migration`, and the first [`BRIEF_DIGITS`] hexadecimal digits of its checksum.
    /// 3. The number of all rows, and the highest `position`.
    ///
    /// A row is plain that says no more than that a migration was applied: direction `up`, state `applied`, attempt 1, a
    /// checksum that begins with `v1:`, and a `previous` that is its `position` less 1, unless it is the first. What was
    /// plain is so for ever. The three may tell of different moments: the host sees whether they agree, and reads
    /// [`Text::History`] if not.
    ///
    /// An adapter need not have it. The host then reads [`Text::History`].
    BriefHistory {
        /// The history table.
        history: &'a TableName,
    },
    /// Creates the history table, unless it is there. Must be safe when ten runners do it at once.
    CreateHistory {
        /// The history table.
        history: &'a TableName,
    },
    /// Opens a transaction that does not depend on settings left behind, with the limits set inside it.
    Begin {
        /// The limits for each statement.
        limits: &'a Limits,
    },
    /// Commits.
    Commit,
    /// Sets the limits for a stepwise batch. [`Text::ResetSession`] takes them back.
    Limit {
        /// The limits for each statement.
        limits: &'a Limits,
    },
    /// Puts the session back to what it was after login: settings, role, advisory locks, current database. Inside a
    /// transaction or outside.
    ResetSession,
    /// Inserts a row of the history. `started_at` is now; so is `finished_at`, unless the state is `started`.
    Record {
        /// The history table.
        history: &'a TableName,
        /// The row.
        row: &'a NewRow<'a>,
    },
    /// Exactly one statement, which runs behind each of a script's, in its transaction if need be:
    /// notes in the `started` row at `position` how many statements are complete, and renews the lease. Changes no row
    /// that is settled: another runner may have taken the migration over.
    Mark {
        /// The history table.
        history: &'a TableName,
        /// The row.
        position: i64,
        /// How many statements are complete.
        statements_done: Count,
        /// How long the lease lasts from now.
        lease: Duration,
    },
    /// Exactly one statement: ends the `started` row at `position`: state, `finished_at`, `duration_ms`, no lease. Changes
    /// exactly one row, or none if the row is settled; [`Head::settles`](crate::Head::settles) goes by that.
    Finish {
        /// The history table.
        history: &'a TableName,
        /// The row.
        position: i64,
        /// What it becomes.
        state: RowState,
        /// How many statements are complete.
        statements_done: Count,
    },
    /// One reading statement that gives one row with one column: the stored down script.
    DownScript {
        /// The history table.
        history: &'a TableName,
        /// The row.
        position: i64,
    },
    /// One reading statement that gives one row with one column: the stored checksums of a script's statements.
    StatementChecksums {
        /// The history table.
        history: &'a TableName,
        /// The row.
        position: i64,
    },
    /// One reading statement that finds what `statement` may have left in the database although nobody heard that it
    /// ended well: it was at work when its runner died, or it failed on an engine that leaves pieces behind.
    ///
    /// Gives a row for each thing, with three columns: what it is, for people (``the index `i` is invalid``); the
    /// statement that removes it, or NULL; and 1 if it is certain that nothing is left to do of the statement, else 0. No
    /// row: it is certain that the statement may be run again. `None`: of such a statement it cannot be told. See
    /// [`texts::traces`](crate::texts::traces).
    Traces {
        /// The history table.
        history: &'a TableName,
        /// The row of the attempt, if it is of interest what came into being since its last mark.
        position: Option<i64>,
        /// A statement of a script.
        statement: &'a str,
    },
    /// One reading statement that finds what `statement` may change and no transaction takes back: tables whose engine has
    /// none, also those that a trigger may reach. Gives a row for each with one column: what it is, for people. `None`:
    /// everything is taken back.
    WithoutRollback {
        /// A statement of a script.
        statement: &'a str,
    },
}

/// How many statements of a script are complete. [`texts::count`](crate::texts::count) writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Count {
    /// So many.
    Exactly(u64),
    /// So many of an earlier attempt, and those of this one: `{done}` in the text, which the adapter fills in while it
    /// runs the batch.
    Beyond(u64),
}

/// How many digits of a checksum [`Text::BriefHistory`] gives: more than accidents need.
pub const BRIEF_DIGITS: usize = 24;

/// The columns of [`Text::History`], in order. Times are UTC, `2026-01-31T13:05:00Z`.
pub const HISTORY_COLUMNS: &[&str] = &[
    "position",
    "migration",
    "attempt",
    "direction",
    "state",
    "checksum",
    "statements_done",
    "statements_total",
    // What is left of the lease by the server's clock, in milliseconds: below zero when it is over, NULL without one.
    "lease_ms",
    "started_at",
    "finished_at",
    "duration_ms",
    "applied_by",
    // 1 when a down script is stored.
    "has_down",
];

/// A row to insert into the history.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewRow<'a> {
    /// Its number: one more than the last.
    pub position: i64,
    /// The row before, or `None` for the first.
    pub previous: Option<i64>,
    /// The migration's id.
    pub migration: &'a str,
    /// The how-manieth row about this migration this is, from 1.
    pub attempt: i64,
    /// What was done.
    pub direction: RowDirection,
    /// How it went.
    pub state: RowState,
    /// The checksum with its version: `v1:…`.
    pub checksum: Option<&'a str>,
    /// How many statements are complete.
    pub statements_done: u64,
    /// How many statements the script has.
    pub statements_total: u64,
    /// What tells whether the statements of the script were changed since.
    pub statement_checksums: Option<&'a str>,
    /// How long the lease lasts from now, for a stepwise batch.
    pub lease: Option<Duration>,
    /// The script that takes the migration back.
    pub down_script: Option<&'a str>,
    /// Who: `user@host pid 4121, whimbrel 0.1.0, postgres 0.1.0`.
    pub applied_by: &'a str,
}

impl<'a> NewRow<'a> {
    /// Returns a row with nothing but its identity.
    #[must_use]
    pub fn new(position: i64, migration: &'a str, attempt: i64) -> Self {
        NewRow {
            position,
            previous: (position > 1).then_some(position - 1),
            migration,
            attempt,
            direction: RowDirection::Up,
            state: RowState::Started,
            checksum: None,
            statements_done: 0,
            statements_total: 0,
            statement_checksums: None,
            lease: None,
            down_script: None,
            applied_by: "",
        }
    }
}

words! {
    /// What a row of the history records.
    pub enum RowDirection {
        /// The migration was applied.
        Up = 1, "up";
        /// It was taken back.
        Down = 2, "down";
        /// A lock held by a person or a tool.
        Lock = 3, "lock";
    }
}

words! {
    /// How a row of the history stands.
    pub enum RowState {
        /// At work, or left behind by a runner that died.
        Started = 1, "started";
        /// In the database.
        Applied = 2, "applied";
        /// Taken back.
        Reverted = 3, "reverted";
        /// Ended by an error after some statements.
        Failed = 4, "failed";
        /// Taken as applied without running it.
        Baseline = 5, "baseline";
        /// Left out on purpose.
        Skipped = 6, "skipped";
    }
}

/// How long a statement may wait and run. `None`: the engine's own default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long a statement waits for a lock.
    pub lock: Option<Duration>,
    /// How long a statement runs.
    pub statement: Option<Duration>,
}

/// How scripts are split into statements, and what their statements do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Lexer {
    /// The engine's peculiarities.
    pub features: BTreeSet<Feature>,
    /// The number of this server for version comments: 101119 for MariaDB 10.11.19.
    pub comment_version: u32,
    /// What statements do, first match wins; a statement that no pattern matches is [`Class::Plain`].
    pub patterns: Vec<Pattern>,
    /// The words, in capitals, that a statement which begins or commits a transaction may have and still mean no more
    /// than that. Any other word is an option that ours would lose.
    pub plain_control: BTreeSet<String>,
}

impl Lexer {
    /// Returns a lexer with these features and patterns, and standard SQL's words for a plain transaction.
    #[must_use]
    pub fn new(features: &[Feature], patterns: &[(&str, Class)]) -> Self {
        Lexer {
            features: features.iter().copied().collect(),
            comment_version: 0,
            patterns: patterns.iter().map(|(words, class)| Pattern::new(*words, *class)).collect(),
            plain_control: PLAIN_CONTROL.iter().map(ToString::to_string).collect(),
        }
    }
}

const PLAIN_CONTROL: &[&str] = &["BEGIN", "START", "TRANSACTION", "WORK", "COMMIT", "END"];

/// Tells a kind of statement by its words.
///
/// The words stand for the words of the statement from its start, without comments and regardless of case.
/// `[WORD]` may be missing, `A|B` is either, `*` is a name (quoted or qualified too), `...` is any number of words.
/// Punctuation ends a match unless the pattern names it as a word of its own: `PRAGMA FOREIGN_KEYS =`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Pattern {
    /// The pattern: `CREATE [UNIQUE] INDEX CONCURRENTLY`.
    pub words: String,
    /// What such a statement is.
    pub class: Class,
}

impl Pattern {
    /// Returns the pattern of statements of this class.
    #[must_use]
    pub fn new(words: impl Into<String>, class: Class) -> Self {
        Pattern { words: words.into(), class }
    }
}

codes! {
    /// What a statement does to the transaction it stands in.
    pub enum Class {
        /// Nothing in particular.
        Plain = 0,
        /// Begins a transaction.
        Begin = 1,
        /// Commits one.
        Commit = 2,
        /// Rolls one back.
        Rollback = 3,
        /// Refused by the engine inside a transaction.
        NoTransaction = 4,
        /// Commits what was before it, and itself: DDL on MySQL.
        ImplicitCommit = 5,
        /// A setting that the engine ignores or refuses inside a transaction and that belongs around it.
        Outside = 6,
        /// `COPY … FROM stdin`: data follows the statement.
        CopyFromStdin = 7,
        /// Locks tables: no other table can be used until they are unlocked.
        LockTables = 8,
        /// Unlocks them.
        UnlockTables = 9,
        /// Reads what the statement before it left: ROW_COUNT().
        ReadsPrevious = 10,
        /// A command of the engine's own client that can be left out.
        Skipped = 11,
        /// A command of the engine's own client that cannot be run.
        ClientCommand = 12,
        /// A setting of the session that no transaction takes back: it does the same before BEGIN as behind it.
        Setting = 13,
        /// Leaves something in the session that running it again would not bring back, and that later statements may
        /// use: a temporary table, a prepared statement, a variable that was computed.
        SessionState = 14,
        /// May stand in any transaction and is taken back with it, whatever its options say: INSERT, UPDATE, DELETE
        /// everywhere, DDL on some engines. In a stepwise batch its mark is joined to it
        /// ([`Marking::Joined`](crate::Marking::Joined)).
        Transactional = 15,
    }
}

codes! {
    /// A peculiarity of an engine's lexical rules.
    ///
    /// Without any feature: `'…'` is a string and `"…"` a name, in both a doubled quote stands for itself; `--` begins
    /// a comment to the end of the line; `/* */` is a comment and does not nest; `;` ends a statement.
    pub enum Feature {
        /// Comments nest.
        NestedComments = 1,
        /// `$$…$$` and `$tag$…$tag$` are strings.
        DollarQuotes = 2,
        /// `E'…'` is a string with backslash escapes.
        EscapeStrings = 3,
        /// A backslash escapes the next character in every string.
        BackslashEscapes = 4,
        /// `"…"` is a string, not a name.
        DoubleQuotedStrings = 5,
        /// `` `…` `` is a name.
        BacktickNames = 6,
        /// `[…]` is a name.
        BracketNames = 7,
        /// `#` begins a comment.
        HashComments = 8,
        /// `--` begins a comment only before white space or the end of the line.
        DashesNeedSpace = 9,
        /// `/*! … */` and `/*!50001 … */` are executed.
        ExecutableComments = 10,
        /// `/*M! … */` is executed as well: MariaDB.
        MariaDbComments = 11,
        /// A line `DELIMITER //` changes what ends a statement.
        DelimiterCommand = 12,
        /// The data of `COPY … FROM stdin` follows the statement, up to a line `\.`.
        CopyData = 13,
        /// A line that begins with a backslash is a command of the engine's client.
        BackslashCommands = 14,
        /// Bodies of routines and triggers are `BEGIN … END` with statements inside.
        CompoundBodies = 15,
        /// Bodies of SQL functions may be `BEGIN ATOMIC … END`.
        AtomicBodies = 16,
    }
}
