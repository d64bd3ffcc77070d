//! The file that `plan --out` writes and `up --plan` keeps to.

use std::path::Path;

use serde_json::{Value, json};

use super::target::Target;
use crate::error::{Name, Place, Problem, Result};
use crate::migrator::Preview;
use crate::plan::{self, Direction};

/// Writes what would run.
pub(super) fn write(file: &Path, preview: &Preview) -> Result<()> {
    let text = format!("{:#}\n", content(preview));
    let failed = |error: std::io::Error| {
        Problem::new(Name::Usage, format!("cannot write `{}`", file.display())).caused_by(error.to_string())
    };
    Ok(std::fs::write(file, text).map_err(failed)?)
}

/// Returns the target of an `up` that runs exactly what the file says, or the problem that it would not.
pub(super) fn check(file: &Path, target: &mut Target) -> Result<plan::Target> {
    let planned = read(file)?;
    let preview = target.migrator.preview(target.connection.as_mut(), Direction::Up, &plan::Target::All)?;
    if content(&preview) == planned {
        // The very migrations that were compared, whatever becomes pending until they run.
        return Ok(plan::Target::Pinned(preview.pins));
    }
    let problem =
        Problem::new(Name::Refused, "what is pending is not what was planned").at(Place::file(file));
    Err(differences(&planned, &content(&preview))
        .into_iter()
        .fold(problem, Problem::fact)
        .state("nothing was run")
        .hint("look at the new plan, then write it again with `whimbrel plan --out`")
        .into())
}

/// Says in words how two plans differ.
fn differences(planned: &Value, now: &Value) -> Vec<String> {
    let (planned, now) = (migrations(planned), migrations(now));
    let without = |some: &[(&str, &Value)], others: &[(&str, &Value)]| {
        let unknown = |(id, _): &&(&str, &Value)| !others.iter().any(|(other, _)| id == other);
        some.iter().filter(unknown).map(|(id, _)| format!("`{id}`")).collect::<Vec<_>>()
    };
    let edited = now
        .iter()
        .filter(|(id, checksum)| planned.iter().any(|(other, before)| id == other && checksum != before));
    let edited: Vec<String> = edited.map(|(id, _)| format!("`{id}`")).collect();
    [
        ("not planned", without(&now, &planned)),
        ("no longer pending", without(&planned, &now)),
        ("edited since", edited),
    ]
    .into_iter()
    .filter(|(_, ids)| !ids.is_empty())
    .map(|(what, ids)| format!("{what}: {}", ids.join(", ")))
    .collect()
}

fn migrations(plan: &Value) -> Vec<(&str, &Value)> {
    let entries = plan["migrations"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| Some((entry["id"].as_str()?, &entry["checksum"]))).collect()
}

fn read(file: &Path) -> Result<Value> {
    let problem = |cause: String| {
        Problem::new(Name::Usage, "the plan cannot be read")
            .at(Place::file(file))
            .caused_by(cause)
            .hint("write it with `whimbrel plan --out`")
    };
    let text = std::fs::read_to_string(file).map_err(|error| problem(error.to_string()))?;
    Ok(serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?)
}

fn content(preview: &Preview) -> Value {
    let migration = |job: &crate::runner::Job| {
        let checksum = job.step.checksum.as_ref().map(ToString::to_string);
        json!({ "id": job.step.id.0, "checksum": checksum })
    };
    json!({ "whimbrel_plan": 1, "migrations": preview.jobs.iter().map(migration).collect::<Vec<_>>() })
}
