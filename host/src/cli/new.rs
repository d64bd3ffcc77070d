//! `whimbrel new`.

use std::time::SystemTime;

use super::args;
use super::target::{Context, Wishes};
use crate::error::Result;
use crate::output::Output;
use crate::source;

/// Creates the files of a new migration.
pub(super) fn new(new: &args::New, context: &Context<'_>, output: &mut Output) -> Result<u8> {
    let database = context.config(Wishes::default())?.database_named_by("--in", new.database.as_deref())?;
    let files = source::create(&database.folder, &new.name, SystemTime::now())?;
    output.created(&files);
    Ok(0)
}
