//! An open cgroup directory that is proved to be on cgroupfs; its files by name.
//!
//! Knows descriptors and names. Must not know controllers or values. Functions that return
//! `io::Result` fail with the errno of openat(2), read(2), getdents64(2) or write(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::probe::Version;
use crate::sys::cgroupfs as sys;
use crate::{Error, Result};

/// An open cgroup directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: String,
}

impl Dir {
    /// Open an absolute path and prove with fstatfs(2) that it is a cgroup of this version, since
    /// another process may have put another directory there.
    ///
    /// # Errors
    /// openat(2) or fstatfs(2) fails, or the directory is not on cgroupfs of this version.
    pub fn open(path: &str, version: Version) -> Result<Dir> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let fd = sys::openat(sys::cwd(), path, flags).map_err(|e| Error::io(path, "open", &e))?;
        let found = sys::fs_type(fd.as_fd()).map_err(|e| Error::io(path, "fstatfs", &e))?;
        if found != version.magic() {
            let kind = if version == Version::V1 { "cgroup" } else { "cgroup2" };
            return Err(Error::new(format!("{path}: not on a {kind} file system")));
        }
        Ok(Dir { fd, path: path.to_owned() })
    }

    /// The whole text of a file.
    pub fn read(&self, file: &str) -> io::Result<String> {
        let fd = sys::openat(self.fd.as_fd(), file, libc::O_RDONLY)?;
        sys::read_all(fd.as_fd())
    }

    /// The number in a file; `max` and negative numbers are `u64::MAX`.
    ///
    /// # Errors
    /// The file cannot be read, or is `InvalidData`.
    pub fn number(&self, file: &str) -> io::Result<u64> {
        parse_number(self.read(file)?.trim()).ok_or(io::ErrorKind::InvalidData.into())
    }

    /// Write a value in one write(2).
    pub fn write(&self, file: &str, value: &str) -> io::Result<()> {
        sys::write_once(self.open_file(file)?.as_fd(), value.as_bytes())
    }

    /// Open a file for writing.
    pub fn open_file(&self, file: &str) -> io::Result<OwnedFd> {
        sys::openat(self.fd.as_fd(), file, libc::O_WRONLY)
    }

    /// Open a file for reading; the caller may read it several times.
    pub fn watch(&self, file: &str) -> io::Result<OwnedFd> {
        sys::openat(self.fd.as_fd(), file, libc::O_RDONLY)
    }

    /// Names of the child cgroups.
    pub fn children(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Open a child cgroup.
    pub fn child(&self, name: &str) -> io::Result<Dir> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let fd = sys::openat(self.fd.as_fd(), name, flags)?;
        Ok(Dir { fd, path: format!("{}/{name}", self.path) })
    }

    /// Its absolute path.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The whole text of a file by its path.
pub fn read_path(path: &str) -> io::Result<String> {
    let fd = sys::openat(sys::cwd(), path, libc::O_RDONLY)?;
    sys::read_all(fd.as_fd())
}

/// A number as cgroupfs writes it.
pub fn parse_number(text: &str) -> Option<u64> {
    match text {
        "max" => Some(u64::MAX),
        _ => match text.strip_prefix('-') {
            Some(digits) => digits.parse::<u64>().ok().map(|_| u64::MAX),
            None => text.parse().ok(),
        },
    }
}
