//! `kill`: a signal to init, by pidfd, so that no other process is ever hit.

use std::path::Path;

use super::directory::Directory;
use super::record::{Record, Status};
use crate::compile::namespace;
use crate::error::{Error, Result};
use crate::spec::{NamespaceKind, id};
use crate::sys::process;

/// Send a signal to the container's init; with `all`, to every process, and a container that has
/// stopped is no error.
///
/// # Errors
/// There is no such container, or it is not running.
pub fn kill(root: &Path, id: &str, signal: i32, all: bool) -> Result<()> {
    send(root, id, signal, all).map_err(|e| e.within(format!("cannot kill {id:?}")))
}

fn send(root: &Path, id: &str, signal: i32, all: bool) -> Result<()> {
    id::check(id)?;
    let directory = Directory::open(root, id)?;
    let record = Record::load(&directory)?;
    // Without a pid namespace of its own, the others do not end with init.
    let shared = || {
        super::start::config(&directory)
            .is_ok_and(|spec| namespace(&spec, NamespaceKind::Pid).is_none())
    };
    if signal == libc::SIGKILL && !record.cgroup.is_none() && (all || shared()) {
        record.cgroup.kill()?;
    }
    let Some(init) = record.living_init() else {
        // containerd and go-runc look for these words.
        return if all { Ok(()) } else { Err(not_running(&record)) };
    };
    let failed = |call| move |e: std::io::Error| Error::io(format!("pid {}", init.pid), call, &e);
    if all && signal != libc::SIGKILL {
        for pid in record.cgroup.pids()?.into_iter().filter(|pid| *pid != init.pid) {
            if let Ok(pidfd) = process::pidfd_open(pid) {
                let _ = process::kill(&pidfd, signal);
            }
        }
    }
    let pidfd = match process::pidfd_open(init.pid) {
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Err(not_running(&record)),
        result => result.map_err(failed("pidfd_open"))?,
    };
    // Compared after opening: what the pidfd means can no longer change.
    if !init.alive() {
        return if all { Ok(()) } else { Err(not_running(&record)) };
    }
    match process::kill(&pidfd, signal) {
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Err(not_running(&record)),
        result => result.map_err(failed("pidfd_send_signal")),
    }?;
    // A frozen process dies only once it is thawed (cgroup v1).
    if signal == libc::SIGKILL && record.status() == Status::Paused {
        record.cgroup.thaw()?;
    }
    Ok(())
}

fn not_running(record: &Record) -> Error {
    let status = record.status().word();
    Error::new("container not running")
        .hint(format!("it is {status}; \"tiny-ce delete\" removes it"))
}
