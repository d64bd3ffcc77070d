//! Batches in which every statement stands for itself.
//!
//! Each statement is a message of its own: `CREATE INDEX CONCURRENTLY` and its like refuse company. No message is sent
//! before the last one is answered. A pooler in transaction mode lends the server's connection to somebody else as soon
//! as no transaction is open: answers that are still to come then reach the wrong client. While the batch runs the
//! session bears the attempt's name, by which [`alive`](whimbrel_adapter_api::Connection::alive) finds it from elsewhere,
//! even after this client is dead.
//!
//! Never pipelines with other batches.

use whimbrel_adapter_api::{Error, ErrorKind, Marking, Phase, Piece, PieceKind, Span, Work};

use super::batch::{Failed, Role, guarded};
use super::draft::Draft;
use super::{Run, copy};
use crate::dialect::literal;
use crate::session::Cells;

/// Returns the text that gives the session a name.
pub(super) fn name(application: &str) -> String {
    format!("SET application_name = {}", literal(&application.into()))
}

/// Returns the statements that run `text` as a transaction of the session's own user, whatever role, limits or
/// default a script has set. All of that is in force again behind it.
///
/// Setting the user sets the role as well, and nothing promises that both come back in the right order: the role is
/// put aside and set again.
pub(super) fn undisturbed(text: String) -> Vec<String> {
    let texts = [BEGIN].iter().chain(&STEP_ASIDE).map(ToString::to_string);
    texts.chain([text]).chain(STEP_BACK.map(str::to_owned)).collect()
}

const BEGIN: &str = "BEGIN READ WRITE";

/// Makes the session its own user's for the rest of a transaction.
const STEP_ASIDE: [&str; 5] = [
    "SELECT pg_catalog.set_config('whimbrel.role', pg_catalog.current_setting('role'), false)",
    "SET LOCAL SESSION AUTHORIZATION DEFAULT",
    "SET LOCAL ROLE NONE",
    "SET LOCAL lock_timeout TO DEFAULT",
    "SET LOCAL statement_timeout TO DEFAULT",
];

/// Ends that transaction, and makes the session what it was.
const STEP_BACK: [&str; 2] =
    ["COMMIT", "SELECT pg_catalog.set_config('role', pg_catalog.current_setting('whimbrel.role'), false)"];

/// What a statement has left to be checked at its commit is checked before the user changes.
const CHECK: &str = "SET CONSTRAINTS ALL IMMEDIATE";

impl Run<'_> {
    /// Runs a stepwise batch to its end.
    pub(super) fn stepwise(&mut self, work: &mut dyn Work) -> Result<(), Failed> {
        self.flush()?;
        let number = self.current().number;
        let mut draft = Draft::default();
        // One message is one transaction: no name without the row, and no row without the name.
        draft.push(&name(&self.current().head.attempt), number, Role::Opening);
        for text in &self.current().head.opening {
            draft.push(text, number, Role::Opening);
        }
        self.step(draft)?;
        for text in self.current().head.preparation.clone() {
            let mut draft = Draft::default();
            draft.push(&text, number, Role::Opening);
            self.step(draft)?;
        }
        let mut last = Marking::Marked;
        // The mark of the last statement is never sent: the closing says the same.
        let mut due = None;
        while let Some(piece) = self.pull(work)? {
            match piece.kind {
                PieceKind::Sql => {
                    for span in piece.spans {
                        self.note(due.take())?;
                        last = span.marking();
                        due = self.statement(&piece, span)?;
                    }
                }
                PieceKind::CopyStart => {
                    self.note(due.take())?;
                    let statement = copy::statement(&piece).map_err(|error| self.failed_here(error))?;
                    last = piece.spans[0].marking();
                    self.copy_alone(&statement, work)?;
                    if last == Marking::Marked {
                        self.current_mut().kept = self.current().completed;
                    }
                    due = self.mark(last);
                }
                _ => return Err(self.failed_here(copy::misplaced())),
            }
        }
        if last == Marking::Unmarked {
            self.no_transaction_is_open()?;
        }
        self.close_stepwise()
    }

    /// Runs a statement, and its mark too if the two share a transaction. Returns the mark that is still due.
    fn statement(&mut self, piece: &Piece<'_>, span: &Span) -> Result<Option<Draft>, Failed> {
        let mark = self.current().head.mark.clone().filter(|_| span.marking() == Marking::Joined);
        let (number, index) = (self.current().number, self.current().composed);
        let mut draft = Draft::default();
        if mark.is_some() {
            draft.push(BEGIN, number, Role::Own);
        }
        self.compose(&mut draft, piece, span)?;
        self.current_mut().bytes += u64::from(span.end - span.start);
        let Some(mark) = mark else {
            self.step(draft)?;
            return Ok(self.mark(span.marking()));
        };
        draft.push(CHECK, number, Role::Statement(index, span.marking()));
        STEP_ASIDE.iter().for_each(|text| draft.push(text, number, Role::AroundMark));
        draft.push(&guarded(&mark.replace("{done}", &(index + 1).to_string())), number, Role::Mark);
        for (text, role) in STEP_BACK.iter().zip([Role::Keep, Role::AroundMark]) {
            draft.push(text, number, role);
        }
        self.step(draft)?;
        Ok(None)
    }

    /// Sends a message and waits for it.
    fn step(&mut self, draft: Draft) -> Result<(), Failed> {
        self.send(draft)?;
        self.read_all();
        self.check()
    }

    /// Sends the mark of the last statement, if it has one.
    fn note(&mut self, mark: Option<Draft>) -> Result<(), Failed> {
        mark.map_or(Ok(()), |draft| self.step(draft))
    }

    /// Returns what notes the progress.
    fn mark(&self, marking: Marking) -> Option<Draft> {
        let batch = self.current();
        let mark = batch.head.mark.as_ref().filter(|_| marking == Marking::Marked)?;
        let mark = mark.replace("{done}", &batch.completed.to_string());
        let mut draft = Draft::default();
        for text in undisturbed(mark.clone()) {
            let role = if text == mark { Role::Mark } else { Role::AroundMark };
            draft.push(&text, batch.number, role);
        }
        Some(draft)
    }

    fn close_stepwise(&mut self) -> Result<(), Failed> {
        let number = self.current().number;
        let mut draft = Draft::default();
        // What the reset puts back counts from the next transaction on.
        draft.push("SET TRANSACTION READ WRITE", number, Role::Own);
        self.current_mut().close(&mut draft);
        draft.push(&name(self.application), number, Role::Own);
        self.send(draft)?;
        self.read_all();
        self.check()
    }

    /// Refuses a script that ends inside a transaction of its own: what it did there, and our row with it, would be
    /// taken back with the next ROLLBACK. The server tells by a warning that there is none.
    fn no_transaction_is_open(&mut self) -> Result<(), Failed> {
        let mut warned = Vec::new();
        let failed = |error| Failed { phase: Phase::Closing, error };
        let ticket = self.session.send("ROLLBACK", Cells::Unwanted).map_err(failed)?;
        while let Some(answer) = self.session.next(ticket, &mut |notice| warned.push(notice.sqlstate)) {
            answer.map_err(|error| failed(self.session.explained(crate::error::of_session(&error))))?;
        }
        if warned.iter().any(|sqlstate| sqlstate.as_deref() == Some("25P01")) {
            return Ok(());
        }
        let message = "the script leaves a transaction of its own open, which was rolled back";
        Err(failed(Error::new(ErrorKind::Other, message)))
    }
}
