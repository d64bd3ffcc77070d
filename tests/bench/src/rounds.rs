//! One workload on one engine: the programs run in turn, round after round.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;
use whimbrel_tests::{Engine, Proxy, count_syncs};

use crate::floor::Sending;
use crate::measure::{self, Taken, median};
use crate::place::Place;
use crate::program::Program;
use crate::work::{Pending, Work};

/// What was measured of one workload on one engine.
pub(crate) struct Line {
    pub(crate) engine: Engine,
    pub(crate) work: Work,
    pub(crate) programs: Vec<Measured>,
}

/// What was measured of one program.
pub(crate) struct Measured {
    pub(crate) program: Program,
    pub(crate) time: Duration,
    pub(crate) processor: Duration,
    /// Turns behind the login, where a proxy stands between.
    pub(crate) turns: Option<u32>,
    /// Waits for the disk, of SQLite.
    pub(crate) syncs: Option<usize>,
    /// The most memory that it held at once, in KiB. Not of other tools.
    pub(crate) memory: u64,
}

/// Measures a workload.
pub(crate) fn measure(engine: Engine, work: &Work, programs: &[Program]) -> Result<Line> {
    let root = TempDir::new()?;
    let mut seats = Vec::new();
    for program in programs.iter().copied().filter(|program| work.rounds_of(*program, engine) > 0) {
        work.write(program, &program.folder(root.path(), engine))?;
        seats.push(Seat::new(engine, work, program, root.path())?);
    }
    // What disturbs the clock comes first, and warms what there is to warm.
    for seat in seats.iter_mut().filter(|seat| !Program::PEERS.contains(&seat.program)) {
        seat.memory = seat.at_place(|seat, place| measure::watch(seat.command(&place.url())?, &mut || {}))?;
        if engine == Engine::Sqlite {
            seat.syncs = Some(seat.at_place(|seat, place| Ok(count_syncs(&seat.command(&place.url())?)))?);
        }
    }
    for round in 0..work.rounds {
        for seat in seats.iter_mut().filter(|seat| round < work.rounds_of(seat.program, engine)) {
            let (taken, turns) = seat.at_place(Seat::run)?;
            seat.taken.push(taken);
            seat.turns = turns;
        }
    }
    Ok(Line { engine, work: *work, programs: seats.into_iter().map(Seat::measured).collect() })
}

/// A program with what it works on.
struct Seat {
    engine: Engine,
    program: Program,
    folder: PathBuf,
    sending: Sending,
    away: Duration,
    /// The database on which everything was applied before, if nothing is to be pending.
    settled: Option<Place>,
    taken: Vec<Taken>,
    turns: Option<u32>,
    syncs: Option<usize>,
    memory: u64,
}

impl Seat {
    fn new(engine: Engine, work: &Work, program: Program, root: &Path) -> Result<Self> {
        let mut seat = Seat {
            engine,
            program,
            folder: program.folder(root, engine),
            sending: work.sending,
            away: work.away,
            settled: None,
            taken: Vec::new(),
            turns: None,
            syncs: None,
            memory: 0,
        };
        if matches!(work.pending, Pending::Nothing) {
            let place = Place::new(engine);
            measure::run(program.command(&seat.folder, &place.url(), Sending::AtOnce)?)?;
            seat.settled = Some(place);
        }
        Ok(seat)
    }

    /// Does something at the database where nothing is pending, or at a fresh one.
    fn at_place<T>(&self, what: impl FnOnce(&Seat, &Place) -> Result<T>) -> Result<T> {
        match &self.settled {
            Some(place) => what(self, place),
            None => what(self, &Place::new(self.engine)),
        }
    }

    fn command(&self, url: &str) -> Result<Command> {
        self.program.command(&self.folder, url, self.sending)
    }

    /// Runs the program, and returns what it took; and how many turns, if the server is far away.
    fn run(&self, place: &Place) -> Result<(Taken, Option<u32>)> {
        let Place::Server(database) = place else {
            return Ok((measure::run(self.command(&place.url())?)?, None));
        };
        if self.away.is_zero() {
            return Ok((measure::run(self.command(&place.url())?)?, None));
        }
        let proxy = Proxy::before(database.as_ref());
        proxy.delay(self.away);
        let taken = measure::run(self.command(&proxy.plain_url(database.as_ref()))?)?;
        Ok((taken, Some(proxy.turns())))
    }

    fn measured(self) -> Measured {
        let Seat { program, turns, syncs, memory, .. } = self;
        let (times, processor) = self.taken.into_iter().map(|taken| (taken.time, taken.processor)).unzip();
        Measured { program, time: median(times), processor: median(processor), turns, syncs, memory }
    }
}
