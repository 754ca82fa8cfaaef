//! System calls on cgroupfs and on the processes in it, by an open directory or by a path.
//!
//! Knows descriptors, names and errnos. Must not know what a cgroup file means or which hierarchy
//! it is in: `crate::cgroup` does.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::EventfdFlags;
use rustix::fs::{self, AtFlags, CWD, Gid, Mode, OFlags, Uid, inotify};
use rustix::io::Errno;

use super::check;

/// `f_type` of a cgroup v1 hierarchy, linux/magic.h.
pub const CGROUP_SUPER_MAGIC: i64 = 0x27e0eb;
/// `f_type` of the cgroup v2 hierarchy, linux/magic.h.
pub const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// `AT_FDCWD`, for an absolute path.
pub fn cwd() -> BorrowedFd<'static> {
    CWD
}

/// openat(2) with `O_CLOEXEC`; creates nothing.
pub fn openat(at: BorrowedFd<'_>, path: &str, flags: i32) -> io::Result<OwnedFd> {
    let flags = OFlags::from_bits_retain(flags as u32) | OFlags::CLOEXEC;
    Ok(fs::openat(at, path, flags, Mode::empty())?)
}

/// mkdirat(2) with mode 0755, from which the kernel takes the umask.
pub fn mkdirat(at: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    Ok(fs::mkdirat(at, path, Mode::from_raw_mode(0o755))?)
}

/// unlinkat(2) with `AT_REMOVEDIR`, which is rmdir(2).
pub fn rmdirat(at: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    Ok(fs::unlinkat(at, path, AtFlags::REMOVEDIR)?)
}

/// fchownat(2) of `path` below `at`, without following a symbolic link; an empty path is `at`
/// itself.
pub fn chownat(at: BorrowedFd<'_>, path: &str, uid: u32, gid: u32) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    Ok(fs::chownat(at, path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)?)
}

/// Whether the effective ids may write `path`, faccessat(2).
pub fn writable(path: &str) -> bool {
    let Ok(path) = CString::new(path) else { return false };
    // SAFETY: `path` is NUL-terminated and outlives the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK, libc::AT_EACCESS) == 0 }
}

/// read(2) until the end of the file; the files of cgroupfs are small.
///
/// # Errors
/// `InvalidData` if the text is not UTF-8.
pub fn read_all(fd: BorrowedFd<'_>) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if bytes.capacity() - bytes.len() < 512 {
            bytes.reserve(4096);
        }
        match rustix::io::read(fd, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// One read(2), which returns all of a file that has a few lines.
///
/// # Errors
/// `InvalidData` if the text is not UTF-8.
pub fn read_once(fd: BorrowedFd<'_>) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(256);
    let spare = rustix::buffer::spare_capacity(&mut bytes);
    rustix::io::read(fd, spare)?;
    String::from_utf8(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// One write(2), since cgroupfs takes a value whole or not at all.
///
/// # Errors
/// EIO if less than the value was written.
pub fn write_once(fd: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    match rustix::io::retry_on_intr(|| rustix::io::write(fd, value))? {
        n if n == value.len() => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

/// `f_type` of the file system that a path is on, statfs(2).
pub fn fs_type_of(path: &str) -> io::Result<i64> {
    Ok(fs::statfs(path)?.f_type)
}

/// `f_type` of the file system that an open file is on, fstatfs(2).
pub fn fs_type(fd: BorrowedFd<'_>) -> io::Result<i64> {
    Ok(fs::fstatfs(fd)?.f_type)
}

/// kill(2).
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill touches no memory of ours.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// poll(2) for `POLLPRI` until a cgroup file that notifies has changed since it was last read.
/// Return false after `timeout_ms` milliseconds, and true after a signal too.
pub fn wait_change(fd: BorrowedFd<'_>, timeout_ms: i32) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
    // SAFETY: `poll` is one writable pollfd.
    match check(unsafe { libc::poll(&mut poll, 1, timeout_ms) }.into()) {
        Ok(n) => Ok(n > 0),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(e) => Err(e),
    }
}

/// lseek(2) to the start, so that a cgroup file can be read again.
pub fn rewind(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fs::seek(fd, fs::SeekFrom::Start(0)).map(drop)?)
}

/// eventfd(2) that does not block.
pub fn eventfd() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// An inotify(7) descriptor that does not block, for changes of one file: inotify_init1(2) and
/// inotify_add_watch(2).
pub fn watch_file(path: &str) -> io::Result<OwnedFd> {
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&fd, path, inotify::WatchFlags::MODIFY)?;
    Ok(fd)
}

/// read(2) once from an eventfd or inotify descriptor that does not block. Return the first eight
/// bytes, which are the count of an eventfd, or 0 if there is nothing to read yet.
pub fn drain(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes = [0; 4096];
    match rustix::io::read(fd, &mut bytes) {
        Ok(_) => Ok(u64::from_ne_bytes(std::array::from_fn(|index| bytes[index]))),
        Err(Errno::WOULDBLOCK) => Ok(0),
        Err(e) => Err(e.into()),
    }
}
