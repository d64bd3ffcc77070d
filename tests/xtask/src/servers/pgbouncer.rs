//! PgBouncer before PostgreSQL, one process for each way of pooling.

use std::fs;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::certificates::Certificates;
use super::postgres::{Postgres, psql};
use super::process::{Process, Recipe};
use super::{Ground, HOST, OWNER, PASSWORD};

/// How long a client keeps a connection to the server, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pooling {
    /// For one transaction: the way of Supabase's port 6543.
    Transaction,
    /// For one transaction, and all clients of a database share a single connection: whatever one of them
    /// leaves behind on the session, the next one is sure to meet.
    SingleTransaction,
    /// For as long as the client stays.
    Session,
}

/// A running PgBouncer.
#[derive(Debug)]
pub(super) struct PgBouncer {
    /// The port on 127.0.0.1.
    pub(super) port: u16,
    _process: Process,
}

impl PgBouncer {
    /// Starts a pooler before the server.
    pub(super) fn start(ground: &Ground, postgres: &Postgres, pooling: Pooling) -> Result<Self> {
        let name = match pooling {
            Pooling::Transaction => "pooler-transaction",
            Pooling::SingleTransaction => "pooler-single",
            Pooling::Session => "pooler-session",
        };
        let configuration = ground.directory.join(format!("{name}.ini"));
        // A plain password in the list is what makes SCRAM work towards both sides.
        fs::write(ground.directory.join("pooler-users"), format!("\"{OWNER}\" \"{PASSWORD}\"\n"))?;
        let recipe = Recipe {
            log: ground.directory.join(format!("{name}.log")),
            stop: Signal::SIGTERM,
            command: Box::new(|port| {
                fs::write(&configuration, settings(ground, postgres, pooling, port))?;
                let mut command = ground.account.command("pgbouncer", &ground.directory)?;
                command.arg(&configuration);
                Ok(command)
            }),
            question: Box::new(|port| psql(port, "SELECT 1")),
        };
        let (process, port) = recipe.spawn()?.until_it_answers()?;
        Ok(Self { port, _process: process })
    }
}

fn settings(ground: &Ground, postgres: &Postgres, pooling: Pooling, port: u16) -> String {
    let (mode, size) = match pooling {
        Pooling::Transaction => ("transaction", 10),
        Pooling::SingleTransaction => ("transaction", 1),
        Pooling::Session => ("session", 20),
    };
    // Roles that a test creates are looked up on the server (`auth_user`).
    format!(
        "[databases]\n\
         * = host={HOST} port={server_port}\n\
         [pgbouncer]\n\
         listen_addr = {HOST}\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         auth_file = {users}\n\
         auth_user = {OWNER}\n\
         pool_mode = {mode}\n\
         default_pool_size = {size}\n\
         max_client_conn = 500\n\
         server_idle_timeout = 30\n\
         client_tls_sslmode = prefer\n\
         client_tls_ca_file = {authority}\n\
         client_tls_cert_file = {certificate}\n\
         client_tls_key_file = {key}\n\
         server_tls_sslmode = disable\n",
        server_port = postgres.port,
        users = ground.directory.join("pooler-users").display(),
        // Without one PgBouncer loads the system's authorities, and does not start where there are none.
        authority = Certificates::authority(&ground.directory).display(),
        certificate = ground.certificates.certificate.display(),
        key = ground.certificates.key.display(),
    )
}
