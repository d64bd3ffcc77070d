//! The runner on a model of a database: every point at which a run can die, and thousands of ways in which several
//! can meet.
//!
//! The real [`Migrator`](whimbrel::Migrator) runs over an adapter whose database is in memory. Every step, of the
//! server and of time, is taken by the test, so nothing depends on luck: a failure says where it died or names a
//! seed, and comes again each time.
//!
//! Whether the model is like a real server is told by the suites that run on real ones.

mod connection;
mod crash;
mod crashes;
mod data;
mod dialect;
mod order;
mod recovery;
mod run;
mod scene;
mod schedules;
mod server;
mod sets;
mod statement;
mod world;
