//! `create`: make a container whose program waits for `start`.

use std::path::Path;

use super::launch;
use super::prepare::{LaunchOptions, Source, prepare};
use crate::compile::Then;
use crate::error::Result;
use crate::foreground::console;
use crate::spec::id;

/// Make a container whose program waits for [`super::start`].
///
/// # Errors
/// The id is taken or malformed, the configuration is wrong, or a step failed. No part of the
/// container is left.
pub fn create(root: &Path, id: &str, source: Source, options: &LaunchOptions) -> Result<()> {
    make(root, id, source, options).map_err(|e| e.within(format!("cannot create {id:?}")))
}

fn make(root: &Path, id: &str, source: Source, options: &LaunchOptions) -> Result<()> {
    id::check(id)?;
    let prepared = prepare(id, &root.join(id), source, options, Then::AwaitStart)?;
    console::check(prepared.terminal(), true, options.console_socket.as_deref())?;
    launch::launch(root, id, prepared, options).map(drop)
}
