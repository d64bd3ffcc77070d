//! Passwords from the places where an engine's own tools look for them, on servers that ask for one.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;
use whimbrel_tests::{Database, Networked, Outcome, Pool, Postgres, Product, Project, encoded, servers};

fn project() -> Project {
    Project::new()
        .file("migrations/postgres/001_species.sql", "CREATE TABLE species (id int);\n")
        .file("migrations/mysql/001_species.sql", "CREATE TABLE species (id int);\n")
}

/// Returns a project with a password file of these lines, which the account alone may read.
fn with_password_file(path: &str, lines: &str) -> Project {
    let project = project().file(path, lines);
    set_mode(&project, path, 0o600);
    project
}

fn set_mode(project: &Project, path: &str, mode: u32) {
    set_permissions(project.path(path), Permissions::from_mode(mode)).expect("the file is ours");
}

/// The owner's password, or one with every character that something escapes.
fn owner() -> &'static str {
    &servers().postgres.password
}

fn awkward() -> &'static str {
    &servers().awkward_password
}

fn postgres_url(database: &Postgres, login: &str) -> String {
    format!("postgres://{login}@{}/{}", database.address(), database.name())
}

fn status(project: &Project, folder: &str, url: &str) -> Outcome {
    project.run(["status", folder, "--url", url, "-v"])
}

/// Returns the line of `-v` that says where the password comes from.
fn origin(outcome: &Outcome) -> Option<&str> {
    outcome.stderr.lines().find_map(|line| line.strip_prefix("password  from "))
}

#[test]
fn a_variable_holds_the_password_of_postgres() {
    let database = Postgres::fresh();
    let role = database.role_with_password("eve", awkward());
    let url = postgres_url(&database, &role);
    let project = project().env("PGPASSWORD", awkward());
    let outcome = status(&project, "postgres", &url).exits(0);
    assert_eq!(origin(&outcome), Some("`PGPASSWORD` (environment)"));
    let pooled = format!("postgres://owner@{}/{}", Pool::Transaction.address(), database.name());
    let _ = self::project().env("PGPASSWORD", owner()).run(["up", "postgres", "--url", &pooled]).exits(0);
    let in_file = self::project().file(".env", format!("PGPASSWORD='{}'\n", owner()));
    let outcome = status(&in_file, "postgres", &postgres_url(&database, "owner")).exits(0);
    assert_eq!(origin(&outcome), Some("`PGPASSWORD` (.env)"));
}

#[test]
fn a_variable_holds_the_password_of_mariadb() {
    let database = Product::MariaDb.fresh();
    let user = database.user_with_password("eve", awkward());
    database.execute(&format!("GRANT ALL ON {}.* TO {user}@'%'", database.name()));
    let url = format!("mysql://{user}@{}/{}", database.address(), database.name());
    let outcome = status(&project().env("MYSQL_PWD", awkward()), "mysql", &url).exits(0);
    assert_eq!(origin(&outcome), Some("`MYSQL_PWD` (environment)"));
    let _ = status(&project().env("MYSQL_PWD", "hunter2"), "mysql", &url).exits(8);
    // That of the other engine is none of its business.
    let _ = status(&project().env("PGPASSWORD", awkward()), "mysql", &url).exits(8);
}

#[test]
fn a_password_in_the_url_comes_first_and_a_file_last() {
    let (postgres, mariadb) = (Postgres::fresh(), Product::MariaDb.fresh());
    let project = with_password_file("home/.pgpass", "*:*:*:*:hunter2\n").env("MYSQL_PWD", "hunter2");
    let wrong = project.command(["status", "postgres", "--url", &postgres.url(), "-v"]);
    let outcome = wrong.env("PGPASSWORD", "hunter2").run().exits(0);
    assert_eq!(origin(&outcome), None);
    let parameter = format!("{}?password={}", postgres_url(&postgres, "owner"), encoded(owner()));
    let _ = status(&project, "postgres", &parameter).exits(0);
    let _ = status(&project, "mysql", &mariadb.url()).exits(0);
    let url = postgres_url(&postgres, "owner");
    let _ = project.command(["status", "postgres", "--url", &url]).env("PGPASSWORD", owner()).run().exits(0);
    let _ = status(&project, "postgres", &url).exits(8);
}

#[test]
fn a_password_file_has_one_for_each_server_and_user() {
    let database = Postgres::fresh();
    let (ana, eve) = (database.role("ana"), database.role_with_password("eve", awkward()));
    let (host, port) = (database.address().ip(), database.address().port());
    let escaped = awkward().replace('\\', "\\\\").replace(':', "\\:");
    let lines = format!(
        "# of the tests\n{host}:1:*:*:hunter2\n{host}:*:other:*:hunter2\n{host}:{port}:{}:{eve}:{escaped}\n\
         {host}:*:*:{ana}:{}\n*:*:*:*:hunter2\n",
        database.name(),
        owner()
    );
    let project = with_password_file("home/.pgpass", &lines);
    for role in [&ana, &eve] {
        let outcome = status(&project, "postgres", &postgres_url(&database, role)).exits(0);
        let path = project.path("home/.pgpass");
        assert_eq!(origin(&outcome), Some(path.to_str().expect("a path")));
    }
    let _ = status(&project, "postgres", &postgres_url(&database, "owner")).exits(8);
    // Each of several hosts has its own line.
    let several = format!("postgres://{ana}@{host}:1,{host}:{port}/{}", database.name());
    let _ = status(&project, "postgres", &several).exits(0);
}

#[test]
fn a_variable_names_the_password_file() {
    let database = Postgres::fresh();
    let line = format!("*:*:*:*:{}\n", owner());
    let url = postgres_url(&database, "owner");
    let project = with_password_file("secrets/passwords", &line).env("PGPASSFILE", "secrets/passwords");
    assert_eq!(origin(&status(&project, "postgres", &url).exits(0)), Some("secrets/passwords"));
    let of_dotenv = with_password_file("passwords", &line).file(".env", "PGPASSFILE=passwords\n");
    let _ = status(&of_dotenv, "postgres", &url).exits(0);
    let absent = self::project().env("PGPASSFILE", "absent");
    let outcome = status(&absent, "postgres", &url).exits(8);
    assert!(outcome.mentions("warning[config]: the password file is ignored: No such file"), "{outcome:?}");
}

#[test]
fn a_password_file_that_others_may_read_is_ignored_with_a_warning() {
    let database = Postgres::fresh();
    let url = postgres_url(&database, "owner");
    let project = with_password_file("home/.pgpass", &format!("*:*:*:*:{}\n", owner()));
    let up = |url: &str| project.run(["up", "postgres", "--dry-run", "--url", url]);
    let _ = up(&url).exits(0);
    for mode in [0o400, 0o600, 0o700] {
        set_mode(&project, "home/.pgpass", mode);
        let _ = up(&url).exits(0);
    }
    for mode in [0o640, 0o604, 0o620, 0o666] {
        set_mode(&project, "home/.pgpass", mode);
        let _ = up(&url).exits(8);
    }
    set_mode(&project, "home/.pgpass", 0o644);
    assert_snapshot!(up(&url).redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    warning[config]: the password file is ignored: others have access to it (mode 0644)
      --> [DIR]/home/.pgpass
    hint: `chmod 600 [DIR]/home/.pgpass`
    error[authentication]: postgres://owner@127.0.0.1:[PORT]/[DATABASE] refuses this user or password
      caused by: the server asks for a password and the url has none
    hint: the url has no password; `PGPASSWORD` or ~/.pgpass may hold it; the url comes from `--url` (command line)
    ");
    // Where nobody looks into it, nothing is said.
    let outcome = up(&database.url()).exits(0);
    assert_eq!(outcome.stderr, "");
    let variable = project.command(["status", "postgres", "--url", &url]).env("PGPASSWORD", owner()).run();
    assert_eq!(variable.exits(0).stderr, "");
}

#[test]
fn a_folder_in_the_place_of_the_password_file_is_no_error() {
    let database = Postgres::fresh();
    let project = project().file("home/.pgpass/inner", "");
    let outcome = status(&project, "postgres", &postgres_url(&database, "owner")).exits(8);
    assert!(outcome.mentions("the password file is ignored: it is not a plain file"), "{outcome:?}");
    let _ = status(&project, "postgres", &database.url()).exits(0);
}

#[test]
fn a_password_that_is_missing_is_told_with_the_places_for_it() {
    let (postgres, mariadb) = (Postgres::fresh(), Product::MariaDb.fresh());
    let url = postgres_url(&postgres, "owner");
    assert_snapshot!(project().run(["status", "postgres", "--url", &url]).redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    error[authentication]: postgres://owner@127.0.0.1:[PORT]/[DATABASE] refuses this user or password
      caused by: the server asks for a password and the url has none
    hint: the url has no password; `PGPASSWORD` or ~/.pgpass may hold it; the url comes from `--url` (command line)
    ");
    let wrong = project().env("PGPASSWORD", "hunter2");
    assert_snapshot!(wrong.run(["status", "postgres", "--url", &url]).redacted(), @r#"
    exit: 8
    --- stdout
    --- stderr
    error[authentication]: postgres://owner@127.0.0.1:[PORT]/[DATABASE] refuses this user or password
      caused by: password authentication failed for user "owner"
    hint: the password comes from `PGPASSWORD` (environment); the url comes from `--url` (command line)
    "#);
    let url = format!("mysql://owner@{}/{}", mariadb.address(), mariadb.name());
    assert_snapshot!(project().run(["status", "mysql", "--url", &url]).redacted(), @r"
    exit: 8
    --- stdout
    --- stderr
    error[authentication]: mysql://owner@127.0.0.1:[PORT]/[DATABASE] refuses this user or password
      caused by: Access denied for user 'owner'@'127.0.0.1' (using password: NO)
    hint: the url has no password; `MYSQL_PWD` may hold it; the url comes from `--url` (command line)
    ");
}

#[test]
fn a_url_from_a_file_or_a_command_reaches_the_server() {
    let database = Postgres::fresh();
    let role = database.role_with_password("eve", awkward());
    let url = database.url_as(&role, &encoded(awkward()));
    let from_file = project()
        .plugins_toml("[databases.postgres]\nurl_file = \"secrets/url\"\n")
        .file("secrets/url", format!("\n{url}\n\n"));
    let outcome = from_file.run(["status", "postgres", "-v"]).exits(0);
    assert!(outcome.mentions(":****@") && outcome.mentions("from plugins.toml:2:12"), "{outcome:?}");
    // It may leave the password to the other places, and it runs in the folder of plugins.toml.
    let from_command = project()
        .plugins_toml("[databases.postgres]\nurl_command = \"cat secrets/url\"\n")
        .file("secrets/url", postgres_url(&database, &role))
        .env("PGPASSWORD", awkward());
    let outcome = from_command.run(["status", "postgres", "-v"]).exits(0);
    assert_eq!(origin(&outcome), Some("`PGPASSWORD` (environment)"));
}
