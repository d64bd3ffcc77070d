//! A file of 200 MB: what client and server need, beside the engine's own client that streams the same file.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use percent_encoding::percent_decode_str;
use tempfile::TempDir;
use url::Url;
use whimbrel_tests::{Database, Engine, servers};

use crate::floor::Sending;
use crate::measure;
use crate::place::Place;
use crate::program::Program;
use crate::work::inserts;

pub(crate) const NAME: &str = "one file of 200 MB";
pub(crate) const ENGINES: [Engine; 3] = [Engine::Sqlite, Engine::Postgres, Engine::MariaDb];

const SMALL: usize = 2_000_000;
const LARGE: usize = 200_000_000;

/// What was measured on one engine.
pub(crate) struct Large {
    pub(crate) engine: Engine,
    /// Ours, and that of the engine's own client.
    pub(crate) times: [Duration; 2],
    /// The most memory that the server held for us, and for its own client, in KiB.
    pub(crate) server: Option<[u64; 2]>,
    /// The most memory of ours with the large file, and with the small one, in KiB.
    pub(crate) memory: [u64; 2],
}

/// Measures one engine.
pub(crate) fn measure(engine: Engine) -> Result<Large> {
    let root = TempDir::new()?;
    let folder = |bytes: usize| root.path().join(bytes.to_string()).join(engine.adapter());
    for bytes in [SMALL, LARGE] {
        Program::Ours.write(&folder(bytes), 1, "sightings", &inserts(bytes))?;
    }
    let ours =
        |bytes: usize, place: &Place| Program::Ours.command(&folder(bytes), &place.url(), Sending::OneByOne);
    let place = Place::new(engine);
    let little = measure::watch(ours(SMALL, &place)?, &mut || {})?;
    let place = Place::new(engine);
    let first = observe(ours(LARGE, &place)?, place.database())?;
    let place = Place::new(engine);
    let second = observe(own_client(&place, &folder(LARGE).join("000001_sightings.sql"))?, place.database())?;
    let server = (engine != Engine::Sqlite).then_some([first.server, second.server]);
    if server.is_some_and(|server| server.contains(&0)) {
        bail!("{engine:?}: the server's memory could not be seen");
    }
    Ok(Large { engine, times: [first.time, second.time], server, memory: [first.memory, little] })
}

/// What was seen of one run.
struct Seen {
    time: Duration,
    memory: u64,
    server: u64,
}

/// Runs a program and looks at its server now and then.
fn observe(command: Command, database: &dyn Database) -> Result<Seen> {
    let (began, mut server) = (Instant::now(), 0);
    let mut looked = began;
    let memory = measure::watch(command, &mut || {
        // To look costs the server a session.
        if looked.elapsed() > Duration::from_millis(100) {
            server = server.max(server_memory(database));
            looked = Instant::now();
        }
    })?;
    Ok(Seen { time: began.elapsed(), memory, server })
}

/// Returns the most that the server holds for one of the other sessions on a database, in KiB.
fn server_memory(database: &dyn Database) -> u64 {
    match database.engine() {
        Engine::Sqlite => 0,
        Engine::Postgres => {
            let backends = "SELECT pid FROM pg_stat_activity \
                            WHERE datname = current_database() AND pid <> pg_backend_pid()";
            database.lines(backends).iter().map(|pid| own_memory(pid)).max().unwrap_or_default()
        }
        Engine::MariaDb | Engine::MySql => {
            let sessions = "SELECT coalesce(max(max_memory_used), 0) FROM information_schema.processlist \
                            WHERE db = DATABASE() AND id <> connection_id()";
            database.lines(sessions).concat().parse::<u64>().unwrap_or_default() / 1024
        }
    }
}

/// Returns the engine's own client, about to stream a file in one transaction.
fn own_client(place: &Place, file: &Path) -> Result<Command> {
    let programs = &servers().programs;
    let (url, file) = (place.url(), file.display().to_string());
    Ok(match place.database().engine() {
        Engine::Sqlite => {
            let mut command = Command::new(&programs.sqlite3);
            command.arg(url.trim_start_matches("sqlite:")).args([
                "BEGIN",
                &format!(".read {file}"),
                "COMMIT",
            ]);
            command
        }
        Engine::Postgres => {
            let mut command = Command::new(&programs.psql);
            command.args([
                "--no-psqlrc",
                "--quiet",
                "--single-transaction",
                "--set=ON_ERROR_STOP=1",
                "--file",
            ]);
            command.args([&file, &url]);
            command
        }
        Engine::MariaDb | Engine::MySql => {
            let url = Url::parse(&url)?;
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let mut command = Command::new(&programs.mariadb);
            command.arg("--skip-ssl").arg(format!("--host={}", url.host_str().context("a host")?));
            command.arg(format!("--port={}", url.port().context("a port")?));
            command.arg(format!("--user={}", decoded(url.username())));
            command.env("MYSQL_PWD", decoded(url.password().unwrap_or_default()));
            command.arg(format!("--execute=SET autocommit = 0;\nsource {file}\nCOMMIT;"));
            command.arg(url.path().trim_start_matches('/'));
            command
        }
    })
}

/// Returns the memory of a process that it shares with nobody, in KiB.
fn own_memory(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
