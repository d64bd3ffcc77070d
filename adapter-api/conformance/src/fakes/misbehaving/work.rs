//! The run of an adapter with a defect: work that is not done as it was given, outcomes that are not told as they are.

use whimbrel_adapter_api::{
    Done, ErrorKind, Events, Failure, Head, Mode, Next, Notice, Phase, Piece, State, Stop, Work,
};

use super::Defect;
use super::connection::bent_error;

pub(super) struct BentWork<'a> {
    work: &'a mut dyn Work,
    defect: Defect,
    pieces: u32,
    stopped: bool,
}

impl<'a> BentWork<'a> {
    pub(super) fn new(work: &'a mut dyn Work, defect: Defect) -> Self {
        BentWork { work, defect, pieces: 0, stopped: false }
    }
}

impl Work for BentWork<'_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        self.pieces = 0;
        match self.work.next_batch() {
            Ok(Next::Batch(head)) => Ok(Next::Batch(bent_head(self.defect, head))),
            next => next,
        }
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        self.pieces += 1;
        match self.defect {
            Defect::LosesAPiece if self.pieces == 2 => {
                self.work.next_piece()?;
            }
            Defect::IgnoresStop if self.stopped => return Ok(None),
            _ => {}
        }
        let defect = self.defect;
        match self.work.next_piece() {
            Err(Stop) if defect == Defect::IgnoresStop => {
                self.stopped = true;
                Ok(None)
            }
            Ok(Some(piece)) if defect == Defect::LosesTheLastStatement => {
                let spans = piece.spans.split_last().map_or(piece.spans, |(_, spans)| spans);
                Ok(Some(Piece::new(piece.kind, piece.rest, piece.text, spans)))
            }
            piece => piece,
        }
    }
}

fn bent_head(defect: Defect, mut head: Head) -> Head {
    let is_atomic = head.mode == Mode::Atomic;
    match defect {
        Defect::NoTransaction if is_atomic => {
            let control = |text: &String| !text.starts_with("BEGIN") && !text.starts_with("COMMIT");
            head.opening.retain(control);
            head.closing.retain(control);
        }
        Defect::IgnoresSettling => head.settles = None,
        Defect::ForgetsMarks => head.mark = None,
        Defect::ForgetsFailures => head.failed.clear(),
        _ => {}
    }
    head
}

pub(super) struct BentEvents<'a> {
    events: &'a mut dyn Events,
    defect: Defect,
}

impl<'a> BentEvents<'a> {
    pub(super) fn new(events: &'a mut dyn Events, defect: Defect) -> Self {
        BentEvents { events, defect }
    }
}

impl Events for BentEvents<'_> {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        let beyond = u64::from(self.defect == Defect::ProgressBeyondTheEnd);
        self.events.progress(batch, statements + 1_000 * beyond, bytes);
    }

    fn notice(&mut self, batch: u32, notice: Notice) {
        self.events.notice(batch, notice);
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        let outcome = outcome.map_err(|failure| bent_failure(self.defect, failure));
        match (self.defect, outcome) {
            (Defect::ReportsNothing, _) => {}
            (Defect::ReportsAnother, outcome) => self.events.finished(batch + 1, outcome),
            (Defect::CountsOneMore, Ok(done)) => {
                self.events.finished(batch, Ok(Done::new(done.statements + 1)));
            }
            // The count of what was to be sent, whatever was.
            (Defect::LosesTheLastStatement, Ok(done)) => {
                self.events.finished(batch, Ok(Done::new(done.statements + 1)));
            }
            (Defect::RunsBehindAFailure, Err(failure)) => {
                self.events.finished(batch, Ok(Done::new(failure.completed + 1)));
            }
            (Defect::ReportsTwice, outcome) => {
                self.events.finished(batch, outcome.clone());
                self.events.finished(batch, outcome);
            }
            (_, outcome) => self.events.finished(batch, outcome),
        }
    }
}

fn bent_failure(defect: Defect, mut failure: Failure) -> Failure {
    failure.error = bent_error(defect, failure.error, "");
    match (defect, failure.phase) {
        (Defect::BlamesTheNextStatement, Phase::Statement(index)) => {
            failure.phase = Phase::Statement(index + 1)
        }
        (Defect::FenceIsConstraint, Phase::Opening) if failure.error.kind == ErrorKind::FenceTaken => {
            failure.error.kind = ErrorKind::Constraint;
        }
        _ => {}
    }
    match (defect, failure.state) {
        (Defect::SaysTheyStay, State::RolledBack) => failure.committed = failure.completed,
        (Defect::SaysTheyAreGone, State::Committed) => {
            (failure.committed, failure.state) = (0, State::RolledBack);
        }
        (Defect::FalseCertainty, State::Unknown) => failure.state = State::RolledBack,
        _ => {}
    }
    failure
}
