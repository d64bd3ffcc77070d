//! Another compiler than this workspace's, to build an adapter with.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace;

/// The variable that names it to the tests.
pub(crate) const OTHER_COMPILER_VARIABLE: &str = "WHIMBREL_OTHER_RUSTC";

/// The oldest minor version of Rust that the contract can be built with.
const OLDEST_MINOR: u32 = 95;

/// Returns a compiler of another version, if rustup has one that is not too old.
pub(crate) fn another() -> Option<PathBuf> {
    let ours = version(Path::new("rustc"))?;
    let toolchains = answer(Command::new("rustup").args(["toolchain", "list"]))?;
    let names = toolchains.lines().filter_map(|line| line.split_whitespace().next());
    let compilers = names
        .filter_map(|name| answer(Command::new("rustup").args(["which", "rustc", "--toolchain", name])))
        .map(|path| PathBuf::from(path.trim()));
    compilers.into_iter().find(|compiler| {
        version(compiler).is_some_and(|version| version != ours && minor(&version) >= Some(OLDEST_MINOR))
    })
}

/// Returns what a compiler says of itself: `rustc 1.95.0 (59807616e 2026-04-14)`.
fn version(compiler: &Path) -> Option<String> {
    answer(Command::new(compiler).arg("--version").current_dir(workspace()))
}

fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}
