//! The conformance suite, put to our adapters, and to adapters with a defect.
//!
//! What an adapter says must be the same whether it is linked in, loaded from its library, or runs in a process of its own.
//! What is particular to one engine is told by the tests of its adapter; nothing here knows one.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use rstest::rstest;
use whimbrel_adapter_api::{Adapter, ConnectOptions, Secret};
use whimbrel_conformance::fakes::{Defect, Misbehaving};
use whimbrel_conformance::{Report, Suite, Victim};
use whimbrel_tests::{
    ClickHouse, Database, Engine, Pool, Postgres, Project, Server, Sqlite, built_file, servers,
};

fn linked(name: &str) -> Arc<dyn Adapter> {
    match name {
        "clickhouse" => Arc::new(whimbrel_adapter_clickhouse::ClickHouse),
        "sqlite" => Arc::new(whimbrel_adapter_sqlite::Sqlite),
        "postgres" => Arc::new(whimbrel_adapter_postgres::Postgres),
        _ => Arc::new(whimbrel_adapter_mysql::MySql),
    }
}

/// Returns how a process is started that has this adapter linked in, to be killed.
fn victim(name: &'static str) -> Victim {
    Victim::new(move || {
        let mut command = Command::new(built_file("examples/victim"));
        command.arg(name);
        command
    })
}

fn options(url: &str) -> ConnectOptions {
    ConnectOptions::new(Secret::new(url))
}

fn of_linked(name: &'static str, url: &str) -> Report {
    Suite::new(linked(name), options(url)).with_victim(victim(name)).run(&mut |_| {})
}

/// Returns what `whimbrel adapters test` says of the library, in a project with this `plugins.toml`.
fn of_library(name: &str, url: &str, settings: &str) -> String {
    let library = built_file(&format!("libwhimbrel_adapter_{name}.so"));
    let library = library.to_str().expect("a path of cargo's");
    let project = Project::new().plugins_toml(settings);
    let outcome = project.run(["adapters", "test", library, "--url", url]);
    let expected = outcome.stdout.clone();
    let _ = outcome.exits(0);
    expected
}

/// Fails unless the adapter passes, linked in, loaded, and in a process of its own alike. Returns what it does not simply
/// pass.
fn passes(name: &'static str, url: &str) -> String {
    let report = of_linked(name, url);
    assert!(report.is_passed(), "{report}");
    let lines: String = report.checks.iter().map(|checked| format!("{checked}\n")).collect();
    let expected = format!("{lines}{name}: {}\n", report.summary());
    assert_eq!(of_library(name, url, ""), expected);
    assert_eq!(of_library(name, url, &format!("[adapters.{name}]\nisolate = true\n")), expected);
    let refused = report.checks.iter().filter(|checked| checked.verdict.word() != "passed");
    let refused: String = refused.map(|checked| format!("{checked}\n")).collect();
    format!("{refused}{}", report.summary())
}

#[test]
fn sqlite_passes() {
    assert_snapshot!(passes("sqlite", &Sqlite::fresh().url()), @r"
    refused  values        arrays go in and come out: as it declares
    refused  atomic        data inside a script is taken in, or refused: as it declares
    refused  batches       batches that may be sent at once are run in order too: as it declares
    refused  limits        a statement does not run beyond its limit: as it declares
    70 passed, 4 refused
    ");
}

#[test]
fn postgresql_passes() {
    assert_snapshot!(passes("postgres", &Postgres::fresh().url()), @r"
    74 passed
    ");
}

#[test]
fn postgresql_17_passes() {
    let Server { host, port, user, password, .. } = &servers().postgres_17;
    let url = format!("postgres://{user}:{password}@{host}:{port}/postgres");
    assert_snapshot!(passes("postgres", &url), @r"
    74 passed
    ");
}

#[test]
fn postgresql_passes_behind_a_pooler() {
    let database = Postgres::fresh();
    assert_snapshot!(passes("postgres", &database.pooler_url(Pool::Transaction)), @r"
    74 passed
    ");
}

#[rstest]
fn mysql_passes(#[values(Engine::MariaDb, Engine::MySql)] engine: Engine) {
    let database = engine.fresh_database();
    assert_snapshot!(passes("mysql", &database.url()), @r"
    refused  values        arrays go in and come out: as it declares
    refused  transactions  schema changes roll back with their transaction, if it says so: as it declares
    refused  atomic        data inside a script is taken in, or refused: as it declares
    refused  limits        a statement does not run beyond its limit: as it declares
    70 passed, 4 refused
    ");
}

#[test]
fn clickhouse_passes() {
    let database = ClickHouse::fresh();
    let passed = passes("clickhouse", &database.url());
    let left = "SELECT name FROM system.tables WHERE database = currentDatabase()";
    assert_eq!(database.lines(left), [""; 0]);
    assert_snapshot!(passed, @r"
    refused  sessions      an open transaction of a session that is dropped is taken back: as it declares
    refused  transactions  a transaction keeps or takes back what its body did: as it declares
    refused  transactions  a panic in the body is taken back and goes on: as it declares
    refused  transactions  a transaction inside another is taken back alone: as it declares
    refused  transactions  a failed statement in the body is not committed in silence: as it declares
    refused  transactions  a reading transaction takes no writes: as it declares
    refused  transactions  schema changes roll back with their transaction, if it says so: as it declares
    refused  history       the short form tells the same as the long one: as it declares
    refused  atomic        a script is run whole, with its row: as it declares
    refused  atomic        an empty script leaves its row: as it declares
    refused  atomic        a failure at any statement leaves nothing behind: as it declares
    refused  atomic        a failure says where in its statement, in bytes: as it declares
    refused  atomic        a large script in pieces is all or nothing: as it declares
    refused  atomic        a stop takes everything back: as it declares
    refused  atomic        a text before the script that fails keeps it from running: as it declares
    refused  atomic        a batch whose row is gone is not taken for settled: as it declares
    refused  atomic        data inside a script is taken in, or refused: as it declares
    refused  stepwise      marks may share the transaction of their statements: as it declares
    refused  batches       batches that may be sent at once are run in order too: as it declares
    refused  batches       batches that share a transaction are all or nothing: as it declares
    refused  fence         a position with none before it is told as taken: as it declares
    not run  limits        a statement does not wait for a lock beyond its limit: no transaction can hold the lock of a row
    refused  limits        a statement does not run beyond its limit: as it declares
    refused  kills         a transaction whose process is killed leaves nothing: as it declares
    50 passed, 23 refused, 1 not run
    ");
}

/// A suite that passes whatever it is given would pass everything above.
#[test]
fn every_planted_defect_is_found() {
    let mut found = Vec::new();
    for defect in Defect::ALL {
        // A file has no password that could be quoted.
        let (name, database): (_, Box<dyn Database>) = match defect {
            Defect::QuotesTheServer => ("postgres", Box::new(Postgres::fresh())),
            _ => ("sqlite", Box::new(Sqlite::fresh())),
        };
        let adapter = Misbehaving::new(linked(name), *defect);
        let suite = Suite::new(Arc::new(adapter), options(&database.url())).ending_at_first_failure();
        let report = suite.with_patience(Duration::from_secs(5)).run(&mut |_| {});
        let first = report.failed().next().map(|checked| format!("{}: {}", checked.about, checked.name));
        found.push(format!("{defect:?}\n    {}", first.unwrap_or_else(|| "NOT FOUND".to_owned())));
    }
    assert_snapshot!(found.join("\n"), @r"
    VersionChanges
        identity: it says who it is, and says the same again
    OverclaimsArrays
        values: arrays go in and come out
    OverclaimsPipelining
        batches: batches that may be sent at once are run in order too
    OverclaimsCopy
        atomic: data inside a script is taken in, or refused
    UnderclaimsTransactions
        transactions: a transaction keeps or takes back what its body did
    UnderclaimsSavepoints
        transactions: a transaction inside another is taken back alone
    UnderclaimsCancel
        cancel: a request with nothing to stop does nothing
    UnderclaimsTheFence
        fence: a position that is taken is told as taken
    TakesEveryUrl
        identity: its own url is taken, another one is refused
    QuotesTheUrl
        identity: a url that is refused is not quoted
    QuotesTheServer
        sessions: a server that is not there is unreachable, and no password is said
    UnreachableIsOther
        sessions: a server that is not there is unreachable, and no password is said
    FirstStatementAlone
        scripts: a script of several statements is run whole
    HidesLaterErrors
        scripts: an error behind other statements is not hidden
    NoPosition
        scripts: an error of syntax says where, in bytes from the start of the script
    PositionOffByOne
        scripts: an error of syntax says where, in bytes from the start of the script
    PositionInCharacters
        scripts: an error of syntax says where, in bytes from the start of the script
    EveryErrorLosesTheSession
        scripts: an error of syntax says where, in bytes from the start of the script
    TableMissingIsOther
        scripts: an error behind other statements is not hidden
    ColumnMissingIsOther
        scripts: each kind of error is told as such, and the session goes on
    ConstraintIsOther
        scripts: each kind of error is told as such, and the session goes on
    SyntaxIsOther
        scripts: an error of syntax says where, in bytes from the start of the script
    NullIsEmpty
        values: NULL is no value of any other kind
    NumbersAreTexts
        values: every kind of value goes in and comes out
    LosesLetters
        scripts: a script of several statements is run whole
    CutsTexts
        values: every kind of value goes in and comes out
    BytesAreText
        values: every kind of value goes in and comes out
    RoundsNumbers
        values: every kind of value goes in and comes out
    RowsReversed
        sessions: two sessions at once see what the other has done
    ColumnsShouted
        sessions: two sessions at once see what the other has done
    IgnoresEnough
        reads: no more rows come than are wanted
    RunsAllOfAQuery
        values: a query is one statement with all of its parameters
    SwapsParameters
        values: parameters go where they belong
    ForgetsTheSet
        reads: an absent table is told apart from an empty one
    SkipsEmptySets
        reads: several sets come in order, each with its columns
    TablesFoldCase
        tables: a table is found by its name, letter by letter
    TablesArePatterns
        tables: a table is found by its name, letter by letter
    TablesIgnoreSchema
        tables: a table is found in its schema, and in no other
    CommitsAfterFailure
        transactions: a transaction keeps or takes back what its body did
    RollsBackSuccess
        transactions: a transaction keeps or takes back what its body did
    BodyFailedIsSuccess
        transactions: a transaction keeps or takes back what its body did
    SwallowsPanics
        transactions: a panic in the body is taken back and goes on
    NestsFlat
        transactions: a transaction inside another is taken back alone
    ReadersWrite
        transactions: a reading transaction takes no writes
    LiteralsUnescaped
        language: a literal is the value that it was made of
    LiteralsDoubleBackslashes
        language: a literal is the value that it was made of
    NamesUnescaped
        tables: a table is found by its name, letter by letter
    LexerMissesNames
        language: the engine reads comments, strings and names as the lexer does
    LexerNestsComments
        language: the engine reads comments, strings and names as the lexer does
    HistoryNowhere
        history: it is created once, however often that is asked for
    HistoryColumnsSwapped
        history: a history that is not there is told apart from an empty one
    HistoryReversed
        history: a row keeps what it was given, letter by letter
    CreatesTwice
        history: it is created once, however often that is asked for
    HistoryWithoutKey
        history: a history that is not there is told apart from an empty one
    MarksSettledRows
        history: a row that is settled is neither marked nor finished again
    FinishesSettledRows
        history: a row that is settled is neither marked nor finished again
    TrimsScripts
        history: a row keeps what it was given, letter by letter
    LeaseTooShort
        history: a row is started, marked and finished
    BriefDiffers
        history: the short form tells the same as the long one
    ForgetsLimits
        limits: a statement does not wait for a lock beyond its limit
    NoTransaction
        atomic: a failure at any statement leaves nothing behind
    LosesTheLastStatement
        atomic: a script is run whole, with its row
    LosesAPiece
        atomic: a large script in pieces is all or nothing
    IgnoresStop
        atomic: a stop takes everything back
    IgnoresSettling
        atomic: a batch whose row is gone is not taken for settled
    ForgetsMarks
        stepwise: a runner whose row was settled by another goes no further
    ForgetsFailures
        stepwise: a failure at any statement leaves those before it, and says so in the row
    RunsBehindAFailure
        atomic: a failure at any statement leaves nothing behind
    ReportsTwice
        atomic: a script is run whole, with its row
    ReportsNothing
        atomic: a script is run whole, with its row
    ReportsAnother
        atomic: a script is run whole, with its row
    CountsOneMore
        atomic: a script is run whole, with its row
    ProgressBeyondTheEnd
        atomic: a script is run whole, with its row
    BlamesTheNextStatement
        atomic: a failure at any statement leaves nothing behind
    SaysTheyStay
        atomic: a failure at any statement leaves nothing behind
    SaysTheyAreGone
        stepwise: a failure at any statement leaves those before it, and says so in the row
    FalseCertainty
        atomic: a batch whose row is gone is not taken for settled
    FenceIsConstraint
        fence: a position that is taken is told as taken
    CancelDoesNothing
        cancel: a running statement is stopped, and its session goes on
    CancelRefused
        cancel: a request with nothing to stop does nothing
    NobodyIsAlive
        kills: an attempt is alive while it is at work, and gone when it is not
    EverybodyIsAlive
        kills: nobody is at work for an attempt that never was
    PingFails
        sessions: a session opens, answers and closes
    CloseFails
        sessions: a session opens, answers and closes
    PanicsInConnect
        sessions: a session opens, answers and closes
    PanicsInQuery
        sessions: two sessions at once see what the other has done
    PanicsInRun
        atomic: a script is run whole, with its row
    PanicsInText
        sessions: two sessions at once see what the other has done
    HangsInRead
        sessions: two sessions at once see what the other has done
    HangsInRun
        atomic: a script is run whole, with its row
    ");
}
