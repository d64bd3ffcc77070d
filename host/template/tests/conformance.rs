//! The conformance suite, with the adapter linked in: `cargo test`, or `cargo test -- smoke` for the
//! part that a migration needs to run at all.

#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::env;
use std::io::{stdin, stdout};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use whimbrel_adapter_api::{ConnectOptions, Secret};
use whimbrel_conformance::{Part, Suite, Victim, act};

/// A database in which the suite may create and drop tables. Yours may come from the environment.
const URL: &str = "@NAME@:check";

fn main() -> ExitCode {
    let adapter = @CRATE@::@TYPE@;
    let argument = env::args().nth(1).unwrap_or_default();
    if argument == "victim" {
        act(&adapter, &mut stdin().lock(), &mut stdout());
        return ExitCode::SUCCESS;
    }
    let part = if argument == "smoke" { Part::Smoke } else { Part::Whole };
    let victim = Victim::new(|| {
        let mut command = Command::new(env::current_exe().expect("a program has a file"));
        command.arg("victim");
        command
    });
    let suite = Suite::new(Arc::new(adapter), ConnectOptions::new(Secret::new(URL)));
    let report = suite.with_victim(victim).with_part(part).run(&mut |checked| println!("{checked}"));
    println!("@NAME@: {}", report.summary());
    if report.is_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
