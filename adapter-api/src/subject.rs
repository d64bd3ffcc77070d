//! What a statement of DDL is about, by its words: enough to look whether it was carried out.
//!
//! A [`Dialect`](crate::Dialect) answers [`Text::Traces`](crate::Text::Traces) from it with a query on its catalogue. What
//! runs DDL twice fails loudly, so only the common forms are understood; of any other nothing is said.
//!
//! It is no parser: what follows the name is not looked at.

use std::iter::Peekable;
use std::str::CharIndices;

/// What a statement makes or takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subject {
    /// Whether it is there after the statement.
    pub change: Change,
    /// What it is.
    pub kind: Kind,
    /// Its name, with what qualifies it before it.
    pub name: Vec<Identifier>,
    /// The table that it belongs to: an index's or a column's. An index may be dropped without a word about it.
    pub table: Option<Vec<Identifier>>,
    /// Whether the statement says that it may be run twice: `IF NOT EXISTS`, `IF EXISTS`.
    pub repeatable: Repeatable,
    /// Whether others may write meanwhile, so that a failure leaves something behind.
    pub locking: Locking,
}

/// Whether something is there after a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is made.
    Made,
    /// It is taken away.
    TakenAway,
    /// It is made anew in its place.
    Remade,
}

/// What a statement is about. Of a kind that a dialect does not look for it says nothing: `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A table.
    Table,
    /// A view.
    View,
    /// An index.
    Index,
    /// A column of a table.
    Column,
}

/// Whether a statement minds being run twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeatable {
    /// It does nothing the second time.
    Yes,
    /// It fails the second time.
    No,
}

/// Whether a statement locks out others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Locking {
    /// As usual.
    Ordinary,
    /// `CONCURRENTLY`.
    Concurrent,
}

/// A name as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identifier {
    /// Without its quotes.
    pub text: String,
    /// Whether it stands in quotes.
    pub quoting: Quoting,
}

/// Whether a name stands in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// Without: engines fold its case.
    Bare,
    /// In quotes: letter by letter.
    Quoted,
}

impl Subject {
    /// Returns what a statement is about, or `None` where its words do not tell.
    #[must_use]
    pub fn of(statement: &str) -> Option<Self> {
        let mut words = Words { tokens: Tokens::new(statement).peekable() };
        match words.any_of(&["CREATE", "DROP", "ALTER", "REINDEX"])? {
            "ALTER" => altered(&mut words),
            "CREATE" => created(&mut words),
            "DROP" => dropped(&mut words),
            _ => remade(&mut words),
        }
    }
}

/// Returns whether a statement may be run twice by its own words: it says so, or it only puts in order what is there.
#[must_use]
pub fn may_be_repeated(statement: &str) -> bool {
    const PUTS_IN_ORDER: &[&str] =
        &["ANALYZE", "VACUUM", "REINDEX", "CLUSTER", "REFRESH", "OPTIMIZE", "CHECKPOINT", "FLUSH"];
    // On some engines ANALYZE shows how a statement runs, and runs it.
    const RUN_BY_ANALYZE: &[&str] = &["FORMAT", "INSERT", "REPLACE", "UPDATE", "DELETE", "SELECT", "WITH"];
    // What is replaced by the like of it: not a table, whose rows would be gone.
    const REPLACED: &[&str] = &["VIEW", "FUNCTION", "PROCEDURE", "TRIGGER", "RULE", "INDEX"];
    let mut words = Words { tokens: Tokens::new(statement).peekable() };
    match words.any_of(&["CREATE", "DROP", "ALTER"]) {
        None => words.any_of(PUTS_IN_ORDER).is_some() && words.any_of(RUN_BY_ANALYZE).is_none(),
        // Which of its changes says so cannot be seen by words alone.
        Some("ALTER") => Subject::of(statement).is_some_and(|subject| subject.repeatable == Repeatable::Yes),
        Some(_) => match words.word("OR") && words.word("REPLACE") {
            true => words.kind_of_object().is_some_and(|kind| REPLACED.contains(&kind)),
            false => words.kind_of_object().is_some() && words.say_if_exists(),
        },
    }
}

fn created(words: &mut Words<'_>) -> Option<Subject> {
    words.any_of(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
    let kind = words.kind()?;
    let locking = words.locking();
    let repeatable = words.repeatable(&["IF", "NOT", "EXISTS"]);
    let name = words.name()?;
    let table = if kind == Kind::Index { Some(words.table()?) } else { None };
    Some(Subject { change: Change::Made, kind, name, table, repeatable, locking })
}

fn dropped(words: &mut Words<'_>) -> Option<Subject> {
    let kind = words.kind()?;
    let locking = words.locking();
    let repeatable = words.repeatable(&["IF", "EXISTS"]);
    let name = words.name()?;
    let table = if words.word("ON") { words.name() } else { None };
    words.is_alone().then_some(Subject { change: Change::TakenAway, kind, name, table, repeatable, locking })
}

fn remade(words: &mut Words<'_>) -> Option<Subject> {
    words.options();
    let kind = words.kind()?;
    let locking = words.locking();
    let name = words.name()?;
    Some(Subject { change: Change::Remade, kind, name, table: None, repeatable: Repeatable::Yes, locking })
}

/// One column that is added or dropped; of several changes at once nothing is said.
fn altered(words: &mut Words<'_>) -> Option<Subject> {
    if words.kind()? != Kind::Table {
        return None;
    }
    words.repeatable(&["IF", "EXISTS"]);
    words.word("ONLY");
    let table = words.name()?;
    let change = match words.any_of(&["ADD", "DROP"])? {
        "ADD" => Change::Made,
        _ => Change::TakenAway,
    };
    let named = words.word("COLUMN");
    const OTHERS: &[&str] = &[
        "CONSTRAINT",
        "PRIMARY",
        "FOREIGN",
        "UNIQUE",
        "CHECK",
        "INDEX",
        "KEY",
        "FULLTEXT",
        "SPATIAL",
        "PARTITION",
        "PERIOD",
        "SYSTEM",
    ];
    if !named && words.any_of(OTHERS).is_some() {
        return None;
    }
    let repeatable = match change {
        Change::Made => words.repeatable(&["IF", "NOT", "EXISTS"]),
        _ => words.repeatable(&["IF", "EXISTS"]),
    };
    let name = vec![words.identifier()?];
    let subject = Subject {
        change,
        kind: Kind::Column,
        name,
        table: Some(table),
        repeatable,
        locking: Locking::Ordinary,
    };
    words.is_alone().then_some(subject)
}

struct Words<'a> {
    tokens: Peekable<Tokens<'a>>,
}

impl Words<'_> {
    fn word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| token.is_word(word)).is_some()
    }

    fn any_of<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        words.iter().find(|word| self.word(word)).copied()
    }

    fn kind(&mut self) -> Option<Kind> {
        self.word("MATERIALIZED");
        Some(match self.any_of(&["TABLE", "VIEW", "INDEX"])? {
            "TABLE" => Kind::Table,
            "VIEW" => Kind::View,
            _ => Kind::Index,
        })
    }

    fn locking(&mut self) -> Locking {
        if self.word("CONCURRENTLY") { Locking::Concurrent } else { Locking::Ordinary }
    }

    fn repeatable(&mut self, words: &[&str]) -> Repeatable {
        if words.iter().all(|word| self.word(word)) { Repeatable::Yes } else { Repeatable::No }
    }

    /// Returns what is made or taken away, past words that say more about it: `UNIQUE`, `DEFINER = a@b`.
    fn kind_of_object(&mut self) -> Option<&'static str> {
        const KINDS: &[&str] = &[
            "TABLE",
            "VIEW",
            "INDEX",
            "FUNCTION",
            "PROCEDURE",
            "TRIGGER",
            "EVENT",
            "RULE",
            "SEQUENCE",
            "TYPE",
            "SCHEMA",
            "DATABASE",
            "USER",
            "ROLE",
            "EXTENSION",
            "POLICY",
        ];
        const BEFORE_IT: usize = 7;
        for _ in 0..BEFORE_IT {
            if let Some(kind) = self.any_of(KINDS) {
                return Some(kind);
            }
            self.tokens.next();
        }
        None
    }

    /// Returns whether `IF EXISTS` or `IF NOT EXISTS` comes next.
    fn say_if_exists(&mut self) -> bool {
        self.word("CONCURRENTLY");
        let says = self.word("IF");
        self.word("NOT");
        says && self.word("EXISTS")
    }

    /// Passes over options in parentheses.
    fn options(&mut self) {
        if self.tokens.next_if_eq(&Token::Other('(')).is_some() {
            self.tokens.by_ref().find(|token| *token == Token::Other(')'));
        }
    }

    fn identifier(&mut self) -> Option<Identifier> {
        match self.tokens.next()? {
            Token::Name(identifier) => Some(identifier),
            Token::Other(_) => None,
        }
    }

    fn name(&mut self) -> Option<Vec<Identifier>> {
        let mut name = vec![self.identifier()?];
        while self.tokens.next_if_eq(&Token::Other('.')).is_some() {
            name.push(self.identifier()?);
        }
        Some(name)
    }

    /// Returns the table of an index: `ON ONLY t`.
    fn table(&mut self) -> Option<Vec<Identifier>> {
        if !self.word("ON") {
            return None;
        }
        self.word("ONLY");
        self.name()
    }

    /// Returns whether no comma outside of parentheses follows, behind which there would be more of it.
    fn is_alone(&mut self) -> bool {
        let mut depth = 0_i64;
        self.tokens.all(|token| {
            match token {
                Token::Other('(') => depth += 1,
                Token::Other(')') => depth -= 1,
                Token::Other(',') => return depth > 0,
                _ => {}
            }
            true
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Name(Identifier),
    Other(char),
}

impl Token {
    fn is_word(&self, word: &str) -> bool {
        let bare = |name: &Identifier| name.quoting == Quoting::Bare && name.text.eq_ignore_ascii_case(word);
        matches!(self, Token::Name(name) if bare(name))
    }
}

/// Words, quoted names and single characters. Comments are passed over; a string is a name of no meaning.
struct Tokens<'a> {
    text: &'a str,
    characters: Peekable<CharIndices<'a>>,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Self {
        Tokens { text, characters: text.char_indices().peekable() }
    }

    fn skip_comment(&mut self, start: usize) -> bool {
        let rest = &self.text[start..];
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            return false;
        };
        while self.characters.next_if(|(at, _)| *at < start + length).is_some() {}
        true
    }

    fn quoted(&mut self, end: char) -> Token {
        let mut text = String::new();
        while let Some((_, character)) = self.characters.next() {
            // A doubled quote stands for itself.
            if character == end && self.characters.next_if(|(_, next)| *next == end).is_none() {
                break;
            }
            text.push(character);
        }
        Token::Name(Identifier { text, quoting: Quoting::Quoted })
    }

    fn bare(&mut self, first: char) -> Token {
        let mut text = String::from(first);
        while let Some((_, character)) = self.characters.next_if(|(_, next)| belongs_to_word(*next)) {
            text.push(character);
        }
        Token::Name(Identifier { text, quoting: Quoting::Bare })
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let (start, character) = *self.characters.peek()?;
            if self.skip_comment(start) {
                continue;
            }
            self.characters.next();
            return Some(match character {
                space if space.is_whitespace() => continue,
                quote @ ('"' | '`' | '\'') => self.quoted(quote),
                '[' => self.quoted(']'),
                first if belongs_to_word(first) => self.bare(first),
                other => Token::Other(other),
            });
        }
    }
}

fn belongs_to_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a subject in a few words: `+ table a.b`, `- column t(c)`.
    fn told(statement: &str) -> Option<String> {
        let subject = Subject::of(statement)?;
        let path = |name: &[Identifier]| {
            let part = |part: &Identifier| match part.quoting {
                Quoting::Bare => part.text.clone(),
                Quoting::Quoted => format!("\"{}\"", part.text),
            };
            name.iter().map(part).collect::<Vec<_>>().join(".")
        };
        let change = match subject.change {
            Change::Made => "+",
            Change::TakenAway => "-",
            Change::Remade => "=",
        };
        let kind = format!("{:?}", subject.kind).to_lowercase();
        let table = subject.table.as_deref().map(|table| format!(" of {}", path(table))).unwrap_or_default();
        let repeatable = if subject.repeatable == Repeatable::Yes { " repeatable" } else { "" };
        let concurrent = if subject.locking == Locking::Concurrent { " concurrent" } else { "" };
        Some(format!("{change} {kind} {}{table}{repeatable}{concurrent}", path(&subject.name)))
    }

    #[test]
    fn the_common_forms_are_understood() {
        for (statement, expected) in [
            ("create table a.b (c int)", "+ table a.b"),
            ("CREATE TABLE /* x */ IF NOT EXISTS `b``c` AS SELECT 1, 2", "+ table \"b`c\" repeatable"),
            ("-- why\nCREATE VIEW v AS SELECT 1", "+ view v"),
            ("CREATE UNIQUE INDEX CONCURRENTLY i ON ONLY \"S\".t (a, b)", "+ index i of \"S\".t concurrent"),
            ("CREATE MATERIALIZED VIEW IF NOT EXISTS m AS SELECT 1", "+ view m repeatable"),
            (
                "REINDEX (VERBOSE, CONCURRENTLY FALSE) INDEX CONCURRENTLY s.i",
                "= index s.i repeatable concurrent",
            ),
            ("DROP TABLE IF EXISTS [b c]", "- table \"b c\" repeatable"),
            ("DROP INDEX i ON t", "- index i of t"),
            ("DROP INDEX CONCURRENTLY s.i CASCADE", "- index s.i concurrent"),
            ("ALTER TABLE t ADD COLUMN c numeric(10, 2)", "+ column c of t"),
            ("ALTER TABLE ONLY s.t ADD IF NOT EXISTS c int", "+ column c of s.t repeatable"),
            ("ALTER TABLE t DROP c", "- column c of t"),
        ] {
            assert_eq!(told(statement).as_deref(), Some(expected), "{statement}");
        }
    }

    #[test]
    fn what_may_be_repeated_says_so_by_its_words() {
        for statement in [
            "VACUUM FULL",
            "/* x */ analyze t",
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "CREATE DEFINER = `a`@`b` PROCEDURE IF NOT EXISTS p() SELECT 1",
            "DROP TRIGGER IF EXISTS t",
            "DROP INDEX CONCURRENTLY IF EXISTS i",
            "CREATE OR REPLACE DEFINER = `a`@`b` VIEW v AS SELECT 1",
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS c int",
        ] {
            assert!(may_be_repeated(statement), "{statement}");
        }
        for statement in [
            "CREATE VIEW v AS SELECT a OR REPLACE('b', 'c', 'd')",
            "CREATE OR REPLACE TABLE t (a int)",
            "CREATE PROCEDURE p() IF EXISTS (SELECT 1) THEN SELECT 2; END IF",
            "ANALYZE UPDATE t SET a = a + 1",
            "ANALYZE FORMAT=JSON DELETE FROM t",
            "CREATE PROCEDURE p() BEGIN DECLARE a int; SELECT 1; DROP TABLE IF EXISTS t; END",
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS c int, ADD COLUMN d int",
            "INSERT INTO t VALUES ('IF NOT EXISTS')",
            "CREATE",
        ] {
            assert!(!may_be_repeated(statement), "{statement}");
        }
    }

    #[test]
    fn of_anything_else_nothing_is_said() {
        for statement in [
            "INSERT INTO t VALUES (1)",
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "CREATE INDEX ON t (a)",
            "CREATE FUNCTION f() RETURNS int AS 'SELECT 1' LANGUAGE sql",
            "DROP TABLE a, b",
            "ALTER TABLE t ADD a int, ADD b int",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (true)",
            "ALTER TABLE t RENAME TO u",
            "ALTER INDEX i RENAME TO j",
            "CREATE TABLE",
            "",
        ] {
            assert_eq!(told(statement), None, "{statement}");
        }
    }
}
