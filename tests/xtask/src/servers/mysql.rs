//! MariaDB: passwords, TLS for who asks for it, a unix socket beside the port.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::certificates::Certificates;
use super::process::{Process, Recipe};
use super::{Ground, HOST, OWNER, PASSWORD, TLS_ONLY};
use crate::packages;

/// A running MariaDB.
#[derive(Debug)]
pub(super) struct MariaDb {
    /// The port on 127.0.0.1.
    pub(super) port: u16,
    /// The unix socket.
    pub(super) socket: PathBuf,
    _process: Process,
}

/// A data directory that is being made.
#[derive(Debug)]
pub(super) struct Prepared {
    install: Child,
}

impl Prepared {
    /// Starts `mariadb-install-db`, without waiting for it.
    pub(super) fn start(ground: &Ground) -> Result<Self> {
        let mut install = ground.account.command("mariadb-install-db", &ground.directory)?;
        install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
        install.arg(format!("--datadir={}", ground.directory.join("mariadb").display()));
        let install = install.stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(Self { install: install.spawn().context("cannot run mariadb-install-db")? })
    }

    /// Waits for the data directory and starts the server on it.
    pub(super) fn launch(self, ground: &Ground) -> Result<MariaDb> {
        let output = self.install.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("mariadb-install-db ended with {}:\n{said}", output.status);
        }
        fs::write(ground.directory.join("mariadb.sql"), users())?;
        let recipe = Recipe {
            log: ground.directory.join("mariadb.log"),
            stop: Signal::SIGTERM,
            command: &|port| server(ground, port),
            question: &question,
        };
        let (process, port) = recipe.start()?;
        Ok(MariaDb { port, socket: ground.directory.join("mariadb.sock"), _process: process })
    }
}

/// Returns the statements that the server runs before it listens. They run again at each try of a port.
fn users() -> String {
    // A root without a password is not wanted even here.
    format!(
        "CREATE USER IF NOT EXISTS {OWNER}@'%' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO {OWNER}@'%' WITH GRANT OPTION;\n\
         CREATE USER IF NOT EXISTS {TLS_ONLY}@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL;\n\
         GRANT ALL ON *.* TO {TLS_ONLY}@'%';\n\
         DROP USER IF EXISTS root@localhost;\n"
    )
}

fn server(ground: &Ground, port: u16) -> Result<Command> {
    let file = |name: &str| ground.directory.join(name).display().to_string();
    let options = [
        ("datadir", file("mariadb")),
        ("port", port.to_string()),
        ("bind-address", HOST.to_owned()),
        ("socket", file("mariadb.sock")),
        ("pid-file", file("mariadb.pid")),
        ("init-file", file("mariadb.sql")),
        ("ssl-ca", Certificates::authority(&ground.directory).display().to_string()),
        ("ssl-cert", ground.certificates.certificate.display().to_string()),
        ("ssl-key", ground.certificates.key.display().to_string()),
        ("max-connections", "300".to_owned()),
        ("innodb-flush-log-at-trx-commit", "0".to_owned()),
        ("innodb-doublewrite", "0".to_owned()),
    ];
    let mut command = ground.account.command("mariadbd", &ground.directory)?;
    command.args(["--no-defaults", "--skip-name-resolve", "--skip-log-bin"]);
    command.args(options.map(|(name, value)| format!("--{name}={value}")));
    Ok(command)
}

fn question(port: u16) -> Result<Command> {
    let mut command = Command::new(packages::path_of("mariadb")?);
    command.env("MYSQL_PWD", PASSWORD).args(["--no-defaults", "--connect-timeout=5", "-h", HOST]);
    command.args(["-P", &port.to_string(), "-u", OWNER, "-e", "SELECT 1"]);
    Ok(command)
}
