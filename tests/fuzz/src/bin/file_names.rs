//! Any list of paths, one on each line: names are read as they are suggested and found again, versions have one order,
//! and a folder is either refused or in that order.

#![no_main]

use std::cmp::Ordering;

use libfuzzer_sys::fuzz_target;
use whimbrel::source::fuzzing::{FileName, file_name, folder, next, stem};
use whimbrel::source::{Migrations, Version};

fuzz_target!(|input: &[u8]| {
    let paths: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let names = paths.iter().flat_map(|path| path.split(|byte| *byte == b'/'));
    let names: Vec<&str> = names.filter_map(|name| std::str::from_utf8(name).ok()).collect();
    names.iter().for_each(|name| name_is_read_again(name));

    let versions: Vec<Version> =
        names.iter().filter_map(|name| Some(stem(name).or_else(|| stem(&format!("{name}_x")))?.1)).collect();
    // All triples: three dozen names are enough for any law.
    order_is_total(&versions[..versions.len().min(12)]);

    let files: Vec<(&[u8], &[u8])> = paths.iter().map(|path| (*path, &b"SELECT 1;\n"[..])).collect();
    match folder(&files) {
        Ok(migrations) => migrations_are_found(&migrations),
        Err(error) => assert!(!error.problems.is_empty(), "refused without a reason"),
    }
});

fn name_is_read_again(name: &str) {
    match file_name(name) {
        None => assert!(!name.to_ascii_lowercase().ends_with(".sql"), "`{name}` is passed over"),
        Some(FileName::Mistaken { suggestion }) => {
            let again = file_name(&suggestion);
            assert!(matches!(again, Some(FileName::Of { .. })), "`{suggestion}` would not do for `{name}`");
        }
        Some(FileName::Of { id, version }) => {
            assert!(name.starts_with(&id), "`{name}` is not of `{id}`");
            assert_eq!(stem(&id), Some((id.clone(), version.clone())), "the id is no name");
            assert_eq!(Version::parse(version.as_written()), Some(version.clone()));
            for half in ["up", "down"] {
                let again = file_name(&format!("{id}.{half}.sql"));
                assert_eq!(again, Some(FileName::Of { id: id.clone(), version: version.clone() }));
            }
        }
    }
}

fn order_is_total(versions: &[Version]) {
    for one in versions {
        assert!(next(one) > *one, "nothing comes after {one}");
        assert_eq!(Version::parse(next(one).as_written()), Some(next(one)));
        for other in versions {
            assert_eq!(one.cmp(other), other.cmp(one).reverse(), "{one} and {other}");
            assert_eq!(one == other, one.cmp(other) == Ordering::Equal, "{one} and {other}");
            for third in versions {
                assert!(!(one <= other && other <= third) || one <= third, "{one}, {other}, {third}");
            }
        }
    }
}

fn migrations_are_found(migrations: &Migrations) {
    let ascending = migrations.list.is_sorted_by(|one, other| one.version < other.version);
    assert!(ascending, "the order is not strict");
    for migration in &migrations.list {
        for name in [migration.id.0.as_str(), migration.version.as_written()] {
            let found = migrations.find(name).map(|found| &found.id);
            assert_eq!(found.ok(), Some(&migration.id), "`{name}` means another one");
        }
    }
}
