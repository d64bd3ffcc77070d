//! What a migration says of itself beside its SQL.
//!
//! [`Metadata`] is what the [`header`](super::header) of a script and a directory's `metadata.toml` both turn into;
//! [`Metadata::merge`] joins the two. Every setting remembers its place, so that a later check can point at it.
//!
//! Whether what is named exists is checked by [`collect`](super::collect).

use std::fmt::Debug;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Transaction, closest};
use crate::error::{Name, Place, Problem};

/// A setting and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Said<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// The settings of one script or directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    pub(super) title: Option<Said<String>>,
    pub(super) created: Option<Said<String>>,
    pub(super) depends: Vec<Said<String>>,
    pub(super) environments: Vec<Said<String>>,
    pub(super) transaction: Option<Said<Transaction>>,
    /// The lines of `-- Rollback:`. `metadata.toml` has none: a directory has its `down.sql`.
    pub(super) rollback: Vec<Said<String>>,
}

const KEYS: &[&str] = &["title", "created", "depends", "env", "transaction"];

impl Metadata {
    /// Adds what `header` says, and finds what the two say differently.
    pub(super) fn merge(self, header: Metadata, problems: &mut Vec<Problem>) -> Metadata {
        Metadata {
            title: either("title", self.title, header.title, problems),
            created: either("created", self.created, header.created, problems),
            depends: either_list("depends", self.depends, header.depends, problems),
            environments: either_list("env", self.environments, header.environments, problems),
            transaction: either("transaction", self.transaction, header.transaction, problems),
            rollback: header.rollback,
        }
    }
}

fn either<T: PartialEq>(
    key: &str,
    one: Option<Said<T>>,
    other: Option<Said<T>>,
    problems: &mut Vec<Problem>,
) -> Option<Said<T>> {
    if let (Some(one), Some(other)) = (&one, &other)
        && one.value != other.value
    {
        problems.push(differ(key, &one.place, &other.place));
    }
    one.or(other)
}

fn either_list(
    key: &str,
    one: Vec<Said<String>>,
    other: Vec<Said<String>>,
    problems: &mut Vec<Problem>,
) -> Vec<Said<String>> {
    if let (Some(first), Some(second)) = (one.first(), other.first()) {
        let sorted = |list: &[Said<String>]| {
            let mut values: Vec<String> = list.iter().map(|said| said.value.clone()).collect();
            values.sort();
            values
        };
        if sorted(&one) != sorted(&other) {
            problems.push(differ(key, &first.place, &second.place));
        }
    }
    if one.is_empty() { other } else { one }
}

fn differ(key: &str, one: &Place, other: &Place) -> Problem {
    Problem::new(Name::Metadata, format!("`{key}` is set twice, differently"))
        .at(one.clone())
        .at(other.clone())
        .hint("keep one of the two")
}

/// Reads `metadata.toml`. What cannot be understood is left out and becomes a problem.
pub(super) fn parse(path: &Path, text: &str) -> (Metadata, Vec<Problem>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { path, text, problems: Vec::new() };
    let mut metadata = Metadata::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = error.span().map_or_else(|| Place::file(path), |span| reader.place(span.start));
        reader
            .problems
            .push(Problem::new(Name::Metadata, error.message().trim().replace('\n', ", ")).at(place));
    }
    for (key, value) in table.get_ref() {
        match key.get_ref().as_ref() {
            "title" => metadata.title = reader.string(value),
            "created" => metadata.created = reader.date(value),
            "depends" => metadata.depends = reader.list("depends", value),
            "env" => metadata.environments = reader.list("env", value),
            "transaction" => metadata.transaction = reader.transaction(value),
            unknown => reader.unknown(unknown, key.span().start),
        }
    }
    (metadata, reader.problems)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn string(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Said<String>> {
        match value.get_ref().as_str() {
            Some(text) => Some(self.said(text.to_owned(), value)),
            None => self.wrong(value, "a text in quotes"),
        }
    }

    fn date(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Said<String>> {
        match value.get_ref() {
            DeValue::String(text) => Some(self.said(text.to_string(), value)),
            DeValue::Datetime(date) => Some(self.said(date.to_string(), value)),
            _ => self.wrong(value, "a date, like `created = \"2025-01-08\"`"),
        }
    }

    fn list(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Vec<Said<String>> {
        let shape = format!("a list of texts, like `{key} = [\"…\"]`");
        let Some(elements) = value.get_ref().as_array() else {
            self.wrong::<()>(value, &shape);
            return Vec::new();
        };
        let mut list = Vec::new();
        for element in elements {
            match element.get_ref().as_str() {
                Some(text) => list.push(self.said(text.trim().to_owned(), element)),
                None => {
                    self.wrong::<()>(element, &shape);
                }
            }
        }
        list
    }

    fn transaction(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Said<Transaction>> {
        match value.get_ref().as_bool() {
            Some(true) => Some(self.said(Transaction::Whole, value)),
            Some(false) => Some(self.said(Transaction::None, value)),
            None => self.wrong(value, "`true` or `false`"),
        }
    }

    fn unknown(&mut self, key: &str, start: usize) {
        let hint = match closest(key, KEYS.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!(
                "the keys are {}",
                KEYS.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
            ),
        };
        let place = self.place(start);
        self.problems.push(Problem::new(Name::Metadata, format!("unknown key `{key}`")).at(place).hint(hint));
    }

    fn wrong<T>(&mut self, value: &Spanned<DeValue<'_>>, wanted: &str) -> Option<T> {
        let message = format!("this must be {wanted}, and is of type {}", value.get_ref().type_str());
        let place = self.place(value.span().start);
        self.problems.push(Problem::new(Name::Metadata, message).at(place));
        None
    }

    fn said<T>(&self, said: T, value: &Spanned<DeValue<'_>>) -> Said<T> {
        Said { value: said, place: self.place(value.span().start) }
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() as u64 + 1;
        let column = before[start..].chars().count() as u64 + 1;
        let excerpt = self.text[start..].lines().next().unwrap_or_default();
        Place::position(self.path, line, column).with_excerpt(excerpt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(String, u64, u64, Option<String>)> {
        let (_, problems) = parse(Path::new("metadata.toml"), text);
        let mut lines: Vec<_> = problems
            .into_iter()
            .map(|problem| {
                let place = &problem.places[0];
                (problem.message.clone(), place.line.unwrap(), place.column.unwrap(), problem.hint)
            })
            .collect();
        lines.sort_by_key(|(_, line, column, _)| (*line, *column));
        lines
    }

    #[test]
    fn every_key_is_read() {
        let text = "\u{feff}title = 'a'\r\ncreated = 2025-01-08\r\ndepends = ['001_a', ' 002_b']\r\nenv = ['test']\r\ntransaction = false\r\n";
        let (metadata, problems) = parse(Path::new("m"), text);
        assert_eq!(problems, []);
        let values = |list: &[Said<String>]| list.iter().map(|said| said.value.clone()).collect::<Vec<_>>();
        assert_eq!(metadata.title.unwrap().value, "a");
        assert_eq!(metadata.created.unwrap().value, "2025-01-08");
        assert_eq!(values(&metadata.depends), ["001_a", "002_b"]);
        assert_eq!(values(&metadata.environments), ["test"]);
        assert_eq!(metadata.transaction.unwrap().value, Transaction::None);
    }

    #[test]
    fn all_mistakes_are_found_with_their_places() {
        let found = problems(
            "titel = 'a'\ntransaction = 'no'\ndepends = ['ü', 3]\nenv = 'test'\ncreated = true\nauthor = 'x'\n",
        );
        let short: Vec<(&str, u64, u64, Option<&str>)> = found
            .iter()
            .map(|(message, line, column, hint)| (message.as_str(), *line, *column, hint.as_deref()))
            .collect();
        assert_eq!(
            short,
            [
                ("unknown key `titel`", 1, 1, Some("did you mean `title`?")),
                ("this must be `true` or `false`, and is of type string", 2, 15, None),
                (
                    "this must be a list of texts, like `depends = [\"…\"]`, and is of type integer",
                    3,
                    17,
                    None
                ),
                ("this must be a list of texts, like `env = [\"…\"]`, and is of type string", 4, 7, None),
                ("this must be a date, like `created = \"2025-01-08\"`, and is of type boolean", 5, 11, None),
                (
                    "unknown key `author`",
                    6,
                    1,
                    Some("the keys are `title`, `created`, `depends`, `env`, `transaction`")
                ),
            ]
        );
    }

    #[test]
    fn text_that_is_no_toml_is_a_problem_where_it_stands() {
        let found = problems("title = 'a'\ncreated = \n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].1, 2);
    }
}
