//! What is measured: migrations, how many of them were applied before, and the way to the server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

/// A workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) applied: usize,
    pub(crate) pending: Pending,
    pub(crate) batch: bool,
    /// The round trip to the server.
    pub(crate) away: Duration,
    /// At most so many times the floor, by what the project has set itself.
    pub(crate) target: Option<f64>,
    pub(crate) repeat: usize,
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
pub(crate) fn all(is_remote: bool) -> Vec<Work> {
    let work = |name, applied, pending, target, repeat| Work {
        name,
        applied,
        pending,
        batch: false,
        away: HERE,
        target,
        repeat,
    };
    let no_op = if is_remote { 1.5 } else { 2.0 };
    let here = vec![
        work("nothing pending, 1,000 applied", 1_000, Pending::Nothing, Some(no_op), 11),
        work("nothing pending, 10,000 applied", 10_000, Pending::Nothing, Some(1.2), 5),
        work("100 pending", 0, Pending::Tables(100), Some(1.15), 5),
        Work { batch: true, ..work("100 pending, at once", 0, Pending::Tables(100), None, 5) },
        work("one file of 50 MB", 0, Pending::File(50_000_000), Some(if is_remote { 1.15 } else { 1.3 }), 3),
    ];
    let away = [
        Work {
            away: AWAY,
            ..work("nothing pending, 1,000 applied, 20 ms away", 1_000, Pending::Nothing, Some(1.1), 7)
        },
        Work { away: AWAY, ..work("100 pending, 20 ms away", 0, Pending::Tables(100), Some(1.15), 3) },
        Work {
            away: AWAY,
            batch: true,
            ..work("100 pending, at once, 20 ms away", 0, Pending::Tables(100), None, 5)
        },
    ];
    if is_remote { here.into_iter().chain(away).collect() } else { here }
}

impl Work {
    /// Writes the files into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let count = self.applied + if let Pending::Tables(count) = self.pending { count } else { 0 };
        for number in 1..=count {
            fs::write(folder.join(format!("{number:06}_birds_{number}.sql")), table(number))?;
        }
        if let Pending::File(bytes) = self.pending {
            fs::write(folder.join("000001_sightings.sql"), inserts(bytes))?;
        }
        Ok(())
    }
}

fn table(number: usize) -> String {
    format!(
        "CREATE TABLE birds_{number} (id integer PRIMARY KEY, name varchar(100) NOT NULL, seen integer, note varchar(200));\n\
         CREATE INDEX birds_{number}_name ON birds_{number} (name);\n\
         INSERT INTO birds_{number} (id, name, seen, note) VALUES (1, 'curlew', 3, 'over the marsh');\n"
    )
}

/// Statements of 64 rows each, as a dump has them.
fn inserts(bytes: usize) -> String {
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
