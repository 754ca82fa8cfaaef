//! `delete`: everything that the intent names is taken away, and the intent last.
//!
//! Idempotent: killed half-way, it can be done again. It works on a damaged state too.

use std::path::Path;

use super::{launch, scope};
use crate::error::{self, Error, Result};
use crate::state::{self, Directory, Record, Status, processes_are_visible};
use crate::sys::process;
use crate::{log, network, spec};

/// Remove a container; with `force` a running one too, and one that does not exist is no error.
///
/// # Errors
/// It runs and `force` is not given, or something of it cannot be removed.
pub fn delete(root: &Path, id: &str, force: bool) -> Result<()> {
    remove(root, id, force).map_err(|e| e.within(format!("cannot delete {id:?}")))
}

fn remove(root: &Path, id: &str, force: bool) -> Result<()> {
    spec::id::check(id)?;
    let directory = match Directory::open_locked(root, id) {
        Err(e) if force && e.line() == state::missing().line() => {
            return network::detach_container(root, id);
        }
        result => result?,
    };
    match Record::load(&directory) {
        Ok(record) => locked(root, &directory, &record, force),
        Err(e) if !force => Err(e),
        Err(e) => {
            processes_are_visible()?;
            match Record::rescue(&directory) {
                Some(record) => locked(root, &directory, &record, force),
                None => {
                    log::warning(&format!("{}: removing what can be found", e.line()));
                    network::detach_container(root, id)?;
                    directory.remove()
                }
            }
        }
    }
}

/// As `delete`, for whoever holds the lock.
pub fn locked(root: &Path, directory: &Directory, record: &Record, force: bool) -> Result<()> {
    match record.status() {
        Ok(Status::Stopped | Status::Created | Status::Creating) => {}
        _ if force => {}
        Ok(status) => {
            return Err(Error::new(format!("the container is not stopped: {}", status.word()))
                .hint("\"tiny-ce kill\" it first, or delete it with --force"));
        }
        Err(e) => return Err(e),
    }
    end(record)?;
    let cgroup = scope::remove(record, None);
    let class = record.resctrl.as_ref().map_or(Ok(()), |class| class.remove());
    let network = match &record.network {
        Some(attachment) => network::detach(root, attachment),
        // Killed between attaching and recording it, the launcher left a lease and no more.
        None => network::detach_container(root, &record.id),
    };
    // What is left is remembered, so that it can be deleted from where it is visible.
    error::all([cgroup, class, network])?;
    if let Ok(spec) = state::config(directory) {
        launch::poststop(directory, record, &spec);
    }
    directory.remove()
}

/// Wait until init, which is about to end, is gone; not for ever.
pub fn await_end(record: &Record) {
    let Some(init) = record.living_init() else { return };
    if let Ok(pidfd) = process::pidfd_open(init.pid)
        && init.alive()
    {
        let _ = process::wait_gone(&pidfd, PATIENCE_MS);
    }
}

/// Kill init, if it lives, and wait until it is gone.
pub fn end(record: &Record) -> Result<()> {
    let Some(init) = record.living_init() else { return Ok(()) };
    let Ok(pidfd) = process::pidfd_open(init.pid) else { return Ok(()) };
    // Compared after opening; one that is not there any more, or is another's, is not waited for.
    if !init.alive() {
        return Ok(());
    }
    match process::kill(&pidfd, libc::SIGKILL) {
        Err(e) if e.raw_os_error() != Some(libc::ESRCH) => {
            let place = format!("pid {}", init.pid);
            return Err(Error::io(place, "pidfd_send_signal", &e));
        }
        _ => {}
    }
    let thawed = match record.cgroup.frozen() {
        Ok(true) => record.cgroup.thaw(),
        Ok(false) => Ok(()),
        Err(e) => Err(e),
    };
    match (process::wait_gone(&pidfd, PATIENCE_MS), thawed) {
        (Ok(()), _) => Ok(()),
        // Whether it was frozen could not be seen, and it still lives: that is why.
        (Err(_), Err(e)) => Err(e),
        (Err(e), Ok(())) => Err(Error::io(format!("pid {}", init.pid), "poll", &e)),
    }
}

/// How long a killed init may take to be gone, in milliseconds.
const PATIENCE_MS: i32 = 10_000;
