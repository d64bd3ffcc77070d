//! Many databases: the library with several jobs, beside the floor that takes one after the other.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::TempDir;
use whimbrel::plan::Target;
use whimbrel::plugin::{Found, Search};
use whimbrel::runner::Silent;
use whimbrel::source::Migrations;
use whimbrel::{Migrator, Options};
use whimbrel_adapter_api::{ConnectOptions, Secret};
use whimbrel_tests::{Engine, built_file};

use crate::measure;
use crate::place::Place;
use crate::program::Program;
use crate::work::table;

pub(crate) const NAME: &str = "100 databases, 20 pending";
pub(crate) const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

const DATABASES: usize = 100;
const PENDING: usize = 20;
const JOBS: [usize; 2] = [1, 4];

/// What was measured on one engine.
pub(crate) struct Fleet {
    pub(crate) engine: Engine,
    pub(crate) floor: Duration,
    /// With so many jobs.
    pub(crate) ours: Vec<(usize, Duration)>,
}

/// Measures one engine.
pub(crate) fn measure(engine: Engine) -> Result<Fleet> {
    let root = TempDir::new()?;
    let folder = Program::Ours.folder(root.path(), engine);
    for number in 1..=PENDING {
        Program::Ours.write(&folder, number, &format!("birds_{number}"), &table(number))?;
    }
    let timed = |words: &[&str]| -> Result<Duration> {
        let places: Vec<Place> = (0..DATABASES).map(|_| Place::new(engine)).collect();
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(words[0]).arg(&folder).args(&words[1..]);
        command.args(places.iter().map(Place::url));
        Ok(measure::run(command)?.time)
    };
    let floor = timed(&["__floor", "one-by-one"])?;
    let ours = JOBS.map(|jobs| timed(&["__fleet", &jobs.to_string()]).map(|time| (jobs, time)));
    Ok(Fleet { engine, floor, ours: ours.into_iter().collect::<Result<_>>()? })
}

/// Brings many databases up to date, so many at once.
pub(crate) fn run(folder: &Path, jobs: usize, urls: &[String]) -> Result<()> {
    let migrations = Migrations::read(folder).map_err(said)?;
    let adapter = folder.file_name().and_then(OsStr::to_str).context("a name")?;
    let library = built_file(&format!("libwhimbrel_adapter_{adapter}.so"));
    let found = Search::nowhere().library(adapter, library).inventory();
    let adapter = found.library(adapter).and_then(Found::load).map_err(said)?;
    let waiting = Mutex::new(urls.iter());
    let next = || waiting.lock().ok()?.next();
    let job = || -> Result<()> {
        while let Some(url) = next() {
            let opened = adapter.connect(&ConnectOptions::new(Secret::new(url.as_str())));
            let mut opened = opened.map_err(|error| anyhow!("{}", error.message))?;
            let migrator = Migrator::new(migrations.clone(), Options::new("fleet", adapter.info()));
            let done = migrator.up(opened.connection.as_mut(), &Target::All, &mut Silent).map_err(said)?;
            ensure!(done.done.len() == PENDING, "{} of {PENDING} applied", done.done.len());
        }
        Ok(())
    };
    thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs).map(|_| scope.spawn(job)).collect();
        jobs.into_iter().try_for_each(|job| job.join().map_err(|_| anyhow!("a job panicked"))?)
    })
}

fn said(error: whimbrel::Error) -> anyhow::Error {
    anyhow!("{error:?}")
}
