//! Namespaces: the kind of one, its owner, and how a thread joins it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

const NS_GET_USERNS: u64 = 0xb701;
const NS_GET_NSTYPE: u64 = 0xb703;

/// The CLONE_NEW* flag of an open namespace's kind, NS_GET_NSTYPE of ioctl_nsfs(2).
pub fn flag(file: &File) -> io::Result<u32> {
    // SAFETY: this ioctl takes no argument.
    check(unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE as _) }.into()).map(|it| it as u32)
}

/// Whether the user namespace of this process owns the namespace, NS_GET_USERNS of ioctl_nsfs(2).
pub fn owned_by_us(file: &File) -> bool {
    // SAFETY: this ioctl takes no argument, and returns a new descriptor or fails.
    let owner =
        super::file::owned(unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_USERNS as _) }.into());
    let identity = |stat: libc::stat| (stat.st_dev, stat.st_ino);
    let owner = owner.and_then(|fd| super::file::stat(&fd)).map(identity);
    let ours = File::open("/proc/self/ns/user").and_then(|f| super::file::stat(&f)).map(identity);
    matches!((owner, ours), (Ok(a), Ok(b)) if a == b)
}

/// setns(2): the calling thread joins the namespaces of these kinds.
pub fn enter(fd: BorrowedFd<'_>, kinds: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setns(fd.as_raw_fd(), kinds as i32) }.into()).map(drop)
}
