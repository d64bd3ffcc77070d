//! Goes on with a script that an earlier attempt left in the middle.
//!
//! What is in the database must be what the script still says, and the statement at which the attempt ended must be
//! known not to be in: it failed, or nothing that it would have left is there.
//!
//! Decides nothing by itself that could run a statement twice; what cannot be known is the user's to say.

use super::{Options, failure};
use crate::error::{Name, Place, Problem, Result};
use crate::history::{Session, Trace};
use crate::plan::{self, NextStatement, Resumed, Step};
use crate::script::checksums::{Checksums, Comparison};
use crate::script::{self, Outline, Special, Treatment};
use crate::source::Script;

/// Returns the treatment of the part of a script that an earlier attempt did not reach.
///
/// # Errors
///
/// Statements that were changed since, and those of which it is not known whether they are in the database.
pub(super) fn treatment(
    whole: Treatment,
    outline: &Outline,
    checksums: &Checksums,
    script: &Script,
    (step, resumed): (&Step, &Resumed),
    session: &mut Session<'_>,
    options: &Options,
) -> Result<Treatment> {
    let halt = Halt { step, resumed, script, database: &options.database };
    let done = resumed.statements_done;
    let is_unchanged = match (done, resumed.next) {
        // Of nothing that is in the database nothing can have been changed.
        (0, NextStatement::NotApplied) => true,
        _ => {
            let stored = session.read_statement_checksums(resumed.position)?;
            let Some(then) = stored.as_deref().and_then(Checksums::parse) else {
                return Err(halt.unknown("the history keeps no checksums of its statements").into());
            };
            halt.compare(&then, checksums, &whole, session)?;
            then.compare(checksums, done + 1) == Comparison::Same
        }
    };
    let removals = match script::statement(script, &session.dialect.lexer(), whole.index_in_file(done)) {
        Some(statement) if done < whole.statements => {
            halt.removals(session.traces(&statement.text)?, is_unchanged, &whole, session)?
        }
        _ => Vec::new(),
    };
    let resumed = whole.resumed(done, outline).map_err(|special| halt.session_state(special))?;
    let scene = [resumed.scene, removals].concat();
    let remark = match done {
        0 => return Ok(Treatment { scene, ..resumed }),
        done if done == resumed.statements => "all of its statements are in the database already".to_owned(),
        done => format!(
            "goes on at statement {} of {}: those before it are in the database",
            done + 1,
            resumed.statements
        ),
    };
    let remarks = [vec![remark], resumed.remarks].concat();
    Ok(Treatment { scene, remarks, ..resumed })
}

/// What is said when a script cannot be gone on with.
struct Halt<'a> {
    step: &'a Step,
    resumed: &'a Resumed,
    script: &'a Script,
    database: &'a str,
}

impl Halt<'_> {
    /// Checks that the statements that are in the database are those of the script.
    fn compare(
        &self,
        then: &Checksums,
        now: &Checksums,
        whole: &Treatment,
        session: &Session<'_>,
    ) -> Result<(), Problem> {
        match then.compare(now, self.resumed.statements_done) {
            Comparison::Same => Ok(()),
            Comparison::Changed(index) => Err(self.changed(index, whole, session)),
            Comparison::Unknown => Err(self.unknown("the script was edited, and is too long to tell where")),
        }
    }

    /// Returns the statements that take away what the statement at which the attempt ended has left.
    fn removals(
        &self,
        traces: Option<Vec<Trace>>,
        is_unchanged: bool,
        whole: &Treatment,
        session: &Session<'_>,
    ) -> Result<Vec<String>, Problem> {
        let removals = || traces.iter().flatten().filter_map(|trace| trace.removal.clone());
        let in_flight = self.resumed.next == NextStatement::InFlight;
        let is_clear =
            traces.as_ref().is_some_and(|traces| traces.iter().all(|trace| trace.removal.is_some()));
        if in_flight && !(is_clear && is_unchanged) {
            let problem = self.in_flight(whole, session);
            let problem = if is_unchanged { problem } else { problem.fact("and it was edited since") };
            return Err(traces
                .into_iter()
                .flatten()
                .fold(problem, |problem, trace| problem.fact(trace.what)));
        }
        Ok(removals().collect())
    }

    fn what(&self) -> String {
        plan::attempt(&self.step.id.0, self.step.direction)
    }

    /// The applied part was edited.
    fn changed(&self, index: u64, whole: &Treatment, session: &Session<'_>) -> Problem {
        let (id, done, database) = (&self.step.id, self.resumed.statements_done, self.database);
        let message = format!(
            "{} stopped after {done} statements, and its statement {} was changed since",
            self.what(),
            index + 1
        );
        Problem::new(Name::EditedAfterApply, message)
            .at(self.place(index, whole, session))
            .state(format!("{}; nothing was run", failure::in_part(done, id, self.step.direction)))
            .hint(format!(
                "restore statement {} and put the change behind statement {done}, or in a new migration; or settle it by hand \
                 and say so: `whimbrel repair {database} {id} --applied` or `--reverted`",
                index + 1
            ))
    }

    /// The runner died over a statement that may be in the database or not.
    fn in_flight(&self, whole: &Treatment, session: &Session<'_>) -> Problem {
        let (id, done, database) = (&self.step.id, self.resumed.statements_done, self.database);
        let next = done + 1;
        let message = format!("the run that was at work on statement {next} of {} is gone", self.what());
        Problem::new(Name::PartlyApplied, message)
            .at(self.place(done, whole, session))
            .state(format!(
                "{}; statement {next} may be in the database or not",
                failure::in_part(done, id, self.step.direction)
            ))
            .hint(format!(
                "look whether it is in, then say so: `whimbrel repair {database} {id} --resume-at {}` if it is, `--resume-at \
                 {next}` if it is not; then go on with `whimbrel {} {database}`",
                next + 1,
                self.step.direction.command(),
            ))
    }

    fn session_state(&self, special: &Special) -> Problem {
        let message = format!(
            "{} stopped after {} statements, and what its line {} made ended with the session",
            self.what(),
            self.resumed.statements_done,
            special.line
        );
        let place = Place::position(&self.script.path, special.line, special.column);
        self.by_hand(Problem::new(Name::PartlyApplied, message).at(place.with_excerpt(&special.text)))
    }

    fn unknown(&self, why: &str) -> Problem {
        let message = format!("{} stopped after {} statements", self.what(), self.resumed.statements_done);
        self.by_hand(Problem::new(Name::PartlyApplied, message).at(Place::file(&self.script.path)).fact(why))
    }

    fn by_hand(&self, problem: Problem) -> Problem {
        let (id, database) = (&self.step.id, self.database);
        problem
            .state(failure::in_part(self.resumed.statements_done, id, self.step.direction))
            .hint(format!(
                "finish or undo it by hand and say so: `whimbrel repair {database} {id} --applied` or `--reverted`"
            ))
    }

    fn place(&self, index: u64, whole: &Treatment, session: &Session<'_>) -> Place {
        let place = script::locate(self.script, &session.dialect.lexer(), whole.index_in_file(index), 0);
        place.unwrap_or_else(|| Place::file(&self.script.path))
    }
}
