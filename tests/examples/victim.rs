//! A process for the conformance suite to kill, with the adapter linked in that its argument names.

use std::env;
use std::io::{stdin, stdout};

use whimbrel_adapter_api::Adapter;

fn main() {
    let name = env::args().nth(1).unwrap_or_default();
    let adapter: &dyn Adapter = match name.as_str() {
        "clickhouse" => &whimbrel_adapter_clickhouse::ClickHouse,
        "sqlite" => &whimbrel_adapter_sqlite::Sqlite,
        "postgres" => &whimbrel_adapter_postgres::Postgres,
        "mysql" => &whimbrel_adapter_mysql::MySql,
        other => panic!("no adapter is called `{other}`"),
    };
    whimbrel_conformance::act(adapter, &mut stdin().lock(), &mut stdout());
}
