//! The host's half: ABI objects as the traits the host knows, and the host's callbacks as ABI objects.

use std::sync::Arc;

use abi_stable::erased_types::TD_Opaque;
use abi_stable::sabi_types::RMut;
use abi_stable::std_types::{ROption, RResult, RSlice};

use super::cells::{borrow_cells, lend_cells};
use super::convert::{
    FALSE, TRUE, export_next, import_facts, import_info, import_lexer, import_notice, import_outcome,
    import_read_error, lend_piece, lend_table, lend_transaction, lent, no_facts, result, string, strings,
    text, with_options,
};
use super::panics::Slot;
use super::quirks::import_quirks;
use super::text::EncodedText;
use super::traits::{
    ABody, ABody_TO, AConnection, AEvents, AEvents_TO, ARowSink, ARowSink_TO, AWork, AWork_TO, AdapterBox,
    Answer, CancellerArc, ConnectionBox, ConnectionMut, DialectBox,
};
use super::types::{ACell, ADone, AFailure, ANext, ANotice, APiece, ARowSet, Code, Lent};
use crate::{
    Adapter, Canceller, ConnectOptions, Connection, Dialect, Error, ErrorKind, Events, Facts, Info, Lexer,
    Liveness, Opened, Quirks, ReadError, RowSet, RowSink, Secret, TableName, Text, TransactionBody,
    TransactionOptions, Value, Wanted, Work,
};

/// Asks the adapter for its description once, so that [`Adapter::info`] cannot fail later.
pub(super) fn import_adapter(adapter: AdapterBox) -> Result<Arc<dyn Adapter>, Error> {
    let info = import_info(result(adapter.info())?);
    Ok(Arc::new(ImportedAdapter { adapter, info }))
}

struct ImportedAdapter {
    adapter: AdapterBox,
    info: Info,
}

impl Adapter for ImportedAdapter {
    fn info(&self) -> Info {
        self.info.clone()
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        result(self.adapter.check_url(lent(url.reveal())))
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        let opened = with_options(options, |options| result(self.adapter.connect(options)))?;
        Ok(Opened {
            connection: Box::new(ImportedConnection(opened.connection)),
            canceller: Arc::new(ImportedCanceller(opened.canceller)),
        })
    }

    /// An adapter that panics here says nothing about its engine.
    fn quirks(&self) -> Quirks {
        result(self.adapter.quirks()).map(import_quirks).unwrap_or_default()
    }
}

struct ImportedCanceller(CancellerArc);

impl Canceller for ImportedCanceller {
    fn cancel(&self) -> Result<(), Error> {
        result(self.0.cancel())
    }
}

/// A connection of the adapter: a [`ConnectionBox`], or a [`ConnectionMut`] inside a transaction.
struct ImportedConnection<O>(O);

// SAFETY: the object was made from a `Box<dyn Connection>`, which is `Send`, and is reached through `&mut` only. The
// rest of it is an `Arc` of data that is `Send + Sync`, and static functions.
unsafe impl Send for ImportedConnection<ConnectionBox> {}

// SAFETY: as above; a `&mut` to something that is `Send` is itself `Send`.
unsafe impl Send for ImportedConnection<ConnectionMut<'_>> {}

impl<O: AConnection> Connection for ImportedConnection<O>
where
    ImportedConnection<O>: Send,
{
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        result(self.0.execute_raw(lent(script)))
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        let parameters = lend_cells(parameters);
        let slot = Slot::default();
        let mut rows = ExportedRowSink { rows, sets: 1, slot: &slot };
        let rows = ARowSink_TO::from_ptr(RMut::new(&mut rows), TD_Opaque);
        let answer = self.0.query(lent(sql), RSlice::from_slice(&parameters), rows);
        settle(slot, answer)
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        let lent: Vec<Lent<'_>> = texts.iter().map(|text| lent(text)).collect();
        let slot = Slot::default();
        let mut rows = ExportedRowSink { rows, sets: texts.len(), slot: &slot };
        let rows = ARowSink_TO::from_ptr(RMut::new(&mut rows), TD_Opaque);
        let answer = self.0.read(RSlice::from_slice(&lent), rows);
        slot.settle().map_err(|error| ReadError { set: 0, error })?;
        answer.into_result().map_err(import_read_error)
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        match result(self.0.table_exists(lend_table(name)))? {
            FALSE => Ok(false),
            TRUE => Ok(true),
            _ => Err(Error::new(ErrorKind::Misbehaved, "the adapter says neither yes nor no")),
        }
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        let slot = Slot::default();
        let mut body = ExportedBody { body, slot: &slot };
        let body = ABody_TO::from_ptr(RMut::new(&mut body), TD_Opaque);
        let answer = self.0.transaction(lend_transaction(options), body);
        settle(slot, answer)
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        let slot = Slot::default();
        let mut work = ExportedWork { work, slot: &slot };
        let work = AWork_TO::from_ptr(RMut::new(&mut work), TD_Opaque);
        let mut events = ExportedEvents { events, slot: &slot };
        let events = AEvents_TO::from_ptr(RMut::new(&mut events), TD_Opaque);
        let answer = self.0.run(work, events);
        settle(slot, answer)
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        let alive = result(self.0.alive(lent(attempt)))?;
        Ok(Liveness::from_code(alive.0).unwrap_or(Liveness::Unknown))
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        let columns: Vec<Lent<'_>> = facts.columns.iter().map(|name| lent(name)).collect();
        let rows: Vec<Vec<ACell<'_>>> = facts.rows.iter().map(|row| lend_cells(row)).collect();
        let rows: Vec<RSlice<'_, ACell<'_>>> = rows.iter().map(|row| RSlice::from_slice(row)).collect();
        let dialect = result(self.0.dialect(ARowSet {
            columns: RSlice::from_slice(&columns),
            rows: RSlice::from_slice(&rows),
            ext: no_facts(),
        }))?;
        let lexer = import_lexer(result(dialect.lexer())?)?;
        let facts = import_facts(result(dialect.facts())?);
        Ok(Box::new(ImportedDialect { dialect, lexer, facts }))
    }

    fn ping(&mut self) -> Result<(), Error> {
        result(self.0.ping())
    }

    fn close(mut self: Box<Self>) -> Result<(), Error> {
        result(self.0.close())
    }
}

fn settle(slot: Slot, answer: Answer<()>) -> Result<(), Error> {
    slot.settle()?;
    result(answer)
}

/// A dialect whose fixed parts were read and checked when it was made.
///
/// The rest cannot answer with an error. When the adapter panics there, its connection is poisoned, and the empty text
/// returned instead gets nowhere: whoever sends it on that connection hears of the panic.
struct ImportedDialect {
    dialect: DialectBox,
    lexer: Lexer,
    facts: Facts,
}

impl Dialect for ImportedDialect {
    fn lexer(&self) -> Lexer {
        self.lexer.clone()
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn quote(&self, identifier: &str) -> String {
        result(self.dialect.quote(lent(identifier))).map(string).unwrap_or_default()
    }

    fn literal(&self, value: &Value<'_>) -> String {
        let cells = lend_cells(std::slice::from_ref(value));
        result(self.dialect.literal(RSlice::from_slice(&cells))).map(string).unwrap_or_default()
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        match result(EncodedText::new(text).lend(|text| self.dialect.text(text))) {
            Ok(texts) => texts.into_option().map(|texts| strings(texts.texts)),
            Err(_) => Some(vec![String::new()]),
        }
    }
}

struct ExportedRowSink<'a> {
    rows: &'a mut dyn RowSink,
    sets: usize,
    slot: &'a Slot,
}

impl ExportedRowSink<'_> {
    /// Numbers beyond what was asked for are caught here: a sink may well make room for as many sets.
    fn knows(&self, set: u32) -> bool {
        let known = (set as usize) < self.sets;
        if !known {
            self.slot.accuse("the adapter gave rows of a result set that was not asked for");
        }
        known
    }
}

impl ARowSink for ExportedRowSink<'_> {
    fn columns(&mut self, set: u32, names: RSlice<'_, Lent<'_>>) {
        if self.knows(set) {
            let names: Vec<_> = names.iter().map(|name| text(*name)).collect();
            let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
            self.slot.call(|| self.rows.columns(set, &names));
        }
    }

    fn row(&mut self, set: u32, cells: RSlice<'_, ACell<'_>>) -> Code {
        let wanted = if self.knows(set) {
            match borrow_cells(cells) {
                Some(cells) => self.slot.call(|| self.rows.row(set, &cells)),
                None => {
                    self.slot.accuse("the adapter gave an array that does not end");
                    None
                }
            }
        } else {
            None
        };
        Code(wanted.unwrap_or(Wanted::Enough).code())
    }
}

struct ExportedBody<'a> {
    body: &'a mut TransactionBody<'a>,
    slot: &'a Slot,
}

impl ABody for ExportedBody<'_> {
    fn call(&mut self, connection: ConnectionMut<'_>) -> Code {
        let mut connection = ImportedConnection(connection);
        match self.slot.call(|| (self.body)(&mut connection)) {
            Some(Ok(())) => TRUE,
            Some(Err(_)) | None => FALSE,
        }
    }
}

struct ExportedWork<'a> {
    work: &'a mut dyn Work,
    slot: &'a Slot,
}

impl AWork for ExportedWork<'_> {
    fn next_batch(&mut self) -> ANext {
        export_next(self.slot.call(|| self.work.next_batch()).and_then(Result::ok))
    }

    fn next_piece(&mut self) -> RResult<ROption<APiece<'_>>, Code> {
        let work = &mut *self.work;
        // Moved in: a closure cannot return a borrow of what it captured by reference.
        match self.slot.call(move || { work }.next_piece()) {
            Some(Ok(piece)) => RResult::ROk(piece.map(lend_piece).into()),
            Some(Err(_)) | None => RResult::RErr(FALSE),
        }
    }
}

struct ExportedEvents<'a> {
    events: &'a mut dyn Events,
    slot: &'a Slot,
}

impl AEvents for ExportedEvents<'_> {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        self.slot.call(|| self.events.progress(batch, statements, bytes));
    }

    fn notice(&mut self, batch: u32, notice: ANotice) {
        self.slot.call(|| self.events.notice(batch, import_notice(notice)));
    }

    fn finished(&mut self, batch: u32, outcome: RResult<ADone, AFailure>) {
        self.slot.call(|| self.events.finished(batch, import_outcome(outcome)));
    }
}
