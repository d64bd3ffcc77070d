//! From what was asked for to an open connection.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_adapter_api::{
    Access, Adapter, Capability, ConnectOptions, Connection, ErrorKind, Fence, Info, Limits, Opened,
    TableName,
};

use super::Answer;
use super::adapters::isolating;
use super::args::Common;
use super::interrupt::Interrupt;
use super::last_words::{LastWords, Stake};
use super::watched::Watched;
use crate::config::{Config, DatabaseConfig, Environment, Flags, Mode, OutOfOrder, Stage};
use crate::error::{Error, Name, Problem, Result, of_connection};
use crate::factory::{AdapterFactory, Choice, FoundPasswords, Provider, redact};
use crate::migrator::{Migrator, Options, is_crash};
use crate::output::Output;
use crate::plan;
use crate::runner::{Cancellation, Grouping, Patience, SystemClock, Waited};
use crate::source::Migrations;

/// How long one attempt to connect may take. The adapters have limits of their own, for each server of a url, and a
/// `connect_timeout` in the url may be long; this one is for an adapter that keeps none.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(600);

/// How long a look at the history may take whose outcome is only worth a better word.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// What every command starts from.
pub(super) struct Context<'a> {
    pub(super) common: &'a Common,
    pub(super) environment: &'a Environment,
    pub(super) interrupt: &'a Interrupt,
    /// What it answers with when it cannot be done.
    pub(super) on_error: Answer,
}

/// What is only known to one command.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// `--allow-out-of-order`.
    pub(super) out_of_order: Option<OutOfOrder>,
    /// `--batch` or `--single-transaction`.
    pub(super) mode: Option<Mode>,
}

/// A database that is connected, with its migrations.
pub(super) struct Target {
    pub(super) migrator: Migrator,
    pub(super) connection: Box<dyn Connection>,
    /// What it was opened with, where its adapter can crash alone.
    again: Option<Choice>,
}

impl Target {
    /// Does work that changes the database. When its adapter crashes meanwhile, the history is read again.
    pub(super) fn change<T>(
        &mut self,
        interrupt: &Interrupt,
        work: impl FnOnce(&Migrator, &mut dyn Connection) -> Result<T>,
    ) -> Result<T> {
        work(&self.migrator, self.connection.as_mut()).map_err(|error| match &self.again {
            Some(again) if is_crash(&error) => {
                let (again, migrator, told) = (again.clone(), self.migrator.clone(), error.clone());
                // Whoever sent a signal does not wait for this.
                let looked = interrupt.unless_signalled(LONGEST_LOOK, move || look(&again, &migrator, told));
                looked.ok().flatten().unwrap_or(error)
            }
            _ => error,
        })
    }
}

/// Reads the history again, in the new process that the adapter starts.
fn look(again: &Choice, migrator: &Migrator, told: Error) -> Error {
    match again.adapter.connect(&again.options(Access::ReadOnly)) {
        Ok(mut opened) => migrator.read_again(told, opened.connection.as_mut()),
        Err(error) => {
            let problem = cannot_connect(&error, again, 0);
            let reason = problem.cause.as_ref().unwrap_or(&problem.message);
            let mut told = told;
            for told in &mut told.problems {
                told.facts.push(format!("the history could not be read again: {reason}"));
            }
            told
        }
    }
}

impl Context<'_> {
    /// Reads the configuration.
    pub(super) fn config(&self, wishes: Wishes) -> Result<Config> {
        Config::load(&self.flags(wishes), self.environment)
    }

    /// Opens a database to look at it.
    pub(super) fn open_for_reading(&self, database: Option<&str>, output: &mut Output) -> Result<Target> {
        self.open_for_reading_with(database, Wishes::default(), output)
    }

    /// Opens a database to look at it in the way that a change would.
    pub(super) fn open_for_reading_with(
        &self,
        database: Option<&str>,
        wishes: Wishes,
        output: &mut Output,
    ) -> Result<Target> {
        let config = self.config(wishes)?;
        let database = config.database(database)?;
        self.open(&config, &database, Access::ReadOnly, output)
    }

    /// Opens a database to change it.
    pub(super) fn open_for_writing(
        &self,
        database: Option<&str>,
        wishes: Wishes,
        output: &mut Output,
    ) -> Result<Target> {
        let config = self.config(wishes)?;
        let database = config.database(database)?;
        self.confirm(&database)?;
        self.open(&config, &database, Access::ReadWrite, output)
    }

    fn open(
        &self,
        config: &Config,
        database: &DatabaseConfig,
        access: Access,
        output: &mut Output,
    ) -> Result<Target> {
        output.database(&database.name.value);
        config.require_folder(database)?;
        // Files first: what is wrong with them is said before a server is asked for anything.
        let migrations =
            Migrations::read(&database.folder).map_err(|error| error.with_state("nothing was run"))?;
        let choice = isolating(AdapterFactory::from_config(config)).choose(database)?;
        say_choice(&choice, output);
        if access == Access::ReadWrite {
            self.confirm_without_fence(&choice.adapter.info(), &database.name.value)?;
        }
        let options = self.options(database, &choice);
        let words = Arc::new(self.last_words(&options, access, output));
        self.interrupt.listen(Arc::clone(&words))?;
        let opened = self.connect(&choice, access, database, &words)?;
        let process = choice.process.clone();
        self.interrupt.attend(Arc::clone(&options.cancellation), opened.canceller, process, words);
        let keeps_limit = options.adapter.capabilities.contains(&Capability::StatementLimit);
        let mut limits = Limits::default();
        limits.lock = Some(lock_limit(database));
        limits.statement = options.limits.statement.filter(|_| keeps_limit);
        let connection = Box::new(Watched::new(opened.connection, self.interrupt.calls(), limits));
        let again = choice.process.is_some().then_some(choice);
        Ok(Target { migrator: Migrator::new(migrations, options), connection, again })
    }

    fn last_words(&self, options: &Options, access: Access, output: &Output) -> LastWords {
        LastWords {
            output: output.for_another_thread(),
            answer: self.on_error,
            adapter: options.adapter.name.clone(),
            database: options.database.clone(),
            stake: match (access, self.on_error) {
                (Access::ReadOnly, _) => Stake::Nothing,
                (_, Answer::Report) => Stake::Migrations,
                (_, Answer::Error) => Stake::Record,
            },
        }
    }

    /// Connects, and waits as long as was asked for: for a server that is starting, or for a process that has the database
    /// to itself.
    fn connect(
        &self,
        choice: &Choice,
        access: Access,
        database: &DatabaseConfig,
        words: &LastWords,
    ) -> Result<Opened, Problem> {
        let connect_options = || {
            let mut options = choice.options(access);
            options.lock_limit = Some(lock_limit(database));
            options
        };
        let (adapter, options) = (Arc::clone(&choice.adapter), connect_options());
        let hangs = |waited| words.never_connected(waited, &redact(choice.url.value.reveal()));
        let first = self.interrupt.unless_signalled(LONGEST_ATTEMPT, move || adapter.connect(&options))?;
        let first = first.ok_or_else(|| hangs(LONGEST_ATTEMPT))?;
        let limit = first.as_ref().err().map_or(Duration::ZERO, |error| worth_waiting(error, database));
        let opened = match first {
            Err(error) if !limit.is_zero() => {
                words.output.waiting_for_database(&error.message);
                let patience = Patience::new(limit, Arc::new(SystemClock));
                let (adapter, options) = (Arc::clone(&choice.adapter), connect_options());
                // The last attempt may begin when the time is up.
                let longest = limit.saturating_add(LONGEST_ATTEMPT);
                let again = move || try_again(adapter.as_ref(), &options, patience);
                self.interrupt.unless_signalled(longest, again)?.ok_or_else(|| hangs(longest))?
            }
            first => first.map_err(|error| (error, Duration::ZERO)),
        };
        opened.map_err(|(error, waited)| cannot_connect(&error, choice, waited.as_secs()))
    }

    fn options(&self, database: &DatabaseConfig, choice: &Choice) -> Options {
        let info = choice.adapter.info();
        let mut options = Options::new(&database.name.value, info);
        options.table = table_name(&database.table.value);
        options.out_of_order = match database.out_of_order.value {
            OutOfOrder::Refuse => plan::OutOfOrder::Refuse,
            OutOfOrder::Warn => plan::OutOfOrder::Warn,
            OutOfOrder::Allow => plan::OutOfOrder::Allow,
        };
        options.environment = database.environment.as_ref().map(|environment| environment.value.clone());
        options.limits.lock = database.lock_timeout.as_ref().map(|timeout| timeout.value);
        options.limits.statement = database.statement_timeout.as_ref().map(|timeout| timeout.value);
        options.grouping = grouping(database.mode.value);
        options.wait_for_runner = database.wait_for_runner.value;
        options.applied_by = self.applied_by(&options);
        options
    }

    fn applied_by(&self, options: &Options) -> String {
        let host = gethostname::gethostname();
        format!(
            "{}@{} pid {}, whimbrel {}, {} {}",
            self.environment.user(),
            host.to_string_lossy(),
            std::process::id(),
            env!("CARGO_PKG_VERSION"),
            options.adapter.name,
            options.adapter.version,
        )
    }

    fn confirm(&self, database: &DatabaseConfig) -> Result<()> {
        let name = &database.name.value;
        if database.stage.value == Stage::Ordinary || self.common.confirm.as_deref() == Some(name) {
            return Ok(());
        }
        let message = format!("`{name}` is a production database, and the change is not confirmed");
        let problem = Problem::new(Name::Refused, message).state("nothing was run");
        let problem = match database.stage.origin.place() {
            Some(place) => problem.at(place),
            None => problem,
        };
        Err(problem.hint(format!("if you mean it, add `--confirm {name}`")).into())
    }

    /// What another run does at once is not found out, so it is asked for before.
    fn confirm_without_fence(&self, adapter: &Info, name: &str) -> Result<()> {
        if adapter.fence != Fence::None || self.common.confirm.as_deref() == Some(name) {
            return Ok(());
        }
        let message = format!("nothing keeps two runs on `{name}` apart");
        Err(Problem::new(Name::Refused, message)
            .fact(format!(
                "the adapter `{}` has no fence, so both would apply the same migrations",
                adapter.name
            ))
            .state("nothing was run")
            .hint(format!("when no other run is at work, add `--confirm {name}`"))
            .into())
    }

    fn flags(&self, wishes: Wishes) -> Flags {
        let common = self.common;
        Flags {
            config: common.config.clone(),
            migrations: common.dir.clone(),
            url: common.url.as_ref().map(whimbrel_adapter_api::Secret::new),
            adapter: common.adapter.clone(),
            table: common.table.clone(),
            environment: common.env.clone(),
            out_of_order: wishes.out_of_order,
            mode: wishes.mode,
            lock_timeout: common.lock_timeout,
            statement_timeout: common.statement_timeout,
            wait_for_runner: common.wait_for_runner,
            wait_for_database: common.wait_for_database,
            ..Flags::default()
        }
    }
}

fn grouping(mode: Mode) -> Grouping {
    match mode {
        Mode::Strict => Grouping::Strict,
        Mode::Batch => Grouping::Batch,
        Mode::SingleTransaction => Grouping::SingleTransaction,
    }
}

pub(super) fn say_choice(choice: &Choice, output: &mut Output) {
    let info = choice.adapter.info();
    let url = redact(choice.url.value.reveal());
    output.adapter(&info.name, &url);
    output.detail(&format!("adapter   {} {}: {}", info.name, info.version, choice.rule));
    match &choice.provider {
        Provider::Library(path) => output.detail(&format!("library   {}", path.display())),
        Provider::Linked => output.detail("library   linked into this program"),
    }
    output.detail(&format!("url       {url}, from {}", choice.url.origin));
    if choice.needs_password() {
        say_password(&choice.passwords, output);
    }
}

/// Says where the password comes from that the url leaves out.
fn say_password(passwords: &FoundPasswords, output: &Output) {
    match (&passwords.variable, &passwords.file) {
        (Some(found), _) | (None, Some(found)) => {
            output.detail(&format!("password  from {}", found.origin));
        }
        (None, None) => output.warnings(passwords.warning.as_slice()),
    }
}

/// Returns how long is waited for somebody who keeps the history locked: as for another run, where nothing else is said.
fn lock_limit(database: &DatabaseConfig) -> Duration {
    let limit = database.lock_timeout.as_ref().map_or(database.wait_for_runner.value, |limit| limit.value);
    // Servers take zero for no limit at all, and a moment is not worth an error.
    limit.max(Duration::from_secs(1))
}

/// Returns how long to wait for this error to pass. A server that is starting refuses or is silent, and who has a database
/// to itself may be another run. What else is said will be said again.
fn worth_waiting(error: &whimbrel_adapter_api::Error, database: &DatabaseConfig) -> Duration {
    match error.kind {
        ErrorKind::Unreachable | ErrorKind::NotReady => database.wait_for_database.value,
        ErrorKind::InUse => database.wait_for_runner.value,
        _ => Duration::ZERO,
    }
}

fn may_pass(error: &whimbrel_adapter_api::Error) -> bool {
    matches!(error.kind, ErrorKind::Unreachable | ErrorKind::NotReady | ErrorKind::InUse)
}

/// Connects again and again, with pauses that grow, and says at the end how long that took.
fn try_again(
    adapter: &dyn Adapter,
    options: &ConnectOptions,
    mut patience: Patience,
) -> Result<Opened, (whimbrel_adapter_api::Error, Duration)> {
    // A signal does not wait for the end of this, so there is nobody to stop it.
    let cancellation = Cancellation::default();
    // The first attempt has been made.
    let mut waited = patience.pause(&cancellation);
    loop {
        match adapter.connect(options) {
            Ok(opened) => return Ok(opened),
            Err(error) if !may_pass(&error) || waited == Waited::LongEnough => {
                return Err((error, patience.waited()));
            }
            Err(_) => waited = patience.pause(&cancellation),
        }
    }
}

fn cannot_connect(error: &whimbrel_adapter_api::Error, choice: &Choice, waited: u64) -> Problem {
    let url = redact(choice.url.value.reveal());
    let other = || Problem::new(Name::Connection, "").caused_by(error.message.clone());
    let mut problem = of_connection(error).unwrap_or_else(other);
    problem.message = match problem.name {
        Name::Authentication => format!("{url} refuses this user or password"),
        Name::Connection => format!("cannot reach {url}"),
        Name::LockHeld => error.message.clone(),
        _ => problem.message,
    };
    problem.state = (waited > 0).then(|| format!("nothing was run; waited {waited} s"));
    let origin = format!("the url comes from {}", choice.url.origin);
    let places = choice.passwords.places().filter(|_| error.kind == ErrorKind::Authentication);
    if let Some(places) = places.filter(|_| choice.needs_password()) {
        let password = match (&choice.passwords.variable, &choice.passwords.file) {
            (Some(found), _) | (None, Some(found)) => format!("the password comes from {}", found.origin),
            (None, None) => format!("the url has no password; {places} may hold it"),
        };
        problem.hint = Some(format!("{password}; {origin}"));
        return problem;
    }
    if problem.name == Name::LockHeld {
        let hint = "let it finish, or wait longer with `--wait-for-runner 10m`";
        return Problem { cause: None, ..problem }.hint(hint);
    }
    problem.hint = Some(match (&error.hint, error.kind) {
        (Some(hint), _) => format!("{hint}; {origin}"),
        (None, ErrorKind::Unreachable | ErrorKind::NotReady) if has_host(&url) => {
            format!("is the server up? {origin}")
        }
        _ => origin,
    });
    problem
}

/// A url without a host is a file, or a socket that need not have a server's name.
fn has_host(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with(['/', '?']))
}

/// `schema.table`, or a table in the current schema.
fn table_name(text: &str) -> TableName {
    match text.rsplit_once('.') {
        Some((schema, name)) => TableName::new(name).in_schema(schema),
        None => TableName::new(text),
    }
}
