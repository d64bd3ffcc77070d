//! The parts of a run that are nobody's wait for a server: splitting, planning, loading an adapter, calling it.
//!
//! `cargo xtask bench` runs these after the rest: the splitter takes the rules that the adapters give on real servers.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use tempfile::TempDir;
use whimbrel::history::{Detail, History, Session};
use whimbrel::isolation::Isolated;
use whimbrel::plan::{self, OutOfOrder, Rules, Target};
use whimbrel::plugin::{Found, Search};
use whimbrel::runner::{Grouping, Silent};
use whimbrel::source::Migrations;
use whimbrel::splitter::{Pieces, Rules as SplitterRules, Take};
use whimbrel::{Migrator, Options};
use whimbrel_adapter_api::{Adapter, ConnectOptions, Marking, Opened, Secret, TableName};
use whimbrel_tests::{Database, Engine, built_file};

fn main() {
    divan::main();
}

const ENGINES: [Engine; 3] = [Engine::Sqlite, Engine::Postgres, Engine::MariaDb];

/// Loads an adapter's library from a path.
fn load(adapter: &str, path: PathBuf) -> Arc<dyn Adapter> {
    let inventory = Search::nowhere().library(adapter, path).inventory();
    inventory.library(adapter).and_then(Found::load).expect("the library is sound")
}

fn loaded(engine: Engine) -> Arc<dyn Adapter> {
    load(engine.adapter(), built_file(&format!("libwhimbrel_adapter_{}.so", engine.adapter())))
}

/// Starts an adapter in a process of its own.
fn isolated(engine: Engine) -> Arc<dyn Adapter> {
    let started = Isolated::start(move || {
        let mut command = Command::new(built_file("whimbrel"));
        command.args(["adapters", "host"]);
        command.arg(built_file(&format!("libwhimbrel_adapter_{}.so", engine.adapter())));
        command
    });
    started.expect("the library is sound").adapter
}

fn opened(adapter: &dyn Adapter, database: &dyn Database) -> Opened {
    adapter.connect(&ConnectOptions::new(Secret::new(database.url()))).expect("the server is there")
}

/// Returns how scripts are read on a real server.
fn rules(engine: Engine) -> SplitterRules {
    let database = engine.fresh_database();
    let mut opened = opened(loaded(engine).as_ref(), database.as_ref());
    let session = Session::open(opened.connection.as_mut(), &TableName::new("history"));
    session.expect("the server answers").0.rules
}

/// Splits a script as far as it is one, and returns how many statements it has.
fn split(rules: &SplitterRules, script: impl Read) -> usize {
    let mut pieces = Pieces::new(rules, script, |_| Take::Keep(Marking::Marked));
    let mut count = 0;
    // What is hostile may be no script.
    while let Ok(Some(piece)) = pieces.next_piece() {
        count += black_box(piece.spans.len());
    }
    count
}

mod splitter {
    use super::*;

    /// As people write migrations: comments, definitions, rows, a few quotes.
    const ORDINARY: &str = "\
        -- Where the birds were seen, and by whom.\n\
        CREATE TABLE sightings (\n    id integer PRIMARY KEY,\n    site varchar(100) NOT NULL DEFAULT 'the \"old\" marsh',\n    \
        seen_at timestamp NOT NULL, /* in UTC */\n    number integer CHECK (number > 0)\n);\n\
        CREATE INDEX sightings_site ON sightings (site, seen_at);\n\
        INSERT INTO sightings (id, site, seen_at, number) VALUES\n    (1, 'Saltee', '2021-05-04 07:30:00', 12),\n    \
        (2, 'It''s the long one', '2021-05-05 18:00:00', 3);\n\
        UPDATE sightings SET number = number + 1 WHERE site LIKE 'S%' AND number BETWEEN 1 AND 10;\n\n";

    #[divan::bench(args = ENGINES, sample_count = 20)]
    fn ordinary(bencher: Bencher<'_, '_>, engine: Engine) {
        let (rules, script) = (rules(engine), ORDINARY.repeat(TIMES));
        bencher
            .counter(BytesCount::of_str(&script))
            .bench(|| assert_eq!(split(&rules, script.as_bytes()), 4 * TIMES));
    }

    const TIMES: usize = 20_000;

    const GIGABYTE: u64 = 1 << 30;

    #[divan::bench(args = ENGINES, sample_count = 1, sample_size = 1)]
    fn a_gigabyte_of_quotes(bencher: Bencher<'_, '_>, engine: Engine) {
        let rules = rules(engine);
        let quotes = || io::repeat(b'\'').take(GIGABYTE);
        bencher.counter(BytesCount::new(GIGABYTE)).bench(|| split(&rules, quotes()));
    }

    #[divan::bench(args = ENGINES, sample_count = 3, sample_size = 1)]
    fn a_million_nested_comments(bencher: Bencher<'_, '_>, engine: Engine) {
        let rules = rules(engine);
        let script = "/*".repeat(1_000_000) + &"*/".repeat(1_000_000);
        bencher.counter(BytesCount::of_str(&script)).bench(|| split(&rules, script.as_bytes()));
    }
}

mod ten_thousand_migrations {
    use super::*;

    const COUNT: usize = 10_000;

    fn folder() -> TempDir {
        let folder = TempDir::new().expect("a temporary directory can be made");
        for number in 1..=COUNT {
            let path = folder.path().join(format!("{number:06}_birds_{number}.sql"));
            fs::write(path, format!("SELECT {number};\n")).expect("it can be written");
        }
        folder
    }

    #[divan::bench(sample_count = 10)]
    fn read(bencher: Bencher<'_, '_>) {
        let folder = folder();
        bencher.bench(|| Migrations::read(folder.path()).expect("they are in order").list.len());
    }

    #[divan::bench(sample_count = 20)]
    fn plan_of_what_is_pending(bencher: Bencher<'_, '_>) {
        plan(bencher, History::default());
    }

    #[divan::bench(sample_count = 20)]
    fn plan_where_all_is_applied(bencher: Bencher<'_, '_>) {
        let folder = folder();
        let migrations = Migrations::read(folder.path()).expect("they are in order");
        let database = Engine::Sqlite.fresh_database();
        let adapter = loaded(Engine::Sqlite);
        let mut opened = opened(adapter.as_ref(), database.as_ref());
        let mut options = Options::new("bench", adapter.info());
        options.grouping = Grouping::SingleTransaction;
        let table = options.table.clone();
        let migrator = Migrator::new(migrations, options);
        let connection = opened.connection.as_mut();
        let report = migrator.up(connection, &Target::All, &mut Silent).expect("they run");
        assert_eq!(report.done.len(), COUNT);
        let session = Session::open_briefly(connection, &table, COUNT);
        let (_, history) = session.expect("the history is there");
        assert_eq!((history.rows.len(), history.detail), (COUNT, Detail::Brief));
        plan(bencher, history);
    }

    fn plan(bencher: Bencher<'_, '_>, history: History) {
        let folder = folder();
        let migrations = Migrations::read(folder.path()).expect("they are in order");
        let rules =
            Rules { database: "bench".to_owned(), out_of_order: OutOfOrder::Refuse, environment: None };
        bencher
            .bench(|| plan::up(&migrations, &history, &Target::All, &rules).expect("they agree").steps.len());
    }
}

mod boundary {
    use super::*;

    /// Finds, opens and checks a library that this process has not seen before.
    #[divan::bench(args = ENGINES, sample_count = 50, sample_size = 1)]
    fn load_and_check(bencher: Bencher<'_, '_>, engine: Engine) {
        static COPIES: LazyLock<TempDir> =
            LazyLock::new(|| TempDir::new().expect("a temporary directory can be made"));
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("libwhimbrel_adapter_{}.so", engine.adapter());
        let copy = || {
            let path = COPIES.path().join(format!("{}_{name}", NEXT.fetch_add(1, Ordering::Relaxed)));
            fs::copy(built_file(&name), &path).expect("the library can be copied");
            path
        };
        bencher.with_inputs(copy).bench_values(|path| load(engine.adapter(), path));
    }

    /// The smallest call there is: SQLite sets a flag.
    fn call(bencher: Bencher<'_, '_>, adapter: &dyn Adapter) {
        let database = Engine::Sqlite.fresh_database();
        let opened = opened(adapter, database.as_ref());
        bencher.bench(|| black_box(opened.canceller.as_ref()).cancel());
    }

    #[divan::bench]
    fn a_call_when_linked(bencher: Bencher<'_, '_>) {
        call(bencher, &whimbrel_adapter_sqlite::Sqlite);
    }

    #[divan::bench]
    fn a_call_when_loaded(bencher: Bencher<'_, '_>) {
        call(bencher, loaded(Engine::Sqlite).as_ref());
    }

    #[divan::bench]
    fn a_call_when_isolated(bencher: Bencher<'_, '_>) {
        call(bencher, isolated(Engine::Sqlite).as_ref());
    }

    /// Starts the process, has it load the library, and ends it.
    #[divan::bench(args = ENGINES, sample_count = 50, sample_size = 1)]
    fn start_isolated(bencher: Bencher<'_, '_>, engine: Engine) {
        bencher.bench(|| isolated(engine));
    }

    /// Applies a hundred migrations to a fresh database.
    fn up(bencher: Bencher<'_, '_>, engine: Engine, adapter: &dyn Adapter) {
        let folder = TempDir::new().expect("a temporary directory can be made");
        for number in 1..=100 {
            let path = folder.path().join(format!("{number:03}_birds_{number}.sql"));
            fs::write(path, format!("CREATE TABLE birds_{number} (id integer);\n"))
                .expect("it can be written");
        }
        let migrations = Migrations::read(folder.path()).expect("they are in order");
        let migrator = Migrator::new(migrations, Options::new("bench", adapter.info()));
        bencher.with_inputs(|| engine.fresh_database()).bench_values(|database| {
            let mut opened = opened(adapter, database.as_ref());
            let report = migrator.up(opened.connection.as_mut(), &Target::All, &mut Silent);
            assert_eq!(report.expect("they run").done.len(), 100);
            database
        });
    }

    #[divan::bench(args = [Engine::Sqlite, Engine::Postgres], sample_count = 15, sample_size = 1)]
    fn a_hundred_pending_when_linked(bencher: Bencher<'_, '_>, engine: Engine) {
        match engine {
            Engine::Postgres => up(bencher, engine, &whimbrel_adapter_postgres::Postgres),
            Engine::Sqlite => up(bencher, engine, &whimbrel_adapter_sqlite::Sqlite),
            other => unreachable!("{other:?} is not among the arguments"),
        }
    }

    #[divan::bench(args = [Engine::Sqlite, Engine::Postgres], sample_count = 15, sample_size = 1)]
    fn a_hundred_pending_when_loaded(bencher: Bencher<'_, '_>, engine: Engine) {
        up(bencher, engine, loaded(engine).as_ref());
    }

    #[divan::bench(args = [Engine::Sqlite, Engine::Postgres], sample_count = 15, sample_size = 1)]
    fn a_hundred_pending_when_isolated(bencher: Bencher<'_, '_>, engine: Engine) {
        up(bencher, engine, isolated(engine).as_ref());
    }
}
