//! PostgreSQL: SCRAM passwords, TLS for who asks for it, a unix socket beside the port.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::certificates::succeed_quietly;
use super::process::{Process, Recipe};
use super::{Durability, Ground, HOST, OWNER, PASSWORD, TLS_ONLY};
use crate::packages;

/// Who may connect and how. The first line that fits decides.
const HBA: &str = "\
hostnossl all tls_only all reject
local     all all          scram-sha-256
host      all all all      scram-sha-256
";

/// A running PostgreSQL.
#[derive(Debug)]
pub(super) struct Postgres {
    /// The port on 127.0.0.1, which also names the socket.
    pub(super) port: u16,
    /// The directory of the unix socket.
    pub(super) socket_directory: PathBuf,
    _process: Process,
}

/// Which PostgreSQL it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Version<'a> {
    /// The one of Debian's packages.
    Debian,
    /// One that was unpacked into this folder. Its data and its log go by this name.
    Unpacked(&'a Path, &'static str),
}

impl Version<'_> {
    /// Returns the name of all that belongs to the server.
    fn name(self) -> &'static str {
        match self {
            Self::Debian => "postgres",
            Self::Unpacked(_, name) => name,
        }
    }

    fn program(self, program: &str, ground: &Ground) -> Result<Command> {
        match self {
            Self::Debian => ground.account.command(program, &ground.directory),
            Self::Unpacked(package, _) => {
                let path = package.join("native/bin").join(program);
                Ok(ground.account.command_at(&path, &ground.directory))
            }
        }
    }
}

/// A data directory that is being made.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    version: Version<'a>,
    initdb: Child,
}

impl<'a> Prepared<'a> {
    /// Starts `initdb`, without waiting for it.
    pub(super) fn start(ground: &Ground, version: Version<'a>) -> Result<Self> {
        fs::write(ground.directory.join("password"), PASSWORD)?;
        let mut initdb = version.program("initdb", ground)?;
        initdb.args(["-D", version.name(), "-U", OWNER, "-A", "scram-sha-256", "--pwfile=password"]);
        initdb.args(["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
        let initdb = initdb.stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(Self { version, initdb: initdb.spawn().context("cannot run initdb")? })
    }

    /// Waits for the data directory and starts the server on it.
    pub(super) fn launch(self, ground: &Ground) -> Result<Postgres> {
        let version = self.version;
        let output = self.initdb.wait_with_output()?;
        if !output.status.success() {
            bail!("initdb ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        let data = ground.directory.join(version.name());
        fs::write(data.join("pg_hba.conf"), HBA)?;
        let socket_directory = ground.directory.join(format!("{}-sockets", version.name()));
        fs::create_dir(&socket_directory)?;
        ground.account.own(&socket_directory)?;
        let recipe = Recipe {
            log: ground.directory.join(format!("{}.log", version.name())),
            // Fast shutdown: sessions are ended, not waited for.
            stop: Signal::SIGINT,
            command: Box::new(|port| server(ground, version, port)),
            question: Box::new(|port| psql(port, "SELECT 1")),
        };
        let (process, port) = recipe.spawn()?.until_it_answers()?;
        let create_user = format!("CREATE ROLE {TLS_ONLY} SUPERUSER LOGIN PASSWORD '{PASSWORD}'");
        succeed_quietly(&mut psql(port, &create_user)?)?;
        Ok(Postgres { port, socket_directory, _process: process })
    }
}

/// Returns psql, ready to run the statement as the owner.
pub(super) fn psql(port: u16, statement: &str) -> Result<Command> {
    let mut command = Command::new(packages::path_of("psql")?);
    command.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "5").args(["--no-psqlrc", "-h", HOST]);
    command.args(["-p", &port.to_string(), "-U", OWNER, "-d", "postgres", "-c", statement]);
    Ok(command)
}

fn server(ground: &Ground, version: Version<'_>, port: u16) -> Result<Command> {
    let mut command = version.program("postgres", ground)?;
    command.args(["-D", version.name(), "-p", &port.to_string()]);
    let sockets = ground.directory.join(format!("{}-sockets", version.name()));
    let settings = [
        ("listen_addresses", HOST.to_owned()),
        ("unix_socket_directories", sockets.display().to_string()),
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", ground.certificates.certificate.display().to_string()),
        ("ssl_key_file", ground.certificates.key.display().to_string()),
        // Many tests at once, some of them with ten runners, each pooler with its own connections.
        ("max_connections", "300".to_owned()),
    ];
    let waived = ["fsync", "synchronous_commit", "full_page_writes"].map(|name| (name, "off".to_owned()));
    let waived = waived.into_iter().filter(|_| ground.durability == Durability::Waived);
    for (name, value) in settings.into_iter().chain(waived) {
        command.args(["-c", &format!("{name}={value}")]);
    }
    Ok(command)
}
