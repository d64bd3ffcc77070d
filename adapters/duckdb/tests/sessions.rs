//! What the conformance suite does not ask: files, several databases in a session, and several sessions in a process.

use std::path::PathBuf;
use std::{env, fs, process};

use whimbrel_adapter_api::{
    Adapter, ConnectOptions, Error, ErrorKind, Liveness, Mode, Opened, Phase, Secret, Session, TableName,
    Text, Value,
};
use whimbrel_adapter_duckdb::DuckDb;
use whimbrel_conformance::work::{Script, run_watched};
use whimbrel_conformance::{Client, Finding};

/// A file that is removed again.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Scratch(env::temp_dir().join(format!("whimbrel-duckdb-{name}-{}", process::id())))
    }

    fn open(&self) -> Client {
        let opened = self.try_open().expect("a file of ours");
        Client::open(opened, &TableName::new("history")).expect("a session")
    }

    fn try_open(&self) -> Result<Opened, Error> {
        let url = Secret::new(format!("duckdb:{}", self.0.display()));
        DuckDb.connect(&ConnectOptions::new(url))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn of_several_statements_in_a_query_none_is_run() {
    let scratch = Scratch::new("several");
    let mut client = scratch.open();
    client.execute("CREATE TABLE birds (id BIGINT)").expect("it is sound");
    for (text, parameters) in [
        ("INSERT INTO birds VALUES (1); SELECT 1", &[][..]),
        ("INSERT INTO birds VALUES (1); SELECT $1", &[Value::Int(1)]),
    ] {
        let error = client.query(text, parameters).expect_err(text);
        assert_eq!(error.kind, ErrorKind::Syntax, "{error}");
    }
    assert_eq!(client.number("SELECT count(*) FROM birds").ok(), Some(0));
    assert_eq!(client.number("SELECT 1 AS \";\"; -- and no more;").ok(), Some(1));
}

#[test]
fn a_column_may_be_called_count() {
    let scratch = Scratch::new("count");
    let mut client = scratch.open();
    client.execute("CREATE TABLE birds (id BIGINT)").expect("it is sound");
    for (text, expected) in [
        ("SELECT 7 AS Count", vec![vec![Value::Int(7)]]),
        ("INSERT INTO birds VALUES (3)", Vec::new()),
        ("INSERT INTO birds VALUES (4) RETURNING id AS Count", vec![vec![Value::Int(4)]]),
        ("FROM birds SELECT count(*) AS Count", vec![vec![Value::Int(2)]]),
    ] {
        assert_eq!(client.query(text, &[]).map(|set| set.rows), Ok(expected), "{text}");
    }
}

/// Both bear the same name. The one that came too late has never been at work on it, and cannot end it.
#[test]
fn who_loses_a_position_does_not_hide_who_has_it() {
    let scratch = Scratch::new("loser");
    let (mut winner, mut loser, mut other) = (scratch.open(), scratch.open(), scratch.open());
    winner.create_history().expect("it is not there");
    let head = winner.head(1, Mode::Stepwise, 2).expect("the texts are there");
    let attempt = head.attempt.clone();
    let script = Script::default().then(head.clone(), &[&["SELECT 1"], &["SELECT 2"]]);
    let mut alive = Vec::new();
    let mut watch = |piece: usize| {
        if piece == 1 {
            let lost = loser.run(Script::of(head.clone(), &["SELECT 1"]))?.single()?;
            let lost = lost.err().map(|failure| (failure.phase, failure.error.kind));
            assert_eq!(lost, Some((Phase::Opening, ErrorKind::FenceTaken)));
            alive.push(other.connection.alive(&attempt).map_err(Finding::from)?);
        }
        Ok(())
    };
    let heard =
        run_watched(winner.connection.as_mut(), script, &mut watch).expect("it keeps to the protocol");
    assert!(heard.single().is_ok_and(|outcome| outcome.is_ok()));
    assert_eq!(alive, [Liveness::Alive]);
    assert_eq!(other.connection.alive(&attempt), Ok(Liveness::Gone));
}

#[test]
fn of_two_that_add_the_same_key_the_second_is_told_to_try_again() {
    let scratch = Scratch::new("conflict");
    let (mut first, mut second) = (scratch.open(), scratch.open());
    first.execute("CREATE TABLE birds (id BIGINT PRIMARY KEY)").expect("it is sound");
    for client in [&mut first, &mut second] {
        client.execute("BEGIN; INSERT INTO birds VALUES (1)").expect("nobody waits");
    }
    first.execute("COMMIT").expect("it is the first");
    let error = second.connection.execute_raw("COMMIT").expect_err("it is the second");
    assert_eq!((error.kind, error.session), (ErrorKind::Serialization, Session::Usable), "{error}");
    assert_eq!(second.number("SELECT count(*) FROM birds").ok(), Some(1));
}

#[test]
fn what_is_in_another_database_is_no_trace() {
    let scratch = Scratch::new("traces");
    let mut client = scratch.open();
    client.execute("ATTACH ':memory:' AS other; CREATE TABLE other.birds (id BIGINT)").expect("it is sound");
    let mut traces = |statement: &str| {
        let text = Text::Traces { history: &client.history, position: None, statement };
        let text = client.text(&text).expect("its words tell").concat();
        client.query(&text, &[]).map(|set| set.rows.len())
    };
    assert_eq!(traces("CREATE TABLE birds (id BIGINT)"), Ok(0));
    assert_eq!(traces("CREATE TABLE main.birds (id BIGINT)"), Ok(0));
    assert_eq!(traces("CREATE TABLE other.birds (id BIGINT)"), Ok(1));
    assert_eq!(traces("CREATE TABLE other.main.birds (id BIGINT)"), Ok(1));
}

#[test]
fn a_file_in_the_place_of_one_that_is_open_waits_for_it() {
    let scratch = Scratch::new("replaced");
    let mut before = scratch.open();
    before.execute("CREATE TABLE birds (id BIGINT)").expect("it is sound");
    fs::rename(&scratch.0, scratch.0.with_extension("old")).expect("it is ours");
    let refused = scratch.try_open().map(drop).expect_err("the log beside it is the old one's");
    assert_eq!(refused.kind, ErrorKind::InUse);
    drop(before);
    let mut after = scratch.open();
    assert_eq!(after.connection.table_exists(&TableName::new("birds")), Ok(false));
    let _ = fs::remove_file(scratch.0.with_extension("old"));
}
