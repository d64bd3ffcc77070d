//! The benchmarks of single parts, which are cargo's (`benches/parts.rs`).

use std::env;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

pub(crate) const NAME: &str = "parts";

/// Runs them, and returns their table.
pub(crate) fn measure() -> Result<String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["bench", "--package", "whimbrel-bench", "--bench", "parts"]).stderr(Stdio::inherit());
    let output = cargo.output().with_context(|| format!("cannot run {cargo:?}"))?;
    ensure!(output.status.success(), "{cargo:?} ended with {}", output.status);
    let table = String::from_utf8(output.stdout)?;
    // The rest is for whoever filters.
    let lines = table.lines().skip_while(|line| !line.starts_with("parts")).map(str::trim_end);
    Ok(lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect())
}
