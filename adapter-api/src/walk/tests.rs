use super::*;
use crate::work::{Notice, Piece, Rest, Span};

/// An engine that writes down what it is told, and fails where it is told to.
#[derive(Default)]
struct Engine {
    heard: Vec<String>,
    /// The text that fails.
    fails: Option<(&'static str, ErrorKind)>,
    /// The text that changes no row.
    changes_nothing: Option<&'static str>,
    in_transaction: bool,
    keeps: Keeps,
    /// The statement that leaves a part of itself behind when it fails.
    leaves_a_part: Option<&'static str>,
}

/// How the engine knows what stays.
#[derive(Default)]
enum Keeps {
    #[default]
    WhatIsMarked,
    WhatIsOutsideTransactions,
}

impl OneByOne for Engine {
    fn execute(&mut self, statement: &str) -> Result<u64, Error> {
        self.heard.push(statement.to_owned());
        match self.fails {
            Some((text, ErrorKind::ConnectionLost)) if text == statement => return Err(Error::lost("gone")),
            Some((text, kind)) if text == statement => return Err(Error::new(kind, "no")),
            _ => {}
        }
        self.in_transaction = (self.in_transaction || ["begin", "join"].contains(&statement))
            && !["commit", "keep"].contains(&statement);
        Ok(u64::from(self.changes_nothing != Some(statement)))
    }

    fn is_kept(&self, marking: Marking) -> bool {
        match self.keeps {
            Keeps::WhatIsMarked => marking != Marking::Unmarked,
            Keeps::WhatIsOutsideTransactions => !self.in_transaction,
        }
    }

    fn state_after(&self, statement: &str, _error: &Error) -> State {
        if self.leaves_a_part == Some(statement) { State::Unknown } else { State::Committed }
    }

    fn joint(&self) -> Bracket {
        let [begin, commit, roll_back] = ["join", "keep", "drop"].map(str::to_owned);
        Bracket { begin, commit, roll_back }
    }

    fn roll_back(&mut self) -> State {
        if std::mem::take(&mut self.in_transaction) {
            self.heard.push("rollback".to_owned());
        }
        State::RolledBack
    }

    fn enter(&mut self, outside: &[String]) -> Result<(), Error> {
        self.heard.extend(outside.iter().map(|text| format!("enter {text}")));
        Ok(())
    }

    fn check(&mut self) -> Result<(), Error> {
        self.heard.push("check".to_owned());
        Ok(())
    }

    fn leave(&mut self) {
        self.heard.push("leave".to_owned());
    }

    fn opening_error(&self, mut error: Error) -> Error {
        if error.kind == ErrorKind::Constraint {
            error.kind = ErrorKind::FenceTaken;
        }
        error
    }
}

/// Hands out the same script for every head.
struct Batches {
    heads: Vec<Head>,
    script: &'static str,
    spans: Vec<Span>,
    handed_out: bool,
}

impl Batches {
    fn new(heads: Vec<Head>, script: &'static str) -> Self {
        Batches { heads, script, spans: spans(script), handed_out: false }
    }
}

/// Returns the words of a text, each a statement.
fn spans(script: &str) -> Vec<Span> {
    let start = |word: &str| (word.as_ptr() as usize - script.as_ptr() as usize) as u32;
    let span = |word: &str| Span::new(start(word), start(word) + word.len() as u32, Marking::Marked);
    script.split_whitespace().map(span).collect()
}

impl Work for Batches {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        self.handed_out = false;
        Ok(if self.heads.is_empty() { Next::End } else { Next::Batch(self.heads.remove(0)) })
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        if std::mem::replace(&mut self.handed_out, true) {
            return Ok(None);
        }
        Ok(Some(Piece::new(PieceKind::Sql, Rest::Last, self.script.as_bytes(), &self.spans)))
    }
}

#[derive(Default)]
struct Heard {
    finished: Vec<(u32, Result<Done, Failure>)>,
}

impl Events for Heard {
    fn progress(&mut self, _batch: u32, _statements: u64, _bytes: u64) {}

    fn notice(&mut self, _batch: u32, _notice: Notice) {}

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        self.finished.push((batch, outcome));
    }
}

fn texts(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

fn atomic() -> Head {
    let mut head = Head::new("attempt", Mode::Atomic, 2);
    head.opening = texts("begin record");
    head.closing = texts("reset finish commit");
    head.settles = Some(1);
    head
}

fn stepwise() -> Head {
    let mut head = Head::new("attempt", Mode::Stepwise, 2);
    head.opening = texts("record");
    head.mark = Some("mark{done}".to_owned());
    head.closing = texts("finish");
    head.settles = Some(0);
    head.failed = texts("failed{done}");
    head.cleanup = texts("reset");
    head
}

fn walked(mut engine: Engine, heads: Vec<Head>) -> (String, Vec<Result<Done, Failure>>, Result<(), Error>) {
    let mut heard = Heard::default();
    let answer = walk(&mut engine, &mut Batches::new(heads, "a b"), &mut heard);
    assert!(
        heard.finished.iter().map(|(batch, _)| *batch).eq(0..heard.finished.len() as u32),
        "in batch order"
    );
    (engine.heard.join(" "), heard.finished.into_iter().map(|(_, outcome)| outcome).collect(), answer)
}

fn failing(text: &'static str, kind: ErrorKind, head: Head) -> (String, Failure) {
    let engine = Engine { fails: Some((text, kind)), ..Engine::default() };
    let (heard, mut outcomes, _) = walked(engine, vec![head]);
    (heard, outcomes.remove(0).expect_err("it fails"))
}

#[test]
fn an_atomic_batch_runs_in_order_and_is_checked_before_its_commit() {
    let mut head = atomic();
    head.outside = texts("setting");
    let (heard, outcomes, _) = walked(Engine::default(), vec![head]);
    assert_eq!(heard, "enter setting begin record a b reset finish check commit leave");
    assert_eq!(outcomes, [Ok(Done::new(2))]);
}

#[test]
fn a_stepwise_batch_marks_each_statement() {
    let (heard, outcomes, _) = walked(Engine::default(), vec![stepwise(), stepwise()]);
    let once = "record a mark1 b mark2 finish leave";
    assert_eq!(heard, format!("{once} {once}"));
    assert_eq!(outcomes, [Ok(Done::new(2)), Ok(Done::new(2))]);
}

#[test]
fn a_failing_statement_rolls_an_atomic_batch_back() {
    let (heard, failure) = failing("b", ErrorKind::Syntax, atomic());
    assert_eq!(heard, "begin record a b rollback leave");
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(1), 1, 0));
    assert_eq!(failure.state, State::RolledBack);
}

#[test]
fn a_failing_statement_of_a_stepwise_batch_is_recorded_with_what_stays() {
    let (heard, failure) = failing("b", ErrorKind::Syntax, stepwise());
    assert_eq!(heard, "record a mark1 b failed1 reset leave");
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(1), 1, 1));
    assert_eq!(failure.state, State::Committed);
}

/// A row that said how many statements are in would have the failed one run again, on top of what it has left.
#[test]
fn a_failure_that_may_have_left_a_part_is_not_recorded_as_one() {
    let engine =
        Engine { fails: Some(("b", ErrorKind::Other)), leaves_a_part: Some("b"), ..Engine::default() };
    let (heard, outcomes, _) = walked(engine, vec![stepwise()]);
    assert_eq!(heard, "record a mark1 b reset leave");
    let failure = outcomes[0].as_ref().expect_err("it fails");
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(1), 1, 1));
    assert_eq!(failure.state, State::Unknown);
}

#[test]
fn a_lost_fence_never_touches_the_row_of_the_winner() {
    let (heard, failure) = failing("record", ErrorKind::Constraint, stepwise());
    assert_eq!(heard, "record reset leave");
    assert_eq!((failure.phase, failure.error.kind), (Phase::Opening, ErrorKind::FenceTaken));
    assert_eq!((failure.committed, failure.state), (0, State::RolledBack));
}

#[test]
fn a_constraint_in_the_script_is_no_lost_fence() {
    assert_eq!(failing("a", ErrorKind::Constraint, atomic()).1.error.kind, ErrorKind::Constraint);
}

#[test]
fn a_failing_commit_is_told_from_a_failing_closing() {
    assert_eq!(failing("commit", ErrorKind::Constraint, atomic()).1.phase, Phase::Commit);
    assert_eq!(failing("finish", ErrorKind::Other, atomic()).1.phase, Phase::Closing);
}

#[test]
fn a_row_that_does_not_settle_means_that_the_transaction_was_not_ours() {
    let engine = Engine { changes_nothing: Some("finish"), ..Engine::default() };
    let (_, outcomes, _) = walked(engine, vec![atomic()]);
    let failure = outcomes[0].as_ref().expect_err("it did not settle");
    assert_eq!((failure.phase, failure.error.kind), (Phase::Closing, ErrorKind::TransactionEnded));
    assert_eq!(failure.state, State::Unknown);
}

/// Fails statement `bad` of a stepwise `script` whose statements `unmarked` have no mark behind them.
fn failing_script(keeps: Keeps, script: &'static str, unmarked: std::ops::Range<usize>) -> (String, Failure) {
    let engine = Engine { fails: Some(("bad", ErrorKind::Syntax)), keeps, ..Engine::default() };
    failing_at(engine, script, unmarked, Marking::Unmarked)
}

/// Fails a stepwise `script` whose statements `others` are marked in another way.
fn failing_at(
    mut engine: Engine,
    script: &'static str,
    others: std::ops::Range<usize>,
    marking: Marking,
) -> (String, Failure) {
    let mut batches = Batches::new(vec![stepwise()], script);
    for span in &mut batches.spans[others] {
        span.marking = marking.code();
    }
    let mut heard = Heard::default();
    walk(&mut engine, &mut batches, &mut heard).expect("the session is not lost");
    (engine.heard.join(" "), heard.finished.remove(0).1.expect_err("it fails"))
}

#[test]
fn a_joined_mark_shares_a_transaction_with_its_statement() {
    let engine = |fails| Engine { fails: Some((fails, ErrorKind::Constraint)), ..Engine::default() };
    let (heard, failure) = failing_at(engine("bad"), "a b bad", 1..3, Marking::Joined);
    assert_eq!(heard, "record a mark1 join b mark2 keep join bad rollback failed2 reset leave");
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(2), 2, 2));
    let (heard, failure) = failing_at(engine("keep"), "a b", 1..2, Marking::Joined);
    assert_eq!(heard, "record a mark1 join b mark2 keep rollback failed1 reset leave");
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(1), 1, 1));
}

#[test]
fn a_statement_whose_joined_mark_finds_the_migration_taken_over_is_rolled_back() {
    let engine = Engine { changes_nothing: Some("mark2"), ..Engine::default() };
    let (heard, failure) = failing_at(engine, "a b", 1..2, Marking::Joined);
    assert_eq!(heard, "record a mark1 join b mark2 rollback failed1 reset leave");
    assert_eq!((failure.error.kind, failure.completed, failure.committed), (ErrorKind::FenceTaken, 1, 1));
}

#[test]
fn what_the_rollback_takes_back_is_not_counted_as_committed() {
    let (heard, failure) = failing_script(Keeps::WhatIsMarked, "a begin b bad commit", 1..4);
    assert_eq!(heard, "record a mark1 begin b bad rollback failed1 reset leave");
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(3), 3, 1));
    assert_eq!(failure.state, State::Committed);
}

#[test]
fn a_transaction_that_the_script_ended_is_counted_whole() {
    let (heard, failure) = failing_script(Keeps::WhatIsMarked, "a begin b commit bad", 1..3);
    assert_eq!(heard, "record a mark1 begin b commit mark4 bad failed4 reset leave");
    assert_eq!((failure.completed, failure.committed), (4, 4));
}

#[test]
fn an_engine_that_knows_its_transactions_counts_unmarked_statements_outside_them() {
    let (heard, failure) = failing_script(Keeps::WhatIsOutsideTransactions, "a b bad", 1..2);
    assert_eq!(heard, "record a mark1 b bad failed2 reset leave");
    assert_eq!((failure.completed, failure.committed), (2, 2));
    let (_, failure) = failing_script(Keeps::WhatIsOutsideTransactions, "a begin b bad commit", 1..4);
    assert_eq!((failure.completed, failure.committed), (3, 1));
}

#[test]
fn a_session_lost_before_the_commit_leaves_nothing_and_is_not_used_again() {
    let (heard, failure) = failing("b", ErrorKind::ConnectionLost, atomic());
    assert_eq!(heard, "begin record a b");
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(1), 1, 0));
    assert_eq!(failure.state, State::RolledBack);
}

#[test]
fn a_session_lost_at_the_commit_is_in_doubt() {
    let (heard, failure) = failing("commit", ErrorKind::ConnectionLost, atomic());
    assert_eq!(heard, "begin record a b reset finish check commit");
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Commit, 2, 0));
    assert_eq!(failure.state, State::InDoubt);
}

#[test]
fn a_session_lost_between_the_steps_is_in_doubt_behind_what_is_kept() {
    let (heard, failure) = failing("b", ErrorKind::ConnectionLost, stepwise());
    assert_eq!(heard, "record a mark1 b");
    assert_eq!((failure.phase, failure.completed, failure.committed), (Phase::Statement(1), 1, 1));
    assert_eq!(failure.state, State::InDoubt);
}

#[test]
fn a_session_lost_while_the_failure_is_recorded_is_not_used_again() {
    let mut head = stepwise();
    head.closing = texts("nothing");
    head.failed = texts("lost");
    let engine = Engine {
        fails: Some(("lost", ErrorKind::ConnectionLost)),
        changes_nothing: Some("nothing"),
        ..Engine::default()
    };
    let (heard, outcomes, _) = walked(engine, vec![head]);
    assert_eq!(heard, "record a mark1 b mark2 nothing lost");
    let failure = outcomes[0].as_ref().expect_err("it did not settle");
    assert_eq!((failure.error.kind, failure.committed), (ErrorKind::FenceTaken, 2));
}

#[test]
fn a_lost_session_ends_the_walk_after_its_batch_was_reported() {
    let engine = Engine { fails: Some(("a", ErrorKind::ConnectionLost)), ..Engine::default() };
    let (_, outcomes, answer) = walked(engine, vec![atomic(), atomic()]);
    assert_eq!(outcomes.len(), 1);
    assert_eq!(answer.map_err(|error| error.kind), Err(ErrorKind::ConnectionLost));
}
