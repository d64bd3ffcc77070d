//! Batches in messages, as the adapters of servers send them: an atomic batch is one, and so is a stepwise one where
//! schema commits by itself. Elsewhere a stepwise batch is a message for each statement.

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
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Opening,
    Statement,
    Mark,
    Closing(u32),
}

fn batch(connection: &mut ModelConnection, head: &Head, work: &mut dyn Work) -> Result<Done, Failure> {
    let entries = match compose(head, work) {
        Ok(entries) => entries,
        Err(Stop) => return Err(Failure::rolled_back(Phase::NotReached, stopped(), 0)),
    };
    let attempt = (head.mode == Mode::Stepwise).then(|| head.attempt.clone());
    let size = match (head.mode, connection.kind) {
        (Mode::Stepwise, Kind::Transactional) => 1,
        _ => entries.len().max(1),
    };
    let mut completed = 0;
    for message in entries.chunks(size) {
        let texts = message.iter().map(|entry| entry.text.clone()).collect();
        let (counts, error) = connection.send(texts, attempt.clone());
        let answered = message.iter().zip(&counts);
        completed += answered.clone().filter(|(entry, _)| entry.role == Role::Statement).count() as u64;
        if let Some(error) = error {
            let role = message.get(counts.len()).map_or(Role::Opening, |entry| entry.role);
            return Err(fail(connection, head, role, error, completed));
        }
        let settles =
            |role| matches!((role, head.settles), (Role::Closing(index), Some(number)) if index == number);
        if answered.clone().any(|(entry, count)| settles(entry.role) && *count != 1) {
            let role = Role::Closing(head.settles.unwrap_or_default());
            return Err(fail(connection, head, role, unsettled(head.mode), completed));
        }
    }
    Ok(Done::new(completed))
}

fn compose(head: &Head, work: &mut dyn Work) -> Result<Vec<Entry>, Stop> {
    let mut entries = Vec::new();
    let mut add = |text: &str, role| entries.push(Entry { text: text.to_owned(), role });
    head.opening.iter().for_each(|text| add(text, Role::Opening));
    let mut done = 0;
    while let Some(piece) = work.next_piece()? {
        for span in piece.spans {
            add(piece.statement(span).map_err(|_| Stop)?, Role::Statement);
            done += 1;
            if let (Some(mark), Marking::Marked) = (&head.mark, span.marking()) {
                add(&mark.replace("{done}", &done.to_string()), Role::Mark);
            }
        }
    }
    (0..).zip(&head.closing).for_each(|(index, text)| add(text, Role::Closing(index)));
    Ok(entries)
}

/// Puts the session in order after a failure, and says what became of the batch.
fn fail(connection: &mut ModelConnection, head: &Head, role: Role, error: Error, completed: u64) -> Failure {
    let last = head.closing.len().saturating_sub(1) as u32;
    let phase = match role {
        Role::Opening => Phase::Opening,
        Role::Statement => Phase::Statement(completed),
        Role::Closing(index) if head.mode == Mode::Atomic && index == last => Phase::Commit,
        Role::Mark | Role::Closing(_) => Phase::Closing,
    };
    if error.session == Session::Lost {
        // What was sent may have been done.
        let phase = if head.mode == Mode::Atomic { Phase::Commit } else { phase };
        return Failure::new(phase, error, completed, completed, State::InDoubt);
    }
    let error = if phase == Phase::Opening { of_opening(error) } else { error };
    let (state, kept) = match head.mode {
        _ if error.kind == ErrorKind::TransactionEnded => (State::Unknown, 0),
        Mode::Stepwise if phase != Phase::Opening => (State::Committed, completed),
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
