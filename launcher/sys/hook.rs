//! Waiting for a process and its pipes at once, poll(2); killing it with its whole group.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::check;

/// What there is to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ready {
    /// The process has ended.
    pub ended: bool,
    /// Its output can be read, or is at its end.
    pub output: bool,
    /// Its input takes PIPE_BUF bytes, or is closed.
    pub input: bool,
}

/// Wait for any of these, at most `timeout_ms` (-1: for ever); nothing is ready after a signal.
pub fn ready(
    process: &OwnedFd,
    output: Option<&io::PipeReader>,
    input: Option<&io::PipeWriter>,
    timeout_ms: i32,
) -> io::Result<Ready> {
    // The kernel passes over entries with a negative descriptor.
    let entry = |fd, events| libc::pollfd { fd, events, revents: 0 };
    let mut set = [
        entry(process.as_raw_fd(), libc::POLLIN),
        entry(output.map_or(-1, AsRawFd::as_raw_fd), libc::POLLIN),
        entry(input.map_or(-1, AsRawFd::as_raw_fd), libc::POLLOUT),
    ];
    // SAFETY: `set` has as many entries as is said.
    match check(unsafe { libc::poll(set.as_mut_ptr(), set.len() as _, timeout_ms) }.into()) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Ready::default()),
        Err(e) => Err(e),
        Ok(_) => {
            let [ended, output, input] = set.map(|entry| entry.revents != 0);
            Ok(Ready { ended, output, input })
        }
    }
}

/// SIGKILL for every process of the group that an unreaped child of ours leads.
pub fn kill_group(leader: i32) {
    // SAFETY: no pointers. ESRCH, if it has not made a group yet, leaves nothing to do.
    unsafe { libc::kill(-leader, libc::SIGKILL) };
}

/// Wait for every child of ours that is in this group, which they were born into and leave by
/// ending: as long as one is a zombie, so is the first process of its pid namespace.
pub fn reap_group(leader: i32) {
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the kernel writes at most a siginfo_t there.
        let result =
            unsafe { libc::waitid(libc::P_PGID, leader as u32, info.as_mut_ptr(), libc::WEXITED) };
        match check(result.into()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
            Ok(_) => {}
        }
    }
}
