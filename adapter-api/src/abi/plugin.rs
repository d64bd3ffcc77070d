//! The adapter's half: what an author wrote, as ABI objects, and the host's callbacks as the traits the author knows.

use std::sync::Arc;

use abi_stable::erased_types::TD_Opaque;
use abi_stable::sabi_types::RMut;
use abi_stable::std_types::{RArc, RBox, ROption, RResult, RSlice};

use super::cells::{borrow_cells, lend_cells};
use super::convert::{
    FALSE, TRUE, answer, borrow_piece, bytes, bytes_list, export_facts, export_info, export_lexer,
    export_notice, export_outcome, export_read_error, import_next, import_options, import_table,
    import_transaction, lent, require_known, text,
};
use super::panics::{Contained, Poison, contained};
use super::quirks::export_quirks;
use super::text::decode;
use super::traits::{
    AAdapter, AAdapter_TO, ACanceller, ACanceller_TO, AConnection, AConnection_TO, ADialect, ADialect_TO,
    AOpened, AdapterBox, Answer, BodyMut, CancellerArc, ConnectionBox, DialectBox, EventsMut, RowSinkMut,
    WorkMut,
};
use super::types::{
    ACell, AConnectOptions, AFacts, AInfo, ALexer, AQuirks, AReadError, ARowSet, ATableName, AText, ATexts,
    ATransactionOptions, Bytes, Code, Ext, Lent,
};
use crate::{
    Adapter, BodyFailed, Canceller, Connection, Dialect, Done, Error, ErrorKind, Events, Failure, Next,
    Notice, Opened, Piece, ReadError, RowSet, RowSink, Secret, Stop, Value, Wanted, Work,
};

pub(super) fn export_adapter(adapter: Box<dyn Adapter>) -> AdapterBox {
    let adapter = ExportedAdapter(Contained::new(adapter));
    AAdapter_TO::from_ptr(RBox::new(adapter), TD_Opaque)
}

struct ExportedAdapter(Contained<Box<dyn Adapter>>);

impl AAdapter for ExportedAdapter {
    fn info(&self) -> Answer<AInfo> {
        answer(contained(|| export_info(self.0.info())))
    }

    fn check_url(&self, url: Lent<'_>) -> Answer<()> {
        answer(flat(|| self.0.check_url(&Secret::new(text(url)))))
    }

    fn connect(&self, options: AConnectOptions<'_>) -> Answer<AOpened> {
        answer(flat(|| self.0.connect(&import_options(&options)?).map(export_opened)))
    }

    fn quirks(&self) -> Answer<AQuirks> {
        answer(contained(|| export_quirks(self.0.quirks())))
    }
}

fn flat<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    contained(call).unwrap_or_else(Err)
}

fn export_opened(opened: Opened) -> AOpened {
    let canceller = ExportedCanceller(Contained::new(opened.canceller));
    AOpened {
        connection: export_connection(opened.connection),
        canceller: export_canceller(canceller),
        ext: Ext::new(),
    }
}

fn export_canceller(canceller: ExportedCanceller) -> CancellerArc {
    ACanceller_TO::from_ptr(RArc::new(canceller), TD_Opaque)
}

struct ExportedCanceller(Contained<Arc<dyn Canceller>>);

impl ACanceller for ExportedCanceller {
    fn cancel(&self) -> Answer<()> {
        answer(flat(|| self.0.cancel()))
    }
}

fn export_connection(connection: Box<dyn Connection>) -> ConnectionBox {
    let exported =
        ExportedConnection { held: Held::Owned(Contained::new(Some(connection))), poison: Arc::default() };
    AConnection_TO::from_ptr(RBox::new(exported), TD_Opaque)
}

struct ExportedConnection<'a> {
    held: Held<'a>,
    poison: Arc<Poison>,
}

enum Held<'a> {
    /// The author's own object, until it is closed.
    Owned(Contained<Option<Box<dyn Connection>>>),
    /// What the author's `transaction` gave to its body.
    Lent(&'a mut (dyn Connection + 'a)),
}

impl ExportedConnection<'_> {
    fn guard<T>(&mut self, call: impl FnOnce(&mut dyn Connection) -> Result<T, Error>) -> Result<T, Error> {
        let held = &mut self.held;
        self.poison.guard(|| match held {
            Held::Owned(connection) => match connection.as_deref_mut() {
                Some(connection) => call(connection),
                None => Err(Error::lost("the connection is closed")),
            },
            Held::Lent(connection) => call(*connection),
        })
    }
}

impl AConnection for ExportedConnection<'_> {
    fn execute_raw(&mut self, script: Lent<'_>) -> Answer<()> {
        answer(self.guard(|connection| connection.execute_raw(&text(script))))
    }

    fn query(
        &mut self,
        sql: Lent<'_>,
        parameters: RSlice<'_, ACell<'_>>,
        rows: RowSinkMut<'_>,
    ) -> Answer<()> {
        answer(self.guard(|connection| {
            let parameters = borrow_cells(parameters).ok_or_else(malformed)?;
            connection.query(&text(sql), &parameters, &mut ImportedRowSink(rows))
        }))
    }

    fn read(&mut self, texts: RSlice<'_, Lent<'_>>, rows: RowSinkMut<'_>) -> RResult<(), AReadError> {
        let mut set = 0;
        let outcome = self.guard(|connection| {
            let texts: Vec<_> = texts.iter().map(|sql| text(*sql)).collect();
            let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
            connection.read(&texts, &mut ImportedRowSink(rows)).map_err(|failed| {
                set = failed.set;
                failed.error
            })
        });
        outcome.map_err(|error| export_read_error(ReadError { set, error })).into()
    }

    fn table_exists(&mut self, name: ATableName<'_>) -> Answer<Code> {
        let exists = self.guard(|connection| connection.table_exists(&import_table(&name)?));
        answer(exists.map(|exists| if exists { TRUE } else { FALSE }))
    }

    fn transaction(&mut self, options: ATransactionOptions<'_>, mut body: BodyMut<'_>) -> Answer<()> {
        let poison = Arc::clone(&self.poison);
        answer(self.guard(|connection| {
            let options = import_transaction(&options)?;
            connection.transaction(&options, &mut |connection| {
                let held = Held::Lent(connection);
                let mut exported = ExportedConnection { held, poison: Arc::clone(&poison) };
                let lent = AConnection_TO::from_ptr(RMut::new(&mut exported), TD_Opaque);
                let done = body.call(lent) == TRUE;
                // After a panic inside the body nothing may be committed, whatever the body made of it.
                if done && !poison.is_set() { Ok(()) } else { Err(BodyFailed) }
            })
        }))
    }

    fn run(&mut self, work: WorkMut<'_>, events: EventsMut<'_>) -> Answer<()> {
        answer(self.guard(|connection| connection.run(&mut ImportedWork(work), &mut ImportedEvents(events))))
    }

    fn alive(&mut self, attempt: Lent<'_>) -> Answer<Code> {
        answer(self.guard(|connection| Ok(Code(connection.alive(&text(attempt))?.code()))))
    }

    fn dialect(&mut self, facts: ARowSet<'_>) -> Answer<DialectBox> {
        let poison = Arc::clone(&self.poison);
        answer(self.guard(|connection| {
            let dialect = connection.dialect(&import_row_set(&facts)?)?;
            let exported = ExportedDialect { dialect: Contained::new(dialect), poison };
            Ok(ADialect_TO::from_ptr(RBox::new(exported), TD_Opaque))
        }))
    }

    fn ping(&mut self) -> Answer<()> {
        answer(self.guard(|connection| connection.ping()))
    }

    fn close(&mut self) -> Answer<()> {
        let taken = match &mut self.held {
            Held::Owned(connection) => connection.take(),
            Held::Lent(_) => None,
        };
        // A connection that panicked before is dropped, not closed: `Contained` takes care of a panic in that too.
        let mut taken = Contained::new(taken);
        answer(self.poison.guard(|| taken.take().map_or(Ok(()), |connection| connection.close())))
    }
}

fn import_row_set(rows: &ARowSet<'_>) -> Result<RowSet, Error> {
    require_known(rows.ext.as_slice())?;
    let row = |cells: &RSlice<'_, ACell<'_>>| {
        let cells = borrow_cells(*cells).ok_or_else(malformed)?;
        Ok(cells.into_iter().map(Value::into_owned).collect())
    };
    Ok(RowSet {
        columns: rows.columns.iter().map(|name| text(*name).into_owned()).collect(),
        rows: rows.rows.iter().map(row).collect::<Result<_, Error>>()?,
    })
}

fn malformed() -> Error {
    Error::new(ErrorKind::Misbehaved, "the host sent an array that does not end")
}

struct ExportedDialect {
    dialect: Contained<Box<dyn Dialect>>,
    poison: Arc<Poison>,
}

impl ADialect for ExportedDialect {
    fn lexer(&self) -> Answer<ALexer> {
        answer(self.poison.guard(|| Ok(export_lexer(self.dialect.lexer()))))
    }

    fn facts(&self) -> Answer<AFacts> {
        answer(self.poison.guard(|| Ok(export_facts(self.dialect.facts()))))
    }

    fn quote(&self, identifier: Lent<'_>) -> Answer<Bytes> {
        answer(self.poison.guard(|| Ok(bytes(self.dialect.quote(&text(identifier))))))
    }

    fn literal(&self, value: RSlice<'_, ACell<'_>>) -> Answer<Bytes> {
        answer(self.poison.guard(|| {
            let values = borrow_cells(value).ok_or_else(malformed)?;
            let value = values.first().ok_or_else(malformed)?;
            Ok(bytes(self.dialect.literal(value)))
        }))
    }

    fn text(&self, text: AText<'_>) -> Answer<ROption<ATexts>> {
        answer(self.poison.guard(|| {
            let texts = decode(&text, |text| self.dialect.text(text)).flatten();
            Ok(texts.map(|texts| ATexts { texts: bytes_list(texts), ext: Ext::new() }).into())
        }))
    }
}

struct ImportedRowSink<'a>(RowSinkMut<'a>);

impl RowSink for ImportedRowSink<'_> {
    fn columns(&mut self, set: u32, names: &[&str]) {
        let names: Vec<Lent<'_>> = names.iter().map(|name| lent(name)).collect();
        self.0.columns(set, RSlice::from_slice(&names));
    }

    fn row(&mut self, set: u32, cells: &[Value<'_>]) -> Wanted {
        let wanted = self.0.row(set, RSlice::from_slice(&lend_cells(cells)));
        Wanted::from_code(wanted.0).unwrap_or(Wanted::More)
    }
}

struct ImportedWork<'a>(WorkMut<'a>);

impl Work for ImportedWork<'_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        import_next(self.0.next_batch()).ok_or(Stop)
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        match self.0.next_piece() {
            RResult::ROk(ROption::RSome(piece)) => borrow_piece(piece).map(Some).ok_or(Stop),
            RResult::ROk(ROption::RNone) => Ok(None),
            RResult::RErr(_) => Err(Stop),
        }
    }
}

struct ImportedEvents<'a>(EventsMut<'a>);

impl Events for ImportedEvents<'_> {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        self.0.progress(batch, statements, bytes);
    }

    fn notice(&mut self, batch: u32, notice: Notice) {
        self.0.notice(batch, export_notice(notice));
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        self.0.finished(batch, export_outcome(outcome));
    }
}
