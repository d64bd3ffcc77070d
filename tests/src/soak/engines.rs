//! The engines that are soaked, as data: one more is one line.

use super::migrations::Language;
use crate::{Database, Pool, Postgres, Product, Sqlite};

/// An engine, or a way to reach one.
#[derive(Debug)]
pub struct Bench {
    /// What it is called on the command line and in the table.
    pub name: &'static str,
    pub(super) language: Language,
    pub(super) fresh: fn() -> Ground,
}

/// A fresh database, and the url under which the runners know it.
pub(super) struct Ground {
    pub(super) database: Box<dyn Database + Send + Sync>,
    pub(super) url: String,
}

/// All of them.
pub const BENCHES: &[Bench] = &[
    Bench::new("sqlite", Language::Sqlite, || Ground::direct(Sqlite::fresh())),
    Bench::new("postgres", Language::Postgres, || Ground::direct(Postgres::fresh())),
    Bench::new("pgbouncer", Language::Postgres, || Ground::pooled(Postgres::fresh(), Pool::Transaction)),
    Bench::new("pgbouncer-single", Language::Postgres, || Ground::pooled(Postgres::fresh(), Pool::Single)),
    Bench::new("mariadb", Language::MySql, || Ground::direct(Product::MariaDb.fresh())),
    Bench::new("mysql", Language::MySql, || Ground::direct(Product::MySql.fresh())),
];

impl Bench {
    /// Returns the one of this name.
    pub fn named(name: &str) -> Option<&'static Bench> {
        BENCHES.iter().find(|bench| bench.name == name)
    }

    const fn new(name: &'static str, language: Language, fresh: fn() -> Ground) -> Self {
        Bench { name, language, fresh }
    }
}

impl Ground {
    fn direct(database: impl Database + Send + Sync + 'static) -> Self {
        Ground { url: database.url(), database: Box::new(database) }
    }

    fn pooled(database: Postgres, pool: Pool) -> Self {
        Ground { url: database.pooler_url(pool), database: Box::new(database) }
    }
}
