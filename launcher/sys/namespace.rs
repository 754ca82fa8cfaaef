//! Namespaces: opened, verified to be of the wanted kind, entered by a child.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;
use crate::compile::namespaces::flag;
use crate::error::{Error, Result};
use crate::spec::NamespaceKind;

const NS_GET_USERNS: u64 = 0xb701;
const NS_GET_NSTYPE: u64 = 0xb703;

/// Open the namespace at `path`, and refuse it if it is of another kind, or none.
pub fn open(path: &str, wanted: NamespaceKind) -> Result<File> {
    let file = File::open(path).map_err(|e| {
        let hint = match e.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "another user's process is looked into with CAP_SYS_PTRACE in its user namespace"
            }
            _ => "the namespace to join must exist: see ip-netns(8), nsenter(1)",
        };
        Error::io(path, "openat", &e).hint(hint)
    })?;
    // SAFETY: this ioctl takes no argument.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE as _) };
    let found = NamespaceKind::ALL.iter().find(|kind_of| flag(**kind_of).0 as i32 == kind);
    match found {
        Some(found) if *found == wanted => Ok(file),
        Some(found) => Err(Error::new(format!(
            "{path}: is a {} namespace, expected {}",
            found.word(),
            wanted.word()
        ))),
        None => Err(Error::new(format!("{path}: is not a namespace, expected {}", wanted.word()))),
    }
}

/// Whether the namespace belongs to the user namespace that this process is in.
pub fn owned_by_us(file: &File) -> bool {
    // SAFETY: this ioctl takes no argument, and answers with a new descriptor or an errno.
    let owner =
        super::file::owned(unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_USERNS as _) }.into());
    let identity = |stat: libc::stat| (stat.st_dev, stat.st_ino);
    let owner = owner.and_then(|fd| super::file::stat(&fd)).map(identity);
    let ours = File::open("/proc/self/ns/user").and_then(|f| super::file::stat(&f)).map(identity);
    matches!((owner, ours), (Ok(a), Ok(b)) if a == b)
}

/// setns(2) of this thread.
pub fn enter(fd: BorrowedFd<'_>, kinds: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setns(fd.as_raw_fd(), kinds as i32) }.into()).map(drop)
}
