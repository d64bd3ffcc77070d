//! The demo sets of `migrations/`, which the README uses: up, down to empty, up again, on every engine and on every
//! way to it.

use std::fs;
use std::path::Path;

use rstest::rstest;
use whimbrel_tests::Product::{MariaDb, MySql};
use whimbrel_tests::{ClickHouse, Database, Pool, Postgres, Product, Project, Sqlite};

/// Returns a project with one of the demo folders.
fn demo(folder: &str) -> Project {
    let project = Project::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(folder);
    copy(&root, &format!("migrations/{folder}"), &project);
    project
}

fn copy(from: &Path, to: &str, project: &Project) {
    let entries = fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    for entry in entries.map(|entry| entry.expect("the folder can be read")) {
        let name = entry.file_name();
        let to = format!("{to}/{}", name.to_str().expect("the demo's names are UTF-8"));
        if entry.path().is_dir() {
            copy(&entry.path(), &to, project);
        } else {
            project.write(&to, fs::read(entry.path()).expect("the file can be read"));
        }
    }
}

/// Goes up, down and up again by `url`, and compares the schemas. `untouched` is a second database of the same kind.
#[track_caller]
fn goes_up_down_and_up(database: &dyn Database, url: &str, untouched: (&dyn Database, &str), folder: &str) {
    let project = demo(folder);
    let run = |command: &[&str]| {
        let arguments = command.iter().copied().chain(["--url", url]);
        project.run(arguments).exits(0)
    };
    let up = run(&["up", folder]);
    let unexpected: Vec<&str> =
        up.stderr.lines().filter(|line| !line.starts_with("note: 008_site_bounds")).collect();
    assert!(unexpected.is_empty(), "{folder}: {unexpected:?}");
    all_applied(&run(&["status", folder, "--format", "json"]).json(), folder);
    let after_up = database.dump();

    let _ = run(&["down", folder, "--to", "0"]);
    // What is left is what a run leaves that has nothing to run: the history table alone.
    let nothing = Project::new().file(&format!("migrations/{folder}/001_nothing.sql"), "");
    let _ = nothing.run(["up", folder, "--url", untouched.1]).exits(0);
    assert_eq!(database.dump(), untouched.0.dump(), "{folder}: down to empty");

    let _ = run(&["up", folder]);
    all_applied(&run(&["status", folder, "--format", "json"]).json(), folder);
    assert_eq!(database.dump(), after_up, "{folder}: up, down and up again");
    assert!(after_up.len() > 5_000, "{folder}: a schema of realistic size:\n{after_up}");
    let _ = run(&["verify", folder]);
}

#[track_caller]
fn all_applied(status: &serde_json::Value, folder: &str) {
    let migrations = status["migrations"].as_array().expect("there is a list of migrations");
    assert!(migrations.len() >= 12, "{folder} has {} migrations", migrations.len());
    let applied = migrations.iter().filter(|migration| migration["state"] == "applied").count();
    assert_eq!(applied, migrations.len(), "{status:#}");
}

#[test]
fn the_demo_goes_up_down_and_up_on_sqlite() {
    let (database, untouched) = (Sqlite::fresh(), Sqlite::fresh());
    goes_up_down_and_up(&database, &database.url(), (&untouched, &untouched.url()), "sqlite");
}

#[test]
fn the_demo_goes_up_down_and_up_on_postgres_with_verified_tls() {
    let (database, untouched) = (Postgres::fresh(), Postgres::fresh());
    goes_up_down_and_up(&database, &database.url_tls(), (&untouched, &untouched.url_tls()), "supabase");
}

#[test]
fn the_demo_goes_up_down_and_up_on_postgres_through_a_transaction_pooler() {
    let (database, untouched) = (Postgres::fresh(), Postgres::fresh());
    let url = |database: &Postgres| database.pooler_url(Pool::Transaction);
    goes_up_down_and_up(&database, &url(&database), (&untouched, &url(&untouched)), "supabase");
}

#[rstest]
fn the_demo_goes_up_down_and_up_on_mysql_with_verified_tls(#[values(MariaDb, MySql)] server: Product) {
    let (database, untouched) = (server.fresh(), server.fresh());
    goes_up_down_and_up(&database, &database.url_tls(), (&untouched, &untouched.url_tls()), "mysql");
}

#[test]
fn the_demo_goes_up_down_and_up_on_clickhouse_with_verified_tls() {
    let database = ClickHouse::fresh();
    let project = demo("clickhouse");
    let run = |command: &[&str]| {
        let url = database.url_tls();
        let arguments = command.iter().copied().chain(["clickhouse", "--url", &url]);
        project.run(arguments).exits(0)
    };
    let schema = || {
        database.lines(
            "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name NOT LIKE 'whimbrel%' \
             ORDER BY name",
        )
    };
    let _ = run(&["up"]);
    let after_up = schema();
    assert_eq!(after_up.len(), 3, "{after_up:?}");
    let counts = "SELECT species, day, sum(individuals) FROM daily_counts GROUP BY ALL ORDER BY ALL";
    let counted =
        ["curlew|2025-09-02|3", "curlew|2025-09-03|3", "whimbrel|2025-09-01|14", "whimbrel|2025-09-02|14"];
    assert_eq!(database.lines(counts), counted);
    let _ = run(&["down", "--to", "0"]);
    assert_eq!(schema(), [""; 0]);
    let _ = run(&["up"]);
    assert_eq!(schema(), after_up);
    let _ = run(&["verify"]);
}
