//! `wait`: how the program of a container ended that somebody else started.
//!
//! waitid(2) tells it to the parent alone. Others can ask a pidfd that was open before the end
//! (PIDFD_INFO_EXIT, Linux 6.15), or read it from /proc while the process is not reaped. Both are
//! about the very process: no pid is ever taken for another's.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::id;
use crate::state::{Directory, Identity, Record};
use crate::sys::{memory, pidfd, process};

/// A container whose end is waited for.
pub struct Waiting {
    id: String,
    init: Identity,
    pidfd: OwnedFd,
}

impl Waiting {
    /// From here on the end is not missed, whenever [`Waiting::end`] is called.
    ///
    /// # Errors
    /// There is no such container, or it has ended already and nobody knows how.
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
            // Compared after opening: what the pidfd means can no longer change.
            match process::start_time(init.pid) == Some(init.start) {
                true => Ok(Waiting { id: id.to_owned(), init, pidfd }),
                false => Err(unknown()),
            }
        };
        open().map_err(|e: Error| e.within(format!("cannot wait for {id:?}")))
    }

    /// The program's exit status, or 128 and the number of the signal that ended it.
    ///
    /// # Errors
    /// It has ended, and its parent was told how before anybody else could ask.
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
                    // Reaped between the two questions, or by a kernel that keeps nothing.
                    return pidfd::exit_status(&self.pidfd).ok_or_else(unknown);
                }
                pidfd::wait_reaped(&self.pidfd, REAPED_MS).map_err(failed)?;
            }
        };
        wait()
            .map(|exit| exit.code())
            .map_err(|e| e.within(format!("cannot wait for {:?}", self.id)))
    }

    /// From /proc/PID/stat, as long as the parent has not been told.
    fn unreaped(&self) -> Option<process::Exit> {
        // To those who may not trace the process the status there is 0 (proc_pid_stat(5)): asked
        // for something that is refused to the same ones.
        fs::read_link(format!("/proc/{}/ns/user", self.init.pid)).ok()?;
        process::unreaped_exit(self.init.pid, self.init.start)
    }
}

/// How often it is looked whether the parent has been told, where the kernel does not say so.
const REAPED_MS: i32 = 100;

fn unknown() -> Error {
    Error::new("it has ended, and its exit status is not known any more")
        .hint("wait before it ends; Linux before 6.15 may not tell it to others than the parent")
}
