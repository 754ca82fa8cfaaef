//! What the launcher mounts: detached trees (open_tree(2), mount_setattr(2)), and nodes that init
//! binds, on a tmpfs in a mount namespace of the calling thread (unshare(2), mount(2), mknod(2)).
//! Also fsopen(2), as a question for a file system.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use syscalls::Sysno;

use super::check;

const OPEN_TREE_CLONE: i32 = 1;
const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;

/// open_tree(2) with OPEN_TREE_CLONE: a detached clone of the mount at `path`.
pub fn clone_tree(path: &Path, recursive: bool, nofollow: bool) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut flags = OPEN_TREE_CLONE | libc::O_CLOEXEC;
    flags |= if recursive { libc::AT_RECURSIVE } else { 0 };
    flags |= if nofollow { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
    // SAFETY: `path` is a C string that lives over the call.
    let result =
        unsafe { libc::syscall(Sysno::open_tree as i64, libc::AT_FDCWD, path.as_ptr(), flags) };
    super::file::owned(result)
}

/// mount_setattr(2) with MOUNT_ATTR_IDMAP: map the ids of a detached tree as a user namespace does
/// (Linux 5.12).
pub fn map_ids(tree: &OwnedFd, user: &impl AsRawFd, recursive: bool) -> io::Result<()> {
    let attr = [MOUNT_ATTR_IDMAP, 0, 0, user.as_raw_fd() as u64];
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `attr` is four words, the kernel's struct mount_attr of 32 bytes.
    let result = unsafe {
        libc::syscall(
            Sysno::mount_setattr as i64,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            attr.as_ptr(),
            32usize,
        )
    };
    check(result).map(drop)
}

/// unshare(2) with CLONE_NEWNS for the calling thread alone, and mount(2) with MS_PRIVATE, so that
/// its mounts do not propagate.
pub fn unshare_mounts() -> io::Result<()> {
    // SAFETY: no pointers; no other thread uses the mounts and the directory of this one.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }.into())?;
    mount(c"none", c"/", libc::MS_PRIVATE | libc::MS_REC)
}

/// mount(2): a tmpfs on `target` without MS_NODEV, so that device nodes on it can be opened.
pub fn tmpfs(target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    mount(c"tmpfs", &target, libc::MS_NOSUID | libc::MS_NOEXEC)
}

fn mount(kind: &CStr, target: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    // SAFETY: both are C strings that live over the call; no data is passed.
    let result =
        unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, ptr::null()) };
    check(result.into()).map(drop)
}

/// mknod(2), with a mode from which the kernel takes the umask.
pub fn make_node(path: &Path, mode: u32, (major, minor): (u32, u32)) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let number = libc::makedev(major, minor);
    // SAFETY: `path` is a C string that lives over the call.
    check(unsafe { libc::mknod(path.as_ptr(), mode, number) }.into()).map(drop)
}

/// Whether the kernel has a file system of this name: fsopen(2), for which the kernel loads the
/// module if it is one.
pub fn knows(name: &str) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    super::file::owned(fsopen(&name)).is_ok()
}

/// The same for a caller without privileges, whom the kernel answers in a user namespace of its own
/// only: a child makes one, and ends.
pub fn knows_in_a_user_namespace(name: &str) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    super::probe::in_child(&|| super::probe::unshares(USER_AND_MOUNTS) && fsopen(&name) >= 0)
        .is_ok()
}

const USER_AND_MOUNTS: i32 = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;

fn fsopen(name: &CStr) -> i64 {
    // SAFETY: `name` is a C string that lives over the call.
    unsafe { libc::syscall(Sysno::fsopen as i64, name.as_ptr(), 1) }
}
