//! ClickHouse's engine, which has no server among Debian's packages: the Python package chdb.
//!
//! Fetched once, in a version that does not move, into a folder of its own beside what else is fetched.
//! `tests/clickhouse/server.py` gives it the HTTP interface of the server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::unpacked::{output, place};
use crate::{announce, packages, workspace};

/// The engine's own wheel. The package `chdb` would bring tools for data frames along, three hundred megabytes of them.
const PACKAGE: &str = "chdb-core==26.9.0";

/// A Python that can have packages of its own, and the Debian package that holds what it needs for that.
const ENVIRONMENTS: &str = "python3-venv";

/// The engine and the program around it.
#[derive(Debug)]
pub(crate) struct Chdb {
    home: PathBuf,
}

impl Chdb {
    /// Returns the engine, and fetches it when it is not there.
    pub(crate) fn get() -> Result<Self> {
        let place = place()?;
        fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
        // Another run may be fetching at this moment.
        let lock = File::create(place.join("chdb.lock"))?;
        lock.lock().context("cannot wait for another run that fetches ClickHouse's engine")?;
        let chdb = Self { home: place.join("chdb") };
        if !chdb.home.join("complete").exists() {
            announce(&format!("fetching ClickHouse's engine ({PACKAGE}) into {}", chdb.home.display()));
            chdb.fetch().context(
                "the tests need ClickHouse's engine, and it cannot be had; pip brings it, some 150 MB, once",
            )?;
        }
        Ok(chdb)
    }

    /// Returns the Python that has the engine.
    pub(crate) fn python(&self) -> PathBuf {
        self.home.join("bin/python")
    }

    /// Returns the program that serves the engine.
    pub(crate) fn server() -> PathBuf {
        workspace().join("tests/clickhouse/server.py")
    }

    fn fetch(&self) -> Result<()> {
        if self.home.exists() {
            fs::remove_dir_all(&self.home)
                .with_context(|| format!("cannot remove {}", self.home.display()))?;
        }
        let python = python()?;
        output(Command::new(python).args(["-m", "venv"]).arg(&self.home))?;
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", PACKAGE]);
        output(&mut pip)?;
        // The servers run as another user.
        output(Command::new("chmod").args(["-R", "a+rX"]).arg(&self.home))?;
        fs::write(self.home.join("complete"), PACKAGE).context("cannot note that the engine is complete")
    }
}

/// Returns a Python that can make environments. The system's own comes first: one in a home directory is closed to the
/// user that the servers run as.
fn python() -> Result<PathBuf> {
    let able = |python: &Path| output(Command::new(python).args(["-c", "import ensurepip, venv"])).is_ok();
    let candidates =
        || [PathBuf::from("/usr/bin/python3")].into_iter().chain(packages::path_of("python3").ok());
    if let Some(python) = candidates().find(|python| able(python)) {
        return Ok(python);
    }
    packages::install_for("a Python with environments", &[ENVIRONMENTS])?;
    candidates().find(|python| able(python)).context("Python cannot make an environment")
}
