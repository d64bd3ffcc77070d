//! How often SQLite waits for the disk, which is what its migrations take most of their time for.

use std::process::Command;

use whimbrel_tests::{Database, Project, Sqlite, built_file, count_syncs};

const COUNT: usize = 12;

/// Returns how often `up` waits for the disk with these words, and leaves everything applied.
fn syncs(words: &[&str]) -> [usize; 2] {
    let database = Sqlite::fresh();
    let project = (1..=COUNT).fold(Project::new(), |project, number| {
        let script = format!(
            "CREATE TABLE birds_{number} (id integer PRIMARY KEY, name text);\n\
             INSERT INTO birds_{number} VALUES (1, 'curlew');\n"
        );
        project.file(&format!("migrations/sqlite/{number:03}_birds.sql"), script)
    });
    let mut up = Command::new(built_file("whimbrel"));
    up.current_dir(project.path("")).args(["up", "sqlite", "--url", &database.url()]).args(words);
    let pending = count_syncs(&up);
    assert_eq!(
        database.lines("SELECT count(*) FROM whimbrel_migrations WHERE state = 'applied'"),
        [COUNT.to_string()]
    );
    [pending, count_syncs(&up)]
}

#[test]
fn a_migration_waits_four_times_for_the_disk_and_nothing_pending_never() {
    let [pending, nothing] = syncs(&[]);
    // The history is made in a transaction of its own.
    assert!((4..=4 * (COUNT + 1)).contains(&pending), "{pending}");
    assert_eq!(nothing, 0);
}

#[test]
fn one_transaction_waits_eight_times_for_any_number() {
    let [pending, nothing] = syncs(&["--single-transaction"]);
    assert!((3..=8).contains(&pending), "{pending}");
    assert_eq!(nothing, 0);
}
