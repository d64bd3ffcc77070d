//! The soak on all engines, for `cargo xtask soak`, which starts the servers.
//!
//! Shows how far it is on stderr, prints a table to stdout, and ends with 1 when something was doubled, lost, stuck or
//! otherwise not as promised.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports to a terminal")]

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use whimbrel_tests::soak::{BENCHES, Bench, Soak, Tally};

/// Kills runners at random moments and looks whether everything was applied exactly once.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask soak")]
struct Arguments {
    /// At least 300 kills on each engine, and leases that run their whole time
    #[arg(long)]
    long: bool,
    /// The seed of the first schedule [default: the clock]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many kills on each engine
    #[arg(long, value_name = "N")]
    kills: Option<u32>,
    /// Which engines [default: all]
    #[arg(long = "engine", value_name = "NAME", num_args = 1.., value_parser = bench)]
    engines: Vec<&'static Bench>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let soak = arguments.soak();
    println!("seed {}", soak.seed);
    println!("{}", heading());
    let mut ends = ExitCode::SUCCESS;
    for bench in arguments.benches() {
        let bar = bar(bench, soak.kills);
        let tally = soak.run(bench, &|kills| bar.set_position(kills.into()));
        bar.finish_and_clear();
        println!("{}", line(bench.name, &tally));
        if !tally.is_clean() {
            eprintln!("{}", tally.reports.join("\n"));
            ends = ExitCode::FAILURE;
        }
    }
    ends
}

impl Arguments {
    fn soak(&self) -> Soak {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let seed = self.seed.unwrap_or_else(clock);
        let soak = if self.long { Soak::long(seed) } else { Soak::short(seed) };
        Soak { kills: self.kills.unwrap_or(soak.kills), ..soak }
    }

    fn benches(&self) -> Vec<&'static Bench> {
        if self.engines.is_empty() { BENCHES.iter().collect() } else { self.engines.clone() }
    }
}

fn bench(name: &str) -> Result<&'static Bench, String> {
    let known = || BENCHES.iter().map(|bench| bench.name).collect::<Vec<_>>().join(", ");
    Bench::named(name).ok_or_else(|| format!("there is none of this name; there are {}", known()))
}

/// Returns a bar that shows itself on a terminal only.
fn bar(bench: &Bench, kills: u32) -> ProgressBar {
    let bar = ProgressBar::new(kills.into()).with_prefix(bench.name);
    let style = ProgressStyle::with_template("{prefix:18} {bar:30} {pos}/{len} kills  {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(std::time::Duration::from_millis(250));
    bar
}

const COLUMNS: [&str; 11] = [
    "schedules",
    "kills",
    "at work",
    "halfway",
    "restarts",
    "settled",
    "doubled",
    "lost",
    "stuck",
    "wrong",
    "seconds",
];

fn heading() -> String {
    row("engine", COLUMNS.map(str::to_owned))
}

fn line(name: &str, tally: &Tally) -> String {
    let Tally { schedules, kills, at_work, halfway, restarts, settled, doubled, lost, stuck, wrong, .. } =
        tally;
    let [schedules, kills, at_work, halfway, restarts, settled, doubled, lost, stuck, wrong] =
        [schedules, kills, at_work, halfway, restarts, settled, doubled, lost, stuck, wrong]
            .map(u32::to_string);
    let seconds = format!("{:.1}", tally.time.as_secs_f64());
    row(name, [schedules, kills, at_work, halfway, restarts, settled, doubled, lost, stuck, wrong, seconds])
}

fn row(name: &str, cells: [String; COLUMNS.len()]) -> String {
    let cells =
        cells.iter().zip(COLUMNS).map(|(cell, column)| format!("  {cell:>width$}", width = column.len()));
    format!("{name:16}{}", cells.collect::<String>())
}
