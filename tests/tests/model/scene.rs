//! A command on a model database, and how it ended.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use whimbrel::migrator::Settlement;
use whimbrel::plan::Target;
use whimbrel::runner::Silent;
use whimbrel::source::Id;
use whimbrel::{Error, Migrator, Options};

use crate::connection::{self, ModelConnection};
use crate::crash::Crash;
use crate::server::Kind;
use crate::sets::Set;
use crate::world::{Killed, World};

/// What a runner is told to do.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Up(Target),
    Down(Target),
    Redo(usize),
    Repair(String, Settlement),
    Baseline(String),
}

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Well,
    Badly(Error),
    Killed,
}

/// A command that came to its end.
pub(crate) struct Run {
    pub(crate) ended: Ended,
    /// How often the server did something for it.
    pub(crate) points: u32,
}

/// Runs a command in a session of its own.
pub(crate) fn run(world: &Arc<World>, kind: Kind, set: &Set, command: &Command, crash: Option<Crash>) -> Run {
    run_over(ModelConnection::open(world, kind, crash), set, command)
}

/// Runs a command in this session.
pub(crate) fn run_over(mut connection: ModelConnection, set: &Set, command: &Command) -> Run {
    let mut options = Options::new("model", connection::info(connection.kind));
    options.clock = connection.clock();
    let migrator = Migrator::new(set.migrations.clone(), options);
    let answer = catch_unwind(AssertUnwindSafe(|| carry_out(&migrator, &mut connection, command)));
    let ended = match answer {
        Ok(Ok(())) => Ended::Well,
        Ok(Err(error)) => Ended::Badly(error),
        Err(panic) if panic.is::<Killed>() => Ended::Killed,
        Err(panic) => resume_unwind(panic),
    };
    Run { ended, points: connection.points() }
}

fn carry_out(migrator: &Migrator, connection: &mut ModelConnection, command: &Command) -> Result<(), Error> {
    let id = |id: &str| Id(id.to_owned());
    match command {
        Command::Up(target) => migrator.up(connection, target, &mut Silent).map(drop),
        Command::Down(target) => migrator.down(connection, target, &mut Silent).map(drop),
        Command::Redo(steps) => migrator.redo(connection, *steps, &mut Silent).map(drop),
        Command::Repair(migration, settlement) => {
            migrator.repair(connection, &id(migration), *settlement, &mut Silent)
        }
        Command::Baseline(migration) => migrator.baseline(connection, &id(migration)).map(drop),
    }
}
