//! Copy a tree by descriptors of its directories: a name has one component, and no symbolic link is
//! followed.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Uid};

use super::check;
use super::file::openat2;

const BELOW: u64 = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;

/// Open for reading the directory that `path_only`, an `O_PATH` descriptor, names: openat2(2).
pub fn readable(path_only: &OwnedFd) -> io::Result<OwnedFd> {
    open_directory(path_only.as_fd(), c".")
}

/// Open the directory `name` below another, openat2(2).
///
/// # Errors
/// ELOOP if it is a symbolic link.
pub fn open_directory(at: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    openat2(at, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC, BELOW)
}

/// The names in a directory without `.` and `..`, readdir(3).
pub fn names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let entries = std::fs::read_dir(path)?;
    let name = |entry: io::Result<std::fs::DirEntry>| {
        let name = entry?.file_name();
        CString::new(name.into_vec()).map_err(io::Error::from)
    };
    entries.map(name).collect()
}

/// fstatat(2) of the entry itself, also if it is a symbolic link.
pub fn status(at: BorrowedFd<'_>, name: &CStr) -> io::Result<libc::stat> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: `name` is a C string; the kernel fills the structure whole when it answers 0.
    unsafe {
        check(libc::fstatat(at.as_raw_fd(), name.as_ptr(), stat.as_mut_ptr(), flags).into())?;
        Ok(stat.assume_init())
    }
}

/// mkdirat(2) with mode 0700: others get their access once the copy is complete.
pub fn make_directory(at: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    Ok(fs::mkdirat(at, name, Mode::from_raw_mode(0o700))?)
}

/// Open the regular file `name` for reading. openat2(2) with `O_PATH` comes first, since to open a
/// device that another process has put in its place may have an effect.
///
/// # Errors
/// ESTALE if it is not a regular file.
pub fn open_regular(at: BorrowedFd<'_>, name: &CStr) -> io::Result<File> {
    let named = openat2(at, name, libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC, BELOW)?;
    if super::file::mode(&named)? & libc::S_IFMT != libc::S_IFREG {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
    }
    File::open(format!("/proc/self/fd/{}", named.as_raw_fd()))
}

/// Make a regular file that only its owner may read and write, with the bytes of `source`:
/// openat(2), read(2), write(2).
pub fn regular(mut source: File, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut target = File::from(fs::openat(to, name, flags, Mode::from_raw_mode(0o600))?);
    io::copy(&mut source, &mut target).map(drop)
}

/// Copy a symbolic link with an unchanged target: readlinkat(2), symlinkat(2).
pub fn link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let target = read_link(from, name)?;
    Ok(fs::symlinkat(target, to, name)?)
}

/// readlinkat(2): the target of a symbolic link; with an empty name, of the link that `from` names.
pub fn read_link(from: BorrowedFd<'_>, name: &CStr) -> io::Result<CString> {
    Ok(fs::readlinkat(from, name, Vec::with_capacity(libc::PATH_MAX as usize))?)
}

/// mknodat(2): a device, FIFO or socket as `status` describes it, for its owner only.
pub fn node(at: BorrowedFd<'_>, name: &CStr, status: &libc::stat) -> io::Result<()> {
    // SAFETY: `name` is a C string.
    let made = unsafe {
        libc::mknodat(at.as_raw_fd(), name.as_ptr(), status.st_mode & !0o077, status.st_rdev)
    };
    check(made.into()).map(drop)
}

/// fchownat(2) of an entry, or with an empty name of the descriptor itself.
pub fn set_owner(at: BorrowedFd<'_>, name: &CStr, (uid, gid): (u32, u32)) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    Ok(fs::chownat(at, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)?)
}

/// Set the owner and the mode of an entry, or with an empty name of the descriptor itself:
/// fchownat(2), then fchmodat(2), since a change of owner clears the set-user-ID bit.
pub fn set_owner_and_mode(
    at: BorrowedFd<'_>,
    name: &CStr,
    owner: (u32, u32),
    status: &libc::stat,
) -> io::Result<()> {
    set_owner(at, name, owner)?;
    if status.st_mode & libc::S_IFMT == libc::S_IFLNK {
        return Ok(());
    }
    let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
    // fchmodat(2) would follow a symbolic link, but this process has just made the entry, and it
    // is none.
    Ok(match name.is_empty() {
        true => fs::fchmod(at, mode),
        false => fs::chmodat(at, name, mode, AtFlags::empty()),
    }?)
}
