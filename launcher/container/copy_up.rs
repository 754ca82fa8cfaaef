//! `tmpcopyup`: what the image has below a mount point is copied into the new tmpfs.
//!
//! The tmpfs comes as a descriptor before anybody else can see it; the image's side is resolved
//! inside the rootfs. Everything is done below descriptors, and links are never followed.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::error::{ErrnoName, Error, Result};
use crate::sys::{copy, file};

/// Directories deeper than this are not copied: there is a loop, or an attack.
const DEEPEST: usize = 128;

/// Copy what `rootfs` has at `destination` into `tmpfs`. A missing directory is an empty one.
///
/// # Errors
/// Say the errno, and not which of the many calls met it.
pub fn copy_up(rootfs: &Path, destination: &str, tmpfs: &OwnedFd) -> Result<()> {
    let failed = |call| move |e: io::Error| Error::io("tmpcopyup", call, &e);
    let root = file::open_path(rootfs).map_err(failed("openat2"))?;
    let from = match file::open_in_root(&root, Path::new(destination)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        from => from.map_err(failed("openat2"))?,
    };
    let from = copy::readable(&from).map_err(failed("openat2"))?;
    // What fsmount(2) gives only names the mount.
    let to = copy::readable(tmpfs).map_err(failed("openat2"))?;
    directory(&from, &to, DEEPEST).map_err(|e| match e.raw_os_error() {
        Some(errno) => Error::new(format!("tmpcopyup: {}", ErrnoName(errno))),
        None => Error::new(format!("tmpcopyup: {e}")),
    })
}

fn directory(from: &OwnedFd, to: &OwnedFd, left: usize) -> io::Result<()> {
    if left == 0 {
        return Err(io::Error::from_raw_os_error(libc::ELOOP));
    }
    for name in copy::names(from)? {
        entry(from, to, &name, left)?;
    }
    let status = file::stat(from)?;
    copy::set_owner_and_mode(to.as_fd(), c"", &status)
}

fn entry(from: &OwnedFd, to: &OwnedFd, name: &CString, left: usize) -> io::Result<()> {
    let status = copy::status(from.as_fd(), name)?;
    match status.st_mode & libc::S_IFMT {
        libc::S_IFDIR => {
            copy::make_directory(to.as_fd(), name)?;
            let (inner, made) = (
                copy::open_directory(from.as_fd(), name)?,
                copy::open_directory(to.as_fd(), name)?,
            );
            return directory(&inner, &made, left - 1);
        }
        libc::S_IFREG => copy::regular(from.as_fd(), to.as_fd(), name)?,
        libc::S_IFLNK => copy::link(from.as_fd(), to.as_fd(), name)?,
        _ => copy::node(to.as_fd(), name, &status)?,
    }
    copy::set_owner_and_mode(to.as_fd(), name, &status)
}
