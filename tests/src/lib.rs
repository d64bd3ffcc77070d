//! The test harness: databases on real servers, projects for the real binary, a proxy between the two.
//!
//! A test takes a fresh database ([`Postgres::fresh`], [`Product::fresh`], [`Sqlite::fresh`]), writes a
//! [`Project`], runs the binary in it and compares the whole [`Outcome`]. With a [`Proxy`] on the way it counts
//! the turns on the wire, reads what was sent, and breaks the connection where it likes.
//!
//! Starts no server: `cargo xtask test` does, once for the whole run. Every function here panics when it cannot
//! do its work, with a sentence that says why, because that is how a test fails.

pub mod birds;
mod clickhouse;
mod contract;
mod database;
mod late;
mod mysql;
mod observed;
mod outcome;
pub mod page;
mod postgres;
mod probe;
mod project;
mod proxy;
mod record;
mod servers;
pub mod soak;
mod sqlite;
mod target;
mod wait;
mod wire;

pub use clickhouse::ClickHouse;
pub use contract::{Contract, program_for_release};
pub use database::{Database, Engine, Networked, Row, encoded};
pub use late::LatePostgres;
pub use mysql::{MySqlDatabase, Product};
pub use observed::{count_syncs, peak_memory};
pub use outcome::Outcome;
pub use postgres::{Pool, Postgres};
pub use probe::probe_library;
pub use project::{Invocation, Project, Running, built_file};
pub use proxy::{Fault, Loss, Proxy};
pub use servers::{DuckDbBuild, Programs, Server, Servers, servers};
pub use sqlite::Sqlite;
pub use target::Target;
pub use wait::until;
pub use wire::{Message, Protocol};
