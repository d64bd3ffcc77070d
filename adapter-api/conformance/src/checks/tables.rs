//! Whether a table exists.

use whimbrel_adapter_api::TableName;

use super::{Check, Outcome, check};
use crate::bench::Bench;
use crate::client::Client;
use crate::finding::{During, Finding, agree};
use crate::report::Verdict;

pub(super) const CHECKS: &[Check] = &[
    check("a table is found by its name, letter by letter", names),
    check("a table is found in its schema, and in no other", schemas),
];

fn exists(client: &mut Client, name: &TableName, expected: bool) -> Result<(), Finding> {
    let found = client.connection.table_exists(name).during(&format!("`{name}`"))?;
    agree(&format!("whether `{name}` exists"), found, expected)
}

fn names(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let odd = TableName::new(format!("{} \"A `B' c%", bench.name("odd")));
    let quoted = client.dialect.quote(&odd.name);
    bench.drop_later(&quoted);
    exists(&mut client, &odd, false)?;
    client.execute(&bench.create(&quoted))?;
    exists(&mut client, &odd, true)?;
    let current = odd.in_schema(&client.facts.schema);
    exists(&mut client, &current, true)?;
    let name = odd.name.as_str();
    for other in [
        quoted.clone(),
        name.replace(" c%", " c"),
        name.replace(" c%", "%"),
        name.replace("whimbrel", "w%"),
        name.replace("whimbrel_", "whimbrel-"),
        format!("{name} "),
        name.replace('A', "a"),
    ] {
        exists(&mut client, &TableName::new(other), false)?;
    }
    // A view is read like a table, and counts as one.
    let view = TableName::new(bench.name("view"));
    let quoted_view = client.dialect.quote(&view.name);
    client.execute(&format!("CREATE VIEW {quoted_view} AS SELECT name FROM {quoted}"))?;
    let found = exists(&mut client, &view, true);
    client.execute(&format!("DROP VIEW {quoted_view}"))?;
    found.map(|()| Verdict::Passed)
}

fn schemas(bench: &Bench) -> Outcome {
    let mut client = bench.client()?;
    let table = TableName::new(bench.name("here"));
    let quoted = client.dialect.quote(&table.name);
    bench.drop_later(&quoted);
    client.execute(&bench.create(&quoted))?;
    exists(&mut client, &table.in_schema(bench.name("nowhere")), false)?;
    let (Some(create), Some(drop)) = (&bench.quirks.create_schema, &bench.quirks.drop_schema) else {
        return Ok(Verdict::Passed);
    };
    let schema = bench.name("schema");
    let quoted_schema = client.dialect.quote(&schema);
    client.execute(&create.replace("{}", &quoted_schema))?;
    let found = there(bench, &mut client, &table, &schema);
    client.execute(&drop.replace("{}", &quoted_schema))?;
    found.map(|()| Verdict::Passed)
}

fn there(bench: &Bench, client: &mut Client, table: &TableName, schema: &str) -> Result<(), Finding> {
    exists(client, &table.in_schema(schema), false)?;
    let other = TableName::new(bench.name("there"));
    let [schema_name, name] = [schema, &other.name].map(|name| client.dialect.quote(name));
    client.execute(&bench.create(&format!("{schema_name}.{name}")))?;
    exists(client, &other.in_schema(schema), true)?;
    exists(client, &other, false)
}
