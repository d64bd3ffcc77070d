//! Whether the engine reads SQL as the dialect says.

use whimbrel_adapter_api::{Feature, Value};

use super::{Check, Outcome, check};
use crate::bench::Bench;
use crate::client::Client;
use crate::finding::{During, Finding, agree, holds};
use crate::report::Verdict;

pub(super) const CHECKS: &[Check] = &[
    check("the engine reads comments, strings and names as the lexer does", features),
    check("a literal is the value that it was made of", literals),
];

/// What the engine answers to a query.
enum Answer {
    Is(&'static str),
    Fails,
    /// Either: the query does not tell.
    Anything,
}

use Answer::{Anything, Fails, Is};

/// Queries that tell whether the engine has a feature: what it answers with it and without.
const TELLING: &[(Feature, &str, Answer, Answer)] = &[
    (Feature::NestedComments, "SELECT 1 /* a /* b */ + 1 -- */\n AS answer", Is("1"), Is("2")),
    // Some engines have it in routines alone.
    (Feature::DollarQuotes, "SELECT $$a;b$$ AS answer", Anything, Fails),
    (Feature::EscapeStrings, r"SELECT E'a\'b' AS answer", Is("a'b"), Fails),
    (Feature::BackslashEscapes, r"SELECT 'a\\' AS answer", Is(r"a\"), Is(r"a\\")),
    (Feature::BacktickNames, "SELECT 1 AS `a;b`", Is("1"), Fails),
    (Feature::BracketNames, "SELECT 1 AS [a;b]", Is("1"), Fails),
    (Feature::HashComments, "SELECT 1 # no such thing\n AS answer", Is("1"), Fails),
    (Feature::DashesNeedSpace, "SELECT 1--1\n AS answer", Is("2"), Is("1")),
    (Feature::ExecutableComments, "SELECT 1 /*! + 1 */ AS answer", Is("2"), Is("1")),
    (Feature::MariaDbComments, "SELECT 1 /*M! + 1 */ AS answer", Is("2"), Is("1")),
];

fn features(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let declared = client.dialect.lexer().features;
    let mut wrong = Vec::new();
    for (feature, sql, with, without) in TELLING {
        let expected = if declared.contains(feature) { with } else { without };
        let found = answer(&mut client, sql);
        let fits = match expected {
            Is(text) => found.as_deref() == Some(text),
            Fails => found.is_none(),
            Anything => true,
        };
        if !fits {
            let word = if declared.contains(feature) { "declared" } else { "not declared" };
            wrong.push(format!("{feature:?} is {word}, but `{sql}` gives {found:?}"));
        }
    }
    holds(wrong.is_empty(), wrong.join("; "))?;
    client.connection.ping().during("afterwards")?;
    Ok(Verdict::Passed)
}

fn answer(client: &mut Client, sql: &str) -> Option<String> {
    let set = client.query(sql, &[]).ok()?;
    let cell = set.rows.first()?.first()?;
    cell.as_int().map(|number| number.to_string()).or_else(|| cell.as_text().map(str::to_owned))
}

fn literals(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let bytes = Value::Bytes([0, 255, 39, 92, 10].as_slice().into());
    for value in [
        Value::Null,
        Value::Int(i64::MIN),
        Value::Int(i64::MAX),
        Value::Int(-1),
        Value::Float(0.1),
        Value::Float(1e300),
        Value::text(""),
        Value::text("l'été \\' \"\u{1f426}\"\r\n--\t$1 {done} ?"),
        Value::text("\\"),
        bytes,
    ] {
        let literal = client.dialect.literal(&value);
        let found = one(&mut client, &format!("SELECT {literal} AS answer"))?;
        let same = match (&value, &found) {
            (Value::Int(number), found) => found.as_int() == Some(*number),
            // Some engines read it as an exact number.
            (Value::Float(number), Value::Typed(_, text)) => text.parse() == Ok(*number),
            (value, found) => value == found,
        };
        holds(same, format!("{value:?} is written as {literal}, which is {found:?}"))?;
    }
    let truths = [false, true].map(|truth| client.dialect.literal(&Value::Bool(truth)));
    let sql = format!("SELECT CASE WHEN {} THEN 1 WHEN {} THEN 2 ELSE 3 END AS answer", truths[0], truths[1]);
    agree("a CASE of false and true", one(&mut client, &sql)?.as_int(), Some(2))?;
    Ok(Verdict::Passed)
}

fn one(client: &mut Client, sql: &str) -> Result<Value<'static>, Finding> {
    let set = client.query(sql, &[]).during(sql)?;
    set.first("answer").cloned().ok_or_else(|| Finding::new(format!("{sql}: there is no answer")))
}
