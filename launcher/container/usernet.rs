//! The program that makes a container's network: start it for an init that waits, and see that it
//! has ended with the container.
//!
//! Knows the record and the order; `usernet` knows the programs.

use std::os::fd::OwnedFd;

use crate::error::{Error, Result};
use crate::state::{self, Directory, ProcessId, Record};
use crate::sys::process;
use crate::usernet::{self, Start, Usernet};

/// Start the program for init, which waits. The intent names its watcher before the program runs,
/// so a launcher that is killed leaves no watcher that `delete` does not find.
///
/// # Errors
/// As [`Start::start`], or the intent cannot be written.
pub fn start(
    usernet: Usernet,
    init: &OwnedFd,
    pid: i32,
    (directory, record): (&Directory, &mut Record),
) -> Result<()> {
    Start { usernet, init, pid }.start(&mut |watcher| {
        let identity = ProcessId::of(watcher).ok_or_else(|| {
            Error::new(format!("/proc/{watcher}/stat: cannot be read")).hint("mount /proc")
        })?;
        record.usernet = Some((usernet.word().to_owned(), identity));
        record.save(directory, state::INTENT)
    })
}

/// Wait until the program of a container whose init has ended has ended too.
///
/// # Errors
/// It cannot be killed.
pub fn end(record: &Record) -> Result<()> {
    let Some((_, watcher)) = &record.usernet else { return Ok(()) };
    if !record.boot.is_now() {
        return Ok(());
    }
    let Ok(pidfd) = process::pidfd_open(watcher.pid) else { return Ok(()) };
    // Compare after opening the pidfd: the pid may be another process's by now.
    match ProcessId::of(watcher.pid) == Some(*watcher) {
        true => usernet::end(&pidfd),
        false => Ok(()),
    }
}
