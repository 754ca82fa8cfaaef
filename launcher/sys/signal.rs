//! Signals that are blocked and read from a signalfd(2); waiting for descriptors with poll(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::check;

/// Block every signal that can be blocked, and return a signalfd(2) from which they are read:
/// sigprocmask(2).
pub fn all() -> io::Result<OwnedFd> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset fills the set whole; the other calls read it.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        check(libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()).into())?;
        super::file::owned(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC).into())
    }
}

/// Ignore SIGXFSZ: write(2) beyond RLIMIT_FSIZE then fails with EFBIG and does not end the process.
pub fn outlive_large_files() {
    // SAFETY: an ignored signal runs no handler.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Wait for the next signal and return its number: read(2) of a signalfd.
pub fn next(signals: &OwnedFd) -> io::Result<i32> {
    let mut info = [0u8; 128];
    // SAFETY: a signalfd_siginfo is 128 bytes.
    let result = unsafe { libc::read(signals.as_raw_fd(), info.as_mut_ptr().cast(), info.len()) };
    check(result as i64)?;
    Ok(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))
}

/// A descriptor to wait for, and the events that count.
pub struct Interest<'a> {
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// It can be read, or has reached its end (POLLIN).
    pub read: bool,
    /// It can be written (POLLOUT).
    pub write: bool,
    /// Its state has changed, as that of a file of cgroupfs (POLLPRI).
    pub urgent: bool,
}

impl<'a> Interest<'a> {
    /// Wait for POLLIN, if `wanted`.
    pub fn read(fd: BorrowedFd<'a>, wanted: bool) -> Self {
        Interest { fd, read: wanted, write: false, urgent: false }
    }

    /// Wait for POLLPRI, if `wanted`.
    pub fn urgent(fd: BorrowedFd<'a>, wanted: bool) -> Self {
        Interest { fd, read: false, write: false, urgent: wanted }
    }
}

/// Wait with poll(2) until one of these is ready, at most `timeout_ms` (-1: without limit).
///
/// Return for each whether it is ready; none is after the timeout. An entry without an event is
/// never ready.
pub fn wait(fds: &[Interest<'_>], timeout_ms: i32) -> io::Result<Vec<bool>> {
    let entry = |interest: &Interest<'_>| {
        let read = if interest.read { libc::POLLIN } else { 0 };
        let write = if interest.write { libc::POLLOUT } else { 0 };
        let events = read | write | if interest.urgent { libc::POLLPRI } else { 0 };
        // The kernel skips negative descriptors.
        let fd = if events == 0 { -1 } else { interest.fd.as_raw_fd() };
        libc::pollfd { fd, events, revents: 0 }
    };
    let mut set: Vec<libc::pollfd> = fds.iter().map(entry).collect();
    loop {
        // SAFETY: `set` has as many entries as it says.
        let result = unsafe { libc::poll(set.as_mut_ptr(), set.len() as _, timeout_ms) };
        match check(result.into()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(|_| set.iter().map(|p| p.revents != 0).collect()),
        }
    }
}
