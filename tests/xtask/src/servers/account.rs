//! The account that the servers run under.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::unistd::{User, geteuid};

use crate::packages;

/// An unprivileged user: `postgres` when this program runs as root, else whoever runs it.
#[derive(Debug)]
pub(super) struct Account {
    other: Option<User>,
}

impl Account {
    /// Returns the account for the servers.
    pub(super) fn for_servers() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { other: None });
        }
        let user = User::from_name("postgres")?.context("there is no user `postgres` to run the servers")?;
        Ok(Self { other: Some(user) })
    }

    /// Gives a file or directory to the account.
    pub(super) fn own(&self, path: &Path) -> Result<()> {
        let Some(user) = &self.other else { return Ok(()) };
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .with_context(|| format!("cannot give {} to the servers' user", path.display()))
    }

    /// Returns a command of an installed program that runs as the account, in its directory, reading nothing.
    pub(super) fn command(&self, program: &str, directory: &Path) -> Result<Command> {
        Ok(self.command_at(&packages::path_of(program)?, directory))
    }

    /// Returns the same of a program at any path.
    pub(super) fn command_at(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).stdin(Stdio::null());
        if let Some(user) = &self.other {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }
}
