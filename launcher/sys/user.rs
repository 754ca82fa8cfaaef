//! Who the caller is.
//!
//! Knows the ids of this process; makes no decision.
// SAFETY of the file as a whole: calls of the C library without pointers.

use std::os::unix::fs::MetadataExt;

/// The effective user id (geteuid(2), which cannot fail).
pub fn effective_uid() -> u32 {
    // SAFETY: no arguments, no memory, no failure.
    unsafe { libc::geteuid() }
}

/// Whether this process is in a user namespace other than the machine's: root of it is no root.
///
/// The machine's has a number of its own, USER_NS_INIT_INO of include/uapi/linux/nsfs.h.
pub fn in_user_namespace() -> bool {
    const INITIAL: u64 = 0xEFFF_FFFD;
    // A kernel without user namespaces has no such file, and one namespace.
    std::fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() != INITIAL)
}

/// Whether this process lacks root's rights over the machine.
pub fn is_rootless() -> bool {
    effective_uid() != 0 || in_user_namespace()
}

/// The effective group id (getegid(2), which cannot fail).
pub fn effective_gid() -> u32 {
    // SAFETY: no arguments, no memory, no failure.
    unsafe { libc::getegid() }
}
