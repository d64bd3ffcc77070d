use std::path::Path;

use tempfile::TempDir;
use whimbrel_adapter_api::{ConnectOptions, Error as AdapterError, Fence, Identity, Opened};

use super::*;
use crate::config::{Environment, Flags};
use crate::error::told;
use crate::plugin::tests::Library;

/// An adapter that is linked in, for a database that nobody has.
struct Toy;

const TOY: Identity = Identity {
    name: "toy",
    version: "0.1.0",
    aliases: &["game"],
    schemes: &["toy", "file"],
    fence: Fence::None,
    capabilities: &[],
};

impl Adapter for Toy {
    fn info(&self) -> Info {
        Info::new(&TOY)
    }

    fn check_url(&self, url: &Secret) -> std::result::Result<(), AdapterError> {
        if url.reveal().contains("wrong") {
            let error = AdapterError::new(ErrorKind::InvalidUrl, "the port is no number");
            return Err(error.with_hint("write `toy://host:4000/name`"));
        }
        Ok(())
    }

    fn connect(&self, _: &ConnectOptions) -> std::result::Result<Opened, AdapterError> {
        Err(AdapterError::unsupported("connections"))
    }
}

/// Chooses for the database `name`, in a folder with a plugins.toml and a library of the adapter `mysql` in `plugins`.
fn choose(name: &str, file: &str, variables: &[(&str, &str)]) -> Result<Choice, String> {
    let folder = TempDir::new().expect("a folder for the test");
    Library::adapter("mysql", "mariadb", "mysql").write(&folder.path().join("plugins/libmysql.so"));
    std::fs::write(folder.path().join("plugins.toml"), file).expect("a file for the test");
    let environment = Environment::new(folder.path(), variables.iter().copied());
    let config = Config::load(&Flags::default(), &environment).expect("a configuration without problems");
    let database = config.database(Some(name)).expect("a name");
    let mut factory = AdapterFactory::new(Search::nowhere().directory(folder.path().join("plugins")));
    factory.isolated = AdapterFactory::from_config(&config).isolated;
    let choice = factory.with_linked(Arc::new(Toy)).choose(&database);
    choice.map_err(|error| relative(&told(&error.problems), folder.path()))
}

fn relative(text: &str, folder: &Path) -> String {
    text.replace(&format!("{}/", folder.display()), "")
}

fn rule(name: &str, file: &str, variables: &[(&str, &str)]) -> String {
    match choose(name, file, variables) {
        Ok(choice) => format!("{} <- {}", choice.rule, choice.url.value.reveal()),
        Err(told) => told,
    }
}

#[test]
fn the_configured_adapter_comes_before_the_folders_name_before_the_scheme() {
    let url = &[("DATABASE_URL", "toy://x")];
    let configured = rule("mysql", "[databases.mysql]\nadapter = 'game'\n", url);
    assert!(configured.starts_with("`toy` is named by "), "{configured}");
    assert!(configured.ends_with("plugins.toml:2:11 <- toy://x"), "{configured}");
    assert_eq!(rule("toy", "", url), "the folder has the name of the adapter `toy` <- toy://x");
    assert_eq!(rule("game", "", url), "the folder's name, `game`, is an alias of `toy` <- toy://x");
    assert_eq!(rule("app", "", url), "the scheme of the url, `toy`, belongs to `toy` <- toy://x");
    assert_eq!(
        rule("app", "[databases.app]\nurl = 'data/app.db'\n", url),
        "the url is the path of a file, which `toy` serves <- data/app.db"
    );
}

#[test]
fn an_adapter_that_is_linked_in_needs_no_library() {
    let choice = choose("toy", "", &[("DATABASE_URL", "toy://x")]).expect("a choice");
    assert_eq!(choice.provider, Provider::Linked);
}

#[test]
fn the_url_of_another_engine_never_hijacks_a_database() {
    assert_eq!(
        rule("toy", "", &[("DATABASE_URL", "postgres://app:s3cret@db/app")]),
        "\
error[url-missing]: no url for `toy`
  looked in  `--url`      not given
             `WHIMBREL_TOY_URL`      not set
             plugins.toml      no section [databases.toy]
             `DATABASE_URL`      set, but its scheme is `postgres`, which the adapter `toy` does not serve
hint: set `WHIMBREL_TOY_URL`, or put `url = \"...\"` under [databases.toy] in plugins.toml"
    );
}

#[test]
fn an_unknown_adapter_points_at_the_line_that_names_it() {
    assert_eq!(
        rule("app", "[databases.app]\nadapter = 'mysq'\n", &[("DATABASE_URL", "toy://x")]),
        "\
error[adapter-not-found]: no adapter named `mysq`
  --> plugins.toml:2:11  database `app`
  looked in  plugins      `mysql`
hint: did you mean `mysql`? `whimbrel adapters` lists the ones that were found"
    );
}

#[test]
fn a_folder_that_no_rule_fits_says_what_each_rule_found() {
    assert_eq!(
        rule("app", "", &[("DATABASE_URL", "oracle://x")]),
        "\
error[adapter-not-found]: no adapter named `app`
  looked in  plugins      `mysql`
  no adapter claims the scheme `oracle` of the url from `DATABASE_URL` (environment) either
hint: `whimbrel adapters` lists the ones that were found"
    );
    assert_eq!(
        rule("gane", "", &[]),
        "\
error[adapter-not-found]: no adapter named `gane`
  looked in  plugins      `mysql`
  and there is no url whose scheme could tell the adapter
hint: did you mean `game`? `whimbrel adapters` lists the ones that were found"
    );
}

#[test]
fn a_refused_url_is_shown_without_its_password() {
    assert_eq!(
        rule("toy", "", &[("WHIMBREL_TOY_URL", "toy://app:s3cret@wrong:port/app")]),
        "\
error[url-invalid]: the url of `toy` cannot be used: the port is no number
  the url is toy://app:****@wrong:port/app, from `WHIMBREL_TOY_URL` (environment)
hint: write `toy://host:4000/name`"
    );
}

#[test]
fn a_missing_url_is_reported_before_a_library_is_loaded() {
    // The library of the test holds no code: loading it would be the problem.
    let told = rule("mariadb", "", &[]);
    assert!(told.starts_with("error[url-missing]: no url for `mariadb`"), "{told}");
    let told = rule("mariadb", "", &[("DATABASE_URL", "mysql://db")]);
    assert!(told.starts_with("error[adapter-not-loaded]: cannot load the adapter `mysql`"), "{told}");
}

#[test]
fn isolation_is_refused_and_not_forgotten() {
    assert_eq!(
        rule("mysql", "[adapters.mysql]\nisolate = true\n", &[("DATABASE_URL", "mysql://db")]),
        "\
error[unsupported]: the adapter `mysql` cannot run in a process of its own here
hint: remove `adapters.mysql.isolate`"
    );
}
