//! Signals as descriptors: blocked, then read from a signalfd(2); poll(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::check;

/// Block every signal that can be forwarded, and read them from a descriptor instead.
pub fn all() -> io::Result<OwnedFd> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset fills the set whole; the other calls read it.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        check(libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()).into())?;
        super::file::owned(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC).into())
    }
}

/// A file that may not grow is an errno of write(2), EFBIG, and not the end of the process.
pub fn outlive_large_files() {
    // SAFETY: to ignore a signal, no code of ours is run.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// The next signal.
pub fn next(signals: &OwnedFd) -> io::Result<i32> {
    let mut info = [0u8; 128];
    // SAFETY: a signalfd_siginfo is 128 bytes.
    let result = unsafe { libc::read(signals.as_raw_fd(), info.as_mut_ptr().cast(), info.len()) };
    check(result as i64)?;
    Ok(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))
}

/// What is waited for.
pub struct Interest<'a> {
    /// On this descriptor.
    pub fd: BorrowedFd<'a>,
    /// That it can be read, or has ended.
    pub read: bool,
    /// That it can be written.
    pub write: bool,
    /// That something has happened to it, as a file of cgroupfs tells (POLLPRI).
    pub urgent: bool,
}

impl<'a> Interest<'a> {
    /// Only reading, and only if `wanted`.
    pub fn read(fd: BorrowedFd<'a>, wanted: bool) -> Self {
        Interest { fd, read: wanted, write: false, urgent: false }
    }

    /// Only what happens to it, and only if `wanted`.
    pub fn urgent(fd: BorrowedFd<'a>, wanted: bool) -> Self {
        Interest { fd, read: false, write: false, urgent: wanted }
    }
}

/// Wait until one of these is ready, or until `timeout_ms` (-1: for ever).
///
/// Tells for each whether it is ready; all false after the timeout. What nothing is wanted of is
/// not looked at.
pub fn wait(fds: &[Interest<'_>], timeout_ms: i32) -> io::Result<Vec<bool>> {
    let entry = |interest: &Interest<'_>| {
        let read = if interest.read { libc::POLLIN } else { 0 };
        let write = if interest.write { libc::POLLOUT } else { 0 };
        let events = read | write | if interest.urgent { libc::POLLPRI } else { 0 };
        // The kernel passes over negative descriptors.
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
