//! Keeps secrets out of what an adapter says.
//!
//! An adapter must not quote its url. Its driver may do so all the same, and so does a panic that shows what was at hand;
//! what a stranger's adapter does is anybody's guess. So every error and notice of an adapter that was
//! [chosen](super::AdapterFactory::choose) passes through here before anybody else sees it.
//!
//! Looks at nothing that is data: rows, SQL and progress pass as they are.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use whimbrel_adapter_api::{
    Adapter, BodyFailed, Canceller, ConnectOptions, Connection, Dialect, Done, Error, Events, Failure, Info,
    Liveness, Notice, Opened, Quirks, ReadError, RowSet, RowSink, Secret, TableName, TransactionBody,
    TransactionOptions, Value, Work,
};

use super::redact::{HIDDEN, redact, secret_parts};

/// An adapter whose words are free of the secrets that it was given.
pub(super) struct Discreet {
    adapter: Arc<dyn Adapter>,
    hidden: Arc<Hidden>,
}

impl Discreet {
    pub(super) fn new(adapter: Arc<dyn Adapter>, hidden: Hidden) -> Self {
        Discreet { adapter, hidden: Arc::new(hidden) }
    }
}

/// What must not be said, and what is said in its place; the longest first.
pub(super) struct Hidden(Vec<(String, String)>);

/// A shorter word occurs in any text by chance, and hides nothing as a password either.
const SHORTEST: usize = 4;

impl Hidden {
    /// Hides a url, the secrets in it, and these passwords.
    pub(super) fn new(url: &str, passwords: &[&str]) -> Self {
        let shown = redact(url);
        let mut hidden = Hidden(Vec::new());
        hidden.add(url, &shown);
        let decoded = |part: &&str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        // Where the login cannot be told from the scheme before it, its last piece is the password.
        let last_piece = |part: &&str| part.rsplit(':').next().unwrap_or_default().to_owned();
        for part in secret_parts(url).iter().chain(passwords) {
            for spelling in [(*part).to_owned(), decoded(part), last_piece(part)] {
                // What the url shows in the open, such as the user's name, is no secret by being the password too.
                if spelling.len() >= SHORTEST && !shown.contains(&spelling) {
                    hidden.add(&spelling, HIDDEN);
                }
            }
        }
        hidden.0.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        hidden
    }

    fn add(&mut self, secret: &str, shown: &str) {
        // As it is shown in a text of `{:?}`.
        let escaped = secret.escape_debug().to_string();
        self.0.extend([secret.to_owned(), escaped].map(|secret| (secret, shown.to_owned())));
    }

    pub(super) fn text(&self, text: String) -> String {
        self.0.iter().filter(|(secret, _)| !secret.is_empty()).fold(text, |text, (secret, shown)| {
            if text.contains(secret) { text.replace(secret, shown) } else { text }
        })
    }

    fn optional(&self, text: Option<String>) -> Option<String> {
        text.map(|text| self.text(text))
    }

    fn error(&self, mut error: Error) -> Error {
        error.message = self.text(error.message);
        error.detail = self.optional(error.detail);
        error.hint = self.optional(error.hint);
        error.schema = self.optional(error.schema);
        error.table = self.optional(error.table);
        error.constraint = self.optional(error.constraint);
        error
    }

    fn answer<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        answer.map_err(|error| self.error(error))
    }
}

impl Adapter for Discreet {
    fn info(&self) -> Info {
        self.adapter.info()
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        self.hidden.answer(self.adapter.check_url(url))
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        let opened = self.hidden.answer(self.adapter.connect(options))?;
        let hidden = || Arc::clone(&self.hidden);
        let connection = DiscreetConnection { session: opened.connection, hidden: hidden() };
        let canceller = DiscreetCanceller { canceller: opened.canceller, hidden: hidden() };
        Ok(Opened::new(Box::new(connection), Arc::new(canceller)))
    }

    fn quirks(&self) -> Quirks {
        self.adapter.quirks()
    }
}

struct DiscreetCanceller {
    canceller: Arc<dyn Canceller>,
    hidden: Arc<Hidden>,
}

impl Canceller for DiscreetCanceller {
    fn cancel(&self) -> Result<(), Error> {
        self.hidden.answer(self.canceller.cancel())
    }
}

struct DiscreetConnection<'a> {
    /// One of its own, or one that a transaction lends.
    session: Box<dyn Connection + 'a>,
    hidden: Arc<Hidden>,
}

impl Connection for DiscreetConnection<'_> {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        self.hidden.answer(self.session.execute_raw(script))
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        self.hidden.answer(self.session.query(sql, parameters, rows))
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        let answer = self.session.read(texts, rows);
        answer.map_err(|failed| ReadError::new(failed.set, self.hidden.error(failed.error)))
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        self.hidden.answer(self.session.table_exists(name))
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        let hidden = Arc::clone(&self.hidden);
        let mut body = |connection: &mut dyn Connection| -> Result<(), BodyFailed> {
            body(&mut DiscreetConnection { session: Box::new(connection), hidden: Arc::clone(&hidden) })
        };
        self.hidden.answer(self.session.transaction(options, &mut body))
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        let mut events = DiscreetEvents { events, hidden: &self.hidden };
        self.hidden.answer(self.session.run(work, &mut events))
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        self.hidden.answer(self.session.alive(attempt))
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        self.hidden.answer(self.session.dialect(facts))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.hidden.answer(self.session.ping())
    }

    fn close(self: Box<Self>) -> Result<(), Error> {
        self.hidden.answer(self.session.close())
    }
}

struct DiscreetEvents<'a> {
    events: &'a mut dyn Events,
    hidden: &'a Hidden,
}

impl Events for DiscreetEvents<'_> {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        self.events.progress(batch, statements, bytes);
    }

    fn notice(&mut self, batch: u32, mut notice: Notice) {
        notice.message = self.hidden.text(notice.message);
        self.events.notice(batch, notice);
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        let outcome = outcome.map_err(|mut failure| {
            failure.error = self.hidden.error(failure.error);
            failure
        });
        self.events.finished(batch, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str, passwords: &[&str], text: &str) -> String {
        Hidden::new(url, passwords).text(text.to_owned())
    }

    #[test]
    fn a_secret_is_hidden_in_every_spelling() {
        let url = "postgres://ana:h%40%22nter2@db/birds?sslpassword=s3cret";
        for (text, shown) in [
            (
                "cannot read postgres://ana:h%40%22nter2@db/birds?sslpassword=s3cret",
                "cannot read postgres://ana:****@db/birds?sslpassword=****",
            ),
            ("ana:h%40%22nter2@db is no host", "ana:****@db is no host"),
            ("the password h@\"nter2 is wrong", "the password **** is wrong"),
            (r#"Config { password: "h@\"nter2" }"#, r#"Config { password: "****" }"#),
            ("neither s3cret nor from-a-file", "neither **** nor ****"),
            ("no such host: db", "no such host: db"),
        ] {
            assert_eq!(said(url, &["from-a-file"], text), shown);
        }
        assert_eq!(said("mysql:ana:hunter2@db", &[], "hunter2@db is no number"), "****@db is no number");
    }

    #[test]
    fn what_the_url_shows_in_the_open_is_no_secret() {
        let url = "postgres://postgres:postgres@db/birds";
        let refused = "password authentication failed for user \"postgres\"";
        assert_eq!(said(url, &[], refused), refused);
        assert_eq!(said("postgres://ana:a@db/birds", &[], "a database"), "a database");
    }
}
