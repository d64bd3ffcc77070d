//! The host's side of a run: hands out batches and pieces, and keeps what is heard back.
//!
//! Strict: the next batch is handed out only when the last one is settled, so that a failure leaves nothing on its way.
//! Otherwise the adapter may ask for as many as it likes; its part is that nothing runs behind one that failed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Read;
use std::time::{Duration, Instant};

use whimbrel_adapter_api::{
    Done, Error, ErrorKind, Events, Failure, Head, Next, Notice, Phase, Piece, State, Stop, Work,
};

use super::{Cancellation, Ending, Grouping, Job, Observer, Outcome, Scripts, is_fence_taken};
use crate::error::Problem;
use crate::history::Session;
use crate::script::{self, Pieces, Rules, Treatment};

/// Everything that one run hands out.
pub(super) struct Feed<'a> {
    pub(super) jobs: &'a [Job],
    pub(super) heads: VecDeque<Head>,
    pub(super) rules: Rules,
    pub(super) scripts: &'a dyn Scripts,
    pub(super) cancellation: &'a Cancellation,
    pub(super) grouping: Grouping,
}

impl Feed<'_> {
    pub(super) fn run(self, session: &mut Session<'_>, observer: &mut dyn Observer) -> Outcome {
        let heard = RefCell::new(Heard::new(self.jobs, self.grouping, observer));
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
    let script = script.map(|(treatment, reader)| Pieces::new(reader, &session.rules, treatment));
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
    grouping: Grouping,
    observer: &'a mut dyn Observer,
    handed_out: usize,
    answered: usize,
    /// How many batches were answered when the adapter was last told to settle what is on its way.
    told_to_settle: Option<usize>,
    /// When the oldest batch that is under way began.
    began: Instant,
    finished: Vec<Duration>,
    failed: Option<Failed>,
    /// The job whose script cannot be sent, and why.
    unreadable: Option<(usize, Problem)>,
}

/// The failure of a run.
struct Failed {
    /// The number of the job.
    at: usize,
    failure: Failure,
    /// How many jobs behind it were sent too, so that they may be in the database or not.
    as_well: usize,
}

impl<'a> Heard<'a> {
    fn new(jobs: &'a [Job], grouping: Grouping, observer: &'a mut dyn Observer) -> Self {
        Heard {
            jobs,
            grouping,
            observer,
            handed_out: 0,
            answered: 0,
            told_to_settle: None,
            began: Instant::now(),
            finished: Vec::new(),
            failed: None,
            unreadable: None,
        }
    }

    /// Notes why the run ends.
    fn fail(&mut self, at: usize, failure: Failure) {
        self.failed = Some(Failed { at, failure, as_well: 0 });
    }

    /// Notes the failure of a batch. The first one counts, save for those that only another one has kept from their turn.
    fn failed(&mut self, at: usize, failure: Failure) {
        match &mut self.failed {
            Some(first) if first.failure.error.kind != ErrorKind::NotReached => {
                first.as_well += usize::from(failure.state != State::RolledBack);
            }
            Some(_) if failure.error.kind == ErrorKind::NotReached => {}
            _ => self.fail(at, failure),
        }
    }

    fn complete(&mut self, at: usize, done: Done) {
        let Some(job) = self.jobs.get(at).filter(|job| done.statements == job.treatment.statements_left())
        else {
            return self.fail(at, miscounted(done));
        };
        if self.failed.is_some() {
            return self.fail(at, misbehaved("the adapter completes a batch behind one that failed"));
        }
        let duration = self.began.elapsed();
        self.finished.push(duration);
        self.began = Instant::now();
        // Before its commit nothing of a transaction is done.
        if self.grouping != Grouping::SingleTransaction {
            self.observer.finished(job, duration);
        }
    }

    fn outcome(self, answer: Result<(), Error>, cancelled: bool) -> Outcome {
        let Heard {
            jobs, grouping, observer, handed_out, answered, mut finished, failed, unreadable, ..
        } = self;
        let count = finished.len();
        let complete = count == jobs.len();
        let as_well = (handed_out - answered).saturating_sub(1);
        let here = |failure| Some(Failed { at: count, failure, as_well });
        let failed = match (failed, answer) {
            (Some(failed), _) => Some(failed),
            // Without a word about the batch that was under way: an adapter that panicked, for instance.
            (None, Err(error)) if handed_out > answered => {
                here(Failure::new(Phase::NotReached, error, 0, 0, State::Unknown))
            }
            (None, Err(error)) => here(Failure::rolled_back(Phase::NotReached, error, 0)),
            (None, Ok(())) if complete || (cancelled && handed_out == answered) => None,
            // An adapter that returns without having asked for everything.
            (None, Ok(())) => match &unreadable {
                Some((at, problem)) => Some(Failed { at: *at, failure: not_sent(problem), as_well: 0 }),
                None => here(silent_adapter()),
            },
        };
        let (at, as_well) = failed.as_ref().map_or((count, 0), |failed| (failed.at, failed.as_well));
        let unreadable_at = unreadable.as_ref().map(|(at, _)| *at);
        let ending = match (failed.map(|failed| failed.failure), unreadable) {
            (Some(failure), Some((_, problem))) => Ending::Unreadable(failure, problem),
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
        if grouping == Grouping::SingleTransaction {
            match ending {
                Ending::Done => {
                    jobs.iter().zip(&finished).for_each(|(job, duration)| observer.finished(job, *duration));
                }
                _ => finished.clear(),
            }
        }
        Outcome { finished, ending, at: unreadable_at.unwrap_or(at), as_well }
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
        if heard.failed.is_some() || heard.unreadable.is_some() {
            return Ok(Next::End);
        }
        let answered = heard.answered;
        if answered < heard.handed_out && self.feed.grouping == Grouping::Strict {
            // It would ask for ever, and be told the same.
            if heard.told_to_settle.replace(answered) == Some(answered) {
                heard.fail(answered, silent_adapter());
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
        let at = heard.handed_out;
        let job = &self.feed.jobs[at];
        match self.feed.scripts.open(job) {
            Ok(reader) => self.script = Some(Pieces::new(reader, &self.feed.rules, &job.treatment)),
            Err(error) => {
                heard.unreadable = Some((at, script::unreadable(&error)));
                return Ok(Next::End);
            }
        }
        if answered == at {
            heard.began = Instant::now();
        }
        heard.handed_out += 1;
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
            let mut heard = heard.borrow_mut();
            let at = heard.handed_out.saturating_sub(1);
            heard.unreadable = Some((at, problem));
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
        let at = heard.answered;
        // A second answer, or one out of order, would be taken for another migration's.
        if at != batch as usize || at == heard.handed_out {
            let what = "the adapter says what became of a batch that is not under way";
            return heard.fail(at, misbehaved(what));
        }
        heard.answered += 1;
        match outcome {
            Ok(done) => heard.complete(at, done),
            Err(failure) => {
                let before = heard.jobs.get(at).map_or(0, |job| job.treatment.already_done);
                heard.failed(at, counted_from_the_start(failure, before));
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
