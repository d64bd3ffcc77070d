//! Running batches, as many statements in one packet as may be.
//!
//! A batch is put together in a [`Packet`]: opening, statements with the marks between them, closing. It is sent when
//! the host wants to hear the outcome, or when it is full. The server answers each statement in turn and stops at the
//! first error, so the number of answers tells the statement that failed ([`Answers`] says how many belong to each).
//! A statement whose answers cannot be counted beforehand is the last of its packet. A marker between the statements
//! (a `SELECT` with a telling column) would count them as well, and would take ROW_COUNT() and FOUND_ROWS() away.
//!
//! Around the host's texts stand a few of ours, in the same packet:
//! - A stepwise batch takes `GET_LOCK(attempt)` behind its opening: after `kill -9` of the client the server runs the
//!   rest of the packet, and keeps the lock for as long.
//! - A transactional statement of a stepwise batch shares a transaction with its mark; rows that are written out in the
//!   script, for one table, share it with each other up to the end of the packet, since each commit waits for the disk.
//!   What is complete of them is committed when one fails, unless the server has taken it back. Not where there are tables
//!   without transactions. Behind every mark the packet ends if it has changed no row.
//! - An atomic batch has a savepoint behind its opening. After a failure it tells whether the transaction was still
//!   the one that was opened; DDL in a procedure ends it, and the savepoint with it.
//! - Both end with `RELEASE_ALL_LOCKS()`, which also takes back the advisory locks that a script forgot.
//!
//! Warnings are not passed on: to read them costs a turn for each statement.

use std::collections::VecDeque;

use whimbrel_adapter_api::walk::{stopped, taken_over, unsettled};
use whimbrel_adapter_api::{
    Commit, Done, Error, ErrorKind, Events, Failure, Head, Marking, Mode, Next, Phase, Piece, PieceKind,
    Session, State, Stop, Work,
};

use crate::connection::{Answer, AnswerKind, BETWEEN, Complete, MySqlConnection, Tables, is_lost};
use crate::error::{OUT_OF_RANGE, from_driver, of_opening};
use crate::lexer::Quoting;
use crate::statement::{Answers, Effect, ModeChange, answers, effect, is_distributed, mode_change, rows_for};

use batch::{Autocommit, Batch, Settled, Transaction};
use packet::{Entry, Packet, Role};
use recover::{Joined, Left, Recovered};

mod batch;
mod packet;
mod recover;

/// The largest packet, save for one longer statement: the buffers of the driver and of the server keep their size.
const LARGEST_PACKET: usize = 256 * 1024;

const SAVEPOINT: &str = "SAVEPOINT whimbrel";
const RELEASE_SAVEPOINT: &str = "RELEASE SAVEPOINT whimbrel";
const RELEASE_LOCKS: &str = "DO RELEASE_ALL_LOCKS()";
const READ_AUTOCOMMIT: &str = "SELECT @@session.autocommit";

const JOIN: &str = "START TRANSACTION READ WRITE";
/// Whatever the script has set `completion_type` to.
const KEEP: &str = "COMMIT AND NO CHAIN NO RELEASE";

/// Fails behind a mark that has changed no row, and with it the rest of the packet: another run has taken the migration
/// over. The sum is out of range then. SELECT would send rows to a client that may be dead, and end with that; DO would hide
/// the error; and where the client is dead the count is -1.
const OURS: &str = "SET @whimbrel = 9223372036854775807 + (ROW_COUNT() = 0)";

/// Changes nothing, since every transaction of ours says so itself; and is refused where one is open.
const TELL_TRANSACTION: &str = "SET TRANSACTION READ WRITE";

/// Runs all of `work`.
///
/// # Errors
///
/// The one that lost the session, after every batch was reported.
pub(crate) fn run(
    session: &mut MySqlConnection,
    work: &mut dyn Work,
    events: &mut dyn Events,
) -> Result<(), Error> {
    let quoting = session.quoting;
    let (batches, packet, script) = (VecDeque::new(), Packet::default(), Script::Outside);
    let (group, commit) = (None, Commit::Own);
    let mut run = Run { session, events, batches, packet, quoting, script, group, commit };
    run.all(work)?;
    run.roll_back_shared()
}

/// Whether the batch that is being composed is still to be gone on with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Going,
    /// It has been reported.
    Ended,
}

/// The failure that ended a packet.
struct Broken {
    /// The number of the statement in the packet.
    entry: usize,
    error: Error,
}

struct Run<'a> {
    session: &'a mut MySqlConnection,
    events: &'a mut dyn Events,
    batches: VecDeque<Batch>,
    packet: Packet,
    /// How the script that is being composed has its quotes read, as far as it says so. It was split by the session's.
    quoting: Quoting,
    /// Whether what comes next in that script stands in a transaction of its own.
    script: Script,
    /// The transaction of ours that still lacks its mark.
    group: Option<Group>,
    /// Who commits the transaction of the last batch that is complete.
    commit: Commit,
}

/// Statements that share a transaction of ours.
struct Group {
    /// The one table that they write to, as it is written.
    table: String,
    /// The number of the last one.
    last: u64,
}

/// Whether a script is in a transaction of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Outside,
    Inside,
}

impl Run<'_> {
    fn all(&mut self, work: &mut dyn Work) -> Result<(), Error> {
        let mut number = 0;
        loop {
            match work.next_batch() {
                Ok(Next::Batch(head)) => {
                    self.batches.push_back(Batch::new(number, head));
                    number += 1;
                    self.compose(work)?;
                }
                Ok(Next::Later) => drop(self.send()?),
                Ok(Next::End) => return self.send().map(drop),
                Err(Stop) | Ok(_) => return self.stop(),
            }
        }
    }

    /// Takes back what no batch has committed.
    fn roll_back_shared(&mut self) -> Result<(), Error> {
        if self.commit == Commit::Own {
            return Ok(());
        }
        let texts = ["ROLLBACK", RELEASE_LOCKS].map(str::to_owned);
        self.put_in_order(&texts).lost.map_or(Ok(()), Err)
    }

    /// Puts the batch that was pushed last into packets, and sends those that are full.
    fn compose(&mut self, work: &mut dyn Work) -> Result<(), Error> {
        let Some(head) = self.batches.back().map(|batch| batch.head.clone()) else {
            return Ok(());
        };
        if !head.outside.is_empty() {
            let error = Error::unsupported("settings around a transaction");
            return self.abandon(Phase::Opening, error);
        }
        if self.open(&head)? == Flow::Ended || self.script(&head, work)? == Flow::Ended {
            return Ok(());
        }
        for (index, text) in (0..).zip(&head.closing) {
            if self.add(text, Role::Closing(index), Answers::One)? == Flow::Ended {
                return Ok(());
            }
            // Nothing behind it may run, neither its commit nor another batch, when the row is not ours any more.
            let is_guarded = head.settles == Some(index);
            if is_guarded && self.add(OURS, Role::Ours, Answers::One)? == Flow::Ended {
                return Ok(());
            }
        }
        let flow = self.add(RELEASE_LOCKS, Role::Epilogue, Answers::One)?;
        if let (Flow::Going, Some(batch)) = (flow, self.batches.back_mut()) {
            batch.composed = true;
        }
        Ok(())
    }

    fn open(&mut self, head: &Head) -> Result<Flow, Error> {
        for (index, text) in head.opening.iter().enumerate() {
            let last = index + 1 == head.opening.len();
            if self.add(text, Role::Opening { last }, Answers::One)? == Flow::Ended {
                return Ok(Flow::Ended);
            }
        }
        match head.mode {
            Mode::Atomic => self.add(SAVEPOINT, Role::Guard, Answers::One),
            // Behind the row, which only one runner gets in: a runner that took the lock and lost the fence would keep
            // it from the one that is at work, and let it go before that one has ended.
            _ => {
                let lock = format!("DO GET_LOCK('{}', 0)", head.attempt.replace('\'', "''"));
                self.add(&lock, Role::Guard, Answers::One)
            }
        }
    }

    fn script(&mut self, head: &Head, work: &mut dyn Work) -> Result<Flow, Error> {
        let mut done = 0;
        (self.quoting, self.script, self.group) = (self.session.quoting, Script::Outside, None);
        loop {
            let piece = match work.next_piece() {
                Ok(Some(piece)) => piece,
                Ok(None) => return self.end_group(head),
                Err(Stop) => return self.stop().map(|()| Flow::Ended),
            };
            if self.piece(head, &piece, &mut done)? == Flow::Ended {
                return Ok(Flow::Ended);
            }
            if let Some(batch) = self.batches.back_mut() {
                batch.bytes += piece.text.len() as u64;
            }
        }
    }

    fn piece(&mut self, head: &Head, piece: &Piece<'_>, done: &mut u64) -> Result<Flow, Error> {
        if piece.kind != PieceKind::Sql {
            let error = Error::unsupported("data inside a script");
            return self.abandon(Phase::Statement(*done), error).map(|()| Flow::Ended);
        }
        for span in piece.spans {
            let statement = match piece.statement(span) {
                Ok(statement) => statement,
                Err(error) => return self.abandon(Phase::Statement(*done), error).map(|()| Flow::Ended),
            };
            if let Some(error) = self.refusal(statement) {
                return self.abandon(Phase::Statement(*done), error).map(|()| Flow::Ended);
            }
            *done += 1;
            if self.statement(head, statement, span.marking(), *done)? == Flow::Ended {
                return Ok(Flow::Ended);
            }
        }
        Ok(Flow::Going)
    }

    /// Adds a statement, which is number `number` from 1, with what stands around it.
    fn statement(
        &mut self,
        head: &Head,
        statement: &str,
        marking: Marking,
        number: u64,
    ) -> Result<Flow, Error> {
        let mark = head.mark.as_ref().filter(|_| marking != Marking::Unmarked);
        let mark = mark.map(|mark| mark.replace("{done}", &number.to_string()));
        // The host does not know what a variable sets `autocommit` to. In a transaction of the script's own the two are
        // together anyway, and ours would commit it.
        let is_joined = mark.is_some() && marking == Marking::Joined && self.script == Script::Outside;
        let table = rows_for(statement).filter(|_| is_joined && self.session.tables == Tables::RollBack);
        if let Some(table) = table {
            return self.grouped(head, statement, table, number);
        }
        if self.end_group(head)? == Flow::Ended {
            return Ok(Flow::Ended);
        }
        let effect = effect(statement);
        let probes = effect == Effect::SetsAutocommit && head.mode == Mode::Stepwise;
        let texts = [
            is_joined.then_some((JOIN, Role::Join, Answers::One)),
            Some((statement, Role::Statement(effect), answers(statement))),
            probes.then_some((READ_AUTOCOMMIT, Role::Probe, Answers::One)),
            mark.as_deref().map(|mark| (mark, Role::Mark, Answers::One)),
            mark.as_deref().map(|_| (OURS, Role::Ours, Answers::One)),
            is_joined.then_some((KEEP, Role::Keep, Answers::One)),
        ];
        for (text, role, answers) in texts.into_iter().flatten() {
            if self.add(text, role, answers)? == Flow::Ended {
                return Ok(Flow::Ended);
            }
        }
        // What comes next depends on the answer.
        let asks = effect == Effect::Unsure && self.script == Script::Inside;
        if (probes || asks) && self.send()? == Flow::Ended {
            return Ok(Flow::Ended);
        }
        if asks {
            self.ask();
        }
        self.follow(effect);
        Ok(Flow::Going)
    }

    /// Adds a statement to the transaction of those before it that write to the same table, or to a new one.
    fn grouped(&mut self, head: &Head, statement: &str, table: &str, number: u64) -> Result<Flow, Error> {
        let goes_on = self.group.as_ref().is_some_and(|group| group.table == table);
        if !(goes_on && self.has_room(statement, head)) && self.end_group(head)? == Flow::Ended {
            return Ok(Flow::Ended);
        }
        let begin = [(JOIN, Role::Join), (SAVEPOINT, Role::Held)];
        let begin = begin.into_iter().filter(|_| self.group.is_none());
        let texts: Vec<_> = begin.chain([(statement, Role::Statement(Effect::None))]).collect();
        for (text, role) in texts {
            if self.add(text, role, Answers::One)? == Flow::Ended {
                return Ok(Flow::Ended);
            }
        }
        self.group = Some(Group { table: table.to_owned(), last: number });
        Ok(Flow::Going)
    }

    /// Commits the transaction that several statements share, with the mark of the last one.
    fn end_group(&mut self, head: &Head) -> Result<Flow, Error> {
        let (Some(group), Some(mark)) = (self.group.take(), &head.mark) else { return Ok(Flow::Going) };
        let mark = mark.replace("{done}", &group.last.to_string());
        for (text, role) in [(mark.as_str(), Role::Mark), (OURS, Role::Ours), (KEEP, Role::Keep)] {
            if self.add(text, role, Answers::One)? == Flow::Ended {
                return Ok(Flow::Ended);
            }
        }
        Ok(Flow::Going)
    }

    /// Returns whether a statement fits into the packet, more or less, together with the end of its transaction.
    fn has_room(&self, statement: &str, head: &Head) -> bool {
        let mark = head.mark.as_ref().map_or(0, String::len);
        let end = mark + OURS.len() + KEEP.len() + 4 * BETWEEN.len();
        self.packet.text.len() + statement.len() + end < self.limit()
    }

    /// Asks whether the script's transaction is still open.
    fn ask(&mut self) {
        let answer = self.session.exchange(TELL_TRANSACTION, &mut |_| {});
        if let (Ok(()), Some(batch)) = (answer, self.batches.back_mut()) {
            batch.transaction = batch.begun_again();
        }
    }

    /// Follows the script that is being composed through its own transactions.
    fn follow(&mut self, effect: Effect) {
        let Some(batch) = self.batches.back() else { return };
        let is_inside = match effect {
            Effect::None => return,
            Effect::Unsure if self.script == Script::Outside => return,
            Effect::Begins => true,
            Effect::Commits | Effect::RollsBack => batch.autocommit == Autocommit::Off,
            Effect::SetsAutocommit | Effect::Unsure => batch.transaction != Transaction::None,
        };
        self.script = if is_inside { Script::Inside } else { Script::Outside };
    }

    /// Returns why a statement is not sent.
    fn refusal(&mut self, statement: &str) -> Option<Error> {
        if is_distributed(statement) {
            // Until it is prepared nothing but its own kind is allowed, so neither could a failure be recorded.
            let error =
                Error::new(ErrorKind::Other, "a transaction of several servers (XA) inside a migration");
            return Some(error.with_hint("write START TRANSACTION … COMMIT instead"));
        }
        let usual = self.session.quoting;
        if self.quoting.reads_differently(usual, statement) {
            let error = Error::new(
                ErrorKind::Other,
                "a quote behind a backslash, after a SET sql_mode that changes what that means",
            );
            return Some(error.with_hint(
                "take NO_BACKSLASH_ESCAPES and ANSI_QUOTES out of the SET, or write the quote twice: `''`",
            ));
        }
        match mode_change(statement) {
            ModeChange::To(modes) => self.quoting = Quoting::of(&modes),
            ModeChange::Back => self.quoting = usual,
            ModeChange::None => {}
        }
        None
    }

    /// Adds a statement of the batch that was pushed last, and sends the packet before it where it would be too long.
    fn add(&mut self, text: &str, role: Role, answers: Answers) -> Result<Flow, Error> {
        if let Some(largest) = self.session.largest.filter(|largest| text.len() as u64 + 1 >= *largest) {
            return self.refuse(text, role, largest).map(|()| Flow::Ended);
        }
        let full = self.packet.text.len() + BETWEEN.len() + text.len() >= self.limit();
        if full && !self.packet.entries.is_empty() && self.send()? == Flow::Ended {
            return Ok(Flow::Ended);
        }
        let Some(batch) = self.batches.back() else {
            return Ok(Flow::Ended);
        };
        self.packet.push(text, batch.number, role, answers);
        if answers == Answers::Rest { self.send() } else { Ok(Flow::Going) }
    }

    /// Returns how many bytes a packet has at most, save for one longer statement.
    fn limit(&self) -> usize {
        self.session.largest.map_or(LARGEST_PACKET, |largest| LARGEST_PACKET.min(largest as usize - 1))
    }

    fn refuse(&mut self, text: &str, role: Role, largest: u64) -> Result<(), Error> {
        let message =
            format!("the statement has {} bytes, and the server takes less than {largest}", text.len());
        let error = Error::new(ErrorKind::TooLarge, message).with_hint(format!(
            "split the statement, or let the server take it: `SET GLOBAL max_allowed_packet = {}`, then connect again",
            (text.len() as u64 + 2).next_multiple_of(1024)
        ));
        // What is in the packet before it has not been answered yet; only then is the phase right.
        if self.batches.back().is_some_and(|batch| batch.sent) && self.send()? == Flow::Ended {
            return Ok(());
        }
        let number = self.batches.back().map(|batch| batch.number);
        let is_of = |entry: &&Entry| Some(entry.batch) == number;
        let unsent = self
            .packet
            .entries
            .iter()
            .filter(|entry| is_of(entry) && matches!(entry.role, Role::Statement(_)))
            .count();
        let phase = self.batches.back().map_or(Phase::Opening, |batch| match batch.phase(role) {
            Phase::Statement(index) => Phase::Statement(index + unsent as u64),
            phase => phase,
        });
        self.abandon(phase, error)
    }

    /// Sends the packet, if there is anything in it, and reports every batch that it decides.
    fn send(&mut self) -> Result<Flow, Error> {
        let packet = std::mem::take(&mut self.packet);
        if packet.entries.is_empty() {
            return Ok(Flow::Going);
        }
        for batch in &mut self.batches {
            batch.sent |= packet.entries.iter().any(|entry| entry.batch == batch.number);
        }
        let broken = self.exchange(&packet).err();
        for batch in &self.batches {
            self.events.progress(batch.number, batch.completed, batch.bytes);
        }
        let Some(broken) = broken else {
            while self.batches.front().is_some_and(|batch| batch.composed) {
                self.report_complete()?;
            }
            return Ok(Flow::Going);
        };
        self.report_broken(&packet, broken).map(|()| Flow::Ended)
    }

    /// Sends `packet` and reads every answer, so that each batch knows how far it came.
    fn exchange(&mut self, packet: &Packet) -> Result<(), Broken> {
        let mut entry = 0;
        let mut surplus = false;
        let batches = &mut self.batches;
        let mut complete = |answer: Complete, cell: Option<i64>| {
            let Some(current) = packet.entries.get(entry) else {
                surplus = true;
                return;
            };
            let ends = match current.answers {
                Answers::One => true,
                Answers::UntilOk => answer.kind == AnswerKind::Ok,
                Answers::Rest => false,
            };
            if ends {
                answered(batches, current, answer.changed);
                if let (Role::Probe, Some(cell)) = (current.role, cell) {
                    probed(batches, current, cell);
                }
                entry += 1;
            }
        };
        let mut autocommit = None;
        let outcome = self.session.exchange(&packet.text, &mut |answer| match answer {
            Answer::Row(row) => autocommit = row.get_opt::<i64, _>(0).and_then(Result::ok),
            Answer::End(answer) => complete(answer, autocommit.take()),
            Answer::Columns(_) => {}
        });
        if let Err(error) = outcome {
            let at = packet.entries.get(entry).map_or(0..0, |entry| entry.at.clone());
            return Err(Broken { entry, error: from_driver(&error, &packet.text, at) });
        }
        if let Some(current) = packet.entries.get(entry).filter(|current| current.answers == Answers::Rest) {
            answered(&mut self.batches, current, 0);
            entry += 1;
        }
        if entry < packet.entries.len() || surplus {
            // More statements in a span than one, say. Which answer is whose cannot be told any more.
            let error =
                Error::new(ErrorKind::Misbehaved, "the server gave another number of answers than expected");
            return Err(Broken { entry: entry.min(packet.entries.len() - 1), error });
        }
        Ok(())
    }

    /// Reports the first batch, whose every answer has been read.
    fn report_complete(&mut self) -> Result<(), Error> {
        let Some(batch) = self.batches.pop_front() else {
            return Ok(());
        };
        if batch.settled != Settled::Wrongly {
            self.commit = batch.head.commit;
            self.events.finished(batch.number, Ok(Done::new(batch.completed)));
            return Ok(());
        }
        self.fail(&batch, Phase::Closing, unsettled(batch.head.mode))
    }

    /// Reports every batch after a packet that failed.
    fn report_broken(&mut self, packet: &Packet, broken: Broken) -> Result<(), Error> {
        let last = packet.entries.len() - 1;
        let entry = &packet.entries[broken.entry.min(last)];
        let mut lost = is_lost(&broken.error).then(|| broken.error.clone());
        while self.batches.front().is_some_and(|batch| batch.number < entry.batch) {
            lost = self.report_complete().err().or(lost);
        }
        if let Some(mut batch) = self.batches.pop_front() {
            if matches!(entry.role, Role::Mark | Role::Ours | Role::Keep) {
                // The statement goes with its mark where the two share a transaction.
                batch.completed = batch.staying();
            }
            let outcome = match (entry.role, batch.settled) {
                (Role::Ours, Settled::Yes) => {
                    self.events.finished(batch.number, Ok(Done::new(batch.completed)));
                    Ok(())
                }
                // The outcome was known before; only our own tidying up has failed.
                (Role::Epilogue, Settled::Wrongly) => {
                    self.fail(&batch, Phase::Closing, unsettled(batch.head.mode))
                }
                (Role::Epilogue, _) => {
                    self.events.finished(batch.number, Ok(Done::new(batch.completed)));
                    Ok(())
                }
                (role, _) => {
                    let phase = batch.phase(role);
                    let error = match (role, phase) {
                        (Role::Ours, _) if batch.settled == Settled::Wrongly => unsettled(batch.head.mode),
                        (Role::Ours, _) if broken.error.native == Some(OUT_OF_RANGE) => taken_over(),
                        (_, Phase::Opening) => of_opening(broken.error.clone()),
                        _ => broken.error.clone(),
                    };
                    self.fail_sent(&batch, phase, error, commit_is_in(packet, &batch))
                }
            };
            lost = outcome.err().or(lost);
        }
        while let Some(batch) = self.batches.pop_front() {
            let failure = not_reached(packet, &batch, lost.as_ref());
            self.events.finished(batch.number, Err(failure));
        }
        self.packet = Packet::default();
        lost.map_or(Ok(()), Err)
    }

    /// Reports a batch that failed while the session may be gone.
    fn fail_sent(
        &mut self,
        batch: &Batch,
        phase: Phase,
        error: Error,
        commit: CommitSent,
    ) -> Result<(), Error> {
        if !is_lost(&error) {
            return self.fail(batch, phase, error);
        }
        // The server's own word that this very statement failed; an answer that never came says nothing.
        let heard = error.native.is_some() || error.kind == ErrorKind::Unsupported;
        let (committed, state) = match batch.head.mode {
            Mode::Atomic if phase == Phase::Commit || (!heard && commit == CommitSent::Yes) => {
                (0, State::InDoubt)
            }
            Mode::Atomic => (0, State::RolledBack),
            _ if heard => (batch.staying(), State::Committed),
            _ => (batch.staying(), State::Unknown),
        };
        let failure = Failure::new(phase, error.clone(), batch.completed, committed, state);
        self.events.finished(batch.number, Err(failure));
        Err(error)
    }

    /// Takes a batch back, puts the session in order and reports the failure.
    fn fail(&mut self, batch: &Batch, phase: Phase, mut error: Error) -> Result<(), Error> {
        let recovered = if batch.sent { self.recover(batch, phase, &error) } else { Recovered::default() };
        let mut phase = phase;
        if recovered.joined == Joined::TakenOver {
            (phase, error) = (Phase::Closing, taken_over());
        }
        let committed = match (batch.head.mode, phase) {
            (Mode::Atomic, _) if recovered.left == Some(Left::Committed) => batch.completed,
            (Mode::Atomic, _) | (_, Phase::Opening) => 0,
            _ if recovered.joined == Joined::Kept => batch.completed,
            _ => batch.staying(),
        };
        let state = match (batch.head.mode, phase, error.kind) {
            _ if recovered.joined == Joined::Unsure => State::Unknown,
            (_, _, ErrorKind::TransactionEnded | ErrorKind::Misbehaved) => State::Unknown,
            (Mode::Atomic, _, _) if recovered.left == Some(Left::Committed) => State::Committed,
            (Mode::Atomic, _, _) if recovered.left.is_some() => State::Unknown,
            (Mode::Atomic, _, _) | (_, Phase::Opening, _) => State::RolledBack,
            _ if !batch.sent => State::RolledBack,
            _ => State::Committed,
        };
        if let Some(left) = recovered.left.filter(|_| batch.head.mode == Mode::Atomic) {
            error.detail = Some(left.describe().to_owned());
        }
        if recovered.lost.is_some() {
            error.session = Session::Lost;
        }
        self.events
            .finished(batch.number, Err(Failure::new(phase, error, batch.completed, committed, state)));
        recovered.lost.map_or(Ok(()), Err)
    }

    /// Reports the batch that was pushed last as failed before all of it was sent. Those before it are sent.
    fn abandon(&mut self, phase: Phase, error: Error) -> Result<(), Error> {
        let Some(number) = self.batches.back().map(|batch| batch.number) else {
            return Ok(());
        };
        self.packet.take_back(number);
        if self.send()? == Flow::Ended {
            return Ok(());
        }
        self.batches.pop_back().map_or(Ok(()), |batch| self.fail(&batch, phase, error))
    }

    /// Reports every batch as stopped. What was not sent is not sent any more.
    fn stop(&mut self) -> Result<(), Error> {
        self.packet = Packet::default();
        let mut lost = None;
        while let Some(batch) = self.batches.pop_front() {
            lost = self.fail(&batch, Phase::Statement(batch.completed), stopped()).err().or(lost);
        }
        lost.map_or(Ok(()), Err)
    }
}

/// Whether the text that commits a batch was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CommitSent {
    No,
    Yes,
}

fn answered(batches: &mut VecDeque<Batch>, entry: &Entry, changed: u64) {
    if let Some(batch) = batches.iter_mut().find(|batch| batch.number == entry.batch) {
        batch.answered(entry.role, changed);
    }
}

fn probed(batches: &mut VecDeque<Batch>, entry: &Entry, autocommit: i64) {
    if let Some(batch) = batches.iter_mut().find(|batch| batch.number == entry.batch) {
        batch.autocommit_is(if autocommit == 0 { Autocommit::Off } else { Autocommit::On });
    }
}

fn commit_is_in(packet: &Packet, batch: &Batch) -> CommitSent {
    let commits = |entry: &Entry| {
        entry.batch == batch.number && matches!(entry.role, Role::Closing(index) if batch.is_last(index))
    };
    if packet.entries.iter().any(commits) { CommitSent::Yes } else { CommitSent::No }
}

/// Returns the failure of a batch behind the one that failed.
///
/// The server stops at the first error, so nothing of it ran; unless the session was lost, when all of it may have.
fn not_reached(packet: &Packet, batch: &Batch, lost: Option<&Error>) -> Failure {
    match lost {
        Some(error) if error.native.is_none() && batch.sent => {
            let state = match (batch.head.mode, commit_is_in(packet, batch)) {
                (Mode::Atomic, CommitSent::Yes) => State::InDoubt,
                (Mode::Atomic, CommitSent::No) => State::RolledBack,
                _ => State::Unknown,
            };
            Failure::new(Phase::Opening, error.clone(), 0, 0, state)
        }
        _ => {
            let error = Error::new(ErrorKind::NotReached, "a migration before this one failed");
            Failure::rolled_back(Phase::NotReached, error, 0)
        }
    }
}
