//! A file may be larger than memory: what a run needs does not grow with it.

use rstest::rstest;
use whimbrel_tests::{Engine, Project};

/// Returns a project with a table and a file of so many rows of 4 KB each.
fn rows(folder: &str, count: usize) -> Project {
    let row = format!("INSERT INTO notes VALUES ('{}');\n", "x".repeat(4000));
    let table = "CREATE TABLE notes (text text);\n";
    Project::new()
        .file(&format!("migrations/{folder}/001_notes.sql"), table)
        .file(&format!("migrations/{folder}/002_rows.sql"), row.repeat(count))
}

#[rstest]
fn a_file_of_32_mb_needs_no_more_memory_than_one_of_2_mb(
    #[values(Engine::Sqlite, Engine::Postgres, Engine::MariaDb, Engine::MySql)] engine: Engine,
) {
    let [small, large] = [500, 8000].map(|count| {
        let (database, folder) = (engine.fresh_database(), engine.adapter());
        let project = rows(folder, count);
        let mut run = project.spawn(["up", folder, "--url", &database.url()]);
        let peak = run.peak_memory();
        let _ = run.wait().exits(0);
        assert_eq!(database.lines("SELECT count(*) FROM notes"), [count.to_string()]);
        peak
    });
    assert!(small > 1024, "{engine:?}: {small} KiB, which no process is");
    assert!(large <= small + 2 * 1024, "{engine:?}: {small} KiB, then {large} KiB");
}
