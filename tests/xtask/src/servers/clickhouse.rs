//! ClickHouse's engine behind the HTTP interface of its server, plain and with TLS, for one user with a password.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::process::{Process, Recipe, Starting};
use super::{Ground, HOST, OWNER, PASSWORD};
use crate::chdb::Chdb;

/// A running server.
#[derive(Debug)]
pub(super) struct ClickHouse {
    /// The port on 127.0.0.1.
    pub(super) port: u16,
    /// The port with TLS.
    pub(super) tls_port: u16,
    _process: Process,
}

/// A server that may not answer yet.
pub(super) struct Launched<'a> {
    starting: Starting<'a>,
    tls_port: PathBuf,
}

/// Starts the server, without waiting for it.
pub(super) fn launch<'a>(ground: &'a Ground, chdb: &'a Chdb) -> Result<Launched<'a>> {
    let tls_port = ground.directory.join("clickhouse.tls-port");
    let said = tls_port.clone();
    let recipe = Recipe {
        log: ground.directory.join("clickhouse.log"),
        stop: Signal::SIGTERM,
        command: Box::new(move |port| {
            let mut command = ground.account.command_at(&chdb.python(), &ground.directory);
            command.arg(Chdb::server()).arg(ground.directory.join("clickhouse")).arg(port.to_string());
            command.arg(&said).arg(&ground.certificates.certificate).arg(&ground.certificates.key);
            command.args([OWNER, PASSWORD]);
            Ok(command)
        }),
        question: Box::new(|port| {
            let mut command = Command::new(chdb.python());
            let ping = format!("import urllib.request as u; u.urlopen('http://{HOST}:{port}/ping')");
            command.args(["-c", &ping]);
            Ok(command)
        }),
    };
    Ok(Launched { starting: recipe.spawn()?, tls_port })
}

impl Launched<'_> {
    /// Waits until the server answers.
    pub(super) fn until_it_answers(self) -> Result<ClickHouse> {
        let (process, port) = self.starting.until_it_answers()?;
        let said =
            fs::read_to_string(&self.tls_port).context("ClickHouse does not tell its port with TLS")?;
        let tls_port = said.trim().parse().with_context(|| format!("`{said}` is no port"))?;
        Ok(ClickHouse { port, tls_port, _process: process })
    }
}
