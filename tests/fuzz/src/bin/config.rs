//! Any plugins.toml and `.env`: they are taken or refused, and no password that stands in a url, a command or a variable
//! that holds one is ever shown.
//!
//! The input is plugins.toml, a line `=== .env` and that file. In either, `{}` stands for the password; it is put in
//! where a secret belongs, and nowhere else.

#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use whimbrel::Error;
use whimbrel::config::{Config, Environment, Flags};
use whimbrel_fuzz::{MARK, PASSWORD, assert_hidden, can_hide};

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a folder"));

const SEPARATOR: &str = "\n=== .env\n";

fuzz_target!(|input: &str| {
    let (file, variables) = input.split_once(SEPARATOR).unwrap_or((input, ""));
    let file = with_password(file, &["url", "url_command"]);
    let variables = with_password(variables, &["DATABASE_URL", "WHIMBREL_SQLITE_URL", "PGPASSWORD"]);
    let shown = shown(FOLDER.path(), &file, &variables);
    // Where a text goes on over lines, or is put into another one, a secret may end up in a value that is none.
    let is_plain = |text: &str| !["\"\"\"", "'''", "$", "\\"].iter().any(|mark| text.contains(mark));
    if can_hide(input) && is_plain(&file) && is_plain(&variables) && quotes_end_in_their_line(&variables) {
        assert_hidden(&shown);
    }
});

/// Puts the password in the place of each mark that stands behind one of these names and a `=`.
fn with_password(text: &str, names: &[&str]) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((name, value)) if names.contains(&name.trim()) => {
            format!("{name}={}", value.replace(MARK, PASSWORD))
        }
        _ => line.to_owned(),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn quotes_end_in_their_line(text: &str) -> bool {
    text.split('\n').all(|line| ['"', '\''].iter().all(|quote| line.matches(*quote).count() % 2 == 0))
}

/// Returns everything that is said about these files.
fn shown(folder: &Path, file: &str, variables: &str) -> String {
    fs::write(folder.join("plugins.toml"), file).expect("the folder can be written");
    fs::write(folder.join(".env"), variables).expect("the folder can be written");
    let environment = Environment::new(folder, []);
    let config = match Config::load(&Flags::default(), &environment) {
        Ok(config) => config,
        Err(error) => return refused(&error),
    };
    let mut shown = format!("{config:?}{:?}", config.databases());
    for name in [None, Some("sqlite"), Some("supabase")] {
        let database = match config.database(name) {
            Ok(database) => database,
            Err(error) => {
                shown += &refused(&error);
                continue;
            }
        };
        shown += &format!("{database:?}{:?}", database.urls.missing(None));
        // A command would be run, and a file may never end. Neither can be named without these letters, or an escape.
        if !file.contains("url_") && !file.contains('\\') {
            shown += &format!("{:?}", database.urls.own().map_err(|error| refused(&error)));
        }
        shown += &format!("{:?}", database.urls.shared().map_err(|error| refused(&error)));
    }
    shown
}

fn refused(error: &Error) -> String {
    assert!(!error.problems.is_empty(), "refused without a reason");
    format!("{error}{error:?}")
}
