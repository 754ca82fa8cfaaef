//! `pause` and `resume`: the cgroup freezer, under the lock.

use std::path::Path;

use crate::error::{Error, Result};
use crate::log;
use crate::spec::id;
use crate::state::{Directory, Record, Status};

/// Freeze every process of a container; [`resume`] thaws them. A container that is already paused
/// stays paused, with a warning.
///
/// # Errors
/// There is no such container, it is not running, or it has no cgroup with a freezer.
pub fn pause(root: &Path, id: &str) -> Result<()> {
    let freeze = || {
        let (_directory, record) = locked(root, id)?;
        match record.status()? {
            Status::Running | Status::Created => record.cgroup.freeze(),
            // As in crun; engines ask for the state before they pause.
            Status::Paused => {
                log::warning(&format!("pause: container {id:?} is paused already"));
                Ok(())
            }
            // The text is runc's; callers match on it.
            status => Err(not("running", status)),
        }
    };
    freeze().map_err(|e| e.within(format!("cannot pause {id:?}")))
}

/// Thaw the processes of a paused container. A container that is not paused runs on, with a
/// warning.
///
/// # Errors
/// There is no such container, or it has stopped.
pub fn resume(root: &Path, id: &str) -> Result<()> {
    let thaw = || {
        let (_directory, record) = locked(root, id)?;
        match record.status()? {
            Status::Paused => record.cgroup.thaw(),
            Status::Running | Status::Created => {
                log::warning(&format!("resume: container {id:?} is not paused"));
                Ok(())
            }
            status => Err(not("paused", status)),
        }
    };
    thaw().map_err(|e| e.within(format!("cannot resume {id:?}")))
}

/// Return the error for a container that is neither running nor paused.
fn not(wanted: &str, status: Status) -> Error {
    Error::new(format!("container not {wanted}")).hint(match status {
        Status::Creating => "it is still being created",
        _ => "it has stopped; \"tiny-ce delete\" removes it",
    })
}

/// Open the container's record; the returned directory holds the lock.
fn locked(root: &Path, id: &str) -> Result<(Directory, Record)> {
    id::check(id)?;
    let directory = Directory::open_locked(root, id)?;
    let record = Record::load(&directory)?;
    Ok((directory, record))
}
