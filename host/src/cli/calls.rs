//! What the adapter is doing right now, for whoever has to say so when it does not come back.
//!
//! [`Watched`](super::watched::Watched) notes every call into the adapter and every call back, [`Noting`] which migration
//! it is about. [`interrupt`](super::interrupt) reads the notes from another thread.
//!
//! Judges nothing: how long is too long is not known here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use whimbrel_adapter_api::Notice;

use crate::error::{Place, Problem};
use crate::plan::Direction;
use crate::report::Settled;
use crate::runner::{Clock, Job, Observer, SystemClock};
use crate::source::Id;

/// The notes, shared by the thread that calls and the one that watches it.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<Mutex<Notes>>);

/// What is known of a command that is under way.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The call that the adapter has not returned from. None while it is the host that works.
    pub(super) call: Option<Call>,
    /// The migration that was begun and is not settled.
    pub(super) migration: Option<Begun>,
    /// The migrations that were settled before.
    pub(super) done: Vec<Settled>,
    /// Why a statement was cancelled although nobody asked for it.
    pub(super) cancelled: Option<String>,
    /// Whether the session has ended.
    pub(super) end: End,
}

/// A call that the adapter has not returned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// When it began.
    pub(super) began: Instant,
    /// The last sign of the adapter: the beginning of the call, or the last time that it called back.
    pub(super) heard: Instant,
    /// How long it may be silent by the limits that it keeps, if it keeps any.
    pub(super) allowed: Option<Duration>,
}

/// A migration that was begun.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) id: Id,
    pub(super) direction: Direction,
    pub(super) place: Place,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// In order, or not yet.
    #[default]
    InOrder,
    /// The adapter does not come back from it.
    Hangs,
}

impl Calls {
    /// Calls the adapter.
    pub(super) fn in_adapter<T>(&self, call: impl FnOnce() -> T) -> T {
        let now = SystemClock.now();
        let outer = self.notes().call.replace(Call { began: now, heard: now, allowed: None });
        let answer = call();
        self.notes().call = outer;
        answer
    }

    /// Answers the adapter, which has called back. That is a sign of it.
    pub(super) fn in_host<T>(&self, work: impl FnOnce() -> T) -> T {
        let call = self.notes().call.take();
        let answer = work();
        self.notes().call = call.map(|call| Call { heard: SystemClock.now(), ..call });
        answer
    }

    /// Sets how long the call that is under way may be silent.
    pub(super) fn allow(&self, silence: Option<Duration>) {
        if let Some(call) = &mut self.notes().call {
            call.allowed = silence;
        }
    }

    /// Returns the notes. As long as they are held, no call begins or ends.
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        // Every note is written whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes which migration is under way, and passes everything on.
pub(super) struct Noting<O> {
    pub(super) observer: O,
    pub(super) calls: Calls,
}

impl<O: Observer> Observer for Noting<O> {
    fn started(&mut self, job: &Job) {
        let (id, direction) = (job.step.id.clone(), job.step.direction);
        self.calls.notes().migration = Some(Begun { id, direction, place: Place::file(&job.script.path) });
        self.observer.started(job);
    }

    fn progress(&mut self, job: &Job, statements: u64, bytes: u64) {
        self.observer.progress(job, statements, bytes);
    }

    fn notice(&mut self, job: &Job, notice: &Notice) {
        self.observer.notice(job, notice);
    }

    fn finished(&mut self, job: &Job, duration: Duration) {
        let settled = Settled { id: job.step.id.clone(), direction: job.step.direction, duration };
        let mut notes = self.calls.notes();
        notes.migration = None;
        notes.done.push(settled);
        drop(notes);
        self.observer.finished(job, duration);
    }

    fn retrying(&mut self, job: &Job, error: &str) {
        self.calls.notes().migration = None;
        self.observer.retrying(job, error);
    }

    fn recording(&mut self, statements: &[String]) {
        self.observer.recording(statements);
    }

    fn waiting(&mut self, for_whom: &str) {
        // Nothing of this run is under way while another one is at work.
        self.calls.notes().migration = None;
        self.observer.waiting(for_whom);
    }

    fn warning(&mut self, problem: &Problem) {
        self.observer.warning(problem);
    }
}
