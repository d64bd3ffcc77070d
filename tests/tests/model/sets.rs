//! Sets of migrations, and what of them is in a database.
//!
//! Every statement brings or takes one thing of its own, so the things tell which statements have taken effect.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use whimbrel::source::{Content, Migrations, Script};

use crate::data::{Change, Data, Row};
use crate::statement::Statement;

/// A set of migrations.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) migrations: Migrations,
    pub(crate) scripts: Vec<Scripts>,
}

/// What one migration does.
#[derive(Clone, Debug)]
pub(crate) struct Scripts {
    pub(crate) id: String,
    up: Vec<Statement>,
    down: Vec<Statement>,
}

/// How a migration stands, by its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    Pending,
    Applied,
    /// So many statements of the way up, or of the way down, are noted.
    Half {
        direction: String,
        noted: u64,
        state: String,
    },
}

impl Set {
    /// Reads migrations that are given by id and script. The way down takes back each statement, last first.
    pub(crate) fn of(given: &[(&str, &str)]) -> Set {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let write =
            |name: String, text: String| fs::write(folder.path().join(name), text).expect("it is ours");
        let mut scripts = Vec::new();
        for (id, up) in given {
            let down = taken_back(up);
            write(format!("{id}.up.sql"), format!("{up};\n"));
            write(format!("{id}.down.sql"), format!("{down};\n"));
            scripts.push(Scripts { id: (*id).to_owned(), up: statements(up), down: statements(&down) });
        }
        let mut migrations = Migrations::read(folder.path()).expect("the set is in order");
        for migration in &mut migrations.list {
            keep(&mut migration.up);
            migration.down.iter_mut().for_each(keep);
        }
        Set { migrations, scripts }
    }

    /// Returns how a migration stands.
    pub(crate) fn stands(id: &str, data: &Data) -> Stands {
        let left_something = |row: &&Row| !(row.state == "failed" && row.done == 0);
        let mut rows = data.rows().iter().filter(|row| row.migration == id);
        let Some(row) = rows.rfind(left_something) else { return Stands::Pending };
        match row.state.as_str() {
            "applied" | "baseline" => Stands::Applied,
            "reverted" => Stands::Pending,
            _ => Stands::Half { direction: row.direction.clone(), noted: row.done, state: row.state.clone() },
        }
    }

    /// Returns a sentence when things and history disagree. Nobody may be at work.
    pub(crate) fn disagreement(&self, data: &Data) -> Option<String> {
        self.scripts.iter().find_map(|scripts| scripts.disagreement(data))
    }

    /// Returns a sentence when not every migration is applied.
    pub(crate) fn incomplete(&self, data: &Data) -> Option<String> {
        let open = self.scripts.iter().find(|scripts| Set::stands(&scripts.id, data) != Stands::Applied);
        open.map(|scripts| format!("`{}` is not applied", scripts.id))
    }
}

impl Scripts {
    fn disagreement(&self, data: &Data) -> Option<String> {
        let stands = Set::stands(&self.id, data);
        let agrees = match &stands {
            Stands::Pending => self.is_at(data, &self.up, 0, 0),
            Stands::Applied => self.is_at(data, &self.up, 0, self.up.len()),
            Stands::Half { direction, noted, state } => {
                let (script, before) = if direction == "down" { (&self.down, 1) } else { (&self.up, 0) };
                let noted = usize::try_from(*noted).unwrap_or(usize::MAX);
                // What was under way when a runner died is in or not; what a failure notes is what is in.
                let unsure = if state == "started" { 1 } else { 0 };
                (noted..=noted + unsure).any(|done| self.is_at(data, script, before, done))
            }
        };
        let found: Vec<_> = self.things().into_iter().map(|thing| (thing, count(data, thing))).collect();
        (!agrees).then(|| format!("`{}` is {stands:?} by the history, and there are {found:?}", self.id))
    }

    /// Returns whether exactly the first `done` statements of `script` have taken effect, where each thing was there
    /// `before` times.
    fn is_at(&self, data: &Data, script: &[Statement], before: i64, done: usize) -> bool {
        let mut expected: BTreeMap<&str, i64> =
            self.things().into_iter().map(|thing| (thing, before)).collect();
        for statement in script.iter().take(done) {
            if let Statement::Count { thing, by, .. } = statement {
                *expected.entry(thing).or_default() += by;
            }
        }
        expected.into_iter().all(|(thing, expected)| count(data, thing) == expected)
    }

    fn things(&self) -> Vec<&str> {
        self.up.iter().filter_map(Statement::thing).collect()
    }

    /// Returns how many statements of the way up are in, of which so many are noted.
    pub(crate) fn done(&self, data: &Data, noted: u64) -> u64 {
        let is_in = |done: &u64| usize::try_from(*done).is_ok_and(|done| self.is_at(data, &self.up, 0, done));
        (noted..=noted + 1).find(is_in).unwrap_or(noted)
    }

    /// Puts everything of this migration there by hand.
    pub(crate) fn complete_by_hand(&self, data: &mut Data) {
        for thing in self.things() {
            let by = 1 - count(data, thing);
            data.apply(&Change::Count { thing: thing.to_owned(), by });
        }
    }
}

fn count(data: &Data, thing: &str) -> i64 {
    data.things.get(thing).copied().unwrap_or_default()
}

/// Returns the statements of a script, header left aside.
fn statements(script: &str) -> Vec<Statement> {
    let body: Vec<&str> = script.lines().filter(|line| !line.starts_with("--")).collect();
    let body = body.join("\n");
    let texts = body.split(';').map(str::trim).filter(|text| !text.is_empty());
    texts.map(|text| Statement::parse(text).expect("a script of a test is well written")).collect()
}

fn taken_back(up: &str) -> String {
    let (header, body) = match up.strip_prefix(HEADER) {
        Some(body) => (HEADER, body),
        None => ("", up),
    };
    let back = |text: &str| {
        let (word, thing) = text.trim().split_once(' ')?;
        match word {
            "CREATE" => Some(format!("DROP {thing}")),
            "PUT" => Some(format!("TAKE {thing}")),
            _ => None,
        }
    };
    let down: Vec<String> = body.split(';').rev().filter_map(back).collect();
    format!("{header}{}", down.join("; "))
}

/// What a script says that is to run step by step.
const HEADER: &str = "-- no-transaction\n";

/// Keeps a script in memory: the folder does not last, and a model has no use for files.
fn keep(script: &mut Script) {
    if let Content::File = script.content {
        script.content = Content::Bytes(Arc::from(fs::read(&script.path).expect("it was just written")));
    }
}
