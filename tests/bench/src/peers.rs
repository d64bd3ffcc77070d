//! The other tools: where they are, and how to get them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where they are put, below the project.
const FOLDER: &str = "target/peers";

/// What cargo installs: the package and its features. The system's libraries for PostgreSQL and MySQL must be there with
/// their headers (Debian: libpq-dev, default-libmysqlclient-dev).
const CRATES: [(&str, &str); 3] = [
    ("sqlx-cli", "rustls,postgres,mysql,sqlite"),
    ("refinery_cli", "postgresql,mysql,sqlite-bundled"),
    ("diesel_cli", "postgres,mysql,sqlite-bundled"),
];

/// Returns the program of this name, if it is on PATH or was installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let installed = [Path::new(FOLDER).join("bin"), Path::new(FOLDER).join("node_modules/.bin")];
    let path = env::var_os("PATH").unwrap_or_default();
    installed
        .into_iter()
        .chain(env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Installs them all.
pub(crate) fn install() -> Result<()> {
    for (package, features) in CRATES {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["install", "--locked", "--root", FOLDER, package]);
        succeed(cargo.args(["--no-default-features", "--features", features]))?;
    }
    succeed(Command::new("npm").args(["install", "--no-save", "--prefix", FOLDER, "dbmate"]))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
