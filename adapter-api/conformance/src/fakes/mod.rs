//! Adapters that are none of their own: each stands before another one.

mod misbehaving;
mod recording;

pub use misbehaving::{Defect, Misbehaving};
pub use recording::{Calls, Recording};
