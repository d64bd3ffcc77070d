//! The programs that are timed: how each wants its migrations to lie, and what starts it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use whimbrel_tests::{Engine, built_file};

use crate::floor::Sending;
use crate::peers;

/// A program that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Floor,
    Ours,
    Dbmate,
    Sqlx,
    Refinery,
    Diesel,
}

impl Program {
    /// The other tools.
    pub(crate) const PEERS: [Program; 4] =
        [Program::Dbmate, Program::Sqlx, Program::Refinery, Program::Diesel];

    /// Returns those that are there.
    pub(crate) fn found() -> Vec<Program> {
        let peers = Program::PEERS.into_iter().filter(|peer| peers::find(peer.name()).is_some());
        [Program::Floor, Program::Ours].into_iter().chain(peers).collect()
    }

    /// Returns whether it goes to the server's socket by itself, past the proxy that makes the way long.
    pub(crate) fn moves_to_the_socket(self, engine: Engine) -> bool {
        self == Program::Refinery && matches!(engine, Engine::MariaDb | Engine::MySql)
    }

    /// Returns its name, which is also the one of its file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::Floor => "floor",
            Program::Ours => "whimbrel",
            Program::Dbmate => "dbmate",
            Program::Sqlx => "sqlx",
            Program::Refinery => "refinery",
            Program::Diesel => "diesel",
        }
    }

    /// Returns the folder of its migrations below `root`.
    pub(crate) fn folder(self, root: &Path, engine: Engine) -> PathBuf {
        let kind = match self {
            Program::Floor | Program::Ours | Program::Sqlx => "plain",
            other => other.name(),
        };
        root.join(kind).join(engine.adapter())
    }

    /// Writes one migration as the program wants it.
    pub(crate) fn write(self, folder: &Path, number: usize, name: &str, text: &str) -> Result<()> {
        let (path, text) = match self {
            Program::Floor | Program::Ours | Program::Sqlx => {
                (folder.join(format!("{number:06}_{name}.sql")), text.to_owned())
            }
            Program::Dbmate => (
                folder.join(format!("{number:06}_{name}.sql")),
                format!("-- migrate:up\n{text}-- migrate:down\n"),
            ),
            Program::Refinery => (folder.join(format!("V{number}__{name}.sql")), text.to_owned()),
            Program::Diesel => (folder.join(format!("{number:06}_{name}")).join("up.sql"), text.to_owned()),
        };
        fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(fs::write(path, text)?)
    }

    /// Returns what applies the migrations in `folder`.
    pub(crate) fn command(self, folder: &Path, url: &str, sending: Sending) -> Result<Command> {
        let peer = || peers::find(self.name()).with_context(|| format!("{} is not there", self.name()));
        let is_sqlite = url.starts_with("sqlite:");
        Ok(match self {
            Program::Floor => {
                let mut command = Command::new(std::env::current_exe()?);
                let sending = if sending == Sending::AtOnce { "at-once" } else { "one-by-one" };
                command.arg("__floor").arg(folder).args([sending, url]);
                command
            }
            Program::Ours => {
                let mut command = Command::new(built_file("whimbrel"));
                command.arg("up").arg(folder.file_name().context("a name")?).args(["--url", url, "--dir"]);
                command.arg(folder.parent().context("a folder")?);
                if sending == Sending::AtOnce {
                    command.arg(if is_sqlite { "--single-transaction" } else { "--batch" });
                }
                command
            }
            Program::Dbmate => {
                let mut command = Command::new(peer()?);
                let url = url.replace("?ssl-mode=DISABLED", "");
                command.args(["--url", &url, "--no-dump-schema", "--migrations-dir"]).arg(folder);
                command.arg("migrate");
                command
            }
            Program::Sqlx => {
                let mut command = Command::new(peer()?);
                let url = if is_sqlite { format!("{url}?mode=rwc") } else { url.to_owned() };
                command
                    .args(["migrate", "run", "--no-dotenv", "--database-url", &url, "--source"])
                    .arg(folder);
                command
            }
            Program::Refinery => {
                let mut command = Command::new(peer()?);
                let url = url.split('?').next().unwrap_or(url).replace("sqlite:", "sqlite://");
                command.args(["migrate", "-e", "BENCH_URL", "-p"]).arg(folder).env("BENCH_URL", url);
                command
            }
            Program::Diesel => {
                let mut command = Command::new(peer()?);
                let url = url.replace("?ssl-mode=DISABLED", "").replace("sqlite:", "");
                command.args(["migration", "run", "--database-url", &url, "--migration-dir"]).arg(folder);
                command
            }
        })
    }
}
