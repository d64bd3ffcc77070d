//! `whimbrel adapters`.

use super::target::{Context, Wishes};
use crate::error::Result;
use crate::factory::AdapterFactory;
use crate::output::Output;

/// Shows the adapters that were found, without loading any.
pub(super) fn list(context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let config = context.config(Wishes::default())?;
    output.adapters(&AdapterFactory::from_config(&config).inventory());
    Ok(0)
}
