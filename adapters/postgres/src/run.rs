//! Runs batches in as few turns as the protocol allows.
//!
//! An atomic batch is one message, opening and closing included, and the next one may follow before it is answered.
//! A larger one is several messages, a stepwise one a message for each statement, COPY a conversation of its own.
//! Answers are read in the order of the messages; [`Message`] tells which statement an answer is about.
//!
//! Repeats nothing and decides nothing about what to run next.

use std::collections::VecDeque;

use postgres::SimpleQueryMessage;
use whimbrel_adapter_api::walk::{stopped, taken_over, unsettled};
use whimbrel_adapter_api::{
    Done, Error, ErrorKind, Events, Failure, Head, Marking, Mode, Next, Phase, Piece, PieceKind, Rest,
    Session as SessionState, Span, State, Stop, Work,
};

use crate::error;
use crate::message::Message;
use crate::session::{Cells, Session, Ticket};

mod copy;
mod stepwise;

/// What a mark that is joined to its statement answers where it changes no row.
const DIVISION_BY_ZERO: &str = "22012";

/// How many bytes may be under way without an answer: two pieces, with room for what stands around them.
const UNDER_WAY: usize = 576 * 1024;

/// Runs all of `work`.
///
/// # Errors
///
/// The error that lost the session; every batch was reported before.
pub(crate) fn run(
    session: &mut Session,
    application: &str,
    work: &mut dyn Work,
    events: &mut dyn Events,
) -> Result<(), Error> {
    let mut run = Run {
        session,
        application,
        events,
        next_number: 0,
        batches: VecDeque::new(),
        sent: VecDeque::new(),
        under_way: 0,
    };
    loop {
        match work.next_batch() {
            Ok(Next::Batch(head)) => {
                if run.batch(head, work)? == Flow::Stop {
                    return Ok(());
                }
            }
            Ok(Next::Later) => run.settle()?,
            _ => return run.settle(),
        }
    }
}

/// Everything that is under way.
struct Run<'a> {
    session: &'a mut Session,
    application: &'a str,
    events: &'a mut dyn Events,
    next_number: u32,
    /// The batches that are not reported yet, in order.
    batches: VecDeque<Batch>,
    /// The messages that are not answered yet, in order.
    sent: VecDeque<Sent>,
    /// The bytes of these messages.
    under_way: usize,
}

/// A batch that is not reported yet.
struct Batch {
    number: u32,
    head: Head,
    /// How far it is sent.
    sending: Sending,
    /// Statements of the script that were put into a message.
    composed: u64,
    /// Statements of the script that the server completed.
    completed: u64,
    /// Of these, the ones that a failure cannot take back.
    kept: u64,
    /// Bytes of the script that were pulled.
    bytes: u64,
    failed: Option<Failed>,
}

/// How far a batch is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sending {
    /// Nothing was sent.
    Nothing,
    /// Something was sent, but not its end.
    Part,
    /// All of it.
    All,
}

/// Why a batch failed.
#[derive(Clone, Debug)]
struct Failed {
    phase: Phase,
    error: Error,
}

impl Failed {
    fn is_lost_fence(&self) -> bool {
        self.phase == Phase::Opening && self.error.kind == ErrorKind::FenceTaken
    }
}

/// A message that is not answered yet.
struct Sent {
    batch: u32,
    message: Message,
    /// What each statement of the message is for.
    roles: Vec<Role>,
    ticket: Ticket,
}

/// What a statement of a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
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

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

/// A message that is being composed, with what its statements are for.
#[derive(Default)]
struct Draft {
    message: Message,
    roles: Vec<Role>,
}

impl Draft {
    fn push(&mut self, text: &str, role: Role) {
        self.message.push(text);
        self.roles.push(role);
    }
}

impl Run<'_> {
    /// Takes one batch and sends it, or as much of it as can be sent.
    fn batch(&mut self, head: Head, work: &mut dyn Work) -> Result<Flow, Error> {
        self.batches.push_back(Batch::new(self.next_number, head));
        self.next_number += 1;
        let head = &self.current().head;
        let sent = match head.mode {
            _ if !head.outside.is_empty() => {
                let error = Error::unsupported("settings outside a transaction");
                Err(Failed { phase: Phase::Opening, error })
            }
            Mode::Atomic => self.atomic(work),
            _ => self.stepwise(work),
        };
        let Err(failed) = sent else {
            return Ok(Flow::Continue);
        };
        let stopped = failed.error.kind == ErrorKind::Stopped;
        // What was sent before is answered first. If the server refused some of it, that is the reason that counts.
        self.read_all();
        self.current_mut().failed.get_or_insert(failed);
        self.report()?;
        Ok(if stopped { Flow::Stop } else { Flow::Continue })
    }

    /// Sends a transactional batch: one message if it is small, else one for each piece.
    fn atomic(&mut self, work: &mut dyn Work) -> Result<(), Failed> {
        let mut draft = Draft::default();
        let head = &self.current().head;
        for text in head.opening.iter().chain(&head.preparation) {
            draft.push(text, Role::Opening);
        }
        while let Some(piece) = self.pull(work)? {
            match piece.kind {
                PieceKind::Sql => {
                    for span in piece.spans {
                        self.compose(&mut draft, &piece, span)?;
                    }
                    self.current_mut().bytes += piece.text.len() as u64;
                    if piece.rest == Rest::Follows {
                        self.send_part(std::mem::take(&mut draft))?;
                    }
                }
                PieceKind::CopyStart => {
                    let statement = copy::statement(&piece).map_err(|error| self.failed_here(error))?;
                    draft.push(copy::SAVEPOINT, Role::Own);
                    self.send_part(std::mem::take(&mut draft))?;
                    self.read_all();
                    self.check()?;
                    self.copy(&statement, work)?;
                }
                _ => return Err(self.failed_here(copy::misplaced())),
            }
        }
        for (index, text) in self.current().head.closing.iter().enumerate() {
            draft.push(text, Role::Closing(index));
        }
        self.send(draft, Sending::All)
    }

    /// Puts a statement of the script into a message.
    fn compose(&mut self, draft: &mut Draft, piece: &Piece<'_>, span: &Span) -> Result<(), Failed> {
        let statement = piece.statement(span).and_then(|statement| {
            // It would end the message in the middle.
            let error = || Error::new(ErrorKind::Syntax, "there is a NUL character in the statement");
            if statement.contains('\0') { Err(error()) } else { Ok(statement) }
        });
        let batch = self.current_mut();
        let index = batch.composed;
        let statement = statement.map_err(|error| Failed { phase: Phase::Statement(index), error })?;
        batch.composed += 1;
        draft.push(statement, Role::Statement(index, span.marking()));
        Ok(())
    }

    /// Sends a part of an atomic batch.
    fn send_part(&mut self, draft: Draft) -> Result<(), Failed> {
        let first = self.current().sending == Sending::Nothing;
        self.send(draft, Sending::Part)?;
        if first {
            // Until BEGIN is known to have worked nothing else may follow: a syntax error further on in the same
            // message would leave what comes next outside any transaction.
            self.read_all();
        }
        self.check()
    }

    /// Sends a message of the current batch, unless something has failed.
    fn send(&mut self, draft: Draft, sending: Sending) -> Result<(), Failed> {
        let length = draft.message.text().len();
        while !self.sent.is_empty() && self.under_way + length > UNDER_WAY {
            self.read_one();
        }
        self.check()?;
        if !draft.message.is_empty() {
            let sent = self.session.send(draft.message.text(), Cells::Unwanted);
            let ticket = sent.map_err(|error| match self.current().sending {
                Sending::Nothing => Failed { phase: Phase::Opening, error },
                _ => self.failed_here(error),
            })?;
            self.under_way += length;
            let batch = self.current().number;
            self.sent.push_back(Sent { batch, message: draft.message, roles: draft.roles, ticket });
        }
        self.current_mut().sending = sending;
        Ok(())
    }

    /// Returns an error when a batch has failed, so that nothing more is sent.
    fn check(&self) -> Result<(), Failed> {
        match self.batches.iter().any(|batch| batch.failed.is_some()) {
            false => Ok(()),
            true => Err(Failed { phase: Phase::NotReached, error: not_reached() }),
        }
    }

    fn read_all(&mut self) {
        while !self.sent.is_empty() {
            self.read_one();
        }
    }

    /// Reads all answers to the oldest message, and reports the batches that are complete by it.
    fn read_one(&mut self) {
        let Run { session, events, batches, sent, under_way, .. } = self;
        let Some(Sent { batch: number, message, roles, ticket }) = sent.pop_front() else {
            return;
        };
        *under_way -= message.text().len();
        let batch = batches.iter_mut().find(|batch| batch.number == number);
        let batch = batch.expect("a batch stays in the queue until all of its messages are answered");
        let mut completed = 0;
        while let Some(answer) = session.next(ticket, &mut |notice| events.notice(number, notice)) {
            match answer {
                Ok(SimpleQueryMessage::CommandComplete(rows)) => {
                    if let Some(role) = roles.get(completed) {
                        batch.complete(*role, rows);
                    }
                    completed += 1;
                }
                Ok(_) => {}
                Err(cause) => {
                    let error = session.explained(error::of_session(&cause));
                    let (failed, position) = message.locate(completed, error::character(&cause));
                    let role = roles.get(failed).copied().unwrap_or(Role::Own);
                    let lost = error.session == SessionState::Lost;
                    batch.fail(role, error::at(error, position));
                    if lost {
                        break;
                    }
                }
            }
        }
        if completed < roles.len() && batch.failed.is_none() {
            let error = session.check().err();
            let error = error.unwrap_or_else(|| Error::lost("the server left statements without an answer"));
            batch.fail(roles[completed], error);
        }
        events.progress(number, batch.completed, batch.bytes);
        while batches.front().is_some_and(|batch| batch.is_complete(sent)) {
            let batch = batches.pop_front().expect("the front was just looked at");
            events.finished(batch.number, Ok(Done::new(batch.completed)));
        }
    }

    /// Waits for everything that is under way.
    fn settle(&mut self) -> Result<(), Error> {
        self.read_all();
        self.report()
    }

    /// Reports every batch that is left. All answers have been read.
    fn report(&mut self) -> Result<(), Error> {
        let mut lost = self.recover().err();
        let mut behind = Behind::Nothing;
        for batch in std::mem::take(&mut self.batches) {
            let number = batch.number;
            let outcome = batch.outcome(behind);
            if let Err(failure) = &outcome {
                behind = Behind::Failure;
                if failure.error.session == SessionState::Lost {
                    lost.get_or_insert_with(|| failure.error.clone());
                }
            }
            self.events.finished(number, outcome);
        }
        lost.map_or(Ok(()), Err)
    }

    /// Puts the session in order after a failure: one turn, whatever there is to do.
    ///
    /// One message ends the transaction and does what the host wants done. Where one of the texts fails, each of them is
    /// sent for itself, so that none stops the rest; only the loss of the session is of interest.
    fn recover(&mut self) -> Result<(), Error> {
        let Some(batch) = self.batches.iter().find(|batch| batch.failed.is_some()) else {
            return Ok(());
        };
        if batch.sending == Sending::Nothing || batch.is_lost() {
            return Ok(());
        }
        let lost_fence = batch.failed.as_ref().is_some_and(Failed::is_lost_fence);
        if lost_fence && batch.head.mode == Mode::Atomic && batch.head.cleanup.is_empty() {
            // The failed transaction has let go of its locks already, and the next thing asked for is the history.
            self.session.owe("ROLLBACK");
            return Ok(());
        }
        let past_opening = batch.failed.as_ref().is_some_and(|failed| failed.phase != Phase::Opening);
        let mut texts = vec!["ROLLBACK".to_owned()];
        for text in batch.head.failed.iter().filter(|_| past_opening) {
            let text = text.replace("{done}", &batch.kept.to_string());
            texts.push(message_of(&stepwise::undisturbed(text)));
        }
        texts.extend(batch.head.cleanup.iter().cloned());
        if batch.head.mode != Mode::Atomic {
            texts.push(stepwise::name(self.application));
        }
        if self.unless_lost(&message_of(&texts))? == Flow::Continue {
            return Ok(());
        }
        texts.iter().try_for_each(|text| self.unless_lost(text).map(drop))
    }

    /// Runs a text whose failure is of no interest.
    fn unless_lost(&mut self, text: &str) -> Result<Flow, Error> {
        match self.session.turn(text) {
            Ok(()) => Ok(Flow::Continue),
            Err(error) if error.session == SessionState::Lost => Err(error),
            Err(_) => Ok(Flow::Stop),
        }
    }

    fn pull<'work>(&self, work: &'work mut dyn Work) -> Result<Option<Piece<'work>>, Failed> {
        work.next_piece().map_err(|Stop| self.failed_here(stopped()))
    }

    fn failed_here(&self, error: Error) -> Failed {
        Failed { phase: Phase::Statement(self.current().completed), error }
    }

    fn current(&self) -> &Batch {
        self.batches.back().expect("a batch is being sent")
    }

    fn current_mut(&mut self) -> &mut Batch {
        self.batches.back_mut().expect("a batch is being sent")
    }
}

fn message_of(texts: &[String]) -> String {
    Message::of(texts.iter().map(String::as_str)).text().to_owned()
}

/// Whether an earlier batch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    Failure,
}

impl Batch {
    fn new(number: u32, head: Head) -> Self {
        Batch {
            number,
            head,
            sending: Sending::Nothing,
            composed: 0,
            completed: 0,
            kept: 0,
            bytes: 0,
            failed: None,
        }
    }

    fn is_complete(&self, sent: &VecDeque<Sent>) -> bool {
        let answered = sent.front().is_none_or(|sent| sent.batch != self.number);
        self.sending == Sending::All && self.failed.is_none() && answered
    }

    fn is_lost(&self) -> bool {
        self.failed.as_ref().is_some_and(|failed| failed.error.session == SessionState::Lost)
    }

    /// Notes that a statement is complete.
    fn complete(&mut self, role: Role, rows: u64) {
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
            Role::Closing(index) if self.head.settles == Some(index as u32) && rows != 1 => {
                self.failed.get_or_insert(Failed { phase: Phase::Closing, error: unsettled(self.head.mode) });
            }
            _ => {}
        }
    }

    /// Notes the error of a statement. The first one counts.
    fn fail(&mut self, role: Role, error: Error) {
        let last = self.head.closing.len().saturating_sub(1);
        let phase = match role {
            Role::Opening => Phase::Opening,
            Role::Statement(index, _) => Phase::Statement(index),
            Role::Closing(index) if index == last && self.head.mode == Mode::Atomic => Phase::Commit,
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
        let error = match (phase, role) {
            (Phase::Opening, _) => opening_error(error),
            (_, Role::Mark) if error.sqlstate.as_deref() == Some(DIVISION_BY_ZERO) => taken_over(),
            _ => error,
        };
        self.failed.get_or_insert(Failed { phase, error });
    }

    fn outcome(self, behind: Behind) -> Result<Done, Failure> {
        let Some(Failed { phase, error }) = self.failed else {
            return Ok(Done::new(self.completed));
        };
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

fn not_reached() -> Error {
    Error::new(ErrorKind::NotReached, "an earlier batch failed, so this one was not sent")
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
        Batch { sending: Sending::All, ..Batch::new(0, head) }
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
        batch.complete(Role::Closing(0), 0);
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
