//! The file that `plan --out` writes and `up --plan` keeps to.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::error::{Name, Place, Problem, Result};
use crate::migrator::Preview;
use crate::plan::{self, Direction};
use crate::runner::Job;

/// Writes what would run.
pub(super) fn write(file: &Path, preview: &Preview) -> Result<()> {
    let failed = |error: std::io::Error| {
        Problem::new(Name::Usage, format!("cannot write `{}`", file.display())).caused_by(error.to_string())
    };
    let text = serde_json::to_string_pretty(&PlanFile::of(preview)).map_err(|error| failed(error.into()))?;
    Ok(std::fs::write(file, text + "\n").map_err(failed)?)
}

/// Returns the target of an `up` that runs exactly what the file says, or the problem that it would not.
pub(super) fn check(file: &Path, target: &mut Target) -> Result<plan::Target> {
    let planned = read(file)?;
    let preview = target.migrator.preview(target.connection.as_mut(), Direction::Up, &plan::Target::All)?;
    let now = PlanFile::of(&preview);
    if now == planned {
        // The very migrations that were compared, whatever becomes pending until they run.
        return Ok(plan::Target::Pinned(preview.pins));
    }
    let problem =
        Problem::new(Name::Refused, "what is pending is not what was planned").at(Place::file(file));
    Err(differences(&planned, &now)
        .into_iter()
        .fold(problem, Problem::fact)
        .state("nothing was run")
        .hint("look at the new plan, then write it again with `whimbrel plan --out`")
        .into())
}

/// Says in words how two plans differ.
fn differences(planned: &PlanFile, now: &PlanFile) -> Vec<String> {
    let without = |some: &PlanFile, others: &PlanFile| ids(some, |id, _| others.checksum_of(id).is_none());
    [
        ("not planned", without(now, planned)),
        ("no longer pending", without(planned, now)),
        (
            "edited since",
            ids(now, |id, checksum| planned.checksum_of(id).is_some_and(|before| before != checksum)),
        ),
    ]
    .into_iter()
    .filter(|(_, ids)| !ids.is_empty())
    .map(|(what, ids)| format!("{what}: {}", ids.join(", ")))
    .collect()
}

fn ids(plan: &PlanFile, keep: impl Fn(&str, Option<&str>) -> bool) -> Vec<String> {
    let kept = plan.migrations.iter().filter(|planned| keep(&planned.id, planned.checksum.as_deref()));
    kept.map(|planned| format!("`{}`", planned.id)).collect()
}

fn read(file: &Path) -> Result<PlanFile> {
    let problem = |cause: String| {
        Problem::new(Name::Usage, "the plan cannot be read")
            .at(Place::file(file))
            .caused_by(cause)
            .hint("write it with `whimbrel plan --out`")
    };
    let text = std::fs::read_to_string(file).map_err(|error| problem(error.to_string()))?;
    let plan: PlanFile = serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?;
    if plan.whimbrel_plan != FORM {
        let form = plan.whimbrel_plan;
        return Err(problem(format!("it is of form {form}, and this version reads form {FORM}")).into());
    }
    Ok(plan)
}

/// The form of the file. A number that is not known is refused: what it says may mean something else by then.
const FORM: u32 = 1;

/// What the file says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlanFile {
    whimbrel_plan: u32,
    migrations: Vec<Planned>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Planned {
    id: String,
    checksum: Option<String>,
}

impl PlanFile {
    fn of(preview: &Preview) -> Self {
        let planned = |job: &Job| Planned {
            id: job.step.id.0.clone(),
            checksum: job.step.checksum.as_ref().map(ToString::to_string),
        };
        PlanFile { whimbrel_plan: FORM, migrations: preview.jobs.iter().map(planned).collect() }
    }

    /// Returns the checksum of a migration that is planned, or `None` when it is not.
    fn checksum_of(&self, id: &str) -> Option<Option<&str>> {
        let planned = self.migrations.iter().find(|planned| planned.id == id)?;
        Some(planned.checksum.as_deref())
    }
}
