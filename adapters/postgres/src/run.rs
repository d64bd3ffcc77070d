//! Runs batches in as few turns as the protocol allows.
//!
//! Small atomic batches are put together in one message, openings and closings included: the server runs one after the
//! other and stops at the first error ([`atomic`]). A larger one is several messages, a stepwise one a message for each
//! statement, COPY a conversation of its own. Answers are read in the order of the messages; [`Draft`] tells which batch
//! and which statement an answer is about.
//!
//! No message is sent behind one that leaves no transaction open, before that one is answered. A pooler in transaction mode
//! lends the server's connection to somebody else then, and the answers that are still to come reach the wrong client.
//!
//! Decides nothing about what to run next.

use std::collections::VecDeque;

use postgres::SimpleQueryMessage;
use whimbrel_adapter_api::walk::stopped;
use whimbrel_adapter_api::{
    Commit, Error, ErrorKind, Events, Head, Mode, Next, Phase, Piece, Session as SessionState, Span, Stop,
    Work,
};

use crate::error;
use crate::message::Message;
use crate::session::{Cells, Session, Ticket};

use batch::{Batch, Behind, Failed, Role, Sending};
use draft::Draft;

mod atomic;
mod batch;
mod copy;
mod draft;
mod stepwise;

/// How many bytes may be under way without an answer: two longest messages, with room for what stands around them.
const UNDER_WAY: usize = 2 * atomic::LONGEST + 64 * 1024;

/// When there are so many, answers are read until no more than this is under way. What is sent then without a wait fills a
/// longest message: to send a short one behind every answer would be a turn for each.
const STILL_UNDER_WAY: usize = UNDER_WAY - atomic::LONGEST;

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
        draft: Draft::default(),
        sent: VecDeque::new(),
        under_way: 0,
        commit: Commit::Own,
    };
    run.all(work)?;
    run.roll_back_shared()
}

/// Everything that is under way.
struct Run<'a> {
    session: &'a mut Session,
    application: &'a str,
    events: &'a mut dyn Events,
    next_number: u32,
    /// The batches that are not reported yet, in order.
    batches: VecDeque<Batch>,
    /// The message that atomic batches are put into.
    draft: Draft,
    /// The messages that are not answered yet, in order.
    sent: VecDeque<Sent>,
    /// The bytes of these messages.
    under_way: usize,
    /// Who commits the transaction of the last batch that is complete.
    commit: Commit,
}

/// A message that is not answered yet.
struct Sent {
    draft: Draft,
    ticket: Ticket,
}

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

impl Run<'_> {
    fn all(&mut self, work: &mut dyn Work) -> Result<(), Error> {
        loop {
            match work.next_batch() {
                Ok(Next::Batch(head)) => {
                    if self.batch(head, work)? == Flow::Stop {
                        return Ok(());
                    }
                }
                Ok(Next::Later) => self.settle()?,
                Ok(Next::End) => return self.settle(),
                _ => return self.stop(),
            }
        }
    }

    /// Takes back what no batch has committed.
    fn roll_back_shared(&mut self) -> Result<(), Error> {
        if self.commit == Commit::Own {
            return Ok(());
        }
        self.unless_lost("ROLLBACK").map(drop)
    }

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
        let stops = failed.error.kind == ErrorKind::Stopped;
        // What was sent before is answered first. If the server refused some of it, that is the reason that counts.
        self.read_all();
        if stops {
            self.current_mut().failed.get_or_insert(failed);
            return self.stop().map(|()| Flow::Stop);
        }
        let number = self.current().number;
        self.draft.take_back(number);
        // Why the batches before it failed, if they do, is for them to say.
        let _ = self.flush();
        self.current_mut().failed.get_or_insert(failed);
        self.report().map(|()| Flow::Continue)
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
        draft.push(statement, batch.number, Role::Statement(index, span.marking()));
        Ok(())
    }

    /// Sends what is in the draft, and waits until it is answered.
    fn flush(&mut self) -> Result<(), Failed> {
        let draft = std::mem::take(&mut self.draft);
        self.send(draft)?;
        self.read_all();
        self.check()
    }

    /// Sends a message, unless something has failed.
    fn send(&mut self, draft: Draft) -> Result<(), Failed> {
        let is_too_much = |under_way: usize| under_way + draft.len() > UNDER_WAY;
        if is_too_much(self.under_way) {
            while !self.sent.is_empty() && (self.under_way > STILL_UNDER_WAY || is_too_much(self.under_way)) {
                self.read_one();
            }
        }
        self.check()?;
        if draft.is_empty() {
            return Ok(());
        }
        let sent = self.session.send(draft.text(), Cells::Unwanted);
        let batches = self.batches.iter_mut().filter(|batch| draft.holds(batch.number));
        match sent {
            Ok(ticket) => {
                batches.for_each(|batch| batch.is_sent(draft.of(batch.number).count()));
                self.under_way += draft.len();
                self.sent.push_back(Sent { draft, ticket });
                Ok(())
            }
            Err(error) => {
                batches.for_each(|batch| batch.is_not_sent(error.clone()));
                self.check()
            }
        }
    }

    /// Returns an error when a batch has failed, so that nothing more is sent.
    fn check(&self) -> Result<(), Failed> {
        match self.batches.iter().find_map(|batch| batch.failed.as_ref()) {
            None => Ok(()),
            Some(failed) if self.batches.len() == 1 => Err(failed.clone()),
            Some(_) => Err(Failed::not_reached()),
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
        let Some(Sent { draft, ticket }) = sent.pop_front() else {
            return;
        };
        *under_way -= draft.len();
        let mut completed = 0;
        let mut failure = None;
        loop {
            let speaks_of = draft.entry(completed).batch;
            let heard = &mut |notice| events.notice(speaks_of, notice);
            match session.next(ticket, heard) {
                Some(Ok(SimpleQueryMessage::CommandComplete(rows))) => {
                    if let Some(batch) = batches.iter_mut().find(|batch| batch.number == speaks_of) {
                        batch.complete(draft.entry(completed).role, rows);
                    }
                    completed += 1;
                }
                Some(Ok(_)) => {}
                Some(Err(cause)) => {
                    let error = session.explained(error::of_session(&cause));
                    let lost = error.session == SessionState::Lost;
                    failure.get_or_insert((error, error::character(&cause)));
                    if lost {
                        break;
                    }
                }
                None => break,
            }
        }
        if failure.is_none() && completed < draft.count() {
            let error = session.check().err();
            let silent = || Error::lost("the server left statements without an answer");
            failure = Some((error.unwrap_or_else(silent), None));
        }
        for batch in batches.iter().filter(|batch| draft.holds(batch.number)) {
            events.progress(batch.number, batch.completed, batch.bytes);
        }
        match failure {
            Some((error, _)) if error.session == SessionState::Lost => self.lose(&draft, completed, &error),
            Some((error, character)) => self.refused(draft, completed, error, character),
            None => {}
        }
        while self.batches.front().is_some_and(Batch::is_complete) {
            let batch = self.batches.pop_front().expect("the front was just looked at");
            self.commit = batch.head.commit;
            self.events.finished(batch.number, batch.outcome(Behind::Nothing));
        }
    }

    /// Notes that the session was lost over a message, of which `completed` statements are known to have run.
    fn lose(&mut self, draft: &Draft, completed: usize, error: &Error) {
        for batch in &mut self.batches {
            if let Some(unanswered) = draft.behind(completed).find(|entry| entry.batch == batch.number) {
                batch.fail(unanswered.role, error.clone());
            }
        }
    }

    /// Notes that the server refused a statement of a message, after `completed` others.
    fn refused(&mut self, draft: Draft, completed: usize, error: Error, character: Option<usize>) {
        let (entry, position) = draft.locate(completed, character);
        let first = draft.entry(0).batch;
        let of_several = draft.entry(draft.count() - 1).batch != first && draft.begins_outside();
        let is_theirs = !matches!(error.kind, ErrorKind::Cancelled | ErrorKind::StatementTimeout);
        // What shares a transaction with the one that failed is taken back with it.
        let own = |batch: &Batch| !draft.holds(batch.number) || batch.head.commit == Commit::Own;
        let are_apart = self.commit == Commit::Own && self.batches.iter().all(own);
        let is_elsewhere = position.is_none() || draft.entry(entry).batch != first;
        // Nothing ran: the whole message is parsed before its first statement is executed.
        if completed == 0 && of_several && is_elsewhere && is_theirs && are_apart {
            let culprit = position.map(|_| draft.entry(entry).batch);
            self.send_again(&draft, culprit);
            if culprit.is_none() || self.check().is_err() {
                return;
            }
        }
        let at = draft.entry(entry);
        if let Some(batch) = self.batches.iter_mut().find(|batch| batch.number == at.batch) {
            batch.fail(at.role, error::at(error, position));
        }
    }

    /// Sends the batches of a message again, of which nothing ran: those before the one that the server pointed at as one
    /// message, or each by itself, if it did not point at any.
    fn send_again(&mut self, draft: &Draft, culprit: Option<u32>) {
        for batch in self.batches.iter_mut().filter(|batch| draft.holds(batch.number)) {
            batch.is_taken_back(draft.of(batch.number).count());
        }
        let parts = match culprit {
            Some(number) => vec![draft.only(|batch| batch < number)],
            None => draft.batches().map(|number| draft.only(|batch| batch == number)).collect(),
        };
        for part in parts {
            if self.send(part).is_err() {
                return;
            }
            self.read_all();
        }
    }

    /// Waits for everything that is under way.
    fn settle(&mut self) -> Result<(), Error> {
        // Every batch says itself how it failed.
        let _ = self.flush();
        self.report()
    }

    /// Sends nothing more.
    fn stop(&mut self) -> Result<(), Error> {
        self.draft = Draft::default();
        self.read_all();
        if let Some(batch) = self.batches.back_mut() {
            let phase = Phase::Statement(batch.completed);
            batch.failed.get_or_insert(Failed { phase, error: stopped() });
        }
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
        let sent = |batch: &&Batch| batch.sending != Sending::Nothing && batch.failed.is_some();
        let Some(batch) = self.batches.iter().find(sent) else {
            return Ok(());
        };
        self.commit = Commit::Own;
        if batch.is_lost() {
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
