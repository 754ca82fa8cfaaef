//! `kill`: a signal to init, by pidfd, so that no other process is ever hit; and to all the others.

use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::{NamespaceKind, id};
use crate::state::{self, Directory, Identity, Record};
use crate::sys::process;

/// Send a signal to the container's init; with `all`, to every process, and a container that has
/// stopped is no error. Signal 0 only asks whether there is a process.
///
/// SIGKILL ends every process of the container. Init takes those of its own pid namespace along;
/// in a shared or joined one they are found by their cgroup, also when init is gone.
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
    // Before the others are killed, who may be all that there is.
    let init = record.living_init();
    let others = match signal == libc::SIGKILL && (all || outlive_init(&directory)) {
        true => kill_others(&record)?,
        false => all && signal_others(&record, signal)?,
    };
    let sent = match init {
        Some(init) => signal_init(&record, init, signal)?,
        None => false,
    };
    // containerd and go-runc look for these words.
    if sent || others || all { Ok(()) } else { Err(not_running(&record)) }
}

/// Whether the container's processes do not end with init, which is not the first of its pid
/// namespace.
fn outlive_init(directory: &Directory) -> bool {
    state::config(directory).is_ok_and(|spec| {
        spec.namespace(NamespaceKind::Pid).is_none_or(|namespace| namespace.path.is_some())
    })
}

/// Kill every process of the cgroup, and tell whether there was one.
fn kill_others(record: &Record) -> Result<bool> {
    if record.cgroup.is_none() {
        return Ok(false);
    }
    let any = !record.cgroup.pids()?.is_empty();
    record.cgroup.kill()?;
    Ok(any)
}

/// Send a signal to every process of the cgroup but init, and tell whether one was there to get it.
fn signal_others(record: &Record, signal: i32) -> Result<bool> {
    if record.cgroup.is_none() {
        return Ok(false);
    }
    let init = record.init.map_or(0, |(init, ..)| init.pid);
    let mut any = false;
    // 0 stands for a process that the caller's own pid namespace does not show.
    for pid in record.cgroup.pids()?.into_iter().filter(|pid| *pid != init && *pid > 0) {
        if let Ok(pidfd) = process::pidfd_open(pid) {
            any |= process::kill(&pidfd, signal).is_ok();
        }
    }
    Ok(any)
}

/// Send a signal to init, and tell whether it was there to get it.
fn signal_init(record: &Record, init: Identity, signal: i32) -> Result<bool> {
    let failed = |call| move |e: std::io::Error| Error::io(format!("pid {}", init.pid), call, &e);
    let pidfd = match process::pidfd_open(init.pid) {
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Ok(false),
        result => result.map_err(failed("pidfd_open"))?,
    };
    // Compared after opening: what the pidfd means can no longer change.
    if !init.alive() {
        return Ok(false);
    }
    match process::kill(&pidfd, signal) {
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Ok(false),
        result => result.map_err(failed("pidfd_send_signal"))?,
    }
    if signal == libc::SIGKILL {
        // A frozen process dies only once it is thawed (cgroup v1).
        match record.cgroup.frozen() {
            Ok(true) => record.cgroup.thaw()?,
            // Whether it is frozen cannot be seen; one that dies is not.
            Err(e) if process::wait_gone(&pidfd, DYING_MS).is_err() => return Err(e),
            _ => {}
        }
    }
    Ok(true)
}

/// How long a process that is not frozen may take to die, in milliseconds.
const DYING_MS: i32 = 2000;

fn not_running(record: &Record) -> Error {
    let status = record.without_init().word();
    Error::new("container not running")
        .hint(format!("it is {status}; \"tiny-ce delete\" removes it"))
}
