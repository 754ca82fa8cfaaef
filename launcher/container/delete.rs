//! `delete`: remove everything that the record of a container names, and the record last.
//!
//! A `delete` that is killed half-way can be repeated. It also removes a container whose state is
//! damaged.

use std::path::Path;

use super::{launch, scope, usernet};
use crate::error::{self, Error, Result};
use crate::spec::{self, Spec};
use crate::state::{self, Directory, Record, Status, processes_are_visible};
use crate::sys::process;
use crate::{log, network};

/// Remove a container. With `force`, remove a running container too; one that does not exist is
/// then no error.
///
/// # Errors
/// The container runs and `force` is not given, or a part of it cannot be removed.
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

/// Do the same as `delete`, for a caller that holds the lock.
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
    dismantle(root, directory, record, None)
}

/// Remove a container that this process has launched, and whose init has ended: its record and its
/// configuration need not be read again. `directory` is not locked.
pub fn ended(root: &Path, directory: &Directory, record: &Record, spec: &Spec) -> Result<()> {
    match directory.lock() {
        // Another process deleted it meanwhile.
        Err(e) if e.line() == state::missing().line() => Ok(()),
        locked => locked.and_then(|()| dismantle(root, directory, record, Some(spec))),
    }
    .map_err(|e| e.within(format!("cannot delete {:?}", record.id)))
}

/// Remove everything of a container whose init has ended; `launched` is the configuration of one
/// that this process has launched.
fn dismantle(
    root: &Path,
    directory: &Directory,
    record: &Record,
    launched: Option<&Spec>,
) -> Result<()> {
    let usernet = usernet::end(record);
    let cgroup = scope::remove(record, None);
    let class = record.resctrl.as_ref().map_or(Ok(()), |class| class.remove());
    let network = match &record.network {
        Some(attachment) => network::detach(root, attachment),
        // A launcher killed after it attached the container, but before it recorded the
        // attachment, leaves only the lease to find it by.
        None if launched.is_none() => network::detach_container(root, &record.id),
        None => Ok(()),
    };
    // On an error the record stays, so that the rest can be deleted later, or from a namespace in
    // which it is visible.
    error::all([usernet, cgroup, class, network])?;
    match launched {
        Some(spec) => launch::poststop(directory, record, spec),
        None => {
            if let Ok(spec) = state::config(directory) {
                launch::poststop(directory, record, &spec);
            }
        }
    }
    directory.remove()
}

/// Kill init, if there is one, and wait for its end, which may have begun.
pub fn end(record: &Record) -> Result<()> {
    let Some((init, ..)) = record.init.filter(|_| record.boot.is_now()) else { return Ok(()) };
    let Ok(pidfd) = process::pidfd_open(init.pid) else { return Ok(()) };
    // Compare the start time after opening the pidfd: if init ended meanwhile, the pidfd may be
    // that of another process with the same pid.
    if !init.exists() {
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
        // Init still lives, probably because it is frozen and we could not thaw it.
        (Err(_), Err(e)) => Err(e),
        (Err(e), Ok(())) => Err(Error::io(format!("pid {}", init.pid), "poll", &e)),
    }
}

/// How long init may take to end, in milliseconds.
const PATIENCE_MS: i32 = 10_000;
