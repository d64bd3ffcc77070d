//! A session leaves nothing behind in an application that goes on: no open file, no thread.
//!
//! Counts what belongs to the whole process, so there is one test here, and none beside it.

use std::fs;

use whimbrel::plan::Target;
use whimbrel::runner::Silent;
use whimbrel::source::Migrations;
use whimbrel::{Migrator, Options};
use whimbrel_adapter_api::{Adapter, ConnectOptions, Secret};
use whimbrel_adapter_mysql::MySql;
use whimbrel_adapter_postgres::Postgres;
use whimbrel_adapter_sqlite::Sqlite;
use whimbrel_tests::{Database, Product, Project, until};

/// Applies and reverts everything, in a session of its own.
fn up_and_down(migrator: &Migrator, adapter: &dyn Adapter, url: &str) {
    let options = ConnectOptions::new(Secret::new(url));
    let mut connection = adapter.connect(&options).expect("the server is up").connection;
    let _ = migrator.up(connection.as_mut(), &Target::All, &mut Silent).expect("it is new");
    let _ = migrator.down(connection.as_mut(), &Target::All, &mut Silent).expect("it is there");
}

/// Returns how many files are open, and how many threads there are.
fn held() -> [usize; 2] {
    ["/proc/self/fd", "/proc/self/task"].map(|folder| fs::read_dir(folder).expect("this is Linux").count())
}

#[test]
fn fifty_sessions_leave_no_file_and_no_thread_behind() {
    let project = Project::new()
        .file("birds/001_birds.up.sql", "CREATE TABLE birds (id int);\n")
        .file("birds/001_birds.down.sql", "DROP TABLE birds;\n");
    let migrations = Migrations::read(&project.path("birds")).expect("they are in order");
    let databases: [(&dyn Adapter, Box<dyn Database>); 4] = [
        (&Sqlite, Box::new(whimbrel_tests::Sqlite::fresh())),
        (&Postgres, Box::new(whimbrel_tests::Postgres::fresh())),
        (&MySql, Box::new(Product::MariaDb.fresh())),
        (&MySql, Box::new(Product::MySql.fresh())),
    ];
    for (adapter, database) in databases {
        let migrator = Migrator::new(migrations.clone(), Options::new("birds", adapter.info()));
        let url = database.url();
        // What is set up once for the process is there afterwards.
        up_and_down(&migrator, adapter, &url);
        let before = held();
        for _ in 0..50 {
            up_and_down(&migrator, adapter, &url);
        }
        // The last one may still be about to end, and the first one may have been when it was counted: what fifty leave
        // behind is more.
        let is_little = |(now, before): (usize, usize)| now < before + 25;
        let name = format!("{:?} has let go of all but the last", database.engine());
        until(&name, || held().into_iter().zip(before).all(is_little));
    }
}
