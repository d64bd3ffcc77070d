//! The dialect of a session, asked as the host asks it.

use std::time::Duration;

use whimbrel_adapter_api::{
    Adapter, Connection, Count, Dialect, ErrorKind, HISTORY_COLUMNS, Limits, NewRow, RowSet, RowState, Rows,
    TableName, Text, Value,
};

use crate::scratch::{Scratch, column};

pub(crate) fn texts(adapter: &dyn Adapter) -> Vec<String> {
    let scratch = Scratch::new();
    let mut connection = scratch.open(adapter).connection;
    let history = TableName::new("odd \"history");
    let dialect = dialect(connection.as_mut(), &history);
    assert_eq!(dialect.facts().database, scratch.file().display().to_string());
    assert_eq!(dialect.facts().history_schema, None);
    assert_eq!(dialect.quote("a\"b"), "\"a\"\"b\"");
    let values = [Value::Null, Value::Int(-7), Value::Float(0.5), Value::text("l'été")];
    let literals = values.map(|value| dialect.literal(&value));
    assert_eq!(literals, ["NULL", "-7", "0.5", "'l''été'"]);
    let mut told = vec![scratch.told(&dialect.lexer()), scratch.told(&dialect.facts())];
    told.extend(a_life_in_the_history(connection.as_mut(), dialect.as_ref(), &history));
    let known = self::dialect(connection.as_mut(), &history).facts().history_schema;
    assert_eq!(known.as_deref(), Some("main"));
    told
}

/// Opens a session in the order of the contract: the texts for the facts, the facts, and all other texts.
fn dialect(connection: &mut dyn Connection, history: &TableName) -> Box<dyn Dialect> {
    let before = connection.dialect(&RowSet::default()).expect("nothing is asked yet");
    let text = before.text(&Text::Facts { history }).expect("every engine has facts");
    let mut facts = Rows::default();
    connection.read(&[text[0].as_str()], &mut facts).expect("the text is the adapter's own");
    connection.dialect(&facts.sets[0]).expect("the facts are what was asked for")
}

/// Runs the text of each step of one row's life, and returns the texts.
fn a_life_in_the_history(
    connection: &mut dyn Connection,
    dialect: &dyn Dialect,
    history: &TableName,
) -> Vec<String> {
    let read = dialect.text(&Text::History { history }).expect("every engine reads its history");
    let mut rows = Rows::default();
    let absent = connection.read(&[read[0].as_str()], &mut rows).expect_err("nobody has written any");
    assert_eq!(absent.error.kind, ErrorKind::TableMissing);

    let limits = Limits::default();
    let position = 1;
    let mut row = NewRow::new(position, "001_species", 1);
    row.lease = Some(Duration::from_secs(60));
    row.down_script = Some("DROP TABLE species -- 'quoted'");
    let finish =
        Text::Finish { history, position, state: RowState::Applied, statements_done: Count::Exactly(2) };
    let mut told = Vec::new();
    for text in [
        Text::CreateHistory { history },
        Text::Limit { limits: &limits },
        Text::Begin { limits: &limits },
        Text::Record { history, row: &row },
        Text::Mark { history, position, statements_done: Count::Beyond(0), lease: Duration::from_secs(60) },
        finish,
        Text::ResetSession,
        Text::Commit,
    ] {
        let statements = dialect.text(&text).unwrap_or_else(|| panic!("there is no text for {text:?}"));
        for statement in statements {
            let statement = statement.replace("{done}", "1");
            assert_eq!(connection.execute_raw(&statement), Ok(()), "{statement}");
            told.push(statement);
        }
    }

    let down = dialect.text(&Text::DownScript { history, position }).expect("it is stored");
    assert_eq!(column(connection, &down[0]), ["DROP TABLE species -- 'quoted'"]);
    let mut rows = Rows::default();
    assert_eq!(connection.read(&[read[0].as_str()], &mut rows), Ok(()));
    let set = &rows.sets[0];
    assert_eq!(set.columns, HISTORY_COLUMNS);
    assert_eq!(set.rows.len(), 1);
    for (column, expected) in [
        ("migration", Value::text("001_species")),
        ("state", Value::text("applied")),
        ("statements_done", Value::Int(2)),
        ("lease_ms", Value::Null),
        ("has_down", Value::Int(1)),
    ] {
        assert_eq!(set.first(column), Some(&expected), "{column}");
    }
    told.extend(read.into_iter().chain(down));
    told
}
