//! Whimbrel: a database migration tool whose databases are plugins.
//!
//! Four nouns run through it. The [`source`] is what the files say, the [`history`] is what the database says, the
//! [`plan`] is the difference, and the [`report`] is what happened. [`Migrator`] joins them; [`AdapterFactory`] finds
//! the adapter that speaks to the database.

pub mod cli;
pub mod config;
pub mod error;
pub mod factory;
pub mod history;
pub mod isolation;
pub mod migrator;
pub mod output;
pub mod plan;
pub mod plugin;
pub mod report;
pub mod runner;
pub mod script;
pub mod source;
pub mod splitter;
pub mod template;

pub use error::{Error, Problem, Result};
pub use factory::AdapterFactory;
pub use migrator::{Migrator, Options};
pub use report::Report;
