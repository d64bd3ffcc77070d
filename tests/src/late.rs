//! A PostgreSQL that a test starts itself, so that a run can be there before it.
//!
//! Once it is started it refuses every session with 57P03, as a server does that is not ready, until it is told to
//! open: it is a standby that follows nobody and takes no readers.
//!
//! Has nothing but the superuser and the database `postgres`. Ends with the test, whatever ends that.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;

use crate::database::path_text;
use crate::servers::servers;

/// The command that ends the server when the test's end of its standard input is closed.
const GUARDED: &str = r#""$0" "$@" </dev/null & cat; kill -INT $!; wait"#;

/// A server that is not there yet.
#[derive(Debug)]
pub struct LatePostgres {
    directory: TempDir,
    address: SocketAddr,
    guard: Option<Child>,
}

impl LatePostgres {
    /// Makes the data directory and chooses a port, on which nobody listens.
    pub fn prepare() -> Self {
        let directory = tempfile::Builder::new().prefix("whimbrel-late-").tempdir();
        let directory = directory.unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        if let Some(user) = servers_account() {
            chown(directory.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .unwrap_or_else(|error| panic!("cannot give the directory away: {error}"));
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = free.unwrap_or_else(|error| panic!("no free port: {error}"));
        let late = Self { directory, address, guard: None };
        let password = late.directory.path().join("password");
        fs::write(&password, &servers().postgres.password).expect("the directory is ours");
        let mut initdb = late.command(&servers().programs.initdb);
        initdb.args(["-D", path_text(&late.data()), "-U", "owner", "-A", "scram-sha-256", "--no-sync"]);
        initdb.arg(format!("--pwfile={}", password.display()));
        let made = initdb.stdout(Stdio::null()).stdin(Stdio::null()).status();
        assert!(made.is_ok_and(|status| status.success()), "initdb failed");
        fs::write(late.data().join("standby.signal"), "").expect("the directory is ours");
        late
    }

    /// Returns the url of its database.
    pub fn url(&self) -> String {
        self.url_with(&servers().postgres.password)
    }

    /// Returns the url with another password.
    pub fn url_with(&self, password: &str) -> String {
        format!("postgres://owner:{password}@{}/postgres", self.address)
    }

    /// Starts it. It refuses sessions from then on.
    pub fn start(&mut self) {
        let mut server = self.command("/bin/sh");
        server.args(["-c", GUARDED]).arg(&servers().programs.postgres);
        server.args(["-D", path_text(&self.data()), "-p", &self.address.port().to_string()]);
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "hot_standby=off", "fsync=off"]
        {
            server.args(["-c", setting]);
        }
        let started = server.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.guard = Some(started.unwrap_or_else(|error| panic!("cannot run the server: {error}")));
    }

    /// Lets sessions in.
    pub fn open(&self) {
        fs::write(self.data().join("promote"), "").expect("the directory is ours");
        let pid = fs::read_to_string(self.data().join("postmaster.pid")).expect("the server is started");
        let pid = pid.lines().next().and_then(|line| line.parse().ok()).expect("the first line is its pid");
        kill(Pid::from_raw(pid), Signal::SIGUSR1)
            .unwrap_or_else(|error| panic!("the server is gone: {error}"));
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Returns a command that runs as the servers' account: PostgreSQL refuses to be root.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path());
        if let Some(user) = servers_account() {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }
}

impl Drop for LatePostgres {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            // Its data go with it, so it must not write any more.
            let _ = guard.wait();
        }
    }
}

/// Returns the account for servers when this is root.
fn servers_account() -> Option<User> {
    if !geteuid().is_root() {
        return None;
    }
    let user = User::from_name("postgres").ok().flatten();
    Some(user.expect("`cargo xtask test` has found the user `postgres`"))
}
