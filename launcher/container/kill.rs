//! `kill`: send a signal to init, by pidfd, so that no other process gets it; or to every process.

use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::{NamespaceKind, id};
use crate::state::{self, Directory, ProcessId, Record};
use crate::sys::process;

/// Send a signal to the container's init; with `all`, send it to every process, and accept a
/// container that has stopped. Signal 0 only checks whether there is a process.
///
/// SIGKILL ends every process of the container. If init is the first process of a pid namespace,
/// the kernel kills the others with it; otherwise the cgroup names them, even when init is gone.
///
/// # Errors
/// There is no such container, or it is not running.
pub fn kill(root: &Path, id: &str, signal: i32, all: bool) -> Result<()> {
    send(root, id, signal, all).map_err(|e| e.within(format!("cannot kill {id:?}")))
}

fn send(root: &Path, id: &str, signal: i32, all: bool) -> Result<()> {
    id::check(id)?;
    let directory = Directory::open(root, id)?;
    let (record, init) = Record::load_with_init(&directory)?;
    // Look init up first: killing the others may kill it too.
    let others = match signal == libc::SIGKILL && (all || outlive_init(&directory)) {
        true => kill_others(&record)?,
        false => all && signal_others(&record, signal)?,
    };
    let sent = match init {
        // Init would pass on what the program has got already.
        Some(init) if others && signal != libc::SIGKILL && record.is_supervised(init) => true,
        Some(init) => signal_init(&record, init, signal)?,
        None => false,
    };
    // containerd and go-runc look for these words.
    if sent || others || all { Ok(()) } else { Err(not_running(&record)) }
}

/// Whether processes of the container outlive init, because init is not the first process of its
/// pid namespace.
fn outlive_init(directory: &Directory) -> bool {
    state::config(directory).is_ok_and(|spec| {
        spec.namespace(NamespaceKind::Pid).is_none_or(|namespace| namespace.path.is_some())
    })
}

/// Kill every process of the cgroup, and return whether there was one.
fn kill_others(record: &Record) -> Result<bool> {
    if record.cgroup.is_none() {
        return Ok(false);
    }
    let any = !record.cgroup.pids()?.is_empty();
    record.cgroup.kill()?;
    Ok(any)
}

/// Send a signal to every process of the cgroup but init, and return whether a process got it.
fn signal_others(record: &Record, signal: i32) -> Result<bool> {
    if record.cgroup.is_none() {
        return Ok(false);
    }
    let init = record.init.map_or(0, |(init, ..)| init.pid);
    let mut any = false;
    // The kernel writes 0 for a process that is not in the reader's pid namespace.
    for pid in record.cgroup.pids()?.into_iter().filter(|pid| *pid != init && *pid > 0) {
        if let Ok(pidfd) = process::pidfd_open(pid) {
            any |= process::kill(&pidfd, signal).is_ok();
        }
    }
    Ok(any)
}

/// Send a signal to init, and return whether init got it.
fn signal_init(record: &Record, init: ProcessId, signal: i32) -> Result<bool> {
    let failed = |call| move |e: std::io::Error| Error::io(format!("pid {}", init.pid), call, &e);
    let pidfd = match process::pidfd_open(init.pid) {
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Ok(false),
        result => result.map_err(failed("pidfd_open"))?,
    };
    // Compare the start time after opening the pidfd, which then stays with this process.
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
            // We cannot see whether init is frozen. If it dies, it was not.
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
