//! Hooks: programs that the configuration has run at points of a container's life.

use std::path::Path;

use crate::spec::Hook;
use crate::{Error, Result};

/// Where a hook runs.
pub enum Place {
    /// In the runtime's namespaces.
    Runtime,
    /// In the container's namespaces; the path is looked up in the runtime's.
    Container {
        /// Init.
        pid: i32,
    },
    /// In the container's namespaces, the path below its root.
    Started {
        /// Init.
        pid: i32,
    },
}

/// Run hooks in order; the first that fails stops.
pub fn run(kind: &str, hooks: &[Hook], _: &[u8], _: Place, _: &Path) -> Result<()> {
    match hooks {
        [] => Ok(()),
        _ => Err(Error::new(format!("hooks.{kind}: not supported yet"))),
    }
}

/// Run every hook; failures are warnings.
pub fn run_all(kind: &str, hooks: &[Hook], state: &[u8], cwd: &Path) {
    if let Err(e) = run(kind, hooks, state, Place::Runtime, cwd) {
        crate::log::warning(e.line());
    }
}
