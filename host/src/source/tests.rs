//! What folders become, and what is said of them.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::*;
use crate::error::Error;

/// Creates a folder with files. After `=` stands the content; without it the file holds `SELECT 1;`.
pub(super) fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let (name, content) = file.split_once('=').unwrap_or((file, "SELECT 1;"));
        write(folder.path(), name, content.as_bytes());
    }
    folder
}

/// Returns the problems, one a line: `message | facts | hint`.
pub(super) fn text_of(error: &Error) -> String {
    let lines = error.problems.iter().map(|problem| {
        let mut parts = vec![problem.message.clone()];
        parts.extend(problem.facts.clone());
        parts.extend(problem.hint.clone());
        parts.join(" | ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn write(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if !name.ends_with('/') {
        fs::write(path, content).unwrap();
    }
}

/// Returns the migrations of a folder that is gone when they are looked at.
fn read(files: &[&str]) -> Migrations {
    Migrations::read(folder(files).path()).unwrap()
}

/// Returns the problems of a folder: `name place,place: message | facts | hint`.
fn problems(files: &[&str]) -> Vec<String> {
    problems_of(folder(files).path())
}

fn problems_of(folder: &Path) -> Vec<String> {
    let Err(error) = Migrations::read(folder) else {
        return Vec::new();
    };
    let lines = error.problems.into_iter().map(|problem| {
        let places: Vec<String> = problem.places.iter().map(|place| shown(folder, place)).collect();
        let (name, places) = (problem.name.word(), places.join(","));
        format!(
            "{name} {places}: {}",
            text_of(&problem.into()).replace(&format!("{}/", folder.display()), "")
        )
    });
    lines.collect()
}

fn shown(folder: &Path, place: &crate::error::Place) -> String {
    let mut text = place.file.strip_prefix(folder).unwrap().display().to_string();
    for number in [place.line, place.column].into_iter().flatten() {
        text.push_str(&format!(":{number}"));
    }
    text
}

fn content(script: &Script) -> String {
    let mut text = String::new();
    script.open().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn ids(migrations: &Migrations) -> Vec<&str> {
    migrations.list.iter().map(|migration| migration.id.0.as_str()).collect()
}

#[test]
fn three_forms_mix_and_are_sorted_by_number() {
    let folder = folder(&[
        "10_ten.sql",
        "9_nine.up.sql",
        "9_nine.down.sql",
        "2025-01-08-000001_dated/up.sql",
        "2025-01-08-000001_dated/down.sql",
        "2025-01-08-000001_dated/metadata.toml=title = 'Dated'",
        "010.5_between.sql",
        "010.5_between.down.sql",
    ]);
    let migrations = Migrations::read(folder.path()).unwrap();
    assert_eq!(ids(&migrations), ["9_nine", "10_ten", "010.5_between", "2025-01-08-000001_dated"]);
    let downs: Vec<bool> = migrations.list.iter().map(|migration| migration.down.is_some()).collect();
    assert_eq!(downs, [true, false, true, true]);
    assert_eq!(migrations.list[3].title.as_deref(), Some("Dated"));
    assert_eq!(content(&migrations.list[1].up), "SELECT 1;");
}

#[test]
fn what_is_no_migration_is_passed_over() {
    let migrations = read(&[
        "001_a.sql",
        "README.md",
        "README",
        "001_a.sql~",
        ".002_b.sql",
        ".git/003_c.sql",
        "notes.txt",
        "seeds/users.sql",
        "002_b/up.sql",
        "002_b/README.md",
    ]);
    assert_eq!(ids(&migrations), ["001_a", "002_b"]);
}

#[test]
fn nothing_that_looks_like_a_migration_is_passed_over() {
    for (files, expected) in [
        (
            &["users.sql"][..],
            "file-name users.sql: `users.sql` is no migration's name: a migration is called by its version, `_` and a name | rename it to `001_users.sql`",
        ),
        (
            &["users/up.sql"],
            "file-name users: `users` is no migration's name: a migration is called by its version, `_` and a name | rename it to `001_users`",
        ),
        (
            &["001_a/README.md"],
            "file-name 001_a: `001_a` holds no `up.sql` | add `up.sql`, or delete the directory",
        ),
        (
            &["001_a/metadata.toml="],
            "file-name 001_a: `001_a` holds no `up.sql` | add `up.sql`, or delete the directory",
        ),
        (
            &["001_a/migration.sql"],
            "file-name 001_a/migration.sql: `001_a/migration.sql` is nothing that a migration's directory holds | a directory holds `up.sql`, and may hold `down.sql` and `metadata.toml`: rename it, or move it away",
        ),
        (
            &["2025/001_a.sql", "2025/002_b/up.sql"],
            "file-name 2025/001_a.sql: 2 migrations lie in `2025`, which is not read | move them up into the folder itself, or the directory out of it",
        ),
        (
            &["001_a.sql", "001_a.undo.sql"],
            "file-name 001_a.undo.sql: `001_a.undo.sql` is no migration's name: the two scripts of a migration end in `.up.sql` and `.down.sql` | rename it to `001_a.down.sql`",
        ),
        (
            &["000_migrations_table.up.sql"],
            "file-name 000_migrations_table.up.sql: only `000_migrations_table.sql` creates the history table, and nothing takes it back | name the file `000_migrations_table.sql`, or delete it",
        ),
    ] {
        assert_eq!(problems(files), [expected], "{files:?}");
    }
}

#[test]
fn files_that_contradict_each_other_are_named() {
    for (files, expected) in [
        (
            &["0012_add_email.up.sql", "12_add_phone.sql"][..],
            "duplicate-version 0012_add_email.up.sql,12_add_phone.sql: two files have version 12 | rename the newer one to 0013",
        ),
        (
            &["001_a.sql", "001_b.sql", "001_c/up.sql", "099_d.sql"],
            "duplicate-version 001_a.sql,001_b.sql,001_c/up.sql: 3 files have version 1 | rename the newer one to 100",
        ),
        (
            &["2014_10_12_a.sql", "2014_11_12_b.sql"],
            "duplicate-version 2014_10_12_a.sql,2014_11_12_b.sql: two files have version 2014 | a version ends at the first `_`: join its numbers with `-` or `.`, as in `2025-01-08-000001_name`",
        ),
        (
            &["001_a.sql", "001_a.up.sql"],
            "duplicate-file 001_a.sql,001_a.up.sql: `001_a` has 2 up scripts | keep one of them",
        ),
        (
            &["001_a.sql", "001_a.down.sql", "001_a/down.sql"],
            "duplicate-file 001_a/down.sql,001_a.down.sql: `001_a` has 2 down scripts | keep one of them",
        ),
        (
            &["001_a.down.sql"],
            "down-without-up 001_a.down.sql: `001_a` has a down script and no up script | add the up script of `001_a`, or delete this file",
        ),
        (
            &["001_users.sql", "001_user.down.sql"],
            "down-without-up 001_user.down.sql: `001_user` has a down script and no up script | does it belong to `001_users`? then give it that name",
        ),
        (
            &["001_a/down.sql"],
            "down-without-up 001_a/down.sql: `001_a` has a down script and no up script | add the up script of `001_a`, or delete this file",
        ),
    ] {
        assert_eq!(problems(files), [expected], "{files:?}");
    }
}

#[test]
fn all_problems_of_a_folder_are_told_at_once() {
    let names: Vec<String> = problems(&[
        "bad.sql",
        "001_a.sql",
        "1_b.sql",
        "002_c.down.sql",
        "003_d.sql=-- depends: 009_z\n-- no transaction\n",
        "004_e/up.sql",
        "004_e/metadata.toml=titel = 1\nenv = 2\n",
    ])
    .iter()
    .map(|line| line.split_once(' ').unwrap().0.to_owned())
    .collect();
    assert_eq!(
        names,
        [
            "file-name",
            "down-without-up",
            "duplicate-version",
            "metadata",
            "metadata",
            "metadata",
            "dependency-missing"
        ]
    );
}

#[test]
fn header_and_metadata_become_the_migrations_settings() {
    let migrations = read(&[
        "001_a.sql",
        "002_b.sql=-- Migration: Second\n-- Created: 2025-01-08\n-- depends: 001_a\n-- env: test, dev\n-- no-transaction\nSELECT 1;",
        "003_c/up.sql=-- depends: 002_b, 001_a\n",
        "003_c/down.sql",
        "003_c/metadata.toml=title = 'Third'\ndepends = ['001_a', '002_b']\ntransaction = false",
        "004_d.sql",
        "004_d.down.sql=-- no-transaction\n",
    ]);
    let [_, second, third, fourth] = migrations.list.as_slice() else { panic!("four migrations") };
    assert_eq!(second.title.as_deref(), Some("Second"));
    assert_eq!(second.created.as_deref(), Some("2025-01-08"));
    assert_eq!(second.depends, [Id("001_a".to_owned())]);
    assert_eq!(second.environments, ["test", "dev"]);
    assert_eq!((second.transaction, second.down_transaction), (Transaction::None, Transaction::None));
    assert_eq!(third.title.as_deref(), Some("Third"));
    assert_eq!((third.transaction, third.down_transaction), (Transaction::None, Transaction::None));
    assert_eq!((fourth.transaction, fourth.down_transaction), (Transaction::Whole, Transaction::None));
}

#[test]
fn metadata_and_header_that_differ_are_a_problem() {
    let found = problems(&[
        "001_a/up.sql=-- Migration: One\n-- no-transaction\n",
        "001_a/metadata.toml=title = 'Other'\ntransaction = true\n",
    ]);
    assert_eq!(
        found,
        [
            "metadata 001_a/metadata.toml:1:9,001_a/up.sql:1:15: `title` is set twice, differently | keep one of the two",
            "metadata 001_a/metadata.toml:2:15,001_a/up.sql:2:4: `transaction` is set twice, differently | keep one of the two",
        ]
    );
}

#[test]
fn rollback_header_is_the_down_script_and_keeps_its_place_in_the_file() {
    let migrations = read(&[
        "001_a.sql=-- Migration: A\n-- Rollback: DROP TABLE b;\n-- so\n-- Rollback: DROP TABLE a;\nSELECT 1;",
    ]);
    let down = migrations.list[0].down.as_ref().unwrap();
    assert_eq!(down.first_line, 2);
    assert_eq!(content(down), "             DROP TABLE b;\n\n             DROP TABLE a;");
}

#[test]
fn down_file_wins_over_the_rollback_header() {
    let folder = folder(&["001_a.sql=-- Rollback:\n", "001_a.down.sql=DROP TABLE a;"]);
    let migrations = Migrations::read(folder.path()).unwrap();
    assert_eq!(content(migrations.list[0].down.as_ref().unwrap()), "DROP TABLE a;");
    assert_eq!(
        problems(&["001_a.sql=-- Rollback:\n-- DROP TABLE a;\n"]),
        [
            "metadata 001_a.sql:1:13: `-- Rollback:` says nothing | write the statement on the same line, or repeat `-- Rollback:` on every line"
        ]
    );
}

#[test]
fn dependency_must_be_there_and_come_before() {
    for (depends, expected) in [
        ("001_users", None),
        ("001_user", Some("`002_b` depends on `001_user`, which is not there | did you mean `001_users`?")),
        ("users", Some("`002_b` depends on `users`, which is not there | did you mean `001_users`?")),
        (
            "xyz",
            Some("`002_b` depends on `xyz`, which is not there | name a migration of this folder by its id"),
        ),
        ("002_b", Some("`002_b` depends on itself")),
        (
            "003_c",
            Some(
                "`002_b` depends on `003_c`, which comes after it | give `002_b` a higher version, or `003_c` a lower one",
            ),
        ),
    ] {
        let found = problems(&["001_users.sql", &format!("002_b.sql=-- depends: {depends}"), "003_c.sql"]);
        let expected: Vec<String> =
            expected.map(|text| format!("dependency-missing 002_b.sql:1:13: {text}")).into_iter().collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn history_table_file_is_no_migration() {
    let folder = folder(&["000_migrations_table.sql=CREATE TABLE t (a int);", "000_init.sql"]);
    let migrations = Migrations::read(folder.path()).unwrap();
    assert_eq!(ids(&migrations), ["000_init"]);
    assert_eq!(content(migrations.history_table.as_ref().unwrap()), "CREATE TABLE t (a int);");
}

#[test]
fn checksum_is_that_of_the_up_script_alone() {
    let one = read(&["001_a.sql=SELECT 1;\r\n", "001_a.down.sql=SELECT 2;"]);
    let other = read(&[
        "001_a/up.sql=\u{feff}SELECT 1;",
        "001_a/down.sql=SELECT 3;",
        "001_a/metadata.toml=title = 'A'",
    ]);
    assert_eq!(one.list[0].checksum, Checksum::of(b"SELECT 1;"));
    assert_eq!(one.list[0].checksum, other.list[0].checksum);
}

#[test]
fn file_larger_than_a_piece_is_read_whole() {
    let text = "-- Migration: Long\n".to_owned() + &"INSERT INTO a VALUES ('\r\n');\r\n".repeat(20_000);
    let folder = folder(&[]);
    write(folder.path(), "001_a.sql", text.as_bytes());
    let migrations = Migrations::read(folder.path()).unwrap();
    assert_eq!(migrations.list[0].checksum, Checksum::of(text.as_bytes()));
    assert_eq!(migrations.list[0].title.as_deref(), Some("Long"));
}

#[test]
fn text_that_is_not_utf8_is_told_from_other_troubles() {
    let folder = folder(&["004_d/up.sql"]);
    write(folder.path(), "001_a.sql", b"\xFF\xFES\0E\0L\0");
    write(folder.path(), "002_b.sql", b"SELECT 1;");
    write(folder.path(), "002_b.down.sql", b"\xFE\xFF\0S");
    write(folder.path(), "004_d/metadata.toml", b"title = '\xFF'");
    let starts: Vec<String> =
        problems_of(folder.path()).iter().map(|line| line.split(" | ").next().unwrap().to_owned()).collect();
    assert_eq!(
        starts,
        [
            "file-unreadable 001_a.sql: the text is UTF-16, and scripts are UTF-8",
            "file-unreadable 002_b.down.sql: the text is UTF-16, and scripts are UTF-8",
            "file-unreadable 004_d/metadata.toml: the text is not UTF-8 from byte 9 on",
        ]
    );
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_what_cannot_be_read_is_told() {
    use std::ffi::OsStr;
    use std::os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener};

    let folder = folder(&["..data/001_a.sql=SELECT 2;", "..data/2_dir/up.sql"]);
    symlink("..data/001_a.sql", folder.path().join("001_a.sql")).unwrap();
    symlink("..data/2_dir", folder.path().join("2_dir")).unwrap();
    let migrations = Migrations::read(folder.path()).unwrap();
    assert_eq!(ids(&migrations), ["001_a", "2_dir"]);

    symlink("nowhere", folder.path().join("003_c.sql")).unwrap();
    symlink("nowhere", folder.path().join("notes")).unwrap();
    let _socket = UnixListener::bind(folder.path().join("004_d.sql")).unwrap();
    fs::write(folder.path().join(OsStr::from_bytes(b"005_\xFF.sql")), "").unwrap();
    fs::write(folder.path().join(OsStr::from_bytes(b"\xFF")), "").unwrap();
    let starts: Vec<String> =
        problems_of(folder.path()).iter().map(|line| line.split(": ").nth(1).unwrap().to_owned()).collect();
    assert_eq!(
        starts,
        [
            "`003_c.sql` cannot be read",
            "`004_d.sql` cannot be read",
            "the name `005_\u{fffd}.sql` is not UTF-8 | rename it"
        ]
    );
}

#[test]
fn empty_file_and_empty_folder_are_fine() {
    assert!(read(&[]).list.is_empty());
    assert_eq!(ids(&read(&["001_a.sql="])), ["001_a"]);
}

#[test]
fn missing_folder_says_what_is_there_instead() {
    let folder = folder(&["sqlite/001_a.sql", "mysql/001_a.sql", ".git/x", "file"]);
    let text = |inner: &str| {
        let error = Migrations::read(&folder.path().join(inner)).unwrap_err();
        assert_eq!(error.problems[0].name, crate::error::Name::FolderUnreadable);
        text_of(&error).replace(&folder.path().display().to_string(), "F")
    };
    assert_eq!(
        text("sqlit"),
        "there is no folder `F/sqlit` | `F` holds the folders `mysql`, `sqlite` | `whimbrel new NAME` creates it with its first migration"
    );
    assert_eq!(
        text("a/b"),
        "there is no folder `F/a/b` | `F/a` is not there either | `whimbrel new NAME` creates it with its first migration"
    );
    assert_eq!(
        text("file"),
        "`F/file` is a file, and migrations live in a folder | name the folder that holds the files"
    );
}

#[test]
fn embedded_folder_reads_like_the_one_on_disk() {
    static EMBEDDED: Dir<'static> = crate::include_dir!("$CARGO_MANIFEST_DIR/../migrations/sqlite");
    let embedded = Migrations::embedded(&EMBEDDED).unwrap();
    let on_disk =
        Migrations::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/sqlite"))).unwrap();
    assert!(embedded.list.len() >= 12);
    let summary = |migrations: &Migrations| -> Vec<_> {
        let list = migrations.list.iter();
        list.map(|one| {
            (one.id.clone(), one.checksum, one.title.clone(), one.depends.clone(), one.down.is_some())
        })
        .collect()
    };
    assert_eq!(summary(&embedded), summary(&on_disk));
    assert_eq!(content(&embedded.list[0].up), content(&on_disk.list[0].up));
}

#[test]
fn demo_folders_have_no_problems() {
    for name in ["sqlite", "supabase", "mysql"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(name);
        Migrations::read(&folder).unwrap_or_else(|error| panic!("{name}: {}", text_of(&error)));
    }
}

/// So many that several threads share them.
#[test]
fn many_files_keep_their_order_and_so_do_their_problems() {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=1500 {
        let name = format!("{number:06}_row.sql");
        let text = format!("SELECT {number};");
        let is_broken = number % 500 == 0;
        write(folder.path(), &name, if is_broken { b"\xFF\xFES\0" } else { text.as_bytes() });
    }
    let found = problems_of(folder.path());
    let broken: Vec<&str> = found.iter().filter_map(|problem| problem.split(' ').nth(1)).collect();
    assert_eq!(broken.len(), 3, "{found:?}");
    assert!(broken.is_sorted(), "{found:?}");
    for number in [500, 1000, 1500] {
        write(folder.path(), &format!("{number:06}_row.sql"), format!("SELECT {number};").as_bytes());
    }
    let migrations = Migrations::read(folder.path()).unwrap();
    let expected = (1..=1500).map(|number| Checksum::of(format!("SELECT {number};").as_bytes()));
    assert!(migrations.list.iter().map(|migration| migration.checksum).eq(expected));
}
