//! Times `up` against the floor, in pairs within one run, and writes the tables of `docs/performance.md`.
//!
//! Started by `cargo xtask bench`, which builds everything for release and starts the servers. Asserts no time: the tables
//! say what was measured, and on what.

#![expect(clippy::print_stdout, reason = "a program that reports to a terminal")]

mod floor;
mod measure;
mod table;
mod work;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;
use whimbrel_tests::{Database, Engine, Networked, Proxy, Sqlite, built_file};

use floor::Sending;
use measure::{Taken, median};
use work::{Pending, Work};

/// Times `up` against a program that sends exactly what the work needs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    floor: Option<Floor>,
    /// Writes the tables into docs/performance.md
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Subcommand)]
enum Floor {
    /// The program that sends exactly what the work needs
    Floor { folder: PathBuf, url: String, sending: Sending },
}

const ENGINES: [Engine; 3] = [Engine::Sqlite, Engine::Postgres, Engine::MariaDb];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Floor::Floor { folder, url, sending }) = arguments.floor {
        return floor::run(&folder, &url, sending);
    }
    let work: Vec<(Engine, Work)> = ENGINES
        .into_iter()
        .flat_map(|engine| work::all(engine != Engine::Sqlite).into_iter().map(move |work| (engine, work)))
        .collect();
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len} {msg}")?;
    let bar = ProgressBar::new(work.len() as u64).with_style(style);
    let mut lines = Vec::new();
    for (engine, work) in work {
        bar.set_message(format!("{engine:?}, {}", work.name));
        let line = pairs(engine, &work)?;
        bar.suspend(|| println!("{}", table::line(&line)));
        lines.push(line);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let text = table::all(&lines)?;
    println!("\n{text}");
    if arguments.write { table::write(&text) } else { Ok(()) }
}

/// What was measured of one workload on one engine.
pub(crate) struct Line {
    pub(crate) engine: Engine,
    pub(crate) work: Work,
    pub(crate) floor: Duration,
    pub(crate) ours: Duration,
    /// Turns behind the login, where there is a wire.
    pub(crate) turns: Option<[u32; 2]>,
    /// The most memory that ours held at once, in KiB.
    pub(crate) peak: u64,
}

/// Whose run it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Floor,
    Ours,
}

/// Measures a workload in pairs, one run of each program after the other.
fn pairs(engine: Engine, work: &Work) -> Result<Line> {
    let folder = TempDir::new()?;
    let files = folder.path().join(engine.adapter());
    work.write(&files)?;
    let programs = [Program::Floor, Program::Ours];
    let settled =
        programs.map(|program| matches!(work.pending, Pending::Nothing).then(|| Place::new(engine, program)));
    for place in settled.iter().flatten() {
        place.up(&files, Sending::AtOnce, Duration::ZERO)?;
    }
    let mut times = [Vec::new(), Vec::new()];
    let (mut peak, mut turns) = (0, None);
    for round in 0..=work.repeat {
        let sending = if work.batch { Sending::AtOnce } else { Sending::OneByOne };
        let mut seen = [0; 2];
        for (index, program) in programs.into_iter().enumerate() {
            let fresh = settled[index].is_none().then(|| Place::new(engine, program));
            let Some(place) = settled[index].as_ref().or(fresh.as_ref()) else { continue };
            let (taken, counted) = place.up(&files, sending, work.away)?;
            // The first round warms what there is to warm.
            if round > 0 {
                times[index].push(taken.time);
            }
            seen[index] = counted.unwrap_or_default();
            if program == Program::Ours {
                peak = peak.max(taken.peak);
            }
        }
        turns = (work.away > Duration::ZERO).then_some(seen);
    }
    let [floor, ours] = times.map(median);
    Ok(Line { engine, work: *work, floor, ours, turns, peak })
}

/// A database, and the program that works on it.
struct Place {
    program: Program,
    database: Box<dyn Database>,
    networked: Option<Box<dyn Networked>>,
}

impl Place {
    fn new(engine: Engine, program: Program) -> Self {
        let database: Box<dyn Database> = Box::new(Sqlite::fresh());
        let networked = (engine != Engine::Sqlite).then(|| engine.fresh());
        Place { program, database, networked }
    }

    /// Runs the program, and returns what it took; and how many turns, if the server is far away.
    fn up(&self, files: &Path, sending: Sending, away: Duration) -> Result<(Taken, Option<u32>)> {
        let Some(database) = &self.networked else {
            return Ok((measure::run(self.command(files, &self.database.url(), sending)?)?, None));
        };
        if away == Duration::ZERO {
            return Ok((measure::run(self.command(files, &database.url(), sending)?)?, None));
        }
        let proxy = Proxy::before(database.as_ref());
        proxy.delay(away);
        let taken = measure::run(self.command(files, &proxy.plain_url(database.as_ref()), sending)?)?;
        Ok((taken, Some(proxy.turns())))
    }

    fn command(&self, files: &Path, url: &str, sending: Sending) -> Result<Command> {
        if self.program == Program::Floor {
            let mut command = Command::new(std::env::current_exe()?);
            let words = if sending == Sending::AtOnce { "at-once" } else { "one-by-one" };
            command.arg("floor").arg(files).args([url, words]);
            return Ok(command);
        }
        let mut command = Command::new(built_file("whimbrel"));
        let folder = files.file_name().unwrap_or_default();
        command.arg("up").arg(folder).args(["--url", url, "--dir"]).arg(files.parent().unwrap_or(files));
        if sending == Sending::AtOnce {
            command.arg(if url.starts_with("sqlite:") { "--single-transaction" } else { "--batch" });
        }
        Ok(command)
    }
}
