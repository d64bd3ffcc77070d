//! Which migration somebody means.
//!
//! Serves `--to`, `repair` and every other place where a person names a migration; [`closest`] serves the hints of
//! this module.
//!
//! Knows only files: a migration whose file is gone is found in the history, by the planner.

use super::{Migration, Migrations, Version};
use crate::error::{Name, Problem, Result};

impl Migrations {
    /// Returns the migration that `text` names: by its id, its version (`7`, `007`) or a beginning that no other has.
    ///
    /// # Errors
    ///
    /// [`Name::MigrationUnknown`] when there is none, or more than one.
    pub fn find(&self, text: &str) -> Result<&Migration> {
        if let Some(exact) = self.list.iter().find(|migration| migration.id.0 == text) {
            return Ok(exact);
        }
        if let Some(version) = Version::parse(text)
            && let Some(migration) = self.list.iter().find(|migration| migration.version == version)
        {
            return Ok(migration);
        }
        let beginning: Vec<&Migration> = self
            .list
            .iter()
            .filter(|migration| !text.is_empty() && migration.id.0.starts_with(text))
            .collect();
        match beginning.as_slice() {
            [one] => Ok(one),
            [] => Err(self.unknown(text).into()),
            several => Err(ambiguous(text, several).into()),
        }
    }

    fn unknown(&self, text: &str) -> Problem {
        let problem = Problem::new(Name::MigrationUnknown, format!("there is no migration `{text}`"));
        let ids = self.list.iter().map(|migration| migration.id.0.as_str());
        match (closest(text, ids), self.list.as_slice()) {
            (Some(id), _) => problem.hint(format!("did you mean `{id}`?")),
            (None, []) => problem.hint("the folder holds no migrations"),
            (None, [only]) => problem.hint(format!("the folder holds `{}` alone", only.id)),
            (None, [first, .., last]) => {
                problem.hint(format!("the folder holds `{}` to `{}`", first.id, last.id))
            }
        }
    }
}

fn ambiguous(text: &str, several: &[&Migration]) -> Problem {
    let message = format!("`{text}` is the beginning of {} migrations", several.len());
    let shown: Vec<String> = several.iter().take(3).map(|migration| format!("`{}`", migration.id)).collect();
    let more = if several.len() > shown.len() { ", …" } else { "" };
    Problem::new(Name::MigrationUnknown, message)
        .fact(format!("{}{more}", shown.join(", ")))
        .hint("name one in full")
}

/// Returns the candidate that `text` was probably meant to be.
pub(super) fn closest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    // An id without its version is the commonest slip, and far away by letters.
    let likeness = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let name = super::name::stem(&candidate)
            .and_then(|_| candidate.split_once('_'))
            .map_or("", |(_, name)| name);
        strsim::jaro_winkler(&text, &candidate).max(strsim::jaro_winkler(&text, name))
    };
    let likely = candidates.into_iter().map(|candidate| (likeness(candidate), candidate));
    likely
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use crate::source::Migrations;
    use crate::source::tests::{folder, text_of};

    #[test]
    fn migration_is_found_by_id_version_or_beginning() {
        let folder =
            folder(&["007_users.sql", "008_user_roles.sql", "2025-01-08-000001_posts.sql", "0100_tags.sql"]);
        let migrations = Migrations::read(folder.path()).unwrap();
        for (text, id) in [
            ("007_users", "007_users"),
            ("7", "007_users"),
            ("0007", "007_users"),
            ("008_u", "008_user_roles"),
            ("2025", "2025-01-08-000001_posts"),
            ("2025-1-8-1", "2025-01-08-000001_posts"),
            ("0100_tags", "0100_tags"),
            ("100", "0100_tags"),
        ] {
            assert_eq!(migrations.find(text).unwrap().id.0, id, "{text}");
        }
    }

    #[test]
    fn name_that_is_no_migrations_says_what_may_be_meant() {
        let folder = folder(&["007_users.sql", "008_user_roles.sql"]);
        let migrations = Migrations::read(folder.path()).unwrap();
        for (text, problem) in [
            ("007_user", None),
            (
                "00",
                Some(
                    "`00` is the beginning of 2 migrations | `007_users`, `008_user_roles` | name one in full",
                ),
            ),
            ("007_usres", Some("there is no migration `007_usres` | did you mean `007_users`?")),
            ("user_roles", Some("there is no migration `user_roles` | did you mean `008_user_roles`?")),
            ("9", Some("there is no migration `9` | the folder holds `007_users` to `008_user_roles`")),
            ("", Some("there is no migration `` | the folder holds `007_users` to `008_user_roles`")),
        ] {
            assert_eq!(
                migrations.find(text).err().map(|error| text_of(&error)).as_deref(),
                problem,
                "{text}"
            );
        }
    }
}
