//! `list`: every container below a root, damaged ones included.

use std::io::ErrorKind;
use std::path::Path;

use super::{Directory, Owners, Record, State};
use crate::error::{Error, Result};
use crate::spec::id;

/// One container.
pub enum Listed {
    /// A container whose state could be read.
    Whole(Box<State>),
    /// A container whose state could not be read.
    Untold {
        /// The container.
        id: String,
        /// `damaged` if its state files cannot be read, `unknown` if its cgroup is not visible.
        status: &'static str,
        /// The reason.
        error: Error,
    },
}

/// Every container, by id.
///
/// # Errors
/// The root cannot be read; a root that does not exist has no containers.
pub fn list(root: &Path) -> Result<Vec<Listed>> {
    let failed = |e: std::io::Error| Error::io(root.display(), "open", &e);
    let entries = match std::fs::read_dir(root) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if let Some(name) = name.to_str().filter(|name| id::check(name).is_ok()) {
            ids.push(name.to_owned());
        }
    }
    ids.sort();
    let mut all = Vec::with_capacity(ids.len());
    let mut owners = Owners::default();
    for id in ids {
        let mut status = "damaged";
        let read = Directory::open(root, &id).and_then(|directory| {
            let (record, init) = Record::load_with_init(&directory)?;
            status = "unknown";
            record.state(init, &directory, &mut owners)
        });
        match read {
            Ok(state) => all.push(Listed::Whole(Box::new(state))),
            // Another process deleted the container meanwhile.
            Err(_) if !root.join(&id).exists() => {}
            Err(error) => all.push(Listed::Untold { id, status, error }),
        }
    }
    Ok(all)
}
