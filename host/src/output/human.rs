//! Results as text for people.

use std::io::{IsTerminal, Read};

use whimbrel_adapter_api::note::Note;
use whimbrel_conformance::{Checked, Part, Report as Suite, Verdict as Came};

use super::clean::Mark;
use super::{Colour, Subject};
use crate::error::{Name, Place, Problem, Result};
use crate::factory::{Diagnosis, PassedOver, Pinning};
use crate::history::History;
use crate::migrator::Preview;
use crate::plan::Direction;
use crate::plugin::lock::{Lock, Locked};
use crate::plugin::{Found, Inventory, Searched, Verdict};
use crate::report::{MigrationState, Report, Settled, Status};
use crate::runner::Job;
use crate::source::Id;
use crate::template::Made;

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Coloured,
}

impl Style {
    /// Returns the style of what is written to `stream`.
    pub(super) fn of(colour: Colour, stream: &impl IsTerminal) -> Self {
        match colour {
            Colour::OnTerminals if stream.is_terminal() => Style::Coloured,
            Colour::OnTerminals | Colour::Never => Style::Plain,
        }
    }

    pub(super) fn error(self, text: &str) -> String {
        self.paint(Mark::Error, text)
    }

    pub(super) fn warning(self, text: &str) -> String {
        self.paint(Mark::Warning, text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint(Mark::Good, text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.paint(Mark::Strong, text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint(Mark::Dim, text)
    }

    fn paint(self, mark: Mark, text: &str) -> String {
        match self {
            Style::Plain => text.to_owned(),
            Style::Coloured => format!("{}{text}{}", mark.letter(), Mark::End.letter()),
        }
    }
}

/// Returns the line about one migration that is settled.
pub(super) fn settled(settled: &Settled, style: Style) -> String {
    let verb = match settled.direction {
        Direction::Up => style.good("applied "),
        Direction::Down => style.warning("reverted"),
    };
    format!("{verb} {}  {} ms\n", settled.id, settled.duration.as_millis())
}

/// Returns the last line of a run. The lines about each migration were shown when it was settled.
pub(super) fn report(report: &Report, subject: &Subject, style: Style) -> String {
    let name = subject.database.as_deref().unwrap_or_default();
    let count = |direction| report.done.iter().filter(|settled| settled.direction == direction).count();
    let (applied, reverted) = (count(Direction::Up), count(Direction::Down));
    let what = match (applied, reverted) {
        (0, 0) if report.now_at.is_none() => {
            return format!("nothing to do on {name}: nothing is applied{}\n", pending(report));
        }
        (0, 0) if report.pending > 0 => {
            return format!("nothing to do on {name}{}{}\n", now_at(report, ", at "), pending(report));
        }
        (0, 0) => return format!("{name} is up to date{}\n", now_at(report, ", at ")),
        (applied, 0) => format!("{} applied to", migrations(applied)),
        (0, reverted) => format!("{} reverted on", migrations(reverted)),
        (applied, reverted) => format!("{} reverted and {applied} applied again on", migrations(reverted)),
    };
    style.strong(&format!("{what} {name}{}", now_at(report, ", now at "))) + "\n"
}

fn now_at(report: &Report, words: &str) -> String {
    report.now_at.as_ref().map_or_else(|| ", nothing is applied".to_owned(), |id| format!("{words}{id}"))
}

/// A run that was told how far to go leaves the rest pending.
fn pending(report: &Report) -> String {
    match report.pending {
        0 => String::new(),
        1 => "; 1 migration is pending".to_owned(),
        count => format!("; {count} migrations are pending"),
    }
}

/// Returns `1 migration`, `3 migrations`.
pub(super) fn migrations(count: usize) -> String {
    if count == 1 { "1 migration".to_owned() } else { format!("{count} migrations") }
}

/// Returns what would run, with its SQL.
pub(super) fn preview(preview: &Preview, subject: &Subject, style: Style) -> Result<String> {
    let name = subject.database.as_deref().unwrap_or_default();
    if preview.jobs.is_empty() {
        return Ok(format!("nothing to run on {name}\n"));
    }
    let mut text = format!("{} would run on {name}, in this order\n", migrations(preview.jobs.len()));
    for job in &preview.jobs {
        text.push('\n');
        text.push_str(&style.strong(&headline(job)));
        text.push('\n');
        for remark in &job.treatment.remarks {
            text.push_str(&format!("-- {remark}\n"));
        }
        text.push_str(sql(job)?.trim_end());
        text.push('\n');
    }
    Ok(text)
}

fn headline(job: &Job) -> String {
    let direction = match job.step.direction {
        Direction::Up => "up",
        Direction::Down => "down",
    };
    let how = match job.treatment.mode {
        whimbrel_adapter_api::Mode::Atomic => "in one transaction",
        _ => "statement by statement, without a transaction",
    };
    let statements = match job.treatment.statements {
        1 => "1 statement".to_owned(),
        count => format!("{count} statements"),
    };
    format!("-- {direction} {}: {statements}, {how}", job.step.id)
}

/// Returns the text of a job's script.
pub(super) fn sql(job: &Job) -> Result<String> {
    let mut bytes = Vec::new();
    let read = job.script.open().and_then(|mut reader| reader.read_to_end(&mut bytes));
    read.map_err(|error| {
        Problem::new(Name::FileUnreadable, "the script cannot be read")
            .at(Place::file(&job.script.path))
            .caused_by(error.to_string())
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns how the migrations stand.
pub(super) fn status(status: &Status, subject: &Subject, style: Style) -> String {
    let name = subject.database.as_deref().unwrap_or_default();
    if status.migrations.is_empty() {
        return format!("{name} has no migrations\n");
    }
    let width = status.migrations.iter().map(|migration| migration.id.0.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for migration in &status.migrations {
        let word = format!("{:<8}", migration.state.word());
        let word = match migration.state {
            MigrationState::Applied => style.good(&word),
            MigrationState::Pending | MigrationState::Skipped => word,
            _ => style.error(&word),
        };
        let when = migration.applied_at.as_deref().map(readable).unwrap_or_default();
        let took = migration.duration_ms.map(|duration| format!("  {duration} ms")).unwrap_or_default();
        text.push_str(format!("{word} {:<width$}  {when}{took}", migration.id.0).trim_end());
        text.push('\n');
    }
    let counts = MigrationState::ALL.iter().map(|state| (status.count(*state), state.word()));
    let counts: Vec<String> =
        counts.filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    text + &style.strong(&format!("{name}: {}", counts.join(", "))) + "\n"
}

/// Returns every attempt, oldest first.
pub(super) fn history(history: &History, subject: &Subject, style: Style) -> String {
    let name = subject.database.as_deref().unwrap_or_default();
    if history.rows.is_empty() {
        return format!("{name} has no history yet\n");
    }
    let width = history.rows.iter().map(|row| row.migration.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in &history.rows {
        let when = row.started_at.as_deref().map(readable).unwrap_or_default();
        let took = row.duration_ms.map(|duration| format!("{duration} ms")).unwrap_or_default();
        text.push_str(&format!(
            "{:>4}  {when}  {:<4} {:<8}  {:<width$}  {}/{}  {took}  {}\n",
            row.position,
            row.direction.word(),
            row.state.word(),
            row.migration,
            row.statements_done,
            row.statements_total,
            style.dim(&row.applied_by),
        ));
    }
    text
}

/// `2026-01-31T13:05:00Z` as people read it.
fn readable(time: &str) -> String {
    time.replace('T', " ").replace('Z', " UTC")
}

/// Returns what `baseline` took as applied.
pub(super) fn baselined(taken: &[Id], subject: &Subject) -> String {
    let name = subject.database.as_deref().unwrap_or_default();
    if taken.is_empty() {
        return format!("everything up to there is already applied to {name}\n");
    }
    let lines: String = taken.iter().map(|id| format!("baseline {id}\n")).collect();
    format!("{lines}{} taken as applied to {name}; no SQL was run\n", migrations(taken.len()))
}

/// Returns the adapters that were found, and the places that were searched.
pub(super) fn adapters(inventory: &Inventory, style: Style) -> String {
    let mut text: String = inventory.found.iter().map(|found| library(found, style)).collect();
    if inventory.found.is_empty() {
        text.push_str("no adapters were found; these places were searched\n");
        for searched in &inventory.directories {
            text.push_str(&format!("  {}\n", searched.path.display()));
        }
    }
    text
}

/// Returns what a library says of itself.
pub(super) fn library(found: &Found, style: Style) -> String {
    let said = |of: fn(&Note) -> String| found.note.as_ref().map(of).unwrap_or_default();
    let version = said(|note| note.version.clone());
    let verdict = match found.verdict {
        Verdict::Usable => String::new(),
        _ => style.error(&found.verdict.to_string()),
    };
    let title = format!("{} {version}", style.strong(&found.name));
    let mut text = match title.trim() {
        "" => String::new(),
        title => format!("{title}\n"),
    };
    let lines = [
        ("file", found.path.display().to_string()),
        ("also called", said(|note| note.aliases.join(", "))),
        ("urls", said(|note| note.schemes.join(", "))),
        ("can", said(|note| note.capabilities.join(", "))),
        ("fence", said(|note| note.fence.clone())),
        ("abi", said(|note| format!("{}, by whimbrel-adapter-api {}", note.abi, note.api))),
        ("target", said(|note| note.target.clone())),
        ("but", verdict),
    ];
    for (label, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("  {label:<12}{value}\n"));
    }
    text
}

/// Returns how the choice of an adapter comes about, but for the error that it may end in.
pub(super) fn diagnosis(diagnosis: &Diagnosis, style: Style) -> String {
    let mut lines = vec![("database", style.strong(&diagnosis.database))];
    if let Some(picked) = &diagnosis.picked {
        lines.push(("adapter", format!("{}: {}", style.strong(&picked.adapter), picked.rule)));
        lines.extend(picked.library.iter().map(|library| ("file", library.path.display().to_string())));
    }
    if let Ok(taken) = &diagnosis.outcome {
        let trusted = match taken.pinning {
            Pinning::Locked => "only its owner can change it, and it is the one in plugins.lock",
            Pinning::Open => "only its owner can change it; `whimbrel adapters lock` would pin it",
        };
        lines.push(("trusted", trusted.to_owned()));
        lines.push(("url", format!("{}, from {}", taken.url, taken.url_from)));
        lines.push(("result", style.good("the adapter was loaded and takes the url; nothing was connected")));
    }
    let mut text: String = lines.iter().map(|(label, value)| format!("{label:<10}{value}\n")).collect();
    text.push_str(if diagnosis.passed_over.is_empty() { "" } else { "passed over\n" });
    for PassedOver { found, reason } in &diagnosis.passed_over {
        text.push_str(&format!("  {}      {reason}\n", found.path.display()));
    }
    text.push_str("searched\n");
    for Searched { path, outcome, .. } in &diagnosis.searched {
        text.push_str(&format!("  {}      {outcome}\n", path.display()));
    }
    text
}

/// Returns what was locked.
pub(super) fn locked(lock: &Lock) -> String {
    let line = |locked: &Locked| {
        let Locked { name, version, target, sha256 } = locked;
        format!("locked   {name} {version}  {target}  sha256 {sha256}\n")
    };
    let lines: String = lock.adapters().iter().map(line).collect();
    format!("{lines}{} written\n", lock.path().display())
}

/// Returns what came of one check of the conformance suite.
pub(super) fn checked(checked: &Checked, style: Style) -> String {
    let line = checked.to_string();
    let word = checked.verdict.word();
    let coloured = match checked.verdict {
        Came::Failed(_) => style.error(word),
        Came::NotRun(_) => style.warning(word),
        _ => word.to_owned(),
    };
    format!("{}\n", line.replacen(word, &coloured, 1))
}

/// Returns which files were made, and what to do with them.
pub(super) fn began(made: &Made, next_steps: &[String]) -> String {
    let files = made.files.iter().map(|file| format!("created  {}\n", file.display()));
    let steps = next_steps.iter().map(|step| format!("  {step}\n"));
    let readme = made.folder.join("README.md");
    let about = format!(
        "it works as it is, over a toy engine in memory; {} says how yours takes its place\n",
        readme.display()
    );
    files.chain([about, "next:\n".to_owned()]).chain(steps).collect()
}

/// Returns what came of the conformance suite, in a line.
pub(super) fn tested(found: &Found, part: Part, report: &Suite, style: Style) -> String {
    let counts = report.summary();
    let counts = if report.is_passed() { style.good(&counts) } else { style.error(&counts) };
    match part {
        Part::Whole => format!("{}: {counts}\n", found.name),
        Part::Smoke => {
            let left_out = Part::Whole.count() - part.count();
            format!("{}: {counts}; {left_out} other checks were left out\n", found.name)
        }
    }
}
