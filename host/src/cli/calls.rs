//! What the adapter is doing right now, for whoever has to say so when it does not come back.
//!
//! [`Watched`](super::watched::Watched) notes every call into the adapter and every call back, [`Noting`] which migration
//! it is about. [`interrupt`](super::interrupt) reads the notes from another thread.
//!
//! Judges nothing: how long is too long is not known here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use whimbrel_adapter_api::{ErrorKind, Notice};

use crate::error::{Place, Problem};
use crate::plan::Direction;
use crate::report::Settled;
use crate::runner::{Job, Observer, OwnSettings};
use crate::source::Id;

/// The notes, shared by the thread that calls and the one that watches it.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<Mutex<Notes>>);

/// What is known of a command that is under way.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The call that the adapter has not returned from. None while it is the host that works.
    pub(super) call: Option<Call>,
    /// How many signs of the adapter there were so far.
    signs: u64,
    /// Whether the migration that is being handed out makes settings of its own. None for a batch that is no migration.
    pub(super) handed_out: Option<OwnSettings>,
    /// The migrations that were begun and are not settled, in order.
    pub(super) begun: VecDeque<Begun>,
    /// The migrations that were settled before.
    pub(super) done: Vec<Settled>,
    /// The silence for which something was cancelled that failed by it, although nobody had asked for that.
    pub(super) cancelled: Option<Silence>,
    /// Whether the session has ended.
    pub(super) end: End,
}

/// A call that the adapter has not returned from.
///
/// Signs are numbered and not timed: while the whole process stands still, the adapter has no time to give one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The sign that it began with.
    pub(super) began: u64,
    /// The last sign of the adapter: the beginning of the call, or the last time that it called back.
    pub(super) heard: u64,
    /// How long it may be silent.
    pub(super) allowed: Allowed,
    /// The silence for which it was cancelled.
    pub(super) cancelled: Option<Silence>,
}

/// How long a call may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// For ever: nothing limits what it is about.
    Unlimited,
    /// As long as the statement timeout leaves to a batch.
    Batch(Duration),
    /// As long as a small question may take.
    Question(Duration),
}

/// A silence that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    /// How long it has lasted.
    pub(super) lasted: Duration,
    /// How long it might have lasted.
    pub(super) allowed: Allowed,
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
    pub(super) fn in_adapter<T>(&self, allowed: Allowed, call: impl FnOnce() -> T) -> T {
        let mut notes = self.notes();
        let began = notes.next_sign();
        let outer = notes.call.replace(Call { began, heard: began, allowed, cancelled: None });
        drop(notes);
        let answer = call();
        self.notes().call = outer;
        answer
    }

    /// Answers the adapter, which has called back. That is a sign of it.
    pub(super) fn in_host<T>(&self, work: impl FnOnce() -> T) -> T {
        let call = self.notes().call.take();
        let answer = work();
        let mut notes = self.notes();
        let heard = notes.next_sign();
        notes.call = call.map(|call| Call { heard, ..call });
        drop(notes);
        answer
    }

    /// Sets how long the call that is under way may be silent from now on.
    pub(super) fn allow(&self, allowed: Allowed) {
        if let Some(call) = &mut self.notes().call {
            call.allowed = allowed;
        }
    }

    /// Sets how much longer the call that is under way may be silent.
    pub(super) fn allow_more(&self, more: Allowed) {
        if let Some(call) = &mut self.notes().call {
            call.allowed = match (call.allowed, more) {
                (Allowed::Batch(before), Allowed::Batch(more)) => Allowed::Batch(before.saturating_add(more)),
                _ => Allowed::Unlimited,
            };
        }
    }

    /// Notes that what was asked for has failed, or has not. A cancellation may have come too late for it.
    pub(super) fn settled(&self, error: Option<ErrorKind>) {
        let mut notes = self.notes();
        let cancelled = notes.call.as_mut().and_then(|call| call.cancelled.take());
        if error == Some(ErrorKind::Cancelled) && cancelled.is_some() {
            notes.cancelled = cancelled;
        }
    }

    /// Notes that a batch was handed out, and returns whether it makes settings of its own, if it is a migration.
    pub(super) fn handed_out(&self) -> Option<OwnSettings> {
        self.notes().handed_out.take()
    }

    /// Returns the notes. As long as they are held, no call begins or ends.
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        // Every note is written whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// Returns the migration that is under way.
    pub(super) fn migration(&self) -> Option<&Begun> {
        self.begun.front()
    }

    fn next_sign(&mut self) -> u64 {
        self.signs += 1;
        self.signs
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
        let mut notes = self.calls.notes();
        notes.begun.push_back(Begun { id, direction, place: Place::file(&job.script.path) });
        notes.handed_out = Some(job.treatment.own_settings);
        // Whatever was cancelled before has not ended the run, and says nothing about this one.
        notes.cancelled = None;
        drop(notes);
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
        notes.begun.pop_front();
        notes.done.push(settled);
        drop(notes);
        self.observer.finished(job, duration);
    }

    fn retrying(&mut self, job: &Job, error: &str) {
        self.calls.notes().begun.clear();
        self.observer.retrying(job, error);
    }

    fn recording(&mut self, statements: &[String]) {
        self.observer.recording(statements);
    }

    fn waiting(&mut self, for_whom: &str) {
        // Nothing of this run is under way while another one is at work.
        self.calls.notes().begun.clear();
        self.observer.waiting(for_whom);
    }

    fn warning(&mut self, problem: &Problem) {
        self.observer.warning(problem);
    }
}
