//! Work for [`Connection::run`], and what is heard of it.
//!
//! A [`Script`] is what the host would hand out, with its statements known from the start. [`run`] hands it to a
//! connection and sees to it that the adapter keeps to the protocol.

use std::cell::RefCell;
use std::collections::VecDeque;

use whimbrel_adapter_api::{
    Connection, Done, Error, Events, Failure, Head, Marking, Next, Notice, Piece, PieceKind, Rest, Session,
    Span, Stop, Work,
};

use crate::finding::Finding;

/// One or more batches.
#[derive(Clone, Debug, Default)]
pub struct Script {
    batches: VecDeque<Batch>,
    order: Order,
    /// Stop instead of the piece with this number, counted over all batches.
    stop_at: Option<usize>,
}

/// Whether a batch is handed out before the one before it is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// It is not.
    #[default]
    Strict,
    /// As soon as the adapter asks for it.
    AsAsked,
}

#[derive(Clone, Debug)]
struct Batch {
    head: Head,
    pieces: VecDeque<Held>,
}

/// A piece, kept: what [`Piece`] borrows.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it holds.
    pub kind: PieceKind,
    /// The text.
    pub text: Vec<u8>,
    /// Where the statements are.
    pub spans: Vec<Span>,
}

impl Default for Held {
    fn default() -> Self {
        Held { kind: PieceKind::Sql, text: Vec::new(), spans: Vec::new() }
    }
}

impl Held {
    /// Returns a piece of statements. A `~` before one says that no mark follows it.
    #[must_use]
    pub fn sql(statements: &[&str]) -> Self {
        Held::marked(statements, Marking::Marked)
    }

    /// Returns the pieces of a statement whose data follows it.
    #[must_use]
    pub fn copy(statement: &str, data: &[&str]) -> Vec<Self> {
        let start = Held { kind: PieceKind::CopyStart, ..Held::sql(&[statement]) };
        let data = data.iter().map(|data| Held {
            kind: PieceKind::CopyData,
            text: data.as_bytes().to_vec(),
            ..Held::default()
        });
        let end = Held { kind: PieceKind::CopyEnd, ..Held::default() };
        [start].into_iter().chain(data).chain([end]).collect()
    }

    fn marked(statements: &[&str], marking: Marking) -> Self {
        // The statements are where the spans say, and not whatever stands in the text.
        let mut held = Held { text: b"-- a comment;\n".to_vec(), ..Held::default() };
        for statement in statements {
            // No statement begins with such a sign.
            let (statement, marking) = match statement.strip_prefix('~') {
                Some(statement) => (statement, Marking::Unmarked),
                None => (*statement, marking),
            };
            let start = held.text.len() as u32;
            held.text.extend_from_slice(statement.as_bytes());
            held.spans.push(Span::new(start, held.text.len() as u32, marking));
            held.text.extend_from_slice(b";\n");
        }
        held
    }
}

impl Script {
    /// Returns the work of one batch in one piece.
    #[must_use]
    pub fn of(head: Head, statements: &[&str]) -> Self {
        Script::default().then(head, &[statements])
    }

    /// Adds a batch whose statements come in these pieces. A `~` before one says that no mark follows it.
    #[must_use]
    pub fn then(self, head: Head, pieces: &[&[&str]]) -> Self {
        self.then_marked(head, pieces, Marking::Marked)
    }

    /// Adds a batch whose statements have this marking.
    #[must_use]
    pub fn then_marked(self, head: Head, pieces: &[&[&str]], marking: Marking) -> Self {
        let pieces = pieces.iter().filter(|statements| !statements.is_empty());
        let pieces = pieces.map(|statements| Held::marked(statements, marking)).collect();
        self.then_pieces(head, pieces)
    }

    /// Adds a batch of pieces as they stand.
    #[must_use]
    pub fn then_pieces(mut self, head: Head, pieces: Vec<Held>) -> Self {
        self.batches.push_back(Batch { head, pieces: pieces.into() });
        self
    }

    /// Lets the adapter have every batch as soon as it asks for it.
    #[must_use]
    pub fn as_asked(mut self) -> Self {
        self.order = Order::AsAsked;
        self
    }

    /// Says stop instead of handing out the piece with this number, counted from 0.
    #[must_use]
    pub fn stopping_at(mut self, piece: usize) -> Self {
        self.stop_at = Some(piece);
        self
    }
}

/// What was heard of a run.
#[derive(Debug)]
#[must_use]
pub struct Heard {
    /// The answer of `run` itself.
    pub answer: Result<(), Error>,
    /// What became of each batch.
    pub outcomes: Vec<Result<Done, Failure>>,
    /// What the server said on the way, with the number of the batch.
    pub notices: Vec<(u32, Notice)>,
    /// How many batches were under way at once, at most.
    pub under_way: usize,
}

/// What both of the adapter's objects write to.
#[derive(Default)]
struct Log {
    handed_out: Vec<u64>,
    outcomes: Vec<Result<Done, Failure>>,
    notices: Vec<(u32, Notice)>,
    under_way: usize,
    stopped: bool,
    reported: (u32, u64),
    misconduct: Option<String>,
}

impl Log {
    fn accuse(&mut self, misconduct: impl Into<String>) {
        self.misconduct.get_or_insert(misconduct.into());
    }
}

/// Runs work on a connection.
///
/// # Errors
///
/// The first thing by which the adapter departs from the protocol that [`Work`] describes.
pub fn run(connection: &mut dyn Connection, script: Script) -> Result<Heard, Finding> {
    run_watched(connection, script, &mut |_| Ok(()))
}

/// Runs work on a connection, and calls `watch` with the number of each piece before it is handed out.
///
/// # Errors
///
/// As [`run`]; and what `watch` finds.
pub fn run_watched(
    connection: &mut dyn Connection,
    script: Script,
    watch: &mut dyn FnMut(usize) -> Result<(), Finding>,
) -> Result<Heard, Finding> {
    let log = RefCell::new(Log::default());
    let mut puller =
        Puller { script, pieces: VecDeque::new(), held: Held::default(), pulled: 0, watch, log: &log };
    let answer = connection.run(&mut puller, &mut Ears { log: &log });
    let left = puller.script.batches.len();
    let Log { handed_out, outcomes, notices, under_way, stopped, misconduct, .. } = log.into_inner();
    let failed = outcomes.iter().any(Result::is_err);
    let misconduct = misconduct.or_else(|| match &answer {
        Err(error) if error.session != Session::Lost => {
            Some(format!("`run` answers with {:?} although the session is not lost", error.kind))
        }
        _ if outcomes.len() != handed_out.len() => {
            Some(format!("of {} batches, {} are reported as finished", handed_out.len(), outcomes.len()))
        }
        Ok(()) if left > 0 && !stopped && !failed => {
            Some("`run` returns before it was told that there is no more".to_owned())
        }
        _ => None,
    });
    match misconduct {
        Some(misconduct) => Err(Finding::new(misconduct)),
        None => Ok(Heard { answer, outcomes, notices, under_way }),
    }
}

impl Heard {
    /// Returns what became of the only batch.
    ///
    /// # Errors
    ///
    /// Several, or none.
    pub fn single(self) -> Result<Result<Done, Failure>, Finding> {
        match <[_; 1]>::try_from(self.outcomes) {
            Ok([outcome]) => Ok(outcome),
            Err(outcomes) => Err(Finding::new(format!("{} batches are reported, of one", outcomes.len()))),
        }
    }
}

struct Puller<'a> {
    script: Script,
    pieces: VecDeque<Held>,
    held: Held,
    pulled: usize,
    watch: &'a mut dyn FnMut(usize) -> Result<(), Finding>,
    log: &'a RefCell<Log>,
}

impl Work for Puller<'_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        let mut log = self.log.borrow_mut();
        let waiting = log.handed_out.len() - log.outcomes.len().min(log.handed_out.len());
        if log.stopped || log.outcomes.iter().any(Result::is_err) {
            return Ok(Next::End);
        }
        if !self.pieces.is_empty() && !log.stopped {
            log.accuse("the next batch is asked for before all pieces of the last one");
        }
        if waiting > 0 && self.script.order == Order::Strict {
            return Ok(Next::Later);
        }
        let Some(Batch { head, pieces }) = self.script.batches.pop_front() else {
            return Ok(Next::End);
        };
        log.handed_out.push(head.statements);
        log.under_way = log.under_way.max(waiting + 1);
        self.pieces = pieces;
        Ok(Next::Batch(head))
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        let mut log = self.log.borrow_mut();
        if log.stopped {
            log.accuse("a piece is asked for after the request to stop");
            return Err(Stop);
        }
        if self.script.stop_at == Some(self.pulled) {
            log.stopped = true;
            return Err(Stop);
        }
        if let Err(finding) = (self.watch)(self.pulled) {
            log.accuse(finding.to_string());
            log.stopped = true;
            return Err(Stop);
        }
        self.pulled += 1;
        let Some(held) = self.pieces.pop_front() else { return Ok(None) };
        self.held = held;
        let rest = if self.pieces.is_empty() { Rest::Last } else { Rest::Follows };
        Ok(Some(Piece::new(self.held.kind, rest, &self.held.text, &self.held.spans)))
    }
}

struct Ears<'a> {
    log: &'a RefCell<Log>,
}

impl Events for Ears<'_> {
    fn progress(&mut self, batch: u32, statements: u64, _bytes: u64) {
        let mut log = self.log.borrow_mut();
        match log.handed_out.get(batch as usize).copied() {
            None => log.accuse(format!("progress is told of batch {batch}, which was never handed out")),
            Some(total) if statements > total => {
                log.accuse(format!("progress is told of {statements} statements, and there are {total}"));
            }
            Some(_) if log.reported.0 == batch && log.reported.1 > statements => {
                log.accuse("progress goes back");
            }
            Some(_) => log.reported = (batch, statements),
        }
    }

    fn notice(&mut self, batch: u32, notice: Notice) {
        self.log.borrow_mut().notices.push((batch, notice));
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        let mut log = self.log.borrow_mut();
        let expected = log.outcomes.len();
        let Some(statements) = log.handed_out.get(expected).copied().filter(|_| batch as usize == expected)
        else {
            return log.accuse(format!("batch {batch} is reported as finished, and it is not under way"));
        };
        match &outcome {
            Ok(done) if done.statements != statements => {
                log.accuse(format!(
                    "{} statements are reported as complete, of {statements}",
                    done.statements
                ));
            }
            Err(failure) if failure.committed > failure.completed || failure.completed > statements => {
                let Failure { completed, committed, .. } = failure;
                log.accuse(format!(
                    "of {statements} statements, {completed} are complete and {committed} stay"
                ));
            }
            _ => {}
        }
        log.outcomes.push(outcome);
    }
}
