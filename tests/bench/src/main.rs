//! Times `up` against the floor and against other tools, in turn within one run, and writes the tables of
//! `docs/performance.md`.
//!
//! Started by `cargo xtask bench`, which builds everything for release and starts servers that wait for the disk. Asserts
//! no time: the tables say what was measured, and on what.

#![expect(clippy::print_stdout, reason = "a program that reports to a terminal")]

mod fleet;
mod floor;
mod large;
mod measure;
mod parts;
mod peers;
mod place;
mod program;
mod rounds;
mod table;
mod work;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use whimbrel_tests::Engine;

use floor::Sending;
use program::Program;
use work::Work;

/// Times `up` against a program that sends exactly what the work needs, and against other tools.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Only what has all these words in its engine and name
    words: Vec<String>,
    /// Writes the tables into docs/performance.md
    #[arg(long, conflicts_with = "words")]
    write: bool,
    /// Gets the other tools first, into target/peers
    #[arg(long)]
    install_peers: bool,
}

/// What is started by this program itself, to be timed as a process.
#[derive(Debug, Subcommand)]
enum Part {
    /// The program that sends exactly what the work needs, on each database in turn
    #[command(hide = true, name = "__floor")]
    Floor { folder: PathBuf, sending: Sending, urls: Vec<String> },
    /// The library, on many databases at once
    #[command(hide = true, name = "__fleet")]
    Fleet { folder: PathBuf, jobs: usize, urls: Vec<String> },
}

const ENGINES: [Engine; 4] = [Engine::Sqlite, Engine::Postgres, Engine::MariaDb, Engine::MySql];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Floor { folder, sending, urls }) => return floor::run(&folder, sending, &urls),
        Some(Part::Fleet { folder, jobs, urls }) => return fleet::run(&folder, jobs, &urls),
        None => {}
    }
    if arguments.install_peers {
        peers::install()?;
    }
    let programs = Program::found();
    let is_named =
        |text: &str| arguments.words.iter().all(|word| text.to_lowercase().contains(&word.to_lowercase()));
    let is_wanted = |engine: Engine, name: &str| is_named(&format!("{engine:?} {name}"));
    let work: Vec<(Engine, Work)> = ENGINES
        .into_iter()
        .flat_map(|engine| work::all(engine).into_iter().map(move |work| (engine, work)))
        .filter(|(engine, work)| is_wanted(*engine, work.name))
        .collect();
    let large: Vec<Engine> =
        large::ENGINES.into_iter().filter(|engine| is_wanted(*engine, large::NAME)).collect();
    let fleets: Vec<Engine> =
        fleet::ENGINES.into_iter().filter(|engine| is_wanted(*engine, fleet::NAME)).collect();
    let parts = [parts::NAME].into_iter().filter(|name| is_named(name));
    let steps = work.len() + large.len() + fleets.len() + parts.clone().count();
    let bar = ProgressBar::new(steps as u64)
        .with_style(ProgressStyle::with_template("{bar:20} {pos}/{len} {elapsed} {msg}")?);
    let mut measured = table::Measured::default();
    for (engine, work) in work {
        bar.set_message(format!("{engine:?}, {}", work.name));
        let line = rounds::measure(engine, &work, &programs)?;
        bar.suspend(|| println!("{}", table::line(&line)));
        measured.lines.push(line);
        bar.inc(1);
    }
    for engine in large {
        bar.set_message(format!("{engine:?}, {}", large::NAME));
        measured.large.push(large::measure(engine)?);
        bar.inc(1);
    }
    for engine in fleets {
        bar.set_message(format!("{engine:?}, {}", fleet::NAME));
        measured.fleets.push(fleet::measure(engine)?);
        bar.inc(1);
    }
    for name in parts {
        bar.set_message(name);
        measured.parts = Some(parts::measure()?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let text = measured.text()?;
    println!("\n{text}");
    if arguments.write { table::write(&text) } else { Ok(()) }
}
