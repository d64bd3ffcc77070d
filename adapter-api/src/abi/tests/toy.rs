//! An adapter that writes down what it is asked, and panics where it is told to.

use std::sync::{Arc, Mutex};

use crate::walk::stopped;
use crate::{
    Adapter, BodyFailed, Canceller, Capability, Class, ConnectOptions, Connection, Dialect, Done, Error,
    ErrorKind, Events, Facts, Failure, Feature, Fence, Head, Identity, Info, Lexer, Liveness, Next, Notice,
    Opened, Phase, Plugin, ReadError, Retry, RowSet, RowSink, Secret, Session, State, Stop, TableName, Text,
    TransactionBody, TransactionOptions, Value, Wanted, Work,
};

#[derive(Clone, Default)]
pub(super) struct Toy {
    log: Arc<Mutex<Vec<String>>>,
    trap: &'static str,
}

impl Toy {
    pub(super) fn that_panics_in(trap: &'static str) -> Self {
        Toy { trap, ..Toy::default() }
    }

    pub(super) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn enter(&self, method: &str, arguments: String) {
        self.log.lock().unwrap().push(format!("{method} {arguments}"));
        assert!(self.trap != method, "trap in {method}");
    }
}

/// An error with something in every field.
pub(super) fn full_error() -> Error {
    Error {
        kind: ErrorKind::Constraint,
        message: "duplicate key".to_owned(),
        sqlstate: Some("23505".to_owned()),
        native: Some(-1062),
        detail: Some("Key (id)=(1) exists.".to_owned()),
        hint: Some(String::new()),
        schema: Some("public".to_owned()),
        table: Some("birds".to_owned()),
        constraint: Some("birds_pkey".to_owned()),
        position: Some(u64::MAX),
        retry: Retry::Sensible,
        session: Session::Lost,
    }
}

/// The adapter, its connection, its canceller and its dialect.
#[derive(Default)]
pub(super) struct Part(pub(super) Toy);

impl Drop for Part {
    fn drop(&mut self) {
        if self.0.trap == "drop" {
            self.0.enter("drop", String::new());
        }
    }
}

impl Plugin for Part {
    const IDENTITY: Identity = Identity {
        name: "toy",
        version: "0.3.1",
        aliases: &["play"],
        schemes: &["toy", "file"],
        fence: Fence::UniqueKey,
        capabilities: Capability::ALL,
    };
}

impl Adapter for Part {
    fn info(&self) -> Info {
        self.0.enter("info", String::new());
        Info::new(&Self::IDENTITY)
            .with_password_variable("TOYPASSWORD")
            .with_password_file("TOYPASSFILE", ".toypass")
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        self.0.enter("check_url", url.reveal().to_owned());
        if url.reveal() == "toy:bad" { Err(full_error()) } else { Ok(()) }
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        let ConnectOptions { url, application, access, password, password_file, lock_limit } = options;
        let passwords =
            [password, password_file].map(|secret| secret.as_ref().map_or("none", Secret::reveal));
        let passwords = passwords.join(" ");
        let rest = format!("{application} {access:?} {passwords} {lock_limit:?}");
        self.0.enter("connect", format!("{} {rest}", url.reveal()));
        self.check_url(url)?;
        Ok(Opened { connection: Box::new(Part(self.0.clone())), canceller: Arc::new(Part(self.0.clone())) })
    }
}

impl Canceller for Part {
    fn cancel(&self) -> Result<(), Error> {
        self.0.enter("cancel", String::new());
        Ok(())
    }
}

impl Connection for Part {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        self.0.enter("execute_raw", script.to_owned());
        if script == "fail" { Err(full_error()) } else { Ok(()) }
    }

    /// Gives the parameters back as one row, again and again, for as long as more are wanted.
    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        self.0.enter("query", sql.to_owned());
        let set = if sql == "wrong set" { u32::MAX } else { 0 };
        rows.columns(set, &["first", "second", ""]);
        while rows.row(set, parameters) == Wanted::More {}
        Ok(())
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        self.0.enter("read", texts.join("|"));
        for (set, text) in (0..).zip(texts) {
            if *text == "fail" {
                return Err(ReadError { set, error: full_error() });
            }
            rows.columns(set, &["text"]);
            rows.row(set, &[Value::text(text)]);
        }
        Ok(())
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        self.0.enter("table_exists", format!("{name:?}"));
        Ok(name.schema.is_some())
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        self.0.enter("transaction", format!("{:?} {:?}", options.isolation, options.access));
        match body(self) {
            Ok(()) => self.0.enter("commit", String::new()),
            Err(BodyFailed) => {
                self.0.enter("roll_back", String::new());
                return Err(Error::body_failed());
            }
        }
        Ok(())
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        self.0.enter("run", String::new());
        for batch in 0.. {
            let head = loop {
                match work.next_batch() {
                    Ok(Next::Batch(head)) => break head,
                    Ok(Next::Later) => self.0.enter("later", String::new()),
                    Ok(Next::End) => return Ok(()),
                    Err(Stop) => {
                        self.0.enter("stop", String::new());
                        return Ok(());
                    }
                }
            };
            self.0.enter("batch", format!("{head:?}"));
            let outcome = self.batch(batch, &head, work, events);
            events.finished(batch, outcome);
        }
        Ok(())
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        self.0.enter("alive", attempt.to_owned());
        Ok(Liveness::ALL.iter().copied().find(|liveness| format!("{liveness:?}") == attempt).unwrap())
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        self.0.enter("dialect", format!("{facts:?}"));
        Ok(Box::new(Part(self.0.clone())))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.0.enter("ping", String::new());
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        self.0.enter("close", String::new());
        Err(full_error())
    }
}

impl Part {
    fn batch(
        &self,
        batch: u32,
        head: &Head,
        work: &mut dyn Work,
        events: &mut dyn Events,
    ) -> Result<Done, Failure> {
        let mut statements = 0;
        loop {
            let piece = match work.next_piece() {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(Stop) => {
                    return Err(Failure::rolled_back(Phase::Statement(statements), stopped(), statements));
                }
            };
            statements += piece.spans.len() as u64;
            // Reported while the piece is held.
            events.progress(batch, statements, piece.text.len() as u64);
            self.0.enter("piece", format!("{piece:?} at {:p}", piece.text));
        }
        events.notice(batch, Notice::new("WARNING", Some("01000".to_owned()), "look"));
        match head.attempt.strip_prefix("fail in ") {
            None => Ok(Done::new(statements)),
            Some(phase) => {
                let all =
                    [Phase::Opening, Phase::Statement(7), Phase::Closing, Phase::Commit, Phase::NotReached];
                let phase = all.into_iter().find(|known| format!("{known:?}") == phase).unwrap();
                Err(Failure::new(phase, full_error(), 7, 5, State::Committed))
            }
        }
    }
}

impl Dialect for Part {
    fn lexer(&self) -> Lexer {
        self.0.enter("lexer", String::new());
        let patterns: Vec<_> = Class::ALL.iter().map(|class| ("WORD [ELSE]", *class)).collect();
        let plain_control = ["GO".to_owned()].into();
        Lexer { comment_version: 101_119, plain_control, ..Lexer::new(Feature::ALL, &patterns) }
    }

    fn facts(&self) -> Facts {
        self.0.enter("facts", String::new());
        Facts {
            server: "Toy 3".to_owned(),
            database: "box".to_owned(),
            schema: "main".to_owned(),
            history_schema: Some(String::new()),
            largest_message: Some(u64::MAX),
            tables_without_transactions: vec!["old".to_owned(), "older".to_owned()],
        }
    }

    fn quote(&self, identifier: &str) -> String {
        self.0.enter("quote", identifier.to_owned());
        format!("<{identifier}>")
    }

    fn literal(&self, value: &Value<'_>) -> String {
        self.0.enter("literal", String::new());
        format!("{value:?}")
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        self.0.enter("text", String::new());
        match text {
            Text::Commit => None,
            text => Some(vec![format!("{text:?}"), String::new()]),
        }
    }
}
