//! The language of the model's database, one statement at a time.
//!
//! Scripts `CREATE` and `DROP` what is schema, `PUT` and `TAKE` what is data, `LAST` for so many milliseconds,
//! `ESCAPE` from their transaction, and `FAIL`. The rest is what the [`dialect`](crate::dialect) writes around them; a row travels as json.
//!
//! Reads texts and knows nothing of what is in the database.

use whimbrel_adapter_api::{Error, ErrorKind};

use crate::data::Row;

/// A statement that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    Begin,
    Commit,
    Rollback,
    /// Puts the session in order. There is nothing to put.
    Reset,
    /// Asks whether anybody may write.
    Probe,
    /// Creates the history table unless it is there.
    Establish,
    Record(Box<Row>),
    Mark {
        position: i64,
        done: u64,
        lease: u64,
    },
    Finish {
        position: i64,
        state: String,
        done: u64,
    },
    Count {
        what: What,
        thing: String,
        by: i64,
    },
    Last(u64),
    /// Rolls back what is open. Nobody can see from the text that it does.
    Escape,
    Fail,
}

/// Schema and data are not the same where schema commits by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Schema,
    Data,
}

impl Statement {
    /// Reads a statement.
    pub(crate) fn parse(text: &str) -> Result<Statement, Error> {
        read(text).ok_or_else(|| Error::new(ErrorKind::Syntax, format!("cannot understand `{text}`")))
    }

    /// Returns the thing that comes or goes.
    pub(crate) fn thing(&self) -> Option<&str> {
        match self {
            Statement::Count { thing, .. } => Some(thing),
            _ => None,
        }
    }
}

fn read(text: &str) -> Option<Statement> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    let count = |what, by| Some(Statement::Count { what, thing: (*words.first()?).to_owned(), by });
    match word {
        "BEGIN" => Some(Statement::Begin),
        "COMMIT" => Some(Statement::Commit),
        "ROLLBACK" => Some(Statement::Rollback),
        "RESET" => Some(Statement::Reset),
        "PROBE" => Some(Statement::Probe),
        "ESTABLISH" => Some(Statement::Establish),
        "RECORD" => serde_json::from_str(rest).ok().map(Statement::Record),
        "MARK" => {
            let [position, done, lease] = words[..] else { return None };
            let (position, done) = (position.parse().ok()?, sum(done)?);
            Some(Statement::Mark { position, done, lease: lease.parse().ok()? })
        }
        "FINISH" => {
            let [position, state, done] = words[..] else { return None };
            let (position, done) = (position.parse().ok()?, sum(done)?);
            Some(Statement::Finish { position, state: state.to_owned(), done })
        }
        "CREATE" => count(What::Schema, 1),
        "DROP" => count(What::Schema, -1),
        "PUT" => count(What::Data, 1),
        "TAKE" => count(What::Data, -1),
        "LAST" => Some(Statement::Last(words.first()?.parse().ok()?)),
        "ESCAPE" => Some(Statement::Escape),
        "FAIL" => Some(Statement::Fail),
        _ => None,
    }
}

fn sum(text: &str) -> Option<u64> {
    text.split('+').map(|number| number.parse::<u64>().ok()).sum()
}
