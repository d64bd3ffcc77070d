//! What a statement answers, told from its first words.
//!
//! Most statements answer once, with rows or with an OK. A procedure or a compound statement answers with any number
//! of row sets and then one OK. What an EXECUTE answers depends on what was prepared.
//!
//! The host's splitter has found the statements; nothing here looks further than their beginning.

/// How many answers of the server belong to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// One.
    One,
    /// Row sets, up to and including the first OK.
    UntilOk,
    /// Cannot be known beforehand: all that come, so nothing may follow the statement in its packet.
    Rest,
}

/// What a statement does to a transaction of the script's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Begins one.
    Begins,
    /// Ends it and keeps its work: COMMIT, or DDL.
    Commits,
    /// Ends it and takes its work back.
    RollsBack,
    /// Sets `autocommit`. Only the server knows to what: the value may be a variable.
    SetsAutocommit,
    /// Runs what only the server knows: it may end the transaction or leave it open.
    Unsure,
}

/// Statements that answer once, whatever follows their first word.
const ANSWER_ONCE: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "BACKUP",
    "BINLOG",
    "CACHE",
    "CHANGE",
    "CHECK",
    "CHECKSUM",
    "CLONE",
    "COMMIT",
    "CREATE",
    "DEALLOCATE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DO",
    "DROP",
    "EXPLAIN",
    "FLUSH",
    "GET",
    "GRANT",
    "HANDLER",
    "HELP",
    "IMPORT",
    "INSERT",
    "INSTALL",
    "KILL",
    "LOAD",
    "LOCK",
    "OPTIMIZE",
    "PREPARE",
    "PURGE",
    "RELEASE",
    "RENAME",
    "REPAIR",
    "REPLACE",
    "RESET",
    "RESIGNAL",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SHOW",
    "SIGNAL",
    "START",
    "STOP",
    "TABLE",
    "TRUNCATE",
    "UNINSTALL",
    "UNLOCK",
    "UPDATE",
    "USE",
    "VALUES",
    "WITH",
    "XA",
];

/// Statements that commit what was before them, temporary tables aside. What the manuals say of some others depends on
/// the version: the server is asked.
const COMMIT_FIRST: &[&str] = &[
    "ALTER", "CREATE", "DROP", "FLUSH", "GRANT", "IMPORT", "LOCK", "OPTIMIZE", "RENAME", "REPAIR", "RESET",
    "REVOKE", "TRUNCATE",
];

/// Statements that run others, and those of which it depends on the server whether they commit.
const UNSURE: &[&str] = &[
    "ANALYZE",
    "BACKUP",
    "CACHE",
    "CALL",
    "CASE",
    "CHANGE",
    "CHECK",
    "CLONE",
    "EXECUTE",
    "FOR",
    "IF",
    "INSTALL",
    "LOAD",
    "LOOP",
    "PURGE",
    "REPEAT",
    "START",
    "STOP",
    "UNINSTALL",
    "WHILE",
];

/// Returns how many answers belong to `statement`.
pub(crate) fn answers(statement: &str) -> Answers {
    let words = first_words(statement);
    match [words[0].as_str(), words[1].as_str()] {
        ["BEGIN", "NOT"] | ["CALL" | "CASE" | "FOR" | "IF" | "LOOP" | "REPEAT" | "WHILE", _] => {
            Answers::UntilOk
        }
        // SET STATEMENT … FOR runs any other statement.
        ["SET", "STATEMENT"] => Answers::Rest,
        ["SET" | "BEGIN" | "(", _] => Answers::One,
        [word, _] if ANSWER_ONCE.contains(&word) => Answers::One,
        _ => Answers::Rest,
    }
}

/// Returns what `statement` does to a transaction that the script began.
pub(crate) fn effect(statement: &str) -> Effect {
    let words = first_words(statement);
    match [words[0].as_str(), words[1].as_str(), words[2].as_str()] {
        ["SET", ..] if mentions(statement, "AUTOCOMMIT") => Effect::SetsAutocommit,
        ["SET", "PASSWORD" | "DEFAULT", _] => Effect::Commits,
        ["BEGIN", "NOT", _] => Effect::Unsure,
        ["BEGIN", ..] | ["START", "TRANSACTION", _] => Effect::Begins,
        ["COMMIT", ..] => Effect::Commits,
        ["ROLLBACK", "TO", _] | ["ROLLBACK", "WORK", "TO"] => Effect::None,
        ["ROLLBACK", ..] => Effect::RollsBack,
        ["CREATE" | "DROP", "TEMPORARY" | "PREPARE", _] => Effect::None,
        // What comes fourth may be TEMPORARY.
        ["CREATE", "OR", "REPLACE"] => Effect::Unsure,
        [word, ..] if COMMIT_FIRST.contains(&word) => Effect::Commits,
        [word, ..] if UNSURE.contains(&word) => Effect::Unsure,
        _ => Effect::None,
    }
}

/// Returns the table, as it is written, into which `statement` writes rows that it holds itself: as a rule, its work is
/// bounded by its length.
pub(crate) fn rows_for(statement: &str) -> Option<&str> {
    let (word, mut rest) = first_word(statement);
    if !["INSERT", "REPLACE"].iter().any(|insert| word.eq_ignore_ascii_case(insert)) {
        return None;
    }
    let modifiers = ["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"];
    loop {
        let (word, tail) = first_word(rest);
        if !modifiers.iter().any(|modifier| word.eq_ignore_ascii_case(modifier)) {
            break;
        }
        rest = tail;
    }
    let table = skip(rest);
    let mut behind = skip(name(table)?);
    if let Some(schema_is_over) = behind.strip_prefix('.') {
        behind = name(skip(schema_is_over))?;
    }
    let table = table[..table.len() - behind.len()].trim_end();
    let mut rest = skip(behind);
    if let Some(mut columns) = rest.strip_prefix('(') {
        loop {
            columns = skip(name(skip(columns))?);
            if let Some(tail) = columns.strip_prefix(')') {
                break rest = skip(tail);
            }
            columns = columns.strip_prefix(',')?;
        }
    }
    let (word, _) = first_word(rest);
    ["VALUES", "VALUE"].iter().any(|values| word.eq_ignore_ascii_case(values)).then_some(table)
}

/// Returns what is behind the name that `text` begins with.
fn name(text: &str) -> Option<&str> {
    if let Some(quoted) = text.strip_prefix('`') {
        return quoted.split_once('`').map(|(_, tail)| tail);
    }
    let is_plain = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let tail = text.trim_start_matches(is_plain);
    (tail.len() < text.len()).then_some(tail)
}

/// Returns whether `statement` is about a transaction of several servers.
pub(crate) fn is_distributed(statement: &str) -> bool {
    let words = first_words(statement);
    words[0] == "XA" && words[1] != "RECOVER"
}

/// What a statement does to `sql_mode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModeChange {
    /// Nothing.
    None,
    /// Sets these modes, separated by commas.
    To(String),
    /// Puts back a value that was saved.
    Back,
}

/// Returns what `statement` does to `sql_mode`, as far as it is written out.
pub(crate) fn mode_change(statement: &str) -> ModeChange {
    let assigned = first_words(statement)[0] == "SET" && mentions(statement, "SQL_MODE");
    let capitals = if assigned { statement.to_ascii_uppercase() } else { return ModeChange::None };
    // `@OLD_SQL_MODE=` is a variable of the script's own.
    let is_whole =
        |at: usize| !capitals[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    let value = capitals.match_indices("SQL_MODE").filter(|(at, _)| is_whole(*at)).find_map(|(at, name)| {
        let tail = capitals[at + name.len()..]
            .trim_start_matches(|letter: char| letter == '`' || letter.is_whitespace());
        tail.strip_prefix(":=").or_else(|| tail.strip_prefix('='))
    });
    let named = capitals.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let named = named.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(",");
    match value.map(str::trim_start) {
        // `SET @old = @@sql_mode` alone.
        None => ModeChange::None,
        Some(value) if value.starts_with('@') => ModeChange::Back,
        Some(value) if value.starts_with("REPLACE") => ModeChange::Back,
        Some(_) => ModeChange::To(named),
    }
}

fn mentions(statement: &str, word: &str) -> bool {
    statement.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// Returns the first words in capitals, without comments. The inside of a comment that is executed counts.
fn first_words(statement: &str) -> [String; 3] {
    let mut rest = statement;
    [(); 3].map(|()| {
        let (word, tail) = first_word(rest);
        rest = tail;
        word.to_ascii_uppercase()
    })
}

/// Returns the first word, or parenthesis, and what is behind it.
fn first_word(text: &str) -> (&str, &str) {
    let text = skip(text);
    let end =
        text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    text.split_at(if text.starts_with('(') { 1 } else { end })
}

/// Returns `text` from the first character that is neither white space nor part of a comment.
fn skip(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        let tail = if text.starts_with('#') || text.starts_with("--") {
            text.split_once('\n').map_or("", |(_, tail)| tail)
        } else if let Some(inside) = text.strip_prefix("/*!").or_else(|| text.strip_prefix("/*M!")) {
            inside.trim_start_matches(|letter: char| letter.is_ascii_digit())
        } else if let Some(tail) = text.strip_prefix("*/") {
            tail
        } else if let Some(inside) = text.strip_prefix("/*") {
            inside.split_once("*/").map_or("", |(_, tail)| tail)
        } else {
            return text;
        };
        text = tail;
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_adapter_api::Class;

    use super::*;
    use crate::lexer::PATTERNS;

    #[test]
    fn what_may_answer_more_than_once_is_known() {
        for (statement, expected) in [
            ("SELECT 1", Answers::One),
            ("(SELECT 1) UNION (SELECT 2)", Answers::One),
            ("-- a note\ninsert into t values (1)", Answers::One),
            ("/*!40101 SET NAMES utf8 */", Answers::One),
            ("/* why */ # and how\ncall tidy()", Answers::UntilOk),
            ("/*M!100000 CALL tidy() */", Answers::UntilOk),
            ("BEGIN", Answers::One),
            ("BEGIN NOT ATOMIC SELECT 1; SELECT 2; END", Answers::UntilOk),
            ("IF 1 THEN SELECT 1; END IF", Answers::UntilOk),
            ("EXECUTE plan", Answers::Rest),
            ("SET STATEMENT max_statement_time = 1 FOR CALL tidy()", Answers::Rest),
            ("SET statement_ = 1", Answers::One),
            ("label: LOOP LEAVE label; END LOOP", Answers::Rest),
        ] {
            assert_eq!(answers(statement), expected, "{statement}");
        }
    }

    #[test]
    fn a_mode_that_is_written_out_is_found() {
        for statement in [
            "SET sql_mode = 'ANSI_QUOTES'",
            "set @@session.SQL_MODE='strict_all_tables,ansi_quotes'",
            "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='ANSI_QUOTES' */",
            "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')",
            "SET `sql_mode` := ansi_quotes",
        ] {
            let ModeChange::To(modes) = mode_change(statement) else { panic!("{statement}") };
            assert!(modes.split(',').any(|mode| mode == "ANSI_QUOTES"), "{statement}: {modes}");
        }
        assert_eq!(mode_change("SET SQL_MODE=@OLD_SQL_MODE"), ModeChange::Back);
        assert_eq!(mode_change("SET @OLD_SQL_MODE=@@SQL_MODE"), ModeChange::None);
        assert_eq!(mode_change("SELECT 'SQL_MODE = ANSI'"), ModeChange::None);
    }

    #[test]
    fn transactions_of_the_script_are_followed() {
        for (statement, expected) in [
            ("START TRANSACTION", Effect::Begins),
            ("START SLAVE", Effect::Unsure),
            ("begin work", Effect::Begins),
            ("BEGIN NOT ATOMIC SELECT 1; END", Effect::Unsure),
            ("CREATE OR REPLACE TEMPORARY TABLE t (id INT)", Effect::Unsure),
            ("COMMIT", Effect::Commits),
            ("ROLLBACK", Effect::RollsBack),
            ("ROLLBACK WORK TO SAVEPOINT a", Effect::None),
            ("CREATE TABLE t (id INT)", Effect::Commits),
            ("CREATE TEMPORARY TABLE t (id INT)", Effect::None),
            ("INSERT INTO t VALUES (1)", Effect::None),
            ("/*!40101 SET autocommit=0 */", Effect::SetsAutocommit),
            ("set NAMES utf8, @@session.AutoCommit = @old", Effect::SetsAutocommit),
            ("SET NAMES utf8", Effect::None),
        ] {
            assert_eq!(effect(statement), expected, "{statement}");
        }
    }

    #[test]
    fn rows_that_are_written_out_are_told_from_others() {
        for (statement, table) in [
            ("INSERT INTO t VALUES (1), (2)", "t"),
            ("insert ignore into `t` (`a`, b) values (1, 'SELECT')", "`t`"),
            ("/* why */ REPLACE t VALUES (1)", "t"),
            ("INSERT INTO /* where */ nest . `a(b` (`x)`,y)\nVALUE (1)", "nest . `a(b`"),
        ] {
            assert_eq!(rows_for(statement), Some(table), "{statement}");
        }
        for statement in [
            "INSERT INTO t SELECT * FROM u",
            "INSERT INTO t (value) SELECT 1",
            "INSERT INTO t /* VALUES */ SELECT 1",
            "INSERT INTO `values` SELECT 1",
            "INSERT INTO t SET a = 1",
            "INSERT INTO t (a, b",
            "INSERT INTO",
            "REPLACE INTO t TABLE u",
            "INSERT INTO t WITH u AS (SELECT 1) SELECT * FROM u",
            "UPDATE t SET a = VALUES(a)",
            "DELETE FROM t",
        ] {
            assert_eq!(rows_for(statement), None, "{statement}");
        }
    }

    /// The host marks a statement as outside a transaction where the lexer says that one before it has ended it.
    #[test]
    fn what_the_lexer_calls_a_commit_is_followed_as_one() {
        for (words, _) in PATTERNS.iter().filter(|(_, class)| *class == Class::ImplicitCommit) {
            let required = words.split(' ').filter(|word| !word.starts_with('['));
            let statement: Vec<&str> = required.map(|word| word.split('|').next().unwrap_or(word)).collect();
            let effect = effect(&statement.join(" "));
            assert!(matches!(effect, Effect::Commits | Effect::Unsure), "{words}: {effect:?}");
        }
    }
}
