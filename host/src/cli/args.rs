//! The command line, word for word. It is a contract: scripts rely on it, so it is only ever added to.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::parse_duration;

/// Migrates databases, each by its own adapter.
#[derive(Debug, Parser)]
#[command(
    name = "whimbrel",
    version,
    about,
    propagate_version = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Examples:
  whimbrel up                        apply what is pending to the default database
  whimbrel up supabase --steps 1     apply one migration to the database in migrations/supabase
  whimbrel status --exit-code        exit 3 when migrations are pending
  whimbrel new add_email --in mysql  begin a migration

Exit codes:
  0         done, or nothing to do
  1         a migration failed and was rolled back; the answer of `verify` is no
  2         usage or configuration
  3         migrations are pending (`status --exit-code`)
  4         files and history disagree; nothing was run
  5         partly applied: needs a resumed `up` or `repair`
  6         another run is at work
  7         refused by a safety rule
  8         connection or authentication
  9         adapter unknown, missing, refused or broken
  130, 143  interrupted"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// The configuration [default: plugins.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the database is
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Where the folders of migrations are
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The adapter, when the folder's name does not tell
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) adapter: Option<String>,
    /// The history table [default: whimbrel_migrations]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// The environment, for migrations that are meant for some only
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// How long to wait for another run
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) wait_for_runner: Option<Duration>,
    /// How long to wait for a server that is starting
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) wait_for_database: Option<Duration>,
    /// How long a statement may wait for a lock
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) lock_timeout: Option<Duration>,
    /// How long a statement may run
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) statement_timeout: Option<Duration>,
    /// Confirms a change to a database that is marked as production, or on which nothing keeps two runs apart
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// How results are written
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    /// No colours (`NO_COLOR` does the same)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// What was chosen and why; what the server says
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// One document at the end
    Json,
    /// One line for each event
    Jsonl,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Applies what is pending
    #[command(visible_aliases = ["migrate", "run", "apply"])]
    Up(Up),
    /// Takes back what was applied last, one step unless told otherwise
    #[command(visible_aliases = ["rollback", "revert", "undo"])]
    Down(Down),
    /// Takes back what was applied last and applies it again
    Redo(Redo),
    /// Shows how every migration stands
    #[command(visible_alias = "info")]
    Status(Status),
    /// Shows what `up` would run, with its SQL; runs nothing
    Plan(Plan),
    /// Shows every attempt, oldest first
    History(Database),
    /// Compares the files with the history; writes nothing
    Verify(Database),
    /// Records what you found out about a migration
    Repair(Repair),
    /// Takes everything up to ID as applied, without running it
    Baseline(Baseline),
    /// Begins a migration
    #[command(visible_alias = "create")]
    New(New),
    /// Shows the adapters
    Adapters(Adapters),
    /// Writes completions for a shell to standard output
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Which database.
#[derive(Debug, Args)]
pub(crate) struct Database {
    /// The folder under the migrations [default: `default` of plugins.toml]
    #[arg(value_name = "DATABASE")]
    pub(crate) database: Option<String>,
}

/// How far.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// Up to this migration, or back to it: its id, its version or a unique beginning
    #[arg(long, value_name = "ID", conflicts_with = "steps")]
    pub(crate) to: Option<String>,
    /// So many migrations
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) steps: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  whimbrel up                            everything that is pending
  whimbrel up supabase --to 007          up to and with version 7
  whimbrel plan supabase --out plan.json && whimbrel up supabase --plan plan.json")]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) database: Database,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Shows what would run, and runs nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Applies pending migrations that are older than applied ones
    #[arg(long)]
    pub(crate) allow_out_of_order: bool,
    /// Sends many migrations at once, each in its own transaction
    #[arg(long, conflicts_with = "single_transaction")]
    pub(crate) batch: bool,
    /// Runs everything in one transaction
    #[arg(long)]
    pub(crate) single_transaction: bool,
    /// Runs exactly what `plan --out` wrote, or nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "steps"])]
    pub(crate) plan: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  whimbrel down                  the last one
  whimbrel down mysql --to 003   everything after version 3; 003 itself stays
  whimbrel down mysql --to 0     everything")]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) database: Database,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Shows what would run, and runs nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Redo {
    #[command(flatten)]
    pub(crate) database: Database,
    /// So many migrations
    #[arg(long, value_name = "N", value_parser = parse_count, default_value_t = 1)]
    pub(crate) steps: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) database: Database,
    /// Exits with 3 when migrations are pending
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) database: Database,
    /// Writes the plan to a file, for `up --plan`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "whimbrel repair [OPTIONS] [DATABASE] <ID> <--applied|--reverted|--accept-checksum|--resume-at N>",
    after_help = "Examples:
  whimbrel repair mysql 009_backfill --applied    you finished it by hand
  whimbrel repair mysql 009_backfill --resume-at 4  statements 1-3 are in the database, and 4 is not
  whimbrel repair 003_add_index --accept-checksum the edit is all right"
)]
pub(crate) struct Repair {
    /// The database, if it is not the default one, then the migration
    #[arg(value_names = ["DATABASE", "ID"], num_args = 1..=2, required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) settlement: Settlement,
}

/// What was found out.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Settlement {
    /// All of it is in the database
    #[arg(long)]
    pub(crate) applied: bool,
    /// Nothing of it is in the database
    #[arg(long)]
    pub(crate) reverted: bool,
    /// It was edited after it was applied, and that is all right
    #[arg(long)]
    pub(crate) accept_checksum: bool,
    /// It is half done: `up` goes on at this statement
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) resume_at: Option<u64>,
}

#[derive(Debug, Args)]
#[command(override_usage = "whimbrel baseline [OPTIONS] [DATABASE] <ID>")]
pub(crate) struct Baseline {
    /// The database, if it is not the default one, then the last migration to take as applied
    #[arg(value_names = ["DATABASE", "ID"], num_args = 1..=2, required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// What it does, in words
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The database [default: `default` of plugins.toml]
    #[arg(long = "in", value_name = "DATABASE")]
    pub(crate) database: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Adapters {
    #[command(subcommand)]
    pub(crate) command: Option<AdaptersCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdaptersCommand {
    /// Shows the adapters that were found, and where
    List,
    /// Shows what a library says of itself, without running any of it
    Inspect(Library),
    /// Puts the conformance suite to a library, on a database where it may create and drop tables
    #[command(after_help = "Examples:
  whimbrel adapters test plugins/libwhimbrel_adapter_toy.so --url toy:test.db
  whimbrel adapters test plugins/libwhimbrel_adapter_toy.so --url toy:test.db --format json
  whimbrel adapters test plugins/libwhimbrel_adapter_toy.so --url toy:test.db --smoke")]
    Test(Test),
    /// Begins an adapter: a crate that works, over a toy engine that yours replaces
    #[command(
        after_help = "Makes a folder of the adapter's name in the one that it is run in. As it is, it can be built, loaded and
tested.

Examples:
  whimbrel adapters new toy
  cargo test --manifest-path toy/Cargo.toml"
    )]
    New(NewAdapter),
    /// Writes down what the adapters' libraries are, so that a changed one is refused
    #[command(
        after_help = "Writes plugins.lock beside plugins.toml. With it there, an adapter is loaded only if its library is
the one that was locked for this kind of machine; entries of other machines stay."
    )]
    Lock,
    /// Explains which adapter serves a database, and why no other; opens no connection
    #[command(after_help = "Examples:
  whimbrel adapters doctor supabase
  whimbrel adapters doctor --url postgres://localhost/app --dir db/migrations")]
    Doctor(Database),
    /// Is killed by the suite in the middle of its work
    #[command(hide = true)]
    Victim {
        #[command(flatten)]
        library: Library,
        /// It runs in a process of its own
        #[arg(long)]
        isolated: bool,
    },
    /// Is the process of an isolated adapter
    #[command(hide = true)]
    Host(Library),
}

/// A library.
#[derive(Debug, Args)]
pub(crate) struct Library {
    /// The library
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct NewAdapter {
    /// What it is called, and the folders that it serves
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    pub(crate) library: Library,
    /// Only what a migration needs to run at all, for an adapter that is being written
    #[arg(long)]
    pub(crate) smoke: bool,
}

/// Reads a number of migrations.
fn parse_count(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no number of migrations: write a whole number, such as `2`"))
}
