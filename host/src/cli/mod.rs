//! The command line: what was asked for, in terms of the library.
//!
//! One file for each command. A command resolves its target, calls one method of [`Migrator`](crate::Migrator), and
//! hands the answer to [`output`](crate::output).
//!
//! Decides nothing about migrations: an application that uses the library can do all that is done here.

mod adapters;
mod args;
mod change;
mod interrupt;
mod look;
mod new;
mod plan_file;
mod target;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{AdaptersCommand, Arguments, Command, Common, Format};
use crate::config::Environment;
use crate::error::Result;
use crate::output::{Colour, Output, Verbosity};

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    // clap answers `--help`, `--version` and what it cannot understand by itself, with 0 or 2.
    let arguments = Arguments::parse();
    let environment = Environment::of_process();
    let mut output = output(&arguments.common, &environment);
    let answer = run(&arguments, &environment, &mut output);
    ExitCode::from(answer.unwrap_or_else(|error| output.error(&error)))
}

/// Runs a command and returns the exit code.
fn run(arguments: &Arguments, environment: &Environment, output: &mut Output) -> Result<u8> {
    let common = &arguments.common;
    let context = target::Context { common, environment };
    match &arguments.command {
        Command::Up(up) => Ok(settled(change::up(up, &context, output), output)),
        Command::Down(down) => Ok(settled(change::down(down, &context, output), output)),
        Command::Redo(redo) => Ok(settled(change::redo(redo, &context, output), output)),
        Command::Status(status) => look::status(status, &context, output),
        Command::Plan(plan) => look::plan(plan, &context, output),
        Command::History(database) => look::history(database, &context, output),
        Command::Verify(database) => look::verify(database, &context, output),
        Command::Repair(repair) => change::repair(repair, &context, output),
        Command::Baseline(baseline) => change::baseline(baseline, &context, output),
        Command::New(new) => new::new(new, &context, output),
        Command::Adapters(adapters) => match adapters.command {
            Some(AdaptersCommand::List) | None => adapters::list(&context, output),
        },
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "whimbrel", &mut script);
            output.bytes(&script);
            Ok(0)
        }
    }
}

/// Whatever kept a run from its end, a program that reads json finds the same document.
fn settled(answer: Result<u8>, output: &Output) -> u8 {
    answer.unwrap_or_else(|error| output.failed_report(&error))
}

fn output(common: &Common, environment: &Environment) -> Output {
    let colour = match common.no_color || environment.forbids_colour() {
        true => Colour::Never,
        false => Colour::OnTerminals,
    };
    let verbosity = match (common.quiet, common.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, 0) => Verbosity::Normal,
        _ => Verbosity::Verbose,
    };
    Output::new(common.format.into(), colour, verbosity)
}

impl From<Format> for crate::output::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Human => crate::output::Format::Human,
            Format::Json => crate::output::Format::Json,
            Format::Jsonl => crate::output::Format::JsonLines,
        }
    }
}
