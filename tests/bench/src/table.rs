//! The tables of `docs/performance.md`.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result};
use whimbrel_tests::{Engine, built_file};

use crate::Line;

const BEGIN: &str = "<!-- begin: measured -->\n";
const END: &str = "<!-- end: measured -->\n";

/// Returns everything that was measured.
pub(crate) fn all(lines: &[Line]) -> Result<String> {
    let heading = "| engine | work | floor, ms | whimbrel, ms | ratio | at most | turns: floor, whimbrel | memory, MiB |\n\
                   |---|---|---|---|---|---|---|---|\n";
    let rows: String = lines.iter().map(|each| line(each) + "\n").collect();
    Ok(format!("{}\n\n{heading}{rows}\n{}", machine()?, sizes()?))
}

/// Returns one line of the table.
pub(crate) fn line(line: &Line) -> String {
    let Line { engine, work, floor, ours, turns, peak } = line;
    let milliseconds = |time: &std::time::Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
    let ratio = ours.as_secs_f64() / floor.as_secs_f64();
    let target = work.target.map_or_else(String::new, |target| {
        format!("{target}, {}", if ratio <= target { "met" } else { "missed" })
    });
    let turns = turns.map_or_else(String::new, |[floor, ours]| format!("{floor}, {ours}"));
    format!(
        "| {} | {} | {} | {} | {ratio:.2} | {target} | {turns} | {:.1} |",
        name(*engine),
        work.name,
        milliseconds(floor),
        milliseconds(ours),
        *peak as f64 / 1024.0
    )
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
    Ok(format!("Measured on {cores} cores of {model}, servers on the same machine."))
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
