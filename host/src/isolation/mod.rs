//! An adapter in a process of its own.
//!
//! [`Isolated::start`] runs this program again, in a child that loads the library and does what it is told over a socket:
//! `near` is the adapter as the factory and the runner know it, `far` serves it in the child. Both speak the
//! `protocol`, in the frames of a `line`. What crashes there ends the child, and is one error here.
//!
//! Keeps no adapter from anything that its user may do. It is there for faults, not against malice.

mod far;
mod line;
mod near;
mod process;
mod protocol;

use std::sync::Arc;

use whimbrel_adapter_api::Adapter;

pub use self::far::serve;
pub use self::near::Isolated;
pub use self::process::Process;

/// An adapter that runs elsewhere, and the process that it runs in.
pub struct Started {
    /// The adapter.
    pub adapter: Arc<dyn Adapter>,
    /// Its process.
    pub process: Arc<Process>,
}
