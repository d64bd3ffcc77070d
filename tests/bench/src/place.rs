//! Databases for one program.

use whimbrel_tests::{Database, Engine, Networked, Sqlite};

/// A database of one program.
pub(crate) enum Place {
    File(Sqlite),
    Server(Box<dyn Networked>),
}

impl Place {
    pub(crate) fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => {
                let database = Sqlite::fresh();
                // Not every tool makes the file.
                database.execute("SELECT 1");
                Place::File(database)
            }
            networked => Place::Server(networked.fresh()),
        }
    }

    pub(crate) fn database(&self) -> &dyn Database {
        match self {
            Place::File(database) => database,
            Place::Server(database) => database.as_ref(),
        }
    }

    /// Returns its url, without TLS: who has it depends on the tool.
    pub(crate) fn url(&self) -> String {
        match self {
            Place::File(database) => database.url(),
            Place::Server(database) => database.plain_url_at(database.address()),
        }
    }
}
