//! What a text for one query holds: how many statements, and whether it changes rows.
//!
//! For applications that hand over a query as it stands; the host splits by the [`lexer`](crate::lexer). The driver would run
//! all but the last statement of a text when it prepares that one.

/// Returns how many statements there are in a text.
pub(crate) fn count(text: &str) -> usize {
    let (mut count, mut is_open) = (0, false);
    for token in Tokens(text) {
        match token {
            Token::Other(";") => is_open = false,
            _ if !is_open => {
                is_open = true;
                count += 1;
            }
            _ => {}
        }
    }
    count
}

/// Returns whether a statement changes rows and gives none, by its words outside of parentheses.
pub(crate) fn only_changes(statement: &str) -> bool {
    const CHANGES: &[&str] = &["INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "COPY", "CREATE"];
    let mut depth = 0_i64;
    let mut words = Tokens(statement).filter_map(|token| match token {
        Token::Other(bracket) => {
            depth += i64::from(bracket == "(") - i64::from(bracket == ")");
            None
        }
        Token::Word(word) => (depth == 0).then(|| word.to_ascii_uppercase()),
        Token::Quoted => None,
    });
    let changes = match words.next().as_deref() {
        Some("WITH") => words.any(|word| CHANGES[..4].contains(&word.as_str())),
        Some(first) => CHANGES.contains(&first),
        None => false,
    };
    changes && !words.any(|word| word == "RETURNING")
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// A string or a quoted name.
    Quoted,
    Other(&'a str),
}

/// What is left of a text. White space and comments are passed over.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.0 = self.0.trim_start();
            let text = self.0;
            let first = text.chars().next()?;
            let (token, length) = match first {
                '-' if text.starts_with("--") => (None, text.find('\n').unwrap_or(text.len())),
                '/' if text.starts_with("/*") => (None, comment(text)),
                '\'' | '"' => (Some(Token::Quoted), quoted(text, first)),
                'e' | 'E' if text[1..].starts_with('\'') => (Some(Token::Quoted), 1 + escaped(&text[1..])),
                '$' => match dollar_quoted(text) {
                    Some(length) => (Some(Token::Quoted), length),
                    None => (Some(Token::Other(&text[..1])), 1),
                },
                letter if is_of_word(letter) => {
                    let length = text.find(|letter| !is_of_word(letter)).unwrap_or(text.len());
                    (Some(Token::Word(&text[..length])), length)
                }
                other => (Some(Token::Other(&text[..other.len_utf8()])), other.len_utf8()),
            };
            self.0 = &text[length..];
            if token.is_some() {
                return token;
            }
        }
    }
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Returns the length of a string or quoted name. A doubled quote begins the next one, which is as good as one that goes on.
fn quoted(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |at| at + 2)
}

/// Returns the length of a string in which a backslash escapes.
fn escaped(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '\'' if !is_escaped => return at + 1,
            letter => is_escaped = letter == '\\' && !is_escaped,
        }
    }
    text.len()
}

/// Returns the length of a comment, in which others may stand.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(step) = text[at..].find(['/', '*']) {
        at += step;
        let (change, length) = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (1, 2),
            [b'*', b'/', ..] => (-1, 2),
            _ => (0, 1),
        };
        depth += change;
        at += length;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Returns the length of `$tag$…$tag$`.
fn dollar_quoted(text: &str) -> Option<usize> {
    let end = 1 + text[1..].find('$')?;
    let tag = &text[..=end];
    let starts_well = !tag[1..].starts_with(|letter: char| letter.is_ascii_digit());
    let is_tag = starts_well && tag[1..end].chars().all(is_of_word);
    let close = text[end + 1..].find(tag).filter(|_| is_tag);
    close.map(|close| end + 1 + close + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_counted_and_not_what_looks_like_them() {
        for (text, expected) in [
            ("", 0),
            (" ; -- nothing;\n ;", 0),
            ("SELECT 1;", 1),
            ("SELECT ';', \";\", E'\\';', $$;$$, $a$;$$;$a$, $1 /* ; /* ; */ ; */ -- ;", 1),
            ("INSERT INTO t VALUES (1); SELECT 1", 2),
            ("SELECT 'a''b;'; SELECT $1;; SELECT $2", 3),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_changes_rows_is_told_by_its_words() {
        for statement in [
            "INSERT INTO t SELECT 1",
            "/* x */ with a as (select 1) insert into t select * from a",
            "UPDATE t SET name = 'RETURNING'",
            "CREATE TABLE t AS SELECT 1",
        ] {
            assert!(only_changes(statement), "{statement}");
        }
        for statement in [
            "SELECT 1 AS Count",
            "WITH a AS (SELECT 1 AS \"insert\") SELECT * FROM a",
            "INSERT INTO t VALUES (1) RETURNING id AS Count",
            "FROM t",
            "",
        ] {
            assert!(!only_changes(statement), "{statement}");
        }
    }
}
