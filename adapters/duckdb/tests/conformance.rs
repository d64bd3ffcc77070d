//! The conformance suite, with the adapter linked in: `cargo test -- URL`. Without a url on a file that is removed again.

#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::io::{stdin, stdout};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::{env, fs};

use whimbrel_adapter_api::{ConnectOptions, Secret};
use whimbrel_adapter_duckdb::DuckDb;
use whimbrel_conformance::{Suite, Victim, act};

fn main() -> ExitCode {
    let argument = env::args().nth(1).unwrap_or_default();
    if argument == "victim" {
        act(&DuckDb, &mut stdin().lock(), &mut stdout());
        return ExitCode::SUCCESS;
    }
    let scratch = env::temp_dir().join(format!("whimbrel-duckdb-{}", std::process::id()));
    let url = match argument.starts_with("duckdb:") {
        true => argument,
        false => format!("duckdb:{}", scratch.display()),
    };
    let victim = Victim::new(|| {
        let mut command = Command::new(env::current_exe().expect("a program has a file"));
        command.arg("victim");
        command
    });
    let suite = Suite::new(Arc::new(DuckDb), ConnectOptions::new(Secret::new(url))).with_victim(victim);
    let report = suite.run(&mut |checked| println!("{checked}"));
    println!("duckdb: {}", report.summary());
    let _ = fs::remove_file(scratch);
    if report.is_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
