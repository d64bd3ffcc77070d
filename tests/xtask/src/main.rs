//! Development tasks: `cargo xtask test`, `soak`, `bench`, `fuzz`, `servers` and `ci`.
//!
//! Runs the whole test suite against real servers that live only as long as the run, and the checks that CI
//! makes beside it. The tests learn where the servers are from the file named by [`SERVERS_VARIABLE`].
//!
//! Knows nothing of migrations: what is tested stands in `tests/`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports to a terminal")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

mod chdb;
mod checks;
mod compilers;
mod engines;
mod fuzz;
mod npm;
mod packages;
mod secrets;
mod servers;
mod signals;
mod suite;
mod unpacked;

/// The variable that names the file with the facts of the servers; the harness reads it.
const SERVERS_VARIABLE: &str = "WHIMBREL_TEST_SERVERS";

const USAGE: &str = "usage: cargo xtask COMMAND

  test [FILTER…]   build everything, start the servers, run the tests whose names hold a FILTER (default: all)
  soak [OPTION…]   build everything, start the servers, kill runners at random moments: --long, --seed N, --kills N,
                   --engine NAME…
  bench [WORD…]    build for release, start the servers, time `up` against a program that sends exactly what the work
                   needs, and against the tools that --install-peers gets; WORDs choose what is timed, --write puts
                   the tables into docs/performance.md
  fuzz [OPTION…] [TARGET…]
                   build the fuzz targets and run them, or replay what one of them found: see `fuzz --help`
  servers          start the servers, say where they are, stop them at Ctrl-C
  ci               the checks beside the tests: fmt, clippy, doc, deny, a few seconds of fuzz";

fn main() -> ExitCode {
    if env::var_os(fuzz::WRAPPING).is_some() {
        return finish(fuzz::compile());
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test", filters @ ..] => suite::run(filters),
        ["soak", options @ ..] => suite::soak(options),
        ["bench", options @ ..] => suite::bench(options),
        ["fuzz", "--help" | "-h"] => {
            println!("{}", fuzz::USAGE);
            Ok(ExitCode::SUCCESS)
        }
        ["fuzz", words @ ..] => fuzz::command(words),
        ["servers"] => suite::serve(),
        ["ci"] => checks::run().map(|()| ExitCode::SUCCESS),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprintln!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    };
    finish(outcome)
}

fn finish(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Announces a step on stderr, where cargo's own progress goes.
fn announce(step: &str) {
    eprintln!("xtask: {step}");
}

/// Returns cargo, the one that runs this program, ready to work on the workspace.
fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    command
}

/// Returns the root of the workspace.
fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("this package is two directories below the root")
}

/// Returns the directory into which cargo builds.
fn built_directory() -> Result<PathBuf> {
    // This program was built into it.
    let program = env::current_exe().context("this program does not know where it is")?;
    program.parent().map(PathBuf::from).context("this program is in no directory")
}

/// Returns cargo's target directory, which the environment or a configuration file may have moved.
fn target_directory() -> Result<PathBuf> {
    let output = cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("cannot read cargo's metadata")?;
    let directory = metadata["target_directory"].as_str().context("cargo names no target directory")?;
    Ok(directory.into())
}

/// Runs a command whose output the user sees; anything but success is an error that shows the command.
fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
