//! Any cells in the history table: they are refused or are a history, and every plan over it keeps to what it says.
//!
//! The first line holds words that choose the command; each further line is a row, whose cells stand between `|`. A cell
//! is text, or what its first letter says; `=` is the checksum of the row's migration.

#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use whimbrel::history::{History, Session, Standing};
use whimbrel::plan::{self, OutOfOrder, Plan, Rules, Step, Target};
use whimbrel::source::fuzzing::folder;
use whimbrel::source::{Id, Migrations};
use whimbrel_adapter_api::{
    Connection, Dialect, Error, ErrorKind, Events, Facts, HISTORY_COLUMNS, Lexer, Liveness, ReadError,
    RowSet, RowSink, TableName, Text, TransactionBody, TransactionOptions, Value, ValueKind, Work,
};

/// One of each kind: with and without a way back, for one environment only, dependent, stepwise.
static MIGRATIONS: LazyLock<Migrations> = LazyLock::new(|| {
    let files: [(&[u8], &[u8]); 6] = [
        (b"001_a.sql", b"-- Rollback: DROP TABLE a;\nCREATE TABLE a (b int);\n"),
        (b"002_b.sql", b"CREATE TABLE b (c int);\n"),
        (b"003_c.up.sql", b"-- env: test\n-- Rollback: DROP TABLE c;\nCREATE TABLE c (d int);\n"),
        (b"004_d.sql", b"-- depends: 001_a\n-- no-transaction\nVACUUM;\n"),
        (b"005_e.up.sql", b"CREATE TABLE e (f int);\n"),
        (b"005_e.down.sql", b"DROP TABLE e;\n"),
    ];
    folder(&files).expect("the folder is sound")
});

fuzz_target!(|input: &str| {
    let (command, table) = input.split_once('\n').unwrap_or((input, ""));
    let words: Vec<&str> = command.split_whitespace().collect();
    let mut connection = Canned { rows: table.lines().map(row).collect(), absent: words.contains(&"absent") };
    let Some(history) = read(&mut connection, &words) else { return };
    assert_eq!(History::new(history.rows.clone()).rows, history.rows);
    assert!(history.rows.is_sorted_by(|one, other| one.position < other.position), "the fence is not one");

    standings_agree(&history);
    let (target, rules) = (target(&words), rules(&words));
    let _ = plan::disagreements(&MIGRATIONS, &history, &rules);
    for history in [abandoned(&history), history] {
        up(&history, &target, &rules);
        down(&history, &target, &rules);
    }
});

fn read(connection: &mut Canned, words: &[&str]) -> Option<History> {
    let mut table = TableName::new("whimbrel_migrations");
    table.schema = words.contains(&"schema").then(|| "birds".to_owned());
    match Session::open(connection, &table) {
        Ok((mut session, history)) => {
            assert_eq!(
                session.read_history().ok().as_ref(),
                Some(&history),
                "read otherwise the second time"
            );
            Some(history)
        }
        Err(error) => {
            assert!(!error.problems.is_empty(), "refused without a reason");
            None
        }
    }
}

/// Returns the history in which nobody is at work any more.
fn abandoned(history: &History) -> History {
    let started: Vec<i64> = history.started().iter().map(|row| row.position).collect();
    started.into_iter().fold(history.clone(), History::with_abandoned)
}

fn standings_agree(history: &History) {
    let applied: HashSet<&str> = history.applied().map(|row| row.migration.as_str()).collect();
    let half_done: HashSet<&str> = history.half_done().map(|row| row.migration.as_str()).collect();
    for row in &history.rows {
        let id = row.migration.as_str();
        let standing = history.standing(id);
        assert_eq!(applied.contains(id), matches!(standing, Standing::Applied(_)), "{id}");
        assert_eq!(half_done.contains(id), matches!(standing, Standing::Failed(_)), "{id}");
        assert!(history.next_attempt(id) < i64::MAX, "{id} has had its last attempt");
        assert!(history.last_position() >= row.position);
    }
}

fn up(history: &History, target: &Target, rules: &Rules) {
    let steps = plan::pending_steps(&MIGRATIONS, history, target, rules);
    let Ok(plan) = plan::up(&MIGRATIONS, history, target, rules) else { return };
    assert_eq!(ids(&plan.steps), ids(&steps), "the steps are not those that were checked");
    let known = |id: &Id| MIGRATIONS.list.iter().position(|migration| migration.id == *id);
    for step in &plan.steps {
        assert!(known(&step.id).is_some(), "`{}` has no file", step.id);
        assert!(!matches!(history.standing(&step.id.0), Standing::Applied(_)), "`{}` is applied", step.id);
    }
    let fresh = plan.steps.iter().filter(|step| history.standing(&step.id.0) == Standing::Pending);
    assert!(fresh.map(|step| known(&step.id)).is_sorted(), "the order of versions is left");
    again_the_same(&plan, history, |target| plan::up(&MIGRATIONS, history, target, rules));
}

fn down(history: &History, target: &Target, rules: &Rules) {
    let Ok(plan) = plan::down(&MIGRATIONS, history, target, rules) else { return };
    for step in &plan.steps {
        let standing = history.settled_standing(&step.id.0);
        assert!(matches!(standing, Standing::Applied(_)), "`{}` is not applied", step.id);
    }
    again_the_same(&plan, history, |target| plan::down(&MIGRATIONS, history, target, rules));
    let reverted = history.with_reverted(plan.steps.iter().map(|step| step.id.0.as_str()));
    for step in &plan.steps {
        assert_eq!(reverted.standing(&step.id.0), Standing::Pending, "`{}` is taken back", step.id);
    }
    assert!(reverted.last_position() >= history.last_position());
}

/// What was chosen once stays chosen, each once and with a number of its own.
fn again_the_same(plan: &Plan, history: &History, make: impl Fn(&Target) -> whimbrel::Result<Plan>) {
    let again = make(&Target::Pinned(plan.pins.clone())).expect("it could be planned before");
    assert_eq!(ids(&again.steps), ids(&plan.steps), "pinned steps are others");
    let once: HashSet<&Id> = plan.steps.iter().map(|step| &step.id).collect();
    assert_eq!(once.len(), plan.steps.len(), "a step comes twice");
    for step in &plan.steps {
        let last = history.rows.iter().rfind(|row| row.migration == step.id.0);
        assert!(last.is_none_or(|row| row.attempt < step.attempt), "`{}` gets no new number", step.id);
    }
}

fn ids(steps: &[Step]) -> Vec<&Id> {
    steps.iter().map(|step| &step.id).collect()
}

fn target(words: &[&str]) -> Target {
    let to = words.iter().find_map(|word| word.strip_prefix("to:"));
    let steps = words.iter().find_map(|word| word.strip_prefix("steps:")?.parse().ok());
    match (to, steps) {
        (Some(id), _) => Target::To(Id(id.to_owned())),
        (None, Some(steps)) => Target::Steps(steps),
        (None, None) => Target::All,
    }
}

fn rules(words: &[&str]) -> Rules {
    let out_of_order = match () {
        () if words.contains(&"warn") => OutOfOrder::Warn,
        () if words.contains(&"allow") => OutOfOrder::Allow,
        () => OutOfOrder::Refuse,
    };
    let environment = words.contains(&"test").then(|| "test".to_owned());
    Rules { database: "birds".to_owned(), out_of_order, environment }
}

fn row(line: &str) -> Vec<Value<'static>> {
    let cells: Vec<&str> = line.split('|').collect();
    cells.iter().map(|text| cell(text, cells.get(1).copied().unwrap_or_default())).collect()
}

fn cell(text: &str, id: &str) -> Value<'static> {
    let rest = || text.chars().skip(1).collect::<String>();
    match text.chars().next() {
        Some('=') => {
            let migration = MIGRATIONS.list.iter().find(|migration| migration.id.0 == id);
            migration.map_or(Value::Null, |migration| Value::Text(migration.checksum.to_string().into()))
        }
        Some('~') => Value::Null,
        Some('#') => rest().parse().map_or(Value::Null, Value::Int),
        Some('^') => rest().parse().map_or(Value::Null, Value::UInt),
        Some('%') => rest().parse().map_or(Value::Null, Value::Float),
        Some('!') => Value::Bool(rest().is_empty()),
        Some('@') => Value::Bytes(rest().into_bytes().into()),
        Some('&') => Value::Typed(ValueKind::Timestamp, rest().into()),
        Some('[') => Value::Array(vec![Value::Text(rest().into())]),
        _ => Value::Text(text.to_owned().into()),
    }
}

/// A connection whose history table holds these rows.
struct Canned {
    rows: Vec<Vec<Value<'static>>>,
    absent: bool,
}

impl Connection for Canned {
    fn execute_raw(&mut self, _: &str) -> Result<(), Error> {
        Err(Error::unsupported("scripts"))
    }

    fn query(&mut self, _: &str, _: &[Value<'_>], _: &mut dyn RowSink) -> Result<(), Error> {
        Err(Error::unsupported("queries"))
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        for (set, text) in (0..).zip(texts) {
            if *text != "history" {
                rows.columns(set, &[]);
                continue;
            }
            if self.absent {
                return Err(ReadError::new(set, Error::new(ErrorKind::TableMissing, "there is none")));
            }
            rows.columns(set, HISTORY_COLUMNS);
            for row in &self.rows {
                rows.row(set, row);
            }
        }
        Ok(())
    }

    fn table_exists(&mut self, _: &TableName) -> Result<bool, Error> {
        Ok(!self.absent)
    }

    fn transaction(&mut self, _: &TransactionOptions, _: &mut TransactionBody<'_>) -> Result<(), Error> {
        Err(Error::unsupported("transactions"))
    }

    fn run(&mut self, _: &mut dyn Work, _: &mut dyn Events) -> Result<(), Error> {
        Err(Error::lost("nothing runs here"))
    }

    fn alive(&mut self, _: &str) -> Result<Liveness, Error> {
        Ok(Liveness::Gone)
    }

    fn dialect(&mut self, _: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        Ok(Box::new(Words))
    }

    fn ping(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// A dialect whose texts are the names of what is read.
struct Words;

impl Dialect for Words {
    fn lexer(&self) -> Lexer {
        Lexer::new(&[], &[])
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        facts.schema = "public".to_owned();
        facts
    }

    fn quote(&self, identifier: &str) -> String {
        identifier.to_owned()
    }

    fn literal(&self, _: &Value<'_>) -> String {
        "literal".to_owned()
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        match text {
            Text::Facts { .. } => Some(vec!["facts".to_owned()]),
            Text::History { .. } => Some(vec!["history".to_owned()]),
            _ => None,
        }
    }
}
