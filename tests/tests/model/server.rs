//! The model's database server: sessions with transactions and locks over one [`Data`].
//!
//! Executes one statement of one session at a time, at a moment that the [`world`](crate::world) says. A statement is
//! done, fails, lasts, or waits for the session that holds what it needs.
//!
//! There are three kinds of engines, which differ in what the adapters of this repository have met.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel_adapter_api::{Error, ErrorKind};

use crate::data::{Change, Data, Row};
use crate::statement::{Statement, What};

/// What kind of engine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In the process of its client: everything rolls back, there is one writer at a time, and nothing outlives the
    /// client.
    Embedded,
    /// Everything rolls back. An atomic batch is one message, which runs to its end when its client dies.
    Transactional,
    /// Schema commits by itself, and what was before it. Every batch is one message, which runs to its end when its
    /// client dies.
    ImplicitCommits,
}

/// How long a writer of the embedded kind waits for another, in milliseconds.
const BUSY_TIMEOUT: u64 = 5000;

/// The number of a session.
pub(crate) type SessionId = usize;

/// The server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) data: Data,
    /// What was committed and should not have been.
    pub(crate) faults: Vec<String>,
    sessions: BTreeMap<SessionId, Session>,
}

#[derive(Debug, Default)]
struct Session {
    transaction: Option<Transaction>,
    locks: BTreeSet<Lock>,
    waiting: Option<Waiting>,
    /// Until when the statement lasts that is running.
    lasts_until: Option<u64>,
}

#[derive(Debug, Default)]
struct Transaction {
    changes: Vec<Change>,
    /// A statement failed: nothing but its end is taken any more.
    aborted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    holder: SessionId,
    since: u64,
}

/// What one session may hold and another want.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lock {
    Everything,
    History,
    Position(i64),
    Attempt(String, i64),
    Thing(String),
}

/// What became of a statement when it was its turn.
#[derive(Debug)]
pub(crate) enum Executed {
    /// It changed so many rows.
    Done(u64),
    Failed(Error),
    /// It is to be tried again.
    NotYet,
}

impl Server {
    pub(crate) fn new(kind: Kind, data: Data) -> Self {
        Server { kind, data, faults: Vec::new(), sessions: BTreeMap::new() }
    }

    /// Returns whether it is worth giving the session's next statement a turn.
    pub(crate) fn is_ready(&self, id: SessionId, statement: &Statement, now: u64) -> bool {
        let Some(session) = self.sessions.get(&id) else { return true };
        if let Some(until) = session.lasts_until {
            return until <= now;
        }
        // The first turn of a statement that must wait is to find that out.
        let Some(waiting) = session.waiting else { return true };
        self.holder(id, statement).is_none() || self.gives_up_at(waiting).is_some_and(|end| end <= now)
    }

    /// Returns when time alone makes the session ready.
    pub(crate) fn ready_at(&self, id: SessionId) -> Option<u64> {
        let session = self.sessions.get(&id)?;
        session.lasts_until.or_else(|| self.gives_up_at(session.waiting?))
    }

    fn gives_up_at(&self, waiting: Waiting) -> Option<u64> {
        (self.kind == Kind::Embedded).then_some(waiting.since + BUSY_TIMEOUT)
    }

    /// Returns whether the session is in the middle of a statement.
    pub(crate) fn is_busy(&self, id: SessionId) -> bool {
        self.sessions
            .get(&id)
            .is_some_and(|session| session.waiting.is_some() || session.lasts_until.is_some())
    }

    /// Ends a session: what it has not committed is gone.
    pub(crate) fn end(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// Gives a session another number.
    pub(crate) fn rename(&mut self, id: SessionId, new: SessionId) {
        let session = self.sessions.remove(&id);
        self.sessions.extend(session.map(|session| (new, session)));
        let waiting = self.sessions.values_mut().filter_map(|session| session.waiting.as_mut());
        waiting.filter(|waiting| waiting.holder == id).for_each(|waiting| waiting.holder = new);
    }

    /// Ends all of them.
    pub(crate) fn restart(&mut self) {
        self.sessions.clear();
    }

    /// Gives a session's statement a turn.
    pub(crate) fn execute(&mut self, id: SessionId, statement: &Statement, now: u64) -> Executed {
        let waited = self.session(id).waiting;
        if let Some(holder) = self.holder(id, statement) {
            return self.wait(id, holder, now);
        }
        let needed = needed(self.kind, statement);
        let session = self.session(id);
        session.waiting = None;
        session.locks.extend(needed);
        if let (Statement::Last(time), None) = (statement, session.lasts_until) {
            session.lasts_until = Some(now + time);
            return Executed::NotYet;
        }
        session.lasts_until = None;
        let answer = match self.change(id, statement, waited.is_some(), now) {
            Ok((count, changes)) => {
                self.keep(id, changes);
                Executed::Done(count)
            }
            Err(error) => {
                if let (Kind::Transactional, Some(open)) = (self.kind, &mut self.session(id).transaction) {
                    open.aborted = true;
                }
                Executed::Failed(error)
            }
        };
        self.let_go(id);
        answer
    }

    fn session(&mut self, id: SessionId) -> &mut Session {
        self.sessions.entry(id).or_default()
    }

    /// Returns another session that holds what the statement needs.
    fn holder(&self, id: SessionId, statement: &Statement) -> Option<SessionId> {
        let needed = needed(self.kind, statement);
        let holds = |session: &Session| needed.iter().any(|lock| session.locks.contains(lock));
        self.sessions.iter().find(|(other, session)| **other != id && holds(session)).map(|(other, _)| *other)
    }

    fn wait(&mut self, id: SessionId, holder: SessionId, now: u64) -> Executed {
        let waiting = self.session(id).waiting.unwrap_or(Waiting { holder, since: now });
        let failed = if self.gives_up_at(waiting).is_some_and(|end| end <= now) {
            Some(Error::new(ErrorKind::LockTimeout, "the database is locked"))
        } else if self.is_circle(id, holder) {
            Some(Error::new(ErrorKind::Deadlock, "two sessions wait for each other"))
        } else {
            None
        };
        self.session(id).waiting = failed.is_none().then_some(Waiting { holder, ..waiting });
        match failed {
            None => Executed::NotYet,
            Some(error) => {
                let session = self.session(id);
                if let Some(open) = &mut session.transaction {
                    open.aborted = true;
                }
                Executed::Failed(error)
            }
        }
    }

    fn is_circle(&self, id: SessionId, holder: SessionId) -> bool {
        let next = |session: &SessionId| Some(self.sessions.get(session)?.waiting?.holder);
        std::iter::successors(Some(holder), next).take(self.sessions.len() + 1).any(|session| session == id)
    }

    /// Works out what a statement changes, without changing it.
    fn change(
        &mut self,
        id: SessionId,
        statement: &Statement,
        waited: bool,
        now: u64,
    ) -> Result<(u64, Vec<Change>), Error> {
        let aborted = self.session(id).transaction.as_ref().is_some_and(|open| open.aborted);
        match statement {
            Statement::Begin => self.begin(id),
            Statement::Commit if aborted => self.session(id).transaction = None,
            Statement::Commit => self.commit(id),
            Statement::Rollback | Statement::Escape => self.session(id).transaction = None,
            _ if aborted => return Err(Error::new(ErrorKind::Other, "the transaction is aborted")),
            Statement::Establish | Statement::Count { what: What::Schema, .. }
                if self.kind == Kind::ImplicitCommits =>
            {
                self.commit(id);
            }
            _ => {}
        }
        let seen = self.seen_by(id);
        let row = |position: &i64| seen.row(*position);
        Ok(match statement {
            Statement::Establish if seen.history.is_none() => (0, vec![Change::Establish]),
            // Where two create a table at once, the second finds it in the catalog only when it is too late.
            Statement::Establish if waited && self.kind == Kind::Transactional => {
                return Err(Error::new(ErrorKind::Constraint, "the catalog has it already"));
            }
            Statement::Record(new) => {
                refuse(new, &seen)?;
                let mut new = new.clone();
                new.lease = new.lease.map(|lease| now + lease);
                (new.started_at, new.finished_at) = (now, new.finished_at.map(|_| now));
                (1, vec![Change::Insert(new)])
            }
            Statement::Mark { position, done, lease } if row(position).is_some_and(Row::is_started) => {
                (1, vec![Change::Mark { position: *position, done: *done, lease: now + lease }])
            }
            Statement::Finish { position, state, done } if row(position).is_some_and(Row::is_started) => {
                let (position, state) = (*position, state.clone());
                (1, vec![Change::Finish { position, state, done: *done, at: now }])
            }
            Statement::Count { thing, by, .. } => (1, vec![Change::Count { thing: thing.clone(), by: *by }]),
            Statement::Fail => return Err(Error::new(ErrorKind::Other, "it fails")),
            _ => (0, Vec::new()),
        })
    }

    fn begin(&mut self, id: SessionId) {
        if self.kind == Kind::ImplicitCommits {
            self.commit(id);
        }
        self.session(id).transaction.get_or_insert_default();
    }

    /// Returns what is committed, and what the session itself has changed.
    fn seen_by(&mut self, id: SessionId) -> Data {
        let mut seen = self.data.clone();
        let open = self.session(id).transaction.as_ref();
        open.into_iter().flat_map(|open| &open.changes).for_each(|change| seen.apply(change));
        seen
    }

    /// Adds changes to the transaction that is open, or commits them at once.
    fn keep(&mut self, id: SessionId, changes: Vec<Change>) {
        match &mut self.session(id).transaction {
            Some(open) => open.changes.extend(changes),
            None => self.write(&changes),
        }
    }

    fn commit(&mut self, id: SessionId) {
        if let Some(open) = self.session(id).transaction.take() {
            self.write(&open.changes);
        }
    }

    fn write(&mut self, changes: &[Change]) {
        changes.iter().for_each(|change| self.data.apply(change));
        self.faults.extend(self.data.wrong().filter(|_| !changes.is_empty()));
    }

    /// Lets go of what is held only as long as a transaction is open.
    fn let_go(&mut self, id: SessionId) {
        let session = self.session(id);
        if session.transaction.is_none() {
            session.locks.clear();
        }
    }
}

/// Refuses a row that the keys of the history do not allow.
fn refuse(new: &Row, seen: &Data) -> Result<(), Error> {
    let Some(rows) = &seen.history else {
        return Err(Error::new(ErrorKind::TableMissing, "there is no history"));
    };
    let taken = |row: &Row| {
        row.position == new.position || (row.migration == new.migration && row.attempt == new.attempt)
    };
    if rows.iter().any(taken) {
        return Err(Error::new(ErrorKind::Constraint, "the position or the attempt is taken"));
    }
    if new.previous.is_some_and(|previous| seen.row(previous).is_none()) {
        return Err(Error::new(ErrorKind::Constraint, "there is no such row before"));
    }
    Ok(())
}

/// Returns what a statement must hold.
fn needed(kind: Kind, statement: &Statement) -> Vec<Lock> {
    match statement {
        Statement::Commit | Statement::Rollback | Statement::Reset => Vec::new(),
        _ if kind == Kind::Embedded => vec![Lock::Everything],
        Statement::Establish => vec![Lock::History],
        Statement::Record(row) => {
            vec![Lock::Position(row.position), Lock::Attempt(row.migration.clone(), row.attempt)]
        }
        Statement::Mark { position, .. } | Statement::Finish { position, .. } => {
            vec![Lock::Position(*position)]
        }
        Statement::Count { thing, .. } => vec![Lock::Thing(thing.clone())],
        Statement::Begin | Statement::Probe | Statement::Last(_) | Statement::Escape | Statement::Fail => {
            Vec::new()
        }
    }
}
