//! The suite that every Whimbrel adapter passes.
//!
//! Puts the same questions to an adapter that is linked in and to one that was loaded, on a database where it may create
//! and drop tables. What the adapter says that it cannot do must also be refused. Facts that differ from engine to engine
//! are the adapter's [`Quirks`](whimbrel_adapter_api::Quirks).
//!
//! ```no_run
//! # fn adapter() -> std::sync::Arc<dyn whimbrel_adapter_api::Adapter> { unimplemented!() }
//! use whimbrel_adapter_api::{ConnectOptions, Secret};
//! use whimbrel_conformance::Suite;
//!
//! let options = ConnectOptions::new(Secret::new("toy:test.db"));
//! let report = Suite::new(adapter(), options).run(&mut |_| {});
//! assert!(report.is_passed(), "{report}");
//! ```
//!
//! Knows nothing of migrations as files, and nothing of any one engine.

mod bench;
mod checks;
mod client;
pub mod fakes;
mod finding;
mod report;
mod suite;
mod victim;
pub mod work;

/// The version of the suite.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use client::{Client, DOWN_SCRIPT};
pub use finding::Finding;
pub use report::{Checked, Report, Verdict};
pub use suite::{Part, Suite};
pub use victim::{Victim, act};
