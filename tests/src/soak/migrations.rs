//! The migrations of a soak: a mix of everything that is run in a way of its own.
//!
//! Each statement knows how to see whether it is in the database and how to undo it. Beside its DDL every migration
//! writes rows into a log without unique key, so a second run shows as a second row and a lost one as none.

use crate::Project;

/// The log that every migration writes to.
const LOG: &str = "soak_log";

/// More than half of what goes into one message.
const LONG: usize = 160 * 1024;

/// The language of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Sqlite,
    Postgres,
    MySql,
}

/// A migration as its author knows it.
#[derive(Debug)]
pub(super) struct Migration {
    pub(super) id: String,
    pub(super) statements: Vec<Statement>,
    header: &'static str,
}

/// A statement, and what an operator may do about it.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    /// Counts how often it is in the database: once, if all is well.
    pub(super) probe: String,
    /// Takes it back, or whatever a broken attempt has left of it.
    pub(super) undo: String,
    /// What the history knows of it when its runner dies.
    pub(super) noted: Noted,
}

/// What the history knows of a statement when its runner dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// Whether it is in: it shares a transaction with its mark.
    Exactly,
    /// That it is in once it is marked; before that it may be.
    Afterwards,
}

/// Returns the first `count` migrations in this language.
pub(super) fn all(language: Language, count: u32) -> Vec<Migration> {
    (1..=count).map(|number| migration(number, language)).collect()
}

/// Returns a project with these migrations.
pub(super) fn project(language: Language, migrations: &[Migration]) -> Project {
    migrations.iter().fold(Project::new(), |project, migration| {
        let statements: Vec<String> =
            migration.statements.iter().map(|statement| format!("{};\n", statement.sql)).collect();
        let path = format!("migrations/{}/{}.sql", language.folder(), migration.id);
        project.file(&path, format!("{}{}", migration.header, statements.concat()))
    })
}

impl Language {
    /// Returns the folder of migrations.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
        }
    }
}

/// Every way of running comes around often enough to be under way when a runner dies.
fn migration(number: u32, language: Language) -> Migration {
    let id = format!("{number:03}_soak");
    let plain = |statements| Migration { id: id.clone(), header: "", statements };
    let stepwise = |statements| Migration { id: id.clone(), header: "-- no-transaction\n", statements };
    let row = |place| Statement::row(number, place);
    let slow_row = |place| Statement::slow_row(number, place, language);
    let table = || Statement::table(&format!("table_{number}"), "id integer", language);
    let index = || Statement::index(number, &format!("table_{number}"), "id", language);
    let mixed = || vec![table(), row(1), index(), slow_row(2)];
    let every = |count| number.is_multiple_of(count);
    match (language, number) {
        (_, 1) => {
            plain(vec![Statement::table(LOG, "migration integer, statement integer", language), row(1)])
        }
        // DDL and rows in one file, where DDL commits: they run step by step. What is long goes to the server in
        // several messages, and what was not sent yet dies with the runner.
        (Language::MySql, 20) => plain(vec![table(), row(1).long(), index().long(), slow_row(2)]),
        (Language::MySql, _) if every(10) => plain(mixed()),
        (Language::MySql, _) if every(2) => plain(vec![row(1), row(2), slow_row(3)]),
        (Language::Postgres, _) if every(20) => {
            stepwise(vec![Statement::index_concurrently(number), slow_row(1), row(2)])
        }
        (Language::Sqlite, _) if every(20) => stepwise(mixed()),
        (Language::Postgres | Language::Sqlite, _) if every(3) => plain(mixed()),
        (Language::Postgres | Language::Sqlite, _) if number % 3 == 1 => plain(vec![table(), row(1)]),
        _ => plain(vec![row(1)]),
    }
}

impl Statement {
    fn row(migration: u32, place: u32) -> Self {
        let this = format!("FROM {LOG} WHERE migration = {migration} AND statement = {place}");
        Statement {
            sql: format!("INSERT INTO {LOG} VALUES ({migration}, {place})"),
            probe: format!("SELECT count(*) {this}"),
            undo: format!("DELETE {this}"),
            noted: Noted::Exactly,
        }
    }

    /// A row that takes the server a moment, so that runners die in the middle of a statement.
    fn slow_row(migration: u32, place: u32, language: Language) -> Self {
        let pause = match language {
            Language::Sqlite => return Self::row(migration, place),
            Language::Postgres => "pg_sleep(0.02)",
            Language::MySql => "(SELECT SLEEP(0.02)) AS pause",
        };
        let sql = format!("INSERT INTO {LOG} SELECT {migration}, {place} FROM {pause}");
        Statement { sql, ..Self::row(migration, place) }
    }

    /// The same statement, so long that there is no room for two in one message.
    fn long(self) -> Self {
        let padding = "x".repeat(LONG);
        let (verb, rest) = self.sql.split_once(' ').expect("a statement has several words");
        Statement { sql: format!("{verb} /* {padding} */ {rest}"), ..self }
    }

    fn table(name: &str, columns: &str, language: Language) -> Self {
        let probe = match language {
            Language::Sqlite => format!("SELECT count(*) FROM sqlite_schema WHERE name = '{name}'"),
            Language::Postgres => format!("SELECT count(*) FROM pg_tables WHERE tablename = '{name}'"),
            Language::MySql => format!(
                "SELECT count(*) FROM information_schema.tables \
                 WHERE table_schema = DATABASE() AND table_name = '{name}'"
            ),
        };
        let (sql, undo) =
            (format!("CREATE TABLE {name} ({columns})"), format!("DROP TABLE IF EXISTS {name}"));
        let noted = if language == Language::MySql { Noted::Afterwards } else { Noted::Exactly };
        Statement { sql, probe, undo, noted }
    }

    fn index(number: u32, table: &str, column: &str, language: Language) -> Self {
        let name = format!("index_{number}");
        let drop = format!("DROP INDEX IF EXISTS {name}");
        let (probe, undo) = match language {
            Language::Sqlite => (format!("SELECT count(*) FROM sqlite_schema WHERE name = '{name}'"), drop),
            // An index that a broken attempt leaves behind is there, and not valid.
            Language::Postgres => (
                format!(
                    "SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
                     WHERE relname = '{name}' AND indisvalid"
                ),
                drop,
            ),
            Language::MySql => (
                format!(
                    "SELECT count(*) FROM information_schema.statistics \
                     WHERE table_schema = DATABASE() AND index_name = '{name}'"
                ),
                // MySQL knows no IF EXISTS here; the index goes with its table, which is undone next.
                "DO 0".to_owned(),
            ),
        };
        let noted = if language == Language::Sqlite { Noted::Exactly } else { Noted::Afterwards };
        Statement { sql: format!("CREATE INDEX {name} ON {table} ({column})"), probe, undo, noted }
    }

    fn index_concurrently(number: u32) -> Self {
        let index = Self::index(number, LOG, "migration", Language::Postgres);
        Statement { sql: index.sql.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY"), ..index }
    }
}
