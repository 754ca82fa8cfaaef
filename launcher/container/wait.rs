//! `wait`: get the exit status of a container's program that another process started.
//!
//! waitid(2) gives the status to the parent only. Other processes can ask a pidfd that was opened
//! before the end (PIDFD_INFO_EXIT, Linux 6.15), or read the status from /proc until the process is
//! reaped. A re-used pid cannot mislead either way: the pidfd names the process, and /proc has its
//! start time.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::id;
use crate::state::{Directory, ProcessId, Record};
use crate::sys::{memory, pidfd, process};

/// A wait for the end of a container.
pub struct Waiting {
    id: String,
    init: ProcessId,
    pidfd: OwnedFd,
}

impl Waiting {
    /// Open the container's init, so that [`Waiting::end`] does not miss its end.
    ///
    /// # Errors
    /// There is no such container, it is not ready, or it has ended and its status is lost.
    pub fn begin(root: &Path, id: &str) -> Result<Waiting> {
        let open = || {
            id::check(id)?;
            let record = Record::load(&Directory::open(root, id)?)?;
            let Some((init, ..)) = record.init else {
                let text = "the container is not ready: its creation goes on, or was broken off";
                return Err(Error::new(text).hint("wait for \"tiny-ce create\" to end"));
            };
            if !record.boot.is_now() {
                return Err(unknown());
            }
            let pidfd = match process::pidfd_open(init.pid) {
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Err(unknown()),
                result => {
                    result.map_err(|e| Error::io(format!("pid {}", init.pid), "pidfd_open", &e))?
                }
            };
            // Compare the start time after opening the pidfd, which then stays with this process.
            match process::start_time(init.pid) == Some(init.start) {
                true => Ok(Waiting { id: id.to_owned(), init, pidfd }),
                false => Err(unknown()),
            }
        };
        open().map_err(|e: Error| e.within(format!("cannot wait for {id:?}")))
    }

    /// Wait for the end, and return the program's exit status, or 128 plus the number of the signal
    /// that ended it.
    ///
    /// # Errors
    /// poll(2) fails, or the parent reaped the program before its status could be read.
    pub fn end(&self) -> Result<i32> {
        memory::stay();
        let wait = || {
            let failed =
                |e: std::io::Error| Error::io(format!("pid {}", self.init.pid), "poll", &e);
            process::wait_gone(&self.pidfd, -1).map_err(failed)?;
            loop {
                if let Some(exit) = self.unreaped().or_else(|| pidfd::exit_status(&self.pidfd)) {
                    return Ok(exit);
                }
                if process::start_time(self.init.pid) != Some(self.init.start) {
                    // The parent reaped it meanwhile: only a pidfd of Linux 6.15 still has the
                    // status.
                    return pidfd::exit_status(&self.pidfd).ok_or_else(unknown);
                }
                pidfd::wait_reaped(&self.pidfd, REAPED_MS).map_err(failed)?;
            }
        };
        wait()
            .map(|exit| exit.code())
            .map_err(|e| e.within(format!("cannot wait for {:?}", self.id)))
    }

    /// Read the status from /proc/PID/stat, while the parent has not reaped the process.
    fn unreaped(&self) -> Option<process::Exit> {
        // A reader without ptrace access sees 0 instead of the status (proc_pid_stat(5)). This
        // readlink(2) needs the same access, so it fails for such a reader.
        fs::read_link(format!("/proc/{}/ns/user", self.init.pid)).ok()?;
        process::unreaped_exit(self.init.pid, self.init.start)
    }
}

/// The interval at which we check whether the parent has reaped the process, in milliseconds, on a
/// kernel that does not notify us.
const REAPED_MS: i32 = 100;

fn unknown() -> Error {
    Error::new("it has ended, and its exit status is not known any more")
        .hint("wait before it ends; Linux before 6.15 may not tell it to others than the parent")
}
