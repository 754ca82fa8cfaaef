//! Namespaces: of which kind one is, whose it is, and how to enter it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

const NS_GET_USERNS: u64 = 0xb701;
const NS_GET_NSTYPE: u64 = 0xb703;

/// CLONE_NEW* of the namespace that this is.
pub fn flag(file: &File) -> io::Result<u32> {
    // SAFETY: this ioctl takes no argument.
    check(unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE as _) }.into()).map(|it| it as u32)
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
