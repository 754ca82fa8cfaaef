//! Wait for a process and its pipes at once, poll(2); kill and reap a whole process group.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::check;

/// What poll(2) has found ready.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ready {
    /// The process has ended.
    pub ended: bool,
    /// Its output can be read, or has reached its end.
    pub output: bool,
    /// Its input takes PIPE_BUF bytes, or its reading end is closed.
    pub input: bool,
}

/// Wait with poll(2) until one of these is ready, at most `timeout_ms` (-1: without limit). Nothing
/// is ready after the timeout or a signal.
pub fn ready(
    process: &OwnedFd,
    output: Option<&io::PipeReader>,
    input: Option<&io::PipeWriter>,
    timeout_ms: i32,
) -> io::Result<Ready> {
    // The kernel skips entries with a negative descriptor.
    let entry = |fd, events| libc::pollfd { fd, events, revents: 0 };
    let mut set = [
        entry(process.as_raw_fd(), libc::POLLIN),
        entry(output.map_or(-1, AsRawFd::as_raw_fd), libc::POLLIN),
        entry(input.map_or(-1, AsRawFd::as_raw_fd), libc::POLLOUT),
    ];
    // SAFETY: `set` has as many entries as its length says.
    match check(unsafe { libc::poll(set.as_mut_ptr(), set.len() as _, timeout_ms) }.into()) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Ready::default()),
        Err(e) => Err(e),
        Ok(_) => {
            let [ended, output, input] = set.map(|entry| entry.revents != 0);
            Ok(Ready { ended, output, input })
        }
    }
}

/// Send SIGKILL to every process of the group that `leader` leads, a child that is not reaped yet,
/// so that its pid cannot be another process's.
pub fn kill_group(leader: i32) {
    // SAFETY: no pointers. ESRCH means that the child has not made a group yet.
    unsafe { libc::kill(-leader, libc::SIGKILL) };
}

/// Wait for every child of ours in this process group to end. Init's fork makes such a child with
/// CLONE_PARENT: it is in init's group, and if it is not reaped, the first process of its pid
/// namespace stays a zombie as well (pid_namespaces(7)).
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
