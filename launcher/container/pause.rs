//! `pause` and `resume`: the cgroup freezer, under the lock.

use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::id;
use crate::state::{Directory, Record, Status};

/// Stop every process of a container, wherever it is; [`resume`] lets them go on.
///
/// # Errors
/// There is no such container, it is not running, or it has no cgroup with a freezer.
pub fn pause(root: &Path, id: &str) -> Result<()> {
    let freeze = || {
        let (_directory, record) = locked(root, id)?;
        match record.status()? {
            Status::Running | Status::Created => record.cgroup.freeze(),
            // runc's words, which callers look for.
            status => Err(Error::new("container not running").hint(match status {
                Status::Paused => "it is paused already; \"tiny-ce resume\" lets it go on",
                Status::Creating => "it is still being created",
                _ => "it has stopped; \"tiny-ce delete\" removes it",
            })),
        }
    };
    freeze().map_err(|e| e.within(format!("cannot pause {id:?}")))
}

/// Let the processes of a paused container go on.
///
/// # Errors
/// There is no such container, or it is not paused.
pub fn resume(root: &Path, id: &str) -> Result<()> {
    let thaw = || {
        let (_directory, record) = locked(root, id)?;
        match record.status()? {
            Status::Paused => record.cgroup.thaw(),
            status => Err(Error::new("container not paused").hint(match status {
                Status::Running | Status::Created => "it runs; there is nothing to do",
                Status::Creating => "it is still being created",
                _ => "it has stopped; \"tiny-ce delete\" removes it",
            })),
        }
    };
    thaw().map_err(|e| e.within(format!("cannot resume {id:?}")))
}

/// What is remembered; the lock is held as long as the directory is.
fn locked(root: &Path, id: &str) -> Result<(Directory, Record)> {
    id::check(id)?;
    let directory = Directory::open_locked(root, id)?;
    let record = Record::load(&directory)?;
    Ok((directory, record))
}
