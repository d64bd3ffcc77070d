//! What stands above files and variables.

use std::path::PathBuf;
use std::time::Duration;

use whimbrel_adapter_api::Secret;

use super::database::{Mode, OutOfOrder};
use super::layers::Layer;
use super::origin::{Located, Origin};

/// What the command line or the application says. It stands above everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// Who says it: the origin in messages.
    pub caller: Caller,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--dir`.
    pub migrations: Option<PathBuf>,
    /// `--url`.
    pub url: Option<Secret>,
    /// `--adapter`.
    pub adapter: Option<String>,
    /// `--table`.
    pub table: Option<String>,
    /// `--env`.
    pub environment: Option<String>,
    /// `--batch` or `--single-transaction`.
    pub mode: Option<Mode>,
    /// `--allow-out-of-order`.
    pub out_of_order: Option<OutOfOrder>,
    /// `--lock-timeout`.
    pub lock_timeout: Option<Duration>,
    /// `--statement-timeout`.
    pub statement_timeout: Option<Duration>,
    /// `--wait-for-runner`.
    pub wait_for_runner: Option<Duration>,
    /// `--wait-for-database`.
    pub wait_for_database: Option<Duration>,
}

/// Who fills in [`Flags`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// The command line.
    #[default]
    CommandLine,
    /// An application that uses the library.
    Application,
}

impl Flags {
    pub(super) fn origin(&self, flag: &str) -> Origin {
        match self.caller {
            Caller::CommandLine => Origin::Flag(flag.to_owned()),
            Caller::Application => Origin::Application,
        }
    }

    pub(super) fn layer(&self) -> Layer {
        let duration = |duration: Duration| humantime::format_duration(duration).to_string();
        let mode_flag = match self.mode {
            Some(Mode::SingleTransaction) => "--single-transaction",
            _ => "--batch",
        };
        let given = [
            ("adapter", "--adapter", self.adapter.clone()),
            ("table", "--table", self.table.clone()),
            ("env", "--env", self.environment.clone()),
            ("mode", mode_flag, self.mode.map(|mode| mode.word().to_owned())),
            (
                "out_of_order",
                "--allow-out-of-order",
                self.out_of_order.map(|policy| policy.word().to_owned()),
            ),
            ("lock_timeout", "--lock-timeout", self.lock_timeout.map(duration)),
            ("statement_timeout", "--statement-timeout", self.statement_timeout.map(duration)),
            ("wait_for_runner", "--wait-for-runner", self.wait_for_runner.map(duration)),
            ("wait_for_database", "--wait-for-database", self.wait_for_database.map(duration)),
        ];
        let located = |(name, flag, value): (&'static str, &str, Option<String>)| {
            Some((name, Located::new(value?, self.origin(flag))))
        };
        given.into_iter().filter_map(located).collect()
    }
}
