//! The texts of the model's language that the host composes its work from.
//!
//! Writes what [`statement`](crate::statement) reads, and says which statements commit by themselves.

use whimbrel_adapter_api::{Class, Count, Dialect, Facts, Lexer, NewRow, RowState, Text, Value, texts};

use crate::data::Row;
use crate::server::Kind;

/// The dialect of every session of one kind of engine.
pub(crate) struct Words(pub(crate) Kind);

const COMMON: &[(&str, Class)] = &[
    ("BEGIN", Class::Begin),
    ("COMMIT", Class::Commit),
    ("ROLLBACK", Class::Rollback),
    ("PUT|TAKE", Class::Transactional),
];
const IMPLICIT_COMMITS: &[(&str, Class)] =
    &[("CREATE", Class::ImplicitCommit), ("DROP", Class::ImplicitCommit)];

impl Dialect for Words {
    fn lexer(&self) -> Lexer {
        let patterns = match self.0 {
            Kind::ImplicitCommits => [COMMON, IMPLICIT_COMMITS].concat(),
            Kind::Embedded | Kind::Transactional => COMMON.to_vec(),
        };
        Lexer::new(&[], &patterns)
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        facts.schema = "main".to_owned();
        facts
    }

    fn quote(&self, identifier: &str) -> String {
        identifier.to_owned()
    }

    fn literal(&self, value: &Value<'_>) -> String {
        format!("{value:?}")
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        Some(vec![match text {
            Text::Facts { .. } => "FACTS".to_owned(),
            Text::History { .. } => "HISTORY".to_owned(),
            Text::DownScript { position, .. } => format!("SCRIPT {position}"),
            Text::CreateHistory { .. } => "ESTABLISH".to_owned(),
            Text::Begin { .. } => "BEGIN".to_owned(),
            Text::Commit => "COMMIT".to_owned(),
            Text::Limit { .. } => return Some(Vec::new()),
            Text::ResetSession => "RESET".to_owned(),
            Text::Record { row, .. } => format!("RECORD {}", serde_json::to_string(&written(row)).ok()?),
            Text::StatementChecksums { position, .. } => format!("CHECKSUMS {position}"),
            Text::Traces { statement, .. } => format!("TRACES {statement}"),
            Text::Mark { position, statements_done, lease, .. } => {
                format!("MARK {position} {} {}", counted(*statements_done), lease.as_millis())
            }
            Text::Finish { position, state, statements_done, .. } => {
                format!("FINISH {position} {} {}", state.word(), counted(*statements_done))
            }
            _ => return None,
        }])
    }
}

/// Returns how many statements are complete, as a sum.
fn counted(statements: Count) -> String {
    texts::count(statements).replace(' ', "")
}

fn written(row: &NewRow<'_>) -> Row {
    Row {
        position: row.position,
        previous: row.previous,
        migration: row.migration.to_owned(),
        attempt: row.attempt,
        direction: row.direction.word().to_owned(),
        state: row.state.word().to_owned(),
        checksum: row.checksum.map(str::to_owned),
        done: row.statements_done,
        total: row.statements_total,
        statement_checksums: row.statement_checksums.map(str::to_owned),
        lease: row.lease.map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)),
        started_at: 0,
        finished_at: (row.state != RowState::Started).then_some(0),
        down_script: row.down_script.map(str::to_owned),
        applied_by: row.applied_by.to_owned(),
    }
}
