//! Namespaces: the kind of one, its owner, whose it is, and how a thread joins it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

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

/// Whether a process is in the same namespace as this one, by the files in /proc/PID/ns, of which
/// `name` is one. False also if they cannot be read.
pub fn same(pid: i32, name: &str) -> bool {
    let file = |process: &str| {
        let found = std::fs::metadata(format!("/proc/{process}/ns/{name}")).ok()?;
        Some((found.dev(), found.ino()))
    };
    file("self").is_some_and(|ours| file(&pid.to_string()) == Some(ours))
}

/// The device and the inode of a process's namespace, of the kind of this CLONE_NEW* flag, by its
/// pidfd: PIDFD_GET_*_NAMESPACE of include/uapi/linux/pidfd.h. The files in /proc/PID/ns say the
/// same, but procfs makes an inode for each that is looked at, which takes 16 µs.
///
/// # Errors
/// ENOTTY before Linux 6.11, EOPNOTSUPP if this kernel lacks the kind, EINVAL if the flag is none,
/// EACCES and ESRCH as for these files.
pub fn of_process(process: &OwnedFd, kind: u32) -> io::Result<(u64, u64)> {
    let number: u64 = match kind as i32 {
        libc::CLONE_NEWCGROUP => 1,
        libc::CLONE_NEWIPC => 2,
        libc::CLONE_NEWNS => 3,
        libc::CLONE_NEWNET => 4,
        libc::CLONE_NEWPID => 5,
        libc::CLONE_NEWTIME => 7,
        libc::CLONE_NEWUSER => 9,
        libc::CLONE_NEWUTS => 10,
        _ => return Err(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    let call = 0xff00 | number;
    // SAFETY: this ioctl takes no argument, and returns a new descriptor or fails.
    let opened = unsafe { libc::ioctl(process.as_raw_fd(), call as _, 0) };
    let stat = super::file::stat(&super::file::owned(opened.into())?)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// setns(2): the calling thread joins the namespaces of these kinds.
pub fn enter(fd: BorrowedFd<'_>, kinds: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setns(fd.as_raw_fd(), kinds as i32) }.into()).map(drop)
}
