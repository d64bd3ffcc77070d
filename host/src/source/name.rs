//! What the name of a file says.
//!
//! `001_name.sql`, `001_name.up.sql`, `001_name.down.sql` and the directory `001_name` all belong to the migration
//! `001_name`. A name that is nearly one of these is a mistake, which carries the cure.
//!
//! Looks at names alone, never into a file.

use super::version::Version;

/// The file that creates the history table. No other spelling does.
pub(super) const HISTORY_TABLE: &str = "000_migrations_table.sql";

/// Which script of a migration a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Up,
    Down,
}

/// How the files of a migration are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `001_name.sql`, and perhaps `001_name.down.sql`.
    Single,
    /// `001_name.up.sql` and `001_name.down.sql`.
    Pair,
    /// `001_name/up.sql` and `001_name/down.sql`.
    Directory,
}

/// The name of a migration, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stem {
    pub(super) id: String,
    pub(super) version: Version,
}

/// The name of a script, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileName {
    pub(super) stem: Stem,
    pub(super) half: Half,
    pub(super) form: Form,
}

/// Why a name is none, and what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) why: &'static str,
    pub(super) hint: String,
}

/// Words that other tools have for the two halves. As migrations of their own, such files would undo, as the next
/// step, what was just applied.
const FOREIGN_HALVES: &[(&str, &str)] =
    &[(".do", "up"), (".undo", "down"), (".revert", "down"), (".rollback", "down"), (".dn", "down")];

/// Reads the name of a file. Nothing for a file that is no `.sql`.
pub(super) fn file(name: &str) -> Option<Result<FileName, Mistake>> {
    let stem = strip_end(name, ".sql")?;
    for (ending, half) in FOREIGN_HALVES {
        if let Some(stem) = strip_end(stem, ending) {
            return Some(Err(Mistake {
                why: "the two scripts of a migration end in `.up.sql` and `.down.sql`",
                hint: format!("rename it to `{}.{half}.sql`", suggestion(stem)),
            }));
        }
    }
    let (stem, half, form) = if let Some(stem) = strip_end(stem, ".up") {
        (stem, Half::Up, Form::Pair)
    } else if let Some(stem) = strip_end(stem, ".down") {
        (stem, Half::Down, Form::Pair)
    } else {
        (stem, Half::Up, Form::Single)
    };
    let direction = &name[stem.len()..];
    Some(match self::stem(stem) {
        Some(stem) => Ok(FileName { stem, half, form }),
        None => Err(Mistake {
            why: SHAPE,
            hint: format!("rename it to `{}{}`", suggestion(stem), direction.to_ascii_lowercase()),
        }),
    })
}

/// What a name must look like, for messages.
pub(super) const SHAPE: &str = "a migration is called by its version, `_` and a name";

/// Reads the name of a migration.
pub(super) fn stem(text: &str) -> Option<Stem> {
    let (version, rest) = Version::at_start_of(text)?;
    let name = rest.strip_prefix('_')?;
    let readable = !name.is_empty() && name == name.trim() && !name.contains(char::is_control);
    readable.then(|| Stem { id: text.to_owned(), version })
}

/// Returns a name that would do, as near to `stem` as can be.
pub(super) fn suggestion(stem: &str) -> String {
    let trimmed = stem.trim();
    let after_letter = trimmed.strip_prefix(['V', 'v', 'U', 'u']).unwrap_or(trimmed);
    let (version, rest) = match Version::at_start_of(after_letter) {
        Some((version, rest)) => (version.as_written().to_owned(), rest),
        None => ("001".to_owned(), trimmed),
    };
    let name = slug(rest);
    format!("{version}_{}", if name.is_empty() { "name" } else { &name })
}

/// Returns `text` as a part of a file's name: letters and digits, the rest as `_`.
pub(super) fn slug(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("_").to_lowercase()
}

/// Like `strip_suffix`, blind to case: `001_NAME.SQL` is a migration too.
fn strip_end<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    let (before, last) = text.split_at_checked(text.len().checked_sub(end.len())?)?;
    last.eq_ignore_ascii_case(end).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_without_direction_is_the_id() {
        for (name, id, half, form) in [
            ("001_users.sql", "001_users", Half::Up, Form::Single),
            ("001_users.up.sql", "001_users", Half::Up, Form::Pair),
            ("001_users.down.sql", "001_users", Half::Down, Form::Pair),
            ("001_USERS.UP.SQL", "001_USERS", Half::Up, Form::Pair),
            ("2025-01-08-000001_users.sql", "2025-01-08-000001_users", Half::Up, Form::Single),
            ("1_v1.2 to v1.3.sql", "1_v1.2 to v1.3", Half::Up, Form::Single),
            ("1_größe.sql", "1_größe", Half::Up, Form::Single),
        ] {
            let read = file(name).unwrap().unwrap();
            assert_eq!((read.stem.id.as_str(), read.half, read.form), (id, half, form), "{name}");
        }
    }

    #[test]
    fn mistaken_name_comes_with_one_that_would_do() {
        for (name, hint) in [
            ("users.sql", "rename it to `001_users.sql`"),
            ("V2__add_email.sql", "rename it to `2_add_email.sql`"),
            ("1.2-Add Email.sql", "rename it to `1.2_add_email.sql`"),
            ("003-users.up.sql", "rename it to `003_users.up.sql`"),
            ("003.sql", "rename it to `003_name.sql`"),
            ("003_.down.sql", "rename it to `003_name.down.sql`"),
            ("003_users.undo.sql", "rename it to `003_users.down.sql`"),
            ("up.sql", "rename it to `001_up.sql`"),
            (" .sql", "rename it to `001_name.sql`"),
        ] {
            assert_eq!(file(name).unwrap().unwrap_err().hint, hint, "{name}");
        }
    }

    #[test]
    fn suggested_name_is_one() {
        for text in ["users", "V1__a", "", "--", "ü", "3", "V", "1-", "1.2.x", "\u{7}"] {
            assert!(stem(&suggestion(text)).is_some(), "{text}");
        }
    }

    #[test]
    fn file_that_does_not_end_in_sql_is_not_looked_at() {
        for name in ["README.md", "001_users.sql~", "001_users.sql.bak", "001_users", "sql", "ü"] {
            assert!(file(name).is_none(), "{name}");
        }
    }
}
