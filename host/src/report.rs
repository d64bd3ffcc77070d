//! What happened.
//!
//! Plain data that a command gives back; [`output`](crate::output) shows it, and an application reads it.

use std::time::Duration;

use whimbrel_adapter_api::RowDirection;

use crate::plan::Direction;
use crate::source::Id;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// The migrations that were applied or taken back, in order.
    pub done: Vec<Settled>,
    /// The newest migration that is applied now.
    pub now_at: Option<Id>,
    /// How many migrations are pending now.
    pub pending: usize,
}

/// A migration that a run has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The migration.
    pub id: Id,
    /// Whether it was applied or taken back.
    pub direction: Direction,
    /// How long that took.
    pub duration: Duration,
}

/// How the migrations of a database stand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Status {
    /// The migrations: first what the history knows and no file tells, then the files by version.
    pub migrations: Vec<MigrationStatus>,
}

/// How one migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The migration.
    pub id: Id,
    /// How it stands.
    pub state: MigrationState,
    /// When it was applied, in UTC.
    pub applied_at: Option<String>,
    /// How long that took.
    pub duration_ms: Option<i64>,
}

/// How a migration stands, by file and history together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MigrationState {
    /// Not applied.
    Pending,
    /// Applied as the file says.
    Applied,
    /// Under way, or in the database in part.
    Started,
    /// Applied, and the file was edited since.
    Changed,
    /// Applied, and the file is gone.
    Missing,
    /// Left out on purpose, or not meant for this environment.
    Skipped,
}

impl MigrationState {
    /// Every state, in the order in which they are counted.
    pub const ALL: &'static [MigrationState] = &[
        MigrationState::Pending,
        MigrationState::Applied,
        MigrationState::Started,
        MigrationState::Changed,
        MigrationState::Missing,
        MigrationState::Skipped,
    ];

    /// Returns the word that scripts rely on.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            MigrationState::Pending => "pending",
            MigrationState::Applied => "applied",
            MigrationState::Started => "started",
            MigrationState::Changed => "changed",
            MigrationState::Missing => "missing",
            MigrationState::Skipped => "skipped",
        }
    }
}

impl Status {
    /// Returns how many migrations are in `state`.
    #[must_use]
    pub fn count(&self, state: MigrationState) -> usize {
        self.migrations.iter().filter(|migration| migration.state == state).count()
    }
}

impl From<RowDirection> for Direction {
    fn from(direction: RowDirection) -> Self {
        match direction {
            RowDirection::Down => Direction::Down,
            _ => Direction::Up,
        }
    }
}

impl From<Direction> for RowDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Up => RowDirection::Up,
            Direction::Down => RowDirection::Down,
        }
    }
}
