//! What the author of an adapter begins with: `whimbrel adapters new`, the crate that it makes, and the guide.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{env, fs};

use insta::assert_snapshot;
use whimbrel_tests::page::{Page, workspace};
use whimbrel_tests::{Project, built_file};

/// The crate of the adapter `demo`, as it is made on the way through the guide.
const CRATE: &str = "demo";

/// An author who goes through the guide: a shell in a project.
struct Author {
    project: Project,
    target: PathBuf,
}

impl Author {
    fn new() -> Self {
        // Beside the program it would be found as an adapter by every other test.
        let built = built_file("whimbrel");
        let target = built.ancestors().nth(2).expect("cargo's target directory").join("author");
        Author { project: Project::new(), target }
    }

    /// Runs a command of a shell, and returns what it prints.
    fn types(&self, command: &str) -> String {
        let (_, printed) = self.shell(command);
        if self.project.path(CRATE).exists() && !self.project.path("demo/target").exists() {
            self.settle();
        }
        printed
    }

    /// Runs a command that has to end well, and returns what it prints.
    fn succeeds(&self, command: &str) -> String {
        let (status, printed) = self.shell(command);
        assert!(status.success(), "{command}: {status}\n{printed}");
        printed
    }

    /// Has no deadline, as a run of the program has: to build a crate takes as long as it takes.
    fn shell(&self, command: &str) -> (ExitStatus, String) {
        let folder = |program: &Path| program.parent().expect("a program lies in a folder").to_owned();
        let mut path = vec![folder(&built_file("whimbrel")), folder(Path::new(env!("CARGO")))];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
        let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or(home).unwrap_or_default();
        // In the order in which it is printed.
        let script = format!("exec 2>&1\n{command}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(self.project.path("")).env_clear();
        shell.env("PATH", env::join_paths(path).expect("no folder has a colon"));
        shell.env("HOME", self.project.path("home")).env("LANG", "C.UTF-8");
        shell.env("CARGO_HOME", cargo_home).env("CARGO_NET_OFFLINE", "true");
        // Nobody waits for what the library does.
        shell.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
        let output = shell.output().expect("there is a shell");
        (output.status, String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Has the new crate built with the dependencies that ours are locked to, where they have been built before: no network
    /// is needed. Removes what earlier runs of the test have built of it.
    fn settle(&self) {
        let lock = fs::copy(workspace().join("Cargo.lock"), self.project.path("demo/Cargo.lock"));
        lock.expect("the lock file is there");
        fs::create_dir_all(&self.target).expect("the target directory can be written to");
        symlink(&self.target, self.project.path("demo/target")).expect("the crate has no target directory");
        self.succeeds("cd demo && cargo clean --quiet --package whimbrel-adapter-demo");
    }
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
fn guide_leads_from_a_new_adapter_to_a_shipped_one() {
    let author = Author::new();
    let guide = Page::named("docs/writing-an-adapter.md");
    guide.assert_sessions(|command| author.types(command));

    // The guide leaves the crate as it was made.
    author.succeeds("cd demo && cargo fmt --check");
    author.succeeds("cd demo && cargo clippy --quiet --all-targets -- -D warnings");

    // Linked in, the adapter answers as it does when it is loaded.
    let library = "plugins/libwhimbrel_adapter_demo.so";
    for (part, option, last) in
        [("", "", "demo: 42 passed, 32 refused"), (" -- smoke", " --smoke", "demo: 30 passed, 12 refused")]
    {
        let linked = author.succeeds(&format!("cd demo && cargo test --quiet --test conformance{part}"));
        let loaded = author.succeeds(&format!("whimbrel adapters test {library} --url demo:check{option}"));
        assert_eq!(table(&linked), table(&loaded));
        assert_eq!(last_line(&linked), last);
        assert_goes_through(&guide, &table(&loaded));
    }

    // Its databases end with their process, so each run begins with nothing.
    let project = &author.project;
    project.write("migrations/demo/003_sites.sql", "CREATE TABLE sites (id BIGINT);\nSELEC 1;\n");
    assert_snapshot!(project.run(["up", "demo"]).redacted(), @r"
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

/// Returns the lines of the checks.
fn table(answer: &str) -> Vec<&str> {
    let is_check = |line: &&str| line.starts_with("passed ") || line.starts_with("refused ");
    answer.lines().filter(is_check).collect()
}

/// Fails unless the guide has a word on each group of checks, in the order in which they are run.
fn assert_goes_through(guide: &Page, checks: &[&str]) {
    let mut groups: Vec<&str> = checks.iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
    groups.dedup();
    let place = |group: &&str| guide.text().find(&format!("**{group}**"));
    let places: Vec<Option<usize>> = groups.iter().map(place).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{groups:?} are at {places:?}");
}

/// Returns the last line that is not empty.
fn last_line(text: &str) -> &str {
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default()
}
