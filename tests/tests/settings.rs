//! Where a setting comes from: flags, the environment, `.env`, plugins.toml; and what is said when nothing gives it.

use insta::assert_snapshot;
use whimbrel_tests::birds::{database, project, tables};
use whimbrel_tests::{Database, Project, Sqlite};

/// Returns a project with one migration and no configuration.
fn bare() -> Project {
    Project::new().file("migrations/sqlite/001_species.sql", "CREATE TABLE species (id);\n")
}

#[test]
fn a_folder_and_a_url_are_enough() {
    let project = bare();
    let outcome = project.run(["up", "sqlite", "--url", "sqlite:other.db"]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 0
    --- stdout
    applied  001_species  [N] ms
    1 migration applied to sqlite, now at 001_species
    --- stderr
    ");
    assert!(project.path("other.db").exists());
    let project = Project::new().file("sql/app/001_species.sql", "CREATE TABLE species (id);\n");
    let _ = project.run(["up", "app", "--dir", "sql", "--url", "birds.db"]).exits(0);
    assert_eq!(tables(&project), ["species"]);
}

#[test]
fn a_missing_url_names_every_place() {
    assert_snapshot!(bare().run(["up", "sqlite"]).redacted(), @r#"
    exit: 2
    --- stdout
    --- stderr
    error[url-missing]: no url for `sqlite`
      looked in  `--url`      not given
                 `WHIMBREL_SQLITE_URL`      not set
                 plugins.toml      no such file
                 `DATABASE_URL`      not set
    hint: set `WHIMBREL_SQLITE_URL`, or put `url = "..."` under [databases.sqlite] in plugins.toml
    "#);
    let foreign = bare().env("DATABASE_URL", "postgres://app:hunter2@db/app");
    assert_snapshot!(foreign.run(["up", "sqlite"]).redacted(), @r#"
    exit: 2
    --- stdout
    --- stderr
    error[url-missing]: no url for `sqlite`
      looked in  `--url`      not given
                 `WHIMBREL_SQLITE_URL`      not set
                 plugins.toml      no such file
                 `DATABASE_URL`      set, but its scheme is `postgres`, which the adapter `sqlite` does not serve
    hint: set `WHIMBREL_SQLITE_URL`, or put `url = "..."` under [databases.sqlite] in plugins.toml
    "#);
    let wanting = bare().plugins_toml("[databases.sqlite]\nurl = \"sqlite:${FILE}\"\n");
    assert_snapshot!(wanting.run(["up", "sqlite"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[url-missing]: the url of `sqlite` needs `FILE`, which is not set
      --> plugins.toml:2:7
    hint: set `FILE` in the environment or in `.env`, or give `--url`
    ");
}

#[test]
fn the_nearest_place_of_a_url_wins() {
    let all = bare()
        .plugins_toml("[databases.sqlite]\nurl = \"sqlite:file.db\"\n")
        .env("DATABASE_URL", "sqlite:shared.db");
    let came_into_being = |project: &Project| {
        ["flag.db", "variable.db", "file.db", "shared.db"]
            .into_iter()
            .filter(|file| project.path(file).exists())
            .collect::<Vec<_>>()
    };
    let _ = all.run(["up", "sqlite"]).exits(0);
    assert_eq!(came_into_being(&all), ["file.db"]);
    all.remove("file.db");
    let _ = all.command(["up", "sqlite"]).env("WHIMBREL_SQLITE_URL", "sqlite:variable.db").run().exits(0);
    assert_eq!(came_into_being(&all), ["variable.db"]);
    all.remove("variable.db");
    let _ = all
        .command(["up", "sqlite", "--url", "sqlite:flag.db"])
        .env("WHIMBREL_SQLITE_URL", "sqlite:variable.db")
        .run()
        .exits(0);
    assert_eq!(came_into_being(&all), ["flag.db"]);

    let shared = bare().env("DATABASE_URL", "sqlite:shared.db");
    let _ = shared.run(["up", "sqlite"]).exits(0);
    assert_eq!(came_into_being(&shared), ["shared.db"]);
}

#[test]
fn a_dotenv_file_stands_behind_the_environment() {
    let project = bare().file(".env", "WHIMBREL_SQLITE_URL=sqlite:dotenv.db\n");
    let outcome = project.run(["status", "sqlite", "-v"]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 0
    --- stdout
    pending  001_species
    sqlite: 1 pending
    --- stderr
    adapter   sqlite 0.1.0: the folder has the name of the adapter `sqlite`
    library   [BUILT]/libwhimbrel_adapter_sqlite.so
    url       sqlite:dotenv.db, from `WHIMBREL_SQLITE_URL` (.env)
    ");
    let outcome =
        project.command(["status", "sqlite", "-v"]).env("WHIMBREL_SQLITE_URL", "sqlite:variable.db").run();
    assert_snapshot!(outcome.redacted(), @r"
    exit: 0
    --- stdout
    pending  001_species
    sqlite: 1 pending
    --- stderr
    adapter   sqlite 0.1.0: the folder has the name of the adapter `sqlite`
    library   [BUILT]/libwhimbrel_adapter_sqlite.so
    url       sqlite:variable.db, from `WHIMBREL_SQLITE_URL` (environment)
    ");
}

#[test]
fn verbose_says_which_rule_chose_the_adapter_and_hides_the_password() {
    let by_scheme = Project::new().file("migrations/app/001_a.sql", "CREATE TABLE a (id);\n");
    assert_snapshot!(by_scheme.run(["status", "app", "--url", "birds.db", "-v"]).redacted(), @r"
    exit: 0
    --- stdout
    pending  001_a
    app: 1 pending
    --- stderr
    adapter   sqlite 0.1.0: the url is the path of a file, which `sqlite` serves
    library   [BUILT]/libwhimbrel_adapter_sqlite.so
    url       birds.db, from `--url` (command line)
    ");
    let by_alias = Project::new().file("migrations/sqlite3/001_a.sql", "CREATE TABLE a (id);\n");
    assert_snapshot!(by_alias.run(["status", "sqlite3", "--url", "birds.db", "-v"]).redacted(), @r"
    exit: 0
    --- stdout
    pending  001_a
    sqlite3: 1 pending
    --- stderr
    adapter   sqlite 0.1.0: the folder's name, `sqlite3`, is an alias of `sqlite`
    library   [BUILT]/libwhimbrel_adapter_sqlite.so
    url       birds.db, from `--url` (command line)
    ");
    let named = Project::new().file("migrations/app/001_a.sql", "CREATE TABLE a (id);\n").plugins_toml(
        "[databases.app]\nadapter = \"postgres\"\nurl = \"postgres://app:hunter2@127.0.0.1:1/app\"\n",
    );
    let outcome = named.run(["status", "app", "-v"]);
    assert!(!outcome.mentions("hunter2"));
    assert_snapshot!(outcome.redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    adapter   postgres 0.1.0: `postgres` is named by plugins.toml:2:11
    library   [BUILT]/libwhimbrel_adapter_postgres.so
    url       postgres://app:****@127.0.0.1:[PORT]/app, from plugins.toml:3:7
    error[connection]: cannot reach postgres://app:****@127.0.0.1:[PORT]/app
      caused by: Connection refused (os error 111)
    hint: is the server up? the url comes from plugins.toml:3:7
    ");
}

#[test]
fn a_change_to_production_has_to_be_confirmed() {
    let project = project().plugins_toml(
        "default = \"sqlite\"\n\n[databases.sqlite]\nurl = \"sqlite:birds.db\"\nproduction = true\n",
    );
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 7
    --- stdout
    --- stderr
    error[refused]: `sqlite` is a production database, and the change is not confirmed
      --> plugins.toml:5:14
    state: nothing was run
    hint: if you mean it, add `--confirm sqlite`
    ");
    for arguments in [
        &["down"][..],
        &["redo"],
        &["baseline", "001"],
        &["repair", "001", "--applied"],
        &["up", "--confirm", "other"],
    ] {
        let _ = project.run(arguments).exits(7);
    }
    assert!(!project.path("birds.db").exists());
    let _ = project.run(["status"]).exits(0);
    let _ = project.run(["up", "--dry-run"]).exits(0);
    let _ = project.run(["up", "--confirm", "sqlite"]).exits(0);
}

#[test]
fn a_database_in_a_folder_that_is_not_there_cannot_be_reached() {
    let outcome = bare().run(["up", "sqlite", "--url", "sqlite:nowhere/birds.db"]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    error[connection]: cannot reach sqlite:nowhere/birds.db
      caused by: unable to open database file: file:nowhere/birds.db
    hint: there is no folder `nowhere`: create it first; the url comes from `--url` (command line)
    ");
}

#[test]
fn a_url_that_the_adapter_refuses_is_explained() {
    let project = bare().plugins_toml("[databases.sqlite]\nurl = \"sqlite:birds.db?mood=ro\"\n");
    assert_snapshot!(project.run(["up", "sqlite"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[url-invalid]: the url of `sqlite` cannot be used: the url has a parameter `mood` that SQLite does not know
      --> plugins.toml:2:7
      the url is sqlite:birds.db?mood=ro, from plugins.toml:2:7
    hint: it knows `cache`, `immutable`, `mode`, `modeof`, `nolock`, `psow`, `vfs`
    ");
}

#[test]
fn a_mistake_in_the_configuration_is_shown_with_its_place() {
    let project = bare().plugins_toml("defalt = \"sqlite\"\n\n[databases.sqlite]\nout_of_order = \"alow\"\n");
    assert_snapshot!(project.run(["up"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[config]: unknown key `defalt`
      --> plugins.toml:1:1
    hint: did you mean `default`?

    error[config]: `out_of_order` cannot be `alow`
      --> plugins.toml:4:16
    hint: did you mean `allow`?
    ");
    assert_snapshot!(bare().run(["up"]).redacted(), @r#"
    exit: 2
    --- stdout
    --- stderr
    error[usage]: no database is named, and there is no default
      the databases are the folders of migrations
    hint: name one of `sqlite`, or put `default = "sqlite"` into plugins.toml
    "#);
    assert_snapshot!(bare().run(["up", "sqlte", "--url", "birds.db"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[folder-unreadable]: there is no folder `migrations/sqlte`
      the name `sqlte` comes from `DATABASE` (command line)
      the folder `migrations` comes from the default
    hint: did you mean `sqlite`?
    ");
    assert_snapshot!(bare().run(["up", "--config", "absent.toml"]).redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[config]: there is no file `absent.toml`
      the name comes from `--config` (command line)
    ");
}

#[test]
fn the_history_goes_where_it_is_told() {
    let project = project();
    let _ = project.run(["up", "--table", "notes"]).exits(0);
    let rows = database(&project).lines("SELECT count(*) FROM notes");
    assert_eq!(rows, ["3"]);
    let outcome = project.run(["status", "--table", "notes", "--exit-code"]);
    assert_eq!(outcome.code, Some(0));
}

#[test]
fn a_migration_for_another_environment_waits() {
    let project = project().file("migrations/sqlite/004_seed.sql", "-- env: test\nCREATE TABLE seed (id);\n");
    let _ = project.run(["up"]).exits(0);
    assert_eq!(tables(&project), ["counts", "sites", "species"]);
    let _ = project.run(["up", "--env", "test"]).exits(0);
    assert_eq!(tables(&project), ["counts", "seed", "sites", "species"]);
}

#[test]
fn relative_paths_mean_the_working_directory_on_the_command_line() {
    let project = project();
    let outcome = project
        .command(["up", "--config", "../plugins.toml", "--url", "sqlite:inner.db"])
        .within("migrations")
        .run();
    assert_eq!(outcome.code, Some(0), "{}", outcome.redacted());
    assert_eq!(
        Sqlite::at(project.path("migrations/inner.db")).lines("SELECT count(*) FROM whimbrel_migrations"),
        ["3"]
    );
}

// The next place named another database, and `up` changed that one.
#[test]
fn nothing_runs_where_a_line_of_a_dotenv_file_cannot_be_understood() {
    let project = bare()
        .file(".env", "A=b\nWHIMBREL_SQLITE_URL=sqlite:my hunter2.db\n")
        .env("DATABASE_URL", "sqlite:other.db");
    let outcome = project.run(["up", "sqlite"]);
    assert_snapshot!(outcome.redacted(), @r"
    exit: 2
    --- stdout
    --- stderr
    error[config]: this line cannot be understood
      --> .env:2
    hint: write `NAME=value`, with quotes around spaces
    ");
    assert!(!project.path("other.db").exists());
}

#[test]
fn a_name_that_no_table_can_have_is_refused_before_anything() {
    let long = "a".repeat(64);
    for (name, reason) in [
        (".", "a part of it is empty"),
        ("s2.", "a part of it is empty"),
        (".h", "a part of it is empty"),
        ("a\"b", "a name has no quotes and no control characters"),
        (long.as_str(), "a name has at most 63 bytes: a server may cut a longer one"),
    ] {
        let outcome = bare().run(["up", "sqlite", "--url", "birds.db", "--table", name]).exits(2);
        assert!(outcome.stderr.starts_with("error[config]: `table` is"), "{}", outcome.stderr);
        assert!(outcome.mentions(reason), "{}", outcome.stderr);
    }
    let _ = bare().run(["up", "sqlite", "--url", "birds.db", "--table", &long[1..]]).exits(0);
}

#[test]
fn a_file_that_cannot_be_opened_is_not_taken_for_a_server() {
    let outcome = bare().run(["up", "sqlite", "--url", "file:absent.db?mode=rw"]).exits(8);
    assert!(outcome.mentions("hint: there is no file `absent.db`; the url comes from"), "{}", outcome.stderr);
}

#[test]
fn a_zero_byte_in_a_url_is_called_by_its_name() {
    let project = Project::new().file("migrations/postgres/001_a.sql", "SELECT 1;\n");
    let outcome = project.run(["up", "postgres", "--url", "postgres://a%00b@127.0.0.1/birds"]).exits(2);
    assert!(outcome.mentions("the user in the url holds a zero byte"), "{}", outcome.stderr);
}
