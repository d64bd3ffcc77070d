use std::path::PathBuf;
use std::sync::Arc;

use whimbrel_adapter_api::{
    Class, Commit, Connection, Dialect, Done, Error as AdapterError, Events, Facts, Head, Lexer, Liveness,
    Next, Piece, ReadError, RowSet, RowSink, State, Stop, TableName, Text, TransactionBody,
    TransactionOptions, Value, Work,
};

use super::*;
use crate::plan::{Direction, Step, StepScript};
use crate::script::Rules;
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
        Ok(Box::new(Words { implicit: Class::NoTransaction }))
    }

    fn ping(&mut self) -> Result<(), AdapterError> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), AdapterError> {
        Ok(())
    }
}

/// A dialect whose every text is the name of what was asked for.
///
/// `implicit` is what its one pattern does to transactions.
struct Words {
    implicit: Class,
}

impl Dialect for Words {
    fn lexer(&self) -> Lexer {
        Lexer::new(&[], &[("VACUUM", self.implicit)])
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
            Text::Record { row, .. } => {
                format!("record {}{}", row.position, row.lease.map_or("", |_| " with a lease"))
            }
            Text::Mark { position, .. } => format!("mark {position} {{done}}"),
            Text::Finish { position, state, .. } => format!("finish {position} {}", state.word()),
            Text::CreateHistory { .. } => "create".to_owned(),
            Text::History { .. } => "read history".to_owned(),
            Text::StatementChecksums { .. } => "read checksums".to_owned(),
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

fn run_observed(
    jobs: &[Job],
    grouping: Grouping,
    observer: &mut dyn Observer,
    adapter: impl FnMut(&mut dyn Work, &mut dyn Events) -> Result<(), AdapterError> + Send,
) -> Outcome {
    let mut connection = Recording { run: adapter };
    let mut session = session(&mut connection);
    let settings = Settings { grouping, ..Settings::default() };
    let history = History::default();
    run(jobs, &history, &mut session, &settings, &FromJob, observer, &Cancellation::default()).expect("texts")
}

fn session(connection: &mut dyn Connection) -> Session<'_> {
    let dialect = Words { implicit: Class::NoTransaction };
    Session {
        connection,
        rules: Rules::new(&dialect.lexer()).expect("its patterns are sound"),
        dialect: Box::new(dialect),
        facts: Facts::default(),
        unknown: None,
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
    let stepwise = ["record 2 with a lease", "limit", "z", "reset", "finish 2 applied"];
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
fn an_atomic_batch_records_its_failure_only_where_something_may_commit_by_itself() {
    let failed = |implicit| {
        let mut connection = Recording { run: |_: &mut dyn Work, _: &mut dyn Events| Ok(()) };
        let mut session = session(&mut connection);
        session.rules = Rules::new(&Words { implicit }.lexer()).expect("its patterns are sound");
        let heads = head::all(&[job("a", "x;", Mode::Atomic)], 1, &session, &Settings::default());
        heads.expect("texts").remove(0).failed
    };
    assert_eq!(failed(Class::NoTransaction), [""; 0]);
    assert_eq!(failed(Class::ImplicitCommit), ["finish 1 failed"]);
}

#[test]
fn only_a_record_that_was_being_committed_is_in_doubt() {
    let mut connection = Recording { run: |_: &mut dyn Work, _: &mut dyn Events| Ok(()) };
    let session = session(&mut connection);
    let state = |state| {
        let error = AdapterError::new(ErrorKind::Permission, "no");
        not_recorded(&Failure::new(Phase::Opening, error, 0, 0, state), &session).state
    };
    assert_eq!(state(State::RolledBack), None, "the command says by itself that nothing was changed");
    assert!(state(State::InDoubt).is_some_and(|state| state.starts_with("it is either recorded or not")));
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
    let state = |outcome: Outcome| match outcome.ending {
        Ending::Failed(failure) => (failure.error.kind, failure.state),
        other => panic!("the run should have failed: {other:?}"),
    };
    let jobs = [job("a", "x;", Mode::Atomic)];
    let before = run_with(&jobs, |_, _| Err(AdapterError::lost("gone")));
    assert_eq!(state(before), (ErrorKind::ConnectionLost, State::RolledBack), "nothing was handed out");
    let meanwhile = run_with(&jobs, |work, _| {
        let _ = work.next_batch();
        Err(AdapterError::lost("gone"))
    });
    assert_eq!(state(meanwhile), (ErrorKind::ConnectionLost, State::Unknown), "nothing was said about it");
    let behind = run_with(&jobs, |work, events| {
        let _ = work.next_batch();
        events.finished(0, Ok(Done::new(1)));
        Err(AdapterError::lost("gone"))
    });
    assert_eq!(state(behind), (ErrorKind::ConnectionLost, State::RolledBack), "all of it was answered");
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
        assert!(matches!(work.next_batch(), Ok(Next::End)));
        Ok(())
    });
    let Ending::Unreadable(failure, problem) = outcome.ending else { panic!("it was read") };
    assert_eq!((failure.state, problem.name), (State::RolledBack, Name::ChangedWhileRead));
}

#[test]
fn a_run_that_is_cancelled_in_a_script_was_stopped() {
    let cancellation = Cancellation::default();
    let outcome = run_as(&[job("a", "x;", Mode::Atomic)], &FromJob, &cancellation, |work, events| {
        let _ = work.next_batch();
        cancellation.cancel();
        assert_eq!(work.next_piece().err(), Some(Stop));
        let error = AdapterError::new(ErrorKind::Stopped, "stopped");
        events.finished(0, Err(Failure::rolled_back(Phase::Statement(0), error, 0)));
        Ok(())
    });
    assert!(matches!(outcome.ending, Ending::Stopped(Some(_))));
}

/// An observer that writes down what it hears.
#[derive(Default)]
struct Listening(Vec<String>);

impl Observer for Listening {
    fn started(&mut self, job: &Job) {
        self.0.push(format!("{} begins", job.step.id));
    }

    fn progress(&mut self, job: &Job, statements: u64, bytes: u64) {
        self.0.push(format!("{} at {statements}, {bytes} bytes", job.step.id));
    }

    fn notice(&mut self, job: &Job, notice: &Notice) {
        self.0.push(format!("{}: {}", job.step.id, notice.message));
    }

    fn finished(&mut self, job: &Job, _: Duration) {
        self.0.push(format!("{} ends", job.step.id));
    }
}

#[test]
fn progress_is_counted_from_the_start_of_a_script_that_is_gone_on_with() {
    let mut rest = job("a", "x; y; z;", Mode::Stepwise);
    rest.treatment.already_done = 2;
    let mut observer = Listening::default();
    let _ = run_observed(&[rest], Grouping::Strict, &mut observer, |work, events| {
        let _ = work.next_batch();
        events.notice(0, Notice::new("NOTICE", None, "nearly there"));
        events.progress(0, 1, 2);
        events.finished(0, Ok(Done::new(1)));
        Ok(())
    });
    assert_eq!(observer.0, ["a begins", "a: nearly there", "a at 3, 2 bytes", "a ends"]);
}

/// Pulls all there is before it answers anything.
fn all_heads(work: &mut dyn Work) -> Vec<Head> {
    std::iter::from_fn(|| match work.next_batch() {
        Ok(Next::Batch(head)) => Some(head),
        _ => None,
    })
    .collect()
}

fn three() -> [Job; 3] {
    ["a", "b", "c"].map(|id| job(id, "x;", Mode::Atomic))
}

fn refused(kind: ErrorKind, phase: Phase, state: State) -> Result<Done, Failure> {
    Err(Failure::new(phase, AdapterError::new(kind, "no"), 0, 0, state))
}

#[test]
fn at_once_all_batches_are_handed_out_before_the_first_is_answered() {
    let mut observer = Listening::default();
    let outcome = run_observed(&three(), Grouping::Batch, &mut observer, |work, events| {
        let heads = all_heads(work);
        let texts: Vec<String> =
            heads.into_iter().flat_map(|head| [head.opening, head.closing]).flatten().collect();
        let of = |position| {
            [
                "begin".to_owned(),
                format!("record {position}"),
                "reset".to_owned(),
                format!("finish {position} applied"),
                "commit".to_owned(),
            ]
        };
        assert_eq!(texts, [of(1), of(2), of(3)].concat());
        (0..3).for_each(|batch| events.finished(batch, Ok(Done::new(1))));
        Ok(())
    });
    assert!(matches!(outcome.ending, Ending::Done));
    assert_eq!(outcome.finished.len(), 3);
    assert_eq!(observer.0, ["a begins", "b begins", "c begins", "a ends", "b ends", "c ends"]);
}

#[test]
fn what_another_batch_has_kept_from_its_turn_is_not_what_failed() {
    let outcome = run_observed(&three(), Grouping::Batch, &mut Silent, |work, events| {
        let _ = all_heads(work);
        events.finished(0, refused(ErrorKind::NotReached, Phase::NotReached, State::RolledBack));
        events.finished(1, refused(ErrorKind::Syntax, Phase::Statement(0), State::RolledBack));
        events.finished(2, refused(ErrorKind::NotReached, Phase::NotReached, State::RolledBack));
        Ok(())
    });
    assert_eq!((failed(&outcome), outcome.at, outcome.as_well), (ErrorKind::Syntax, 1, 0));
    assert_eq!(outcome.finished.len(), 0);
}

#[test]
fn batches_that_were_sent_behind_one_in_doubt_are_in_doubt_too() {
    let outcome = run_observed(&three(), Grouping::Batch, &mut Silent, |work, events| {
        let _ = all_heads(work);
        events.finished(0, Ok(Done::new(1)));
        events.finished(1, refused(ErrorKind::ConnectionLost, Phase::Commit, State::InDoubt));
        events.finished(2, refused(ErrorKind::ConnectionLost, Phase::Commit, State::InDoubt));
        Ok(())
    });
    assert_eq!((outcome.finished.len(), outcome.at, outcome.as_well), (1, 1, 1));
}

#[test]
fn an_adapter_that_goes_on_behind_a_failure_is_caught() {
    let outcome = run_observed(&three(), Grouping::Batch, &mut Silent, |work, events| {
        let _ = all_heads(work);
        events.finished(0, refused(ErrorKind::Syntax, Phase::Statement(0), State::RolledBack));
        events.finished(1, Ok(Done::new(1)));
        Ok(())
    });
    assert_eq!((failed(&outcome), outcome.at), (ErrorKind::Misbehaved, 1));
}

#[test]
fn one_transaction_begins_with_the_first_batch_and_ends_with_the_last() {
    let mut observer = Listening::default();
    let mut jobs = three();
    jobs[1].treatment.outside = vec!["pragma".to_owned()];
    let outcome = run_observed(&jobs, Grouping::SingleTransaction, &mut observer, |work, events| {
        let heads = all_heads(work);
        assert_eq!(heads[0].opening, ["begin", "record 1"]);
        assert_eq!(heads[0].closing, ["reset", "finish 1 applied"]);
        assert_eq!(heads[1].opening, ["limit", "record 2"]);
        assert_eq!(heads[2].closing, ["reset", "finish 3 applied", "commit"]);
        assert_eq!(
            [0, 1, 2].map(|index: usize| heads[index].commit),
            [Commit::Later, Commit::Later, Commit::Own]
        );
        assert_eq!([0, 1, 2].map(|index: usize| heads[index].outside.len()), [1, 0, 0], "around all of it");
        (0..3).for_each(|batch| events.finished(batch, Ok(Done::new(1))));
        Ok(())
    });
    assert!(matches!(outcome.ending, Ending::Done));
    assert_eq!(observer.0[3..], ["a ends", "b ends", "c ends"]);
}

#[test]
fn nothing_of_one_transaction_is_done_when_it_fails() {
    let mut observer = Listening::default();
    let outcome = run_observed(&three(), Grouping::SingleTransaction, &mut observer, |work, events| {
        let _ = all_heads(work);
        events.finished(0, Ok(Done::new(1)));
        events.finished(1, refused(ErrorKind::Syntax, Phase::Statement(0), State::RolledBack));
        Ok(())
    });
    assert_eq!((failed(&outcome), outcome.at, outcome.finished.len()), (ErrorKind::Syntax, 1, 0));
    assert_eq!(observer.0, ["a begins", "b begins", "c begins"]);
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

/// Returns the texts around the script that creates the history table.
fn creation(mode: Mode, own: Option<&str>) -> Vec<String> {
    let mut pulled = Vec::new();
    let mut connection = Recording {
        run: |work: &mut dyn Work, events: &mut dyn Events| {
            obedient(work, events, &mut pulled);
            Ok(())
        },
    };
    let job = own.map(|text| job("000", text, mode));
    let own = job.as_ref().map(|job| (&job.script, &job.treatment, job.script.open().expect("its text")));
    let recorded = create_history(&mut session(&mut connection), mode, own);
    assert_eq!(recorded.expect("it was obeyed"), Recorded::Yes);
    pulled
}

#[test]
fn the_history_table_is_created_in_a_transaction_where_that_can_be() {
    assert_eq!(creation(Mode::Atomic, None), ["begin", "create", "commit"]);
    assert_eq!(creation(Mode::Stepwise, None), ["create"]);
}

#[test]
fn a_table_of_the_users_own_is_read_before_it_is_committed() {
    let atomic = ["begin", "x", "read history", "read checksums", "commit"];
    assert_eq!(creation(Mode::Atomic, Some("x;")), atomic);
    assert_eq!(creation(Mode::Stepwise, Some("x;")), ["x", "read history", "read checksums"]);
}

#[test]
fn the_name_of_an_attempt_fits_where_servers_keep_it() {
    let mut connection = Recording { run: |_: &mut dyn Work, _: &mut dyn Events| Ok(()) };
    assert!(attempt_name(&session(&mut connection), i64::MAX).len() <= 63);
}
