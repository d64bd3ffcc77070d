//! Where a run comes to an end that nobody wanted.

use crate::server::Kind;

/// A crash at one point of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crash {
    /// How many times the server was asked to do something, this time included.
    pub(crate) point: u32,
    /// Whether it did this one.
    pub(crate) moment: Moment,
    /// What dies.
    pub(crate) victim: Victim,
}

/// On which side of the work of the server something dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The server has not done it yet.
    Before,
    /// The server has done it, and nobody was told.
    After,
}

/// What dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// The runner, as by `kill -9`.
    Process,
    /// The connection; the runner goes on without it.
    Connection,
    /// The server, which comes back with what was committed.
    Server,
}

impl Crash {
    /// Returns every way in which a run can crash at this point.
    pub(crate) fn ways(kind: Kind, point: u32) -> impl Iterator<Item = Crash> {
        let victims = Victim::of(kind);
        let crash = move |moment| victims.iter().map(move |victim| Crash { point, moment, victim: *victim });
        [Moment::Before, Moment::After].into_iter().flat_map(crash)
    }
}

impl Victim {
    /// Returns what can die where this kind of engine is used. What is embedded has neither connection nor server.
    pub(crate) fn of(kind: Kind) -> &'static [Victim] {
        match kind {
            Kind::Embedded => &[Victim::Process],
            Kind::Transactional | Kind::ImplicitCommits => {
                &[Victim::Process, Victim::Connection, Victim::Server]
            }
        }
    }
}
