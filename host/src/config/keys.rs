//! Every key of plugins.toml and every variable of the environment, each in one place.
//!
//! The file is checked against [`KEYS`], the layers are built from it, and the tables of the documentation are written
//! from both lists.

use super::{Mode, OutOfOrder};

/// A key of plugins.toml, with the option and the variable that stand above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where it stands.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when nothing says otherwise.
    pub default: Option<&'static str>,
    /// The option of the command line.
    pub flag: Option<&'static str>,
    /// The variable.
    pub variable: Option<&'static str>,
    /// What it is for, in one sentence.
    pub meaning: &'static str,
}

/// A part of plugins.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The top of the file.
    Top,
    /// `[adapters.NAME]`.
    Adapter,
    /// `[databases.NAME]`.
    Database,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// A path, relative to the file.
    Path,
    /// A list of paths, relative to the file.
    Paths,
    /// `true` or `false`.
    Truth,
    /// A text such as `10m`, `5s`, `500ms`.
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `[name.NAME]` sections.
    Sections,
}

/// A variable of the environment that is no key of plugins.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The option of the command line that stands above it.
    pub flag: Option<&'static str>,
    /// Whether a `.env` file may set it too.
    pub dot_env: DotEnv,
    /// What it is for, in one sentence.
    pub meaning: &'static str,
}

/// Whether `.env` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DotEnv {
    /// The environment, else `.env`.
    Counts,
    /// The environment alone.
    Ignored,
}

const KEY: Key = Key {
    section: Section::Top,
    name: "",
    kind: Kind::Text,
    default: None,
    flag: None,
    variable: None,
    meaning: "",
};

/// Every key of plugins.toml, in the order of the documentation.
pub const KEYS: &[Key] = &[
    Key { name: "default", meaning: "The database that is meant when none is named.", ..KEY },
    Key {
        name: "migrations",
        kind: Kind::Path,
        default: Some("migrations"),
        flag: Some("--dir"),
        variable: Some("WHIMBREL_DIR"),
        meaning: "The folder that holds one folder for each database.",
        ..KEY
    },
    Key {
        name: "plugins",
        kind: Kind::Paths,
        meaning: "More folders to search for adapters, before the folder of the program.",
        ..KEY
    },
    Key { name: "adapters", kind: Kind::Sections, meaning: "Settings of an adapter, by its name.", ..KEY },
    Key { name: "databases", kind: Kind::Sections, meaning: "Settings of a database, by its folder.", ..KEY },
    Key {
        name: "path",
        kind: Kind::Path,
        meaning: "The library of the adapter: exactly this file, nothing else is searched.",
        ..ADAPTER
    },
    Key {
        name: "isolate",
        kind: Kind::Truth,
        default: Some("false"),
        meaning: "Whether the adapter runs in a process of its own, so that a crash in it ends neither the program nor what it knows.",
        ..ADAPTER
    },
    Key {
        name: "adapter",
        flag: Some("--adapter"),
        meaning: "The adapter. Needed only when the folder's name is no adapter's name or alias.",
        ..DATABASE
    },
    Key {
        name: "url",
        kind: Kind::Secret,
        flag: Some("--url"),
        variable: Some("WHIMBREL_<NAME>_URL"),
        meaning: "Where the database is. `${VAR}` stands for a variable of the environment or of `.env`, \
                  `$${` for the two characters themselves.",
        ..DATABASE
    },
    Key {
        name: "url_file",
        kind: Kind::Path,
        meaning: "A file that holds the url, in place of `url`.",
        ..DATABASE
    },
    Key {
        name: "url_command",
        kind: Kind::Secret,
        meaning: "A command of `sh` that prints the url, in place of `url`. It runs in the folder of plugins.toml.",
        ..DATABASE
    },
    Key {
        name: "table",
        default: Some("whimbrel_migrations"),
        flag: Some("--table"),
        variable: Some("WHIMBREL_TABLE"),
        meaning: "The table that holds the history.",
        ..DATABASE
    },
    Key {
        name: "mode",
        kind: Kind::Choice(Mode::WORDS),
        default: Some("strict"),
        flag: None,
        meaning: "How `up` sends migrations: one turn each, many at once, or all in one transaction.",
        ..DATABASE
    },
    Key {
        name: "out_of_order",
        kind: Kind::Choice(OutOfOrder::WORDS),
        default: Some("refuse"),
        flag: Some("--allow-out-of-order"),
        meaning: "What happens to a pending migration that is older than one that was applied.",
        ..DATABASE
    },
    Key {
        name: "production",
        kind: Kind::Truth,
        default: Some("false"),
        meaning: "Whether commands that change the database ask for `--confirm NAME`.",
        ..DATABASE
    },
    Key {
        name: "env",
        flag: Some("--env"),
        variable: Some("WHIMBREL_ENV"),
        meaning: "The environment, for migrations that are meant for some only.",
        ..DATABASE
    },
    Key {
        name: "lock_timeout",
        kind: Kind::Duration,
        flag: Some("--lock-timeout"),
        variable: Some("WHIMBREL_LOCK_TIMEOUT"),
        meaning: "How long a statement waits for a lock. Without it, the engine decides.",
        ..DATABASE
    },
    Key {
        name: "statement_timeout",
        kind: Kind::Duration,
        flag: Some("--statement-timeout"),
        variable: Some("WHIMBREL_STATEMENT_TIMEOUT"),
        meaning: "How long a statement runs. Without it, the engine decides.",
        ..DATABASE
    },
    Key {
        name: "wait_for_runner",
        kind: Kind::Duration,
        default: Some("10m"),
        flag: Some("--wait-for-runner"),
        variable: Some("WHIMBREL_WAIT_FOR_RUNNER"),
        meaning: "How long to wait for another runner that is at work on the database.",
        ..DATABASE
    },
    Key {
        name: "wait_for_database",
        kind: Kind::Duration,
        default: Some("0s"),
        flag: Some("--wait-for-database"),
        variable: Some("WHIMBREL_WAIT_FOR_DATABASE"),
        meaning: "How long to wait for a server that is starting.",
        ..DATABASE
    },
];

const ADAPTER: Key = Key { section: Section::Adapter, ..KEY };
const DATABASE: Key = Key { section: Section::Database, ..KEY };

/// Every variable that is read and is not in [`KEYS`], in the order of the documentation.
pub const ENVIRONMENT: &[Variable] = &[
    Variable {
        name: "DATABASE_URL",
        flag: Some("--url"),
        dot_env: DotEnv::Counts,
        meaning: "The url, when nothing more specific gives one and the adapter serves its scheme.",
    },
    Variable {
        name: "WHIMBREL_CONFIG",
        flag: Some("--config"),
        dot_env: DotEnv::Ignored,
        meaning: "The file to read in place of `plugins.toml`.",
    },
    Variable {
        name: "NO_COLOR",
        flag: Some("--no-color"),
        dot_env: DotEnv::Ignored,
        meaning: "Anything but nothing: text without colours.",
    },
    Variable {
        name: "USER",
        flag: None,
        dot_env: DotEnv::Ignored,
        meaning: "Who ran a migration, for the history; else `LOGNAME`, else `USERNAME`, else the name of the account.",
    },
];

/// Returns the variable that holds the url of a database: `WHIMBREL_MY_APP_URL` for `my-app`.
#[must_use]
pub fn url_variable(database: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' }
    };
    format!("WHIMBREL_{}_URL", database.chars().map(plain).collect::<String>())
}

/// Returns the keys of a section.
pub(super) fn keys_of(section: Section) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.section == section)
}

/// Writes the table of keys for the documentation, in Markdown.
#[must_use]
pub fn keys_as_markdown() -> String {
    let mut table =
        String::from("| key | takes | default | option | variable | meaning |\n|---|---|---|---|---|---|\n");
    for key in KEYS {
        let prefix = match key.section {
            Section::Top => "",
            Section::Adapter => "adapters.NAME.",
            Section::Database => "databases.NAME.",
        };
        table += &format!(
            "| `{prefix}{}` | {} | {} | {} | {} | {} |\n",
            key.name,
            key.kind.describe(),
            code(key.default),
            code(key.flag),
            code(key.variable),
            key.meaning
        );
    }
    table
}

/// Writes the table of variables for the documentation, in Markdown.
#[must_use]
pub fn variables_as_markdown() -> String {
    let mut table =
        String::from("| variable | option above it | in `.env` too | meaning |\n|---|---|---|---|\n");
    let mut row = |name: &str, flag: Option<&str>, dot_env: DotEnv, meaning: &str| {
        let counts = if dot_env == DotEnv::Counts { "yes" } else { "no" };
        table += &format!("| `{name}` | {} | {counts} | {meaning} |\n", code(flag));
    };
    for key in KEYS {
        if let Some(name) = key.variable {
            row(name, key.flag, DotEnv::Counts, key.meaning);
        }
    }
    for variable in ENVIRONMENT {
        row(variable.name, variable.flag, variable.dot_env, variable.meaning);
    }
    table
}

fn code(word: Option<&str>) -> String {
    word.map(|word| format!("`{word}`")).unwrap_or_default()
}

impl Kind {
    fn describe(self) -> String {
        match self {
            Kind::Text | Kind::Secret => "text".to_owned(),
            Kind::Path => "path".to_owned(),
            Kind::Paths => "list of paths".to_owned(),
            Kind::Truth => "`true` or `false`".to_owned(),
            Kind::Duration => "duration: `10m`, `5s`, `500ms`".to_owned(),
            Kind::Choice(words) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            Kind::Sections => "sections".to_owned(),
        }
    }
}
