//! Libraries that are loaded at run time: a stranger's that just works, and those that cannot work.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;
use whimbrel_tests::{Database, Outcome, Project, Sqlite, built_file, probe_library};

fn probe() -> Vec<u8> {
    fs::read(probe_library()).expect("it was built")
}

/// Returns a project with a folder called `probe` and this library in its plugin directory.
fn with_library(library: impl AsRef<[u8]>) -> Project {
    without_library().file("plugins/libwhimbrel_adapter_probe.so", library)
}

fn without_library() -> Project {
    Project::new()
        .plugins_toml("plugins = [\"plugins\"]\n\n[databases.probe]\nurl = \"probe:birds.db\"\n")
        .file("migrations/probe/001_species.up.sql", "CREATE TABLE species (id);\n")
        .file("migrations/probe/001_species.down.sql", "DROP TABLE species;\n")
        .file("migrations/probe/002_sites.sql", "CREATE TABLE sites (id);\n")
}

/// Returns the library with the only occurrence of some bytes replaced.
fn patched(from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut library = probe();
    let places: Vec<usize> = library
        .windows(from.len())
        .enumerate()
        .filter_map(|(at, bytes)| (bytes == from).then_some(at))
        .collect();
    let [at] = places.as_slice() else { panic!("found at {places:?}") };
    library[*at..at + to.len()].copy_from_slice(to);
    library
}

/// Returns the outcome without what differs from machine to machine: sizes, the architecture, and where else libraries
/// are searched for.
fn shown(outcome: &Outcome) -> String {
    let lib = probe_library().ancestors().nth(3).expect("cargo's target directory").join("lib");
    outcome.redacted_with(&[
        (r"(src/\w+\.rs):\d+", "$1:[LINE]"),
        (r"\d+ of at least \d+ bytes", "[N] of at least [N] bytes"),
        (&format!(r"\b{}\b", std::env::consts::ARCH), "[THIS]"),
        (&lib.to_string_lossy(), "[LIB]"),
        (r"(/usr/\S+|\[LIB\]\S+)      .*", "$1      [NOT THERE]"),
    ])
}

#[test]
fn a_strangers_library_serves_the_folder_of_its_name() {
    let project = with_library(probe());
    assert_snapshot!(shown(&project.run(["up", "probe", "-v"])), @r"
    exit: 0
    --- stdout
    applied  001_species  [N] ms
    applied  002_sites  [N] ms
    2 migrations applied to probe, now at 002_sites
    --- stderr
    adapter   probe 0.3.0: the folder has the name of the adapter `probe`
    library   plugins/libwhimbrel_adapter_probe.so
    url       probe:birds.db, from plugins.toml:4:7
    ");
    assert_snapshot!(shown(&project.run(["status", "probe"])), @r"
    exit: 0
    --- stdout
    applied  001_species  [TIME]  [N] ms
    applied  002_sites    [TIME]  [N] ms
    probe: 2 applied
    --- stderr
    ");
    assert_snapshot!(shown(&project.run(["down", "probe", "--to", "0", "--dry-run"])), @r"
    exit: 4
    --- stdout
    --- stderr
    error[irreversible]: nothing takes `002_sites` back
      --> migrations/probe/002_sites.sql
    state: nothing was run
    hint: write `002_sites.down.sql`, or a header `-- Rollback: <sql>`
    ");
    let database = Sqlite::at(project.path("birds.db"));
    assert_eq!(
        database.lines("SELECT position, migration, direction, state FROM whimbrel_migrations"),
        ["1|001_species|up|applied", "2|002_sites|up|applied"]
    );
    project.write("migrations/probe/002_sites.down.sql", "DROP TABLE sites;\n");
    let _ = project.run(["down", "probe"]).exits(0);
    let _ = project.run(["up", "probe", "--adapter", "sonde"]).exits(0);
}

#[test]
fn a_missing_library_is_said_with_every_place() {
    let outcome = without_library().run(["up", "probe"]);
    assert_snapshot!(shown(&outcome), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-not-found]: no adapter named `probe`
      looked in  plugins      no such folder
                 [BUILT]      `clickhouse`, `mysql`, `postgres`, `sqlite`
                 [LIB]/whimbrel      [NOT THERE]
                 /usr/local/lib/whimbrel      [NOT THERE]
                 /usr/lib/whimbrel      [NOT THERE]
      no adapter claims the scheme `probe` of the url from plugins.toml:4:7 either
    hint: `whimbrel adapters` lists the ones that were found
    ");
    let explicit = without_library().file(
        "plugins.toml",
        "[adapters.probe]\npath = \"libs/nowhere.so\"\n\n[databases.probe]\nurl = \"probe:birds.db\"\n",
    );
    assert_snapshot!(shown(&explicit.run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-not-loaded]: cannot load the adapter `probe`
      looked in  libs/nowhere.so      not there
    hint: correct `adapters.probe.path` in plugins.toml, or remove it to search the usual places
    ");
}

#[test]
fn a_truncated_library_is_refused() {
    let library = probe();
    let half = library.len() / 2;
    let outcome = with_library(&library[..half]).run(["up", "probe"]);
    assert_snapshot!(shown(&outcome), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-not-loaded]: cannot load the adapter `probe`
      looked in  plugins/libwhimbrel_adapter_probe.so      broken: truncated: [N] of at least [N] bytes
                 [BUILT]/libwhimbrel_adapter_probe.so      not there
                 [LIB]/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
                 /usr/local/lib/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
                 /usr/lib/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
    hint: build or install the adapter again
    ");
    assert_snapshot!(shown(&with_library(&library[..10]).run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-not-loaded]: cannot load the adapter `probe`
      looked in  plugins/libwhimbrel_adapter_probe.so      broken: truncated
                 [BUILT]/libwhimbrel_adapter_probe.so      not there
                 [LIB]/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
                 /usr/local/lib/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
                 /usr/lib/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
    hint: build or install the adapter again
    ");
}

#[test]
fn a_library_for_another_machine_is_refused() {
    let mut library = probe();
    // `e_machine` of the ELF header; 8 is MIPS, on which no test of ours runs.
    library[18..20].copy_from_slice(&8_u16.to_le_bytes());
    assert_snapshot!(shown(&with_library(library).run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-not-loaded]: cannot load the adapter `probe`
      looked in  plugins/libwhimbrel_adapter_probe.so      wrong architecture: machine 8, this is [THIS]
                 [BUILT]/libwhimbrel_adapter_probe.so      not there
                 [LIB]/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
                 /usr/local/lib/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
                 /usr/lib/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
    hint: set `adapters.probe.path` in plugins.toml to a library built for [THIS]
    ");
}

#[test]
fn a_library_of_another_abi_is_refused() {
    let library = patched(b"abi=1\napi=", b"abi=7\napi=");
    assert_snapshot!(shown(&with_library(library).run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[abi-mismatch]: the adapter `probe` 0.3.0 speaks ABI 7, this program speaks ABI 1
      --> plugins/libwhimbrel_adapter_probe.so
    hint: install the adapter and `whimbrel` in versions that were made for each other
    ");
}

/// Whoever can write there can run what they like with the rights of this program.
#[test]
fn a_library_that_anybody_can_change_is_refused() {
    let project = with_library(probe());
    let folder = project.path("plugins");
    let mode =
        |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("the folder is ours");
    mode(0o777);
    let shown = |outcome: &Outcome| shown(outcome).replace(&folder.display().to_string(), "[PLUGINS]");
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-not-loaded]: cannot load the adapter `probe`
      looked in  plugins/libwhimbrel_adapter_probe.so      not trusted: anybody can write to `[DIR]/plugins`
                 [BUILT]/libwhimbrel_adapter_probe.so      not there
                 [LIB]/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
                 /usr/local/lib/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
                 /usr/lib/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
    hint: take that right away with `chmod o-w [DIR]/plugins`
    ");
    assert_snapshot!(shown(&project.run(["adapters", "inspect", "plugins/libwhimbrel_adapter_probe.so"])), @r"
    exit: 9
    --- stdout
    probe 0.3.0
      file        plugins/libwhimbrel_adapter_probe.so
      also called sonde
      urls        probe
      can         transactions, transactional-ddl, savepoints, cancel, statement-limit
      fence       unique-key
      abi         1, by whimbrel-adapter-api 1.0.0
      target      [THIS]-linux-gnu
      but         not trusted: anybody can write to `[DIR]/plugins`
    --- stderr
    ");
    mode(0o755);
    let _ = project.run(["up", "probe"]).exits(0);
}

#[test]
fn a_library_that_is_not_the_locked_one_is_refused() {
    let project = with_library(probe());
    let locked = project.run(["adapters", "lock"]).exits(0);
    assert!(locked.stdout.lines().any(|line| line.starts_with("locked   probe 0.3.0 ")), "{}", locked.stdout);
    assert_snapshot!(project.read("plugins.lock").lines().take(3).collect::<Vec<_>>().join("\n"), @r"
    # Written by `whimbrel adapters lock`. With this file there, a database is given to an adapter only if its library is the
    # one that is named here; `whimbrel adapters test` tries any. Keep it under version control, and write it again after an
    # adapter was updated on purpose.
    ");
    let _ = project.run(["up", "probe"]).exits(0);
    let mut changed = probe();
    changed.push(0);
    project.write("plugins/libwhimbrel_adapter_probe.so", changed);
    let shown = |outcome: &Outcome| {
        let text = shown(outcome);
        regex::Regex::new("[0-9a-f]{64}").expect("a pattern").replace_all(&text, "[SHA-256]").into_owned()
    };
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-changed]: the library of the adapter `probe` is not the one that was locked
      --> plugins/libwhimbrel_adapter_probe.so
      locked  0.3.0  sha256 [SHA-256]
      found   0.3.0  sha256 [SHA-256]
    state: no database was touched
    hint: if it was changed on purpose, `whimbrel adapters lock` writes plugins.lock again
    ");
    let _ = project.run(["adapters", "lock"]).exits(0);
    let _ = project.run(["up", "probe"]).exits(0);
    project.write("plugins.lock", "");
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-changed]: the adapter `probe` is not among the locked ones
      --> plugins/libwhimbrel_adapter_probe.so
      plugins.lock has none of it for [THIS]-linux-gnu
    state: no database was touched
    hint: if it was changed on purpose, `whimbrel adapters lock` writes plugins.lock again
    ");
    project.write("plugins.lock", "[[adapter]]\nname = \"probe\"\n");
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 2
    --- stdout
    --- stderr
    error[config]: cannot read the locked adapters in `plugins.lock`
      caused by: missing field `version`
    hint: restore it; or delete it, and write it again with `whimbrel adapters lock`
    ");
}

#[test]
fn a_file_that_is_no_library_is_refused() {
    assert_snapshot!(shown(&with_library("not a library at all\n").run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-not-loaded]: cannot load the adapter `probe`
      looked in  plugins/libwhimbrel_adapter_probe.so      not an adapter: not an ELF library
                 [BUILT]/libwhimbrel_adapter_probe.so      not there
                 [LIB]/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
                 /usr/local/lib/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
                 /usr/lib/whimbrel/libwhimbrel_adapter_probe.so      [NOT THERE]
    hint: build or install the adapter again
    ");
}

#[test]
fn a_library_that_panics_when_it_is_loaded_is_survived() {
    let project = with_library(probe()).env("PROBE_PANICS_ON_LOAD", "1");
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-panicked]: the adapter `probe` panicked while it was loaded: at src/lib.rs:[LINE]: the probe was told to panic when it is loaded
      --> plugins/libwhimbrel_adapter_probe.so
    state: no database was touched
    hint: report this to the adapter's author
    ");
}

#[test]
fn an_adapter_that_panics_while_it_runs_a_migration_is_survived() {
    let project = with_library(probe());
    assert_snapshot!(shown(&project.run(["up", "probe", "--url", "probe:birds.db?panic=run"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-panicked]: the adapter panicked at src/connection.rs:[LINE]: the probe was told to panic in `run`
    state: no migration was run
    hint: report this to the adapter's author
    ");
    let _ = project.run(["up", "probe", "--steps", "1"]).exits(0);
    assert_snapshot!(shown(&project.run(["up", "probe", "--url", "probe:birds.db?panic=execute"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-panicked]: the adapter `probe` panicked while running `002_sites`
      --> migrations/probe/002_sites.sql
      on its way to the server
      caused by: the adapter panicked at src/connection.rs:[LINE]: the probe was told to panic in `execute`
    state: unknown for `002_sites`
    hint: run `whimbrel verify probe` before anything else, and report this to the adapter's author
    ");
    let _ = project.run(["up", "probe"]).exits(0);
}

#[test]
fn a_panic_anywhere_in_an_adapter_is_an_error() {
    let project = with_library(probe());
    for method in ["check_url", "connect", "dialect", "text", "read", "run", "execute"] {
        let url = format!("probe:birds.db?panic={method}");
        let outcome = project.run(["up", "probe", "--url", &url]).exits(9);
        assert!(outcome.stderr.starts_with("error[adapter-panicked]"), "{method}: {}", outcome.stderr);
        assert!(
            outcome.mentions(&format!("the probe was told to panic in `{method}`")),
            "{}",
            outcome.stderr
        );
        // What Rust itself would say.
        assert!(!outcome.mentions("thread '"), "{method}: {}", outcome.stderr);
    }
    assert_snapshot!(shown(&project.run(["up", "probe", "--url", "probe:birds.db?panic=connect"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-panicked]: the adapter panicked at src/lib.rs:[LINE]: the probe was told to panic in `connect`
    hint: the url comes from `--url` (command line)
    ");
    assert_snapshot!(shown(&project.run(["up", "probe", "--url", "probe:birds.db?panic=read"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-panicked]: the adapter panicked at src/connection.rs:[LINE]: the probe was told to panic in `read`
    state: nothing was run
    hint: report this to the adapter's author
    ");
}

/// What was done is done; the end of a session says nothing any more.
#[test]
fn a_panic_at_the_end_of_a_session_changes_nothing() {
    let project = with_library(probe());
    assert_snapshot!(shown(&project.run(["up", "probe", "--url", "probe:birds.db?panic=drop"])), @r"
    exit: 0
    --- stdout
    applied  001_species  [N] ms
    applied  002_sites  [N] ms
    2 migrations applied to probe, now at 002_sites
    --- stderr
    ");
}

#[test]
fn the_list_shows_what_is_used_and_what_is_hidden() {
    let project = Project::new()
        .plugins_toml("plugins = [\"plugins\"]\n")
        .file(
            "plugins/libsqlite-of-ours.so",
            fs::read(built_file("libwhimbrel_adapter_sqlite.so")).expect("it is built"),
        )
        .file("plugins/libwhimbrel_adapter_probe.so", "not a library\n")
        .file("plugins/readme.txt", "");
    assert_snapshot!(shown(&project.run(["adapters", "list"])), @r"
    exit: 0
    --- stdout
    sqlite 0.1.0
      file        plugins/libsqlite-of-ours.so
      also called sqlite3
      urls        sqlite, sqlite3, file
      can         transactions, transactional-ddl, savepoints, cancel, liveness
      fence       unique-key
      abi         1, by whimbrel-adapter-api 1.0.0
      target      [THIS]-linux-gnu
    probe
      file        plugins/libwhimbrel_adapter_probe.so
      but         not an adapter: not an ELF library
    clickhouse 0.1.0
      file        [BUILT]/libwhimbrel_adapter_clickhouse.so
      also called ch
      urls        clickhouse
      can         arrays, cancel, liveness
      fence       exclusive-create
      abi         1, by whimbrel-adapter-api 1.0.0
      target      [THIS]-linux-gnu
    mysql 0.1.0
      file        [BUILT]/libwhimbrel_adapter_mysql.so
      also called mariadb
      urls        mysql, mariadb
      can         transactions, savepoints, pipelining, cancel, liveness
      fence       unique-key
      abi         1, by whimbrel-adapter-api 1.0.0
      target      [THIS]-linux-gnu
    postgres 0.1.0
      file        [BUILT]/libwhimbrel_adapter_postgres.so
      also called supabase, postgresql
      urls        postgres, postgresql
      can         transactions, transactional-ddl, savepoints, pipelining, copy-from-stdin, arrays, cancel, liveness, statement-limit
      fence       unique-key
      abi         1, by whimbrel-adapter-api 1.0.0
      target      [THIS]-linux-gnu
    sqlite 0.1.0
      file        [BUILT]/libwhimbrel_adapter_sqlite.so
      also called sqlite3
      urls        sqlite, sqlite3, file
      can         transactions, transactional-ddl, savepoints, cancel, liveness
      fence       unique-key
      abi         1, by whimbrel-adapter-api 1.0.0
      target      [THIS]-linux-gnu
      but         not used: plugins/libsqlite-of-ours.so comes first
    --- stderr
    ");
    assert_eq!(project.run(["adapters"]).stdout, project.run(["adapters", "list"]).stdout);
}

#[test]
fn the_doctor_tells_rule_and_file_and_why_not_the_others() {
    let project = with_library(probe());
    assert_snapshot!(shown(&project.run(["adapters", "doctor", "probe"])), @r"
    exit: 0
    --- stdout
    database  probe
    adapter   probe: the folder has the name of the adapter `probe`
    file      plugins/libwhimbrel_adapter_probe.so
    trusted   only its owner can change it; `whimbrel adapters lock` would pin it
    url       probe:birds.db, from plugins.toml:4:7
    result    the adapter was loaded and takes the url; nothing was connected
    passed over
      [BUILT]/libwhimbrel_adapter_clickhouse.so      has another name
      [BUILT]/libwhimbrel_adapter_mysql.so      has another name
      [BUILT]/libwhimbrel_adapter_postgres.so      has another name
      [BUILT]/libwhimbrel_adapter_sqlite.so      has another name
    searched
      plugins      read
      [BUILT]      read
      [LIB]/whimbrel      [NOT THERE]
      /usr/local/lib/whimbrel      [NOT THERE]
      /usr/lib/whimbrel      [NOT THERE]
    --- stderr
    ");
    let _ = project.run(["adapters", "lock"]).exits(0);
    let locked = project.run(["adapters", "doctor", "probe"]);
    assert!(locked.stdout.contains("it is the one in plugins.lock"), "{}", locked.stdout);
    let document = project.run(["adapters", "doctor", "probe", "--format", "json"]).json();
    assert_eq!(document["adapter"], "probe");
    assert_eq!(document["locked"], true);
    assert_eq!(document["passed_over"].as_array().map(Vec::len), Some(4));
    // Another name than that of any adapter: the url decides.
    let project = project.file("migrations/app/001_species.sql", "CREATE TABLE species (id);\n");
    let by_url = project.run(["adapters", "doctor", "app", "--url", "probe:birds.db"]);
    assert!(
        by_url.stdout.contains("the scheme of the url, `probe`, belongs to `probe`"),
        "{}",
        by_url.stdout
    );
    assert_snapshot!(shown(&project.run(["adapters", "doctor", "app", "--url", "other:birds.db"])), @r"
    exit: 9
    --- stdout
    database  app
    passed over
      plugins/libwhimbrel_adapter_probe.so      fits neither the name nor the url
      [BUILT]/libwhimbrel_adapter_clickhouse.so      fits neither the name nor the url
      [BUILT]/libwhimbrel_adapter_mysql.so      fits neither the name nor the url
      [BUILT]/libwhimbrel_adapter_postgres.so      fits neither the name nor the url
      [BUILT]/libwhimbrel_adapter_sqlite.so      fits neither the name nor the url
    searched
      plugins      read
      [BUILT]      read
      [LIB]/whimbrel      [NOT THERE]
      /usr/local/lib/whimbrel      [NOT THERE]
      /usr/lib/whimbrel      [NOT THERE]
    --- stderr
    error[adapter-not-found]: no adapter named `app`
      looked in  plugins      `probe`
                 [BUILT]      `clickhouse`, `mysql`, `postgres`, `sqlite`
                 [LIB]/whimbrel      [NOT THERE]
                 /usr/local/lib/whimbrel      [NOT THERE]
                 /usr/lib/whimbrel      [NOT THERE]
      no adapter claims the scheme `other` of the url from `--url` (command line) either
    hint: `whimbrel adapters` lists the ones that were found
    ");
    assert_snapshot!(shown(&project.run(["adapters", "doctor", "probe", "--url", "other:birds.db"])), @r"
    exit: 2
    --- stdout
    database  probe
    adapter   probe: the folder has the name of the adapter `probe`
    file      plugins/libwhimbrel_adapter_probe.so
    passed over
      [BUILT]/libwhimbrel_adapter_clickhouse.so      has another name
      [BUILT]/libwhimbrel_adapter_mysql.so      has another name
      [BUILT]/libwhimbrel_adapter_postgres.so      has another name
      [BUILT]/libwhimbrel_adapter_sqlite.so      has another name
    searched
      plugins      read
      [BUILT]      read
      [LIB]/whimbrel      [NOT THERE]
      /usr/local/lib/whimbrel      [NOT THERE]
      /usr/lib/whimbrel      [NOT THERE]
    --- stderr
    error[url-invalid]: the url of `probe` cannot be used: a url looks like `probe:PATH?panic=METHOD`
      it comes from `--url` (command line), and is not shown because it is no url of this adapter
    ");
    assert!(!project.path("birds.db").exists());
}

#[test]
fn an_adapter_that_nobody_knows_is_named_with_the_nearest() {
    let project =
        without_library().plugins_toml("[databases.probe]\nadapter = \"sqlte\"\nurl = \"birds.db\"\n");
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-not-found]: no adapter named `sqlte`
      --> plugins.toml:2:11  database `probe`
      looked in  [BUILT]      `clickhouse`, `mysql`, `postgres`, `sqlite`
                 [LIB]/whimbrel      [NOT THERE]
                 /usr/local/lib/whimbrel      [NOT THERE]
                 /usr/lib/whimbrel      [NOT THERE]
    hint: did you mean `sqlite`? `whimbrel adapters` lists the ones that were found
    ");
}

#[test]
fn a_path_means_exactly_this_file() {
    let project = with_library("not a library\n").file("elsewhere/any-name.so", probe()).file(
        "plugins.toml",
        "plugins = [\"plugins\"]\n\n[adapters.probe]\npath = \"elsewhere/any-name.so\"\n\n\
             [databases.probe]\nurl = \"probe:birds.db\"\n",
    );
    let _ = project.run(["up", "probe"]).exits(0);
    let other = built_file("libwhimbrel_adapter_sqlite.so");
    let other = other.to_str().expect("a path of cargo's");
    project.write(
        "plugins.toml",
        format!("[adapters.probe]\npath = \"{other}\"\n\n[databases.probe]\nurl = \"probe:birds.db\"\n"),
    );
    assert_snapshot!(shown(&project.run(["up", "probe"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-not-loaded]: cannot load the adapter `probe`
      looked in  [BUILT]/libwhimbrel_adapter_sqlite.so      broken: it is the adapter `sqlite`
    hint: correct `adapters.probe.path` in plugins.toml, or remove it to search the usual places
    ");
}

// Opening it would wait for somebody who writes into it.
#[test]
fn a_pipe_by_the_name_of_a_library_is_passed_over() {
    let project = without_library().file("plugins/readme.txt", "");
    let pipe = ["plugins/libwhimbrel_adapter_probe.so"];
    let _ = project.program("mkfifo", pipe).run().exits(0);
    assert!(project.run(["adapters"]).exits(0).stdout.contains("but         not an adapter: not a file"));
    let _ = project.run(["up", "probe"]).exits(9);
}

#[test]
fn an_adapter_that_fails_a_check_is_told_so() {
    let project = with_library(probe());
    let library = "plugins/libwhimbrel_adapter_probe.so";
    let outcome =
        project.run(["adapters", "test", library, "--url", "probe:check.db?lie=twice", "-q"]).exits(1);
    let told = "failed   atomic        a script is run whole, with its row: batch 0 is reported as finished, and it is \
                not under way";
    assert!(outcome.stdout.lines().any(|line| line == told), "{}", outcome.stdout);
    assert!(outcome.stdout.lines().all(|line| line.starts_with("failed ") || line.starts_with("probe: ")));
}

#[test]
fn what_cannot_be_used_is_neither_inspected_nor_tested_in_silence() {
    let project = without_library().file("plugins/libwhimbrel_adapter_probe.so", "no library\n");
    let library = "plugins/libwhimbrel_adapter_probe.so";
    assert_snapshot!(shown(&project.run(["adapters", "inspect", library])), @r"
    exit: 9
    --- stdout
    probe
      file        plugins/libwhimbrel_adapter_probe.so
      but         not an adapter: not an ELF library
    --- stderr
    ");
    assert_snapshot!(shown(&project.run(["adapters", "test", library, "--url", "probe:birds.db"])), @r"
    exit: 9
    --- stdout
    --- stderr
    error[adapter-not-loaded]: this file cannot be used as an adapter
      looked in  plugins/libwhimbrel_adapter_probe.so      not an adapter: not an ELF library
    ");
    assert_snapshot!(shown(&with_library(probe()).run(["adapters", "test", library])), @r"
    exit: 2
    --- stdout
    --- stderr
    error[usage]: the conformance suite creates and drops tables, so it takes no database but the one it is given
    hint: name one that nobody else uses with `--url`
    ");
}
