//! `whimbrel adapters`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use whimbrel_adapter_api::Access;
use whimbrel_conformance::{Suite, Victim, act};

use super::args::{Database, Library};
use super::target::{Context, Wishes, say_choice};
use crate::error::{Name, Problem, Result};
use crate::factory::AdapterFactory;
use crate::output::Output;
use crate::plugin::lock::{self, Lock};
use crate::plugin::{Found, Search};

/// Shows the adapters that were found, without loading any.
pub(super) fn list(context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let config = context.config(Wishes::default())?;
    output.adapters(&AdapterFactory::from_config(&config).inventory());
    Ok(0)
}

/// Shows what a library says of itself, without loading it.
pub(super) fn inspect(library: &Library, output: &mut Output) -> Result<u8> {
    let found = Found::at(&library.file);
    output.library(&found);
    Ok(if found.is_usable() { 0 } else { Name::AdapterNotLoaded.exit_code() })
}

/// Puts the conformance suite to a library.
pub(super) fn test(library: &Library, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    if context.common.url.is_none() {
        let message =
            "the conformance suite creates and drops tables, so it takes no database but the one it is given";
        let hint = "name one that nobody else uses with `--url`";
        return Err(Problem::new(Name::Usage, message).hint(hint).into());
    }
    let found = Found::at(&library.file);
    found.require()?;
    let config = context.config(Wishes::default())?;
    let database = config.database(Some(&found.name))?;
    let choice =
        AdapterFactory::new(Search::nowhere().library(&found.name, &found.path)).choose(&database)?;
    say_choice(&choice, output);
    let suite = Suite::new(Arc::clone(&choice.adapter), choice.options(Access::ReadWrite));
    let suite = match killable(&found.path) {
        Some(victim) => suite.with_victim(victim.cleaned_by(move |said| choice.without_secrets(said))),
        None => suite,
    };
    let report = suite.run(&mut |checked| output.checked(checked));
    output.tested(&found, &report);
    Ok(if report.is_passed() { 0 } else { FAILED })
}

/// Writes down what the libraries are.
pub(super) fn lock(context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let config = context.config(Wishes::default())?;
    let factory = AdapterFactory::from_config(&config);
    let path = config.beside(lock::FILE_NAME);
    let lock = Lock::renewed(factory.lock()?, &path, &factory.inventory())?;
    lock.write()?;
    output.locked(&lock);
    Ok(0)
}

/// Explains which adapter serves a database.
pub(super) fn doctor(database: &Database, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let config = context.config(Wishes::default())?;
    let database = config.database(database.database.as_deref())?;
    output.database(&database.name.value);
    let diagnosis = AdapterFactory::from_config(&config).diagnose(&database);
    output.diagnosis(&diagnosis);
    diagnosis.outcome.map(|_| 0)
}

/// The answer is no.
const FAILED: u8 = 1;

/// Returns how this program starts itself to be killed, unless it cannot find its own file.
fn killable(library: &Path) -> Option<Victim> {
    let program = std::env::current_exe().ok()?;
    let library: PathBuf = library.to_owned();
    Some(Victim::new(move || {
        let mut command = Command::new(&program);
        command.args(["adapters", "victim"]).arg(&library);
        command
    }))
}

/// Is the program that is started to be killed.
pub(super) fn victim(library: &Library, output: &mut Output) -> Result<u8> {
    let adapter = Found::at(&library.file).load()?;
    act(adapter.as_ref(), &mut std::io::stdin().lock(), &mut output.stream());
    Ok(0)
}
