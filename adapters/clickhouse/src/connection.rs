//! A session with a ClickHouse server.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use whimbrel_adapter_api::walk::walk;
use whimbrel_adapter_api::{
    Connection, Dialect, Error, ErrorKind, Events, Liveness, ReadError, RowSet, RowSink, TableName,
    TransactionBody, TransactionOptions, Value, Wanted, Work,
};

use crate::dialect::{ClickHouseDialect, literal, text_literal};
use crate::http::{Refusal, Reply, Server};
use crate::run::Named;
use crate::url::Settings;
use crate::values::Table;
use crate::{error, statements};

/// How long the server remembers a session in which nothing happens, in seconds: the longest that it allows unless told
/// otherwise.
const SESSION_TIMEOUT: &str = "3600";

/// The pauses before a statement is sent again that the server refused for the moment.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// A session: settings, temporary tables and the current database stay in it from request to request.
pub(crate) struct ClickHouseConnection {
    server: Arc<Server>,
    database: String,
    cluster: Option<String>,
    /// What its requests are called on the server, together with the attempt that is under way.
    name: String,
    attempt: Arc<Mutex<String>>,
    /// How many sessions of the server it has left behind.
    generation: u32,
    opened: Opened,
}

/// Whether the server knows the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    Yes,
    No,
}

impl ClickHouseConnection {
    pub(crate) fn open(server: Arc<Server>, settings: &Settings) -> Result<Self, Error> {
        let mut connection = ClickHouseConnection {
            server,
            database: settings.database.clone(),
            cluster: settings.cluster.clone(),
            name: unique_name(),
            attempt: Arc::default(),
            generation: 0,
            opened: Opened::No,
        };
        connection.enter().map_err(|refusal| error::while_connecting(&refusal))?;
        Ok(connection)
    }

    /// Returns what the comments of its requests end with.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Leaves the session as it is, and goes on in a fresh one.
    pub(crate) fn renew(&mut self) {
        self.generation += 1;
        self.opened = Opened::No;
    }

    /// Runs one statement, again if the server refuses it for the moment.
    pub(crate) fn execute_one(&mut self, statement: &str) -> Result<Reply, Error> {
        let mut pauses = PAUSES.iter();
        loop {
            let outcome = self.enter().and_then(|()| self.ask(statement));
            match outcome {
                Err(refusal) if error::passes(&refusal, statement) => match pauses.next() {
                    Some(pause) => thread::sleep(*pause),
                    None => return Err(error::of_refusal(&refusal, statement)),
                },
                outcome => return outcome.map_err(|refusal| error::of_refusal(&refusal, statement)),
            }
        }
    }

    /// Begins the session, which is the only request that may.
    fn enter(&mut self) -> Result<(), Refusal> {
        if self.opened == Opened::No {
            self.ask(&format!("USE `{}`", self.database.replace('\\', "\\\\").replace('`', "\\`")))?;
            self.opened = Opened::Yes;
        }
        Ok(())
    }

    fn ask(&self, statement: &str) -> Result<Reply, Refusal> {
        let session = format!("{}-{}", self.name, self.generation);
        let attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let comment = match attempt.as_str() {
            "" => format!("{} {}", self.server.application(), self.name),
            attempt => format!("{attempt} {}", self.name),
        };
        let begun = match self.opened {
            Opened::No => "0",
            // The server makes a session anew that it has forgotten, without the settings and tables of the old one.
            Opened::Yes => "1",
        };
        let parameters = [
            ("session_id", session.as_str()),
            ("session_timeout", SESSION_TIMEOUT),
            ("session_check", begun),
            ("log_comment", &comment),
        ];
        self.server.ask(&parameters, statement)
    }

    fn rows(&mut self, statement: &str, set: u32, rows: &mut dyn RowSink) -> Result<Wanted, Error> {
        let reply = self.execute_one(statement)?;
        let Some(mut table) = Table::read(&reply.body) else { return Ok(Wanted::More) };
        rows.columns(set, &table.names.iter().map(String::as_str).collect::<Vec<_>>());
        while let Some(row) = table.row() {
            if rows.row(set, &row) == Wanted::Enough {
                return Ok(Wanted::Enough);
            }
        }
        Ok(Wanted::More)
    }

    /// Returns the number that a statement gives.
    fn number(&mut self, statement: &str) -> Result<i64, Error> {
        let mut rows = whimbrel_adapter_api::Rows::default();
        self.rows(statement, 0, &mut rows)?;
        let cell = rows.sets.first().and_then(|set| set.rows.first()?.first()?.as_int());
        cell.ok_or_else(|| Error::new(ErrorKind::Other, "the server gives no number"))
    }
}

/// Returns a name that nobody else has: of 128 random bits.
fn unique_name() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

impl Connection for ClickHouseConnection {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        for statement in statements::split(script) {
            let start = statement.start as u64;
            self.execute_one(&script[statement]).map_err(|mut error| {
                error.position = error.position.map(|position| start + position);
                error
            })?;
        }
        Ok(())
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        let literals: Vec<String> = parameters.iter().map(literal).collect();
        let statement = statements::fill(sql, &literals).ok_or_else(|| {
            Error::new(
                ErrorKind::Syntax,
                "the statement has not as many placeholders as there are parameters",
            )
        })?;
        self.rows(&statement, 0, rows).map(drop)
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        for (set, text) in (0..).zip(texts) {
            if self.rows(text, set, rows).map_err(|error| ReadError::new(set, error))? == Wanted::Enough {
                break;
            }
        }
        Ok(())
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        let database = name.schema.as_deref().map_or("currentDatabase()".to_owned(), text_literal);
        let name = text_literal(&name.name);
        let text = format!("SELECT count() FROM system.tables WHERE database = {database} AND name = {name}");
        Ok(self.number(&text)? > 0)
    }

    fn transaction(&mut self, _: &TransactionOptions, _: &mut TransactionBody<'_>) -> Result<(), Error> {
        Err(Error::unsupported("transactions"))
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        let attempt = Arc::clone(&self.attempt);
        let outcome = walk(self, &mut Named { work, attempt: &attempt }, events);
        attempt.lock().unwrap_or_else(PoisonError::into_inner).clear();
        outcome
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        let beginning = text_literal(&format!("{attempt} "));
        // A balancer may have sent its runner to another server of the cluster.
        let processes = match &self.cluster {
            Some(cluster) => format!("clusterAllReplicas({}, system.processes)", text_literal(cluster)),
            None => "system.processes".to_owned(),
        };
        let text =
            format!("SELECT count() FROM {processes} WHERE startsWith(Settings['log_comment'], {beginning})");
        Ok(if self.number(&text)? > 0 { Liveness::Alive } else { Liveness::Gone })
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        Ok(Box::new(ClickHouseDialect::new(facts, &self.name, self.cluster.as_deref())?))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.execute_one("SELECT 1").map(drop)
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        // The server forgets the session by itself.
        Ok(())
    }
}
