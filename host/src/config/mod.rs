//! What was asked for, and where each value comes from.
//!
//! Puts command line, environment, `.env`, plugins.toml and defaults on top of each other, in this order, and keeps the
//! [`Origin`] of every value for the messages. Finds every problem of the file and the variables, not the first one.
//!
//! Knows neither databases nor adapters: it offers urls and names, and the [`factory`](crate::factory) decides. The one
//! type it takes from the adapters' contract is [`Secret`](whimbrel_adapter_api::Secret), so that a url cannot be printed by mistake. Nothing else in
//! this crate reads the environment.

mod database;
mod environment;
mod file;
mod flags;
mod keys;
mod layers;
mod origin;
mod passwords;
#[cfg(test)]
mod tests;
mod url;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use self::database::{Settings, defaults};
use self::environment::{Variables, read_if_present};
use self::file::{File, Values, directory_of, list};
use self::keys::keys_of;
use self::layers::Layer;
use crate::error::{Error, Name, Place, Problem, Result, nearest};

pub use self::database::{DatabaseConfig, Isolation, Mode, OutOfOrder, Stage, parse_duration};
pub use self::environment::Environment;
pub use self::flags::{Caller, Flags};
pub use self::keys::{
    DotEnv, ENVIRONMENT, KEYS, Key, Kind, Section, Variable, keys_as_markdown, url_variable,
    variables_as_markdown,
};
pub use self::origin::{Located, Origin};
pub use self::passwords::{PasswordFile, Passwords};
pub use self::url::Urls;

/// Everything that was configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that holds one folder for each database.
    pub migrations: Located<PathBuf>,
    /// The database that is meant when none is named.
    pub default: Option<Located<String>>,
    /// More folders to search for adapters, in order.
    pub plugins: Vec<Located<PathBuf>>,
    /// Settings of adapters, by name.
    pub adapters: BTreeMap<String, AdapterConfig>,
    /// plugins.toml, there or not.
    path: PathBuf,
    found: bool,
    file: File,
    variables: Variables,
    flags: Flags,
}

/// What `[adapters.NAME]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterConfig {
    /// The library: exactly this file.
    pub path: Option<Located<PathBuf>>,
    /// Whether it runs in a process of its own.
    pub isolation: Located<Isolation>,
}

impl Config {
    /// Reads plugins.toml and `.env`, and checks everything in them.
    ///
    /// The file is the one of `--config`, else of `WHIMBREL_CONFIG`, else `plugins.toml` in the working directory, which
    /// need not exist. `.env` is read beside that file and in the working directory.
    ///
    /// # Errors
    ///
    /// All problems of the files and variables.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Config> {
        let mut problems = Vec::new();
        let directory = environment.directory();
        // `.env` cannot name the file whose folder says where `.env` is.
        let named =
            match (&flags.config, Variables::read(environment, &[], &mut problems).get("WHIMBREL_CONFIG")) {
                (Some(path), _) => Some(Located::new(path.clone(), flags.origin("--config"))),
                (None, Ok(variable)) => variable.map(|variable| variable.map(PathBuf::from)),
                (None, Err(error)) => return Err(error),
            };
        let path =
            directory.join(named.as_ref().map_or(Path::new("plugins.toml"), |named| named.value.as_path()));
        let text = read_if_present(&path)?;
        if let (Some(named), None) = (&named, &text) {
            let message = format!("there is no file `{}`", path.display());
            return Err(Problem::new(Name::Config, message)
                .fact(format!("the name comes from {}", named.origin))
                .into());
        }
        let found = text.is_some();
        let file = text.map(|text| File::parse(&path, &text, &mut problems)).unwrap_or_default();
        let variables = Variables::read(environment, &[directory_of(&path), directory], &mut problems);
        let config = Config::put_together(flags, directory, (path, found), file, variables, &mut problems);
        problems.sort_by_key(|problem| reading_order(problem, &config.path));
        Error::unless_empty(problems)?;
        Ok(config)
    }

    /// Returns what an application says by itself, without any file or variable.
    ///
    /// # Errors
    ///
    /// When a value makes no sense.
    pub fn from_flags(flags: &Flags) -> Result<Config> {
        let mut problems = Vec::new();
        let place = (PathBuf::from("plugins.toml"), false);
        let config = Config::put_together(
            flags,
            Path::new(""),
            place,
            File::default(),
            Variables::default(),
            &mut problems,
        );
        Error::unless_empty(problems)?;
        Ok(config)
    }

    /// Returns the path of a file beside plugins.toml, whether that is there or not.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        directory_of(&self.path).join(name)
    }

    /// Returns what holds for the database `name`, or for the default one.
    ///
    /// The database need have neither a section nor a folder: see [`require_folder`](Self::require_folder).
    ///
    /// # Errors
    ///
    /// When none is named and there is no default; when `name` is a path.
    pub fn database(&self, name: Option<&str>) -> Result<DatabaseConfig> {
        self.database_named_by("DATABASE", name)
    }

    /// Does the same with a name that another argument gave.
    pub(crate) fn database_named_by(
        &self,
        argument: &'static str,
        name: Option<&str>,
    ) -> Result<DatabaseConfig> {
        let name = match (name, &self.default) {
            (Some(name), _) => Located::new(name.to_owned(), self.flags.origin(argument)),
            (None, Some(default)) => default.clone(),
            (None, None) => return Err(self.nothing_named().into()),
        };
        if let Some(problem) = not_a_name(&name) {
            return Err(problem.into());
        }
        let mut problems = Vec::new();
        let database = self.resolve(name, &mut problems);
        Error::unless_empty(problems)?;
        database.ok_or_else(|| {
            Problem::new(Name::Bug, "a database was resolved without problem or result").into()
        })
    }

    /// Returns the databases there are, by name: the folders of `migrations` and the sections of plugins.toml.
    #[must_use]
    pub fn databases(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.migrations.value).into_iter().flatten().flatten();
        let folders = entries
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok());
        let visible = folders.filter(|name| !name.starts_with('.'));
        let all: BTreeSet<String> = visible.chain(self.file.databases.keys().cloned()).collect();
        all.into_iter().collect()
    }

    /// Checks that the folder of a database is there. Commands that read migrations call it first, because a mistyped
    /// name would otherwise be reported as an unknown adapter.
    ///
    /// # Errors
    ///
    /// `folder-unreadable`, with the name that was probably meant.
    pub fn require_folder(&self, database: &DatabaseConfig) -> Result<()> {
        if database.folder.is_dir() {
            return Ok(());
        }
        let message = format!("there is no folder `{}`", database.folder.display());
        let problem = Problem::new(Name::FolderUnreadable, message)
            .fact(format!("the name `{}` comes from {}", database.name.value, database.name.origin))
            .fact(format!(
                "the folder `{}` comes from {}",
                self.migrations.value.display(),
                self.migrations.origin
            ));
        let known = self.databases();
        let others = || known.iter().map(String::as_str).filter(|name| *name != database.name.value);
        Err(match nearest(&database.name.value, others()) {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem.hint(format!("`whimbrel new NAME --in {}` begins it", database.name.value)),
        }
        .into())
    }

    /// Returns plugins.toml, if it was there.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.found.then_some(self.path.as_path())
    }

    fn put_together(
        flags: &Flags,
        directory: &Path,
        (path, found): (PathBuf, bool),
        file: File,
        variables: Variables,
        problems: &mut Vec<Problem>,
    ) -> Config {
        let default_folder = || Located::new(directory_of(&path).join("migrations"), Origin::Default);
        let adapters =
            file.adapters.iter().map(|(name, values)| (name.clone(), AdapterConfig::of(values))).collect();
        let config = Config {
            migrations: migrations_folder(flags, directory, &file, &variables, problems)
                .unwrap_or_else(default_folder),
            default: file.top.settings.get("default").cloned(),
            plugins: file.top.paths.get("plugins").cloned().unwrap_or_default(),
            adapters,
            path,
            found,
            file,
            variables,
            flags: flags.clone(),
        };
        problems.extend(config.default.as_ref().and_then(not_a_name));
        for (name, section) in &config.file.databases {
            url::check(name, section, problems);
            config.check_values(section.settings.clone(), problems);
        }
        let variables = config.variables_layer(problems);
        config.check_values(variables, problems);
        config
    }

    /// Checks one layer for itself, so that a value that another one hides is checked too.
    fn check_values(&self, layer: Layer, problems: &mut Vec<Problem>) {
        let name = Located::new(String::new(), Origin::Default);
        Settings { values: layers::merge(vec![defaults(), layer]).unwrap_or_default(), problems }.database(
            name,
            PathBuf::new(),
            Urls::new("", None, None, &self.variables, (&self.path, self.found)),
        );
    }

    fn resolve(&self, name: Located<String>, problems: &mut Vec<Problem>) -> Option<DatabaseConfig> {
        let section = self.file.databases.get(&name.value);
        let layers = vec![
            defaults(),
            section.map(|section| section.settings.clone()).unwrap_or_default(),
            self.variables_layer(problems),
            self.flags.layer(),
        ];
        let values = match layers::merge(layers) {
            Ok(values) => values,
            Err(error) => {
                problems.push(
                    Problem::new(Name::Bug, "the layers of settings do not fit").caused_by(error.to_string()),
                );
                return None;
            }
        };
        let url = self.flags.url.clone().map(|url| Located::new(url, self.flags.origin("--url")));
        let urls = Urls::new(&name.value, url, section, &self.variables, (&self.path, self.found));
        let folder = self.migrations.value.join(&name.value);
        Settings { values, problems }.database(name, folder, urls)
    }

    fn variables_layer(&self, problems: &mut Vec<Problem>) -> Layer {
        let mut layer = Layer::new();
        for key in keys_of(Section::Database).filter(|key| key.kind != Kind::Secret) {
            match key.variable.map(|variable| self.variables.get(variable)) {
                Some(Ok(Some(value))) => {
                    layer.insert(key.name, value);
                }
                Some(Err(error)) => problems.extend(error.problems),
                Some(Ok(None)) | None => {}
            }
        }
        layer
    }

    fn nothing_named(&self) -> Problem {
        let known = self.databases();
        let problem = Problem::new(Name::Usage, "no database is named, and there is no default")
            .fact(format!("the databases are the folders of {}", self.migrations.value.display()));
        match known.first() {
            Some(first) => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                problem.hint(format!(
                    "name one of {}, or put `default = \"{first}\"` into {}",
                    list(&known),
                    self.path.display()
                ))
            }
            None => problem.hint("`whimbrel new NAME --in DATABASE` begins the first one"),
        }
    }
}

/// Returns a key that sorts problems as the file is read, then those of `.env`, then those of variables.
fn reading_order(problem: &Problem, file: &Path) -> (bool, u64, u64) {
    let place = problem.places.first();
    let number = |number: fn(&Place) -> Option<u64>| place.and_then(number).unwrap_or(u64::MAX);
    let elsewhere = place.is_none_or(|place| place.file != file);
    (elsewhere, number(|place| place.line), number(|place| place.column))
}

/// Returns the folder of the migrations, if anything names it. Relative to whatever names it.
fn migrations_folder(
    flags: &Flags,
    directory: &Path,
    file: &File,
    variables: &Variables,
    problems: &mut Vec<Problem>,
) -> Option<Located<PathBuf>> {
    if let Some(path) = &flags.migrations {
        return Some(Located::new(directory.join(path), flags.origin("--dir")));
    }
    match variables.get("WHIMBREL_DIR") {
        Err(error) => problems.extend(error.problems),
        Ok(None) => {}
        Ok(Some(variable)) => {
            let base = match &variable.origin {
                Origin::DotEnv { path, .. } => directory_of(path),
                _ => directory,
            };
            let path = base.join(&variable.value);
            return Some(Located::new(path, variable.origin));
        }
    }
    file.top.path("migrations").cloned()
}

/// Returns what is wrong with a name that is none: a path, as a shell completes it.
fn not_a_name(name: &Located<String>) -> Option<Problem> {
    let is_path = name.value.contains(['/', '\\']) || matches!(name.value.as_str(), "" | "." | "..");
    is_path.then(|| {
        let problem = Problem::new(Name::Usage, format!("`{}` is not the name of a database", name.value))
            .fact(format!("it comes from {}", name.origin));
        match name.value.split(['/', '\\']).rfind(|part| !matches!(*part, "" | "." | "..")) {
            Some(last) => problem.hint(format!("a database is named by its folder alone: `{last}`")),
            None => problem.hint("a database is named by its folder alone"),
        }
    })
}

impl AdapterConfig {
    fn of(values: &Values) -> Self {
        let isolation = values.settings.get("isolate").and_then(|isolate| {
            Isolation::of_word(&isolate.value)
                .map(|isolation| Located::new(isolation, isolate.origin.clone()))
        });
        AdapterConfig {
            path: values.path("path").cloned(),
            isolation: isolation.unwrap_or(Located::new(Isolation::None, Origin::Default)),
        }
    }
}
