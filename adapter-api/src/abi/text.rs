//! What the host asks of a dialect: [`Text`] as a number and arguments by key.
//!
//! A text that a newer host added, or an argument with a word that only the newer host knows, is answered like any
//! other text that the engine does not have.

use std::borrow::Cow;
use std::time::Duration;

use abi_stable::std_types::{RSlice, Tuple2};

use super::convert::{require_known, text as lossy};
use super::types::{AText, Code, Lent};
use crate::{Count, Limits, NewRow, RowDirection, RowState, TableName, Text};

mod code {
    pub(super) const FACTS: u32 = 1;
    pub(super) const HISTORY: u32 = 2;
    pub(super) const CREATE_HISTORY: u32 = 3;
    pub(super) const BEGIN: u32 = 4;
    pub(super) const COMMIT: u32 = 5;
    pub(super) const LIMIT: u32 = 6;
    pub(super) const RESET_SESSION: u32 = 7;
    pub(super) const RECORD: u32 = 8;
    pub(super) const MARK: u32 = 9;
    pub(super) const FINISH: u32 = 10;
    pub(super) const DOWN_SCRIPT: u32 = 11;
    pub(super) const STATEMENT_CHECKSUMS: u32 = 12;
    pub(super) const TRACES: u32 = 13;
    pub(super) const WITHOUT_ROLLBACK: u32 = 14;
    pub(super) const BRIEF_HISTORY: u32 = 15;
    pub(super) const FACTS_OF_PENDING: u32 = 16;
}

mod key {
    pub(super) const HISTORY_SCHEMA: u32 = 1;
    pub(super) const HISTORY_NAME: u32 = 2;
    pub(super) const LOCK_LIMIT: u32 = 3;
    pub(super) const STATEMENT_LIMIT: u32 = 4;
    pub(super) const POSITION: u32 = 5;
    pub(super) const PREVIOUS: u32 = 6;
    pub(super) const MIGRATION: u32 = 7;
    pub(super) const ATTEMPT: u32 = 8;
    pub(super) const DIRECTION: u32 = 9;
    pub(super) const STATE: u32 = 10;
    pub(super) const CHECKSUM: u32 = 11;
    pub(super) const STATEMENTS_DONE: u32 = 12;
    pub(super) const STATEMENTS_TOTAL: u32 = 13;
    pub(super) const LEASE: u32 = 14;
    pub(super) const DOWN_SCRIPT: u32 = 15;
    pub(super) const APPLIED_BY: u32 = 16;
    pub(super) const STATEMENTS_BEFORE: u32 = 17;
    pub(super) const STATEMENT_CHECKSUMS: u32 = 18;
    pub(super) const STATEMENT: u32 = 19;
    pub(super) const UNLESS_APPLIED: u32 = 20;
}

/// A [`Text`] in a form that can be kept, and sent to another process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EncodedText<'a> {
    code: u32,
    arguments: Vec<(u32, Cow<'a, [u8]>)>,
}

impl<'a> EncodedText<'a> {
    /// Encodes a text.
    #[must_use]
    pub fn new(text: &Text<'a>) -> Self {
        match *text {
            Text::Facts { history } => EncodedText::of(code::FACTS).table(history),
            Text::FactsOfPending { history, unless_applied } => EncodedText::of(code::FACTS_OF_PENDING)
                .table(history)
                .optional(key::UNLESS_APPLIED, unless_applied.map(u64::cast_signed)),
            Text::History { history } => EncodedText::of(code::HISTORY).table(history),
            Text::BriefHistory { history } => EncodedText::of(code::BRIEF_HISTORY).table(history),
            Text::CreateHistory { history } => EncodedText::of(code::CREATE_HISTORY).table(history),
            Text::Begin { limits } => EncodedText::of(code::BEGIN).limits(limits),
            Text::Commit => EncodedText::of(code::COMMIT),
            Text::Limit { limits } => EncodedText::of(code::LIMIT).limits(limits),
            Text::ResetSession => EncodedText::of(code::RESET_SESSION),
            Text::Record { history, row } => EncodedText::of(code::RECORD).table(history).row(row),
            Text::Mark { history, position, statements_done, lease } => EncodedText::of(code::MARK)
                .table(history)
                .number(key::POSITION, position)
                .count(statements_done)
                .duration(key::LEASE, Some(lease)),
            Text::Finish { history, position, state, statements_done } => EncodedText::of(code::FINISH)
                .table(history)
                .number(key::POSITION, position)
                .code(key::STATE, state.code())
                .count(statements_done),
            Text::DownScript { history, position } => {
                EncodedText::of(code::DOWN_SCRIPT).table(history).number(key::POSITION, position)
            }
            Text::StatementChecksums { history, position } => {
                EncodedText::of(code::STATEMENT_CHECKSUMS).table(history).number(key::POSITION, position)
            }
            Text::WithoutRollback { statement } => {
                EncodedText::of(code::WITHOUT_ROLLBACK).text(key::STATEMENT, Some(statement))
            }
            Text::Traces { history, position, statement } => EncodedText::of(code::TRACES)
                .table(history)
                .optional(key::POSITION, position)
                .text(key::STATEMENT, Some(statement)),
        }
    }

    /// Calls `answer` with the text, or returns `None` when this version of the crate does not know it.
    pub fn read<R>(&self, answer: impl FnOnce(&Text<'_>) -> R) -> Option<R> {
        self.lend(|text| decode(&text, answer))
    }

    /// Calls `ask` with the text as a record that borrows from this one.
    pub(super) fn lend<R>(&self, ask: impl FnOnce(AText<'_>) -> R) -> R {
        let arguments: Vec<Tuple2<Code, Lent<'_>>> =
            self.arguments.iter().map(|(key, value)| Tuple2(Code(*key), Lent::from_slice(value))).collect();
        ask(AText { text: Code(self.code), arguments: RSlice::from_slice(&arguments) })
    }

    fn of(code: u32) -> Self {
        EncodedText { code, arguments: Vec::new() }
    }

    fn table(self, table: &'a TableName) -> Self {
        self.text(key::HISTORY_SCHEMA, table.schema.as_deref()).text(key::HISTORY_NAME, Some(&table.name))
    }

    fn limits(self, limits: &Limits) -> Self {
        self.duration(key::LOCK_LIMIT, limits.lock).duration(key::STATEMENT_LIMIT, limits.statement)
    }

    fn row(self, row: &NewRow<'a>) -> Self {
        self.number(key::POSITION, row.position)
            .optional(key::PREVIOUS, row.previous)
            .text(key::MIGRATION, Some(row.migration))
            .number(key::ATTEMPT, row.attempt)
            .code(key::DIRECTION, row.direction.code())
            .code(key::STATE, row.state.code())
            .text(key::CHECKSUM, row.checksum)
            .number(key::STATEMENTS_DONE, row.statements_done.cast_signed())
            .number(key::STATEMENTS_TOTAL, row.statements_total.cast_signed())
            .text(key::STATEMENT_CHECKSUMS, row.statement_checksums)
            .duration(key::LEASE, row.lease)
            .text(key::DOWN_SCRIPT, row.down_script)
            .text(key::APPLIED_BY, Some(row.applied_by))
    }

    fn text(mut self, key: u32, text: Option<&'a str>) -> Self {
        self.arguments.extend(text.map(|text| (key, Cow::Borrowed(text.as_bytes()))));
        self
    }

    fn number(self, key: u32, number: i64) -> Self {
        self.optional(key, Some(number))
    }

    fn optional(mut self, key: u32, number: Option<i64>) -> Self {
        self.arguments.extend(number.map(|number| (key, Cow::Owned(number.to_le_bytes().to_vec()))));
        self
    }

    fn count(self, count: Count) -> Self {
        match count {
            Count::Exactly(done) => self.number(key::STATEMENTS_DONE, done.cast_signed()),
            Count::Beyond(before) => self.number(key::STATEMENTS_BEFORE, before.cast_signed()),
        }
    }

    fn code(self, key: u32, code: u32) -> Self {
        self.number(key, i64::from(code))
    }

    fn duration(mut self, key: u32, duration: Option<Duration>) -> Self {
        if let Some(duration) = duration {
            let mut bytes = duration.as_secs().to_le_bytes().to_vec();
            bytes.extend(duration.subsec_nanos().to_le_bytes());
            self.arguments.push((key, Cow::Owned(bytes)));
        }
        self
    }
}

/// Calls `answer` with the text that came, or returns `None` when this side cannot know what is meant.
pub(super) fn decode<R>(text: &AText<'_>, answer: impl FnOnce(&Text<'_>) -> R) -> Option<R> {
    require_known(text.arguments.as_slice()).ok()?;
    let arguments = Arguments(text.arguments.as_slice());
    let history = arguments.table();
    let limits = arguments.limits();
    Some(match text.text.0 {
        code::FACTS => answer(&Text::Facts { history: &history? }),
        code::FACTS_OF_PENDING => answer(&Text::FactsOfPending {
            history: &history?,
            unless_applied: arguments.number(key::UNLESS_APPLIED).map(i64::cast_unsigned),
        }),
        code::HISTORY => answer(&Text::History { history: &history? }),
        code::BRIEF_HISTORY => answer(&Text::BriefHistory { history: &history? }),
        code::CREATE_HISTORY => answer(&Text::CreateHistory { history: &history? }),
        code::BEGIN => answer(&Text::Begin { limits: &limits }),
        code::COMMIT => answer(&Text::Commit),
        code::LIMIT => answer(&Text::Limit { limits: &limits }),
        code::RESET_SESSION => answer(&Text::ResetSession),
        code::RECORD => {
            let history = history?;
            arguments.row(|row| answer(&Text::Record { history: &history, row }))?
        }
        code::MARK => {
            let (position, lease) = (arguments.number(key::POSITION)?, arguments.duration(key::LEASE)?);
            let statements_done = arguments.count()?;
            answer(&Text::Mark { history: &history?, position, statements_done, lease })
        }
        code::FINISH => answer(&Text::Finish {
            history: &history?,
            position: arguments.number(key::POSITION)?,
            state: arguments.code(key::STATE).and_then(RowState::from_code)?,
            statements_done: arguments.count()?,
        }),
        code::DOWN_SCRIPT => {
            answer(&Text::DownScript { history: &history?, position: arguments.number(key::POSITION)? })
        }
        code::STATEMENT_CHECKSUMS => {
            let position = arguments.number(key::POSITION)?;
            answer(&Text::StatementChecksums { history: &history?, position })
        }
        code::WITHOUT_ROLLBACK => {
            answer(&Text::WithoutRollback { statement: &arguments.text(key::STATEMENT)? })
        }
        code::TRACES => answer(&Text::Traces {
            history: &history?,
            position: arguments.number(key::POSITION),
            statement: &arguments.text(key::STATEMENT)?,
        }),
        _ => return None,
    })
}

struct Arguments<'a>(&'a [Tuple2<Code, Lent<'a>>]);

impl<'a> Arguments<'a> {
    fn get(&self, key: u32) -> Option<&'a [u8]> {
        self.0.iter().find(|Tuple2(code, _)| code.0 == key).map(|Tuple2(_, value)| value.as_slice())
    }

    fn text(&self, key: u32) -> Option<Cow<'a, str>> {
        self.get(key).map(|bytes| lossy(bytes.into()))
    }

    fn number(&self, key: u32) -> Option<i64> {
        self.get(key)?.try_into().ok().map(i64::from_le_bytes)
    }

    fn code(&self, key: u32) -> Option<u32> {
        u32::try_from(self.number(key)?).ok()
    }

    fn count(&self) -> Option<Count> {
        let number = |key| self.number(key).map(i64::cast_unsigned);
        number(key::STATEMENTS_DONE)
            .map(Count::Exactly)
            .or_else(|| number(key::STATEMENTS_BEFORE).map(Count::Beyond))
    }

    fn duration(&self, key: u32) -> Option<Duration> {
        let (seconds, nanoseconds) = self.get(key)?.split_first_chunk()?;
        let nanoseconds = u32::from_le_bytes(nanoseconds.try_into().ok()?);
        Duration::from_secs(u64::from_le_bytes(*seconds))
            .checked_add(Duration::from_nanos(nanoseconds.into()))
    }

    fn table(&self) -> Option<TableName> {
        let name = self.text(key::HISTORY_NAME)?.into_owned();
        Some(TableName { schema: self.text(key::HISTORY_SCHEMA).map(Cow::into_owned), name })
    }

    fn limits(&self) -> Limits {
        Limits { lock: self.duration(key::LOCK_LIMIT), statement: self.duration(key::STATEMENT_LIMIT) }
    }

    fn row<R>(&self, answer: impl FnOnce(&NewRow<'_>) -> R) -> Option<R> {
        let migration = self.text(key::MIGRATION)?;
        let checksum = self.text(key::CHECKSUM);
        let statement_checksums = self.text(key::STATEMENT_CHECKSUMS);
        let down_script = self.text(key::DOWN_SCRIPT);
        let applied_by = self.text(key::APPLIED_BY)?;
        Some(answer(&NewRow {
            position: self.number(key::POSITION)?,
            previous: self.number(key::PREVIOUS),
            migration: &migration,
            attempt: self.number(key::ATTEMPT)?,
            direction: self.code(key::DIRECTION).and_then(RowDirection::from_code)?,
            state: self.code(key::STATE).and_then(RowState::from_code)?,
            checksum: checksum.as_deref(),
            statements_done: self.number(key::STATEMENTS_DONE)?.cast_unsigned(),
            statements_total: self.number(key::STATEMENTS_TOTAL)?.cast_unsigned(),
            statement_checksums: statement_checksums.as_deref(),
            lease: self.duration(key::LEASE),
            down_script: down_script.as_deref(),
            applied_by: &applied_by,
        }))
    }
}
