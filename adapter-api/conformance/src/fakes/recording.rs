//! An adapter that writes down what it is asked.
//!
//! For whoever wants to know what the host does with an adapter, call by call, and for the tests that assert it.

use std::sync::{Arc, Mutex, PoisonError};

use whimbrel_adapter_api::{
    Adapter, BodyFailed, Canceller, ConnectOptions, Connection, Dialect, Done, Error, Events, Failure, Head,
    Info, Liveness, Next, Notice, Opened, Piece, Quirks, ReadError, RowSet, RowSink, Secret, Stop, TableName,
    TransactionBody, TransactionOptions, Value, Work,
};

/// What an adapter was asked, call by call. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    /// Returns the calls since the last time, one line each.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, call: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call.into());
    }
}

/// An adapter that writes down what it is asked. The dialect is pure, so its texts are not written down; what is done with
/// them is.
pub struct Recording {
    adapter: Arc<dyn Adapter>,
    calls: Calls,
}

impl Recording {
    /// Returns the adapter, and what will be asked of it.
    #[must_use]
    pub fn new(adapter: Arc<dyn Adapter>) -> (Self, Calls) {
        let calls = Calls::default();
        (Recording { adapter, calls: calls.clone() }, calls)
    }
}

impl Adapter for Recording {
    fn info(&self) -> Info {
        self.adapter.info()
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        self.calls.add("check_url");
        self.adapter.check_url(url)
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        self.calls.add(format!("connect {:?}", options.access));
        let opened = self.adapter.connect(options)?;
        let connection = RecordedConnection { inner: opened.connection, calls: self.calls.clone() };
        let canceller = RecordedCanceller { inner: opened.canceller, calls: self.calls.clone() };
        Ok(Opened::new(Box::new(connection), Arc::new(canceller)))
    }

    fn quirks(&self) -> Quirks {
        self.adapter.quirks()
    }
}

struct RecordedCanceller {
    inner: Arc<dyn Canceller>,
    calls: Calls,
}

impl Canceller for RecordedCanceller {
    fn cancel(&self) -> Result<(), Error> {
        self.calls.add("cancel");
        self.inner.cancel()
    }
}

struct RecordedConnection<'a> {
    inner: Box<dyn Connection + 'a>,
    calls: Calls,
}

impl Connection for RecordedConnection<'_> {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        self.calls.add(format!("execute_raw {}", brief(script)));
        self.inner.execute_raw(script)
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        self.calls.add(format!("query {} with {} parameters", brief(sql), parameters.len()));
        self.inner.query(sql, parameters, rows)
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        self.calls.add(format!("read {} texts", texts.len()));
        let answer = self.inner.read(texts, rows);
        if let Err(failed) = &answer {
            self.calls.add(format!("  text {} fails: {:?}", failed.set, failed.error.kind));
        }
        answer
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        self.calls.add(format!("table_exists {name}"));
        self.inner.table_exists(name)
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        self.calls.add("transaction");
        let calls = self.calls.clone();
        let mut recorded = |connection: &mut dyn Connection| -> Result<(), BodyFailed> {
            body(&mut RecordedConnection { inner: Box::new(connection), calls: calls.clone() })
        };
        self.inner.transaction(options, &mut recorded)
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        self.calls.add("run");
        let mut work = RecordedWork { inner: work, calls: &self.calls };
        self.inner.run(&mut work, &mut RecordedEvents { inner: events, calls: &self.calls })
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        let answer = self.inner.alive(attempt);
        self.calls.add(format!("alive: {answer:?}"));
        answer
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        let known = if facts.columns.is_empty() { "without" } else { "with" };
        self.calls.add(format!("dialect {known} facts"));
        self.inner.dialect(facts)
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.calls.add("ping");
        self.inner.ping()
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        self.calls.add("close");
        self.inner.close()
    }
}

struct RecordedWork<'a> {
    inner: &'a mut dyn Work,
    calls: &'a Calls,
}

impl Work for RecordedWork<'_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        let next = self.inner.next_batch();
        match &next {
            Ok(Next::Batch(head)) => self.calls.add(format!("  {}", told(head))),
            Ok(Next::Later) => self.calls.add("  later"),
            Ok(_) => self.calls.add("  no more"),
            Err(Stop) => self.calls.add("  stop"),
        }
        next
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        let piece = self.inner.next_piece();
        match &piece {
            Ok(Some(piece)) => {
                let statements = piece.spans.iter().filter_map(|span| piece.statement(span).ok());
                let statements: Vec<String> = statements.map(brief).collect();
                self.calls.add(format!("    {:<12}{}", "script", statements.join("; ")));
            }
            Ok(None) => {}
            Err(Stop) => self.calls.add("    stop"),
        }
        piece
    }
}

struct RecordedEvents<'a> {
    inner: &'a mut dyn Events,
    calls: &'a Calls,
}

impl Events for RecordedEvents<'_> {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        self.inner.progress(batch, statements, bytes);
    }

    fn notice(&mut self, batch: u32, notice: Notice) {
        self.inner.notice(batch, notice);
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        self.calls.add(match &outcome {
            Ok(done) => format!("  done: {} statements", done.statements),
            Err(failure) => {
                let Failure { phase, error, completed, committed, state, .. } = failure;
                format!(
                    "  failed: {phase:?}, {:?}, {completed} complete, {committed} stay, {state:?}",
                    error.kind
                )
            }
        });
        self.inner.finished(batch, outcome);
    }
}

/// Returns a batch by the first words of its texts, in the order in which they are run.
fn told(head: &Head) -> String {
    let texts = |texts: &[String]| texts.iter().map(|text| brief(text)).collect::<Vec<_>>().join("; ");
    let mark = head.mark.as_deref().map(brief);
    let parts = [
        ("outside", texts(&head.outside)),
        ("opening", texts(&head.opening)),
        ("preparation", texts(&head.preparation)),
        ("mark", mark.unwrap_or_default()),
        ("closing", texts(&head.closing)),
        ("failed", texts(&head.failed)),
        ("cleanup", texts(&head.cleanup)),
    ];
    let parts = parts.iter().filter(|(_, texts)| !texts.is_empty());
    let parts: String = parts.map(|(what, texts)| format!("\n    {what:<12}{texts}")).collect();
    format!("{:?} batch of {} statements{parts}", head.mode, head.statements)
}

/// Returns the first words of a statement.
fn brief(statement: &str) -> String {
    const WORDS: usize = 2;
    statement.split_whitespace().take(WORDS).collect::<Vec<_>>().join(" ")
}
