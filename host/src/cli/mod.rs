//! The command line: what was asked for, in terms of the library.
//!
//! One file for each command. A command resolves its target, calls one method of [`Migrator`](crate::Migrator), and
//! hands the answer to [`output`](crate::output).
//!
//! Decides nothing about migrations: an application that uses the library can do all that is done here.

mod adapters;
mod args;
mod calls;
mod change;
mod interrupt;
mod last_words;
mod look;
mod new;
mod overdue;
mod plan_file;
mod target;
mod usage;
mod watched;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::args::{AdaptersCommand, Arguments, Command, Common, Format};
use self::interrupt::Interrupt;
use crate::config::{Environment, Isolation};
use crate::error::{Error, Result};
use crate::output::{Colour, Output, Verbosity};

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let environment = Environment::of_process();
    let words: Vec<OsString> = std::env::args_os().collect();
    let code = match Arguments::try_parse_from(&words) {
        Ok(arguments) => run(&arguments, &environment),
        // Help and version: an answer of clap's, on standard output unless nothing was asked for.
        Err(answer) if usage::is_answer(&answer) => answer.exit(),
        Err(error) => usage::refuse(&error, &words, &environment),
    };
    ExitCode::from(code)
}

/// Runs a command and returns the exit code.
fn run(arguments: &Arguments, environment: &Environment) -> u8 {
    let common = &arguments.common;
    let mut output = output(common, environment);
    let interrupt = Interrupt::default();
    let on_error = Answer::of(&arguments.command);
    let context = target::Context { common, environment, interrupt: &interrupt, on_error };
    let answer = answer(&arguments.command, &context, &mut output).map_err(|error| interrupt.name(error));
    let code = answer.unwrap_or_else(|error| on_error.show(&error, &output));
    output.warnings(interrupt.of_the_end().as_slice());
    output.settle(code)
}

fn answer(command: &Command, context: &target::Context<'_>, output: &mut Output) -> Result<u8> {
    match command {
        Command::Up(up) => change::up(up, context, output),
        Command::Down(down) => change::down(down, context, output),
        Command::Redo(redo) => change::redo(redo, context, output),
        Command::Status(status) => look::status(status, context, output),
        Command::Plan(plan) => look::plan(plan, context, output),
        Command::History(database) => look::history(database, context, output),
        Command::Verify(database) => look::verify(database, context, output),
        Command::Repair(repair) => change::repair(repair, context, output),
        Command::Baseline(baseline) => change::baseline(baseline, context, output),
        Command::New(new) => new::new(new, context, output),
        Command::Adapters(adapters) => match &adapters.command {
            Some(AdaptersCommand::List) | None => adapters::list(context, output),
            Some(AdaptersCommand::Inspect(library)) => adapters::inspect(library, output),
            Some(AdaptersCommand::Test(test)) => adapters::test(test, context, output),
            Some(AdaptersCommand::New(new)) => adapters::new(new, context, output),
            Some(AdaptersCommand::Lock) => adapters::lock(context, output),
            Some(AdaptersCommand::Doctor(database)) => adapters::doctor(database, context, output),
            Some(AdaptersCommand::Victim { library, isolated }) => {
                let isolation = if *isolated { Isolation::Process } else { Isolation::None };
                adapters::victim(library, isolation, output)
            }
            Some(AdaptersCommand::Host(library)) => adapters::host(library),
        },
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "whimbrel", &mut script);
            output.bytes(&script);
            Ok(0)
        }
    }
}

fn output(common: &Common, environment: &Environment) -> Output {
    let colour =
        if common.no_color || environment.forbids_colour() { Colour::Never } else { Colour::OnTerminals };
    let verbosity = match (common.quiet, common.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, 0) => Verbosity::Normal,
        _ => Verbosity::Verbose,
    };
    Output::new(common.format.into(), colour, verbosity)
}

/// The document that a command answers with when it cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// That of a run: whatever kept it from its end, a program that reads json finds the same keys.
    Report,
    /// The errors alone.
    Error,
}

impl Answer {
    fn of(command: &Command) -> Self {
        match command {
            Command::Up(_) | Command::Down(_) | Command::Redo(_) => Answer::Report,
            _ => Answer::Error,
        }
    }

    /// Returns the same for a command of which no more than the name was understood.
    fn of_name(command: &str) -> Self {
        match command {
            "up" | "down" | "redo" => Answer::Report,
            _ => Answer::Error,
        }
    }

    /// Shows why it cannot be done. Returns the exit code.
    fn show(self, error: &Error, output: &Output) -> u8 {
        match self {
            Answer::Report => output.failed_report(error),
            Answer::Error => output.error(error),
        }
    }
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
