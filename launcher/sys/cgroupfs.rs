//! System calls on cgroupfs and on the processes in it, relative to an open directory.
//!
//! Knows descriptors, names and errnos. Must not know what a cgroup file means, nor which
//! hierarchy it is in: that is `crate::cgroup`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::check;
use super::file::owned;

/// `f_type` of a cgroup v1 hierarchy, linux/magic.h.
pub const CGROUP_SUPER_MAGIC: i64 = 0x27e0eb;
/// `f_type` of the cgroup v2 hierarchy, linux/magic.h.
pub const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// The current directory, for an absolute path.
pub fn cwd() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is not a descriptor that can be closed; the *at calls accept it for ever.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}

fn c(path: &str) -> io::Result<CString> {
    CString::new(path).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// openat(2) with `O_CLOEXEC`; creates nothing.
pub fn openat(at: BorrowedFd<'_>, path: &str, flags: i32) -> io::Result<OwnedFd> {
    let path = c(path)?;
    // SAFETY: `path` is NUL-terminated and outlives the call; no mode is read without O_CREAT.
    let fd = unsafe { libc::openat(at.as_raw_fd(), path.as_ptr(), flags | libc::O_CLOEXEC) };
    owned(fd.into())
}

/// mkdirat(2), mode 0755 less the umask.
pub fn mkdirat(at: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    let path = c(path)?;
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::mkdirat(at.as_raw_fd(), path.as_ptr(), 0o755) }.into()).map(drop)
}

/// unlinkat(2) with `AT_REMOVEDIR`: rmdir.
pub fn rmdirat(at: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    let path = c(path)?;
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::unlinkat(at.as_raw_fd(), path.as_ptr(), libc::AT_REMOVEDIR) }.into())
        .map(drop)
}

/// fchownat(2) of `path` below `at`, not following a symlink; an empty path is `at` itself.
pub fn chownat(at: BorrowedFd<'_>, path: &str, uid: u32, gid: u32) -> io::Result<()> {
    let path = c(path)?;
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check(unsafe { libc::fchownat(at.as_raw_fd(), path.as_ptr(), uid, gid, flags) }.into())
        .map(drop)
}

/// faccessat(2) for writing, with the effective ids.
pub fn writable(path: &str) -> bool {
    let Ok(path) = c(path) else { return false };
    // SAFETY: `path` is NUL-terminated and outlives the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK, libc::AT_EACCESS) == 0 }
}

/// read(2) until the end: what cgroupfs hands out is small.
pub fn read_all(fd: BorrowedFd<'_>) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if bytes.capacity() - bytes.len() < 512 {
            bytes.reserve(4096);
        }
        let room = bytes.spare_capacity_mut();
        // SAFETY: `room` is owned, writable memory of the length given.
        let n = unsafe { libc::read(fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
        match usize::try_from(n) {
            Ok(0) => break,
            // SAFETY: the kernel has initialised the first `n` bytes of the spare capacity.
            Ok(n) => unsafe { bytes.set_len(bytes.len() + n) },
            Err(_) => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e => return Err(e),
            },
        }
    }
    String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// One write(2): cgroupfs takes a value whole or not at all.
pub fn write_once(fd: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    loop {
        // SAFETY: `value` is readable memory of the length given.
        let n = unsafe { libc::write(fd.as_raw_fd(), value.as_ptr().cast(), value.len()) };
        match usize::try_from(n) {
            Ok(n) if n == value.len() => return Ok(()),
            Ok(_) => return Err(io::Error::from_raw_os_error(libc::EIO)),
            Err(_) => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e => return Err(e),
            },
        }
    }
}

/// `f_type` of the file system that a path is on, statfs(2).
pub fn fs_type_of(path: &str) -> io::Result<i64> {
    let path = c(path)?;
    // SAFETY: all-zero bytes are a valid statfs.
    let mut buffer: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is NUL-terminated; `buffer` is a writable statfs.
    check(unsafe { libc::statfs(path.as_ptr(), &mut buffer) }.into())?;
    Ok(widen(buffer.f_type))
}

/// `f_type` of the file system that an open file is on, fstatfs(2).
pub fn fs_type(fd: BorrowedFd<'_>) -> io::Result<i64> {
    // SAFETY: all-zero bytes are a valid statfs.
    let mut buffer: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `fd` is open; `buffer` is a writable statfs.
    check(unsafe { libc::fstatfs(fd.as_raw_fd(), &mut buffer) }.into())?;
    Ok(widen(buffer.f_type))
}

/// `f_type` is signed in one C library and unsigned in another.
fn widen<T: TryInto<i64>>(f_type: T) -> i64 {
    f_type.try_into().unwrap_or(-1)
}

/// kill(2).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill touches no memory of ours.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// poll(2) for `POLLPRI`: a cgroup file that notifies has changed since it was read last.
/// False after `timeout_ms` milliseconds.
pub fn wait_change(fd: BorrowedFd<'_>, timeout_ms: i32) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
    // SAFETY: `poll` is one writable pollfd.
    match check(unsafe { libc::poll(&mut poll, 1, timeout_ms) }.into()) {
        Ok(n) => Ok(n > 0),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(e) => Err(e),
    }
}

/// lseek(2) to the start, so that a notifying file can be read again.
pub fn rewind(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: lseek touches no memory of ours.
    if unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_SET) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// eventfd(2), not blocking.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }.into())
}

/// inotify(7), not blocking, for changes of one file.
pub fn watch_file(path: &str) -> io::Result<OwnedFd> {
    let path = c(path)?;
    // SAFETY: no pointers.
    let fd = owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) }.into())?;
    // SAFETY: `path` is NUL-terminated and outlives the call.
    let watch = unsafe { libc::inotify_add_watch(fd.as_raw_fd(), path.as_ptr(), libc::IN_MODIFY) };
    check(watch.into())?;
    Ok(fd)
}

/// Read what a notifying descriptor has; the first eight bytes are an eventfd's count.
/// Nothing yet is 0.
pub fn drain(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes = [0u64; 512];
    let length = size_of_val(&bytes);
    // SAFETY: `bytes` is writable memory of the length given.
    let n = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), length) };
    match check(n as i64) {
        Ok(_) => Ok(bytes[0]),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(e) => Err(e),
    }
}
