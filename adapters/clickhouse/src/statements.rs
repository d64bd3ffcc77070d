//! Splits a script as the engine's own client does, and finds the placeholders of a statement.
//!
//! For applications that hand over a script as it stands; the host splits by the [`lexer`](crate::lexer).

use std::ops::Range;

/// Returns where the statements of a script are, without their delimiters.
pub(crate) fn split(script: &str) -> Vec<Range<usize>> {
    let mut statements = Vec::new();
    let (mut start, mut end) = (None, 0);
    for part in Parts::of(script) {
        match part.kind {
            Kind::Blank => {}
            Kind::Delimiter => statements.extend(start.take().map(|start| start..end)),
            Kind::Placeholder | Kind::Text => {
                start = start.or(Some(part.range.start));
                end = part.range.end;
            }
        }
    }
    statements.extend(start.map(|start| start..end));
    statements
}

/// Returns a statement with its `?` replaced one after the other, or `None` if there are not as many.
pub(crate) fn fill(statement: &str, literals: &[String]) -> Option<String> {
    let mut filled = String::with_capacity(statement.len());
    let mut literals = literals.iter();
    for part in Parts::of(statement) {
        match part.kind {
            Kind::Placeholder => filled.push_str(literals.next()?),
            _ => filled.push_str(&statement[part.range]),
        }
    }
    literals.next().is_none().then_some(filled)
}

/// Returns whether a statement is an ALTER of one command.
pub(crate) fn is_one_alteration(statement: &str) -> bool {
    let mut depth = 0_i64;
    let is_alone = Parts::of(statement).filter(|part| part.kind == Kind::Text).all(|part| {
        match &statement[part.range] {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "," => return depth > 0,
            _ => {}
        }
        true
    });
    is_alone && is_alteration(statement)
}

/// Returns whether a statement alters something.
pub(crate) fn is_alteration(statement: &str) -> bool {
    words(statement).next().is_some_and(|word| word == "ALTER")
}

/// Returns whether a statement inserts rows.
pub(crate) fn inserts(statement: &str) -> bool {
    let mut words = words(statement);
    match words.next().as_deref() {
        Some("INSERT") => true,
        Some("WITH") => words.any(|word| word == "INSERT"),
        _ => false,
    }
}

/// Returns whether a statement makes a table and then fills it.
pub(crate) fn fills(statement: &str) -> bool {
    let words: Vec<String> = words(statement).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // CREATE OR REPLACE TEMPORARY TABLE.
    let is_table = words.iter().take(5).any(|word| *word == "TABLE");
    let says = |pair: [&str; 2]| words.windows(2).any(|words| words == pair);
    match words.first() {
        Some(&("CREATE" | "REPLACE")) if is_table => {
            says(["CLONE", "AS"])
                || ((says(["AS", "SELECT"]) || says(["AS", "WITH"])) && !says(["EMPTY", "AS"]))
        }
        Some(&("CREATE" | "REPLACE")) => words.contains(&"POPULATE"),
        _ => false,
    }
}

/// Returns the words of a statement in capitals, without strings, quoted names and comments.
fn words(statement: &str) -> impl Iterator<Item = String> {
    let is_of_word = |part: &Part| {
        let letter = statement[part.range.clone()].chars().next();
        part.kind == Kind::Text && letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    };
    let mut parts = Parts::of(statement);
    std::iter::from_fn(move || {
        let first = parts.find(is_of_word)?;
        let mut word = statement[first.range].to_ascii_uppercase();
        for part in parts.by_ref().take_while(is_of_word) {
            word.push_str(&statement[part.range].to_ascii_uppercase());
        }
        Some(word)
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// White space and comments.
    Blank,
    /// `;`
    Delimiter,
    /// `?`
    Placeholder,
    /// All else, a string or a quoted name as one.
    Text,
}

struct Part {
    kind: Kind,
    range: Range<usize>,
}

struct Parts<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        Parts { text, at: 0 }
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let rest = &self.text[self.at..];
        let first = rest.chars().next()?;
        let to = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
        let (kind, length) = match first {
            ';' => (Kind::Delimiter, 1),
            '?' => (Kind::Placeholder, 1),
            '\'' | '"' | '`' => (Kind::Text, quoted(rest, first)),
            '$' => (Kind::Text, heredoc(rest).unwrap_or(1)),
            '-' if rest.starts_with("--") => (Kind::Blank, to("\n")),
            '#' if rest.starts_with("# ") || rest.starts_with("#!") => (Kind::Blank, to("\n")),
            '/' if rest.starts_with("/*") => (Kind::Blank, comment(rest)),
            space if space.is_whitespace() => (Kind::Blank, space.len_utf8()),
            other => (Kind::Text, other.len_utf8()),
        };
        let range = self.at..self.at + length;
        self.at = range.end;
        Some(Part { kind, range })
    }
}

/// Returns the length of a string or quoted name, to the end of the text if it never ends.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            // A doubled quote begins the next string, which is as good as one that goes on.
            character if character == quote && !escaped => return at + 1,
            character => escaped = character == '\\' && !escaped,
        }
    }
    text.len()
}

/// Returns the length of a comment, in which others may stand.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        at += match rest.get(..2) {
            Some("/*") => {
                depth += 1;
                2
            }
            Some("*/") if depth == 1 => return at + 2,
            Some("*/") => {
                depth -= 1;
                2
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    text.len()
}

/// Returns the length of `$tag$…$tag$`.
fn heredoc(text: &str) -> Option<usize> {
    let end = 1 + text[1..].find('$')?;
    let tag = &text[..=end];
    let is_tag = tag[1..end].chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    let close = text[end + 1..].find(tag).filter(|_| is_tag)?;
    Some(end + 1 + close + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_in_strings_names_and_comments_are_none() {
        let script = "SELECT 'a;\\';b''c;', \"d;\", `e;` -- f;\n# g;\n/* h; /* i */ ; */ ;; SELECT $x$;$x$, 5$ ; -- end";
        let found: Vec<&str> = split(script).into_iter().map(|range| &script[range]).collect();
        assert_eq!(found, ["SELECT 'a;\\';b''c;', \"d;\", `e;`", "SELECT $x$;$x$, 5$"]);
        assert!(split(" -- nothing\n;;").is_empty());
    }

    #[test]
    fn what_makes_a_table_and_fills_it_is_told_by_its_words() {
        for statement in [
            "create table if not exists t engine = Memory as (select 1)",
            "CREATE OR REPLACE TEMPORARY TABLE t ENGINE = Memory AS /* x */ WITH 1 AS a SELECT a",
            "REPLACE TABLE t ENGINE = Memory AS SELECT 1",
            "CREATE TABLE t CLONE AS u",
            "CREATE OR REPLACE MATERIALIZED VIEW v ENGINE = Memory POPULATE AS SELECT 1",
        ] {
            assert!(fills(statement), "{statement}");
        }
        for statement in [
            "CREATE TABLE t AS u",
            "CREATE TABLE t (a Int8 DEFAULT 'as select', PROJECTION p (SELECT a)) ENGINE = Memory",
            "CREATE TABLE t ENGINE = Memory EMPTY AS SELECT 1",
            "CREATE VIEW v AS SELECT 1",
            "CREATE MATERIALIZED VIEW v TO t AS SELECT 1",
            "DROP TABLE t",
        ] {
            assert!(!fills(statement), "{statement}");
        }
        assert!(is_one_alteration("ALTER TABLE t MODIFY COLUMN c Decimal(9, 2) -- , more"));
        assert!(!is_one_alteration("ALTER TABLE t DROP COLUMN a, DROP COLUMN b"));
    }

    #[test]
    fn placeholders_in_strings_are_none() {
        let literals = ["1".to_owned(), "'?'".to_owned()];
        assert_eq!(fill("SELECT ?, '?', ? -- ?", &literals).as_deref(), Some("SELECT 1, '?', '?' -- ?"));
        assert_eq!(fill("SELECT ?", &literals), None);
        assert_eq!(fill("SELECT ?, ?, ?", &literals), None);
    }
}
