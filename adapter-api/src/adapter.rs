//! What an adapter is: a name, a check of urls, and a way to connect.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::codes::words;
use crate::connection::{Access, Connection};
use crate::error::Error;
use crate::note::OLDEST_HOST;
use crate::quirks::Quirks;
use crate::value::Secret;

/// A database engine, as the host sees it.
///
/// Every method may be called any number of times, from several threads at once. The order stands at the head of the
/// [crate].
///
/// An adapter is mechanism, the host is policy. It never decides what to run, never reads the environment or a
/// configuration file, and never prints.
///
/// What it keeps between connections, in statics, is this process's alone: another process does not see it, nor does the
/// same adapter where one is linked in and the other loaded. All connections do, from several threads at once, and a
/// library is never unloaded. So nothing that keeps two runners apart may rest on it, and it holds no secret. An engine
/// that lives inside the process may need it: one file must not be opened by two instances that know nothing of each other.
pub trait Adapter: Send + Sync {
    /// Returns the adapter's name and abilities, always the same: [`Info::new`] of [`Plugin::IDENTITY`].
    fn info(&self) -> Info;

    /// Checks that `url` has everything that [`connect`](Adapter::connect) needs, as far as this can be said without the
    /// network or a file.
    ///
    /// The url may be of another engine: its scheme has not been looked at.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`, with a message that names the part at fault and never quotes the password: for a foreign scheme, a
    /// part that is missing, and a parameter that the adapter does not know. It could have been the one that asked for TLS.
    fn check_url(&self, url: &Secret) -> Result<(), Error>;

    /// Opens one session.
    ///
    /// The url need not have been checked. Makes one attempt, with a time limit of its own: waiting for a server that is
    /// starting is the host's affair, which tries again after `Unreachable`, `NotReady` and `InUse` alone. Creates nothing
    /// for [`Access::ReadOnly`]: a database that is not there is then as good as an empty one.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`, `Unreachable`, `NotReady`, `InUse`, `Authentication`, `Tls`, `DatabaseMissing`, or `Other`.
    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error>;

    /// Returns what the conformance suite must know of the engine. The host never asks for it.
    fn quirks(&self) -> Quirks {
        Quirks::default()
    }
}

/// An adapter that can be exported from a library: known by name without running any of its code.
///
/// A loaded library's value of it is made by [`Default`], which is no place to connect or to fail.
pub trait Plugin: Adapter + Default {
    /// The facts that [`export_adapter!`](crate::export_adapter) writes into the library's note, and that
    /// [`info`](Adapter::info) says again.
    const IDENTITY: Identity;

    /// The oldest version of this crate that a program may be built with to load the adapter. An older one refuses the
    /// library with the version in the message. Name a later one if the adapter is wrong without something that came with it.
    const MIN_HOST: &'static str = OLDEST_HOST;
}

/// What an adapter is called and can do, as constants.
///
/// Written out by every author, so it never gains a field: what is new becomes a constant of [`Plugin`] with a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The adapter's own name: `postgres`.
    pub name: &'static str,
    /// The adapter's version, usually `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// Other names that a migrations folder may have: `supabase`.
    pub aliases: &'static [&'static str],
    /// The url schemes it serves, without the colon. `file` also stands for a bare path.
    pub schemes: &'static [&'static str],
    /// What keeps two runners apart.
    pub fence: Fence,
    /// What it can do. What is missing here is also refused with `Unsupported`.
    pub capabilities: &'static [Capability],
}

/// What an adapter is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Info {
    /// The adapter's own name.
    pub name: String,
    /// The adapter's version.
    pub version: String,
    /// Other names that a migrations folder may have.
    pub aliases: Vec<String>,
    /// The url schemes it serves.
    pub schemes: Vec<String>,
    /// What it can do. What is missing here is also refused with `Unsupported`.
    pub capabilities: BTreeSet<Capability>,
    /// What keeps two runners apart.
    pub fence: Fence,
    /// Where a password may stand that the url leaves out.
    pub passwords: Passwords,
}

/// Where the engine's own tools look for a password that the url leaves out.
///
/// Names alone: the host looks there, and hands over what it finds in the [`ConnectOptions`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Passwords {
    /// The variable of the environment that holds it: `PGPASSWORD`.
    pub variable: Option<String>,
    /// The file that holds one for each of several servers.
    pub file: Option<PasswordFile>,
}

/// A file of passwords, in a form that the adapter knows. Made by [`Info::with_password_file`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PasswordFile {
    /// The variable of the environment that names it: `PGPASSFILE`.
    pub variable: String,
    /// Its name in the home directory, where the variable is not set: `.pgpass`.
    pub in_home: String,
}

impl Info {
    /// Returns the description of an adapter.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Info {
            name: identity.name.to_owned(),
            version: identity.version.to_owned(),
            aliases: owned(identity.aliases),
            schemes: owned(identity.schemes),
            capabilities: identity.capabilities.iter().copied().collect(),
            fence: identity.fence,
            passwords: Passwords::default(),
        }
    }

    /// Returns the description of an adapter whose engine's tools take the password from this variable.
    #[must_use]
    pub fn with_password_variable(mut self, variable: &str) -> Self {
        self.passwords.variable = Some(variable.to_owned());
        self
    }

    /// Returns the description of an adapter whose engine's tools take the password from the file that `variable`
    /// names, or else from the one called `in_home` in the home directory.
    #[must_use]
    pub fn with_password_file(mut self, variable: &str, in_home: &str) -> Self {
        let file = PasswordFile { variable: variable.to_owned(), in_home: in_home.to_owned() };
        self.passwords.file = Some(file);
        self
    }
}

words! {
    /// Something an adapter may or may not be able to do.
    pub enum Capability {
        /// [`transaction`](crate::Connection::transaction) and batches of [`Mode::Atomic`](crate::Mode::Atomic). Without it
        /// [`Text::Begin`](crate::Text::Begin) is `None`, and every batch is stepwise.
        Transactions = 1, "transactions";
        /// Schema changes roll back with their transaction. Those that do not, the lexer calls
        /// [`Class::ImplicitCommit`](crate::Class::ImplicitCommit).
        TransactionalDdl = 2, "transactional-ddl";
        /// A `transaction` inside a `transaction`.
        Savepoints = 3, "savepoints";
        /// A second batch may be sent before the first is answered.
        Pipelining = 4, "pipelining";
        /// Data inside a script: `COPY … FROM stdin`.
        CopyFromStdin = 5, "copy-from-stdin";
        /// [`Value::Array`](crate::Value::Array) as parameter and cell.
        Arrays = 6, "arrays";
        /// The canceller reaches a statement that is running.
        Cancel = 7, "cancel";
        /// [`alive`](crate::Connection::alive) can tell whether the server still works for a dead client.
        Liveness = 8, "liveness";
        /// [`Limits::statement`](crate::Limits::statement) ends every statement of a migration, whatever it does. One that is
        /// silent for much longer is then cancelled, and the adapter given up if that does not help; not so in a script with
        /// a [`Class::Setting`](crate::Class::Setting) or [`Class::Outside`](crate::Class::Outside), which may override it.
        StatementLimit = 9, "statement-limit";
    }
}

words! {
    /// What keeps two runners from taking the same position in the history.
    pub enum Fence {
        /// Nothing. Two runs at once may apply one migration twice, so the program changes a database only when its operator
        /// confirms that no other run is at work. An application has to see to that itself.
        None = 0, "none";
        /// A unique key on the position, which is enforced at the latest when a transaction commits, and a reference to the
        /// row before.
        UniqueKey = 1, "unique-key";
        /// Creating a named object fails when it is there, for everybody: the row that [`Text::Record`](crate::Text::Record)
        /// writes counts once its object was created.
        ExclusiveCreate = 2, "exclusive-create";
    }
}

/// How to connect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Where to: the url exactly as it was configured.
    pub url: Secret,
    /// What the session is called on the server, where the url does not say.
    pub application: String,
    /// Whether the session will write. A reader must leave no trace, not even an empty database file.
    pub access: Access,
    /// The password, where the url has none.
    pub password: Option<Secret>,
    /// The text of the adapter's password file, where neither of the two has one.
    pub password_file: Option<Secret>,
    /// How long a text of [`Connection::read`](crate::Connection::read) waits for a lock, where the engine lets readers
    /// wait and has no limit of its own.
    pub lock_limit: Option<Duration>,
}

impl ConnectOptions {
    /// Returns options for a session on `url`.
    #[must_use]
    pub fn new(url: Secret) -> Self {
        ConnectOptions {
            url,
            application: "whimbrel".to_owned(),
            access: Access::ReadWrite,
            password: None,
            password_file: None,
            lock_limit: None,
        }
    }
}

/// An open session.
#[non_exhaustive]
pub struct Opened {
    /// The session itself, used by one thread at a time.
    pub connection: Box<dyn Connection>,
    /// The handle that stops a running statement from another thread.
    pub canceller: Arc<dyn Canceller>,
}

impl Opened {
    /// Returns an open session.
    #[must_use]
    pub fn new(connection: Box<dyn Connection>, canceller: Arc<dyn Canceller>) -> Self {
        Opened { connection, canceller }
    }
}

/// Stops what a connection is doing, from another thread.
///
/// Called at any time from the moment the session is open, several times too, and after the session was closed. Never
/// waits for the statement.
pub trait Canceller: Send + Sync {
    /// Asks the engine to stop the statement that is running on the connection, if any.
    ///
    /// Returns once the request is delivered; the statement's own answer (`Cancelled`, or success if it was quicker)
    /// arrives where it was waited for, and the session can be used further. Calling it while nothing runs, or when the
    /// session is over, does nothing and is no error.
    ///
    /// # Errors
    ///
    /// `Unsupported` without [`Capability::Cancel`]; `Unreachable` when the request cannot be delivered.
    fn cancel(&self) -> Result<(), Error>;
}
