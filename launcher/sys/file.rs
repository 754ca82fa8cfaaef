//! Files: openat2(2), memfd_create(2) with seals, flock(2), and which descriptors are owned.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    self, AtFlags, FlockOperation, MemfdFlags, Mode, OFlags, ResolveFlags, SealFlags,
    StatVfsMountFlags,
};
use rustix::io::Errno;

use super::check;

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Own the descriptor that a call has just made and returned.
pub(super) fn owned(result: i64) -> io::Result<OwnedFd> {
    let fd = check(result)? as RawFd;
    // SAFETY: the call has just made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// open(2) with `O_PATH`: a descriptor that only names a file or directory of the host.
pub fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Open a directory; `path` itself may not be a symbolic link.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::open(path, flags, Mode::empty())?)
}

/// Open or create a file below a directory, openat(2) with `O_CLOEXEC`.
pub fn open_at(at: &impl AsFd, name: &str, flags: i32, mode: u32) -> io::Result<std::fs::File> {
    let flags = OFlags::from_bits_retain(flags as u32) | OFlags::CLOEXEC;
    Ok(fs::openat(at, name, flags, Mode::from_raw_mode(mode))?.into())
}

/// Rename a file within a directory, renameat(2).
pub fn rename_at(at: &impl AsFd, from: &str, to: &str) -> io::Result<()> {
    Ok(fs::renameat(at, from, at, to)?)
}

/// Remove a file from a directory, unlinkat(2).
pub fn unlink_at(at: &impl AsFd, name: &str) -> io::Result<()> {
    Ok(fs::unlinkat(at, name, AtFlags::empty())?)
}

/// The first 4 KiB of a file of procfs, in one read(2): the kernel's small files are no longer.
pub fn read_small(path: &str) -> io::Result<String> {
    let file = fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = [0; 4096];
    let got = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut bytes))?;
    Ok(String::from_utf8_lossy(&bytes[..got]).into_owned())
}

/// The absolute path without symbolic links, realpath(3). Unlike std's function it takes no memory
/// from the C library, whose allocator would start for this alone.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    let path = c_path(path)?;
    let mut resolved = [0u8; libc::PATH_MAX as usize];
    // SAFETY: `path` is NUL-terminated, and realpath(3) writes at most PATH_MAX bytes.
    let found = unsafe { libc::realpath(path.as_ptr(), resolved.as_mut_ptr().cast()) };
    if found.is_null() {
        return Err(io::Error::last_os_error());
    }
    let length = resolved.iter().position(|byte| *byte == 0).unwrap_or(resolved.len());
    Ok(PathBuf::from(OsStr::from_bytes(&resolved[..length])))
}

/// How many times a path is resolved that fails with EAGAIN, as while anything is renamed or
/// mounted (openat2(2)).
const RACES: usize = 128;

/// openat2(2) with `O_*` flags and `RESOLVE_*` flags.
///
/// # Errors
/// EAGAIN if each of [`RACES`] tries raced with a rename or a mount.
pub fn openat2(at: BorrowedFd<'_>, path: &CStr, flags: i32, resolve: u64) -> io::Result<OwnedFd> {
    let (flags, resolve) =
        (OFlags::from_bits_retain(flags as u32), ResolveFlags::from_bits_retain(resolve));
    let mut tries = RACES;
    loop {
        tries -= 1;
        match fs::openat2(at, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if tries > 0 => {}
            opened => return Ok(opened?),
        }
    }
}

/// Open with `O_PATH` a path inside a root; symbolic links lead inside the root only (openat2(2)).
pub fn open_in_root(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    openat2(root.as_fd(), &path, libc::O_PATH | libc::O_CLOEXEC, resolve)
}

/// As [`open_in_root`], by any descriptor. RESOLVE_IN_ROOT alone refuses the magic links of /proc
/// as well, with EXDEV instead of ELOOP.
pub fn open_beneath(root: &impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    openat2(root.as_fd(), &path, libc::O_PATH | libc::O_CLOEXEC, libc::RESOLVE_IN_ROOT)
}

/// Open with `O_PATH` a path below a directory without following a symbolic link (openat2(2)); if
/// its last component is a link, the descriptor names the link.
pub fn name_below(directory: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    openat2(directory.as_fd(), &path, flags, libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS)
}

/// At most `most` bytes of a regular file inside a root: openat2(2), read(2).
///
/// # Errors
/// `InvalidInput` if it is not a regular file.
pub fn read_in_root(root: &OwnedFd, path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let path = c_path(path)?;
    let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let file = std::fs::File::from(openat2(root.as_fd(), &path, flags, resolve)?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // One read is enough for most files.
    let mut bytes = Vec::with_capacity(most.min(4096) as usize);
    io::Read::read_to_end(&mut io::Read::take(file, most), &mut bytes)?;
    Ok(bytes)
}

/// open(2) with O_TMPFILE: a file that has no name and is gone when it is closed.
pub fn unnamed(directory: &Path) -> io::Result<std::fs::File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(fs::open(directory, flags, Mode::from_raw_mode(0o600))?.into())
}

/// Whether the mount of `fd`, or its file system, is read-only: fstatvfs(3).
pub fn is_read_only(fd: &impl AsFd) -> io::Result<bool> {
    Ok(fs::fstatvfs(fd)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// fstat(2).
pub fn stat(fd: &impl AsFd) -> io::Result<libc::stat> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills the structure whole when it answers 0.
    check(unsafe { libc::fstat(fd.as_fd().as_raw_fd(), stat.as_mut_ptr()) }.into())?;
    // SAFETY: it has answered 0.
    Ok(unsafe { stat.assume_init() })
}

/// The uid that owns a file below a directory, not following a link: fstatat(2).
pub fn owner_at(at: &impl AsFd, name: &str) -> io::Result<u32> {
    Ok(fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid)
}

/// Type and permissions of an open file, fstat(2).
pub fn mode(fd: &impl AsFd) -> io::Result<u32> {
    stat(fd).map(|stat| stat.st_mode)
}

/// Make an executable memfd of these bytes and seal it against any change: memfd_create(2),
/// write(2), fcntl(2).
///
/// # Errors
/// EPERM or EACCES if `vm.memfd_noexec` forbids executable memfds.
pub fn sealed_executable(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => fs::memfd_create(name, flags)?,
        result => result?,
    };
    let mut file = std::fs::File::from(fd);
    io::Write::write_all(&mut file, bytes)?;
    fs::fchmod(&file, Mode::from_raw_mode(0o511))?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let exec = SealFlags::from_bits_retain(F_SEAL_EXEC as u32);
    if fs::fcntl_add_seals(&file, seals | exec).is_err() {
        fs::fcntl_add_seals(&file, seals)?;
    }
    Ok(file.into())
}

/// Let standard output be standard error, dup2(2); return what it was.
pub fn divert_stdout() -> io::Result<std::fs::File> {
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(output.into())
}

/// Make a memfd of this length, full of zeros: memfd_create(2), ftruncate(2).
pub fn memory(name: &CStr, length: u64) -> io::Result<OwnedFd> {
    let fd = fs::memfd_create(name, MemfdFlags::CLOEXEC)?;
    fs::ftruncate(&fd, length)?;
    Ok(fd)
}

/// include/uapi/linux/fcntl.h, Linux 6.3.
const F_SEAL_EXEC: i32 = 0x20;

/// Take the exclusive lock of an open file, flock(2).
///
/// # Errors
/// `WouldBlock` if `wait` is false and another open file description holds the lock.
pub fn lock(fd: &impl AsFd, wait: bool) -> io::Result<()> {
    let operation =
        if wait { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
    Ok(rustix::io::retry_on_intr(|| fs::flock(fd, operation))?)
}

/// Give up the lock of an open file, flock(2).
pub fn unlock(fd: &impl AsFd) -> io::Result<()> {
    Ok(fs::flock(fd, FlockOperation::Unlock)?)
}

/// Whether a descriptor number is open, and stays open over execve(2). Descriptors that this
/// process has opened itself do not: they are close-on-exec.
pub fn is_inheritable(fd: RawFd) -> bool {
    // SAFETY: no pointers.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// Own a descriptor that the caller has left open for this process, and make it close-on-exec.
/// `None` if the number is not one of those.
pub fn inherited(fd: RawFd) -> Option<OwnedFd> {
    // An inheritable descriptor has no owner, since those that this process opens are not
    // inheritable. The standard library owns 0 to 2.
    if fd < 3 || !is_inheritable(fd) {
        return None;
    }
    // SAFETY: no pointers; the number is open.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: it is open and has no owner, see above.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// fstat(2) of an inherited descriptor.
pub fn stat_of(fd: RawFd) -> io::Result<libc::stat> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills the structure whole when it answers 0.
    check(unsafe { libc::fstat(fd, stat.as_mut_ptr()) }.into())?;
    // SAFETY: it has answered 0.
    Ok(unsafe { stat.assume_init() })
}

/// Whether executing a file gives capabilities, capabilities(7).
pub fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = c_path(path) else { return false };
    let name = c"security.capability";
    // SAFETY: both are C strings; with a size of 0 nothing is written.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// The kernel gives up a path with `..` in it if anything is renamed meanwhile, anywhere.
    #[test]
    fn a_path_is_resolved_despite_renames_elsewhere() {
        let dir = std::env::temp_dir().join(format!("tiny-ce-renames-{}", std::process::id()));
        fs::create_dir_all(dir.join("here/a")).expect("a directory");
        fs::write(dir.join("one"), "").expect("a file");
        let root = open_path(&dir.join("here")).expect("a root");
        let done = AtomicBool::new(false);
        let failures = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    fs::rename(dir.join("one"), dir.join("other")).expect("a rename");
                    fs::rename(dir.join("other"), dir.join("one")).expect("a rename");
                }
            });
            let path = Path::new("a/../a/../a/../a");
            let failures = (0..20_000).filter(|_| open_in_root(&root, path).is_err()).count();
            done.store(true, Ordering::Relaxed);
            failures
        });
        fs::remove_dir_all(&dir).expect("the directory");
        assert_eq!(failures, 0);
    }
}
