//! Goes on with a script that an earlier attempt left in the middle.
//!
//! What is in the database must be what the script still says, and of the statement at which the attempt ended it must be
//! known whether it is in: it failed, its mark tells, or the catalogue does.
//!
//! Decides nothing by itself that could run a statement twice or leave one out; what cannot be known is the user's to say.

use whimbrel_adapter_api::Marking;

use super::failure;
use crate::error::{Name, Place, Problem, Result};
use crate::history::{Session, Trace, Verdict};
use crate::plan::{self, NextStatement, Resumed, Step};
use crate::script::checksums::{Checksums, Comparison};
use crate::script::{self, Outline, Rules, Special, Treatment};
use crate::source::Script;

/// A script as it would run from its start.
pub(super) struct Whole<'a> {
    pub(super) script: &'a Script,
    pub(super) rules: &'a Rules,
    pub(super) outline: &'a Outline,
    pub(super) checksums: &'a Checksums,
    pub(super) treatment: Treatment,
}

/// Returns the treatment of the part of a script that an earlier attempt did not reach.
///
/// # Errors
///
/// Statements that were changed since, and those of which it is not known whether they are in the database.
pub(super) fn treatment(
    whole: Whole<'_>,
    step: &Step,
    resumed: &Resumed,
    session: &mut Session<'_>,
    database: &str,
) -> Result<Treatment> {
    let halt = Halt { whole: &whole, step, resumed, database };
    let then = halt.compare(session)?;
    let (done, removals) = match halt.look(then, session)? {
        Found::Done => (resumed.statements_done + 1, Vec::new()),
        Found::NotDone { removals } => (resumed.statements_done, removals),
    };
    let rest = whole.treatment.clone().resumed(done, whole.outline);
    let rest = rest.map_err(|special| halt.session_state(special))?;
    let scene = [rest.scene, removals].concat();
    let remark = match done {
        0 => return Ok(Treatment { scene, ..rest }),
        done if done == rest.statements => "all of its statements are in the database already".to_owned(),
        done => format!(
            "goes on at statement {} of {}: those before it are in the database",
            done + 1,
            rest.statements
        ),
    };
    let remarks = [vec![remark], rest.remarks].concat();
    Ok(Treatment { scene, remarks, ..rest })
}

/// What is known of the statement at which the attempt ended, from its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It is what it was, and its mark followed it so.
    Unchanged(Marking),
    Edited,
}

/// What is in the database of the statement at which the attempt ended.
enum Found {
    /// All of it.
    Done,
    /// Nothing, once these statements have run.
    NotDone { removals: Vec<String> },
}

/// What is said when a script cannot be gone on with.
struct Halt<'a> {
    whole: &'a Whole<'a>,
    step: &'a Step,
    resumed: &'a Resumed,
    database: &'a str,
}

impl Halt<'_> {
    /// Checks that the statements that are in the database are those of the script.
    fn compare(&self, session: &mut Session<'_>) -> Result<Then> {
        let (done, now) = (self.resumed.statements_done, self.whole.checksums);
        // Of nothing that is in the database nothing can have been changed.
        if (done, self.resumed.next) == (0, NextStatement::NotApplied) {
            return Ok(Then::Unchanged(Marking::Unmarked));
        }
        let stored = session.read_statement_checksums(self.resumed.position)?;
        let Some(then) = stored.as_deref().and_then(Checksums::parse) else {
            return Err(self.unknown("the history keeps no checksums of its statements").into());
        };
        match then.compare(now, done) {
            // Where nothing is noted of its mark, as of a script that was to be one transaction, none is trusted.
            Comparison::Same if then.compare(now, done + 1) == Comparison::Same => {
                Ok(Then::Unchanged(then.marking(done).unwrap_or(Marking::Unmarked)))
            }
            Comparison::Same => Ok(Then::Edited),
            Comparison::Changed(index) => Err(self.changed(index).into()),
            Comparison::Unknown => {
                Err(self.unknown("the script was edited, and is too long to tell where").into())
            }
        }
    }

    /// Looks what is in the database of the statement at which the attempt ended.
    fn look(&self, then: Then, session: &mut Session<'_>) -> Result<Found> {
        let (done, Whole { script, rules, treatment, .. }) = (self.resumed.statements_done, self.whole);
        let nothing = Found::NotDone { removals: Vec::new() };
        let index = treatment.index_in_file(done);
        let statement = script::statement(script, rules, index).filter(|_| done < treatment.statements);
        let Some(statement) = statement else { return Ok(nothing) };
        if then == Then::Unchanged(Marking::Joined) {
            return self.look_at_joined(&statement.text, session).map(|()| nothing);
        }
        let settings = treatment.settings(done, self.whole.outline);
        let traces = session.traces(&statement.text, &settings, Some(self.resumed.position))?;
        let is_told = traces.is_some();
        let traces = traces.unwrap_or_default();
        let all = |is: fn(&Trace) -> bool| is_told && traces.iter().all(is);
        match (self.resumed.next, then) {
            (NextStatement::NotApplied, _) => {}
            (NextStatement::InFlight, Then::Unchanged(_)) if all(|trace| trace.removal.is_some()) => {}
            // Behind one without a mark others may have been done too.
            (NextStatement::InFlight, Then::Unchanged(Marking::Marked))
                if all(|trace| trace.verdict == Verdict::Done) =>
            {
                return Ok(Found::Done);
            }
            (NextStatement::InFlight, _) => {
                let what = traces.into_iter().map(|trace| trace.what).collect();
                return Err(self.in_flight(then, what).into());
            }
        }
        let removals = traces.into_iter().filter_map(|trace| trace.removal).collect();
        Ok(Found::NotDone { removals })
    }

    /// A statement that shares a transaction with its mark would have been marked if it were in, unless there is something
    /// that no transaction takes back.
    fn look_at_joined(&self, statement: &str, session: &mut Session<'_>) -> Result<()> {
        if self.resumed.next == NextStatement::NotApplied {
            return Ok(());
        }
        let settings = self.whole.treatment.settings(self.resumed.statements_done, self.whole.outline);
        let unknown = || vec!["it cannot be told whether everything in it is taken back".to_owned()];
        let found = session.without_rollback(statement, &settings)?.unwrap_or_else(unknown);
        match found.as_slice() {
            [] => Ok(()),
            _ => Err(self.in_flight(Then::Unchanged(Marking::Joined), found).into()),
        }
    }

    fn what(&self) -> String {
        plan::attempt(&self.step.id.0, self.step.direction)
    }

    /// The applied part was edited.
    fn changed(&self, index: u64) -> Problem {
        let (id, done, database) = (&self.step.id, self.resumed.statements_done, self.database);
        let message = format!(
            "{} stopped after {done} statements, and its statement {} was changed since",
            self.what(),
            index + 1
        );
        Problem::new(Name::EditedAfterApply, message)
            .at(self.place(index))
            .state(format!("{}; nothing was run", failure::in_part(done, id, self.step.direction)))
            .hint(format!(
                "restore statement {} and put the change behind statement {done}, or in a new migration; or settle it by hand \
                 and say so: `whimbrel repair {database} {id} --applied` or `--reverted`",
                index + 1
            ))
    }

    /// The runner died over a statement that may be in the database or not.
    fn in_flight(&self, then: Then, found: Vec<String>) -> Problem {
        let (id, done, database) = (&self.step.id, self.resumed.statements_done, self.database);
        let (number, is_joined) = (done + 1, then == Then::Unchanged(Marking::Joined));
        let message = format!("the run that was at work on statement {number} of {} is gone", self.what());
        let facts = (then == Then::Edited).then(|| "and it was edited since".to_owned());
        let problem = Problem::new(Name::PartlyApplied, message)
            .at(self.place(done))
            .state(format!(
                "{}; statement {number} {}may be in the database or not",
                failure::in_part(done, id, self.step.direction),
                // Neighbours may share a transaction.
                if is_joined { "and those right behind it " } else { "" },
            ))
            .hint(format!(
                "look {}; then go on with `whimbrel {} {database}`",
                if is_joined {
                    format!(
                        "which of them are in, then say so: `whimbrel repair {database} {id} --resume-at N`, where N is the \
                         first one that is not"
                    )
                } else {
                    format!(
                        "whether it is in, then say so: `whimbrel repair {database} {id} --resume-at {}` if it is, \
                         `--resume-at {number}` if it is not",
                        number + 1
                    )
                },
                self.step.direction.command(),
            ));
        facts.into_iter().chain(found).fold(problem, Problem::fact)
    }

    fn session_state(&self, special: &Special) -> Problem {
        let message = format!(
            "{} stopped after {} statements, and what its line {} made ended with the session",
            self.what(),
            self.resumed.statements_done,
            special.line
        );
        let place = Place::position(&self.whole.script.path, special.line, special.column);
        self.by_hand(Problem::new(Name::PartlyApplied, message).at(place.with_excerpt(&special.text)))
    }

    fn unknown(&self, why: &str) -> Problem {
        let done = self.resumed.statements_done;
        let message = match self.resumed.next {
            NextStatement::NotApplied => format!("{} stopped after {done} statements", self.what()),
            NextStatement::InFlight => {
                format!("the run that was at work on statement {} of {} is gone", done + 1, self.what())
            }
        };
        self.by_hand(
            Problem::new(Name::PartlyApplied, message).at(Place::file(&self.whole.script.path)).fact(why),
        )
    }

    fn by_hand(&self, problem: Problem) -> Problem {
        let (id, database) = (&self.step.id, self.database);
        problem
            .state(failure::in_part(self.resumed.statements_done, id, self.step.direction))
            .hint(format!(
                "finish or undo it by hand and say so: `whimbrel repair {database} {id} --applied` or `--reverted`"
            ))
    }

    fn place(&self, index: u64) -> Place {
        let Whole { script, rules, treatment, .. } = self.whole;
        let place = script::locate(script, rules, treatment.index_in_file(index), 0);
        place.unwrap_or_else(|| Place::file(&script.path))
    }
}
