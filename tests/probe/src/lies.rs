//! What is not so, told as if it were; and what nobody should print.

use whimbrel_adapter_api::walk::{OneByOne, walk};
use whimbrel_adapter_api::{
    Done, Error, ErrorKind, Events, Failure, Next, Notice, RowSink, Rows, Stop, Value, Wanted, Work,
};

use crate::Trap;

/// Runs the work and lies about it.
pub(crate) fn run(
    engine: &mut dyn OneByOne,
    trap: &Trap,
    work: &mut dyn Work,
    events: &mut dyn Events,
) -> Result<(), Error> {
    if trap.lies("success") {
        return claim_success(work, events);
    }
    walk(engine, work, &mut Lying { events, trap })
}

/// Runs nothing and says that all of it is done.
fn claim_success(work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
    let mut batch = 0;
    loop {
        match work.next_batch() {
            Ok(Next::Batch(head)) => {
                while let Ok(Some(_)) = work.next_piece() {}
                events.finished(batch, Ok(Done::new(head.statements)));
                batch += 1;
            }
            Ok(Next::Later) => {}
            Ok(_) | Err(Stop) => return Ok(()),
        }
    }
}

struct Lying<'a> {
    events: &'a mut dyn Events,
    trap: &'a Trap,
}

impl Events for Lying<'_> {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        if self.trap.lies("progress") {
            self.events.progress(batch + 7, u64::MAX, u64::MAX);
        }
        if self.trap.lies("notices") {
            self.events.notice(batch, Notice::new("warning\u{1b}[2J", None, garbage().message));
        }
        self.events.progress(batch, statements, bytes);
    }

    fn notice(&mut self, batch: u32, notice: Notice) {
        self.events.notice(batch, notice);
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        match outcome {
            _ if self.trap.lies("silence") => {}
            outcome if self.trap.lies("order") => self.events.finished(batch + 1, outcome),
            Ok(done) if self.trap.lies("count") => {
                self.events.finished(batch, Ok(Done::new(done.statements + 1)));
            }
            outcome => {
                if self.trap.lies("twice") {
                    self.events.finished(batch, outcome.clone());
                }
                self.events.finished(batch, outcome);
            }
        }
    }
}

/// Hands over rows that were read, but not as they were read.
pub(crate) fn hand_over(trap: &Trap, read: Rows, rows: &mut dyn RowSink) {
    for (number, set) in (0..).zip(read.sets) {
        if number == 1 && trap.lies("no-rows") {
            return;
        }
        rows.columns(number, &set.columns.iter().map(String::as_str).collect::<Vec<_>>());
        let mut given = set.rows;
        if trap.lies("reversed") {
            given.reverse();
        }
        for row in &given {
            let row = if trap.lies("short-rows") && number > 0 { &row[..1] } else { row };
            if hand_over_row(trap, number, row, rows) == Wanted::Enough {
                return;
            }
        }
    }
}

fn hand_over_row(trap: &Trap, number: u32, row: &[Value<'_>], rows: &mut dyn RowSink) -> Wanted {
    if trap.lies("doubled") && rows.row(number, row) == Wanted::Enough {
        return Wanted::Enough;
    }
    rows.row(number, row)
}

/// Returns an error that would clear the screen, ring the bell, and fill it.
pub(crate) fn garbage() -> Error {
    let loud = "\u{1b}[2J\u{1b}]0;title\u{7}a\0b\u{9b}31m\u{202e}\rc";
    Error::new(ErrorKind::Other, format!("{loud}\nhint: run something else\n{}", "long ".repeat(200_000)))
        .with_hint(format!("{loud}{}", "longer ".repeat(150_000)))
}
