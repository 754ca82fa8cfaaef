//! New network namespaces, and the mounts that give them names.

use std::ffi::CStr;
use std::io;
use std::ptr;

use super::check;

/// unshare(2) with CLONE_NEWNET: a new network namespace, for the calling thread alone.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: no pointers; the other threads keep their network namespace.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }.into()).map(drop)
}

/// mount(2) with MS_BIND | MS_REC: show `source` at `target` as well.
pub fn bind(source: &CStr, target: &CStr) -> io::Result<()> {
    mount(source, target, libc::MS_BIND | libc::MS_REC)
}

/// mount(2) with MS_SHARED | MS_REC: mounts below `target` propagate to its peers.
///
/// # Errors
/// EINVAL if `target` is not a mount point.
pub fn make_shared(target: &CStr) -> io::Result<()> {
    mount(c"", target, libc::MS_SHARED | libc::MS_REC)
}

/// umount2(2) with MNT_DETACH, without following a symbolic link.
pub fn unmount(target: &CStr) -> io::Result<()> {
    let flags = libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW;
    // SAFETY: `target` is a C string that lives over the call.
    check(unsafe { libc::umount2(target.as_ptr(), flags) }.into()).map(drop)
}

fn mount(source: &CStr, target: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    // SAFETY: both are C strings that live over the call; no data is passed, and these flags make
    // the kernel ignore the type.
    let result = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), c"none".as_ptr(), flags, ptr::null())
    };
    check(result.into()).map(drop)
}
