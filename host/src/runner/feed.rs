//! The host's side of a run: hands out batches and pieces, and keeps what is heard back.
//!
//! Strict: the next batch is handed out only when the last one is settled. So a failure leaves nothing on its way.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Read;
use std::time::{Duration, Instant};

use whimbrel_adapter_api::{
    Done, Error, ErrorKind, Events, Failure, Head, Lexer, Next, Notice, Phase, Piece, State, Stop, Work,
};

use super::{Cancellation, Ending, Job, Observer, Outcome, Scripts, is_fence_taken};
use crate::error::Problem;
use crate::history::Session;
use crate::script::{self, Pieces, Treatment};

/// Everything that one run hands out.
pub(super) struct Feed<'a> {
    jobs: &'a [Job],
    heads: VecDeque<Head>,
    lexer: Lexer,
    scripts: &'a dyn Scripts,
    cancellation: &'a Cancellation,
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        jobs: &'a [Job],
        heads: Vec<Head>,
        lexer: Lexer,
        scripts: &'a dyn Scripts,
        cancellation: &'a Cancellation,
    ) -> Self {
        Feed { jobs, heads: heads.into(), lexer, scripts, cancellation }
    }

    pub(super) fn run(self, session: &mut Session<'_>, observer: &mut dyn Observer) -> Outcome {
        let jobs = self.jobs;
        let heard = RefCell::new(Heard::new(jobs, observer));
        let mut puller = Puller { feed: self, script: None, heard: &heard };
        let answer = session.connection.run(&mut puller, &mut Ears { heard: &heard });
        let cancelled = puller.feed.cancellation.is_cancelled();
        heard.into_inner().outcome(answer, cancelled)
    }
}

/// Runs one batch that is no migration.
pub(super) fn run_one(
    head: Head,
    script: Option<(&Treatment, Box<dyn Read + Send>)>,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let lexer = session.dialect.lexer();
    let script = script.map(|(treatment, reader)| Pieces::new(reader, &lexer, treatment)).transpose();
    let script = script.map_err(|problem| not_sent(&problem))?;
    let mut single = Single { head: Some(head), script };
    let mut verdict = Verdict(None);
    let answer = session.connection.run(&mut single, &mut verdict);
    match (verdict.0, answer) {
        (Some(Ok(_)), _) => Ok(()),
        (Some(Err(failure)), _) => Err(failure),
        (None, Err(error)) => Err(Failure::rolled_back(Phase::NotReached, error, 0)),
        (None, Ok(())) => Err(silent_adapter()),
    }
}

/// What was heard so far. Shared by the two objects that the adapter holds at once.
struct Heard<'a> {
    jobs: &'a [Job],
    observer: &'a mut dyn Observer,
    handed_out: usize,
    /// How many batches were answered when the adapter was last told to settle what is on its way.
    told_to_settle: Option<usize>,
    began: Option<Instant>,
    finished: Vec<Duration>,
    failure: Option<Failure>,
    unreadable: Option<Problem>,
}

impl<'a> Heard<'a> {
    fn new(jobs: &'a [Job], observer: &'a mut dyn Observer) -> Self {
        Heard {
            jobs,
            observer,
            handed_out: 0,
            told_to_settle: None,
            began: None,
            finished: Vec::new(),
            failure: None,
            unreadable: None,
        }
    }

    fn answered(&self) -> usize {
        self.finished.len() + usize::from(self.failure.is_some())
    }

    fn outcome(self, answer: Result<(), Error>, cancelled: bool) -> Outcome {
        let complete = self.finished.len() == self.jobs.len();
        let failure = match (self.failure, answer) {
            (Some(failure), _) => Some(failure),
            // Without a word about the batch that was under way: an adapter that panicked, for instance.
            (None, Err(error)) if self.handed_out > self.finished.len() => {
                Some(Failure::new(Phase::NotReached, error, 0, 0, State::Unknown))
            }
            (None, Err(error)) => Some(Failure::rolled_back(Phase::NotReached, error, 0)),
            (None, Ok(())) if complete || cancelled => None,
            // An adapter that returns without having asked for everything.
            (None, Ok(())) => Some(silent_adapter()),
        };
        let ending = match (failure, self.unreadable) {
            (Some(failure), Some(problem)) => Ending::Unreadable(failure, problem),
            (Some(failure), None) if is_fence_taken(&failure) => Ending::FenceTaken(failure),
            (Some(failure), None) if failure.error.kind == ErrorKind::Stopped => {
                Ending::Stopped(Some(failure))
            }
            (Some(failure), None) if cancelled && failure.error.kind == ErrorKind::Cancelled => {
                Ending::Stopped(Some(failure))
            }
            (Some(failure), None) => Ending::Failed(failure),
            (None, _) if complete => Ending::Done,
            (None, _) => Ending::Stopped(None),
        };
        Outcome { finished: self.finished, ending }
    }
}

fn silent_adapter() -> Failure {
    misbehaved("the adapter does not say what became of a batch")
}

fn misbehaved(message: &str) -> Failure {
    Failure::new(Phase::NotReached, Error::new(ErrorKind::Misbehaved, message), 0, 0, State::Unknown)
}

struct Puller<'a, 'h> {
    feed: Feed<'a>,
    script: Option<Pieces>,
    heard: &'h RefCell<Heard<'a>>,
}

impl Work for Puller<'_, '_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        let mut heard = self.heard.borrow_mut();
        if heard.failure.is_some() {
            return Ok(Next::End);
        }
        let answered = heard.answered();
        if answered < heard.handed_out {
            // It would ask for ever, and be told the same.
            if heard.told_to_settle.replace(answered) == Some(answered) {
                heard.failure = Some(silent_adapter());
                return Err(Stop);
            }
            return Ok(Next::Later);
        }
        if self.feed.cancellation.is_cancelled() {
            return Err(Stop);
        }
        let Some(head) = self.feed.heads.pop_front() else {
            return Ok(Next::End);
        };
        let job = &self.feed.jobs[heard.handed_out];
        let reader = self.feed.scripts.open(job).map_err(|error| script::unreadable(&error));
        match reader.and_then(|reader| Pieces::new(reader, &self.feed.lexer, &job.treatment)) {
            Ok(pieces) => self.script = Some(pieces),
            Err(problem) => {
                heard.failure = Some(not_sent(&problem));
                heard.unreadable = Some(problem);
                return Err(Stop);
            }
        }
        heard.handed_out += 1;
        heard.began = Some(Instant::now());
        heard.observer.started(job);
        Ok(Next::Batch(head))
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        if self.feed.cancellation.is_cancelled() {
            return Err(Stop);
        }
        let Some(script) = &mut self.script else {
            return Ok(None);
        };
        let heard = self.heard;
        script.next_piece().map_err(|problem| {
            heard.borrow_mut().unreadable = Some(problem);
            Stop
        })
    }
}

/// The failure of a batch that was never handed out.
fn not_sent(problem: &Problem) -> Failure {
    let error = Error::new(ErrorKind::Stopped, problem.message.clone());
    Failure::rolled_back(Phase::NotReached, error, 0)
}

struct Ears<'a, 'h> {
    heard: &'h RefCell<Heard<'a>>,
}

impl Events for Ears<'_, '_> {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        let mut heard = self.heard.borrow_mut();
        if let Some(job) = heard.jobs.get(batch as usize) {
            heard.observer.progress(job, job.treatment.already_done + statements, bytes);
        }
    }

    fn notice(&mut self, batch: u32, notice: Notice) {
        let mut heard = self.heard.borrow_mut();
        if let Some(job) = heard.jobs.get(batch as usize) {
            heard.observer.notice(job, &notice);
        }
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        let mut heard = self.heard.borrow_mut();
        let heard = &mut *heard;
        // A second answer, or one out of order, would be taken for another migration's.
        let expected = heard.answered() == batch as usize && heard.answered() < heard.handed_out;
        match outcome {
            _ if !expected => {
                heard.failure =
                    Some(misbehaved("the adapter says what became of a batch that is not under way"));
            }
            Ok(done) => match heard.jobs.get(batch as usize) {
                Some(job) if done.statements == job.treatment.statements_left() => {
                    let duration = heard.began.map(|began| began.elapsed()).unwrap_or_default();
                    heard.finished.push(duration);
                    heard.observer.finished(job, duration);
                }
                _ => heard.failure = Some(miscounted(done)),
            },
            Err(failure) => {
                let before = heard.jobs.get(batch as usize).map_or(0, |job| job.treatment.already_done);
                heard.failure = Some(counted_from_the_start(failure, before));
            }
        }
    }
}

/// Counts the statements of a failure from the start of the script, of which the batch may have been the rest.
fn counted_from_the_start(failure: Failure, before: u64) -> Failure {
    let phase = match failure.phase {
        Phase::Statement(index) => Phase::Statement(before + index),
        phase => phase,
    };
    let (completed, committed) = (before + failure.completed, before + failure.committed);
    Failure::new(phase, failure.error, completed, committed, failure.state)
}

fn miscounted(done: Done) -> Failure {
    let message =
        format!("the adapter says that {} statements ran, which is not what it was given", done.statements);
    let error = Error::new(ErrorKind::Misbehaved, message);
    Failure::new(Phase::Commit, error, done.statements, 0, State::Unknown)
}

/// One batch that is no migration.
struct Single {
    head: Option<Head>,
    script: Option<Pieces>,
}

impl Work for Single {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        Ok(self.head.take().map_or(Next::End, Next::Batch))
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        match &mut self.script {
            Some(script) => script.next_piece().map_err(|_| Stop),
            None => Ok(None),
        }
    }
}

struct Verdict(Option<Result<Done, Failure>>);

impl Events for Verdict {
    fn progress(&mut self, _batch: u32, _statements: u64, _bytes: u64) {}

    fn notice(&mut self, _batch: u32, _notice: Notice) {}

    fn finished(&mut self, _batch: u32, outcome: Result<Done, Failure>) {
        self.0 = Some(outcome);
    }
}
