//! The runs that need servers: everything built, the servers started once, all tests or the soak, the servers stopped.
//!
//! Hands the tests the path of a file with the servers' facts in [`SERVERS_VARIABLE`], and has what they leave in the
//! folder that this file names searched for passwords. The servers stop when [`Servers`] is dropped, so an error, a
//! panic and a signal all clean up.
//!
//! Chooses no tests: filters go to the test runner as they are.

use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};

use crate::compilers::{self, OTHER_COMPILER_VARIABLE};
use crate::engines::Engines;
use crate::servers::{Durability, Servers};
use crate::signals::Interrupts;
use crate::{SERVERS_VARIABLE, announce, built_directory, cargo, packages, secrets, succeed, workspace};

/// Runs the tests whose names hold one of the filters, or all of them, and returns the runner's exit code.
pub(crate) fn run(filters: &[&str]) -> Result<ExitCode> {
    with_servers(WORKSPACE, Durability::Waived, test_commands(filters))
}

/// Soaks the engines that the options name, or all of them, and returns the exit code of the program that does.
pub(crate) fn soak(options: &[&str]) -> Result<ExitCode> {
    let mut soak = Command::new(built_directory()?.join("whimbrel-soak"));
    soak.args(options);
    with_servers(WORKSPACE, Durability::Waived, vec![soak])
}

/// Times the program, as it is released, against the floor, and returns the exit code of the program that does.
pub(crate) fn bench(options: &[&str]) -> Result<ExitCode> {
    let mut bench = Command::new(built_directory()?.with_file_name("release").join("whimbrel-bench"));
    // Wherever it is asked for: it writes a page of the project.
    bench.args(options).current_dir(workspace());
    with_servers(RELEASED, Durability::Kept, vec![bench])
}

/// The whole workspace and not only its default members: the tests are built with the same set of features right after,
/// and the libraries that they load are then not built a second time.
const WORKSPACE: &[&str] = &["build", "--workspace"];

/// What is released, and what times it.
const RELEASED: &[&str] = &[
    "build",
    "--release",
    "--package=whimbrel",
    "--package=whimbrel-adapter-sqlite",
    "--package=whimbrel-adapter-postgres",
    "--package=whimbrel-adapter-mysql",
    "--package=whimbrel-bench",
];

/// Builds what is needed, starts the servers, and runs the commands until one of them fails.
fn with_servers(build: &[&str], durability: Durability, commands: Vec<Command>) -> Result<ExitCode> {
    packages::install_missing(&packages::TESTING)?;
    // The build leaves the network alone, mostly.
    let engines = Engines::get(|| {
        announce("building");
        succeed(cargo().args(build))
    })?;
    engines.build_duckdb()?;

    let interrupts = Interrupts::catch()?;
    let servers = Servers::start(&engines, durability)?;
    announce("not run: ON CLUSTER on ClickHouse, whose engine is a single node here");
    let other_compiler = compilers::another();
    if other_compiler.is_none() {
        announce(
            "not run: an adapter that another version of rustc has built, of which rustup has none here",
        );
    }
    announce(&format!("servers are up, {SERVERS_VARIABLE}={}", servers.facts_file().display()));
    let mut code = ExitCode::SUCCESS;
    for mut command in commands {
        interrupts.check()?;
        command.env(SERVERS_VARIABLE, servers.facts_file());
        command.envs(other_compiler.iter().map(|compiler| (OTHER_COMPILER_VARIABLE, compiler)));
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let status = interrupts.wait_for(child)?;
        if !status.success() {
            code = exit_code(status);
            break;
        }
    }
    // Also after a failure: that is where passwords come to light.
    secrets::search(&servers.record())?;
    Ok(code)
}

/// Starts the servers for tests that are run by hand, and waits for a signal.
#[expect(clippy::print_stdout, reason = "where the servers are is this command's result")]
pub(crate) fn serve() -> Result<ExitCode> {
    packages::install_missing(&packages::TESTING)?;
    let engines = Engines::get(|| Ok(()))?;
    engines.build_duckdb()?;
    let interrupts = Interrupts::catch()?;
    let servers = Servers::start(&engines, Durability::Waived)?;
    for url in servers.urls() {
        println!("{url}");
    }
    println!("export {SERVERS_VARIABLE}={}", servers.facts_file().display());
    if let Some(compiler) = compilers::another() {
        println!("export {OTHER_COMPILER_VARIABLE}={}", compiler.display());
    }
    announce("Ctrl-C stops the servers");
    interrupts.wait();
    Ok(ExitCode::SUCCESS)
}

/// Returns the commands of one test run, in order.
fn test_commands(filters: &[&str]) -> Vec<Command> {
    let mut tests = cargo();
    if has_nextest() {
        tests.args(["nextest", "run", "--workspace"]).args(filters);
    } else {
        announce("cargo-nextest is not installed, so `cargo test` runs the tests");
        let kinds = ["--lib", "--bins", "--tests", "--examples"];
        tests.args(["test", "--workspace"]).args(kinds).args(["--no-fail-fast", "--"]).args(filters);
    }
    let mut examples = cargo();
    examples.args(["test", "--doc", "--workspace"]);
    // The tests come last: whoever reads the end of the output finds their count there.
    if filters.is_empty() { vec![examples, tests] } else { vec![tests] }
}

fn has_nextest() -> bool {
    let version = cargo().args(["nextest", "--version"]).output();
    version.is_ok_and(|output| output.status.success())
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}
