//! Passwords where they are likeliest to come to light: refused logins, urls that cannot be read, commands that print
//! the wrong thing, adapters and drivers that quote what they were given.
//!
//! Each run also goes through the search that follows all tests, which knows more spellings.

use std::fs;

use whimbrel_tests::{
    Database, Networked, Outcome, Pool, Postgres, Product, Project, encoded, probe_library, servers,
};

/// Everything that might make a program say more.
fn talkative(project: Project) -> Project {
    ["RUST_LOG", "MYSQL_LOG", "PGOPTIONS_LOG"]
        .into_iter()
        .fold(project, |project, name| project.env(name, "trace"))
        .env("RUST_BACKTRACE", "full")
}

fn project() -> Project {
    let project =
        ["postgres", "mysql", "sqlite", "probe"].into_iter().fold(Project::new(), |project, folder| {
            project.file(&format!("migrations/{folder}/001_species.sql"), "CREATE TABLE species (id int);\n")
        });
    talkative(project)
}

#[track_caller]
fn hides(outcome: &Outcome, password: &str) {
    for spelling in [password.to_owned(), encoded(password), format!("{password:?}").replace('"', "")] {
        assert!(!outcome.mentions(&spelling), "{}", outcome.redacted());
    }
}

/// The ways to ask for much or for another form.
const FORMS: [&[&str]; 6] =
    [&[], &["-v"], &["-vv"], &["--format", "json"], &["--format", "jsonl", "-v"], &["--quiet"]];

#[test]
fn a_refused_password_is_shown_in_no_form() {
    let (postgres, mariadb) = (Postgres::fresh(), Product::MariaDb.fresh());
    let password = &servers().awkward_password;
    let url = |scheme: &str, address: std::net::SocketAddr| {
        format!("{scheme}://owner:{}@{address}/birds", encoded(password))
    };
    let project = project();
    for (folder, url) in [
        ("postgres", url("postgres", postgres.address())),
        ("postgres", url("postgres", Pool::Transaction.address())),
        ("mysql", url("mysql", mariadb.address())),
    ] {
        for form in FORMS {
            let arguments = [&["up", folder, "--url", &url][..], form].concat();
            let outcome = project.run(arguments).exits(8);
            hides(&outcome, password);
            assert!(outcome.mentions("owner:****@127.0.0.1"), "{}", outcome.redacted());
        }
        for command in ["status", "plan", "history", "verify", "down"] {
            hides(&project.run([command, folder, "--url", &url, "-v"]).exits(8), password);
        }
    }
}

#[test]
fn a_password_that_is_accepted_is_shown_in_no_form() {
    let (postgres, mariadb) = (Postgres::fresh(), Product::MariaDb.fresh());
    let password = &servers().awkward_password;
    let role = postgres.role_with_password("eve", password);
    postgres.execute(&format!("GRANT ALL ON SCHEMA public TO {role}"));
    let user = mariadb.user_with_password("eve", password);
    mariadb.execute(&format!("GRANT ALL ON {}.* TO {user}@'%'", mariadb.name()));
    let project = project();
    for (folder, url) in [
        ("postgres", postgres.url_as(&role, &encoded(password))),
        ("mysql", mariadb.url_as(&user, &encoded(password))),
    ] {
        project.write(&format!("migrations/{folder}/002_wrong.sql"), "INSERT INTO nowhere VALUES (1);\n");
        let _ = project.run(["up", folder, "--url", &url, "-vv"]).exits(1);
        for command in [
            &["up", "--format", "json"][..],
            &["status", "-vv"],
            &["status", "--format", "json"],
            &["history", "--format", "json"],
            &["plan", "--out", "plan.json"],
            &["plan", "--format", "json", "-v"],
            &["verify", "-v"],
            &["repair", "001", "--applied", "-v"],
        ] {
            let (command, rest) = command.split_first().expect("there is a command");
            hides(&project.run([&[*command, folder][..], rest, &["--url", &url]].concat()), password);
        }
        let written = project.read("plan.json");
        assert!(!written.contains(password.as_str()) && !written.contains(&encoded(password)), "{written}");
    }
}

#[test]
fn a_url_that_cannot_be_read_is_told_without_its_password() {
    let project = project();
    for (folder, url) in [
        ("postgres", "postgres://ana:hunter2@db:port/birds"),
        ("postgres", "postgres://ana:hunter2@db:99999/birds"),
        ("postgres", "postgres://ana:hun%ter2@[::1/birds"),
        ("postgres", "postgres://ana:hunter2@hunter2@db/birds"),
        ("postgres", "postgres://ana:hunter2/hunter2@db/birds"),
        ("postgres", "postgres://ana@db/birds?password=hunter2&colour=red"),
        ("postgres", "postgres://ana@db/birds?colour=red&sslpassword=hunter2"),
        ("postgres", "postgres://ana:hunter2%00@db/birds"),
        ("postgres", "host=db user=ana password=hunter2 dbname=birds"),
        ("postgres", "jdbc:postgresql://ana:hunter2@db/birds"),
        ("postgres", "mysql://ana:hunter2@db/birds"),
        ("mysql", "mysql://ana:hunter2@db:port/birds"),
        ("mysql", "mysql://ana:hunter2@db:99999/birds"),
        ("mysql", "mysql://ana:hunter2@hunter2@db/birds"),
        ("mysql", "mysql://ana:hunter2#hunter2@db/birds"),
        ("mysql", "mysql://ana:hunter2@db"),
        ("mysql", "mysql://ana:hunter2@db/birds?colour=red"),
        ("mysql", "mysql://ana:%ffhunter2@db/birds"),
        ("mysql", "ana:hunter2@tcp(db:3306)/birds"),
        ("sqlite", "postgres://ana:hunter2@db/birds"),
        ("sqlite", "sqlite:birds.db?key=hunter2"),
    ] {
        for form in FORMS {
            let outcome = project.run([&["up", folder, "--url", url][..], form].concat()).exits(2);
            assert!(!outcome.mentions("hunter2"), "{url}: {}", outcome.redacted());
        }
    }
    // A folder whose adapter only the url can tell.
    let project = talkative(Project::new().file("migrations/app/001_a.sql", "SELECT 1;\n"));
    for url in ["redis://ana:hunter2@db/birds", "ana:hunter2@db:6543/birds"] {
        let outcome = project.run(["up", "app", "--url", url, "-v"]).exits(9);
        assert!(!outcome.mentions("hunter2"), "{url}: {}", outcome.redacted());
    }
}

#[test]
fn what_a_url_command_or_file_gives_is_never_shown() {
    for (command, code) in [
        ("echo postgres://ana:hunter2@db/birds; echo and postgres://ana:hunter2@db/more", 2),
        ("echo postgres://ana:hunter2@db/birds >&2; exit 1", 2),
        ("echo postgres://ana:hunter2@db/birds; exit 1", 2),
        ("echo '{ \"password\": \"hunter2\" }'", 2),
        ("echo 'Error: no such key, tried token hunter2'", 2),
        ("printf 'postgres://ana:hunter2\\377@db/birds'", 2),
        ("echo hunter2", 2),
        ("PASSWORD=hunter2 sh -c 'kill -9 $$'", 2),
        ("echo postgres://ana:hunter2@127.0.0.1:1/birds", 8),
    ] {
        let quoted = command.replace('\\', "\\\\").replace('"', "\\\"");
        let project = project().plugins_toml(&format!("[databases.postgres]\nurl_command = \"{quoted}\"\n"));
        for form in FORMS {
            let outcome = project.run([&["up", "postgres"][..], form].concat()).exits(code);
            assert!(!outcome.mentions("hunter2"), "{command}: {}", outcome.redacted());
        }
    }
    for text in ["", "postgres://ana:hunter2@db/birds\npostgres://ana:hunter2@db/more\n", "hunter2"] {
        let project = project().plugins_toml("[databases.postgres]\nurl_file = \"url\"\n").file("url", text);
        let outcome = project.run(["up", "postgres", "-v"]).exits(2);
        assert!(!outcome.mentions("hunter2"), "{}", outcome.redacted());
    }
}

#[test]
fn a_mistake_in_the_configuration_is_shown_without_the_line() {
    for file in [
        "[databases.postgres]\nurl = \"postgres://ana:hunter2@db/birds\n",
        "[databases.postgres]\nurl = postgres://ana:hunter2@db/birds\n",
        "[databases.postgres]\nurl = [\"postgres://ana:hunter2@db/birds\"]\n",
        "[databases.postgres]\nurl = \"postgres://ana:hunter2@${HOST/birds\"\n",
        "[databases.postgres]\nurl = \"postgres://ana:hunter2@${NOWHERE}/birds\"\n",
        "[databases.postgres]\nurl = \"a\"\nurl = \"postgres://ana:hunter2@db/birds\"\n",
        "[databases.postgres]\nurl = \"postgres://ana:hunter2@db/birds\"\nurl_file = \"url\"\n",
    ] {
        let outcome = project().plugins_toml(file).run(["up", "postgres", "-v"]).exits(2);
        assert!(!outcome.mentions("hunter2"), "{file}: {}", outcome.redacted());
    }
}

/// Returns a project with the probe, which quotes its url and its password where it is told to fail.
fn with_probe() -> Project {
    let library = fs::read(probe_library()).expect("it was built");
    project().plugins_toml("plugins = [\"plugins\"]\n").file("plugins/libwhimbrel_adapter_probe.so", library)
}

#[test]
fn an_adapter_that_quotes_its_url_is_not_repeated() {
    for trap in ["error=check_url", "error=connect"] {
        let project = with_probe();
        let url = format!("probe:birds.db?{trap}&password=hunter2");
        for form in FORMS {
            let outcome = project.run([&["up", "probe", "--url", &url][..], form].concat()).exits(2);
            assert!(!outcome.mentions("hunter2"), "{trap}: {}", outcome.redacted());
            assert!(outcome.mentions("was told to fail"), "{trap}: {}", outcome.redacted());
            assert!(outcome.mentions("&password=****"), "{trap}: {}", outcome.redacted());
        }
    }
}

#[test]
fn an_adapter_that_panics_over_its_url_is_not_repeated() {
    // Each is reached by an `up`. In `drop` there is nobody left to tell.
    for method in ["check_url", "connect", "dialect", "read", "text", "execute", "run", "drop"] {
        let project = with_probe();
        let url = format!("probe:birds.db?panic={method}&password=hunter2");
        for form in FORMS {
            let outcome = project.run([&["up", "probe", "--url", &url][..], form].concat());
            assert!(!outcome.mentions("hunter2"), "{method}: {}", outcome.redacted());
            let is_told = outcome.code == Some(9) && outcome.mentions("panicked");
            assert!(is_told || method == "drop", "{method}: {}", outcome.redacted());
        }
    }
}
