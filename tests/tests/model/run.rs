//! Batches in messages, as the adapters of servers send them: an atomic batch is one, and so is a stepwise one where
//! schema commits by itself. Elsewhere a stepwise batch is a message for each statement, together with its mark where
//! the two are joined.

use whimbrel_adapter_api::walk::{stopped, unsettled};
use whimbrel_adapter_api::{
    Done, Error, ErrorKind, Events, Failure, Head, Marking, Mode, Next, Phase, Session, State, Stop, Work,
};

use crate::connection::ModelConnection;
use crate::server::Kind;

/// Runs all of `work`.
pub(crate) fn run(
    connection: &mut ModelConnection,
    work: &mut dyn Work,
    events: &mut dyn Events,
) -> Result<(), Error> {
    let mut number = 0;
    loop {
        let head = match work.next_batch() {
            Ok(Next::Batch(head)) => head,
            Ok(Next::Later) => continue,
            _ => return Ok(()),
        };
        let outcome = batch(connection, &head, work);
        let lost = outcome.as_ref().err().filter(|failure| failure.error.session == Session::Lost);
        let lost = lost.map(|failure| failure.error.clone());
        events.finished(number, outcome);
        if let Some(error) = lost {
            return Err(error);
        }
        number += 1;
    }
}

/// Returns the error of a text of `opening`: every face of a lost fence is `FenceTaken`.
pub(crate) fn of_opening(mut error: Error) -> Error {
    if matches!(error.kind, ErrorKind::Constraint | ErrorKind::LockTimeout | ErrorKind::Deadlock) {
        error.kind = ErrorKind::FenceTaken;
    }
    error
}

/// A text, and what it is there for.
struct Entry {
    text: String,
    role: Role,
    /// Whether what follows travels in the same message, where each statement has its own.
    is_joined: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Opening,
    Statement(Marking),
    Mark,
    /// Begins a transaction that a statement shares with its mark.
    Join,
    Keep,
    Closing(u32),
}

fn batch(connection: &mut ModelConnection, head: &Head, work: &mut dyn Work) -> Result<Done, Failure> {
    let entries = match compose(head, work) {
        Ok(entries) => entries,
        Err(Stop) => return Err(Failure::rolled_back(Phase::NotReached, stopped(), 0)),
    };
    let attempt = (head.mode == Mode::Stepwise).then(|| head.attempt.clone());
    let mut reached = Reached::default();
    for message in messages(&entries, head.mode, connection.kind) {
        let texts = message.iter().map(|entry| entry.text.clone()).collect();
        let (counts, error) = connection.send(texts, attempt.clone());
        let answered = message.iter().zip(&counts);
        answered.clone().for_each(|(entry, _)| reached.answered(entry.role));
        if let Some(error) = error {
            let role = message.get(counts.len()).map_or(Role::Opening, |entry| entry.role);
            return Err(fail(connection, head, role, error, &reached));
        }
        let settles =
            |role| matches!((role, head.settles), (Role::Closing(index), Some(number)) if index == number);
        if answered.clone().any(|(entry, count)| settles(entry.role) && *count != 1) {
            let role = Role::Closing(head.settles.unwrap_or_default());
            return Err(fail(connection, head, role, unsettled(head.mode), &reached));
        }
    }
    Ok(Done::new(reached.completed))
}

/// How far a batch came.
#[derive(Default)]
struct Reached {
    completed: u64,
    kept: u64,
}

impl Reached {
    fn answered(&mut self, role: Role) {
        match role {
            Role::Statement(marking) => {
                self.completed += 1;
                if marking != Marking::Joined {
                    self.kept = self.completed;
                }
            }
            Role::Keep => self.kept = self.completed,
            _ => {}
        }
    }
}

/// Returns the messages that the texts of a batch travel in.
fn messages(entries: &[Entry], mode: Mode, kind: Kind) -> Vec<&[Entry]> {
    match (mode, kind) {
        // A message ends before what begins another, and a joined one holds what belongs to it.
        (Mode::Stepwise, Kind::Transactional) => entries.chunk_by(|before, _| before.is_joined).collect(),
        _ => vec![entries],
    }
}

fn compose(head: &Head, work: &mut dyn Work) -> Result<Vec<Entry>, Stop> {
    let mut entries = Vec::new();
    let mut add =
        |text: &str, role, is_joined| entries.push(Entry { text: text.to_owned(), role, is_joined });
    head.opening.iter().for_each(|text| add(text, Role::Opening, false));
    let mut done = 0;
    while let Some(piece) = work.next_piece()? {
        for span in piece.spans {
            let marking = if head.mark.is_some() { span.marking() } else { Marking::Unmarked };
            let is_joined = marking == Marking::Joined;
            if is_joined {
                add("BEGIN", Role::Join, true);
            }
            add(piece.statement(span).map_err(|_| Stop)?, Role::Statement(marking), is_joined);
            done += 1;
            if let Some(mark) = head.mark.as_ref().filter(|_| marking != Marking::Unmarked) {
                add(&mark.replace("{done}", &done.to_string()), Role::Mark, is_joined);
            }
            if is_joined {
                add("COMMIT", Role::Keep, false);
            }
        }
    }
    (0..).zip(&head.closing).for_each(|(index, text)| add(text, Role::Closing(index), false));
    Ok(entries)
}

/// Puts the session in order after a failure, and says what became of the batch.
fn fail(
    connection: &mut ModelConnection,
    head: &Head,
    role: Role,
    error: Error,
    reached: &Reached,
) -> Failure {
    let Reached { completed, kept } = *reached;
    let last = head.closing.len().saturating_sub(1) as u32;
    let phase = match role {
        Role::Opening => Phase::Opening,
        Role::Statement(_) | Role::Join => Phase::Statement(completed),
        Role::Closing(index) if head.mode == Mode::Atomic && index == last => Phase::Commit,
        Role::Mark | Role::Keep | Role::Closing(_) => Phase::Closing,
    };
    if error.session == Session::Lost {
        // What was sent may have been done.
        let phase = if head.mode == Mode::Atomic { Phase::Commit } else { phase };
        return Failure::new(phase, error, completed, kept, State::InDoubt);
    }
    let error = if phase == Phase::Opening { of_opening(error) } else { error };
    let (state, kept) = match head.mode {
        _ if error.kind == ErrorKind::TransactionEnded => (State::Unknown, 0),
        Mode::Stepwise if phase != Phase::Opening => (State::Committed, kept),
        _ => (State::RolledBack, 0),
    };
    let failed = head.failed.iter().filter(|_| state == State::Committed);
    let failed = failed.map(|text| text.replace("{done}", &kept.to_string()));
    for text in std::iter::once("ROLLBACK".to_owned()).chain(failed).chain(head.cleanup.iter().cloned()) {
        let lost = connection.send(vec![text], None).1.is_some_and(|error| error.session == Session::Lost);
        if lost {
            break;
        }
    }
    Failure::new(phase, error, completed, kept, state)
}
