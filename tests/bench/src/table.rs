//! The tables of `docs/performance.md`.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use whimbrel_tests::{Engine, built_file};

use crate::fleet::Fleet;
use crate::large::Large;
use crate::program::Program;
use crate::rounds::Line;

const BEGIN: &str = "<!-- begin: measured -->\n";
const END: &str = "<!-- end: measured -->\n";

/// The most by which the server may need more for us than for the engine's own client.
const SERVER_MEMORY: f64 = 1.2;
/// At most so many KiB more for a file of 200 MB than for one of 2 MB.
const MEMORY: u64 = 2 * 1024;
/// Four jobs take at most so much of what the floor takes alone.
const FLEET: f64 = 0.8;

/// Everything that was measured in one run.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) lines: Vec<Line>,
    pub(crate) large: Vec<Large>,
    pub(crate) fleets: Vec<Fleet>,
    pub(crate) parts: Option<String>,
}

impl Measured {
    /// Returns the tables.
    pub(crate) fn text(&self) -> Result<String> {
        let mut text = machine()? + "\n";
        let rows = |rows: Vec<String>| rows.concat();
        if !self.lines.is_empty() {
            text += "\n| engine | work | floor, ms | whimbrel, ms | ratio | at most | processor, ms: floor, whimbrel \
                     | turns | syncs | memory, MiB | at most |\n|---|---|---|---|---|---|---|---|---|---|---|\n";
            text += &rows(self.lines.iter().map(|each| line(each) + "\n").collect());
        }
        let beside: Vec<String> = self.lines.iter().filter_map(peers).collect();
        if !beside.is_empty() {
            text += "\nOther tools, in the same run: how many times the floor, and the turns behind their logins.\n\n\
                     | engine | work | whimbrel | dbmate | sqlx | refinery | diesel |\n|---|---|---|---|---|---|---|\n";
            text += &rows(beside);
        }
        if !self.large.is_empty() {
            text += "\nOne file of 200 MB, beside the engine's own client that streams it in one transaction:\n\n\
                     | engine | client, s | whimbrel, s | ratio | server memory, MiB: client, whimbrel | at most \
                     | memory more than for 2 MB, MiB | at most |\n|---|---|---|---|---|---|---|---|\n";
            text += &rows(self.large.iter().map(large).collect());
        }
        if !self.fleets.is_empty() {
            text += "\n100 databases with 20 pending each, the library with several jobs beside the floor alone:\n\n\
                     | engine | floor, s | jobs | whimbrel, s | ratio | at most |\n|---|---|---|---|---|---|\n";
            text += &rows(self.fleets.iter().map(fleet).collect());
        }
        if let Some(parts) = &self.parts {
            text += &format!("\nSingle parts:\n\n```text\n{parts}```\n");
        }
        Ok(text + "\n" + &sizes()?)
    }
}

/// Returns one line of the first table.
pub(crate) fn line(line: &Line) -> String {
    let Line { engine, work, programs } = line;
    let of = |program: Program| programs.iter().find(|measured| measured.program == program);
    let (Some(floor), Some(ours)) = (of(Program::Floor), of(Program::Ours)) else { return String::new() };
    let (ratio, memory) = (ratio(ours.time, floor.time), mebibytes(ours.memory));
    let pair = |floor: Option<String>, ours: Option<String>| {
        floor.zip(ours).map_or_else(String::new, |(floor, ours)| format!("{floor}, {ours}"))
    };
    format!(
        "| {} | {} | {} | {} | {ratio:.2} | {} | {}, {} | {} | {} | {memory:.1} | {} |",
        name(*engine),
        work.name,
        milliseconds(floor.time),
        milliseconds(ours.time),
        work.target.map_or_else(String::new, |most| verdict(ratio, most)),
        milliseconds(floor.processor),
        milliseconds(ours.processor),
        pair(floor.turns.map(|turns| turns.to_string()), ours.turns.map(|turns| turns.to_string())),
        pair(floor.syncs.map(|syncs| syncs.to_string()), ours.syncs.map(|syncs| syncs.to_string())),
        work.memory.map_or_else(String::new, |most| verdict(memory, most)),
    )
}

/// Returns one line of the table of other tools, if any took part.
fn peers(line: &Line) -> Option<String> {
    let of = |program: Program| line.programs.iter().find(|measured| measured.program == program);
    let floor = of(Program::Floor)?;
    Program::PEERS.into_iter().find_map(of)?;
    let cell = |program: Program| {
        let Some(measured) = of(program) else { return " | ".to_owned() };
        let turns = measured.turns.map_or_else(String::new, |turns| format!(" ({turns})"));
        format!(" | {:.1}{turns}", ratio(measured.time, floor.time))
    };
    let cells: String = [Program::Ours].into_iter().chain(Program::PEERS).map(cell).collect();
    Some(format!("| {} | {}{cells} |\n", name(line.engine), line.work.name))
}

fn large(large: &Large) -> String {
    let [ours, client] = large.times;
    let server = large.server.map_or_else(
        || " | ".to_owned(),
        |[ours, client]| {
            let most = verdict(ours as f64 / client as f64, SERVER_MEMORY);
            format!("{:.1}, {:.1} | {most}", mebibytes(client), mebibytes(ours))
        },
    );
    let [much, little] = large.memory;
    let more = much.saturating_sub(little);
    format!(
        "| {} | {:.1} | {:.1} | {:.2} | {server} | {:.1} | {} |\n",
        name(large.engine),
        client.as_secs_f64(),
        ours.as_secs_f64(),
        ratio(ours, client),
        mebibytes(more),
        verdict(mebibytes(more), mebibytes(MEMORY)),
    )
}

fn fleet(fleet: &Fleet) -> String {
    let row = |(jobs, time): &(usize, Duration)| {
        let ratio = ratio(*time, fleet.floor);
        let most = if *jobs > 1 { verdict(ratio, FLEET) } else { String::new() };
        format!(
            "| {} | {:.2} | {jobs} | {:.2} | {ratio:.2} | {most} |\n",
            name(fleet.engine),
            fleet.floor.as_secs_f64(),
            time.as_secs_f64()
        )
    };
    fleet.ours.iter().map(row).collect()
}

fn ratio(ours: Duration, floor: Duration) -> f64 {
    ours.as_secs_f64() / floor.as_secs_f64()
}

fn verdict(value: f64, most: f64) -> String {
    format!("{most}, {}", if value <= most { "met" } else { "missed" })
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "SQLite",
        Engine::Postgres => "PostgreSQL",
        Engine::MariaDb => "MariaDB",
        Engine::MySql => "MySQL",
    }
}

fn machine() -> Result<String> {
    let facts = fs::read_to_string("/proc/cpuinfo")?;
    let model = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unnamed processor", |(_, model)| model);
    let cores = thread::available_parallelism()?;
    Ok(format!("Measured on {cores} cores of {model}, servers on the same machine, which wait for the disk."))
}

fn sizes() -> Result<String> {
    let files = [
        "whimbrel",
        "libwhimbrel_adapter_sqlite.so",
        "libwhimbrel_adapter_postgres.so",
        "libwhimbrel_adapter_mysql.so",
    ];
    let mut text = "| file | MiB |\n|---|---|\n".to_owned();
    for file in files {
        let bytes = fs::metadata(built_file(file))?.len();
        text.push_str(&format!("| `{file}` | {:.1} |\n", bytes as f64 / 1024.0 / 1024.0));
    }
    Ok(text)
}

/// Puts the tables into the page.
pub(crate) fn write(tables: &str) -> Result<()> {
    let page = Path::new("docs/performance.md");
    let text = fs::read_to_string(page)?;
    let (before, rest) = text.split_once(BEGIN).context("the page has no beginning of the tables")?;
    let (_, after) = rest.split_once(END).context("the page has no end of the tables")?;
    fs::write(page, format!("{before}{BEGIN}\n{tables}\n{END}{after}"))?;
    Ok(())
}
