//! The files of a new migration.
//!
//! Serves `whimbrel new`. Numbers and lays the files out as the newest migration of the folder is, looking at names
//! alone, so that a folder with a mistake in one of its files can still be added to.
//!
//! Never overwrites a file. Two people who create a migration at once get the same version, which the
//! [`source`](super) then refuses until one of them renumbers.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::folder::{self, Kind};
use super::name::{self, Form, HISTORY_TABLE, Half};
use super::version::Version;
use crate::error::{Name, Problem, Result};

/// Creates the files of a new migration, and the folder if it is not there, and returns their paths.
///
/// # Errors
///
/// [`Name::Usage`] when `name` holds neither letter nor digit; [`Name::FolderUnreadable`] when something cannot be
/// read or written.
pub fn create(folder: &Path, name: &str, now: SystemTime) -> Result<Vec<PathBuf>> {
    let slug = name::slug(name);
    if slug.is_empty() {
        let problem = Problem::new(Name::Usage, format!("`{name}` is no name for a migration"));
        return Err(problem.hint("say what it does: `whimbrel new add_email_to_users`").into());
    }
    fs::create_dir_all(folder).map_err(|error| not_written(folder, &error))?;
    let newest = newest(folder)?;
    let time = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let (version, form) = match &newest {
        Some((version, form)) => (following(version, time), *form),
        None => ("001".to_owned(), Form::Single),
    };
    write(folder, &format!("{version}_{slug}"), form, &Words { title: name, created: time })
}

/// Returns the version and the form of the newest migration.
fn newest(folder: &Path) -> Result<Option<(Version, Form)>> {
    let entries = folder::list(folder)?;
    let migrations = entries.iter().filter_map(|entry| {
        let name = entry.name.to_str().filter(|name| *name != HISTORY_TABLE)?;
        match &entry.kind {
            Kind::Directory(_) => name::stem(name).map(|stem| (stem.version, Form::Directory)),
            _ => match name::file(name)?.ok()? {
                // The down script looks the same beside both forms of the up script.
                file if file.half == Half::Up => Some((file.stem.version, file.form)),
                _ => None,
            },
        }
    });
    Ok(migrations.max_by(|one, other| one.0.cmp(&other.0)))
}

/// Returns the version after `newest`, in its style.
fn following(newest: &Version, time: Timestamp) -> String {
    let widths: Vec<usize> = newest.as_written().split(['-', '.']).map(str::len).collect();
    let format = match widths.as_slice() {
        [14] => "%Y%m%d%H%M%S",
        [4, 2, 2, 6] if newest.as_written().contains('.') => "%Y.%m.%d.%H%M%S",
        [4, 2, 2, 6] => "%Y-%m-%d-%H%M%S",
        _ => return newest.next().as_written().to_owned(),
    };
    let now = time.strftime(format).to_string();
    match Version::parse(&now) {
        Some(version) if version > *newest => now,
        // The newest was made this second, or by a clock that is ahead.
        _ => newest.next().as_written().to_owned(),
    }
}

struct Words<'a> {
    title: &'a str,
    created: Timestamp,
}

impl Words<'_> {
    fn title(&self) -> String {
        self.title.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn created(&self) -> String {
        self.created.to_zoned(TimeZone::UTC).date().to_string()
    }

    fn header(&self) -> String {
        format!("-- Migration: {}\n-- Created: {}\n\n{UP}", self.title(), self.created())
    }

    fn toml(&self) -> String {
        format!("title = {}\ncreated = \"{}\"\n", toml::Value::from(self.title()), self.created())
    }
}

const UP: &str = "-- The statements that make the change.\n";
const DOWN: &str = "-- The statements that take it back.\n";

fn write(folder: &Path, id: &str, form: Form, words: &Words<'_>) -> Result<Vec<PathBuf>> {
    let files = match form {
        Form::Single => {
            vec![
                (folder.join(format!("{id}.sql")), words.header()),
                (folder.join(format!("{id}.down.sql")), DOWN.to_owned()),
            ]
        }
        Form::Pair => {
            vec![
                (folder.join(format!("{id}.up.sql")), words.header()),
                (folder.join(format!("{id}.down.sql")), DOWN.to_owned()),
            ]
        }
        Form::Directory => {
            let directory = folder.join(id);
            fs::create_dir(&directory).map_err(|error| not_written(&directory, &error))?;
            vec![
                (directory.join("up.sql"), UP.to_owned()),
                (directory.join("down.sql"), DOWN.to_owned()),
                (directory.join("metadata.toml"), words.toml()),
            ]
        }
    };
    // Looked for first, so that nothing is left half done; `create_new` still guards against a race.
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(not_written(path, &io::ErrorKind::AlreadyExists.into()).into());
    }
    for (path, text) in &files {
        write_new(path, text).map_err(|error| not_written(path, &error))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

fn not_written(path: &Path, error: &io::Error) -> Problem {
    Problem::new(Name::FolderUnreadable, format!("cannot create `{}`", path.display()))
        .caused_by(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Migrations;
    use crate::source::tests::{folder, text_of};
    use std::time::Duration;

    /// 2026-11-21 10:20:30 UTC.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_256_430)
    }

    fn created(files: &[&str], name: &str) -> Vec<String> {
        let folder = folder(files);
        let paths = create(folder.path(), name, now()).unwrap();
        paths.iter().map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string()).collect()
    }

    #[test]
    fn new_migration_follows_the_style_of_the_newest() {
        for (files, expected) in [
            (&[][..], &["001_add_tags.sql", "001_add_tags.down.sql"][..]),
            (
                &["000_migrations_table.sql", "seeds/users.sql"],
                &["001_add_tags.sql", "001_add_tags.down.sql"],
            ),
            (&["009_a.sql", "008_b.up.sql"], &["010_add_tags.sql", "010_add_tags.down.sql"]),
            (&["9_a.up.sql", "9_a.down.sql"], &["10_add_tags.up.sql", "10_add_tags.down.sql"]),
            (&["1.9_a.sql"], &["1.10_add_tags.sql", "1.10_add_tags.down.sql"]),
            (&["20250108000001_a.sql"], &["20261121102030_add_tags.sql", "20261121102030_add_tags.down.sql"]),
            (&["20261121102030_a.sql"], &["20261121102031_add_tags.sql", "20261121102031_add_tags.down.sql"]),
            (
                &["014_b.sql", "2025-01-08-000001_a/up.sql"],
                &[
                    "2026-11-21-102030_add_tags/up.sql",
                    "2026-11-21-102030_add_tags/down.sql",
                    "2026-11-21-102030_add_tags/metadata.toml",
                ],
            ),
            (&["bad name.sql", "003_a.sql"], &["004_add_tags.sql", "004_add_tags.down.sql"]),
        ] {
            assert_eq!(created(files, "Add tags!"), expected, "{files:?}");
        }
    }

    #[test]
    fn what_was_created_is_a_migration_with_title_and_date() {
        for files in [&[][..], &["001_a.up.sql"], &["001_a/up.sql"]] {
            let folder = folder(files);
            create(folder.path(), "The \"tags\"\nof users", now()).unwrap();
            let migrations = Migrations::read(folder.path()).unwrap();
            let newest = migrations.list.last().unwrap();
            assert_eq!(newest.title.as_deref(), Some("The \"tags\" of users"));
            assert_eq!(newest.created.as_deref(), Some("2026-11-21"));
            assert!(newest.down.is_some());
        }
    }

    #[test]
    fn file_that_is_there_is_never_overwritten() {
        let folder = folder(&["001_a.sql", "002_tags.down.sql"]);
        fs::write(folder.path().join("002_tags.down.sql"), "mine").unwrap();
        let error = create(folder.path(), "tags", now()).unwrap_err();
        assert!(text_of(&error).starts_with("cannot create `"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("002_tags.down.sql")).unwrap(), "mine");
        assert!(!folder.path().join("002_tags.sql").exists());
    }

    #[test]
    fn name_without_letters_is_refused() {
        let folder = folder(&[]);
        let error = create(folder.path(), " !", now()).unwrap_err();
        assert_eq!(error.problems[0].name, Name::Usage);
    }

    #[test]
    fn missing_folder_is_created() {
        let folder = folder(&[]);
        let inner = folder.path().join("migrations/sqlite");
        create(&inner, "users", now()).unwrap();
        assert!(inner.join("001_users.sql").is_file());
    }
}
