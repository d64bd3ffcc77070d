//! The history, through the texts of the dialect.

use whimbrel_adapter_api::{
    BRIEF_DIGITS, Count, ErrorKind, NewRow, RowDirection, RowSet, RowState, Rows, TableName, Text, Value,
};

use super::{Check, Outcome, check};
use crate::bench::Bench;
use crate::client::{Client, LEASE};
use crate::finding::{During, Finding, agree, holds};
use crate::report::Verdict;

pub(super) const CHECKS: &[Check] = &[
    check("a history that is not there is told apart from an empty one", absent),
    check("it is created once, however often that is asked for", created),
    check("a row is started, marked and finished", life),
    check("a row keeps what it was given, letter by letter", kept),
    check("a row that is settled is neither marked nor finished again", settled),
    check("the short form tells the same as the long one", brief),
    check("a name that needs quotes is a name like any other", odd_name),
];

/// What a script may look like that is to be stored.
const AWKWARD: &str = "DROP TABLE \"l'été\"; -- \\' ;\r\n/* {done} {} $1 ? */ \u{1f426}\n\n";

fn read(client: &mut Client, text: &Text<'_>) -> Result<Vec<RowSet>, Finding> {
    let texts = client.text(text)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut rows = Rows::default();
    client.connection.read(&texts, &mut rows).during(&format!("{text:?}"))?;
    Ok(rows.sets)
}

fn execute(client: &mut Client, text: &Text<'_>) -> Result<(), Finding> {
    for statement in client.text(text)? {
        client.execute(&statement)?;
    }
    Ok(())
}

fn cell(set: &RowSet, row: usize, column: &str) -> Value<'static> {
    let index = set.columns.iter().position(|name| name == column);
    index.and_then(|index| set.rows.get(row)?.get(index)).cloned().unwrap_or(Value::Null)
}

fn absent(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    agree("where the history was found", &client.facts.history_schema, &None)?;
    let text = client.text(&Text::History { history: &client.history })?;
    let mut rows = Rows::default();
    let Err(error) = client.connection.read(&[text[0].as_str()], &mut rows) else {
        return Err(Finding::new("a history that is not there can be read"));
    };
    agree("the kind of error", error.error.kind, ErrorKind::TableMissing)?;
    client.create_history()?;
    agree("the rows of an empty history", client.history()?.rows.len(), 0)?;
    Ok(Verdict::Passed)
}

fn created(bench: &Bench) -> Outcome {
    let mut client = bench.ready()?;
    client.create_history()?;
    let exists = client.connection.table_exists(&client.history).during("table_exists")?;
    holds(exists, "the history is not there after it was created")?;
    let beside = Client::open(bench.connect()?, &TableName::new(client.history.name.clone()))?;
    agree("where the history is found", &beside.facts.history_schema, &client.history.schema)?;
    agree("the current schema", Some(&beside.facts.schema), client.history.schema.as_ref())?;
    holds(!beside.facts.server.is_empty(), "the facts do not say what the server is")?;
    Ok(Verdict::Passed)
}

fn record(client: &mut Client, row: &NewRow<'_>) -> Result<(), Finding> {
    let history = client.history.clone();
    execute(client, &Text::Record { history: &history, row })
}

fn life(bench: &Bench) -> Outcome {
    let mut client = bench.ready()?;
    let history = client.history.clone();
    let mut row = NewRow::new(1, "001_birds", 1);
    (row.statements_total, row.lease) = (3, Some(LEASE));
    record(&mut client, &row)?;
    let set = client.history()?;
    agree("the state", cell(&set, 0, "state"), Value::text("started"))?;
    let lease = cell(&set, 0, "lease_ms").as_int().unwrap_or_default();
    let full = LEASE.as_millis() as i64;
    holds(lease > full / 2 && lease <= full, format!("{lease} ms are left of a lease of {full} ms"))?;
    let [finished, duration] = ["finished_at", "duration_ms"].map(|column| cell(&set, 0, column));
    agree("the end of what is under way", (finished, duration), (Value::Null, Value::Null))?;

    let mark = Text::Mark { history: &history, position: 1, statements_done: Count::Beyond(1), lease: LEASE };
    let marks = client.text(&mark)?;
    agree("the texts of a mark", marks.len(), 1)?;
    client.execute(&marks.concat().replace("{done}", "1"))?;
    agree("a marked row", client.history_lines()?, ["1 001_birds up started 2/3"])?;

    let finish =
        |state, statements_done| Text::Finish { history: &history, position: 1, state, statements_done };
    let finish = finish(RowState::Applied, Count::Exactly(3));
    agree("the texts that finish a row", client.text(&finish)?.len(), 1)?;
    execute(&mut client, &finish)?;
    agree("a finished row", client.history_lines()?, ["1 001_birds up applied 3/3"])?;
    let set = client.history()?;
    agree("the lease of a finished row", cell(&set, 0, "lease_ms"), Value::Null)?;
    let duration = cell(&set, 0, "duration_ms").as_int();
    holds(duration.is_some_and(|duration| duration >= 0), format!("it took {duration:?} ms"))?;
    for column in ["started_at", "finished_at"] {
        let time = cell(&set, 0, column);
        holds(
            time.as_text().is_some_and(is_time),
            format!("`{column}` is {time:?}, and not like 2026-01-31T13:05:00Z"),
        )?;
    }
    Ok(Verdict::Passed)
}

fn is_time(text: &str) -> bool {
    let shape: String =
        text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    shape == "0000-00-00T00:00:00Z"
}

fn kept(bench: &Bench) -> Outcome {
    let mut client = bench.ready()?;
    let history = client.history.clone();
    let checksum = format!("v1:{}", "9f2c41d0".repeat(8));
    let mut row = NewRow::new(1, "001_l'été \\ \"birds\"", 7);
    row.direction = RowDirection::Down;
    row.state = RowState::Baseline;
    row.checksum = Some(&checksum);
    (row.statements_done, row.statements_total) = (u64::from(u32::MAX) + 1, u64::from(u32::MAX) + 2);
    row.statement_checksums = Some(AWKWARD);
    row.down_script = Some(AWKWARD);
    row.applied_by = "ana@build-7 pid 4121, \\ 'quoted' \u{1f426}";
    record(&mut client, &row)?;
    let mut plain = NewRow::new(2, "002_sites", 1);
    plain.state = RowState::Applied;
    record(&mut client, &plain)?;
    let set = client.history()?;
    agree("the number of rows", set.rows.len(), 2)?;
    for (column, expected) in [
        ("migration", Value::text(row.migration)),
        ("direction", Value::text("down")),
        ("state", Value::text("baseline")),
        ("checksum", Value::text(&checksum)),
        ("applied_by", Value::text(row.applied_by)),
        ("lease_ms", Value::Null),
    ] {
        agree(column, cell(&set, 0, column), expected)?;
    }
    for (row, column, expected) in [
        (0, "position", 1),
        (0, "attempt", 7),
        (0, "statements_done", i64::from(u32::MAX) + 1),
        (0, "statements_total", i64::from(u32::MAX) + 2),
        (0, "duration_ms", 0),
        (0, "has_down", 1),
        (1, "position", 2),
        (1, "has_down", 0),
    ] {
        agree(column, cell(&set, row, column).as_int(), Some(expected))?;
    }
    agree("a checksum that is not there", cell(&set, 1, "checksum"), Value::Null)?;
    for text in [
        Text::DownScript { history: &history, position: 1 },
        Text::StatementChecksums { history: &history, position: 1 },
    ] {
        let sets = read(&mut client, &text)?;
        agree(&format!("{text:?}"), sets[0].rows.as_slice(), [[Value::text(AWKWARD)]])?;
    }
    Ok(Verdict::Passed)
}

fn settled(bench: &Bench) -> Outcome {
    let mut client = bench.ready()?;
    let history = client.history.clone();
    let mut row = NewRow::new(1, "001_birds", 1);
    (row.state, row.statements_total) = (RowState::Applied, 3);
    record(&mut client, &row)?;
    let before = client.history_lines()?;
    for text in [
        Text::Mark { history: &history, position: 1, statements_done: Count::Exactly(2), lease: LEASE },
        Text::Finish {
            history: &history,
            position: 1,
            state: RowState::Failed,
            statements_done: Count::Exactly(2),
        },
    ] {
        execute(&mut client, &text)?;
        agree("the row", client.history_lines()?, before.clone())?;
    }
    Ok(Verdict::Passed)
}

fn brief(bench: &Bench) -> Outcome {
    let mut client = bench.ready()?;
    let history = client.history.clone();
    let text = Text::BriefHistory { history: &history };
    if client.dialect.text(&text).is_none() {
        return Ok(Verdict::Refused);
    }
    let checksum = |digit: &str| format!("v1:{}", digit.repeat(64));
    let [first, second] = ["a", "b"].map(checksum);
    for (position, migration, state, checksum) in [
        (1, "001_birds", RowState::Applied, Some(&first)),
        (2, "002_sites", RowState::Baseline, Some(&second)),
        (3, "003_visits", RowState::Applied, Some(&second)),
        (4, "004_photos", RowState::Applied, None),
        (5, "005_tags", RowState::Started, Some(&first)),
    ] {
        let mut row = NewRow::new(position, migration, 1);
        (row.state, row.checksum) = (state, checksum.map(String::as_str));
        record(&mut client, &row)?;
    }
    let sets = read(&mut client, &text)?;
    let [special, plain, count] = sets.as_slice() else {
        return Err(Finding::new(format!("the short form has {} sets instead of three", sets.len())));
    };
    let positions: Vec<_> = special.rows.iter().map(|row| row[0].as_int()).collect();
    agree("the rows that are not plain", positions, [Some(2), Some(4), Some(5)])?;
    let texts: Vec<Vec<_>> = plain.rows.iter().map(|row| row.iter().map(Value::as_text).collect()).collect();
    let digits = |checksum: &'static str| Some(&checksum[..BRIEF_DIGITS]);
    let [a, b] = [digits(A), digits(B)];
    agree("the plain rows", texts, [[Some("001_birds"), a], [Some("003_visits"), b]])?;
    let counts: Vec<_> = count.rows.iter().flatten().map(Value::as_int).collect();
    agree("how many rows there are, and the highest position", counts, [Some(5), Some(5)])?;
    Ok(Verdict::Passed)
}

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn odd_name(bench: &Bench) -> Outcome {
    let odd = TableName::new(format!("{} \"o'dd\"", bench.name("h")));
    let mut client = Client::open(bench.connect()?, &odd)?;
    bench.drop_history_later(&client);
    client.create_history()?;
    let mut row = NewRow::new(1, "001_birds", 1);
    row.state = RowState::Applied;
    record(&mut client, &row)?;
    agree("the history", client.history_lines()?, ["1 001_birds up applied 0/0"])?;
    let again = Client::open(bench.connect()?, &odd)?;
    agree("where the history is found", &again.facts.history_schema, &client.history.schema)?;
    Ok(Verdict::Passed)
}
