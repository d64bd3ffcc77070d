//! The engines that are fetched, and the adapter that is built against one of them.

use std::path::PathBuf;
use std::thread;

use anyhow::{Result, anyhow};

use crate::chdb::Chdb;
use crate::npm::{self, Package};
use crate::unpacked::MySql;
use crate::{announce, cargo, succeed, target_directory, workspace};

/// What was fetched.
#[derive(Debug)]
pub(crate) struct Engines {
    pub(crate) mysql: MySql,
    pub(crate) chdb: Chdb,
    pub(crate) postgres_17: PathBuf,
    /// The folder of DuckDB's library.
    pub(crate) duckdb: PathBuf,
}

impl Engines {
    /// Fetches what is not there, while `meanwhile` is done.
    pub(crate) fn get(meanwhile: impl FnOnce() -> Result<()>) -> Result<Self> {
        let mysql = thread::spawn(MySql::get);
        let chdb = thread::spawn(Chdb::get);
        let packages =
            [npm::POSTGRES_17, npm::DUCKDB].map(|package| thread::spawn(move || Package::get(package)));
        meanwhile()?;
        let panicked = |_| anyhow!("fetching an engine panicked");
        let [postgres_17, duckdb] =
            packages.map(|package| package.join().map_err(panicked).and_then(|got| got));
        Ok(Self {
            mysql: mysql.join().map_err(panicked)??,
            chdb: chdb.join().map_err(panicked)??,
            postgres_17: postgres_17?,
            duckdb: duckdb?,
        })
    }

    /// Builds the adapter of DuckDB and its tests, as somebody would who has only that.
    pub(crate) fn build_duckdb(&self) -> Result<()> {
        announce("building the adapter of DuckDB, in a workspace of its own");
        let target = duckdb_target()?;
        let mut build = cargo();
        build.args(["build", "--lib", "--tests", "--locked", "--quiet", "--manifest-path"]);
        build.arg(workspace().join("adapters/duckdb/Cargo.toml")).arg("--target-dir").arg(&target);
        succeed(build.env("DUCKDB_LIB_DIR", &self.duckdb))?;
        let beside = target.join("debug/libduckdb.so");
        if !beside.exists() {
            std::os::unix::fs::symlink(self.duckdb.join("libduckdb.so"), beside)?;
        }
        Ok(())
    }
}

/// Returns the target directory of the adapter of DuckDB.
pub(crate) fn duckdb_target() -> Result<PathBuf> {
    Ok(target_directory()?.join("duckdb"))
}
