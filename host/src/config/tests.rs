use std::time::Duration;

use tempfile::TempDir;
use whimbrel_adapter_api::Secret;

use super::*;
use crate::error::told;

/// A folder with files, and the variables of a process that works in it.
struct Project {
    directory: TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

impl Project {
    fn with(files: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().expect("a folder for the test");
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a file has a folder"))
                .expect("a folder for the file");
            std::fs::write(path, text).expect("a file for the test");
        }
        Project { directory, variables: Vec::new() }
    }

    fn file(text: &str) -> Self {
        Project::with(&[("plugins.toml", text)])
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn load(&self, flags: &Flags) -> Result<Config> {
        Config::load(flags, &Environment::new(self.directory.path(), self.variables.iter().copied()))
    }

    fn database(&self, flags: &Flags) -> DatabaseConfig {
        self.load(flags)
            .and_then(|config| config.database(Some("app")))
            .expect("a configuration without problems")
    }

    fn url(&self, flags: &Flags) -> String {
        let url = self.database(flags).urls.own().expect("a url without problems").expect("a url");
        format!("{} from {}", url.value.reveal(), self.relative(&url.origin.to_string()))
    }

    /// What is wrong, with the paths as they would be typed in the folder.
    fn problems(&self) -> String {
        match self.load(&Flags::default()) {
            Ok(_) => "no problem".to_owned(),
            Err(error) => self.relative(&told(&error.problems)),
        }
    }

    fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let project = Project::with(&[]);
    let config = project.load(&Flags::default()).expect("a file need not exist");
    assert_eq!(config.path(), None);
    assert_eq!(config.migrations, Located::new(project.directory.path().join("migrations"), Origin::Default));
    let app = config.database(Some("app")).expect("a database need not be known");
    assert_eq!(app.folder, project.directory.path().join("migrations/app"));
    assert_eq!(app.table, Located::new("whimbrel_migrations".to_owned(), Origin::Default));
    assert_eq!(app.mode.value, Mode::Strict);
    assert_eq!(app.out_of_order.value, OutOfOrder::Refuse);
    assert_eq!(app.stage.value, Stage::Ordinary);
    assert_eq!(app.wait_for_runner.value, Duration::from_secs(600));
    assert_eq!(app.wait_for_database.value, Duration::ZERO);
    assert_eq!((app.lock_timeout, app.adapter, app.environment), (None, None, None));
}

#[test]
fn every_key_is_understood() {
    let project = Project::file(
        r#"
        default = "app"
        migrations = "db"
        plugins = ["plugins", "/opt/plugins"]
        [adapters.postgres]
        path = "libs/libpostgres.so"
        isolate = false
        [databases.app]
        adapter = "postgres"
        url = "postgres://db/app"
        table = "history"
        mode = "single-transaction"
        out_of_order = "warn"
        production = true
        env = "staging"
        lock_timeout = "500ms"
        statement_timeout = "1h 30m"
        wait_for_runner = "10m"
        wait_for_database = "5s"
        "#,
    );
    let config = project.load(&Flags::default()).expect("a configuration without problems");
    let root = project.directory.path();
    assert_eq!(config.migrations.value, root.join("db"));
    let plugins: Vec<_> = config.plugins.iter().map(|folder| folder.value.clone()).collect();
    assert_eq!(plugins, [root.join("plugins"), PathBuf::from("/opt/plugins")]);
    let postgres = &config.adapters["postgres"];
    assert_eq!(postgres.path.as_ref().map(|path| path.value.clone()), Some(root.join("libs/libpostgres.so")));
    assert_eq!(postgres.isolation.value, Isolation::None);
    let app = config.database(None).expect("the default database");
    assert_eq!((app.name.value.as_str(), app.table.value.as_str()), ("app", "history"));
    assert_eq!(app.adapter.map(|adapter| adapter.value).as_deref(), Some("postgres"));
    assert_eq!(app.environment.map(|name| name.value).as_deref(), Some("staging"));
    assert_eq!((app.mode.value, app.out_of_order.value), (Mode::SingleTransaction, OutOfOrder::Warn));
    assert_eq!(app.stage.value, Stage::Production);
    assert_eq!(app.lock_timeout.map(|limit| limit.value), Some(Duration::from_millis(500)));
    assert_eq!(app.statement_timeout.map(|limit| limit.value), Some(Duration::from_secs(5400)));
    assert_eq!(app.wait_for_runner.value, Duration::from_secs(600));
    assert_eq!(app.wait_for_database.value, Duration::from_secs(5));
}

#[test]
fn the_command_line_stands_above_the_environment_above_dot_env_above_the_file() {
    let file = ("plugins.toml", "[databases.app]\ntable = 'file'\n");
    let dot_env = (".env", "WHIMBREL_TABLE=dot_env\n");
    let flags = Flags { table: Some("flag".to_owned()), ..Flags::default() };
    let cases = [
        (Project::with(&[]), Flags::default(), "whimbrel_migrations from the default"),
        (Project::with(&[file]), Flags::default(), "file from plugins.toml:2:9"),
        (Project::with(&[file, dot_env]), Flags::default(), "dot_env from `WHIMBREL_TABLE` (.env)"),
        (
            Project::with(&[file, dot_env]).variable("WHIMBREL_TABLE", "variable"),
            Flags::default(),
            "variable from `WHIMBREL_TABLE` (environment)",
        ),
        (
            Project::with(&[file, dot_env]).variable("WHIMBREL_TABLE", "variable"),
            flags,
            "flag from `--table` (command line)",
        ),
        (
            Project::with(&[file]).variable("WHIMBREL_TABLE", ""),
            Flags::default(),
            "file from plugins.toml:2:9",
        ),
    ];
    for (project, flags, expected) in cases {
        let table = project.database(&flags).table;
        assert_eq!(format!("{} from {}", table.value, project.relative(&table.origin.to_string())), expected);
    }
}

#[test]
fn every_flag_arrives_as_it_was_given() {
    let flags = Flags {
        caller: Caller::Application,
        adapter: Some("sqlite".to_owned()),
        environment: Some("ci".to_owned()),
        mode: Some(Mode::SingleTransaction),
        out_of_order: Some(OutOfOrder::Allow),
        lock_timeout: Some(Duration::from_millis(1_500)),
        statement_timeout: Some(Duration::from_nanos(1_000_001)),
        wait_for_runner: Some(Duration::ZERO),
        wait_for_database: Some(Duration::from_secs(90_000)),
        ..Flags::default()
    };
    let app = Project::with(&[]).database(&flags);
    assert_eq!(app.mode, Located::new(Mode::SingleTransaction, Origin::Application));
    assert_eq!(app.out_of_order.value, OutOfOrder::Allow);
    assert_eq!(app.lock_timeout.map(|limit| limit.value), flags.lock_timeout);
    assert_eq!(app.statement_timeout.map(|limit| limit.value), flags.statement_timeout);
    assert_eq!(Some(app.wait_for_runner.value), flags.wait_for_runner);
    assert_eq!(Some(app.wait_for_database.value), flags.wait_for_database);
    assert_eq!(app.adapter.map(|adapter| adapter.value), flags.adapter);
    assert_eq!(app.environment.map(|name| name.value), flags.environment);
}

#[test]
fn all_problems_of_the_file_come_together_with_their_places() {
    let project = Project::file(
        "defualt = 'app'\nplugins = ['a', 1]\n[adapters.postgres]\npth = 'x.so'\nisolate = 'no'\n\
         [databases.app]\nmode = 'strct'\n  lock_timeout = 'soon'\nproduction = 1\nzebra = 1\n\
         url = 'postgres://${9}/x'\nurl_file = 'url'\n[databases]\nb = 1\n",
    );
    assert_eq!(
        project.problems(),
        "\
error[config]: unknown key `defualt`
  --> plugins.toml:1:1
hint: did you mean `default`?
error[config]: `plugins[1]` is a number, not a text
  --> plugins.toml:2:17
error[config]: unknown key `pth`
  --> plugins.toml:4:1
hint: did you mean `path`?
error[config]: `adapters.postgres.isolate` is a text, not `true` or `false`
  --> plugins.toml:5:11
error[config]: `mode` cannot be `strct`
  --> plugins.toml:7:8
hint: did you mean `strict`?
error[config]: `lock_timeout` is `soon`, which is no duration
  --> plugins.toml:8:18
hint: write a number and a unit, such as `10m`, `5s` or `500ms`
error[config]: `databases.app.production` is a number, not `true` or `false`
  --> plugins.toml:9:14
error[config]: unknown key `zebra`
  --> plugins.toml:10:1
hint: the keys here are `adapter`, `url`, `url_file`, `url_command`, `table`, `mode`, `out_of_order`, `production`, `env`, `lock_timeout`, `statement_timeout`, `wait_for_runner`, `wait_for_database`
error[config]: the url of `app` has a `${` that begins no variable
  --> plugins.toml:11:7
hint: write `${NAME}` for a variable, and `$${` for the two characters themselves
error[config]: `databases.app` has both `url` and `url_file`
  --> plugins.toml:12:12
hint: keep one of them
error[config]: `databases.b` is a number, not a section
  --> plugins.toml:14:5"
    );
}

#[test]
fn a_file_that_is_no_toml_says_where_and_quotes_nothing() {
    let told = Project::file("[databases.app]\nurl = 'postgres://app:s3cret@db\ntable = 1\n").problems();
    assert!(told.starts_with("error[config]: "), "{told}");
    assert!(told.contains("--> plugins.toml:2:"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}

#[test]
fn a_column_counts_characters() {
    assert_eq!(
        Project::file("[adapters]\n\"ä\" = { \"päth\" = 1 }\n").problems(),
        "error[config]: unknown key `päth`\n  --> plugins.toml:2:9\nhint: did you mean `path`?"
    );
}

#[test]
fn a_wrong_value_of_a_variable_names_the_variable() {
    let project =
        Project::with(&[(".env", "WHIMBREL_WAIT_FOR_RUNNER=soon")]).variable("WHIMBREL_LOCK_TIMEOUT", "5");
    assert_eq!(
        project.problems(),
        "\
error[config]: `lock_timeout` is `5`, which is no duration
  it comes from `WHIMBREL_LOCK_TIMEOUT` (environment)
hint: write a number and a unit, such as `10m`, `5s` or `500ms`
error[config]: `wait_for_runner` is `soon`, which is no duration
  --> .env
hint: write a number and a unit, such as `10m`, `5s` or `500ms`"
    );
}

#[test]
fn a_file_that_was_named_must_exist() {
    let project = Project::with(&[]).variable("WHIMBREL_CONFIG", "other.toml");
    assert_eq!(
        project.problems(),
        "error[config]: there is no file `other.toml`\n  the name comes from `WHIMBREL_CONFIG` (environment)"
    );
}

#[test]
fn paths_are_relative_to_whatever_names_them() {
    let project =
        Project::with(&[("deploy/plugins.toml", "migrations = 'sql'"), ("deploy/.env", "DATABASE_URL=a:b")]);
    let named = Flags { config: Some("deploy/plugins.toml".into()), ..Flags::default() };
    let config = project.load(&named).expect("a configuration without problems");
    assert_eq!(project.relative(&config.migrations.value.display().to_string()), "deploy/sql");
    let shared =
        config.database(Some("app")).and_then(|app| app.urls.shared()).expect("a url without problems");
    assert_eq!(
        shared.map(|url| project.relative(&url.origin.to_string())).as_deref(),
        Some("`DATABASE_URL` (deploy/.env)")
    );
    let flags = Flags { migrations: Some("here".into()), ..named };
    let config = project.load(&flags).expect("a configuration without problems");
    assert_eq!(project.relative(&config.migrations.value.display().to_string()), "here");
}

#[test]
fn the_url_comes_from_the_nearest_place() {
    let file = ("plugins.toml", "[databases.app]\nurl = 'toy://file'\n");
    let variable = |project: Project| project.variable("WHIMBREL_APP_URL", "toy://variable");
    let flags = Flags { url: Some(Secret::new("toy://flag")), ..Flags::default() };
    assert_eq!(Project::with(&[file]).url(&Flags::default()), "toy://file from plugins.toml:2:7");
    assert_eq!(
        variable(Project::with(&[file])).url(&Flags::default()),
        "toy://variable from `WHIMBREL_APP_URL` (environment)"
    );
    assert_eq!(variable(Project::with(&[file])).url(&flags), "toy://flag from `--url` (command line)");
}

#[test]
fn the_variable_of_a_database_is_its_name_in_capitals() {
    assert_eq!(url_variable("supabase"), "WHIMBREL_SUPABASE_URL");
    assert_eq!(url_variable("my-app.2"), "WHIMBREL_MY_APP_2_URL");
}

#[test]
fn a_url_takes_variables_of_the_environment_and_of_dot_env() {
    let project = Project::with(&[
        ("plugins.toml", "[databases.app]\nurl = 'toy://${NAME}:$${x}$y@${HOST}'\n"),
        (".env", "\u{feff}HOST=db # the server\nNAME=hidden\n"),
    ]);
    let expected = "toy://ana:${x}$y@db from plugins.toml:2:7";
    assert_eq!(project.variable("NAME", "ana").url(&Flags::default()), expected);
}

#[test]
fn a_url_that_is_one_variable_comes_from_that_variable() {
    let project =
        Project::file("[databases.app]\nurl = '${DATABASE_URL}'\n").variable("DATABASE_URL", "toy:x");
    assert_eq!(project.url(&Flags::default()), "toy:x from `DATABASE_URL` (environment)");
}

#[test]
fn an_unset_variable_counts_only_when_it_is_needed() {
    let project = Project::file("[databases.app]\nurl = 'toy://${PASSWORD}@db'\n");
    let error = project.database(&Flags::default()).urls.own().expect_err("the variable is not set");
    assert_eq!(
        project.relative(&told(&error.problems)),
        "\
error[url-missing]: the url of `app` needs `PASSWORD`, which is not set
  --> plugins.toml:2:7
hint: set `PASSWORD` in the environment or in `.env`, or give `--url`"
    );
    let flags = Flags { url: Some(Secret::new("toy://flag")), ..Flags::default() };
    assert_eq!(project.url(&flags), "toy://flag from `--url` (command line)");
}

// A line that was passed over may have named the database: the next place then named another one.
#[test]
fn a_dot_env_is_refused_where_a_line_of_it_cannot_be_understood() {
    let text = "# words\n\nA=b\nPASSWORD=two words\nexport\nB=ok # it's fine\nURL='toy:x\nC=d\n";
    let problems = Project::with(&[(".env", text), ("plugins.toml", "\n\n\n\n\n\n\npth = 1\n")]).problems();
    assert_eq!(
        problems,
        "\
error[config]: unknown key `pth`
  --> plugins.toml:8:1
hint: the keys here are `default`, `migrations`, `plugins`, `adapters`, `databases`
error[config]: this line cannot be understood
  --> .env:4
hint: write `NAME=value`, with quotes around spaces
error[config]: this line cannot be understood
  --> .env:5
hint: write `NAME=value`, with quotes around spaces
error[config]: a quote that is opened here does not end where its value ends
  --> .env:7
hint: close the quote in its line"
    );
}

#[test]
fn a_dot_env_is_refused_where_a_quote_swallows_the_next_variable() {
    for text in ["A='x\nURL=it's\n", "A=\"x\nURL=\"toy:x\"\nC=\"y\"\n", "A=\"x\nB=\\\"y\nURL=\"toy:x"] {
        let problems = Project::with(&[(".env", &format!("# first\n{text}"))]).problems();
        assert!(
            problems.contains("a quote that is opened here") && problems.contains(".env:2"),
            "{problems}"
        );
    }
}

#[test]
fn a_dot_env_may_hold_values_of_several_lines_and_spaces_at_its_end() {
    let text = "KEY=\"-----BEGIN\nit's \\\"it\\\"\n-----END\" # the key\n\n# next\nOTHER='a\nb'\nURL=toy:x ";
    let project = Project::with(&[(".env", text), ("plugins.toml", "[databases.app]\nurl = '${URL}'\n")]);
    assert_eq!(project.url(&Flags::default()), "toy:x from `URL` (.env)");
}

#[test]
fn a_url_comes_out_of_a_file_or_a_command_beside_plugins_toml() {
    let file = Project::with(&[
        ("deploy/plugins.toml", "[databases.app]\nurl_file = 'secret'\n"),
        ("deploy/secret", "toy://file\n"),
    ]);
    let flags = Flags { config: Some("deploy/plugins.toml".into()), ..Flags::default() };
    assert_eq!(file.url(&flags), "toy://file from deploy/plugins.toml:2:12");
    let command = Project::with(&[
        ("deploy/plugins.toml", "[databases.app]\nurl_command = 'cat secret'\n"),
        ("deploy/secret", "toy://command\n"),
    ]);
    assert_eq!(command.url(&flags), "toy://command from deploy/plugins.toml:2:15");
}

#[test]
fn a_command_that_fails_shows_its_status_and_none_of_its_words() {
    let project = Project::file("[databases.app]\nurl_command = 'echo s3cret; echo s3cret >&2; exit 3'\n");
    let error = project.database(&Flags::default()).urls.own().expect_err("the command fails");
    assert_eq!(
        project.relative(&told(&error.problems)),
        "\
error[config]: the `url_command` of `app` ended with exit status: 3
  --> plugins.toml:2:15
hint: run it by hand to see why: its output is not shown, because it may hold a secret"
    );
}

#[test]
fn a_missing_url_names_every_place_that_was_looked_at() {
    let project = Project::file("[databases.other]\n").variable("WHIMBREL_APP_URL", "");
    let problem = project.database(&Flags::default()).urls.missing(None);
    assert_eq!(
        project.relative(&told(&[problem])),
        "\
error[url-missing]: no url for `app`
  looked in  `--url`      not given
             `WHIMBREL_APP_URL`      set, but empty
             plugins.toml      no section [databases.app]
             `DATABASE_URL`      not set
hint: set `WHIMBREL_APP_URL`, or put `url = \"...\"` under [databases.app] in plugins.toml"
    );
}

#[test]
fn databases_are_the_folders_and_the_sections() {
    let project = Project::with(&[
        ("plugins.toml", "[databases.Far-away]\n"),
        ("migrations/app/001_a.sql", ""),
        ("migrations/.git/config", ""),
        ("migrations/README.md", ""),
    ]);
    assert_eq!(project.load(&Flags::default()).expect("no problems").databases(), ["Far-away", "app"]);
}

#[test]
fn a_mistyped_folder_is_answered_with_the_nearest_one() {
    let project = Project::with(&[("migrations/supabase/001_a.sql", "")]);
    let config = project.load(&Flags::default()).expect("no problems");
    let database = config.database(Some("supbase")).expect("a database need not be known");
    let error = config.require_folder(&database).expect_err("there is no such folder");
    assert_eq!(
        project.relative(&told(&error.problems)),
        "\
error[folder-unreadable]: there is no folder `migrations/supbase`
  the name `supbase` comes from `DATABASE` (command line)
  the folder `migrations` comes from the default
hint: did you mean `supabase`?"
            .replace("`migrations`", &format!("`{}`", config.migrations.value.display()))
            .replace(&format!("{}/", project.directory.path().display()), "")
    );
}

#[test]
fn without_a_name_and_a_default_the_databases_are_listed() {
    let project = Project::with(&[("migrations/a/001_a.sql", ""), ("migrations/b/001_a.sql", "")]);
    let error =
        project.load(&Flags::default()).and_then(|config| config.database(None)).expect_err("none is named");
    assert_eq!(
        project.relative(&told(&error.problems)),
        "\
error[usage]: no database is named, and there is no default
  the databases are the folders of migrations
hint: name one of `a`, `b`, or put `default = \"a\"` into plugins.toml"
    );
}

#[test]
fn a_path_is_not_the_name_of_a_database() {
    let config = Project::with(&[]).load(&Flags::default()).expect("no problems");
    let error = config.database(Some("migrations/sqlite/")).expect_err("a path");
    assert_eq!(
        told(&error.problems),
        "\
error[usage]: `migrations/sqlite/` is not the name of a database
  it comes from `DATABASE` (command line)
hint: a database is named by its folder alone: `sqlite`"
    );
}

#[test]
fn nothing_that_can_be_printed_holds_a_secret() {
    let project = Project::with(&[
        (
            "plugins.toml",
            "[databases.app]\nurl = 'toy://:s3cret@db'\n[databases.b]\nurl_command = 'echo s3cret'\n",
        ),
        (".env", "DATABASE_URL=toy://:s3cret@db\n"),
    ])
    .variable("WHIMBREL_B_URL", "toy://:s3cret@db");
    let flags = Flags { url: Some(Secret::new("toy://:s3cret@db")), ..Flags::default() };
    let config = project.load(&flags).expect("no problems");
    let app = config.database(Some("app")).expect("no problems");
    let printed =
        format!("{config:?} {app:?} {flags:?} {:?}", Environment::new("", project.variables.iter().copied()));
    assert!(!printed.contains("s3cret"), "{printed}");
}

#[test]
fn an_application_needs_neither_files_nor_variables() {
    let flags = Flags { caller: Caller::Application, url: Some(Secret::new("toy:x")), ..Flags::default() };
    let app =
        Config::from_flags(&flags).and_then(|config| config.database(Some("app"))).expect("no problems");
    let url = app.urls.own().expect("no problem").expect("a url");
    assert_eq!(url, Located::new(Secret::new("toy:x"), Origin::Application));
}

#[test]
fn the_documentation_lists_every_key_and_variable() {
    let keys = keys_as_markdown();
    assert_eq!(keys.lines().count(), KEYS.len() + 2);
    assert!(
        keys.contains("| `databases.NAME.mode` | `strict`, `batch`, `single-transaction` | `strict` |"),
        "{keys}"
    );
    let variables = variables_as_markdown();
    assert!(variables.contains("| `WHIMBREL_<NAME>_URL` | `--url` | yes |"), "{variables}");
    assert!(variables.contains("| `NO_COLOR` |"), "{variables}");
}
