//! Results as json. The keys are a contract: they are only ever added to.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use whimbrel_conformance::{Checked, Part, Report as Suite};

use super::{Subject, human};
use crate::error::{Error, Problem, Result};
use crate::factory::{Diagnosis, PassedOver, Pinning};
use crate::history::History;
use crate::migrator::{Preview, Settlement};
use crate::plan::Direction;
use crate::plugin::lock::Lock;
use crate::plugin::{Found, Inventory, Searched};
use crate::report::{MigrationState, Settled, Status};
use crate::runner::Job;
use crate::source::Id;
use crate::template::Made;

/// Returns an event as one line.
pub(super) fn line(event: &str, document: &Value) -> String {
    let mut object = Map::new();
    object.insert("event".to_owned(), event.into());
    if let Value::Object(fields) = document {
        object.extend(fields.clone());
    }
    format!("{}\n", Value::Object(object))
}

/// Returns the document of up, down and redo.
pub(super) fn report(done: &[Settled], error: Option<&Error>, subject: &Subject) -> Value {
    let of = |direction| {
        let of = |settled: &&Settled| settled.direction == direction;
        done.iter().filter(of).map(settled_fields).collect::<Vec<_>>()
    };
    let first = error.and_then(|error| error.problems.first());
    let failed = first.map(|problem| json!({ "id": problem.migration, "error": problem_fields(problem) }));
    let state = match error {
        Some(_) => first.and_then(|problem| problem.state.clone()),
        None => Some("everything that was asked for is done".to_owned()),
    };
    json!({
        "database": subject.database,
        "adapter": subject.adapter,
        "applied": of(Direction::Up),
        "reverted": of(Direction::Down),
        "failed": failed,
        "errors": error.map(|error| problems(&error.problems)).unwrap_or_default(),
        "state": state,
    })
}

/// Returns the document of a command that could not be done.
pub(super) fn error(error: &Error, subject: &Subject) -> Value {
    json!({
        "database": subject.database,
        "adapter": subject.adapter,
        "error": error.problems.first().map(problem_fields),
        "errors": problems(&error.problems),
    })
}

/// Returns the event of one migration that is settled.
pub(super) fn settled(settled: &Settled) -> Value {
    settled_fields(settled)
}

fn settled_fields(settled: &Settled) -> Value {
    json!({ "id": settled.id.0, "duration_ms": milliseconds(settled) })
}

fn milliseconds(settled: &Settled) -> u64 {
    u64::try_from(settled.duration.as_millis()).unwrap_or(u64::MAX)
}

fn problems(problems: &[Problem]) -> Vec<Value> {
    problems.iter().map(problem_fields).collect()
}

fn problem_fields(problem: &Problem) -> Value {
    let place = problem.places.first();
    json!({
        "name": problem.name.word(),
        "message": problem.message,
        "file": place.map(|place| place.file.display().to_string()),
        "line": place.and_then(|place| place.line),
        "column": place.and_then(|place| place.column),
        "sqlstate": problem.sqlstate,
        "state": problem.state,
        "hint": problem.hint,
        "cause": problem.cause,
        "facts": problem.facts,
    })
}

/// Returns what would run.
pub(super) fn preview(preview: &Preview, subject: &Subject) -> Result<Value> {
    let migration = |job: &Job| {
        Ok(json!({
            "id": job.step.id.0,
            "direction": direction(job.step.direction),
            "transaction": job.treatment.mode == whimbrel_adapter_api::Mode::Atomic,
            "statements": job.treatment.statements,
            "statements_done": job.treatment.already_done,
            "checksum": job.step.checksum.as_ref().map(ToString::to_string),
            "file": job.script.path.display().to_string(),
            "remarks": job.treatment.remarks,
            "sql": human::sql(job)?,
        }))
    };
    let migrations = preview.jobs.iter().map(migration).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "database": subject.database, "adapter": subject.adapter, "migrations": migrations }))
}

/// Returns where a plan was written.
pub(super) fn plan_written(file: &Path, preview: &Preview, subject: &Subject) -> Value {
    let ids: Vec<&str> = preview.jobs.iter().map(|job| job.step.id.0.as_str()).collect();
    json!({ "database": subject.database, "out": file.display().to_string(), "migrations": ids })
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

/// Returns how the migrations stand.
pub(super) fn status(status: &Status, subject: &Subject) -> Value {
    let migrations: Vec<Value> = status
        .migrations
        .iter()
        .map(|migration| {
            json!({
                "id": migration.id.0,
                "state": migration.state.word(),
                "applied_at": migration.applied_at,
                "duration_ms": migration.duration_ms,
            })
        })
        .collect();
    let counts =
        MigrationState::ALL.iter().map(|state| (state.word().to_owned(), status.count(*state).into()));
    json!({
        "database": subject.database,
        "adapter": subject.adapter,
        "url": subject.url,
        "migrations": migrations,
        "counts": counts.collect::<Map<String, Value>>(),
    })
}

/// Returns every attempt.
pub(super) fn history(history: &History, subject: &Subject) -> Value {
    let rows: Vec<Value> = history
        .rows
        .iter()
        .map(|row| {
            json!({
                "position": row.position,
                "previous": (row.position > 1).then_some(row.position - 1),
                "migration": row.migration,
                "attempt": row.attempt,
                "direction": row.direction.word(),
                "state": row.state.word(),
                "checksum": row.checksum,
                "statements_done": row.statements_done,
                "statements_total": row.statements_total,
                "started_at": row.started_at,
                "finished_at": row.finished_at,
                "lease_ms": row.lease_ms,
                "duration_ms": row.duration_ms,
                "applied_by": row.applied_by,
            })
        })
        .collect();
    json!({ "database": subject.database, "adapter": subject.adapter, "history": rows })
}

/// Returns in what files and history disagree.
pub(super) fn verified(found: &[Problem], subject: &Subject) -> Value {
    json!({ "database": subject.database, "adapter": subject.adapter, "ok": found.is_empty(), "errors": problems(found) })
}

/// Returns what was recorded.
pub(super) fn repaired(id: &Id, settlement: Settlement, subject: &Subject) -> Value {
    let settlement = match settlement {
        Settlement::Applied => "applied",
        Settlement::Reverted => "reverted",
        Settlement::AcceptChecksum => "accept-checksum",
        Settlement::ResumeAt(_) => "resume-at",
    };
    json!({ "database": subject.database, "adapter": subject.adapter, "id": id.0, "recorded": settlement })
}

/// Returns what was taken as applied.
pub(super) fn baselined(taken: &[Id], subject: &Subject) -> Value {
    let ids: Vec<&str> = taken.iter().map(|id| id.0.as_str()).collect();
    json!({ "database": subject.database, "adapter": subject.adapter, "baseline": ids })
}

/// Returns which files were created.
pub(super) fn created(files: &[PathBuf]) -> Value {
    json!({ "created": files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>() })
}

/// Returns which files of an adapter were made, and what to do with them.
pub(super) fn began(made: &Made, next_steps: &[String]) -> Value {
    json!({
        "adapter": made.name,
        "folder": made.folder.display().to_string(),
        "created": made.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
        "library": made.library.display().to_string(),
        "next": next_steps,
    })
}

/// Returns the adapters that were found.
pub(super) fn adapters(inventory: &Inventory) -> Value {
    json!({ "adapters": inventory.found.iter().map(library).collect::<Vec<_>>() })
}

/// Returns what a library says of itself.
pub(super) fn library(found: &Found) -> Value {
    let note = found.note.as_ref();
    json!({
        "name": found.name,
        "version": note.map(|note| &note.version),
        "aliases": note.map(|note| &note.aliases),
        "schemes": note.map(|note| &note.schemes),
        "capabilities": note.map(|note| &note.capabilities),
        "fence": note.map(|note| &note.fence),
        "abi": note.map(|note| &note.abi),
        "api": note.map(|note| &note.api),
        "min_host": note.map(|note| &note.min_host),
        "target": note.map(|note| &note.target),
        "file": found.path.display().to_string(),
        "verdict": found.verdict.to_string(),
    })
}

/// Returns how the choice of an adapter comes about.
pub(super) fn diagnosis(diagnosis: &Diagnosis) -> Value {
    let Diagnosis { database, picked, outcome, passed_over, searched } = diagnosis;
    let picked = picked.as_ref();
    let library = picked.and_then(|picked| picked.library.as_ref());
    let taken = outcome.as_ref().ok();
    let other = |PassedOver { found, reason }: &PassedOver| json!({ "name": found.name, "file": found.path.display().to_string(), "why": reason });
    let folder = |searched: &Searched| json!({ "folder": searched.path.display().to_string(), "outcome": searched.outcome.to_string() });
    json!({
        "database": database,
        "adapter": picked.map(|picked| &picked.adapter),
        "rule": picked.map(|picked| picked.rule.to_string()),
        "file": library.map(|found| found.path.display().to_string()),
        "locked": taken.map(|taken| taken.pinning == Pinning::Locked),
        "url": taken.map(|taken| &taken.url),
        "url_from": taken.map(|taken| &taken.url_from),
        "passed_over": passed_over.iter().map(other).collect::<Vec<_>>(),
        "searched": searched.iter().map(folder).collect::<Vec<_>>(),
    })
}

/// Returns what was locked.
pub(super) fn locked(lock: &Lock) -> Value {
    json!({ "file": lock.path().display().to_string(), "adapters": lock.adapters() })
}

/// Returns what came of one check of the conformance suite.
pub(super) fn checked(checked: &Checked) -> Value {
    let Checked { about, name, verdict } = checked;
    json!({ "about": about, "name": name, "verdict": verdict.word(), "why": verdict.reason() })
}

/// Returns what came of the conformance suite.
pub(super) fn tested(found: &Found, part: Part, report: &Suite, subject: &Subject) -> Value {
    json!({
        "adapter": found.name,
        "version": found.note.as_ref().map(|note| &note.version),
        "file": found.path.display().to_string(),
        "url": subject.url,
        "part": part.word(),
        "checks": report.checks.iter().map(checked).collect::<Vec<_>>(),
        "counts": {
            "passed": report.count("passed"),
            "refused": report.count("refused"),
            "failed": report.count("failed"),
            "not_run": report.count("not run"),
        },
    })
}
