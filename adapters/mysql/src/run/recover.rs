//! After a failure: what is taken back, what is recorded, and what that shows of the database.

use whimbrel_adapter_api::{Commit, Error, ErrorKind, Head, Mode, Phase};

use super::batch::{Batch, Transaction};
use super::{KEEP, OURS, RELEASE_LOCKS, RELEASE_SAVEPOINT, Run, TELL_TRANSACTION};
use crate::connection::{Answer, BETWEEN, is_lost};
use crate::error::{NO_SUCH_SAVEPOINT, OUT_OF_RANGE, from_driver};

impl Run<'_> {
    /// Rolls back, records the failure, cleans up and releases the locks: one turn, unless one of the texts fails.
    pub(super) fn recover(&mut self, batch: &Batch, phase: Phase, error: &Error) -> Recovered {
        self.commit = Commit::Own;
        // After these the server has taken the whole transaction back by itself, and the savepoint with it.
        let broken = [ErrorKind::Deadlock, ErrorKind::Serialization, ErrorKind::LockTimeout];
        if (phase, error.kind) == (Phase::Opening, ErrorKind::FenceTaken) && leaves_nothing(&batch.head) {
            self.session.owe(&["ROLLBACK", RELEASE_LOCKS]);
            return Recovered::default();
        }
        let has_savepoint =
            batch.head.mode == Mode::Atomic && !matches!(phase, Phase::Opening | Phase::Closing);
        let mut texts = Vec::new();
        if has_savepoint && phase != Phase::Commit && !broken.contains(&error.kind) {
            texts.push(RELEASE_SAVEPOINT.to_owned());
        }
        texts.push("ROLLBACK".to_owned());
        if batch.head.mode == Mode::Stepwise {
            // No table of ours can be reached under the script's LOCK TABLES.
            texts.push("UNLOCK TABLES".to_owned());
        }
        let record = |done: u64| {
            let texts = batch.head.failed.iter().filter(|_| phase != Phase::Opening);
            texts.map(|text| text.replace("{done}", &done.to_string())).collect::<Vec<_>>()
        };
        let texts = |done: u64| {
            let record = if batch.head.mode == Mode::Stepwise { record(done) } else { Vec::new() };
            let locks = vec![RELEASE_LOCKS.to_owned()];
            [texts.clone(), record, batch.head.cleanup.clone(), locks].concat()
        };
        let mut joined = Joined::TakenBack;
        // Whether its transaction is still open, the savepoint tells: after a lock that was waited for it depends on the server.
        let may_be_open = !matches!(error.kind, ErrorKind::Deadlock | ErrorKind::Serialization);
        if let (Some(keep), Phase::Statement(_), true) = (keeping(batch), phase, may_be_open) {
            match self.keep(&keep, &texts(batch.completed)) {
                Ok(recovered) => return recovered,
                Err(why) => joined = why,
            }
        }
        let mut recovered = self.put_in_order(&texts(batch.staying()));
        recovered.joined = joined;
        if recovered.left == Some(Left::Ended) && recovered.lost.is_none() {
            self.record_committed(&record(batch.completed), &mut recovered);
        }
        recovered
    }

    /// Commits the complete statements of a transaction of ours, and runs `rest` behind that, all in one turn.
    ///
    /// # Errors
    ///
    /// Why it was not committed; nothing of `rest` ran then.
    fn keep(&mut self, keep: &[String], rest: &[String]) -> Result<Recovered, Joined> {
        let texts = [keep, rest].concat();
        let mut done = 0;
        let outcome = self.session.exchange(&texts.join(BETWEEN), &mut |answer| {
            done += usize::from(matches!(answer, Answer::End(_)));
        });
        let joined = if done < keep.len() { Joined::Unsure } else { Joined::Kept };
        match outcome.map_err(|error| from_driver(&error, "", 0..0)) {
            Ok(()) => Ok(Recovered { joined: Joined::Kept, ..Recovered::default() }),
            Err(error) if is_lost(&error) => Ok(Recovered { lost: Some(error), joined, left: None }),
            Err(_) if joined == Joined::Kept => {
                Ok(Recovered { joined, ..self.put_in_order(&texts[done + 1..]) })
            }
            Err(error) if error.native == Some(OUT_OF_RANGE) => Err(Joined::TakenOver),
            Err(_) => Err(Joined::TakenBack),
        }
    }

    /// Records the failure of an atomic batch whose transaction a statement has ended. Our row tells how: it is there
    /// if the transaction was committed, and so is all that ran after it, since none was open at the failure.
    fn record_committed(&mut self, record: &[String], recovered: &mut Recovered) {
        let mut changed = 0;
        if record.is_empty() {
            return;
        }
        let outcome = self.session.exchange(&record.join(BETWEEN), &mut |answer| {
            if let Answer::End(answer) = answer {
                changed = answer.changed;
            }
        });
        match outcome.map_err(|error| from_driver(&error, "", 0..0)) {
            Ok(()) if changed == 1 => recovered.left = Some(Left::Committed),
            Err(error) if is_lost(&error) => recovered.lost = Some(error),
            _ => {}
        }
    }

    /// Runs `texts`, each whether or not the one before it failed.
    pub(super) fn put_in_order(&mut self, texts: &[String]) -> Recovered {
        let mut texts = texts.to_vec();
        let mut recovered = Recovered::default();
        let mut from = 0;
        while from < texts.len() {
            let mut done = from;
            let outcome = self.session.exchange(&texts[from..].join(BETWEEN), &mut |answer| {
                let Answer::End(answer) = answer else { return };
                if texts.get(done).is_some_and(|text| text == "ROLLBACK") && answer.warnings > 0 {
                    recovered.left = Some(Left::WithoutTransactions);
                }
                done += 1;
            });
            let Err(error) = outcome else { return recovered };
            let error = from_driver(&error, "", 0..0);
            if is_lost(&error) {
                // The server rolls back by itself when it sees that the session is gone.
                recovered.lost = Some(error);
                return recovered;
            }
            from = done + 1;
            match (texts.get(done).map(String::as_str), error.native) {
                (Some(RELEASE_SAVEPOINT), Some(NO_SUCH_SAVEPOINT)) => {
                    recovered.left = Some(Left::Ended);
                    texts.insert(from, TELL_TRANSACTION.to_owned());
                }
                (Some(TELL_TRANSACTION), _) => recovered.left = Some(Left::EndedAndBegun),
                _ => {}
            }
        }
        recovered
    }
}

/// Returns whether a batch whose opening failed has changed nothing that `cleanup` would put back: its only text is
/// the one that failed, or all of them are in a transaction.
fn leaves_nothing(head: &Head) -> bool {
    match head.mode {
        Mode::Atomic => head.cleanup.is_empty(),
        _ => head.opening.len() == 1,
    }
}

/// Returns what commits the complete statements of a transaction of ours, if there are any.
fn keeping(batch: &Batch) -> Option<Vec<String>> {
    match (batch.transaction, &batch.head.mark) {
        (Transaction::Ours { begun }, Some(mark)) if batch.completed > begun => {
            let mark = mark.replace("{done}", &batch.completed.to_string());
            Some(vec![RELEASE_SAVEPOINT.to_owned(), mark, OURS.to_owned(), KEEP.to_owned()])
        }
        _ => None,
    }
}

/// Why something of an atomic batch is in the database all the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Tables without transactions were changed.
    WithoutTransactions,
    /// A statement ended the transaction, one way or the other.
    Ended,
    /// A statement ended the transaction and began another one, which was rolled back.
    EndedAndBegun,
    /// A statement committed the transaction. All that is complete stays.
    Committed,
}

impl Left {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Left::WithoutTransactions => "tables without transactions were changed and cannot be rolled back",
            Left::Ended | Left::EndedAndBegun => "a statement had ended the transaction before the failure",
            Left::Committed => "a statement had ended the transaction before the failure and committed it",
        }
    }
}

/// What putting the session in order has shown.
#[derive(Default)]
pub(super) struct Recovered {
    /// Why something of an atomic batch is in the database all the same.
    pub(super) left: Option<Left>,
    /// The error that lost the session.
    pub(super) lost: Option<Error>,
    /// What became of the transaction that several statements shared.
    pub(super) joined: Joined,
}

/// What became of the complete statements of a transaction of ours in which another one failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Joined {
    /// They were taken back; or there are none.
    #[default]
    TakenBack,
    /// They stay.
    Kept,
    /// They were taken back, and another run has the migration.
    TakenOver,
    /// The session was lost over it.
    Unsure,
}
