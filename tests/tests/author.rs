//! What the author of an adapter begins with: `whimbrel adapters new`, and the crate that it makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use insta::assert_snapshot;
use whimbrel_tests::{Project, built_file};

/// A crate that `adapters new` made, with cargo's own answers to it.
struct Made {
    project: Project,
    target: PathBuf,
}

impl Made {
    /// Makes the crate of the adapter `demo`, with the dependencies that ours are locked to: no network is needed.
    fn demo() -> Self {
        let project = Project::new();
        let _ = project.run(["adapters", "new", "demo"]).exits(0);
        let workspace =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("`tests` lies in the workspace");
        fs::copy(workspace.join("Cargo.lock"), project.path("demo/Cargo.lock"))
            .expect("the lock file is there");
        // Beside the program it would be found as an adapter by every other test.
        let target =
            built_file("whimbrel").ancestors().nth(2).expect("cargo's target directory").join("author");
        Made { project, target }
    }

    fn cargo(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments).current_dir(self.project.path("demo"));
        command.env("CARGO_TARGET_DIR", &self.target).env("CARGO_NET_OFFLINE", "true");
        command.output().expect("cargo runs")
    }

    /// Returns what cargo prints, if it ends well.
    fn cargo_succeeds(&self, arguments: &[&str]) -> String {
        let output = self.cargo(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "cargo {}:\n{stdout}{stderr}", arguments.join(" "));
        stdout
    }
}

/// Returns the last line that is not empty.
fn last_line(text: &str) -> &str {
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default()
}

#[test]
fn new_says_what_it_made_and_what_comes_next() {
    assert_snapshot!(Project::new().run(["adapters", "new", "my-db"]).redacted(), @r"
    exit: 0
    --- stdout
    created  my-db/Cargo.toml
    created  my-db/README.md
    created  my-db/.gitignore
    created  my-db/rustfmt.toml
    created  my-db/.github/workflows/ci.yml
    created  my-db/src/lib.rs
    created  my-db/src/connection.rs
    created  my-db/src/dialect.rs
    created  my-db/src/error.rs
    created  my-db/src/engine.rs
    created  my-db/src/engine/sql.rs
    created  my-db/src/engine/words.rs
    created  my-db/tests/conformance.rs
    it works as it is, over a toy engine in memory; my-db/README.md says how yours takes its place
    next:
      cargo test --manifest-path my-db/Cargo.toml
      cargo build --release --manifest-path my-db/Cargo.toml
      whimbrel adapters test my-db/target/release/libwhimbrel_adapter_my_db.so --url my-db:check
      cp my-db/target/release/libwhimbrel_adapter_my_db.so [BUILT]/
    --- stderr
    ");
    let project = Project::new().plugins_toml("plugins = [\"plugins\"]\n");
    let made = project.run(["adapters", "new", "demo", "--format", "json"]).exits(0);
    assert_snapshot!(made.redacted(), @r#"
    exit: 0
    --- stdout
    {
      "adapter": "demo",
      "folder": "demo",
      "created": [
        "demo/Cargo.toml",
        "demo/README.md",
        "demo/.gitignore",
        "demo/rustfmt.toml",
        "demo/.github/workflows/ci.yml",
        "demo/src/lib.rs",
        "demo/src/connection.rs",
        "demo/src/dialect.rs",
        "demo/src/error.rs",
        "demo/src/engine.rs",
        "demo/src/engine/sql.rs",
        "demo/src/engine/words.rs",
        "demo/tests/conformance.rs"
      ],
      "library": "demo/target/release/libwhimbrel_adapter_demo.so",
      "next": [
        "cargo test --manifest-path demo/Cargo.toml",
        "cargo build --release --manifest-path demo/Cargo.toml",
        "whimbrel adapters test demo/target/release/libwhimbrel_adapter_demo.so --url demo:check",
        "mkdir -p plugins && cp demo/target/release/libwhimbrel_adapter_demo.so plugins/"
      ]
    }
    --- stderr
    "#);
    let names: Vec<String> = fs::read_dir(project.path(""))
        .expect("the project is a folder")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "plugins.toml")
        .collect();
    assert_eq!(names, ["demo"], "nothing else is left there");
}

#[test]
fn new_refuses_before_it_writes_anything() {
    let project = Project::new().file("mine/notes.txt", "kept");
    fs::create_dir(project.path("empty")).expect("the project can be written to");
    let before = entries(&project);
    let said: Vec<String> = ["mine", "empty", "My_Db", "../db", "sqlite", "supabase", "mariadb"]
        .map(|name| project.run(["adapters", "new", name]).exits(2).redacted())
        .into();
    assert_snapshot!(said.join("\n"), @r"
    exit: 2
    --- stdout
    --- stderr
    error[usage]: `mine` is there already
    state: nothing was written
    hint: choose another name, or move it out of the way

    exit: 2
    --- stdout
    --- stderr
    error[usage]: `empty` is there already
    state: nothing was written
    hint: choose another name, or move it out of the way

    exit: 2
    --- stdout
    --- stderr
    error[usage]: `My_Db` is no name for an adapter
    state: nothing was written
    hint: write a lower-case letter, then letters, digits and single hyphens, at most 30 in all

    exit: 2
    --- stdout
    --- stderr
    error[usage]: `../db` is no name for an adapter
    state: nothing was written
    hint: write a lower-case letter, then letters, digits and single hyphens, at most 30 in all

    exit: 2
    --- stdout
    --- stderr
    error[usage]: the adapter `sqlite` serves `sqlite`
      --> [BUILT]/libwhimbrel_adapter_sqlite.so
    state: nothing was written
    hint: choose another name

    exit: 2
    --- stdout
    --- stderr
    error[usage]: the adapter `postgres` serves `supabase`
      --> [BUILT]/libwhimbrel_adapter_postgres.so
    state: nothing was written
    hint: choose another name

    exit: 2
    --- stdout
    --- stderr
    error[usage]: the adapter `mysql` serves `mariadb`
      --> [BUILT]/libwhimbrel_adapter_mysql.so
    state: nothing was written
    hint: choose another name
    ");
    assert_eq!(entries(&project), before);
}

fn entries(project: &Project) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = ["", "mine", "empty"]
        .iter()
        .flat_map(|folder| fs::read_dir(project.path(folder)).expect("it is a folder"))
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    paths.sort();
    paths
}

/// The lines that hold a name are of no length at which they would be broken, or put together.
#[test]
fn what_new_makes_is_formatted_whatever_its_name() {
    for name in ["d", "my-db", "the-longest-name-of-an-adapter"] {
        let project = Project::new();
        let _ = project.run(["adapters", "new", name]).exits(0);
        let mut command = Command::new(env!("CARGO"));
        let output = command.args(["fmt", "--check"]).current_dir(project.path(name)).output();
        let output = output.expect("cargo runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// One test for all of it: what takes long is to build the crate.
#[test]
fn what_new_makes_is_an_adapter_as_it_is() {
    let made = Made::demo();
    let Made { project, target } = &made;
    made.cargo_succeeds(&["fmt", "--check"]);
    made.cargo_succeeds(&["build", "--quiet"]);
    made.cargo_succeeds(&["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"]);

    // Linked in.
    let table = made.cargo_succeeds(&["test", "--quiet", "--test", "conformance"]);
    let smoke = made.cargo_succeeds(&["test", "--quiet", "--test", "conformance", "--", "smoke"]);

    // Loaded.
    fs::create_dir(project.path("plugins")).expect("the project can be written to");
    let library = "plugins/libwhimbrel_adapter_demo.so";
    fs::copy(target.join("debug/libwhimbrel_adapter_demo.so"), project.path(library)).expect("it was built");
    project.write(
        "plugins.toml",
        "default = \"demo\"\nplugins = [\"plugins\"]\n\n[databases.demo]\nurl = \"demo:birds\"\n",
    );
    let listed = project.run(["adapters", "list"]).exits(0);
    let listed: Vec<&str> = listed.stdout.lines().filter(|line| line.contains("demo")).collect();
    assert_snapshot!(listed.join("\n"), @r"
    demo 0.1.0
      file        plugins/libwhimbrel_adapter_demo.so
      urls        demo
    ");
    let whole = project.run(["adapters", "test", library, "--url", "demo:check"]).exits(0);
    assert_eq!(whole.stdout.trim(), table.trim());
    assert_snapshot!(last_line(&whole.stdout), @"demo: 42 passed, 32 refused");
    let part = project.run(["adapters", "test", library, "--url", "demo:check", "--smoke"]).exits(0);
    assert_snapshot!(last_line(&part.stdout), @"demo: 30 passed, 12 refused; 32 other checks were left out");
    assert_snapshot!(last_line(&smoke), @"demo: 30 passed, 12 refused");

    // Used. Its databases end with their process, so each run begins with nothing.
    project.write(
        "migrations/demo/001_birds.sql",
        "CREATE TABLE birds (id BIGINT PRIMARY KEY, name VARCHAR(64));\nINSERT INTO birds VALUES (1, 'wren');\n",
    );
    project.write(
        "migrations/demo/002_calls.sql",
        "-- The second sees what the first has done.\nUPDATE birds SET name = 'kite' WHERE id = 1;\n",
    );
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 0
    --- stdout
    applied  001_birds  [N] ms
    applied  002_calls  [N] ms
    2 migrations applied to demo, now at 002_calls
    --- stderr
    ");
    project.write("migrations/demo/003_sites.sql", "CREATE TABLE sites (id BIGINT);\nSELEC 1;\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 5
    --- stdout
    applied  001_birds  [N] ms
    applied  002_calls  [N] ms
    --- stderr
    error[partly-applied]: `003_sites` stopped after 1 of 2 statements, and they cannot be undone
      --> migrations/demo/003_sites.sql:2:1
      2 | SELEC 1;
        | ^
      caused by: no statement begins with this
    state: statement 1 of `003_sites` is in the database; nothing else runs until it is settled; `001_birds` and `002_calls` were applied in this run and stay
    hint: fix statement 2 and run `whimbrel up demo` again, which goes on there; or settle it by hand and say so: `whimbrel repair demo 003_sites --applied` or `--reverted`
    ");
}
