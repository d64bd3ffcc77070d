//! `--wait-for-database`: a run that is there before its server, as in an init container.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use insta::assert_snapshot;
use whimbrel_tests::{LatePostgres, Networked, Product, Project, Protocol, Proxy, Running};

fn project() -> Project {
    Project::new()
        .file("migrations/postgres/001_species.sql", "CREATE TABLE species (id int);\n")
        .file("migrations/mysql/001_species.sql", "CREATE TABLE species (id int);\n")
}

fn waiting(project: &Project, folder: &str, url: &str, limit: &str) -> Running {
    project.spawn(["up", folder, "--url", url, "--wait-for-database", limit])
}

/// Returns an address where nobody listens.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it has an address")
}

#[test]
fn a_run_waits_for_a_postgres_that_starts_late() {
    let mut server = LatePostgres::prepare();
    let project = project();
    let refused = waiting(&project, "postgres", &server.url(), "2m");
    refused.until_reported("waiting for the database");
    server.start();
    // It says that it is not ready by now.
    let not_ready = loop {
        let run = project.run(["status", "postgres", "--url", &server.url()]).exits(8);
        if !run.mentions("Connection refused") {
            break run;
        }
    };
    assert_snapshot!(not_ready.redacted_with(&[("(?m)caused by: the database system .*", "caused by: [NOT READY]")]), @r"
    exit: 8
    --- stdout
    --- stderr
    error[connection]: cannot reach postgres://owner:****@127.0.0.1:[PORT]/postgres
      caused by: [NOT READY]
    hint: is the server up? the url comes from `--url` (command line)
    ");
    let starting = waiting(&project, "postgres", &server.url(), "2m");
    starting.until_reported("waiting for the database");
    server.open();
    let outcomes = [refused, starting].map(|run| run.wait().exits(0));
    assert_eq!(outcomes[0].stderr.matches("waiting for the database").count(), 1, "{outcomes:?}");
    assert!(outcomes[1].mentions(": the database system is "), "{outcomes:?}");
    let applied = outcomes.iter().filter(|outcome| outcome.mentions("applied  001_species")).count();
    assert_eq!(applied, 1, "{outcomes:?}");
    let _ = project.run(["status", "postgres", "--exit-code", "--url", &server.url()]).exits(0);
}

#[test]
fn a_run_waits_for_a_mariadb_that_starts_late() {
    let database = Product::MariaDb.fresh();
    let address = free_address();
    let project = project();
    let run = waiting(&project, "mysql", &database.url_at(address), "2m");
    run.until_reported("waiting for the database");
    let _server = Proxy::start_at(address, database.address(), Protocol::MySql);
    assert_snapshot!(run.wait().redacted(), @r"
    exit: 0
    --- stdout
    applied  001_species  [N] ms
    1 migration applied to mysql, now at 001_species
    --- stderr
    waiting for the database mysql://owner:****@127.0.0.1:[PORT]/[DATABASE]: Connection refused (os error 111)
    ");
}

#[test]
fn a_password_that_is_wrong_is_not_tried_again() {
    let database = Product::MariaDb.fresh();
    let project = project();
    let proxy = Proxy::start(database.address(), Protocol::Opaque);
    let url = format!("mysql://owner:hunter2@{}/{}", proxy.address(), database.name());
    let outcome = waiting(&project, "mysql", &url, "10m").wait().exits(8);
    assert!(!outcome.mentions("waiting"), "{}", outcome.redacted());
    let at_once = proxy.connections();
    // Nor is it when the server comes late.
    let address = free_address();
    let url = format!("mysql://owner:hunter2@{address}/{}", database.name());
    let run = waiting(&project, "mysql", &url, "10m");
    run.until_reported("waiting for the database");
    let proxy = Proxy::start_at(address, database.address(), Protocol::Opaque);
    let outcome = run.wait().exits(8);
    assert!(outcome.mentions("error[authentication]"), "{}", outcome.redacted());
    assert_eq!(proxy.connections(), at_once);
}

#[test]
fn a_server_that_does_not_come_is_given_up_in_time() {
    let url = format!("postgres://ana:hunter2@{}/birds", free_address());
    assert_snapshot!(waiting(&project(), "postgres", &url, "1s").wait().redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    waiting for the database postgres://ana:****@127.0.0.1:[PORT]/birds: Connection refused (os error 111)
    error[connection]: cannot reach postgres://ana:****@127.0.0.1:[PORT]/birds
      caused by: Connection refused (os error 111)
    state: nothing was run; waited 1 s
    hint: is the server up? the url comes from `--url` (command line)
    ");
    let quiet = project();
    let arguments = ["up", "postgres", "--url", &url, "--wait-for-database", "100ms"];
    let outcome = quiet.command(arguments).env("WHIMBREL_WAIT_FOR_DATABASE", "10m").run().exits(8);
    assert!(outcome.mentions("waiting for"), "{}", outcome.redacted());
    let outcome = quiet.run([&arguments[..], &["--quiet"]].concat()).exits(8);
    assert!(!outcome.mentions("waiting for"), "{}", outcome.redacted());
}

// Attempt after attempt without a pause would keep a server that is starting from its work.
#[test]
fn pauses_between_attempts_grow() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    let address = listener.local_addr().expect("it has an address");
    let attempts = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&attempts);
    thread::spawn(move || {
        for _turned_away in listener.incoming() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let url = format!("postgres://ana:hunter2@{address}/birds?sslmode=disable");
    let _ = waiting(&project(), "postgres", &url, "3s").wait().exits(8);
    let made = attempts.load(Ordering::Relaxed);
    // With 20 ms at first, twice as much each time and no more than a second there are nine or ten.
    assert!((4..=11).contains(&made), "{made} attempts");
}

#[test]
fn a_signal_ends_the_wait_at_once() {
    let url = format!("postgres://ana:hunter2@{}/birds", free_address());
    let project = project();
    for (signal, code) in [(Running::interrupt as fn(&Running), 130), (Running::terminate, 143)] {
        let run = waiting(&project, "postgres", &url, "10m");
        run.until_reported("waiting for the database");
        signal(&run);
        let outcome = run.wait().exits(code);
        assert!(outcome.mentions("interrupted while connecting\nstate: nothing was changed"), "{outcome:?}");
    }
}
