//! The model's database as an ordinary adapter: what the host sees of a session.
//!
//! The embedded kind is driven by the contract's own [`walk`]; the others send messages ([`run`](crate::run)).
//!
//! Does only what the host asks for. What an application might ask for beside it is refused.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use whimbrel::runner::{Cancellation, Clock};
use whimbrel_adapter_api::walk::{Bracket, OneByOne, walk};
use whimbrel_adapter_api::{
    Capability, Connection, Dialect, Error, ErrorKind, Events, Fence, HISTORY_COLUMNS, Identity, Info,
    Liveness, ReadError, RowSet, RowSink, State, TableName, TransactionBody, TransactionOptions, Value, Work,
};

use crate::crash::Crash;
use crate::data::{Data, Row};
use crate::dialect::Words;
use crate::run;
use crate::server::{Kind, SessionId};
use crate::statement::Statement;
use crate::world::{Answer, Request, World};

const IDENTITY: Identity = Identity {
    name: "model",
    version: "0.0.0",
    aliases: &[],
    schemes: &["model"],
    fence: Fence::UniqueKey,
    capabilities: &[Capability::Transactions, Capability::Liveness],
};

/// Returns what an adapter for this kind of engine says of itself.
pub(crate) fn info(kind: Kind) -> Info {
    let mut info = Info::new(&IDENTITY);
    match kind {
        Kind::ImplicitCommits => {}
        Kind::Embedded | Kind::Transactional => {
            info.capabilities.insert(Capability::TransactionalDdl);
        }
    }
    info
}

/// A session.
pub(crate) struct ModelConnection {
    world: Arc<World>,
    id: SessionId,
    pub(crate) kind: Kind,
}

impl ModelConnection {
    pub(crate) fn open(world: &Arc<World>, kind: Kind, crash: Option<Crash>) -> Self {
        ModelConnection { world: Arc::clone(world), id: world.enter(crash), kind }
    }

    /// Returns how often the server did something for this session.
    pub(crate) fn points(&self) -> u32 {
        self.world.points(self.id)
    }

    /// Returns the clock of the runner at this end.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(WorldClock { world: Arc::clone(&self.world), id: self.id, zero: Instant::now() })
    }

    /// Sends statements in one message. Returns how many rows each changed, and why there are not more.
    pub(crate) fn send(&mut self, texts: Vec<String>, attempt: Option<String>) -> (Vec<u64>, Option<Error>) {
        let statements = texts.iter().map(|text| Statement::parse(text)).collect();
        match self.world.ask(self.id, Request::Statements { statements, attempt }) {
            Answer::Statements(counts, error) => (counts, error),
            _ => (Vec::new(), Some(lost())),
        }
    }

    fn data(&mut self) -> Result<(Data, u64), Error> {
        match self.world.ask(self.id, Request::Read) {
            Answer::Data(data, now) => Ok((data, now)),
            _ => Err(lost()),
        }
    }
}

impl Drop for ModelConnection {
    fn drop(&mut self) {
        self.world.leave(self.id);
    }
}

fn lost() -> Error {
    Error::lost("the connection is gone")
}

impl Connection for ModelConnection {
    fn execute_raw(&mut self, _script: &str) -> Result<(), Error> {
        Err(Error::unsupported("scripts"))
    }

    fn query(&mut self, _: &str, _: &[Value<'_>], _: &mut dyn RowSink) -> Result<(), Error> {
        Err(Error::unsupported("queries"))
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        let (data, now) = self.data().map_err(|error| ReadError::new(0, error))?;
        for (set, text) in (0..).zip(texts) {
            let failed = |kind| ReadError::new(set, Error::new(kind, format!("`{text}` fails")));
            match *text {
                "FACTS" => rows.columns(set, &["facts"]),
                "HISTORY" => {
                    let history = data.history.as_ref().ok_or_else(|| failed(ErrorKind::TableMissing))?;
                    rows.columns(set, HISTORY_COLUMNS);
                    for row in history {
                        rows.row(set, &cells(row, now));
                    }
                }
                text => match text.split_once(' ') {
                    Some(("TRACES", statement)) => {
                        rows.columns(set, &["what", "removal", "is_done"]);
                        let left = data.left_by(statement).map_err(|error| ReadError::new(set, error))?;
                        // One kind of engine can tell what was made since; of what is gone nobody needs to.
                        let is_done = self.kind == Kind::Transactional || statement.starts_with("DROP");
                        if let Some(what) = &left {
                            let row = [what.as_str().into(), Value::Null, Value::Int(i64::from(is_done))];
                            let _ = rows.row(set, &row);
                        }
                    }
                    Some((column @ ("SCRIPT" | "CHECKSUMS"), position)) => {
                        rows.columns(set, &["text"]);
                        let row = position.parse().ok().and_then(|position| data.row(position));
                        let text = row.and_then(|row| match column {
                            "SCRIPT" => row.down_script.as_deref(),
                            _ => row.statement_checksums.as_deref(),
                        });
                        if row.is_some() {
                            let _ = rows.row(set, &[text.into()]);
                        }
                    }
                    _ => return Err(failed(ErrorKind::Syntax)),
                },
            }
        }
        Ok(())
    }

    fn table_exists(&mut self, _name: &TableName) -> Result<bool, Error> {
        Err(Error::unsupported("looking for tables"))
    }

    fn transaction(&mut self, _: &TransactionOptions, _: &mut TransactionBody<'_>) -> Result<(), Error> {
        Err(Error::unsupported("transactions of an application"))
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        match self.kind {
            Kind::Embedded => walk(self, work, events),
            Kind::Transactional | Kind::ImplicitCommits => run::run(self, work, events),
        }
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        if self.kind == Kind::Embedded {
            // Work ends with its process, and a statement at work holds the write lock.
            return match self.execute("PROBE") {
                Ok(_) => Ok(Liveness::Gone),
                Err(error) if error.kind == ErrorKind::LockTimeout => Ok(Liveness::Alive),
                Err(error) => Err(error),
            };
        }
        match self.world.ask(self.id, Request::Alive(attempt.to_owned())) {
            Answer::Alive(liveness) => Ok(liveness),
            _ => Err(lost()),
        }
    }

    fn dialect(&mut self, _facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        Ok(Box::new(Words(self.kind)))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.data().map(drop)
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// The cells of a row in the order of the contract's columns.
fn cells(row: &Row, now: u64) -> [Value<'_>; 14] {
    let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let time = |time: u64| Value::Text(format!("2026-01-01T00:00:00Z + {time} ms").into());
    [
        row.position.into(),
        row.migration.as_str().into(),
        row.attempt.into(),
        row.direction.as_str().into(),
        row.state.as_str().into(),
        row.checksum.as_deref().into(),
        number(row.done),
        number(row.total),
        row.lease.map(|lease| lease as i64 - now as i64).into(),
        time(row.started_at),
        row.finished_at.map_or(Value::Null, time),
        row.finished_at.map_or(Value::Null, |end| number(end - row.started_at)),
        row.applied_by.as_str().into(),
        Value::Int(i64::from(row.down_script.is_some())),
    ]
}

impl OneByOne for ModelConnection {
    fn execute(&mut self, statement: &str) -> Result<u64, Error> {
        match self.send(vec![statement.to_owned()], None) {
            (_, Some(error)) => Err(error),
            (counts, None) => Ok(counts.iter().sum()),
        }
    }

    fn joint(&self) -> Bracket {
        Bracket::new("BEGIN", "COMMIT", "ROLLBACK")
    }

    fn roll_back(&mut self) -> State {
        match self.execute("ROLLBACK") {
            Ok(_) => State::RolledBack,
            Err(_) => State::Open,
        }
    }

    fn enter(&mut self, _outside: &[String]) -> Result<(), Error> {
        Ok(())
    }

    fn check(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn leave(&mut self) {}

    fn opening_error(&self, error: Error) -> Error {
        run::of_opening(error)
    }
}

/// The time of the world, as one runner sees it.
struct WorldClock {
    world: Arc<World>,
    id: SessionId,
    zero: Instant,
}

impl fmt::Debug for WorldClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the clock of session {}", self.id)
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Instant {
        self.zero + Duration::from_millis(self.world.now())
    }

    fn pause(&self, duration: Duration, _cancellation: &Cancellation) {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.world.ask(self.id, Request::Sleep(milliseconds.max(1)));
    }
}
