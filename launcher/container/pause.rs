//! `pause` and `resume`: the cgroup freezer, under the lock.

use std::path::Path;

use crate::error::{Error, Result};
use crate::log;
use crate::spec::id;
use crate::state::{Directory, Record, Status};

/// Stop every process of a container, wherever it is; [`resume`] lets them go on. A container that
/// is paused already stays so, with a warning.
///
/// # Errors
/// There is no such container, it is not running, or it has no cgroup with a freezer.
pub fn pause(root: &Path, id: &str) -> Result<()> {
    let freeze = || {
        let (_directory, record) = locked(root, id)?;
        match record.status()? {
            Status::Running | Status::Created => record.cgroup.freeze(),
            // As crun has it; engines ask for the state before they pause.
            Status::Paused => {
                log::warning(&format!("pause: container {id:?} is paused already"));
                Ok(())
            }
            // runc's words, which callers look for.
            status => Err(not("running", status)),
        }
    };
    freeze().map_err(|e| e.within(format!("cannot pause {id:?}")))
}

/// Let the processes of a paused container go on. A container that is not paused runs on, with a
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

/// A container that is neither running nor paused.
fn not(wanted: &str, status: Status) -> Error {
    Error::new(format!("container not {wanted}")).hint(match status {
        Status::Creating => "it is still being created",
        _ => "it has stopped; \"tiny-ce delete\" removes it",
    })
}

/// What is remembered; the lock is held as long as the directory is.
fn locked(root: &Path, id: &str) -> Result<(Directory, Record)> {
    id::check(id)?;
    let directory = Directory::open_locked(root, id)?;
    let record = Record::load(&directory)?;
    Ok((directory, record))
}
