//! The checks beside the tests: format, lints, documentation, licences and sources of the dependencies, a short fuzz.
//!
//! Lints and documentation share the profile and the target directory of the tests, so that a cold run builds
//! most dependencies once.
//!
//! Runs every check that can run, and fails when one did not pass.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::engines::duckdb_target;
use crate::{announce, built_directory, cargo, fuzz, succeed, target_directory, workspace};

/// The version of cargo-deny that is installed when there is none.
const CARGO_DENY: &str = "0.20.2";

/// A check by its name.
type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 6] = [
    ("first run", first_run),
    ("fmt", format),
    ("clippy", clippy),
    ("doc", documentation),
    ("deny", dependencies),
    ("fuzz", fuzz::short),
];

/// Runs all checks.
pub(crate) fn run() -> Result<()> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        announce(name);
        if let Err(error) = check() {
            announce(&format!("{name} did not pass: {error:#}"));
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("did not pass: {}", failed.join(", "));
    }
    Ok(())
}

/// Checks that `cargo run -- up` alone builds the adapters and finds them, as the README promises. The libraries are taken
/// away first, because a run of the tests leaves them there.
fn first_run() -> Result<()> {
    let directory = tempfile::tempdir().context("cannot create a temporary directory")?;
    let built = built_directory()?;
    for entry in std::fs::read_dir(&built).into_iter().flatten().flatten() {
        let is_adapter = entry.file_name().to_string_lossy().starts_with("libwhimbrel_adapter_");
        if is_adapter {
            std::fs::remove_file(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    let url = format!("sqlite:{}", directory.path().join("first.db").display());
    succeed(cargo().args(["run", "--quiet", "--locked", "--", "up", "--url", &url]))
}

fn format() -> Result<()> {
    succeed(cargo().args(["fmt", "--all", "--check"]))?;
    // Workspaces of their own.
    succeed(cargo().args(["fmt", "--manifest-path", "adapters/duckdb/Cargo.toml", "--check"]))?;
    succeed(cargo().args(["fmt", "--manifest-path", "tests/fuzz/Cargo.toml", "--check"]))
}

fn clippy() -> Result<()> {
    let lints = ["--all-targets", "--locked", "--", "-D", "warnings"];
    succeed(cargo().args(["clippy", "--workspace"]).args(lints))?;
    let mut duckdb = cargo();
    duckdb
        .args(["clippy", "--manifest-path", "adapters/duckdb/Cargo.toml", "--target-dir"])
        .arg(duckdb_target()?);
    succeed(duckdb.args(lints))
}

fn documentation() -> Result<()> {
    let mut command = cargo();
    command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--workspace", "--no-deps", "--locked"]);
    succeed(&mut command)
}

fn dependencies() -> Result<()> {
    let program = cargo_deny()?;
    let deny = || {
        let mut command = Command::new(&program);
        command.current_dir(workspace());
        command
    };
    succeed(deny().args(["--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))?;
    // The advisories are a git repository of their own, which not every machine reaches.
    if deny().args(["fetch", "db"]).output().is_ok_and(|output| output.status.success()) {
        return succeed(deny().args(["--locked", "check", "--disable-fetch", "advisories"]));
    }
    announce("########################################################################");
    announce("# NOT CHECKED: security advisories. Their database cannot be reached.  #");
    announce("########################################################################");
    Ok(())
}

/// Returns cargo-deny, and installs it below the target directory when it is not on the PATH.
fn cargo_deny() -> Result<PathBuf> {
    let on_path = Command::new("cargo-deny").arg("--version").output();
    if on_path.is_ok_and(|output| output.status.success()) {
        return Ok("cargo-deny".into());
    }
    let root = target_directory()?.join("tools");
    let program = root.join("bin/cargo-deny");
    if !program.exists() {
        announce(&format!("installing cargo-deny {CARGO_DENY}"));
        // Without optimisation it is built in a third of the time and checks as much.
        let mut install = cargo();
        install.args(["install", "cargo-deny", "--locked", "--debug", "--version", CARGO_DENY]);
        succeed(install.arg("--root").arg(&root))?;
    }
    Ok(program)
}
