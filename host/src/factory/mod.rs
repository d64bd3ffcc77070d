//! Chooses the adapter of a database, and its url.
//!
//! Takes what was configured from [`config`](crate::config) and what lies in the plugin folders from
//! [`plugin`](crate::plugin); an application adds the adapters that it has linked in. Loads only the adapter in use.
//!
//! Opens no connection and knows no migration.

mod diagnosis;
mod discreet;
mod passwords;
mod redact;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use whimbrel_adapter_api::{Access, Adapter, ConnectOptions, ErrorKind, Info, Secret};

pub use self::diagnosis::{Diagnosis, PassedOver, Picked, Pinning, Taken};
use self::discreet::{Discreet, Hidden};
pub use self::passwords::FoundPasswords;
pub use self::redact::redact;
use crate::config::{AdapterConfig, Config, DatabaseConfig, Isolation, Located};
use crate::error::{Name, Problem, Result};
use crate::isolation::{Isolated, Process, Started};
use crate::plugin::lock::{self, Lock};
use crate::plugin::{Found, Inventory, Search};

/// The adapters there are: linked in, or in libraries.
#[derive(Clone, Default)]
pub struct AdapterFactory {
    linked: Vec<Arc<dyn Adapter>>,
    search: Search,
    isolated: Vec<String>,
    /// What starts the process of an isolated adapter.
    host: Option<Host>,
    /// Where it may be written what the libraries have to be.
    lock: Option<PathBuf>,
}

/// Makes the command of a process that serves the library at a path: see [`isolation::serve`](crate::isolation::serve).
type Host = Arc<dyn Fn(&Path) -> Command + Send + Sync>;

/// The adapter and the url of a database.
#[derive(Clone)]
pub struct Choice {
    /// The adapter. Its errors are free of the url's secrets, even where it quotes them.
    pub adapter: Arc<dyn Adapter>,
    /// Why it was chosen.
    pub rule: Rule,
    /// Where it comes from.
    pub provider: Provider,
    /// The url, which the adapter has accepted.
    pub url: Located<Secret>,
    /// What stands elsewhere, for a url without a password.
    pub passwords: FoundPasswords,
    /// The process that the adapter runs in, unless it is this one.
    pub process: Option<Arc<Process>>,
}

/// Why an adapter was chosen. `Display` is a sentence for `-v`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// It was named.
    Configured {
        /// The adapter's own name.
        adapter: String,
        /// Where it was named.
        origin: crate::config::Origin,
    },
    /// The folder has its name.
    FolderName {
        /// The adapter's own name.
        adapter: String,
    },
    /// The folder has a name that is an alias of it.
    FolderAlias {
        /// The folder's name.
        folder: String,
        /// The adapter's own name.
        adapter: String,
    },
    /// It claims the scheme of the url.
    Scheme {
        /// The scheme; `file` for a bare path.
        scheme: String,
        /// The adapter's own name.
        adapter: String,
    },
}

/// Where an adapter comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// It is part of the program.
    Linked,
    /// It was loaded from this library.
    Library(PathBuf),
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Configured { adapter, origin } => write!(formatter, "`{adapter}` is named by {origin}"),
            Rule::FolderName { adapter } => {
                write!(formatter, "the folder has the name of the adapter `{adapter}`")
            }
            Rule::FolderAlias { folder, adapter } => {
                write!(formatter, "the folder's name, `{folder}`, is an alias of `{adapter}`")
            }
            Rule::Scheme { scheme, adapter } if scheme == FILE => {
                write!(formatter, "the url is the path of a file, which `{adapter}` serves")
            }
            Rule::Scheme { scheme, adapter } => {
                write!(formatter, "the scheme of the url, `{scheme}`, belongs to `{adapter}`")
            }
        }
    }
}

impl Choice {
    /// Returns how to connect: the url, and the passwords that complete it.
    #[must_use]
    pub fn options(&self, access: Access) -> ConnectOptions {
        let value = |found: &Option<Located<Secret>>| found.as_ref().map(|found| found.value.clone());
        let mut options = ConnectOptions::new(self.url.value.clone());
        options.access = access;
        options.password = value(&self.passwords.variable);
        options.password_file = value(&self.passwords.file);
        options
    }

    /// Returns what a process says that was told the url and the passwords, without them. The words of the adapter itself
    /// need no such care.
    #[must_use]
    pub fn without_secrets(&self, words: &str) -> String {
        Hidden::new(self.url.value.reveal(), &self.passwords.known()).text(words.to_owned())
    }

    /// Returns whether the url leaves the password out, as far as its text shows.
    #[must_use]
    pub fn needs_password(&self) -> bool {
        redact::secret_parts(self.url.value.reveal()).is_empty()
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Choice")
            .field("adapter", &self.adapter.info().name)
            .field("rule", &self.rule)
            .field("provider", &self.provider)
            .field("url", &self.url)
            .field("passwords", &self.passwords)
            .finish()
    }
}

/// The scheme of a bare path.
const FILE: &str = "file";

impl AdapterFactory {
    /// Returns a factory that searches the places of `search`, and no others.
    #[must_use]
    pub fn new(search: Search) -> Self {
        AdapterFactory { search, ..AdapterFactory::default() }
    }

    /// Returns a factory that searches what was configured and the usual places.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let explicit =
            |(name, adapter): (&String, &AdapterConfig)| Some((name.clone(), adapter.path.clone()?.value));
        let libraries = config.adapters.iter().filter_map(explicit);
        let search = libraries.fold(Search::nowhere(), |search, (name, path)| search.library(name, path));
        let folders = config.plugins.iter().map(|folder| folder.value.clone());
        let search = folders.fold(search, Search::directory).usual_places();
        let isolated =
            config.adapters.iter().filter(|(_, adapter)| adapter.isolation.value == Isolation::Process);
        AdapterFactory {
            isolated: isolated.map(|(name, _)| name.clone()).collect(),
            ..AdapterFactory::new(search).locked_by(config.beside(lock::FILE_NAME))
        }
    }

    /// Has the adapter `name` run in a process of its own.
    #[must_use]
    pub fn isolate(mut self, name: &str) -> Self {
        self.isolated.push(name.to_owned());
        self
    }

    /// Starts the processes of isolated adapters with the command that `host` makes for the path of a library. It has to
    /// call [`isolation::serve`](crate::isolation::serve) of the same version of this crate with that library, as `whimbrel
    /// adapters host` does.
    #[must_use]
    pub fn isolated_by(mut self, host: impl Fn(&Path) -> Command + Send + Sync + 'static) -> Self {
        self.host = Some(Arc::new(host));
        self
    }

    /// Has libraries refused that are not what the file at `path` says, if there is such a file.
    #[must_use]
    pub fn locked_by(mut self, path: PathBuf) -> Self {
        self.lock = Some(path);
        self
    }

    /// Adds an adapter that is part of the program. It comes before a library of the same name.
    #[must_use]
    pub fn with_linked(mut self, adapter: Arc<dyn Adapter>) -> Self {
        self.linked.push(adapter);
        self
    }

    /// Returns what the adapters that are linked in say of themselves.
    #[must_use]
    pub fn linked(&self) -> Vec<Info> {
        self.linked.iter().map(|adapter| adapter.info()).collect()
    }

    /// Returns what the libraries have to be, if that is written down.
    ///
    /// # Errors
    ///
    /// A lock that cannot be read or understood.
    pub fn lock(&self) -> Result<Option<Lock>> {
        self.lock.as_deref().map_or(Ok(None), Lock::read)
    }

    /// Returns what the searched places hold. Loads nothing.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        self.search.inventory()
    }

    /// Chooses the adapter of a database and its url, and has the adapter check the url.
    ///
    /// The adapter is the one that was configured, else the one whose name or alias the folder has, else the one that
    /// claims the scheme of the url.
    ///
    /// # Errors
    ///
    /// An adapter that is unknown or cannot be loaded, a url that is missing or refused. All with what was looked at.
    pub fn choose(&self, database: &DatabaseConfig) -> Result<Choice> {
        let shelves = self.shelves();
        let (chosen, rule) = shelves.pick(database)?;
        let own = database.urls.own()?;
        let provider = match &chosen {
            Chosen::Linked(..) => Provider::Linked,
            Chosen::Library(found) => Provider::Library(found.path.clone()),
        };
        // The url before the library: a missing url needs no code of the adapter, only its schemes.
        let url = match own {
            Some(url) => url,
            None => shared_url(database, &chosen)?,
        };
        if let Chosen::Library(found) = &chosen
            && let Some(lock) = self.lock()?
        {
            lock.check(found)?;
        }
        let Ready { adapter, process } = self.start(&chosen)?;
        let passwords = FoundPasswords::look(&adapter.info().passwords, &database.urls.passwords())?;
        let hidden = Hidden::new(url.value.reveal(), &passwords.known());
        let adapter: Arc<dyn Adapter> = Arc::new(Discreet::new(adapter, hidden));
        check_url(adapter.as_ref(), database, &url)?;
        Ok(Choice { adapter, rule, provider, url, passwords, process })
    }

    fn shelves(&self) -> Shelves<'_> {
        let linked = self.linked.iter().map(|adapter| (adapter.info(), adapter)).collect();
        Shelves { linked, inventory: self.inventory() }
    }

    fn start(&self, chosen: &Chosen<'_>) -> Result<Ready> {
        let name = chosen.name();
        if !self.isolated.iter().any(|isolated| isolated == name) {
            return Ok(Ready { adapter: chosen.adapter()?, process: None });
        }
        let (Chosen::Library(found), Some(host)) = (chosen, &self.host) else {
            let message = format!("the adapter `{name}` cannot run in a process of its own here");
            let problem = Problem::new(Name::Unsupported, message);
            return Err(problem.hint(format!("remove `adapters.{name}.isolate`")).into());
        };
        found.require()?;
        let (host, library) = (Arc::clone(host), found.path.clone());
        let started = Isolated::start(move || host(&library));
        let started = started.map_err(|error| not_started(found, &error))?;
        let Started { adapter, process } = started;
        found.check_name(adapter.as_ref())?;
        Ok(Ready { adapter, process: Some(process) })
    }
}

/// An adapter that can be asked.
struct Ready {
    adapter: Arc<dyn Adapter>,
    /// The process that it runs in, unless it is this one.
    process: Option<Arc<Process>>,
}

fn not_started(found: &Found, error: &whimbrel_adapter_api::Error) -> Problem {
    let name = match error.kind {
        ErrorKind::Crashed => Name::AdapterCrashed,
        ErrorKind::Panicked => Name::AdapterPanicked,
        _ => Name::AdapterNotLoaded,
    };
    Problem::new(name, format!("cannot load the adapter `{}` in a process of its own", found.name))
        .at(found.path.as_path())
        .caused_by(error.message.clone())
        .state("no database was touched")
        .hint("build or install the adapter again, or report this to its author")
}

/// Everything there is to choose from.
struct Shelves<'a> {
    linked: Vec<(Info, &'a Arc<dyn Adapter>)>,
    inventory: Inventory,
}

enum Chosen<'a> {
    Linked(&'a Info, &'a Arc<dyn Adapter>),
    Library(&'a Found),
}

/// How a word fits an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Name,
    Alias,
}

impl Shelves<'_> {
    fn pick(&self, database: &DatabaseConfig) -> Result<(Chosen<'_>, Rule)> {
        if let Some(named) = self.by_name_of(database)? {
            return Ok(named);
        }
        let urls = &database.urls;
        self.by_scheme_of(database, urls.own()?.or(urls.shared()?))
    }

    fn by_name_of(&self, database: &DatabaseConfig) -> Result<Option<(Chosen<'_>, Rule)>> {
        if let Some(configured) = &database.adapter {
            let Some((chosen, _)) = self.by_name(&configured.value)? else {
                return Err(self.unknown(configured, database).into());
            };
            let rule =
                Rule::Configured { adapter: chosen.name().to_owned(), origin: configured.origin.clone() };
            return Ok(Some((chosen, rule)));
        }
        let folder = &database.name.value;
        let rule = |(chosen, fit): (Chosen<'_>, Fit)| match fit {
            Fit::Name => Rule::FolderName { adapter: chosen.name().to_owned() },
            Fit::Alias => Rule::FolderAlias { folder: folder.clone(), adapter: chosen.name().to_owned() },
        };
        Ok(self.by_name(folder)?.map(|(chosen, fit)| (chosen.clone(), rule((chosen, fit)))))
    }

    /// A name comes before an alias, so that an adapter that is called `supabase` serves that folder, and linked in
    /// comes before loaded, so that an application gets what it was built with.
    fn by_name(&self, word: &str) -> Result<Option<(Chosen<'_>, Fit)>> {
        if let Some(chosen) = self.linked_where(|info| info.name == word) {
            return Ok(Some((chosen, Fit::Name)));
        }
        if self.inventory.has(word) {
            return Ok(Some((Chosen::Library(self.inventory.library(word)?), Fit::Name)));
        }
        if let Some(chosen) = self.linked_where(|info| info.aliases.iter().any(|alias| alias == word)) {
            return Ok(Some((chosen, Fit::Alias)));
        }
        match self.inventory.name_where(|note| note.aliases.iter().any(|alias| alias == word)) {
            Some(name) => Ok(Some((Chosen::Library(self.inventory.library(name)?), Fit::Alias))),
            None => Ok(None),
        }
    }

    fn by_scheme_of(
        &self,
        database: &DatabaseConfig,
        url: Option<Located<Secret>>,
    ) -> Result<(Chosen<'_>, Rule)> {
        let Some(url) = url else {
            let problem = self.unknown(&database.name, database);
            return Err(problem.fact("and there is no url whose scheme could tell the adapter").into());
        };
        let scheme = scheme_of(url.value.reveal());
        let claims = |schemes: &[String]| schemes.contains(&scheme);
        let chosen = match self.linked_where(|info| claims(&info.schemes)) {
            Some(chosen) => chosen,
            None => match self.inventory.name_where(|note| claims(&note.schemes)) {
                Some(name) => Chosen::Library(self.inventory.library(name)?),
                None => {
                    let fact = format!(
                        "no adapter claims the scheme `{scheme}` of the url from {} either",
                        url.origin
                    );
                    return Err(self.unknown(&database.name, database).fact(fact).into());
                }
            },
        };
        let rule = Rule::Scheme { scheme, adapter: chosen.name().to_owned() };
        Ok((chosen, rule))
    }

    fn linked_where(&self, test: impl Fn(&Info) -> bool) -> Option<Chosen<'_>> {
        self.linked.iter().find(|(info, _)| test(info)).map(|(info, adapter)| Chosen::Linked(info, adapter))
    }

    fn unknown(&self, word: &Located<String>, database: &DatabaseConfig) -> Problem {
        let names = |(info, _): &(Info, _)| {
            std::iter::once(info.name.clone()).chain(info.aliases.clone()).collect::<Vec<_>>()
        };
        let linked: Vec<String> = self.linked.iter().flat_map(names).collect();
        let problem = self.inventory.unknown(&word.value, &linked);
        match word.origin.place() {
            Some(place) => problem.at(place.with_note(format!("database `{}`", database.name.value))),
            None => problem,
        }
    }
}

impl Clone for Chosen<'_> {
    fn clone(&self) -> Self {
        match self {
            Chosen::Linked(info, adapter) => Chosen::Linked(info, adapter),
            Chosen::Library(found) => Chosen::Library(found),
        }
    }
}

impl Chosen<'_> {
    fn name(&self) -> &str {
        match self {
            Chosen::Linked(info, _) => &info.name,
            Chosen::Library(found) => &found.name,
        }
    }

    fn claims(&self, scheme: &String) -> bool {
        match self {
            Chosen::Linked(info, _) => info.schemes.contains(scheme),
            Chosen::Library(found) => found.note.as_ref().is_some_and(|note| note.schemes.contains(scheme)),
        }
    }

    fn adapter(&self) -> Result<Arc<dyn Adapter>> {
        match self {
            Chosen::Linked(_, adapter) => Ok(Arc::clone(adapter)),
            Chosen::Library(found) => found.load(),
        }
    }
}

/// Returns `DATABASE_URL` if the adapter serves it: that of a Postgres application must not hijack `up sqlite`.
fn shared_url(database: &DatabaseConfig, chosen: &Chosen<'_>) -> Result<Located<Secret>> {
    let Some(shared) = database.urls.shared()? else {
        return Err(database.urls.missing(None).into());
    };
    let scheme = scheme_of(shared.value.reveal());
    if chosen.claims(&scheme) {
        return Ok(shared);
    }
    let unfit =
        format!("set, but its scheme is `{scheme}`, which the adapter `{}` does not serve", chosen.name());
    Err(database.urls.missing(Some(unfit)).into())
}

fn check_url(adapter: &dyn Adapter, database: &DatabaseConfig, url: &Located<Secret>) -> Result<()> {
    let Err(error) = adapter.check_url(&url.value) else {
        return Ok(());
    };
    let name = match error.kind {
        ErrorKind::Panicked => Name::AdapterPanicked,
        ErrorKind::Crashed => Name::AdapterCrashed,
        ErrorKind::Misbehaved => Name::AdapterMisbehaved,
        _ => Name::UrlInvalid,
    };
    let message = format!("the url of `{}` cannot be used: {}", database.name.value, error.message);
    // What is no url of this adapter may be anything, such as the password alone or what a command says of its failure.
    let fact = match adapter.info().schemes.contains(&scheme_of(url.value.reveal())) {
        true => format!("the url is {}, from {}", redact(url.value.reveal()), url.origin),
        false => {
            format!("it comes from {}, and is not shown because it is no url of this adapter", url.origin)
        }
    };
    let mut problem = Problem::new(name, message).fact(fact);
    problem.places.extend(url.origin.place());
    problem.hint = error.hint;
    Err(problem.into())
}

/// Returns the scheme of a url in lower case; `file` for a bare path, and for a Windows path with its drive.
fn scheme_of(url: &str) -> String {
    let is_scheme = |word: &str| {
        word.len() > 1
            && word.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && word.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'))
    };
    match url.split_once(':') {
        Some((scheme, _)) if is_scheme(scheme) => scheme.to_ascii_lowercase(),
        _ => FILE.to_owned(),
    }
}
