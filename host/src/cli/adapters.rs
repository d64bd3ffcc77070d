//! `whimbrel adapters`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use whimbrel_adapter_api::Access;
use whimbrel_conformance::{Part, Suite, Victim, act};

use super::args::{Database, Library, NewAdapter, Test};
use super::target::{Context, Wishes, say_choice};
use crate::config::{Config, Isolation};
use crate::error::{Name, Problem, Result};
use crate::factory::AdapterFactory;
use crate::isolation::{self, Isolated};
use crate::output::Output;
use crate::plugin::lock::{self, Lock};
use crate::plugin::{Found, Search};
use crate::template::Template;

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
pub(super) fn test(test: &Test, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    if context.common.url.is_none() {
        let message =
            "the conformance suite creates and drops tables, so it takes no database but the one it is given";
        let hint = "name one that nobody else uses with `--url`";
        return Err(Problem::new(Name::Usage, message).hint(hint).into());
    }
    let found = Found::at(&test.library.file);
    found.require()?;
    let config = context.config(Wishes::default())?;
    let database = config.database(Some(&found.name))?;
    let factory = isolating(AdapterFactory::new(Search::nowhere().library(&found.name, &found.path)));
    let isolation = isolation_of(&config, &found);
    let factory = if isolation == Isolation::Process { factory.isolate(&found.name) } else { factory };
    let choice = factory.choose(&database)?;
    say_choice(&choice, output);
    let suite = Suite::new(Arc::clone(&choice.adapter), choice.options(Access::ReadWrite));
    let victim = killable(&found.path, isolation).cleaned_by(move |said| choice.without_secrets(said));
    let part = if test.smoke { Part::Smoke } else { Part::Whole };
    let suite = suite.with_victim(victim).with_part(part);
    let report = suite.run(&mut |checked| output.checked(checked));
    output.tested(&found, part, &report);
    Ok(if report.is_passed() { 0 } else { FAILED })
}

/// Makes the crate of a new adapter.
pub(super) fn new(new: &NewAdapter, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let template = Template::new(&new.name)?;
    let inventory = AdapterFactory::from_config(&context.config(Wishes::default())?).inventory();
    if let Some(found) = inventory.serving(&new.name) {
        let problem =
            Problem::new(Name::Usage, format!("the adapter `{}` serves `{}`", found.name, new.name));
        return Err(problem
            .at(found.path.as_path())
            .state("nothing was written")
            .hint("choose another name")
            .into());
    }
    let made = template.create_in(Path::new(""))?;
    output.began(&made, &made.next_steps(inventory.drop_in_folder()));
    Ok(0)
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
    let diagnosis = isolating(AdapterFactory::from_config(&config)).diagnose(&database);
    output.diagnosis(&diagnosis);
    diagnosis.outcome.map(|_| 0)
}

/// The answer is no.
const FAILED: u8 = 1;

/// Returns how this program starts itself to be killed.
fn killable(library: &Path, isolation: Isolation) -> Victim {
    let library = library.to_owned();
    Victim::new(move || {
        let mut command = command("victim", &library);
        command.args((isolation == Isolation::Process).then_some("--isolated"));
        command
    })
}

/// Is the program that is started to be killed. What is configured was decided by the one that starts it.
pub(super) fn victim(library: &Library, isolation: Isolation, output: &mut Output) -> Result<u8> {
    let found = Found::at(&library.file);
    let adapter = if isolation == Isolation::Process {
        let library = found.path.clone();
        let started = Isolated::start(move || command("host", &library));
        started.map_err(|error| Problem::new(Name::AdapterCrashed, error.message))?.adapter
    } else {
        found.load()?
    };
    act(adapter.as_ref(), &mut std::io::stdin().lock(), &mut output.stream());
    Ok(0)
}

/// Is the process of an isolated adapter.
pub(super) fn host(library: &Library) -> Result<u8> {
    let load = || Found::at(&library.file).load().map_err(|error| error.to_string());
    let served = isolation::serve(load);
    served.map(|()| 0).map_err(|error| {
        Problem::new(Name::Usage, "this is started by `whimbrel` itself").caused_by(error.to_string()).into()
    })
}

/// Lets a factory start adapters in processes of this program.
pub(super) fn isolating(factory: AdapterFactory) -> AdapterFactory {
    factory.isolated_by(|library| command("host", library))
}

fn isolation_of(config: &Config, found: &Found) -> Isolation {
    config.adapters.get(&found.name).map_or(Isolation::None, |adapter| adapter.isolation.value)
}

/// Returns the command that starts this program again with a library.
fn command(role: &str, library: &Path) -> Command {
    // This very program, even if another one has its name by now.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("whimbrel");
    command.args(["adapters", role]).arg(library);
    command
}
