//! MariaDB and MySQL: passwords, TLS for who asks for it, a unix socket beside the port.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::certificates::Certificates;
use super::process::{Process, Recipe, Starting};
use super::{Durability, Ground, HOST, OWNER, PASSWORD, TLS_ONLY};
use crate::{packages, unpacked};

/// A running server.
#[derive(Debug)]
pub(super) struct MySql {
    /// The port on 127.0.0.1.
    pub(super) port: u16,
    /// The unix socket.
    pub(super) socket: PathBuf,
    _process: Process,
}

/// A server that may not answer yet.
pub(super) struct Launched<'a> {
    starting: Starting<'a>,
    socket: PathBuf,
}

/// Which of the two servers it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Product<'a> {
    MariaDb,
    MySql(&'a unpacked::MySql),
}

/// A data directory that is being made.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    product: Product<'a>,
    making: Child,
}

impl<'a> Prepared<'a> {
    /// Starts making the data directory, without waiting for it.
    pub(super) fn start(ground: &Ground, product: Product<'a>) -> Result<Self> {
        let data = ground.directory.join(product.name());
        let mut make = match product {
            Product::MariaDb => {
                let mut install = ground.account.command("mariadb-install-db", &ground.directory)?;
                install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
                install.arg(format!("--datadir={}", data.display()));
                install
            }
            Product::MySql(unpacked) => {
                // To make one takes two seconds, of which a run that needs a single test would have to wait for most.
                let mut copy = ground.account.command_at(Path::new("cp"), &ground.directory);
                copy.arg("-R").arg(unpacked.data()).arg(data);
                copy
            }
        };
        let making = make.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        Ok(Self { product, making: making.with_context(|| format!("cannot run {make:?}"))? })
    }

    /// Waits for the data directory and starts the server on it, without waiting for that.
    pub(super) fn launch(self, ground: &'a Ground) -> Result<Launched<'a>> {
        let Self { product, making } = self;
        let name = product.name();
        let output = making.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("making a data directory for {name} ended with {}:\n{said}", output.status);
        }
        fs::write(ground.directory.join(format!("{name}.sql")), users())?;
        let recipe = Recipe {
            log: ground.directory.join(format!("{name}.log")),
            stop: Signal::SIGTERM,
            command: Box::new(move |port| product.server(ground, port)),
            question: Box::new(move |port| product.question(port)),
        };
        let socket = ground.directory.join(format!("{name}.sock"));
        Ok(Launched { starting: recipe.spawn()?, socket })
    }
}

impl Launched<'_> {
    /// Waits until the server answers.
    pub(super) fn until_it_answers(self) -> Result<MySql> {
        let (process, port) = self.starting.until_it_answers()?;
        Ok(MySql { port, socket: self.socket, _process: process })
    }
}

impl Product<'_> {
    /// Returns the name of all that belongs to the server.
    fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql(_) => "mysql",
        }
    }

    fn server(self, ground: &Ground, port: u16) -> Result<Command> {
        let file = |kind: &str| ground.directory.join(format!("{}{kind}", self.name())).display().to_string();
        let options = [
            ("datadir", file("")),
            ("port", port.to_string()),
            ("bind-address", HOST.to_owned()),
            ("socket", file(".sock")),
            ("pid-file", file(".pid")),
            ("init-file", file(".sql")),
            ("ssl-ca", Certificates::authority(&ground.directory).display().to_string()),
            ("ssl-cert", ground.certificates.certificate.display().to_string()),
            ("ssl-key", ground.certificates.key.display().to_string()),
            ("max-connections", "300".to_owned()),
            // MySQL takes four times as much, which a test that sends more would have to write and read.
            ("max-allowed-packet", "16M".to_owned()),
            // What a client refuses is not to be refused by the server before.
            ("local-infile", "ON".to_owned()),
        ];
        let waived =
            ["innodb-flush-log-at-trx-commit", "innodb-doublewrite"].map(|name| (name, "0".to_owned()));
        let waived = waived.into_iter().filter(|_| ground.durability == Durability::Waived);
        let mut command = match self {
            Self::MariaDb => ground.account.command("mariadbd", &ground.directory)?,
            Self::MySql(unpacked) => {
                ground.account.command_at(&unpacked.program("mysqld"), &ground.directory)
            }
        };
        command.args(["--no-defaults", "--skip-name-resolve", "--skip-log-bin"]);
        command.args(options.into_iter().chain(waived).map(|(name, value)| format!("--{name}={value}")));
        if let Self::MySql(unpacked) = self {
            command.args(unpacked.places()).args(["--mysqlx=OFF", "--secure-file-priv=NULL"]);
            // A container may have few of the kernel's slots for it left, and the server ends where there is none.
            command.arg("--innodb-use-native-aio=OFF");
        }
        Ok(command)
    }

    fn question(self, port: u16) -> Result<Command> {
        let client = match self {
            Self::MariaDb => packages::path_of("mariadb")?,
            Self::MySql(unpacked) => unpacked.program("mysql"),
        };
        let mut command = Command::new(client);
        command.env("MYSQL_PWD", PASSWORD).args(["--no-defaults", "--connect-timeout=5", "-h", HOST]);
        command.args(["-P", &port.to_string(), "-u", OWNER, "-e", "SELECT 1"]);
        Ok(command)
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
