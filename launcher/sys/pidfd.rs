//! The end of a process that is not a child, by its pidfd: poll(2), ioctl_pidfd(2).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::check;
use super::process::Exit;

/// `_IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)`, include/uapi/linux/pidfd.h, with the first
/// version of the structure, of 64 bytes.
const PIDFD_GET_INFO: u32 = 0xc040_ff0b;
/// Linux 6.15.
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// How a process ended that its parent has reaped; the pidfd must have been opened before that.
///
/// `None` if the kernel does not say, as before Linux 6.15.
pub fn exit_status(pidfd: &OwnedFd) -> Option<Exit> {
    // The first field is the mask, the last one the exit code.
    let mut info = [0u64; 8];
    info[0] = PIDFD_INFO_EXIT;
    // SAFETY: `info` has the 64 bytes that the number of the ioctl says.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, info.as_mut_ptr()) };
    if result < 0 || info[0] & PIDFD_INFO_EXIT == 0 {
        return None;
    }
    let bytes = info[7].to_ne_bytes();
    Some(Exit::of_wait(i32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])))
}

/// Wait until the parent has reaped a process, which poll(2) reports as `POLLHUP` (Linux 6.9).
/// Return also after `timeout_ms` milliseconds, or a signal.
pub fn wait_reaped(pidfd: &OwnedFd, timeout_ms: i32) -> io::Result<()> {
    // The kernel always reports POLLHUP. It would report POLLIN from the end of the process on,
    // before the parent has reaped it.
    let mut poll = libc::pollfd { fd: pidfd.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: `poll` is one writable pollfd.
    match check(unsafe { libc::poll(&raw mut poll, 1, timeout_ms) }.into()) {
        Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e),
        _ => Ok(()),
    }
}
