use std::path::PathBuf;
use std::sync::Arc;

use whimbrel_adapter_api::{
    Class, Connection, Dialect, Done, Error as AdapterError, Events, Facts, Lexer, Liveness, Next, Piece,
    ReadError, RowSet, RowSink, State, TableName, Text, TransactionBody, TransactionOptions, Value, Work,
};

use super::*;
use crate::plan::{Direction, Step, StepScript};
use crate::source::{Content, Id, Script, Transaction};

/// A connection whose `run` is a function, and that writes down what it is handed.
struct Recording<F> {
    run: F,
}

impl<F> Connection for Recording<F>
where
    F: FnMut(&mut dyn Work, &mut dyn Events) -> Result<(), AdapterError> + Send,
{
    fn execute_raw(&mut self, _script: &str) -> Result<(), AdapterError> {
        Err(AdapterError::unsupported("scripts"))
    }

    fn query(&mut self, _: &str, _: &[Value<'_>], _: &mut dyn RowSink) -> Result<(), AdapterError> {
        Err(AdapterError::unsupported("queries"))
    }

    fn read(&mut self, _: &[&str], _: &mut dyn RowSink) -> Result<(), ReadError> {
        Ok(())
    }

    fn table_exists(&mut self, _: &TableName) -> Result<bool, AdapterError> {
        Ok(false)
    }

    fn transaction(
        &mut self,
        _: &TransactionOptions,
        _: &mut TransactionBody<'_>,
    ) -> Result<(), AdapterError> {
        Err(AdapterError::unsupported("transactions"))
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), AdapterError> {
        (self.run)(work, events)
    }

    fn alive(&mut self, _: &str) -> Result<Liveness, AdapterError> {
        Ok(Liveness::Gone)
    }

    fn dialect(&mut self, _: &RowSet) -> Result<Box<dyn Dialect>, AdapterError> {
        Ok(Box::new(Words))
    }

    fn ping(&mut self) -> Result<(), AdapterError> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), AdapterError> {
        Ok(())
    }
}

/// A dialect whose every text is the name of what was asked for.
struct Words;

impl Dialect for Words {
    fn lexer(&self) -> Lexer {
        Lexer::new(&[], &[("VACUUM", Class::NoTransaction)])
    }

    fn facts(&self) -> Facts {
        Facts::default()
    }

    fn quote(&self, identifier: &str) -> String {
        identifier.to_owned()
    }

    fn literal(&self, _: &Value<'_>) -> String {
        "literal".to_owned()
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        Some(vec![match text {
            Text::Begin { .. } => "begin".to_owned(),
            Text::Commit => "commit".to_owned(),
            Text::Limit { .. } => "limit".to_owned(),
            Text::ResetSession => "reset".to_owned(),
            Text::Record { row, .. } => format!("record {}", row.position),
            Text::Mark { position, .. } => format!("mark {position} {{done}}"),
            Text::Finish { position, state, .. } => format!("finish {position} {}", state.word()),
            Text::CreateHistory { .. } => "create".to_owned(),
            _ => return None,
        }])
    }
}

fn job(id: &str, text: &str, mode: Mode) -> Job {
    let script = Script {
        path: PathBuf::from(id),
        first_line: 1,
        content: Content::Bytes(Arc::from(text.as_bytes())),
    };
    Job {
        step: Step {
            id: Id(id.to_owned()),
            direction: Direction::Up,
            attempt: 1,
            script: StepScript::Source(script.clone()),
            resumes: None,
            transaction: Transaction::Whole,
            checksum: None,
            down: None,
            down_transaction: Transaction::Whole,
        },
        script,
        treatment: Treatment {
            mode,
            outside: Vec::new(),
            left_out: std::collections::BTreeSet::new(),
            unmarked: std::collections::BTreeSet::new(),
            joining: script::Joining::Possible,
            own_settings: script::OwnSettings::None,
            statements: text.matches(';').count() as u64,
            already_done: 0,
            scene: Vec::new(),
            remarks: Vec::new(),
        },
        statement_checksums: String::new(),
        down_text: None,
    }
}

struct FromJob;

impl Scripts for FromJob {
    fn open(&self, job: &Job) -> io::Result<Box<dyn Read + Send>> {
        job.script.open()
    }
}

/// Runs `jobs` on an adapter that behaves as `adapter` does.
fn run_with(
    jobs: &[Job],
    adapter: impl FnMut(&mut dyn Work, &mut dyn Events) -> Result<(), AdapterError> + Send,
) -> Outcome {
    run_as(jobs, &FromJob, &Cancellation::default(), adapter)
}

fn run_as(
    jobs: &[Job],
    scripts: &dyn Scripts,
    cancellation: &Cancellation,
    adapter: impl FnMut(&mut dyn Work, &mut dyn Events) -> Result<(), AdapterError> + Send,
) -> Outcome {
    let mut connection = Recording { run: adapter };
    let mut session = session(&mut connection);
    let (history, settings) = (History::default(), Settings::default());
    run(jobs, &history, &mut session, &settings, scripts, &mut Silent, cancellation).expect("texts")
}

fn session(connection: &mut dyn Connection) -> Session<'_> {
    Session {
        connection,
        dialect: Box::new(Words),
        facts: Facts::default(),
        table: TableName::new("history"),
    }
}

/// Pulls everything, answers every batch with success, and writes down what was pulled.
fn obedient(work: &mut dyn Work, events: &mut dyn Events, pulled: &mut Vec<String>) {
    let mut number = 0;
    while let Ok(Next::Batch(head)) = work.next_batch() {
        pulled.extend(head.opening);
        while let Ok(Some(piece)) = work.next_piece() {
            pulled.extend(statements(&piece));
        }
        pulled.extend(head.closing);
        events.finished(number, Ok(Done::new(head.statements)));
        number += 1;
    }
}

fn statements(piece: &Piece<'_>) -> Vec<String> {
    piece.spans.iter().map(|span| piece.statement(span).expect("a statement").to_owned()).collect()
}

fn failed(outcome: &Outcome) -> ErrorKind {
    match &outcome.ending {
        Ending::Failed(failure) => failure.error.kind,
        other => panic!("the run should have failed: {other:?}"),
    }
}

#[test]
fn the_row_goes_in_first_and_the_session_is_reset_before_it_is_finished() {
    let mut pulled = Vec::new();
    let jobs = [job("a", "x; y;", Mode::Atomic), job("b", "z;", Mode::Stepwise)];
    let outcome = run_with(&jobs, |work, events| {
        obedient(work, events, &mut pulled);
        Ok(())
    });
    assert!(matches!(outcome.ending, Ending::Done));
    let atomic = ["begin", "record 1", "x", "y", "reset", "finish 1 applied", "commit"];
    let stepwise = ["record 2", "limit", "z", "reset", "finish 2 applied"];
    assert_eq!(pulled, [&atomic[..], &stepwise[..]].concat());
}

#[test]
fn a_stepwise_batch_carries_its_mark_its_failure_and_its_cleanup() {
    let mut heads = Vec::new();
    let _ = run_with(&[job("a", "x;", Mode::Stepwise)], |work, events| {
        while let Ok(Next::Batch(head)) = work.next_batch() {
            heads.push(head);
            events.finished(0, Ok(Done::new(1)));
        }
        Ok(())
    });
    let head = &heads[0];
    assert_eq!(head.mark.as_deref(), Some("mark 1 {done}"));
    assert_eq!(head.failed, ["finish 1 failed"]);
    assert_eq!(head.cleanup, ["reset"]);
    assert_eq!(head.settles.map(|index| head.closing[index as usize].as_str()), Some("finish 1 applied"));
}

#[test]
fn nothing_is_handed_out_while_a_batch_is_on_its_way() {
    let mut second = None;
    let jobs = [job("a", "x;", Mode::Atomic), job("b", "y;", Mode::Atomic)];
    let _ = run_with(&jobs, |work, _| {
        let _ = work.next_batch();
        second = work.next_batch().ok();
        Ok(())
    });
    assert!(matches!(second, Some(Next::Later)));
}

#[test]
fn nothing_is_handed_out_after_a_failure() {
    let mut after = None;
    let jobs = [job("a", "x;", Mode::Atomic), job("b", "y;", Mode::Atomic)];
    let outcome = run_with(&jobs, |work, events| {
        let _ = work.next_batch();
        let error = AdapterError::new(ErrorKind::Syntax, "no");
        events.finished(0, Err(Failure::rolled_back(Phase::Statement(0), error, 0)));
        after = work.next_batch().ok();
        Ok(())
    });
    assert!(matches!(after, Some(Next::End)));
    assert_eq!(failed(&outcome), ErrorKind::Syntax);
}

#[test]
fn a_lost_fence_in_the_opening_is_no_failure() {
    let fence = |phase| {
        run_with(&[job("a", "x;", Mode::Atomic)], move |work, events| {
            let _ = work.next_batch();
            let error = AdapterError::new(ErrorKind::FenceTaken, "taken");
            events.finished(0, Err(Failure::rolled_back(phase, error, 0)));
            Ok(())
        })
        .ending
    };
    assert!(matches!(fence(Phase::Opening), Ending::FenceTaken(_)));
    assert!(
        matches!(fence(Phase::Statement(0)), Ending::Failed(_)),
        "nobody takes a fence in the middle of a script"
    );
}

#[test]
fn an_adapter_that_lies_is_caught() {
    let jobs = [job("a", "x; y;", Mode::Atomic)];
    let silent = run_with(&jobs, |work, _| {
        let _ = work.next_batch();
        Ok(())
    });
    assert_eq!(failed(&silent), ErrorKind::Misbehaved, "returns without an answer");
    let miscounting = run_with(&jobs, |work, events| {
        let _ = work.next_batch();
        events.finished(0, Ok(Done::new(1)));
        Ok(())
    });
    assert_eq!(failed(&miscounting), ErrorKind::Misbehaved, "one of two statements ran");
    let premature = run_with(&jobs, |_, events| {
        events.finished(0, Ok(Done::new(2)));
        Ok(())
    });
    assert_eq!(failed(&premature), ErrorKind::Misbehaved, "answers what it was not handed");
    let twice = run_with(&jobs, |work, events| {
        let _ = work.next_batch();
        events.finished(0, Ok(Done::new(2)));
        events.finished(0, Ok(Done::new(2)));
        Ok(())
    });
    assert_eq!(failed(&twice), ErrorKind::Misbehaved, "answers twice");
}

#[test]
fn a_session_lost_between_two_batches_is_a_failure() {
    let outcome = run_with(&[job("a", "x;", Mode::Atomic)], |_, _| Err(AdapterError::lost("gone")));
    assert_eq!(failed(&outcome), ErrorKind::ConnectionLost);
}

#[test]
fn a_script_that_cannot_be_read_stops_its_batch() {
    struct Changed;
    impl Scripts for Changed {
        fn open(&self, _: &Job) -> io::Result<Box<dyn Read + Send>> {
            Err(io::Error::other("changed"))
        }
    }
    let outcome = run_as(&[job("a", "x;", Mode::Atomic)], &Changed, &Cancellation::default(), |work, _| {
        assert!(work.next_batch().is_err());
        Ok(())
    });
    let Ending::Unreadable(failure, problem) = outcome.ending else { panic!("it was read") };
    assert_eq!((failure.state, problem.name), (State::RolledBack, Name::ChangedWhileRead));
}

#[test]
fn a_cancelled_run_hands_nothing_out() {
    let cancellation = Cancellation::default();
    cancellation.cancel();
    let outcome = run_as(&[job("a", "x;", Mode::Atomic)], &FromJob, &cancellation, |work, _| {
        assert!(work.next_batch().is_err());
        Ok(())
    });
    assert!(matches!(outcome.ending, Ending::Stopped(None)));
}

#[test]
fn the_name_of_an_attempt_fits_where_servers_keep_it() {
    let mut connection = Recording { run: |_: &mut dyn Work, _: &mut dyn Events| Ok(()) };
    assert!(attempt_name(&session(&mut connection), i64::MAX).len() <= 63);
}
