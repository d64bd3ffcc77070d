//! What a person at a terminal sees, through the pseudo-terminal of `script`, which every Debian has.

use std::fmt::Write;

use whimbrel_tests::{Outcome, Project, built_file};

/// Returns a project with one long migration and one that fails.
fn project() -> Project {
    let mut long = String::from("CREATE TABLE numbers (number INTEGER);\n");
    for number in 0..20_000 {
        writeln!(long, "INSERT INTO numbers VALUES ({number});").expect("a string takes everything");
    }
    Project::new()
        .file("migrations/sqlite/001_long.sql", long)
        .file("migrations/sqlite/002_wrong.sql", "CREATE TABEL x (a);\n")
}

fn at_a_terminal(project: &Project, options: &str) -> Outcome {
    let command = format!("{} up sqlite --url sqlite:birds.db {options}", built_file("whimbrel").display());
    let script = ["--quiet", "--return", "--command", &command, "/dev/null"];
    project.program("script", script).env("TERM", "xterm").run().exits(1)
}

const RED: &str = "\u{1b}[31m";

#[test]
fn a_terminal_gets_a_progress_bar_and_colours() {
    let seen = at_a_terminal(&project(), "").stdout;
    assert!(seen.contains("/20001 statements"), "no bar: {seen:?}");
    assert!(seen.contains(RED), "no colour: {seen:?}");
}

#[test]
fn colours_can_be_switched_off() {
    let by_option = at_a_terminal(&project(), "--no-color --quiet").stdout;
    let by_variable = at_a_terminal(&project().env("NO_COLOR", "1"), "--quiet").stdout;
    for seen in [by_option, by_variable] {
        assert!(seen.contains("error[statement]") && !seen.contains('\u{1b}'), "{seen:?}");
    }
}

#[test]
fn quiet_takes_the_bar_away() {
    let seen = at_a_terminal(&project(), "--quiet").stdout;
    assert!(!seen.contains(" statements"), "{seen:?}");
}
