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
    let preview = target
        .migrator
        .preview(target.connection.as_mut(), Direction::Up, &plan::Target::All)?;
    if content(&preview) == planned {
        return Ok(plan::Target::All);
    }
    let now: Vec<&str> = preview.jobs.iter().map(|job| job.step.id.0.as_str()).collect();
    Err(
        Problem::new(Name::Refused, "what is pending is not what was planned")
            .at(Place::file(file))
            .fact(format!(
                "pending now: {}",
                if now.is_empty() {
                    "nothing".to_owned()
                } else {
                    now.join(", ")
                }
            ))
            .state("nothing was run")
            .hint("look at the new plan, then write it again with `whimbrel plan --out`")
            .into(),
    )
}

fn read(file: &Path) -> Result<Value> {
    let problem = |cause: String| {
        Problem::new(Name::Usage, "the plan cannot be read")
            .at(Place::file(file))
            .caused_by(cause)
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
