//! Wait for a program in the foreground: forward signals, reap orphans, copy the terminal, and pass
//! on notifications.
//!
//! Must not know how the container was started.

pub mod console;
pub mod notify;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::cgroup::OomCount;
use crate::error::{Error, Result};
use crate::foreground::console::Console;
use crate::foreground::notify::Notify;
use crate::sys::memory;
use crate::sys::process::{self, Child, Exit};
use crate::sys::signal::{self, Interest};

/// A signalfd that takes every signal from before the process was made, so that none is lost.
pub struct Signals(OwnedFd);

impl Signals {
    /// Catch every signal from now on; with `adopt`, become the subreaper of the container's
    /// orphans.
    ///
    /// # Errors
    /// prctl(2) or signalfd(2) fails.
    pub fn catch(adopt: bool) -> Result<Signals> {
        if adopt {
            process::become_subreaper().map_err(|e| Error::io("signals", "prctl", &e))?;
        }
        signal::all().map(Signals).map_err(|e| Error::io("signals", "signalfd", &e))
    }

    /// Wait until `child` has ended, and return how. Meanwhile forward signals to it, copy its
    /// terminal, pass on its notifications, and count OOM kills.
    ///
    /// # Errors
    /// poll(2), read(2) of the signalfd or waitid(2) fails.
    pub fn wait(
        &self,
        child: &Child,
        mut console: Option<Console>,
        notify: Option<&Notify>,
        mut oom: Option<&mut OomCount>,
    ) -> Result<Exit> {
        let failed = |call| move |e: io::Error| Error::io("waiting", call, &e);
        loop {
            let wants = console.as_ref().map(Console::wants).unwrap_or_default();
            let (stdin, stdout) = (io::stdin(), io::stdout());
            let own = stdin.as_fd();
            let mut fds = vec![
                Interest::read(child.pidfd.as_fd(), true),
                Interest::read(self.0.as_fd(), true),
                Interest::read(own, wants.stdin),
                Interest::read(notify.map_or(own, Notify::fd), notify.is_some()),
                match oom.as_ref().filter(|oom| !oom.is_gone()) {
                    Some(oom) => Interest::urgent(oom.as_fd(), true),
                    None => Interest::urgent(own, false),
                },
                Interest { write: wants.stdout, ..Interest::read(stdout.as_fd(), false) },
            ];
            if let Some(fd) = console.as_ref().and_then(Console::master) {
                let (read, write) = (wants.master_read, wants.master_write);
                fds.push(Interest { fd, read, write, urgent: false });
            }
            let timeout_ms = console.as_ref().map_or(-1, Console::timeout_ms);
            let ready = signal::wait(&fds, timeout_ms).map_err(failed("poll"))?;
            // Count first: systemd removes the cgroup once its last process is dead.
            if let Some(oom) = oom.as_mut().filter(|_| ready[4] || ready[0]) {
                oom.look();
            }
            if let Some(notify) = notify.filter(|_| ready[3]) {
                notify.keep_passing_on();
            }
            if let Some(console) = &mut console {
                console.turn(ready[2], ready[5], ready.get(6) == Some(&true));
            }
            if ready[0] {
                let ended = process::wait_and_measure(&child.pidfd, false);
                let (exit, most) = ended.map_err(failed("waitid"))?;
                if let Some(oom) = oom {
                    oom.judge(exit, most);
                }
                if let Some(console) = &mut console {
                    console.finish();
                }
                return Ok(exit.unwrap_or(Exit::Status(0)));
            }
            if ready[1] {
                let number = signal::next(&self.0).map_err(failed("read"))?;
                self.forward(number, child, console.as_ref());
            }
            // Free memory from the second turn on: for a program that ends at once, exit frees all.
            memory::stay();
        }
    }

    fn forward(&self, number: i32, child: &Child, console: Option<&Console>) {
        match (number, console) {
            (libc::SIGCHLD, _) => reap(child.pid),
            // Go runtimes send SIGURG to their own threads.
            (libc::SIGURG, _) => {}
            (libc::SIGWINCH, Some(console)) => console.resize(),
            _ => {
                // If the child has just ended, the next turn sees that.
                let _ = process::kill(&child.pidfd, number);
            }
        }
    }
}

/// Reap the orphans that became our children; `wait` reaps the child itself, by its pidfd.
fn reap(child: i32) {
    while let Some(pid) = process::ended_child() {
        if pid == child {
            return;
        }
        process::reap(pid);
    }
}
