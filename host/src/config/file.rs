//! Reads plugins.toml.
//!
//! Checks the file against [`KEYS`](super::KEYS) and finds every problem with its line and column. The parser of `toml`
//! is used as it is, because a value that went through serde or `config` no longer knows where it stood.
//!
//! Never quotes a line of the file: it may hold a password.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use whimbrel_adapter_api::Secret;

use super::keys::{Key, Kind, Section, keys_of};
use super::layers::Layer;
use super::origin::{Located, Origin};
use crate::error::{Name, Place, Problem, nearest};

/// What plugins.toml says.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) top: Values,
    pub(super) adapters: BTreeMap<String, Values>,
    pub(super) databases: BTreeMap<String, Values>,
}

/// The values of one section.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// Texts, durations, choices, and `true` or `false`: whatever can lie in a layer.
    pub(super) settings: Layer,
    pub(super) secrets: BTreeMap<&'static str, Located<Secret>>,
    pub(super) paths: BTreeMap<&'static str, Vec<Located<PathBuf>>>,
}

impl Values {
    pub(super) fn path(&self, name: &str) -> Option<&Located<PathBuf>> {
        self.paths.get(name)?.first()
    }
}

impl File {
    /// Reads `text`, the content of the file at `path`.
    pub(super) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> File {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader { path, text, problems };
        if !errors.is_empty() {
            // What is left of a broken file would only give misleading problems.
            errors.iter().for_each(|error| reader.syntax(error));
            return File::default();
        }
        let table = table.into_inner();
        File {
            top: reader.values("", &table, Section::Top),
            adapters: reader.sections(&table, "adapters", Section::Adapter),
            databases: reader.sections(&table, "databases", Section::Database),
        }
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn syntax(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        let place = self.place(&span);
        self.problems.push(Problem::new(Name::Config, error.message().replace('\n', "; ")).at(place));
    }

    fn sections(&mut self, top: &DeTable<'_>, name: &str, section: Section) -> BTreeMap<String, Values> {
        let Some(table) = top.get(name).and_then(|value| value.get_ref().as_table()) else {
            return BTreeMap::new();
        };
        let mut sections = BTreeMap::new();
        for (key, value) in table {
            let path = format!("{name}.{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(table) => {
                    sections.insert(key.get_ref().to_string(), self.values(&path, table, section));
                }
                other => self.wrong_type(&path, other, "a section", &value.span()),
            }
        }
        sections
    }

    fn values(&mut self, section_name: &str, table: &DeTable<'_>, section: Section) -> Values {
        let mut values = Values::default();
        for (name, value) in table {
            match keys_of(section).find(|key| key.name == name.get_ref()) {
                Some(key) => self.value(key, &full_name(section_name, key.name), value, &mut values),
                None => self.unknown(name, section),
            }
        }
        values
    }

    fn value(&mut self, key: &Key, full_name: &str, value: &Spanned<DeValue<'_>>, values: &mut Values) {
        let origin = self.origin(&value.span());
        match (key.kind, value.get_ref()) {
            (Kind::Text | Kind::Duration | Kind::Choice(_), DeValue::String(text)) => {
                values.settings.insert(key.name, Located::new(text.to_string(), origin));
            }
            (Kind::Truth, DeValue::Boolean(truth)) => {
                values.settings.insert(key.name, Located::new(truth.to_string(), origin));
            }
            (Kind::Secret, DeValue::String(text)) => {
                values.secrets.insert(key.name, Located::new(Secret::new(text.as_ref()), origin));
            }
            (Kind::Path, DeValue::String(text)) => {
                values.paths.insert(key.name, vec![Located::new(self.path_in_file(text), origin)]);
            }
            (Kind::Paths, DeValue::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    match item.get_ref() {
                        DeValue::String(text) => {
                            let located = Located::new(self.path_in_file(text), self.origin(&item.span()));
                            values.paths.entry(key.name).or_default().push(located);
                        }
                        other => {
                            self.wrong_type(&format!("{full_name}[{index}]"), other, "a text", &item.span());
                        }
                    }
                }
            }
            (Kind::Sections, DeValue::Table(_)) => {}
            (kind, other) => self.wrong_type(full_name, other, kind.noun(), &value.span()),
        }
    }

    fn unknown(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, section: Section) {
        let place = self.place(&name.span());
        let mut problem = Problem::new(Name::Config, format!("unknown key `{}`", name.get_ref())).at(place);
        let known: Vec<&str> = keys_of(section).map(|key| key.name).collect();
        problem = match nearest(name.get_ref(), known.iter().copied()) {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem.hint(format!("the keys here are {}", list(&known))),
        };
        self.problems.push(problem);
    }

    fn wrong_type(&mut self, name: &str, found: &DeValue<'_>, wanted: &str, span: &Range<usize>) {
        let found = match found {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "`true` or `false`",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a section",
        };
        let place = self.place(span);
        self.problems
            .push(Problem::new(Name::Config, format!("`{name}` is {found}, not {wanted}")).at(place));
    }

    fn path_in_file(&self, text: &str) -> PathBuf {
        directory_of(self.path).join(text)
    }

    fn origin(&self, span: &Range<usize>) -> Origin {
        let (line, column) = self.position(span);
        Origin::File { path: self.path.to_owned(), line, column }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let (line, column) = self.position(span);
        Place::position(self.path, line, column)
    }

    /// Returns line and column, both from 1, the column in characters.
    fn position(&self, span: &Range<usize>) -> (u64, u64) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        (line as u64, column as u64)
    }
}

/// Returns the folder of a file; the empty path for a file of the working directory.
pub(super) fn directory_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Lists words in backticks.
pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn full_name(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Kind::Text | Kind::Secret | Kind::Path | Kind::Choice(_) => "a text",
            Kind::Duration => "a text such as `10m`, `5s` or `500ms`",
            Kind::Paths => "a list of paths",
            Kind::Truth => "`true` or `false`",
            Kind::Sections => "a group of sections",
        }
    }
}
