//! One schedule: a fresh database, ten runners, and the deaths that a seed has for them.
//!
//! Two deal them out: each runner's own fate, at a moment drawn from the length of a run that nobody disturbs, and a
//! hunter who seeks the one at work, since nine of ten wait at any moment. A third one watches the history for what the
//! dead leave half done: while a dead runner's lease runs there is nothing to kill but runners that wait, so nobody is.
//!
//! What is found is counted and told, and never ends the schedule before its time: the next thing may be worse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regex::Regex;

use super::engines::{Bench, Ground};
use super::migrations::{self, Migration};
use super::settle::Desk;
use super::{Count, Lease, Soak, Tally, Trouble, check};
use crate::{Outcome, Project, Running};

const RUNNERS: usize = 10;

/// How many of them die in one schedule, at most. What is left is applied by those that live.
const DEATHS: u32 = 25;

/// How often a migration may have to be settled by hand in one schedule.
const SETTLEMENTS: u32 = DEATHS + 1;

/// A run that goes on for so long while nobody dies and the history gets no row is stuck: the lease that a dead runner
/// leaves is a third of it.
const LIMIT: Duration = Duration::from_secs(90);

/// How long the hunter of the runner at work rests between two shots, at most, in lengths of a run.
const LONGEST_REST: f64 = 0.4;

/// How often the history is looked at while runners are at work.
const LOOK: Duration = Duration::from_millis(200);

/// After how long a shortened lease is over.
const SHORT_LEASE: Duration = Duration::from_secs(1);

/// How long it takes runners that nobody kills until everything is applied.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace(Duration);

/// A schedule on its own database.
pub(super) struct Schedule<'a> {
    bench: &'a Bench,
    seed: u64,
    pace: Pace,
    lease: Lease,
    ground: Ground,
    project: Project,
    migrations: Vec<Migration>,
    state: Mutex<State>,
    /// A dead runner's lease runs: there is nothing to kill but runners that wait.
    truce: AtomicBool,
}

#[derive(Debug)]
struct State {
    deaths_left: u32,
    /// When somebody died or the history got a row.
    last_move: Instant,
    /// When the first runner ended by itself.
    first_end: Option<Instant>,
    /// Those that are not waited for yet, by their pid.
    alive: BTreeSet<u32>,
    /// The dead.
    dead: BTreeMap<u32, Instant>,
    /// Those of them that had applied something.
    at_work: BTreeSet<u32>,
    /// Those of them that left a migration half done.
    halfway: BTreeSet<u32>,
    restarts: u32,
    troubles: Vec<Trouble>,
}

/// The draws of a schedule, each of its own so that none depends on how fast another one is.
struct Fates {
    runners: Vec<Rng>,
    hunter: Rng,
    operator: Rng,
}

/// The last row of the history.
#[derive(Clone, PartialEq)]
struct LastRow {
    position: String,
    pid: u32,
    state: String,
}

/// How a runner ended that was not killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    /// It found a migration half done.
    Halfway,
    /// It did not end, or not as it may.
    Trouble,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(bench: &'a Bench, soak: &Soak, seed: u64, pace: Pace) -> Self {
        let ground = (bench.fresh)();
        let migrations = migrations::all(bench.language, soak.migrations);
        let project = migrations::project(bench.language, &migrations);
        let state = State {
            deaths_left: DEATHS,
            last_move: Instant::now(),
            first_end: None,
            alive: BTreeSet::new(),
            dead: BTreeMap::new(),
            at_work: BTreeSet::new(),
            halfway: BTreeSet::new(),
            restarts: 0,
            troubles: Vec::new(),
        };
        let (state, truce) = (Mutex::new(state), AtomicBool::new(false));
        Schedule { bench, seed, pace, lease: soak.lease, ground, project, migrations, state, truce }
    }

    /// Measures how long it takes runners that nobody kills, and looks at the database as after any schedule.
    pub(super) fn undisturbed(bench: &'a Bench, soak: &Soak) -> (Pace, Tally) {
        let schedule = Self::new(bench, soak, soak.seed, Pace::default());
        schedule.state().deaths_left = 0;
        let began = Instant::now();
        schedule.swarm(&mut schedule.fates());
        // Nobody ends before everything is applied, and those who find that out later have only waited.
        let pace = Pace(schedule.state().first_end.unwrap_or(began).duration_since(began));
        schedule.finish();
        (pace, schedule.tally(0))
    }

    /// Brings the database up to date through all deaths, and looks at it.
    pub(super) fn run(self) -> Tally {
        let mut fates = self.fates();
        let mut settled = 0;
        while self.swarm(&mut fates).contains(&End::Halfway) {
            settled += 1;
            if let Err(trouble) = self.settle(settled, &mut fates.operator) {
                self.state().troubles.push(trouble);
                break;
            }
        }
        self.finish();
        self.tally(settled)
    }

    /// Starts all runners, and starts again those that are killed, until each has ended by itself.
    fn swarm(&self, fates: &mut Fates) -> Vec<End> {
        let (watched, until_watched) = channel::<()>();
        let (hunted, until_hunted) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || self.watch(&until_watched));
            let hunter = &mut fates.hunter;
            scope.spawn(move || self.hunt(hunter, &until_hunted));
            let runners: Vec<_> =
                fates.runners.iter_mut().map(|fate| scope.spawn(move || self.runner(fate))).collect();
            let ends = runners
                .into_iter()
                .map(|runner| runner.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            let ends = ends.collect();
            drop((watched, hunted));
            ends
        })
    }

    fn runner(&self, fate: &mut Rng) -> End {
        loop {
            // Those that send one by one and those that send many at once are at work side by side.
            let at_once = fate.bool().then_some("--batch");
            let up = ["up", self.bench.language.folder(), "--url", &self.ground.url];
            let mut run = self.project.spawn(up.into_iter().chain(at_once));
            let pid = run.pid();
            self.state().alive.insert(pid);
            self.meet(fate, &mut run);
            let in_time = self.ends_in_time(&mut run);
            // From here on its pid may become another's.
            self.state().alive.remove(&pid);
            if !in_time {
                run.kill();
                let said = run.wait().redacted();
                self.trouble(Count::Stuck, format!("a run goes on and nothing moves for {LIMIT:?}:\n{said}"));
                return End::Trouble;
            }
            let outcome = run.wait();
            if outcome.signal != Some(Signal::SIGKILL as i32) {
                self.spare(pid);
                return self.judge(&outcome);
            }
            let mut state = self.state();
            state.restarts += 1;
            if outcome.stdout.contains("applied") {
                state.at_work.insert(pid);
            }
        }
    }

    /// Kills the runner at the moment that its fate has for it, if it has one and the run has not ended before.
    fn meet(&self, fate: &mut Rng, run: &mut Running) {
        while let Some(moment) = self.pace.moment(fate) {
            if run.ends_within(moment) {
                return;
            }
            if !self.truce.load(Ordering::Relaxed) {
                self.strike(run.pid());
                return;
            }
        }
    }

    /// Kills whoever wrote the last row of the history, time and again.
    fn hunt(&self, random: &mut Rng, until_over: &Receiver<()>) {
        while until_over.recv_timeout(self.pace.rest(random)) == Err(RecvTimeoutError::Timeout) {
            if self.state().deaths_left > 0
                && !self.truce.load(Ordering::Relaxed)
                && let Some(last) = self.last_row()
            {
                self.strike(last.pid);
            }
        }
    }

    fn strike(&self, pid: u32) {
        let mut state = self.state();
        if state.deaths_left == 0 || !state.alive.contains(&pid) {
            return;
        }
        state.deaths_left -= 1;
        let now = Instant::now();
        state.last_move = now;
        state.dead.insert(pid, now);
        let pid = pid.try_into().expect("a pid is a pid_t");
        // It is alive or not waited for yet, so the pid is no one else's.
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a child may be killed");
    }

    /// Takes a death back that came too late.
    fn spare(&self, pid: u32) {
        let mut state = self.state();
        state.first_end.get_or_insert_with(Instant::now);
        if state.dead.remove(&pid).is_some() {
            state.deaths_left += 1;
        }
    }

    fn ends_in_time(&self, run: &mut Running) -> bool {
        let began = Instant::now();
        while !run.ends_within(Duration::from_secs(1)) {
            let since = self.state().last_move.max(began);
            if since.elapsed() > LIMIT {
                return false;
            }
        }
        true
    }

    /// Judges how a runner ended that nobody killed.
    fn judge(&self, outcome: &Outcome) -> End {
        match outcome.code {
            Some(0) => End::Done,
            Some(5) if !self.state().dead.is_empty() => End::Halfway,
            _ => {
                self.trouble(
                    Count::Wrong,
                    format!("a run that nobody killed ended so:\n{}", outcome.redacted()),
                );
                End::Trouble
            }
        }
    }

    /// Settles by hand what is half done.
    fn settle(&self, times: u32, random: &mut Rng) -> Result<(), Trouble> {
        if times > SETTLEMENTS {
            return Err(Trouble::new(Count::Stuck, "there is no end to what has to be settled by hand"));
        }
        let desk = self.desk();
        let Some(migration) = desk.unsettled() else {
            return Err(Trouble::new(
                Count::Wrong,
                "a run ended with 5, and `status` shows nothing half done",
            ));
        };
        desk.settle(migration, random)
    }

    /// After all deaths one more `up` must find nothing to do.
    fn finish(&self) {
        let outcome = self.project.run(["up", self.bench.language.folder(), "--url", &self.ground.url]);
        if outcome.code != Some(0) || !outcome.stdout.contains("is up to date") {
            self.trouble(Count::Stuck, format!("the last `up` ends so:\n{}", outcome.redacted()));
        }
        let troubles = check::troubles(self.ground.database.as_ref(), &self.migrations);
        self.state().troubles.extend(troubles);
    }

    fn tally(self, settled: u32) -> Tally {
        let count = |set: usize| u32::try_from(set).expect("there are at most as many as deaths");
        let report = |trouble: &Trouble| self.report(trouble);
        let state = self.state();
        let of = |kind| count(state.troubles.iter().filter(|trouble| trouble.count == kind).count());
        Tally {
            schedules: 1,
            kills: count(state.dead.len()),
            at_work: count(state.at_work.union(&state.halfway).count()),
            halfway: count(state.halfway.len()),
            restarts: state.restarts,
            settled,
            doubled: of(Count::Doubled),
            lost: of(Count::Lost),
            stuck: of(Count::Stuck),
            wrong: of(Count::Wrong),
            reports: state.troubles.iter().map(report).collect(),
            time: Duration::ZERO,
        }
    }

    fn report(&self, trouble: &Trouble) -> String {
        let Bench { name, .. } = self.bench;
        let whole = if self.lease == Lease::Whole { " --long" } else { "" };
        let history = "SELECT position, migration, attempt, direction, state, statements_done, statements_total, \
                       applied_by FROM whimbrel_migrations ORDER BY position DESC LIMIT 12";
        let rows = self.ground.database.try_query(history).unwrap_or_default();
        let line = |row: &crate::Row| {
            let cells: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
            format!("    {}\n", cells.join("|"))
        };
        let rows: Vec<String> = rows.iter().rev().map(line).collect();
        format!(
            "{:?} on {name}, seed {}: {}\n  the end of the history:\n{}  to replay: cargo xtask soak{whole} \
             --engine {name} --seed {} --kills 1\n",
            trouble.count,
            self.seed,
            trouble.text,
            rows.concat(),
            self.seed
        )
    }

    /// Looks at the history from time to time, for what the dead have left behind.
    fn watch(&self, until_over: &Receiver<()>) {
        let mut seen = None;
        while until_over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let last = self.last_row();
            if last.is_some() && seen != last {
                seen.clone_from(&last);
                self.state().last_move = Instant::now();
            }
            let left_behind = last.filter(|row| row.state == "started");
            let died = left_behind.as_ref().and_then(|row| self.state().dead.get(&row.pid).copied());
            self.truce.store(died.is_some(), Ordering::Relaxed);
            let (Some(row), Some(died)) = (left_behind, died) else { continue };
            self.state().halfway.insert(row.pid);
            if self.lease == Lease::Shortened && died.elapsed() > SHORT_LEASE {
                let text = format!(
                    "UPDATE whimbrel_migrations SET lease_until = started_at \
                     WHERE position = {} AND state = 'started'",
                    row.position
                );
                // Whoever holds the row holds it for a moment: the next look tries again.
                let _ = self.ground.database.try_query(&text);
            }
        }
        self.truce.store(false, Ordering::Relaxed);
    }

    /// Returns the last row of the history. There is none at first, and SQLite may be locked.
    fn last_row(&self) -> Option<LastRow> {
        static PID: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r" pid (\d+)").expect("the pattern is valid"));
        let last =
            "SELECT position, applied_by, state FROM whimbrel_migrations ORDER BY position DESC LIMIT 1";
        let mut row = self.ground.database.try_query(last).ok()?.into_iter().next()?.into_iter().flatten();
        let (position, applied_by, state) = (row.next()?, row.next()?, row.next()?);
        let pid = PID.captures(&applied_by)?.get(1)?.as_str().parse().ok()?;
        Some(LastRow { position, pid, state })
    }

    fn desk(&self) -> Desk<'_> {
        Desk {
            project: &self.project,
            folder: self.bench.language.folder(),
            url: &self.ground.url,
            database: self.ground.database.as_ref(),
            migrations: &self.migrations,
        }
    }

    fn fates(&self) -> Fates {
        let mut random = Rng::with_seed(self.seed);
        let runners = (0..RUNNERS).map(|_| random.fork()).collect();
        Fates { runners, hunter: random.fork(), operator: random }
    }

    fn trouble(&self, count: Count, text: String) {
        self.state().troubles.push(Trouble::new(count, text));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

impl Pace {
    /// Returns the mean.
    pub(super) fn mean(paces: &[Pace]) -> Pace {
        let sum: Duration = paces.iter().map(|pace| pace.0).sum();
        Pace(sum / u32::try_from(paces.len().max(1)).expect("there are few lanes"))
    }

    /// Draws the moment at which a runner dies, if it does so unhunted, as every second one does. The moments are
    /// denser towards the start, when the adapter is loaded and the server greeted, which is the shorter part.
    fn moment(self, fate: &mut Rng) -> Option<Duration> {
        fate.bool().then(|| self.0.mul_f64(fate.f64().powi(2)))
    }

    /// Draws how long the hunter rests.
    fn rest(self, hunter: &mut Rng) -> Duration {
        self.0.mul_f64(hunter.f64() * LONGEST_REST)
    }
}
