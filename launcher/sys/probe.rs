//! System calls that are made for their errno only, to learn what the kernel has; they change
//! nothing.

use std::io;
use std::path::Path;

use rustix::fs::{self, AtFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use syscalls::Sysno;

use super::check;

/// A system call with arguments that the kernel refuses before it does anything, such as null
/// pointers and descriptors that do not exist.
pub struct Refused {
    /// Its name.
    pub name: &'static str,
    call: Sysno,
    args: [i64; 5],
}

impl Refused {
    const fn new(name: &'static str, call: Sysno, args: [i64; 5]) -> Refused {
        Refused { name, call, args }
    }

    /// Make the call, and return the errno with which the kernel refuses it; 0 if it succeeds.
    pub fn errno(&self) -> i32 {
        let [a, b, c, d, e] = self.args;
        // SAFETY: the constants below are the only values, and none has a valid pointer.
        match check(unsafe { libc::syscall(self.call as i64, a, b, c, d, e) }) {
            Ok(_) => 0,
            Err(e) => e.raw_os_error().unwrap_or(0),
        }
    }
}

/// The newest system call that all containers need.
pub const NEWEST: Refused = Refused::new("mount_setattr", Sysno::mount_setattr, [-1, 0, -1, 0, 0]);

/// open_tree(2) with OPEN_TREE_NAMESPACE|OPEN_TREE_CLOEXEC, which is EINVAL before Linux 7.0.
const TREE_NAMESPACE: Refused =
    Refused::new("open_tree", Sysno::open_tree, [-1, 0, 0x2 | libc::O_CLOEXEC as i64, 0, 0]);

/// Whether a mount namespace can begin with one tree (Linux 7.0).
pub fn tree_namespaces() -> bool {
    // The kernel checks the flags before the path.
    TREE_NAMESPACE.errno() == libc::EFAULT
}

/// The system calls without which no container can be made.
pub const CALLS: [Refused; 9] = [
    Refused::new("clone3", Sysno::clone3, [0, 0, 0, 0, 0]),
    Refused::new("openat2", Sysno::openat2, [-1, 0, 0, 0, 0]),
    Refused::new("open_tree", Sysno::open_tree, [-1, 0, -1, 0, 0]),
    Refused::new("move_mount", Sysno::move_mount, [-1, 0, -1, 0, -1]),
    Refused::new("fsopen", Sysno::fsopen, [0, -1, 0, 0, 0]),
    NEWEST,
    Refused::new("pidfd_open", Sysno::pidfd_open, [-1, 0, 0, 0, 0]),
    Refused::new("pidfd_send_signal", Sysno::pidfd_send_signal, [-1, 0, 0, 0, 0]),
    Refused::new("close_range", Sysno::close_range, [1, 0, 0, 0, 0]),
];

/// Whether a path is the root of a mount, statx(2).
pub fn is_mount_point(path: &str) -> bool {
    let found = fs::statx(fs::CWD, path, AtFlags::empty(), StatxFlags::empty());
    found.is_ok_and(|it| it.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The id of the mount that a path is on, as in proc_pid_mountinfo(5): statx(2), Linux 5.8.
pub fn mount_id(path: &str) -> io::Result<u64> {
    Ok(fs::statx(fs::CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// Whether no file there can be executed, statvfs(2).
pub fn is_noexec(path: &Path) -> bool {
    fs::statvfs(path).is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// Whether set-user-ID and file capabilities have no effect there, statvfs(2).
pub fn is_nosuid(path: &Path) -> bool {
    fs::statvfs(path).is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::NOSUID))
}

/// The kernel's release, uname(2).
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Whether unshare(2) succeeds in a child that ends at once: first with `before` (unless it is 0),
/// then with `flags`.
pub fn can_unshare(before: i32, flags: i32) -> io::Result<()> {
    in_child(&|| (before == 0 || unshares(before)) && unshares(flags))
}

/// unshare(2) of the calling process, which should be a child of [`in_child`].
pub(super) fn unshares(flags: i32) -> bool {
    // SAFETY: no pointers; the caller has one thread.
    unsafe { libc::unshare(flags) == 0 }
}

/// Whether `calls` succeed in a child that ends at once; else their last errno. They may make
/// system calls only, since the child is a copy of one thread.
pub(super) fn in_child(calls: &dyn Fn() -> bool) -> io::Result<()> {
    // SAFETY: the child makes system calls only, and never returns from here.
    let child = check(unsafe { libc::fork() }.into())? as libc::pid_t;
    if child == 0 {
        let good = calls();
        // SAFETY: the only pointer is that to this thread's errno; _exit runs no exit handlers, and
        // every errno fits into an exit status.
        unsafe { libc::_exit(if good { 0 } else { *libc::__errno_location() }) }
    }
    let mut status = 0;
    loop {
        // SAFETY: `status` is a writable int.
        match check(unsafe { libc::waitpid(child, &raw mut status, 0) }.into()) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => break result.map(drop)?,
        }
    }
    match libc::WEXITSTATUS(status) {
        0 if libc::WIFEXITED(status) => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
