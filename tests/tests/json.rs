//! What programs read: the documents and events, key by key.

use serde_json::{Value, json};
use whimbrel_tests::birds::{database, project};
use whimbrel_tests::{Database, Outcome, Project, Sqlite, built_file};

/// Returns a document with what differs from run to run replaced.
fn document(outcome: &Outcome) -> Value {
    steady(outcome.json())
}

/// Returns the events of `--format jsonl`.
fn events(outcome: &Outcome) -> Vec<Value> {
    let parse = |line: &str| steady(serde_json::from_str(line).expect("every line is a document"));
    outcome.stdout.lines().map(parse).collect()
}

/// Replaces times, durations and checksums wherever they are, so that the rest can be compared as a whole.
fn steady(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(steady).collect(),
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, value)| {
                    let value = match (key.as_str(), value) {
                        ("duration_ms", Value::Number(_)) => json!(0),
                        ("applied_at" | "started_at" | "finished_at", Value::String(_)) => json!("TIME"),
                        ("checksum", Value::String(checksum)) => json!(checksum[..3]),
                        ("applied_by", Value::String(_)) => json!("RUNNER"),
                        (_, value) => steady(value),
                    };
                    (key, value)
                })
                .collect(),
        ),
        other => other,
    }
}

fn up_to_two(project: &Project) {
    let _ = project.run(["up", "--steps", "2"]).exits(0);
}

#[test]
fn up_and_down_name_what_was_settled() {
    let project = project();
    let outcome = project.run(["up", "--steps", "1", "--format", "json"]).exits(0);
    assert_eq!(
        document(&outcome),
        json!({
            "database": "sqlite",
            "adapter": "sqlite",
            "applied": [{"id": "001_species", "duration_ms": 0}],
            "reverted": [],
            "failed": null,
            "errors": [],
            "state": "everything that was asked for is done",
        })
    );
    assert_eq!(outcome.stderr, "");
    let outcome = project.run(["down", "--format", "json"]).exits(0);
    assert_eq!(document(&outcome)["reverted"], json!([{"id": "001_species", "duration_ms": 0}]));
    assert_eq!(document(&outcome)["applied"], json!([]));
}

#[test]
fn a_failed_up_is_a_document_with_the_error_in_it() {
    let project = project().file("migrations/sqlite/002_sites.sql", "CREATE TABEL sites (name TEXT);\n");
    let outcome = project.run(["up", "--format", "json"]).exits(1);
    let error = json!({
        "name": "statement",
        "message": "near \"TABEL\": syntax error",
        "file": "migrations/sqlite/002_sites.sql",
        "line": 1,
        "column": 8,
        "sqlstate": null,
        "state": "`002_sites` was rolled back; `001_species` was applied in this run and stays",
        "hint": "fix the file and run `whimbrel up sqlite` again",
        "cause": null,
        "facts": [],
    });
    assert_eq!(
        document(&outcome),
        json!({
            "database": "sqlite",
            "adapter": "sqlite",
            "applied": [{"id": "001_species", "duration_ms": 0}],
            "reverted": [],
            "failed": {"id": "002_sites", "error": error},
            "errors": [error],
            "state": "`002_sites` was rolled back; `001_species` was applied in this run and stays",
        })
    );
}

#[test]
fn a_command_that_cannot_be_done_is_a_document_too() {
    let project = project();
    let error = json!({
        "name": "migration-unknown",
        "message": "there is no migration `9`",
        "file": null,
        "line": null,
        "column": null,
        "sqlstate": null,
        "state": null,
        "hint": "the folder holds `001_species` to `003_counts`",
        "cause": null,
        "facts": [],
    });
    let outcome = project.run(["baseline", "9", "--format", "json"]).exits(2);
    assert_eq!(
        document(&outcome),
        json!({"database": "sqlite", "adapter": "sqlite", "error": error, "errors": [error]})
    );
    // A run that did nothing has the same keys as one that did.
    let outcome = project.run(["up", "--to", "9", "--format", "json"]).exits(2);
    assert_eq!(
        document(&outcome),
        json!({
            "database": "sqlite",
            "adapter": "sqlite",
            "applied": [],
            "reverted": [],
            "failed": {"id": null, "error": error},
            "errors": [error],
            "state": null,
        })
    );
}

#[test]
fn a_mistake_on_the_command_line_is_the_document_of_its_command() {
    let project = project();
    let error = |message: &str, hint: &str| {
        json!({
            "name": "usage",
            "message": message,
            "file": null,
            "line": null,
            "column": null,
            "sqlstate": null,
            "state": null,
            "hint": hint,
            "cause": null,
            "facts": [],
        })
    };
    let unknown = error("unknown option `--stesp`", "did you mean `--steps`?");
    let report = json!({
        "database": null,
        "adapter": null,
        "applied": [],
        "reverted": [],
        "failed": {"id": null, "error": unknown},
        "errors": [unknown],
        "state": null,
    });
    for arguments in [
        &["up", "--stesp", "1", "--format", "json"][..],
        &["--format=json", "--config", "plan", "migrate", "--stesp", "1"],
    ] {
        assert_eq!(project.run(arguments).exits(2).json(), report, "{arguments:?}");
    }
    let unknown = error("unknown option `--frobnicate`", "`whimbrel status --help` shows what it takes");
    let outcome = project.run(["--format", "jsonl", "status", "--frobnicate"]).exits(2);
    assert_eq!(
        events(&outcome),
        [json!({"event": "error", "database": null, "adapter": null, "error": unknown, "errors": [unknown]})]
    );
}

#[test]
fn events_come_one_by_one() {
    let project = project();
    let outcome = project.run(["up", "--steps", "2", "--format", "jsonl"]).exits(0);
    assert_eq!(
        events(&outcome),
        [
            json!({"event": "applied", "id": "001_species", "duration_ms": 0}),
            json!({"event": "applied", "id": "002_sites", "duration_ms": 0}),
            json!({
                "event": "report",
                "database": "sqlite",
                "adapter": "sqlite",
                "applied": [
                    {"id": "001_species", "duration_ms": 0},
                    {"id": "002_sites", "duration_ms": 0},
                ],
                "reverted": [],
                "failed": null,
                "errors": [],
                "state": "everything that was asked for is done",
            }),
        ]
    );
    let outcome = project.run(["down", "--format", "jsonl"]).exits(0);
    assert_eq!(events(&outcome)[0], json!({"event": "reverted", "id": "002_sites", "duration_ms": 0}));
}

#[test]
fn status_counts_every_state() {
    let project = project();
    up_to_two(&project);
    let outcome = project.run(["status", "--format", "json"]).exits(0);
    assert_eq!(
        document(&outcome),
        json!({
            "database": "sqlite",
            "adapter": "sqlite",
            "url": "sqlite:birds.db",
            "migrations": [
                {"id": "001_species", "state": "applied", "applied_at": "TIME", "duration_ms": 0},
                {"id": "002_sites", "state": "applied", "applied_at": "TIME", "duration_ms": 0},
                {"id": "003_counts", "state": "pending", "applied_at": null, "duration_ms": null},
            ],
            "counts": {"pending": 1, "applied": 2, "started": 0, "changed": 0, "missing": 0, "skipped": 0},
        })
    );
}

#[test]
fn plan_holds_the_sql() {
    let project = project();
    up_to_two(&project);
    let outcome = project.run(["plan", "--format", "json"]).exits(0);
    assert_eq!(
        document(&outcome),
        json!({
            "database": "sqlite",
            "adapter": "sqlite",
            "migrations": [{
                "id": "003_counts",
                "direction": "up",
                "transaction": true,
                "statements": 1,
                "statements_done": 0,
                "checksum": "v1:",
                "file": "migrations/sqlite/003_counts/up.sql",
                "remarks": [],
                "sql": "CREATE TABLE counts (seen INTEGER);\n",
            }],
        })
    );
    let outcome = project.run(["plan", "--out", "plan.json", "--format", "json"]).exits(0);
    assert_eq!(
        document(&outcome),
        json!({"database": "sqlite", "out": "plan.json", "migrations": ["003_counts"]})
    );
    let written: Value = serde_json::from_str(&project.read("plan.json")).expect("a document");
    assert_eq!(
        steady(written),
        json!({"whimbrel_plan": 1, "migrations": [{"id": "003_counts", "checksum": "v1:"}]})
    );
}

#[test]
fn history_holds_every_attempt() {
    let project = project();
    let _ = project.run(["up", "--steps", "1"]).exits(0);
    let outcome = project.run(["history", "--format", "json"]).exits(0);
    assert_eq!(
        document(&outcome),
        json!({
            "database": "sqlite",
            "adapter": "sqlite",
            "history": [{
                "position": 1,
                "previous": null,
                "migration": "001_species",
                "attempt": 1,
                "direction": "up",
                "state": "applied",
                "checksum": "v1:",
                "statements_done": 1,
                "statements_total": 1,
                "started_at": "TIME",
                "finished_at": "TIME",
                "lease_ms": null,
                "duration_ms": 0,
                "applied_by": "RUNNER",
            }],
        })
    );
}

#[test]
fn the_other_commands_answer_with_documents() {
    let project = project();
    let about = |mut extra: Value| {
        let fields = extra.as_object_mut().expect("an object");
        fields.insert("database".to_owned(), json!("sqlite"));
        fields.insert("adapter".to_owned(), json!("sqlite"));
        extra
    };
    for (arguments, expected) in [
        (&["baseline", "001"][..], about(json!({"baseline": ["001_species"]}))),
        (&["repair", "002", "--applied"], about(json!({"id": "002_sites", "recorded": "applied"}))),
        (&["repair", "002", "--reverted"], about(json!({"id": "002_sites", "recorded": "reverted"}))),
        (&["verify"], about(json!({"ok": true, "errors": []}))),
        (
            &["new", "more"],
            json!({"created": [
                "migrations/sqlite/004_more/up.sql",
                "migrations/sqlite/004_more/down.sql",
                "migrations/sqlite/004_more/metadata.toml",
            ]}),
        ),
    ] {
        let arguments = arguments.iter().copied().chain(["--format", "json"]);
        assert_eq!(document(&project.run(arguments).exits(0)), expected);
    }
    assert_eq!(database(&project).lines("SELECT count(*) FROM whimbrel_migrations"), ["3"]);
}

#[test]
fn adapters_are_listed_as_a_document() {
    let project = project();
    let listed = document(&project.run(["adapters", "list", "--format", "json"]).exits(0));
    let adapters = listed["adapters"].as_array().expect("a list");
    let sqlite = adapters.iter().find(|adapter| adapter["name"] == "sqlite");
    let listed = sqlite.expect("it lies beside the binary").clone();
    let file = listed["file"].as_str().expect("a path").to_owned();
    assert!(file.ends_with("libwhimbrel_adapter_sqlite.so"), "{file}");
    let inspected = document(&project.run(["adapters", "inspect", &file, "--format", "json"]).exits(0));
    assert_eq!(inspected, listed);
    assert_eq!(
        listed,
        json!({
            "name": "sqlite",
            "version": "0.1.0",
            "aliases": ["sqlite3"],
            "schemes": ["sqlite", "sqlite3", "file"],
            "capabilities": ["transactions", "transactional-ddl", "savepoints", "cancel", "liveness"],
            "fence": "unique-key",
            "abi": "1",
            "api": "1.0.0",
            "min_host": "1.0.0",
            "target": whimbrel_adapter_api::note::TARGET,
            "file": file,
            "verdict": "usable",
        })
    );
}

#[test]
fn a_tested_adapter_is_a_document_with_every_check() {
    let project = project();
    let library = built_file("libwhimbrel_adapter_sqlite.so");
    let library = library.to_str().expect("a path of cargo's");
    let arguments = ["adapters", "test", library, "--url", "sqlite:check.db", "--format", "json"];
    let tested = document(&project.run(arguments).exits(0));
    let checks = tested["checks"].as_array().expect("a list");
    let counts = &tested["counts"];
    assert_eq!((&tested["adapter"], &tested["url"]), (&json!("sqlite"), &json!("sqlite:check.db")));
    assert_eq!((&counts["failed"], &counts["not_run"]), (&json!(0), &json!(0)));
    let told = counts["passed"].as_u64().zip(counts["refused"].as_u64());
    assert_eq!(told.map(|(passed, refused)| passed + refused), Some(checks.len() as u64));
    assert_eq!(
        checks[0],
        json!({
            "about": "identity",
            "name": "it says who it is, and says the same again",
            "verdict": "passed",
            "why": null,
        })
    );
    // What it created is gone.
    assert_eq!(Sqlite::at(project.path("check.db")).lines("SELECT count(*) FROM sqlite_schema"), ["0"]);
}
