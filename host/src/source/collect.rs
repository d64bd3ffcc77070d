//! From names in a folder to migrations.
//!
//! The one way for files on disk and files in the program: sorts the [`Entry`]s by migration, looks into each file
//! once, and checks what only the whole folder can tell. Finds every problem, not the first one.
//!
//! Passes over nothing that looks like a migration: a script that is skipped in silence is worse than an error.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use super::folder::{Entry, Kind};
use super::inspect::{self, Buffer};
use super::metadata::{self, Metadata, Said};
use super::name::{self, HISTORY_TABLE, Half, Stem};
use super::version::Version;
use super::{Content, Id, Migration, Migrations, Script, closest};
use crate::error::{Error, Name, Problem, Result};

/// Makes migrations of what lies in a folder.
pub(super) fn collect(entries: Vec<Entry>) -> Result<Migrations> {
    let mut found = Found::default();
    for entry in entries {
        found.entry(entry);
    }
    let Found { mut groups, history_table, mut problems } = found;
    incomplete(&groups, &mut problems);
    groups.retain(|_, group| !group.ups.is_empty());
    same_half_twice(&groups, &mut problems);
    same_version_twice(&groups, &mut problems);

    let mut buffer = inspect::buffer();
    if let Some(script) = &history_table {
        // Its header means nothing, but whether it can be read is told before anything runs.
        inspect::header(script, &mut buffer, &mut problems);
    }
    let (mut read, found) = read(groups.into_iter().collect());
    problems.extend(found);
    read.sort_by(|(one, _), (other, _)| one.version.cmp(&other.version));
    dependencies(&read, &mut problems);
    Error::unless_empty(problems)?;
    Ok(Migrations { list: read.into_iter().map(|(migration, _)| migration).collect(), history_table })
}

/// The files by migration.
#[derive(Default)]
struct Found {
    groups: BTreeMap<String, Group>,
    history_table: Option<Script>,
    problems: Vec<Problem>,
}

/// The files of one migration.
struct Group {
    version: Version,
    ups: Vec<Script>,
    downs: Vec<Script>,
    metadata: Option<Script>,
}

impl Found {
    fn entry(&mut self, entry: Entry) {
        let Entry { name, path, kind } = entry;
        let Some(name) = name.to_str() else {
            return self.not_utf8(&name.to_string_lossy(), &path, &kind);
        };
        match kind {
            Kind::File(content) => self.file(name, path, content),
            Kind::Directory(children) => self.directory(name, &path, children),
            Kind::Nested => {}
            Kind::Unreadable(why) if looks_like_migration(name) => {
                let message = format!("`{}` cannot be read", path.display());
                self.problems
                    .push(Problem::new(Name::FileUnreadable, message).at(path.as_path()).caused_by(why));
            }
            Kind::Unreadable(_) => {}
        }
    }

    fn not_utf8(&mut self, shown: &str, path: &Path, kind: &Kind) {
        if matches!(kind, Kind::Directory(_)) || name::file(shown).is_some() {
            let problem = Problem::new(Name::FileName, format!("the name `{shown}` is not UTF-8"));
            self.problems
                .push(problem.at(path).hint("rename it: the name is the migration's id in the history"));
        }
    }

    fn file(&mut self, name: &str, path: PathBuf, content: Content) {
        if name == HISTORY_TABLE {
            self.history_table = Some(script(path, content));
            return;
        }
        match name::file(name) {
            None => {}
            Some(Err(mistake)) => {
                let message = format!("`{name}` is no migration's name: {}", mistake.why);
                self.problems
                    .push(Problem::new(Name::FileName, message).at(path.as_path()).hint(mistake.hint));
            }
            Some(Ok(file)) => self.half(file.stem, file.half, script(path, content)),
        }
    }

    fn half(&mut self, stem: Stem, half: Half, script: Script) {
        if is_history_table(&stem.id) {
            return self.history_table_otherwise(&script.path);
        }
        let group = self.group(stem);
        match half {
            Half::Up => group.ups.push(script),
            Half::Down => group.downs.push(script),
        }
    }

    fn group(&mut self, stem: Stem) -> &mut Group {
        self.groups.entry(stem.id).or_insert_with(|| Group {
            version: stem.version,
            // Nearly always there is one.
            ups: Vec::with_capacity(1),
            downs: Vec::new(),
            metadata: None,
        })
    }

    /// As a migration like any other, this would create the history table too late, or drop it.
    fn history_table_otherwise(&mut self, path: &Path) {
        let message = format!("only `{HISTORY_TABLE}` creates the history table, and nothing takes it back");
        let problem = Problem::new(Name::FileName, message).at(path);
        self.problems.push(problem.hint(format!("name the file `{HISTORY_TABLE}`, or delete it")));
    }

    fn directory(&mut self, name: &str, path: &Path, children: Vec<Entry>) {
        let holds_script = children.iter().any(|child| matches!(role(child), Role::Up | Role::Down));
        match name::stem(name) {
            Some(stem) if is_history_table(&stem.id) => self.history_table_otherwise(path),
            Some(stem) => self.migration_directory(&stem, path, children),
            None if holds_script => {
                let message = format!("`{name}` is no migration's name: {}", name::SHAPE);
                let hint = format!("rename it to `{}`", name::suggestion(name));
                self.problems.push(Problem::new(Name::FileName, message).at(path).hint(hint));
            }
            None => self.other_directory(name, &children),
        }
    }

    fn migration_directory(&mut self, stem: &Stem, path: &Path, children: Vec<Entry>) {
        let problems_before = self.problems.len();
        let mut scripts = 0;
        for child in children {
            let role = role(&child);
            match (role, child.kind) {
                (Role::Other, _) => {}
                (Role::Stray, _) => self.stray(&child.path),
                (_, Kind::Unreadable(why)) => {
                    let message = format!("`{}` cannot be read", child.path.display());
                    let problem = Problem::new(Name::FileUnreadable, message).at(child.path.as_path());
                    self.problems.push(problem.caused_by(why));
                }
                (Role::Metadata, Kind::File(content)) => {
                    self.group(stem.clone()).metadata = Some(script(child.path, content));
                }
                (role, Kind::File(content)) => {
                    scripts += 1;
                    let half = if let Role::Up = role { Half::Up } else { Half::Down };
                    self.half(stem.clone(), half, script(child.path, content));
                }
                (_, Kind::Directory(_) | Kind::Nested) => self.stray(&child.path),
            }
        }
        if scripts == 0 && self.problems.len() == problems_before {
            let message = format!("`{}` holds no `up.sql`", stem.id);
            let problem = Problem::new(Name::FileName, message).at(path);
            self.problems.push(problem.hint("add `up.sql`, or delete the directory"));
        }
    }

    fn stray(&mut self, path: &Path) {
        let problem = Problem::new(
            Name::FileName,
            format!("`{}` is nothing that a migration's directory holds", path.display()),
        );
        let hint = "a directory holds `up.sql`, and may hold `down.sql` and `metadata.toml`: rename it, or move it away";
        self.problems.push(problem.at(path).hint(hint));
    }

    /// A directory that is no migration is none of our business, unless migrations hide in it.
    fn other_directory(&mut self, name: &str, children: &[Entry]) {
        let hidden: Vec<&Entry> = children.iter().filter(|child| is_migration(child)).collect();
        if let Some(first) = hidden.first() {
            let count = hidden.len();
            let files =
                if count == 1 { "a migration lies".to_owned() } else { format!("{count} migrations lie") };
            let problem = Problem::new(Name::FileName, format!("{files} in `{name}`, which is not read"));
            let hint = "move them up into the folder itself, or the directory out of it";
            self.problems.push(problem.at(first.path.as_path()).hint(hint));
        }
    }
}

/// What a file is to the migration whose directory it lies in.
#[derive(Clone, Copy)]
enum Role {
    Up,
    Down,
    Metadata,
    /// It looks as if it should count, and would not.
    Stray,
    Other,
}

fn role(child: &Entry) -> Role {
    let name = child.name.to_string_lossy().to_ascii_lowercase();
    match name.as_str() {
        "up.sql" => Role::Up,
        "down.sql" => Role::Down,
        "metadata.toml" => Role::Metadata,
        _ if name.ends_with(".sql") || name.ends_with(".toml") => Role::Stray,
        _ if matches!(child.kind, Kind::Nested) && name::stem(&name).is_some() => Role::Stray,
        _ => Role::Other,
    }
}

fn is_migration(child: &Entry) -> bool {
    let name = child.name.to_string_lossy();
    match child.kind {
        Kind::Nested | Kind::Directory(_) => name::stem(&name).is_some(),
        Kind::File(_) | Kind::Unreadable(_) => matches!(name::file(&name), Some(Ok(_))),
    }
}

fn looks_like_migration(name: &str) -> bool {
    name::file(name).is_some() || name::stem(name).is_some()
}

fn is_history_table(id: &str) -> bool {
    HISTORY_TABLE.strip_suffix(".sql").is_some_and(|history| id.eq_ignore_ascii_case(history))
}

fn script(path: PathBuf, content: Content) -> Script {
    Script { path, first_line: 1, content }
}

fn incomplete(groups: &BTreeMap<String, Group>, problems: &mut Vec<Problem>) {
    for (id, group) in groups.iter().filter(|(_, group)| group.ups.is_empty()) {
        let Some(down) = group.downs.first() else { continue };
        let problem = Problem::new(Name::DownWithoutUp, format!("`{id}` has a down script and no up script"));
        let same_version =
            groups.iter().filter(|(_, other)| !other.ups.is_empty() && other.version == group.version);
        let hint = match closest(id, same_version.map(|(id, _)| id.as_str())) {
            Some(other) => format!("does it belong to `{other}`? then give it that name"),
            None => format!("add the up script of `{id}`, or delete this file"),
        };
        problems.push(problem.at(down.path.as_path()).hint(hint));
    }
}

fn same_half_twice(groups: &BTreeMap<String, Group>, problems: &mut Vec<Problem>) {
    for (id, group) in groups {
        for (word, scripts) in [("up", &group.ups), ("down", &group.downs)] {
            if scripts.len() > 1 {
                let message = format!("`{id}` has {} {word} scripts", scripts.len());
                let problem = Problem::new(Name::DuplicateFile, message).hint("keep one of them");
                problems
                    .push(scripts.iter().fold(problem, |problem, script| problem.at(script.path.as_path())));
            }
        }
    }
}

fn same_version_twice(groups: &BTreeMap<String, Group>, problems: &mut Vec<Problem>) {
    let mut by_version: Vec<(&str, &Group)> = groups.iter().map(|(id, group)| (id.as_str(), group)).collect();
    by_version.sort_by(|(_, one), (_, other)| one.version.cmp(&other.version));
    // Of several spellings the one that is listed first.
    let mut free = groups.values().rev().map(|group| &group.version).max().map(Version::next);
    let same_version = by_version.chunk_by(|(_, one), (_, other)| one.version == other.version);
    for same in same_version.filter(|same| same.len() > 1) {
        let version = &same[0].1.version;
        let count = if same.len() == 2 { "two".to_owned() } else { same.len().to_string() };
        let mut problem =
            Problem::new(Name::DuplicateVersion, format!("{count} files have version {version}"));
        for script in same.iter().filter_map(|(_, group)| group.ups.first()) {
            problem = problem.at(script.path.as_path());
        }
        // `2014_10_12_000000_name`: numbers are joined by `_` elsewhere, and renumbering would be no cure.
        let dated =
            same.iter().all(|(id, _)| id.split('_').nth(1).is_some_and(|word| word.parse::<u64>().is_ok()));
        problems.push(if dated {
            problem.hint("a version ends at the first `_`: join its numbers with `-` or `.`, as in `2025-01-08-000001_name`")
        } else {
            let next = free.take().map(|version| (version.next(), version));
            let number = next.map_or_else(String::new, |(after, version)| {
                free = Some(after);
                version.as_written().to_owned()
            });
            problem.hint(format!("rename the newer one to {number}"))
        });
    }
}

/// A migration with what it depends on, and where that is said.
type Read = (Migration, Vec<Said<String>>);

/// So many files are read before another thread could be of help.
const WORTH_A_THREAD: usize = 256;

/// Reads migrations, in parallel if there are many, and returns them in their order with what is wrong with them.
fn read(groups: Vec<(String, Group)>) -> (Vec<Read>, Vec<Problem>) {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = processors.min(groups.len() / WORTH_A_THREAD).max(1);
    let share = groups.len().div_ceil(threads);
    let mut groups = groups.into_iter();
    let mut next_share = || groups.by_ref().take(share).collect::<Vec<_>>();
    let own = next_share();
    let shares: Vec<_> = (1..threads).map(|_| next_share()).collect();
    thread::scope(|scope| {
        let helpers: Vec<_> = shares.into_iter().map(|share| scope.spawn(|| read_share(share))).collect();
        let (mut read, mut problems) = read_share(own);
        for helper in helpers {
            let (more, found) = helper.join().unwrap_or_else(|panic| resume_unwind(panic));
            read.extend(more);
            problems.extend(found);
        }
        (read, problems)
    })
}

fn read_share(groups: Vec<(String, Group)>) -> (Vec<Read>, Vec<Problem>) {
    let (mut buffer, mut problems) = (inspect::buffer(), Vec::new());
    let read = groups.into_iter().map(|(id, group)| migration(id, group, &mut buffer, &mut problems));
    (read.collect(), problems)
}

fn migration(id: String, group: Group, buffer: &mut Buffer, problems: &mut Vec<Problem>) -> Read {
    let Group { version, ups, downs, metadata } = group;
    let up = ups.into_iter().next().expect("a group without an up script was left out");
    let inspected = inspect::whole(&up, buffer, problems);
    let directory = metadata.map(|script| directory_metadata(&script, problems)).unwrap_or_default();
    // The directory's file speaks for both of its scripts, a header for its own.
    let of_both = Metadata { transaction: directory.transaction.clone(), ..Metadata::default() };
    let metadata = directory.merge(inspected.header, problems);
    let transaction = value(metadata.transaction.as_ref());
    let (down, down_transaction) = match downs.into_iter().next() {
        Some(script) => {
            let header = inspect::header(&script, buffer, problems);
            let header = Metadata { transaction: header.transaction, ..Metadata::default() };
            let merged = of_both.merge(header, problems);
            (Some(script), value(merged.transaction.as_ref()))
        }
        // `-- Rollback:` stands in the up script, and so under its `-- no-transaction`.
        None => (rollback(&up, &metadata.rollback, problems), transaction),
    };
    let migration = Migration {
        id: Id(id),
        version,
        up,
        down,
        checksum: inspected.checksum,
        title: metadata.title.map(|said| said.value),
        created: metadata.created.map(|said| said.value),
        depends: metadata.depends.iter().map(|said| Id(said.value.clone())).collect(),
        environments: metadata.environments.into_iter().map(|said| said.value).collect(),
        transaction,
        down_transaction,
    };
    (migration, metadata.depends)
}

fn value<T: Copy + Default>(said: Option<&Said<T>>) -> T {
    said.map(|said| said.value).unwrap_or_default()
}

fn directory_metadata(script: &Script, problems: &mut Vec<Problem>) -> Metadata {
    let Some(text) = inspect::text(script, problems) else {
        return Metadata::default();
    };
    let (metadata, found) = metadata::parse(&script.path, &text);
    problems.extend(found);
    metadata
}

/// Makes a down script of `-- Rollback:` lines.
///
/// Everything else of the file becomes blank, so that a line and column in the script are those in the file.
fn rollback(up: &Script, lines: &[Said<String>], problems: &mut Vec<Problem>) -> Option<Script> {
    let first_line = lines.first()?.place.line.unwrap_or(1);
    let mut text = String::new();
    let mut line = first_line;
    for said in lines {
        if said.value.is_empty() {
            let problem = Problem::new(Name::Metadata, "`-- Rollback:` says nothing").at(said.place.clone());
            problems.push(
                problem.hint("write the statement on the same line, or repeat `-- Rollback:` on every line"),
            );
        }
        while line < said.place.line.unwrap_or(line) {
            text.push('\n');
            line += 1;
        }
        text.extend((1..said.place.column.unwrap_or(1)).map(|_| ' '));
        text.push_str(&said.value);
    }
    let content = Content::Bytes(Arc::from(text.into_bytes()));
    Some(Script { path: up.path.clone(), first_line, content })
}

fn dependencies(read: &[Read], problems: &mut Vec<Problem>) {
    if read.iter().all(|(_, depends)| depends.is_empty()) {
        return;
    }
    let versions: BTreeMap<&str, &Version> =
        read.iter().map(|(migration, _)| (migration.id.0.as_str(), &migration.version)).collect();
    for (migration, depends) in read {
        for said in depends {
            let (id, needed) = (&migration.id, &said.value);
            let problem =
                |message: String| Problem::new(Name::DependencyMissing, message).at(said.place.clone());
            match versions.get(needed.as_str()) {
                Some(version) if **version < migration.version => {}
                Some(_) if *needed == id.0 => problems.push(problem(format!("`{id}` depends on itself"))),
                Some(_) => problems.push(
                    problem(format!("`{id}` depends on `{needed}`, which comes after it"))
                        .hint(format!("give `{id}` a higher version, or `{needed}` a lower one")),
                ),
                None => {
                    let problem = problem(format!("`{id}` depends on `{needed}`, which is not there"));
                    problems.push(
                        match closest(needed, versions.keys().copied().filter(|other| *other != id.0)) {
                            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                            None => problem.hint("name a migration of this folder by its id"),
                        },
                    );
                }
            }
        }
    }
}
