//! A body of a transaction that panics, in an application that has the adapter linked in and catches the panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rstest::rstest;
use whimbrel_adapter_api::{
    Adapter, ConnectOptions, Connection, Rows, Secret, TransactionBody, TransactionOptions, Value,
};
use whimbrel_adapter_postgres::Postgres;
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{Database, Product};

fn insert(connection: &mut dyn Connection, bird: i32) {
    connection.execute_raw(&format!("INSERT INTO birds VALUES ({bird})")).expect("the table is there");
}

fn transaction(connection: &mut dyn Connection, body: &mut TransactionBody<'_>) {
    connection.transaction(&TransactionOptions::default(), body).expect("it is committed");
}

/// The connection counted one transaction too many, and took the next one for a savepoint inside it.
#[track_caller]
fn works_after_a_panic(adapter: &dyn Adapter, database: &dyn Database) {
    let options = ConnectOptions::new(Secret::new(database.url()));
    let mut connection = adapter.connect(&options).expect("the server is up").connection;
    connection.execute_raw("CREATE TABLE birds (id int)").expect("it is new");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        transaction(connection.as_mut(), &mut |outer| {
            insert(outer, 1);
            transaction(outer, &mut |_| panic!("the application's own"));
            Ok(())
        });
    }));
    assert!(panicked.is_err());
    transaction(connection.as_mut(), &mut |connection| {
        insert(connection, 2);
        Ok(())
    });
    let mut rows = Rows::default();
    connection.query("SELECT id FROM birds", &[], &mut rows).expect("it is there");
    assert_eq!(rows.sets[0].rows, [[Value::Int(2)]]);
    assert_eq!(database.lines("SELECT id FROM birds"), ["2"]);
}

#[test]
fn a_connection_to_postgres_works_after_a_body_that_panicked() {
    works_after_a_panic(&Postgres, &whimbrel_tests::Postgres::fresh());
}

#[rstest]
fn a_connection_to_mysql_works_after_a_body_that_panicked(#[values(MariaDb, MySql)] server: Product) {
    works_after_a_panic(&whimbrel_adapter_mysql::MySql, &server.fresh());
}
