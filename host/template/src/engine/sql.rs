//! What statements mean. The toy's.
//!
//! `CREATE TABLE [IF NOT EXISTS]`, `CREATE VIEW`, `DROP TABLE|VIEW [IF EXISTS]`, `INSERT … VALUES`, `UPDATE`, and `SELECT`
//! from one table. The types of columns are read and forgotten.
//!
//! Carries a statement out while it reads it. What is said of every row is read again for every row, and once for a row of
//! NULLs first: so mistakes are found where there are no rows, too.

use std::cmp::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use whimbrel_adapter_api::Value;

use super::words::{Statement, Word, syntax};
use super::{Answer, Change, Relation, Relations, Row, Table, Trouble, What, place};
use crate::dialect::SCHEMA;

/// Reads one statement, as it is to be read for one row.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    database: &'a str,
    relations: &'a Relations,
    words: &'a [(Word, usize)],
    parameters: &'a [Value<'a>],
    columns: &'a [String],
    row: &'a [Value<'static>],
    next: usize,
}

type Cell = Value<'static>;

impl<'a> Reader<'a> {
    pub(super) fn new(
        database: &'a str,
        relations: &'a Relations,
        statement: &'a Statement,
        parameters: &'a [Value<'a>],
    ) -> Result<Self, Trouble> {
        let (wanted, given) = (statement.parameters, parameters.len());
        if wanted != given {
            return Err(Trouble::other(format!("{wanted} parameters are needed, and {given} are given")));
        }
        let words = &statement.words;
        Ok(Reader { database, relations, words, parameters, columns: &[], row: &[], next: 0 })
    }

    pub(super) fn statement(&mut self) -> Result<(Answer, Change), Trouble> {
        let kinds = ["SELECT", "INSERT", "UPDATE", "DROP"];
        match kinds.into_iter().find(|kind| self.takes(kind)) {
            Some("SELECT") => self.select().map(|answer| (answer, Change::Nothing)),
            Some("INSERT") => self.insert(),
            Some("UPDATE") => self.update(),
            Some(_) => self.drop(),
            None => self.create(),
        }
    }

    fn create(&mut self) -> Result<(Answer, Change), Trouble> {
        if !self.takes("CREATE") {
            return Err(syntax("no statement begins with this", self.words[self.next].1));
        }
        let is_view = self.takes("VIEW");
        if !is_view {
            self.expect(&["TABLE"])?;
        }
        let unless_there = self.takes("IF");
        if unless_there {
            self.expect(&["NOT", "EXISTS"])?;
        }
        let name = self.table_name()?;
        let relation = if is_view {
            self.expect(&["AS"])?;
            let words = self.words[self.next..].to_vec();
            self.expect(&["SELECT"])?;
            self.select()?;
            Relation::View(Statement { words, parameters: 0 })
        } else {
            let mut table = Table::default();
            self.expect(&["("])?;
            self.list(|reader| reader.column(&name, &mut table))?;
            self.expect(&[")"])?;
            self.end()?;
            Relation::Table(table)
        };
        match self.relations.contains_key(&name) {
            true if unless_there => Ok((Answer::default(), Change::Nothing)),
            true => Err(Trouble::other(format!("`{name}` is there already"))),
            false => Ok((Answer::default(), Change::Put(name, relation))),
        }
    }

    /// Reads a column: its name, its type, and what else is said of it.
    fn column(&mut self, table: &str, into: &mut Table) -> Result<(), Trouble> {
        let index = into.columns.len();
        into.columns.push(self.name()?);
        self.name()?;
        if self.takes("(") {
            self.sum()?;
            self.expect(&[")"])?;
        }
        loop {
            let at = self.words[self.next].1;
            match ["NOT", "PRIMARY", "REFERENCES"].into_iter().find(|word| self.takes(word)) {
                Some("NOT") => self.expect(&["NULL"])?,
                Some("PRIMARY") => {
                    self.expect(&["KEY"])?;
                    into.key = Some(index);
                }
                Some(_) => {
                    let parent = self.table_name()?;
                    self.expect(&["("])?;
                    let column = self.name()?;
                    self.expect(&[")"])?;
                    if parent != table || Some(into.place(&column)?) != into.key {
                        return Err(syntax("only the key of the same table can be referenced", at));
                    }
                    into.parent = Some(index);
                }
                None => return Ok(()),
            }
        }
    }

    fn drop(&mut self) -> Result<(Answer, Change), Trouble> {
        if !self.takes("VIEW") {
            self.expect(&["TABLE"])?;
        }
        let if_there = self.takes("IF");
        if if_there {
            self.expect(&["EXISTS"])?;
        }
        let name = self.table_name()?;
        self.end()?;
        match self.relations.contains_key(&name) || if_there {
            true => Ok((Answer::default(), Change::Remove(name))),
            false => Err(no_table(&name)),
        }
    }

    fn insert(&mut self) -> Result<(Answer, Change), Trouble> {
        self.expect(&["INTO"])?;
        let name = self.table_name()?;
        let mut columns = None;
        if self.takes("(") {
            columns = Some(self.list(Self::name)?);
            self.expect(&[")"])?;
        }
        self.expect(&["VALUES"])?;
        let rows = self.list(|reader| {
            reader.expect(&["("])?;
            let row = reader.list(Self::sum)?;
            reader.expect(&[")"]).map(|()| row)
        })?;
        self.end()?;
        let mut table = self.table(&name)?.clone();
        let columns = columns.unwrap_or_else(|| table.columns.clone());
        let places = columns.iter().map(|column| table.place(column)).collect::<Result<Vec<_>, _>>()?;
        let first = table.rows.len();
        for row in rows {
            if row.len() != places.len() {
                return Err(Trouble::other(format!("{} values for {} columns", row.len(), places.len())));
            }
            let mut whole = vec![Value::Null; table.columns.len()];
            places.iter().zip(row).for_each(|(place, cell)| whole[*place] = cell);
            table.rows.push(whole);
        }
        let changed = (first..table.rows.len()).collect();
        changes(name, table, changed)
    }

    fn update(&mut self) -> Result<(Answer, Change), Trouble> {
        let name = self.table_name()?;
        self.expect(&["SET"])?;
        let mut table = self.table(&name)?.clone();
        let columns = table.columns.clone();
        let changed_row = |row: &Row| {
            let mut reader = Reader { columns: &columns, row, ..*self };
            let mut new = row.clone();
            let change = |reader: &mut Reader<'_>| {
                let place = place(&columns, &reader.name()?)?;
                reader.expect(&["="])?;
                new[place] = reader.sum()?;
                Ok(())
            };
            reader.list(change)?;
            let holds = reader.condition()?;
            reader.end()?;
            Ok::<_, Trouble>(holds.then_some(new))
        };
        changed_row(&vec![Value::Null; columns.len()])?;
        let mut changed = Vec::new();
        for (index, row) in table.rows.iter_mut().enumerate() {
            if let Some(new) = changed_row(row)? {
                *row = new;
                changed.push(index);
            }
        }
        changes(name, table, changed)
    }

    fn select(&mut self) -> Result<Answer, Trouble> {
        // There is no SELECT inside another, so that this is its own FROM.
        let is_from =
            |(word, _): &(Word, usize)| matches!(word, Word::Bare(word) if word.eq_ignore_ascii_case("FROM"));
        let from = self.words[self.next..].iter().position(is_from).map(|index| self.next + index);
        let (mut columns, mut rows, mut behind) = (Vec::new(), vec![Row::new()], None);
        if let Some(from) = from {
            let mut reader = Reader { next: from + 1, ..*self };
            (columns, rows) = reader.relation()?;
            behind = Some(reader.next);
        }
        // The cells of a row, by their names, if the condition holds; and by what the rows are ordered.
        let read = |row: &Row| {
            let mut reader = Reader { columns: &columns, row, ..*self };
            let cells = reader.list(Reader::cell)?;
            if let Some(behind) = behind {
                reader.expect(&["FROM"])?;
                reader.next = behind;
            }
            let holds = reader.condition()?;
            let mut order = None;
            if reader.takes("ORDER") {
                reader.expect(&["BY"])?;
                order = Some(place(&columns, &reader.name()?)?);
            }
            reader.end()?;
            Ok::<_, Trouble>((cells, holds, order))
        };
        let (cells, _, order) = read(&vec![Value::Null; columns.len()])?;
        if let Some(order) = order {
            rows.sort_by(|one, other| compared(&one[order], &other[order]).unwrap_or(Ordering::Equal));
        }
        let columns = cells.into_iter().map(|(name, _)| name).collect();
        let mut answer = Answer { columns, ..Answer::default() };
        for row in &rows {
            let (cells, holds, _) = read(row)?;
            answer.rows.extend(holds.then(|| cells.into_iter().map(|(_, cell)| cell).collect()));
        }
        Ok(answer)
    }

    fn cell(&mut self) -> Result<(String, Cell), Trouble> {
        let named = self.name_ahead();
        let cell = self.sum()?;
        let name = if self.takes("AS") { Some(self.name()?) } else { named };
        Ok((name.unwrap_or_else(|| "?".to_owned()), cell))
    }

    /// Reads the name of a table or view, and returns its columns and rows.
    fn relation(&mut self) -> Result<(Vec<String>, Vec<Row>), Trouble> {
        let name = self.table_name()?;
        if let Some(Relation::View(view)) = self.relations.get(&name) {
            let mut reader = Reader::new(self.database, self.relations, view, &[])?;
            let (answer, _) = reader.statement()?;
            return Ok((answer.columns, answer.rows));
        }
        self.table(&name).map(|table| (table.columns.clone(), table.rows.clone()))
    }

    fn table(&self, name: &str) -> Result<&'a Table, Trouble> {
        match self.relations.get(name) {
            Some(Relation::Table(table)) => Ok(table),
            Some(Relation::View(_)) => Err(Trouble::other(format!("`{name}` is a view, and takes no rows"))),
            None => Err(no_table(name)),
        }
    }

    fn condition(&mut self) -> Result<bool, Trouble> {
        Ok(!self.takes("WHERE") || self.truth()? == Value::Bool(true))
    }

    /// Reads comparisons that are joined by AND.
    fn truth(&mut self) -> Result<Cell, Trouble> {
        let mut left = self.comparison()?;
        while self.takes("AND") {
            left = pair(&left, "AND", &self.comparison()?)?;
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Cell, Trouble> {
        let left = self.sum()?;
        if self.takes("IS") {
            self.expect(&["NULL"])?;
            return Ok(Value::Bool(left.is_null()));
        }
        match ["=", "<>", "<", ">"].into_iter().find(|sign| self.takes(sign)) {
            Some(sign) => pair(&left, sign, &self.sum()?),
            None => Ok(left),
        }
    }

    fn sum(&mut self) -> Result<Cell, Trouble> {
        let mut left = self.operand()?;
        while let Some(sign) = ["+", "-"].into_iter().find(|sign| self.takes(sign)) {
            left = pair(&left, sign, &self.operand()?)?;
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Cell, Trouble> {
        if self.takes("-") {
            return negative(self.operand()?);
        }
        match ["CASE", "NULL", "TRUE", "FALSE"].into_iter().find(|word| self.takes(word)) {
            Some("CASE") => return self.case(),
            Some("NULL") => return Ok(Value::Null),
            Some(word) => return Ok(Value::Bool(word == "TRUE")),
            None => {}
        }
        let value = match &self.words[self.next].0 {
            Word::Value(value) => value.clone(),
            Word::Parameter(number) => self.parameters[*number].clone().into_owned(),
            _ => {
                let name = self.name()?;
                if !self.takes("(") {
                    return Ok(self.row[place(self.columns, &name)?].clone());
                }
                let argument = if self.takes(")") { None } else { Some(self.sum()?) };
                if argument.is_some() {
                    self.expect(&[")"])?;
                }
                return self.call(&name, argument);
            }
        };
        self.next += 1;
        Ok(value)
    }

    fn case(&mut self) -> Result<Cell, Trouble> {
        let mut found = None;
        while self.takes("WHEN") {
            let holds = self.truth()? == Value::Bool(true);
            self.expect(&["THEN"])?;
            let value = self.sum()?;
            found = found.or(holds.then_some(value));
        }
        self.expect(&["ELSE"])?;
        let otherwise = self.sum()?;
        self.expect(&["END"])?;
        Ok(found.unwrap_or(otherwise))
    }

    fn call(&self, name: &str, argument: Option<Cell>) -> Result<Cell, Trouble> {
        let text = |text: &str| Ok(Value::Text(text.to_owned().into()));
        match (name, argument) {
            ("now", None) => Ok(Value::Int(now())),
            ("iso", Some(Value::Int(time))) => text(&iso(time)),
            ("server", None) => text(concat!("toy engine ", env!("CARGO_PKG_VERSION"))),
            ("database", None) => text(self.database),
            ("schema_of", Some(Value::Text(name))) if self.relations.contains_key(&*name) => text(SCHEMA),
            ("iso" | "schema_of", Some(_)) => Ok(Value::Null),
            _ => Err(Trouble::other(format!("no such function: {name}"))),
        }
    }

    /// Reads one or more, with commas between them.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, Trouble>) -> Result<Vec<T>, Trouble> {
        let mut all = vec![one(self)?];
        while self.takes(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// Reads the name of a table. With the only schema there is it is the same as without.
    fn table_name(&mut self) -> Result<String, Trouble> {
        let name = self.name()?;
        if !self.takes(".") {
            return Ok(name);
        }
        let table = self.name()?;
        if name == SCHEMA { Ok(table) } else { Err(no_table(&format!("{name}.{table}"))) }
    }

    fn name(&mut self) -> Result<String, Trouble> {
        let name = self.name_ahead().ok_or_else(|| syntax("a name is missing", self.words[self.next].1))?;
        self.next += 1;
        Ok(name)
    }

    fn name_ahead(&self) -> Option<String> {
        let is_sign =
            |word: &str| word.starts_with(|letter: char| letter.is_ascii_punctuation() && letter != '_');
        match &self.words[self.next].0 {
            Word::Bare(word) if !is_sign(word) => Some(word.clone()),
            Word::Name(name) => Some(name.clone()),
            _ => None,
        }
    }

    fn expect(&mut self, words: &[&str]) -> Result<(), Trouble> {
        for word in words {
            let at = self.words[self.next].1;
            if !self.takes(word) {
                return Err(syntax(&format!("`{word}` is missing"), at));
            }
        }
        Ok(())
    }

    /// Steps over a keyword or sign, if it is the next.
    fn takes(&mut self, word: &str) -> bool {
        let is_next = matches!(&self.words[self.next].0, Word::Bare(next) if next.eq_ignore_ascii_case(word));
        self.next += usize::from(is_next);
        is_next
    }

    fn end(&self) -> Result<(), Trouble> {
        match self.words[self.next] {
            (Word::End, _) => Ok(()),
            (_, at) => Err(syntax("the statement should end here", at)),
        }
    }
}

/// Returns the change that a table's new rows are, if they can stay.
fn changes(name: String, table: Table, changed: Vec<usize>) -> Result<(Answer, Change), Trouble> {
    changed.iter().try_for_each(|index| table.check(&table.rows[*index]))?;
    let answer = Answer { changed: changed.len() as u64, ..Answer::default() };
    Ok((answer, Change::Put(name, Relation::Table(table))))
}

fn no_table(name: &str) -> Trouble {
    Trouble::new(What::NoTable, format!("no such table: {name}"))
}

fn pair(left: &Cell, sign: &str, right: &Cell) -> Result<Cell, Trouble> {
    let whole =
        |number: Option<i64>| number.map(Value::Int).ok_or_else(|| Trouble::other("the number is too large"));
    match (sign, left, right) {
        (_, Value::Null, _) | (_, _, Value::Null) => Ok(Value::Null),
        ("+", Value::Int(one), Value::Int(other)) => whole(one.checked_add(*other)),
        ("-", Value::Int(one), Value::Int(other)) => whole(one.checked_sub(*other)),
        ("AND", Value::Bool(one), Value::Bool(other)) => Ok(Value::Bool(*one && *other)),
        ("=", ..) => Ok(Value::Bool(left == right)),
        ("<>", ..) => Ok(Value::Bool(left != right)),
        ("<", ..) => Ok(Value::Bool(compared(left, right) == Some(Ordering::Less))),
        (">", ..) => Ok(Value::Bool(compared(left, right) == Some(Ordering::Greater))),
        _ => Err(Trouble::other(format!("`{sign}` does not take these values"))),
    }
}

fn negative(number: Cell) -> Result<Cell, Trouble> {
    match number {
        Value::Null => Ok(Value::Null),
        Value::Int(number) if number > i64::MIN => Ok(Value::Int(-number)),
        Value::UInt(number) if number == i64::MIN.unsigned_abs() => Ok(Value::Int(i64::MIN)),
        Value::Float(number) => Ok(Value::Float(-number)),
        _ => Err(Trouble::other("only a number can be negative")),
    }
}

fn compared(one: &Cell, other: &Cell) -> Option<Ordering> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Float(one), Value::Float(other)) => one.partial_cmp(other),
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns a time as `2026-01-31T13:05:00Z`.
fn iso(milliseconds: i64) -> String {
    let seconds = milliseconds.div_euclid(1000);
    // Days since a first of March: so a leap day is the last of its year, and every 400 years are alike.
    let days = seconds.div_euclid(86_400) + 719_468;
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + days.div_euclid(146_097) * 400 + i64::from(month <= 2);
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
