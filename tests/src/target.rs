//! A session of an adapter, for the tests of what is particular about it.
//!
//! The conformance suite's own [`Client`]: what is a finding there fails the test here.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use whimbrel_adapter_api::{
    Adapter, ConnectOptions, Done, Error, Failure, Head, Limits, Mode, Secret, TableName, Value,
};
use whimbrel_conformance::Client;
use whimbrel_conformance::work::{Heard, Script};

/// A session with its dialect and a history table of the usual name.
pub struct Target(Client);

impl Target {
    /// Opens a session. The history table need not be there.
    pub fn open(adapter: &dyn Adapter, url: &str) -> Self {
        let opened = adapter.connect(&ConnectOptions::new(Secret::new(url)));
        let opened = opened.expect("the server takes the session");
        let history = TableName::new("whimbrel_migrations");
        Target(Client::open(opened, &history).expect("the first steps of a session are taken"))
    }

    /// Opens a session and creates the history table.
    pub fn ready(adapter: &dyn Adapter, url: &str) -> Self {
        let mut target = Self::open(adapter, url);
        target.create_history().expect("the history table can be created");
        target
    }

    /// Ends the session.
    ///
    /// # Errors
    ///
    /// The adapter's.
    pub fn close(self) -> Result<(), Error> {
        self.0.connection.close()
    }

    /// Runs a script that must succeed.
    pub fn execute(&mut self, script: &str) {
        self.0.execute(script).expect("the script runs");
    }

    /// Returns the cells of the only row that `sql` gives.
    pub fn row(&mut self, sql: &str, parameters: &[Value<'_>]) -> Vec<Value<'static>> {
        let set = self.query(sql, parameters).unwrap_or_else(|error| panic!("{error:?}\nin: {sql}"));
        let [row] = set.rows.as_slice() else { panic!("{sql} gives {set:?}") };
        row.clone()
    }

    /// Puts a batch together, with limits that are there and are not reached.
    pub fn head(&self, position: i64, mode: Mode, statements: u64) -> Head {
        let limit = Some(Duration::from_secs(20));
        let mut limits = Limits::default();
        (limits.lock, limits.statement) = (limit, limit);
        self.limited_head(position, mode, statements, &limits).expect("every text is there")
    }

    /// Runs batches.
    pub fn run(&mut self, script: Script) -> Heard {
        self.0.run(script).expect("the adapter keeps to the protocol")
    }

    /// Runs batches that leave the session usable.
    pub fn outcomes(&mut self, script: Script) -> Vec<Result<Done, Failure>> {
        let heard = self.run(script);
        assert_eq!(heard.answer, Ok(()));
        heard.outcomes
    }

    /// Runs one batch that fails and leaves the session usable.
    pub fn failing(&mut self, script: Script) -> Failure {
        let outcome = self.outcomes(script).pop().expect("there is a batch");
        outcome.expect_err("the batch fails")
    }

    /// Runs one batch at position 1, which fails and leaves the session usable.
    pub fn failure(&mut self, mode: Mode, statements: &[&str]) -> Failure {
        self.failing(Script::of(self.head(1, mode, statements.len() as u64), statements))
    }
}

impl Deref for Target {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl DerefMut for Target {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.0
    }
}
