//! The soak: ten runners at once on a fresh database, killed with SIGKILL at random moments and started again, until
//! everything is applied; then a look whether everything took effect exactly once.
//!
//! `cargo xtask soak` runs it on all engines through the program `whimbrel-soak`, the test suite in a short form.
//! Each schedule follows from a seed as far as the draws go: when whom it hits at what remains the machine's affair.
//!
//! Uses the real binary from outside only, as a deployment would.

mod check;
mod engines;
mod migrations;
mod schedule;
mod settle;

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use engines::{BENCHES, Bench};
use schedule::{Pace, Schedule};

/// How much is killed, and how.
#[derive(Debug, Clone, Copy)]
pub struct Soak {
    /// The seed of the first schedule. Each next one has the next number.
    pub seed: u64,
    /// How many kills there must be on each engine.
    pub kills: u32,
    /// How many migrations each schedule applies.
    pub migrations: u32,
    /// How many schedules are under way at once, each on a database of its own.
    pub lanes: u32,
    /// What becomes of the lease of a dead runner.
    pub lease: Lease,
}

/// What becomes of the lease that a runner leaves behind which dies in the middle of a stepwise migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// It runs its time, and the others wait.
    Whole,
    /// It ends a second after the death, so that nobody waits half a minute: its end is moved in the history.
    Shortened,
}

/// What came of it on one engine.
#[derive(Debug, Default)]
#[must_use]
pub struct Tally {
    /// Fresh databases that were brought up to date.
    pub schedules: u32,
    /// Runners that died.
    pub kills: u32,
    /// Those of them that had applied something before, or died over a stepwise migration.
    pub at_work: u32,
    /// Those of them that left a stepwise migration half done.
    pub halfway: u32,
    /// Runners that were started in the place of a dead one.
    pub restarts: u32,
    /// Migrations that had to be settled by hand.
    pub settled: u32,
    /// Effects and rows of the history that are there more than once.
    pub doubled: u32,
    /// Effects and rows of the history that are not there.
    pub lost: u32,
    /// States out of which no way leads, and runs that do not end.
    pub stuck: u32,
    /// Runs that were left alone and ended otherwise than promised, and notes in the history that are not so.
    pub wrong: u32,
    /// What is behind the last four, each with its seed and what replays it.
    pub reports: Vec<String>,
    /// How long it took.
    pub time: Duration,
}

/// Something that must not be.
#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    count: Count,
    text: String,
}

/// The number of the [`Tally`] that a trouble counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Doubled,
    Lost,
    Stuck,
    Wrong,
}

impl Soak {
    /// Returns the soak of the test suite.
    pub fn short(seed: u64) -> Self {
        Soak { seed, kills: 10, migrations: 40, lanes: 1, lease: Lease::Shortened }
    }

    /// Returns the soak that takes its time.
    pub fn long(seed: u64) -> Self {
        Soak { seed, kills: 300, migrations: 100, lanes: 3, lease: Lease::Whole }
    }

    /// Soaks one engine, and tells from time to time how many kills there were.
    pub fn run(&self, bench: &Bench, kills_so_far: &(dyn Fn(u32) + Sync)) -> Tally {
        let began = Instant::now();
        let mut tally = Tally::default();
        let (paces, undisturbed): (Vec<Pace>, Vec<Tally>) =
            self.in_lanes(|| Schedule::undisturbed(bench, self)).into_iter().unzip();
        let pace = Pace::mean(&paces);
        let next = AtomicU64::new(self.seed);
        let kills = AtomicU32::new(0);
        let lanes = self.in_lanes(|| {
            let mut tally = Tally::default();
            while kills.load(Ordering::Relaxed) < self.kills {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                let of_schedule = Schedule::new(bench, self, seed, pace).run();
                kills.fetch_add(of_schedule.kills, Ordering::Relaxed);
                kills_so_far(kills.load(Ordering::Relaxed));
                tally += of_schedule;
            }
            tally
        });
        undisturbed.into_iter().chain(lanes).for_each(|lane| tally += lane);
        tally.time = began.elapsed();
        tally
    }

    /// Does something once in each lane, at the same time.
    fn in_lanes<T: Send>(&self, work: impl Fn() -> T + Sync) -> Vec<T> {
        thread::scope(|scope| {
            let work = &work;
            let lanes: Vec<_> = (0..self.lanes).map(|_| scope.spawn(work)).collect();
            lanes
                .into_iter()
                .map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }
}

impl Tally {
    /// Returns whether nothing is there that must not be.
    pub fn is_clean(&self) -> bool {
        [self.doubled, self.lost, self.stuck, self.wrong] == [0; 4]
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.schedules += other.schedules;
        self.kills += other.kills;
        self.at_work += other.at_work;
        self.halfway += other.halfway;
        self.restarts += other.restarts;
        self.settled += other.settled;
        self.doubled += other.doubled;
        self.lost += other.lost;
        self.stuck += other.stuck;
        self.wrong += other.wrong;
        self.reports.extend(other.reports);
    }
}

impl Trouble {
    fn new(count: Count, text: impl Into<String>) -> Self {
        Trouble { count, text: text.into() }
    }
}
