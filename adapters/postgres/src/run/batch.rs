//! A batch that is under way: what is known of it, and what follows from that at its end.
//!
//! Pure: sends nothing and reads nothing.

use whimbrel_adapter_api::walk::{taken_over, unsettled};
use whimbrel_adapter_api::{
    Commit, Done, Error, ErrorKind, Failure, Head, Marking, Mode, Phase, Session as SessionState, State,
};

use super::draft::Draft;
use crate::error;

/// What a guard answers behind a text that changed no row.
const DIVISION_BY_ZERO: &str = "22012";

/// Checks what a commit would check, for a batch that leaves the commit to another one: later it could not be told whose
/// fault it is. Constraints stay as deferred as they are.
const CHECK: [&str; 4] = [
    "SAVEPOINT whimbrel_check",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "ROLLBACK TO SAVEPOINT whimbrel_check",
    "RELEASE SAVEPOINT whimbrel_check",
];

/// A batch that is not reported yet.
pub(super) struct Batch {
    pub(super) number: u32,
    pub(super) head: Head,
    /// How far it is sent.
    pub(super) sending: Sending,
    /// Whether its closing is in a message.
    closing: Closing,
    /// Statements of messages that the server has not completed.
    unanswered: usize,
    /// Statements of the script that were put into a message.
    pub(super) composed: u64,
    /// Statements of the script that the server completed.
    pub(super) completed: u64,
    /// Of these, the ones that a failure cannot take back.
    pub(super) kept: u64,
    /// Bytes of the script that were pulled.
    pub(super) bytes: u64,
    pub(super) failed: Option<Failed>,
}

/// How far a batch is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// Nothing was sent.
    Nothing,
    /// Something was sent, but not its end.
    Part,
    /// All of it.
    All,
}

/// Whether all of a batch is in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    ToCome,
    Composed,
}

/// Why a batch failed.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) phase: Phase,
    pub(super) error: Error,
}

impl Failed {
    pub(super) fn is_lost_fence(&self) -> bool {
        self.phase == Phase::Opening && self.error.kind == ErrorKind::FenceTaken
    }

    pub(super) fn not_reached() -> Self {
        let error = Error::new(ErrorKind::NotReached, "another batch failed, so this one was not sent");
        Failed { phase: Phase::NotReached, error }
    }
}

/// What a statement of a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A text of the host's opening.
    Opening,
    /// A statement of the script.
    Statement(u64, Marking),
    /// A note of progress.
    Mark,
    /// What lets it be written whatever the script has set.
    AroundMark,
    /// The end of a transaction that a statement shares with its mark.
    Keep,
    /// A text of the host's closing.
    Closing(usize),
    /// Needed by this adapter itself.
    Own,
}

/// Whether an earlier batch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    Nothing,
    Failure,
}

impl Batch {
    pub(super) fn new(number: u32, head: Head) -> Self {
        Batch {
            number,
            head,
            sending: Sending::Nothing,
            closing: Closing::ToCome,
            unanswered: 0,
            composed: 0,
            completed: 0,
            kept: 0,
            bytes: 0,
            failed: None,
        }
    }

    /// Puts the closing into a message.
    pub(super) fn close(&mut self, draft: &mut Draft) {
        for (index, text) in self.head.closing.iter().enumerate() {
            let role = Role::Closing(index);
            match self.head.settles {
                // Before its commit, and before the batches behind it.
                Some(settles) if settles as usize == index => draft.push(&guarded(text), self.number, role),
                _ => draft.push(text, self.number, role),
            }
        }
        if self.head.commit == Commit::Later {
            CHECK.iter().for_each(|text| draft.push(text, self.number, Role::Own));
        }
        self.closing = Closing::Composed;
    }

    /// Notes that a message with so many of its statements is sent.
    pub(super) fn is_sent(&mut self, statements: usize) {
        self.unanswered += statements;
        self.sending = match self.closing {
            Closing::ToCome => Sending::Part,
            Closing::Composed => Sending::All,
        };
    }

    /// Notes that a message with something of it could not be sent.
    pub(super) fn is_not_sent(&mut self, error: Error) {
        let phase = match self.sending {
            Sending::Nothing => Phase::Opening,
            _ => Phase::Statement(self.completed),
        };
        self.failed.get_or_insert(Failed { phase, error });
    }

    /// Notes that the message in which it began, with so many of its statements, might as well not have been sent.
    pub(super) fn is_taken_back(&mut self, statements: usize) {
        self.unanswered -= statements;
        self.sending = Sending::Nothing;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.sending == Sending::All && self.unanswered == 0 && self.failed.is_none()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.failed.as_ref().is_some_and(|failed| failed.error.session == SessionState::Lost)
    }

    /// Notes that a statement is complete.
    pub(super) fn complete(&mut self, role: Role, rows: u64) {
        self.unanswered = self.unanswered.saturating_sub(1);
        match role {
            Role::Statement(index, marking) => {
                self.completed = index + 1;
                // Unmarked ones stand inside a transaction of the script's own.
                if self.head.mode != Mode::Atomic && marking == Marking::Marked {
                    self.kept = self.completed;
                }
            }
            Role::Keep => self.kept = self.completed,
            Role::Mark if rows == 0 => {
                self.failed.get_or_insert(Failed { phase: Phase::Closing, error: taken_over() });
            }
            _ => {}
        }
    }

    /// Notes the error of a statement. The first one counts.
    pub(super) fn fail(&mut self, role: Role, error: Error) {
        let last = self.head.closing.len().saturating_sub(1);
        let commits = self.head.mode == Mode::Atomic && self.head.commit == Commit::Own;
        let phase = match role {
            Role::Opening => Phase::Opening,
            Role::Statement(index, _) => Phase::Statement(index),
            Role::Closing(index) if index == last && commits => Phase::Commit,
            Role::Own if self.completed < self.head.statements => Phase::Statement(self.completed),
            Role::Keep => Phase::Statement(self.kept),
            Role::Own | Role::Mark | Role::AroundMark | Role::Closing(_) => Phase::Closing,
        };
        match (phase, role) {
            (Phase::Statement(index), _) => self.completed = self.completed.min(index),
            // The statement goes with its mark where the two share a transaction.
            (_, Role::Mark) => self.completed = self.kept,
            _ => {}
        }
        let is_guard = error.sqlstate.as_deref() == Some(DIVISION_BY_ZERO);
        let error = match (phase, role) {
            (Phase::Opening, _) => opening_error(error),
            (_, Role::Mark) if is_guard => taken_over(),
            (_, Role::Closing(index)) if is_guard && self.head.settles == Some(index as u32) => {
                unsettled(self.head.mode)
            }
            _ => error,
        };
        self.failed.get_or_insert(Failed { phase, error });
    }

    /// Returns what became of it. All answers have been read.
    pub(super) fn outcome(self, behind: Behind) -> Result<Done, Failure> {
        if self.is_complete() {
            return Ok(Done::new(self.completed));
        }
        let Failed { phase, error } = self.failed.unwrap_or_else(Failed::not_reached);
        let atomic = self.head.mode == Mode::Atomic;
        let (phase, state, committed) = match error.kind {
            _ if error.session == SessionState::Lost => match (atomic, self.sending) {
                (_, Sending::Nothing) => (phase, State::RolledBack, 0),
                // COMMIT was sent, and any number of batches behind it too.
                (true, Sending::All) => (Phase::Commit, State::InDoubt, 0),
                (true, Sending::Part) => (phase, State::RolledBack, 0),
                (false, _) => (phase, State::InDoubt, self.kept),
            },
            ErrorKind::TransactionEnded => (phase, State::Unknown, self.kept),
            // Refused with 25P02, or with 23503 where the failed transaction was over already: the row before ours is
            // missing because it is ours too.
            _ if behind == Behind::Failure && phase == Phase::Opening => {
                return Err(Failure::rolled_back(
                    Phase::NotReached,
                    error::of_kind(error, ErrorKind::NotReached),
                    0,
                ));
            }
            ErrorKind::Stopped if atomic => (Phase::Statement(self.completed), State::RolledBack, 0),
            _ if atomic || matches!(phase, Phase::Opening | Phase::NotReached) => {
                (phase, State::RolledBack, 0)
            }
            _ => (phase, State::Committed, self.kept),
        };
        Err(Failure::new(phase, error, self.completed, committed, state))
    }
}

/// Returns the error of an opening, as `FenceTaken` where it says that another runner was first.
fn opening_error(error: Error) -> Error {
    let fence = match error.sqlstate.as_deref() {
        // The position or a catalog's key is taken, the row before is gone, the table is there already, …
        Some("23505" | "23503" | "42P07" | "42710") => true,
        // … or the other runner holds what we wait for.
        Some("40001" | "55P03") => true,
        // Two REVOKEs on one table.
        Some("XX000") => error.message.contains("concurrently updated"),
        _ => false,
    };
    if fence { error::of_kind(error, ErrorKind::FenceTaken) } else { error }
}

/// Returns the text with a guard: it fails where it changes no row, and with it the transaction and the message.
pub(super) fn guarded(text: &str) -> String {
    format!("WITH changed AS ({text} RETURNING 1) SELECT 1 / pg_catalog.count(*) FROM changed")
}

#[cfg(test)]
mod tests {
    use whimbrel_adapter_api::Retry;

    use super::*;

    fn of_server(sqlstate: &str) -> Error {
        let mut error = Error::new(ErrorKind::Other, "the server's words");
        error.sqlstate = Some(sqlstate.to_owned());
        error
    }

    fn batch(mode: Mode) -> Batch {
        let mut head = Head::new("attempt", mode, 2);
        head.closing = vec!["UPDATE history".to_owned(), "COMMIT".to_owned()];
        head.settles = Some(0);
        Batch { sending: Sending::All, unanswered: 1, ..Batch::new(0, head) }
    }

    fn failure(batch: Batch, behind: Behind) -> (Phase, ErrorKind, State) {
        let failure = batch.outcome(behind).expect_err("the batch failed");
        (failure.phase, failure.error.kind, failure.state)
    }

    #[test]
    fn every_face_of_a_lost_fence_is_recognised() {
        for sqlstate in ["23505", "23503", "42P07", "40001", "55P03"] {
            let mut batch = batch(Mode::Atomic);
            batch.fail(Role::Opening, of_server(sqlstate));
            let expected = (Phase::Opening, ErrorKind::FenceTaken, State::RolledBack);
            assert_eq!(failure(batch, Behind::Nothing), expected, "{sqlstate}");
        }
    }

    #[test]
    fn a_batch_refused_behind_a_failed_one_was_not_reached() {
        for sqlstate in ["25P02", "23503"] {
            let mut batch = batch(Mode::Atomic);
            batch.fail(Role::Opening, of_server(sqlstate));
            let expected = (Phase::NotReached, ErrorKind::NotReached, State::RolledBack);
            assert_eq!(failure(batch, Behind::Failure), expected, "{sqlstate}");
        }
    }

    #[test]
    fn the_last_text_of_an_atomic_closing_is_the_commit() {
        let mut atomic = batch(Mode::Atomic);
        atomic.fail(Role::Closing(1), of_server("23503"));
        assert_eq!(failure(atomic, Behind::Nothing), (Phase::Commit, ErrorKind::Other, State::RolledBack));
        let mut stepwise = batch(Mode::Stepwise);
        stepwise.fail(Role::Closing(1), of_server("42501"));
        assert_eq!(failure(stepwise, Behind::Nothing), (Phase::Closing, ErrorKind::Other, State::Committed));
    }

    #[test]
    fn a_closing_that_settles_nothing_means_that_the_transaction_was_not_ours() {
        let mut batch = batch(Mode::Atomic);
        batch.fail(Role::Closing(0), of_server(DIVISION_BY_ZERO));
        assert_eq!(
            failure(batch, Behind::Nothing),
            (Phase::Closing, ErrorKind::TransactionEnded, State::Unknown)
        );
    }

    #[test]
    fn a_lost_session_leaves_in_doubt_only_what_could_have_committed() {
        let lost = |sending, mode| {
            let mut batch = Batch { sending, ..batch(mode) };
            batch.fail(Role::Statement(0, Marking::Marked), Error::lost("gone"));
            failure(batch, Behind::Nothing).2
        };
        assert_eq!(lost(Sending::All, Mode::Atomic), State::InDoubt);
        assert_eq!(lost(Sending::Part, Mode::Atomic), State::RolledBack);
        assert_eq!(lost(Sending::Part, Mode::Stepwise), State::InDoubt);
        assert_eq!(lost(Sending::Nothing, Mode::Stepwise), State::RolledBack);
        assert_eq!(Error::lost("gone").retry, Retry::Sensible);
    }

    #[test]
    fn a_stepwise_batch_keeps_what_was_marked() {
        let mut batch = batch(Mode::Stepwise);
        batch.complete(Role::Statement(0, Marking::Marked), 1);
        batch.complete(Role::Statement(1, Marking::Unmarked), 1);
        batch.fail(Role::Statement(2, Marking::Marked), of_server("22012"));
        let failure = batch.outcome(Behind::Nothing).expect_err("the batch failed");
        assert_eq!((failure.completed, failure.committed, failure.state), (2, 1, State::Committed));
    }
}
