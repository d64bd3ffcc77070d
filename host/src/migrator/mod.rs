//! Brings migrations to a database: the library behind the command line.
//!
//! Joins [`source`](crate::source), [`history`](crate::history), [`plan`] and [`runner`];
//! each command is one method. It borrows the connection for as long as the command takes.
//!
//! Knows nothing of the command line and shows nothing: it answers with a report or an error, and tells an
//! [`Observer`] how it goes.

mod aftermath;
mod failure;
mod prepare;
mod resume;
mod settle;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use whimbrel_adapter_api::{
    BRIEF_DIGITS, Capability, Connection, ErrorKind, Failure, Info, Limits, Liveness, Mode,
    Session as SessionState, State, TableName,
};

use crate::error::{Error, Name, Problem, Result};
use crate::history::{Detail, History, HistoryRow, Session, Standing, Table};
use crate::plan::{self, Choice, Direction, OutOfOrder, Plan, Rules, Target};
use crate::report::{MigrationState, MigrationStatus, Report, Settled, Status};
use crate::runner::{
    self, Cancellation, Clock, Ending, Grouping, Job, Observer, Patience, Recorded, Settings, SystemClock,
    Waited,
};
use crate::script::checksums::Checksums;
use crate::source::{Checksum, Id, Migration, Migrations};

pub(crate) use aftermath::is_crash;
pub(crate) use failure::stays;
pub use settle::Settlement;

const NOTHING_RUN: &str = "nothing was run";

// What a history in few bytes tells of a checksum is enough.
const _: () = assert!(BRIEF_DIGITS >= Checksum::ENOUGH);

/// How often one migration is run again after it was rolled back by something that passes.
const RETRIES: u32 = 3;

/// How long is waited before the first of these, and before each next one as much longer: whoever was in the way needs
/// time to get out of it.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The name of the history table, unless told otherwise.
pub const DEFAULT_TABLE: &str = "whimbrel_migrations";

/// Migrations, and how they are to be brought to a database.
#[derive(Clone, Debug)]
pub struct Migrator {
    migrations: Migrations,
    options: Options,
}

/// How migrations are brought to a database.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// What the database is called in messages: the name of its folder.
    pub database: String,
    /// What the adapter is and can do.
    pub adapter: Info,
    /// The history table.
    pub table: TableName,
    /// What to do about a pending migration that is older than an applied one.
    pub out_of_order: OutOfOrder,
    /// The environment, for migrations that are meant for some only.
    pub environment: Option<String>,
    /// The limits for each statement.
    pub limits: Limits,
    /// How long to wait for another runner.
    pub wait_for_runner: Duration,
    /// How [`Migrator::up`] groups what is pending. The other commands take one migration after the other.
    pub grouping: Grouping,
    /// Who runs it, for the history: `user@host pid 4121`.
    pub applied_by: String,
    /// How to stop the run from another thread.
    pub cancellation: Arc<Cancellation>,
    /// The clock by which it waits for another runner.
    pub clock: Arc<dyn Clock>,
}

impl Options {
    /// Returns the defaults for a database of this adapter.
    #[must_use]
    pub fn new(database: impl Into<String>, adapter: Info) -> Self {
        Options {
            database: database.into(),
            adapter,
            table: TableName::new(DEFAULT_TABLE),
            out_of_order: OutOfOrder::Refuse,
            environment: None,
            limits: Limits::default(),
            wait_for_runner: Duration::from_secs(600),
            grouping: Grouping::Strict,
            applied_by: format!("pid {}", std::process::id()),
            cancellation: Arc::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// A plan with everything that is needed to show it or to run it.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Preview {
    /// The jobs, in order.
    pub jobs: Vec<Job>,
    /// The migrations that the jobs are about, as they stand.
    pub pins: Vec<plan::Pin>,
    /// What the user should hear, although it stops nothing.
    pub warnings: Vec<Problem>,
}

impl Migrator {
    /// Returns a migrator for these migrations.
    #[must_use]
    pub fn new(migrations: Migrations, options: Options) -> Self {
        Migrator { migrations, options }
    }

    /// Returns the migrations.
    #[must_use]
    pub fn migrations(&self) -> &Migrations {
        &self.migrations
    }

    /// Applies what is pending.
    ///
    /// # Errors
    ///
    /// What keeps it from running or stopped it; [`Error::done`] has what was applied before.
    pub fn up(
        &self,
        connection: &mut dyn Connection,
        target: &Target,
        observer: &mut dyn Observer,
    ) -> Result<Report> {
        self.go(connection, Direction::Up, target, observer)
    }

    /// Takes back what is applied, last first.
    ///
    /// # Errors
    ///
    /// As [`Migrator::up`].
    pub fn down(
        &self,
        connection: &mut dyn Connection,
        target: &Target,
        observer: &mut dyn Observer,
    ) -> Result<Report> {
        self.go(connection, Direction::Down, target, observer)
    }

    /// Takes back the last `steps` migrations and applies the same ones again.
    ///
    /// # Errors
    ///
    /// As [`Migrator::up`].
    pub fn redo(
        &self,
        connection: &mut dyn Connection,
        steps: usize,
        observer: &mut dyn Observer,
    ) -> Result<Report> {
        let (mut session, history) = self.open(connection)?;
        let way_back = self.check_way_back(&history, steps, &mut session);
        let way_back = way_back.map_err(|error| error.with_state(NOTHING_RUN))?;
        let mut run = Run::new(self, Grouping::Strict, observer);
        let down = Target::Steps(steps);
        run.go(&mut session, history, Direction::Down, down.clone(), &down)?;
        let history = session.read_history().map_err(|error| run.with_done(error))?;
        let reverted = run.report.done.iter().map(|settled| settled.id.clone());
        let pins: Vec<plan::Pin> = reverted.map(|id| plan::pin(&id, &history)).collect();
        let meant = match way_back {
            // Should another run have taken back what is beneath, that many are applied again from there.
            Choice::Stands => Target::Steps(pins.len()),
            Choice::Overtaken => Target::Pinned(pins.clone()),
        };
        let history = run.go(&mut session, history, Direction::Up, Target::Pinned(pins), &meant)?;
        Ok(run.finish(&history))
    }

    /// Checks that what `redo` takes back can be applied again, before it takes anything back. Returns whether it will be
    /// the next in line then.
    fn check_way_back(&self, history: &History, steps: usize, session: &mut Session<'_>) -> Result<Choice> {
        let down = self.plan(Direction::Down, history, &Target::Steps(steps))?;
        let ids: Vec<&Id> = down.steps.iter().map(|step| &step.id).collect();
        Error::unless_empty(plan::not_to_be_applied_again(&self.migrations, &ids, &self.rules()))?;
        let after = history.with_reverted(ids.iter().map(|id| id.0.as_str()));
        let pins = ids.iter().map(|id| plan::pin(id, &after)).collect();
        let up = self.plan(Direction::Up, &after, &Target::Pinned(pins))?;
        prepare::jobs(&up.steps, session, &self.options)?;
        Ok(up.choice)
    }

    /// Returns what [`up`](Migrator::up) or [`down`](Migrator::down) would run. Writes nothing.
    ///
    /// # Errors
    ///
    /// What would keep it from running.
    pub fn preview(
        &self,
        connection: &mut dyn Connection,
        direction: Direction,
        target: &Target,
    ) -> Result<Preview> {
        let mut preview = || {
            let (mut session, history) = Session::open(connection, &self.options.table)?;
            let history = without_the_dead(history, &mut session, &self.options)?;
            let plan = self.plan(direction, &history, target);
            let plan =
                plan.map_err(|error| self.explained(error, direction, &history, target, &mut session))?;
            let jobs = prepare::jobs(&plan.steps, &mut session, &self.options)?;
            prepare::check_grouping(&jobs, self.grouping(direction))?;
            Ok(Preview { jobs, pins: plan.pins, warnings: plan.warnings })
        };
        preview().map_err(|error: Error| error.with_state(NOTHING_RUN))
    }

    /// Returns how every migration stands. Writes nothing.
    ///
    /// # Errors
    ///
    /// A history that cannot be read.
    pub fn status(&self, connection: &mut dyn Connection) -> Result<Status> {
        let (_, history) = Session::open(connection, &self.options.table)?;
        Ok(self.status_of(&history))
    }

    /// Returns every attempt, oldest first. Writes nothing.
    ///
    /// # Errors
    ///
    /// A history that cannot be read.
    pub fn history(&self, connection: &mut dyn Connection) -> Result<History> {
        Ok(Session::open(connection, &self.options.table)?.1)
    }

    /// Returns everything in which files and history disagree, and everything that `up` would refuse. Writes nothing.
    ///
    /// # Errors
    ///
    /// A history that cannot be read.
    pub fn verify(&self, connection: &mut dyn Connection) -> Result<Vec<Problem>> {
        let (mut session, history) = Session::open(connection, &self.options.table)?;
        let history = without_the_dead(history, &mut session, &self.options)?;
        let mut problems = plan::disagreements(&self.migrations, &history, &self.rules());
        let at_work = history.started();
        problems.extend(at_work.map(|row| failure::under_way(row, &self.options.database)));
        let found = Error { problems, done: Vec::new() };
        Ok(self.explained(found, Direction::Up, &history, &Target::All, &mut session).problems)
    }

    /// Returns what keeps a run from its work; where that is `up`, together with what is wrong with the scripts that it
    /// would run.
    fn explained(
        &self,
        mut error: Error,
        direction: Direction,
        history: &History,
        target: &Target,
        session: &mut Session<'_>,
    ) -> Error {
        if direction == Direction::Down {
            return error;
        }
        for problem in &mut error.problems {
            self.name_edit_of_comments(problem, history, session);
        }
        error.problems.extend(self.script_problems(history, target, session));
        error
    }

    /// Says of an edited migration that its statements are the same, if they are. What keeps it from being known is not
    /// worth a second error.
    fn name_edit_of_comments(&self, problem: &mut Problem, history: &History, session: &mut Session<'_>) {
        let edited = problem.migration.as_deref().filter(|_| problem.name == Name::EditedAfterApply);
        let find = |id: &str| self.migrations.list.iter().find(|migration| migration.id.0 == id);
        let Some(migration) = edited.and_then(find) else { return };
        let Standing::Applied(row) = history.standing(&migration.id.0) else { return };
        let then = session.read_statement_checksums(row.position).ok().flatten();
        let then = then.as_deref().and_then(Checksums::parse);
        let now = prepare::checksums(&migration.up, migration.transaction, session, &self.options);
        if then.zip(now.ok()).is_some_and(|(then, now)| then.has_same_statements(&now)) {
            problem
                .facts
                .push("only comments, or the space between statements, are not what they were".to_owned());
        }
    }

    /// Returns what is wrong with the scripts that `up` would run.
    fn script_problems(&self, history: &History, target: &Target, session: &mut Session<'_>) -> Vec<Problem> {
        let steps = plan::pending_steps(&self.migrations, history, target, &self.rules());
        prepare::jobs(&steps, session, &self.options).err().map(|error| error.problems).unwrap_or_default()
    }

    fn go(
        &self,
        connection: &mut dyn Connection,
        direction: Direction,
        target: &Target,
        observer: &mut dyn Observer,
    ) -> Result<Report> {
        // What is taken back may have its script in the history.
        let opened = match direction {
            Direction::Up => {
                Session::open_briefly(connection, &self.options.table, self.migrations.list.len())
            }
            Direction::Down => Session::open(connection, &self.options.table),
        };
        let (mut session, history) = opened.map_err(|error| error.with_state(NOTHING_RUN))?;
        let mut run = Run::new(self, self.grouping(direction), observer);
        let history = run.go(&mut session, history, direction, target.clone(), target)?;
        Ok(run.finish(&history))
    }

    fn grouping(&self, direction: Direction) -> Grouping {
        match direction {
            Direction::Up => self.options.grouping,
            Direction::Down => Grouping::Strict,
        }
    }

    /// Opens the session of a command that changes the database.
    fn open<'a>(&self, connection: &'a mut dyn Connection) -> Result<(Session<'a>, History)> {
        Session::open(connection, &self.options.table).map_err(|error| error.with_state(NOTHING_RUN))
    }

    fn plan(&self, direction: Direction, history: &History, target: &Target) -> Result<Plan> {
        match direction {
            Direction::Up => plan::up(&self.migrations, history, target, &self.rules()),
            Direction::Down => plan::down(&self.migrations, history, target, &self.rules()),
        }
    }

    fn rules(&self) -> Rules {
        Rules {
            database: self.options.database.clone(),
            out_of_order: self.options.out_of_order,
            environment: self.options.environment.clone(),
        }
    }

    fn status_of(&self, history: &History) -> Status {
        let files = self.migrations.list.iter().map(|migration| {
            let row = history.last_row(&migration.id.0);
            status_row(migration.id.clone(), self.state_of(migration, history), row)
        });
        let known: HashSet<&str> =
            self.migrations.list.iter().map(|migration| migration.id.0.as_str()).collect();
        let gone = history.last_rows().filter(|row| !known.contains(row.migration.as_str()));
        let gone = gone.filter_map(|row| {
            let state = match history.standing(&row.migration) {
                Standing::Applied(_) => MigrationState::Missing,
                Standing::Started(_) | Standing::Failed(_) => MigrationState::Started,
                Standing::Pending | Standing::Skipped(_) => return None,
            };
            Some(status_row(Id(row.migration.clone()), state, Some(row)))
        });
        Status { migrations: gone.chain(files).collect() }
    }

    fn state_of(&self, migration: &Migration, history: &History) -> MigrationState {
        match history.standing(&migration.id.0) {
            Standing::Applied(row) if plan::is_edited(migration, row) => MigrationState::Changed,
            Standing::Applied(_) => MigrationState::Applied,
            Standing::Started(_) | Standing::Failed(_) => MigrationState::Started,
            Standing::Skipped(_) => MigrationState::Skipped,
            Standing::Pending if plan::is_meant_for(migration, self.options.environment.as_deref()) => {
                MigrationState::Pending
            }
            Standing::Pending => MigrationState::Skipped,
        }
    }
}

fn status_row(id: Id, state: MigrationState, row: Option<&HistoryRow>) -> MigrationStatus {
    let settled = row.filter(|_| !matches!(state, MigrationState::Pending));
    MigrationStatus {
        id,
        state,
        applied_at: settled.and_then(|row| row.finished_at.clone()),
        duration_ms: settled.and_then(|row| row.duration_ms),
    }
}

/// One command under way.
struct Run<'a> {
    migrator: &'a Migrator,
    grouping: Grouping,
    observer: &'a mut dyn Observer,
    patience: Patience,
    report: Report,
    /// The server's words at the last fence that was lost. Should nobody else turn up, they are the reason.
    lost_to: Option<String>,
    /// How often the migration that is next was rolled back by something that passes.
    retries: u32,
}

impl<'a> Run<'a> {
    fn new(migrator: &'a Migrator, grouping: Grouping, observer: &'a mut dyn Observer) -> Self {
        let options = &migrator.options;
        let patience = Patience::new(options.wait_for_runner, Arc::clone(&options.clock));
        Run { migrator, grouping, observer, patience, report: Report::default(), lost_to: None, retries: 0 }
    }

    fn finish(self, history: &History) -> Report {
        let migrations = &self.migrator.migrations.list;
        let settled: HashMap<&Id, Direction> =
            self.report.done.iter().map(|settled| (&settled.id, settled.direction)).collect();
        let is_applied = |migration: &&Migration| match settled.get(&migration.id) {
            Some(direction) => *direction == Direction::Up,
            None => matches!(history.standing(&migration.id.0), Standing::Applied(_)),
        };
        let is_pending = |migration: &&Migration| match settled.get(&migration.id) {
            Some(direction) => *direction == Direction::Down,
            None => self.migrator.state_of(migration, history) == MigrationState::Pending,
        };
        let now_at = migrations.iter().rev().find(is_applied).map(|migration| migration.id.clone());
        let pending = migrations.iter().filter(is_pending).count();
        Report { now_at, pending, ..self.report }
    }

    /// Plans and runs until nothing of what is chosen is left. `target` is what the choice means when another run goes the
    /// other way meanwhile. Returns the last history that was read.
    fn go(
        &mut self,
        session: &mut Session<'_>,
        history: History,
        direction: Direction,
        chosen: Target,
        target: &Target,
    ) -> Result<History> {
        self.try_to_go(session, history, direction, chosen, target).map_err(|error| self.with_done(error))
    }

    fn try_to_go(
        &mut self,
        session: &mut Session<'_>,
        mut history: History,
        direction: Direction,
        mut chosen: Target,
        target: &Target,
    ) -> Result<History> {
        let options = &self.migrator.options;
        let first_choice = chosen.clone();
        loop {
            let plan = self.plan(direction, &history, &chosen, target);
            // What is to be said of a migration needs all that is known of it.
            let needs_all = plan.as_ref().map_or(true, |plan| !plan.warnings.is_empty());
            if needs_all && history.detail == Detail::Brief {
                history = session.read_history()?;
                continue;
            }
            let plan =
                plan.map_err(|error| self.migrator.explained(error, direction, &history, &chosen, session))?;
            // Said once: a later plan of the same run has nothing new to say.
            if chosen == first_choice {
                plan.warnings.iter().for_each(|warning| self.observer.warning(warning));
            }
            // What was chosen at the first read stays chosen: a lost fence or a wait never moves the target.
            chosen = Target::Pinned(plan.pins);
            if let Some(row) = history.started() {
                let position = row.position;
                history = match is_alive(row, session, options)? {
                    Alive::No => history.with_abandoned(position),
                    Alive::Yes => {
                        self.wait_for(row)?;
                        session.read_history()?
                    }
                };
                continue;
            }
            if plan.steps.is_empty() {
                return Ok(history);
            }
            let jobs = match prepare::jobs(&plan.steps, session, options) {
                Ok(jobs) => jobs,
                // What looks like the trace of a dead runner may be the work of one that took over meanwhile.
                Err(error) if plan.steps.iter().any(|step| step.resumes.is_some()) => {
                    let now = session.read_history()?;
                    if !now.has_moved_since(&history) {
                        return Err(error);
                    }
                    history = now;
                    continue;
                }
                Err(error) => return Err(error),
            };
            prepare::check_grouping(&jobs, self.grouping)?;
            let progress = match history.table {
                Table::Absent if self.create_history(session)? == Recorded::FenceTaken => Progress::Overtaken,
                _ => self.run(&jobs, &history, session)?,
            };
            match progress {
                Progress::Complete => return Ok(history),
                Progress::RolledBack => {
                    options.clock.pause(RETRY_PAUSE * self.retries, &options.cancellation);
                    history = session.read_history()?;
                }
                Progress::Overtaken => {
                    let seen = history.last_position();
                    history = session.read_history()?;
                    if history.last_position() == seen {
                        self.give_way()?;
                    }
                }
            }
        }
    }

    /// Plans what is left of what was chosen first; or, when another run has gone the other way meanwhile, what the
    /// command means now, as if it had begun after that run.
    fn plan(
        &self,
        direction: Direction,
        history: &History,
        chosen: &Target,
        target: &Target,
    ) -> Result<Plan> {
        let plan = self.migrator.plan(direction, history, chosen)?;
        let anew = match target {
            _ if plan.choice == Choice::Stands => return Ok(plan),
            Target::Pinned(_) => return Ok(plan),
            Target::Steps(steps) => {
                let done = self.report.done.iter().filter(|settled| settled.direction == direction).count();
                Target::Steps(steps.saturating_sub(done))
            }
            other => other.clone(),
        };
        self.migrator.plan(direction, history, &anew)
    }

    fn run(&mut self, jobs: &[Job], history: &History, session: &mut Session<'_>) -> Result<Progress> {
        let options = &self.migrator.options;
        let settings = Settings {
            limits: options.limits,
            applied_by: options.applied_by.clone(),
            grouping: self.grouping,
        };
        let scripts = prepare::Verified;
        let outcome =
            runner::run(jobs, history, session, &settings, &scripts, self.observer, &options.cancellation)?;
        let settled = jobs.iter().zip(&outcome.finished).map(|(job, duration)| Settled {
            id: job.step.id.clone(),
            direction: job.step.direction,
            duration: *duration,
        });
        self.report.done.extend(settled);
        if !outcome.finished.is_empty() {
            self.patience.renew();
            self.lost_to = None;
            self.retries = 0;
        }
        let job = jobs.get(outcome.at);
        match outcome.ending {
            Ending::Done => Ok(Progress::Complete),
            Ending::Failed(failure) if self.retries < RETRIES && passes(&failure) => {
                self.retries += 1;
                job.into_iter().for_each(|job| self.observer.retrying(job, &failure.error.message));
                Ok(Progress::RolledBack)
            }
            Ending::FenceTaken(failure) => {
                self.lost_to = Some(failure.error.message);
                Ok(Progress::Overtaken)
            }
            ending => {
                let grouping = if jobs.len() == 1 { Grouping::Strict } else { self.grouping };
                let (done, as_well) = (self.report.done.as_slice(), outcome.as_well);
                let around = failure::Around { done, grouping, as_well };
                Err(failure::problem(ending, job, around, session, options).into())
            }
        }
    }

    /// Waits after a lost fence behind which nothing new was to be seen: the other run has not committed yet.
    fn give_way(&mut self) -> Result<()> {
        match self.patience.pause(&self.migrator.options.cancellation) {
            Waited::LookAgain => Ok(()),
            Waited::LongEnough if self.migrator.options.cancellation.is_cancelled() => {
                Err(interrupted_while_waiting().into())
            }
            Waited::LongEnough => Err(self.gave_up(None).into()),
        }
    }

    fn create_history(&mut self, session: &mut Session<'_>) -> Result<Recorded> {
        let migrator = self.migrator;
        let can = |capability| migrator.options.adapter.capabilities.contains(&capability);
        let mode = if can(Capability::TransactionalDdl) { Mode::Atomic } else { Mode::Stepwise };
        match &migrator.migrations.history_table {
            Some(script) => {
                let treatment = prepare::own_table(script, session, &migrator.options)?;
                let reader = script.open().map_err(|error| prepare::unreadable(script, &error))?;
                runner::create_history(session, mode, Some((script, &treatment, reader)))
            }
            None => runner::create_history(session, mode, None),
        }
    }

    /// Waits until the runner that is at work on `row` may be done.
    fn wait_for(&mut self, row: &HistoryRow) -> Result<()> {
        let options = &self.migrator.options;
        self.observer.waiting(&row.applied_by);
        match self.patience.pause(&options.cancellation) {
            Waited::LookAgain => Ok(()),
            Waited::LongEnough if options.cancellation.is_cancelled() => {
                Err(interrupted_while_waiting().into())
            }
            Waited::LongEnough => {
                let since = row.started_at.as_deref().map(|time| format!(", since {time}"));
                Err(self.gave_up(Some(&(row.applied_by.clone() + &since.unwrap_or_default()))).into())
            }
        }
    }

    fn gave_up(&self, whom: Option<&str>) -> Problem {
        let database = &self.migrator.options.database;
        let waited = self.patience.waited().as_secs();
        let problem = Problem::new(
            Name::LockHeld,
            format!(
                "another run is at work on `{database}`{}",
                whom.map(|whom| format!(" ({whom})")).unwrap_or_default()
            ),
        )
        .state(format!("{}; waited {waited} s", failure::stays(&self.report.done)))
        .hint("let it finish, or wait longer with `--wait-for-runner 10m`");
        Problem { cause: self.lost_to.clone().filter(|_| whom.is_none()), ..problem }
    }

    /// Says of an error what the run did before it. Plan and scripts know nothing of that: they only mean themselves.
    fn with_done(&self, mut error: Error) -> Error {
        error.done.clone_from(&self.report.done);
        error.with_state(&failure::stays(&self.report.done))
    }
}

/// Returns whether a migration was rolled back as a whole, by something that another try may not meet: a deadlock, or a
/// transaction that could not be serialized.
fn passes(failure: &Failure) -> bool {
    let error = &failure.error;
    let is_of_others = matches!(error.kind, ErrorKind::Deadlock | ErrorKind::Serialization);
    failure.state == State::RolledBack && error.session == SessionState::Usable && is_of_others
}

fn interrupted_while_waiting() -> Problem {
    Problem::new(Name::Interrupted, "interrupted while waiting for another run")
        .state("nothing was under way")
}

/// What became of a run over some jobs.
enum Progress {
    /// All of them are done.
    Complete,
    /// One was rolled back by something that passes, and is to be run again.
    RolledBack,
    /// Another runner was first.
    Overtaken,
}

/// Whether somebody is at work on a started row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alive {
    Yes,
    No,
}

/// Returns the history with the knowledge which of its started rows nobody is at work on.
fn without_the_dead(mut history: History, session: &mut Session<'_>, options: &Options) -> Result<History> {
    while let Some(row) = history.started() {
        let position = row.position;
        if is_alive(row, session, options)? == Alive::Yes {
            break;
        }
        history = history.with_abandoned(position);
    }
    Ok(history)
}

/// How long a started row must stay as it is before its runner is taken for gone.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Returns whether somebody is at work on a started row: its lease is not over, the server still works on it, or
/// something moves when one looks again.
///
/// One look is not enough. A statement may take longer than the lease; when it has ended, the server has nothing to do
/// for a moment, until the runner has heard of it and notes it.
fn is_alive(row: &HistoryRow, session: &mut Session<'_>, options: &Options) -> Result<Alive> {
    if seems_alive(row, session)? == Alive::Yes {
        return Ok(Alive::Yes);
    }
    options.clock.pause(SECOND_LOOK, &options.cancellation);
    if options.cancellation.is_cancelled() {
        return Err(interrupted_while_waiting().into());
    }
    let history = session.read_history()?;
    let later = history.rows.iter().find(|later| later.position == row.position);
    match later {
        Some(later) if (later.state, later.statements_done) == (row.state, row.statements_done) => {
            seems_alive(later, session)
        }
        _ => Ok(Alive::Yes),
    }
}

fn seems_alive(row: &HistoryRow, session: &mut Session<'_>) -> Result<Alive> {
    // One that asks for more than a lease ever has was written before the server's clock was set back: it says nothing,
    // and would keep everybody out for as long as the clock has jumped.
    let longest = i64::try_from(2 * runner::LEASE.as_millis()).unwrap_or(i64::MAX);
    if row.lease_ms.is_some_and(|left| (1..=longest).contains(&left)) {
        return Ok(Alive::Yes);
    }
    let attempt = runner::attempt_name(session, row.position);
    let alive = session.connection.alive(&attempt);
    Ok(match alive.map_err(|error| failure::lost(&error))? {
        Liveness::Alive => Alive::Yes,
        _ => Alive::No,
    })
}
