//! What is measured: migrations, how many of them were applied before, and the way to the server.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use whimbrel_tests::Engine;

use crate::floor::Sending;
use crate::program::Program;

/// A workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) applied: usize,
    pub(crate) pending: Pending,
    pub(crate) sending: Sending,
    /// The round trip to the server.
    pub(crate) away: Duration,
    /// At most so many times the floor, by what the project has set itself.
    pub(crate) target: Option<f64>,
    /// At most so much memory, in MiB.
    pub(crate) memory: Option<f64>,
    pub(crate) rounds: usize,
    /// In how many of the rounds other tools take part.
    pub(crate) rounds_of_peers: usize,
}

/// What is to be applied.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pending {
    Nothing,
    /// So many migrations: a table of four columns, an index, a row.
    Tables(usize),
    /// One file of so many bytes of inserts.
    File(usize),
}

const HERE: Duration = Duration::ZERO;
const AWAY: Duration = Duration::from_millis(20);

/// Returns everything that is measured on one kind of engine.
pub(crate) fn all(engine: Engine) -> Vec<Work> {
    let is_remote = engine != Engine::Sqlite;
    let work = |name, applied, pending, target, rounds, rounds_of_peers| Work {
        name,
        applied,
        pending,
        sending: Sending::OneByOne,
        away: HERE,
        target,
        memory: None,
        rounds,
        rounds_of_peers,
    };
    let at_once = |work: Work| Work { sending: Sending::AtOnce, rounds_of_peers: 0, target: None, ..work };
    let away =
        |name, work: Work, target| Work { name, away: AWAY, rounds: 3, rounds_of_peers: 1, target, ..work };
    let no_op = work(
        "nothing pending, 1,000 applied",
        1_000,
        Pending::Nothing,
        Some(if is_remote { 1.5 } else { 2.0 }),
        11,
        5,
    );
    let pending = work("100 pending", 0, Pending::Tables(100), Some(1.15), 5, 3);
    let large = if is_remote { 1.15 } else { 1.3 };
    let little = work("nothing pending, 10 applied", 10, Pending::Nothing, None, 11, 5);
    let mut all = vec![
        Work { memory: Some(8.0), ..little },
        no_op,
        work("nothing pending, 10,000 applied", 10_000, Pending::Nothing, Some(1.2), 5, 0),
        pending,
        at_once(Work { name: "100 pending, at once", ..pending }),
        work("one file of 50 MB", 0, Pending::File(50_000_000), Some(large), 3, 0),
    ];
    if is_remote {
        all.extend([
            away("nothing pending, 1,000 applied, 20 ms away", no_op, Some(1.1)),
            away("100 pending, 20 ms away", pending, Some(1.15)),
            at_once(away("100 pending, at once, 20 ms away", pending, None)),
        ]);
    }
    all
}

impl Work {
    /// Returns in how many rounds a program takes part.
    pub(crate) fn rounds_of(&self, program: Program, engine: Engine) -> usize {
        match program {
            Program::Floor | Program::Ours => self.rounds,
            _ if !self.away.is_zero() && program.moves_to_the_socket(engine) => 0,
            _ => self.rounds_of_peers,
        }
    }

    /// Writes the files into a folder as a program wants them.
    pub(crate) fn write(&self, program: Program, folder: &Path) -> Result<()> {
        let count = self.applied + if let Pending::Tables(count) = self.pending { count } else { 0 };
        for number in 1..=count {
            program.write(folder, number, &format!("birds_{number}"), &table(number))?;
        }
        if let Pending::File(bytes) = self.pending {
            program.write(folder, 1, "sightings", &inserts(bytes))?;
        }
        Ok(())
    }
}

pub(crate) fn table(number: usize) -> String {
    format!(
        "CREATE TABLE birds_{number} (id integer PRIMARY KEY, name varchar(100) NOT NULL, seen integer, note varchar(200));\n\
         CREATE INDEX birds_{number}_name ON birds_{number} (name);\n\
         INSERT INTO birds_{number} (id, name, seen, note) VALUES (1, 'curlew', 3, 'over the marsh');\n"
    )
}

/// Statements of 64 rows each, as a dump has them.
pub(crate) fn inserts(bytes: usize) -> String {
    let mut text = "CREATE TABLE sightings (id integer, name varchar(100), note varchar(200));\n".to_owned();
    let mut id = 0;
    while text.len() < bytes {
        text.push_str("INSERT INTO sightings VALUES ");
        for row in 0..64 {
            id += 1;
            let comma = if row == 0 { "" } else { ", " };
            text.push_str(&format!(
                "{comma}({id}, 'curlew {id}', 'over the marsh, in the evening, number {id}')"
            ));
        }
        text.push_str(";\n");
    }
    text
}
