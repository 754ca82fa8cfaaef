//! Who the caller is, and as whom it makes files.
//!
//! Knows the ids of this process; makes no decision.
// SAFETY of the file as a whole: calls of the C library without pointers.

use std::io;
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

/// Files are made as another user, as long as this lives.
pub struct FilesAs(());

/// setfsuid(2) and setfsgid(2), of this thread; root's capabilities over files go with its uid.
///
/// # Errors
/// EPERM without CAP_SETUID and CAP_SETGID, which the calls themselves do not say.
pub fn files_as(uid: u32, gid: u32) -> io::Result<FilesAs> {
    let set = FilesAs(());
    // SAFETY: no memory is involved; an id of -1 changes nothing and is answered with the current.
    let now = unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX))
    };
    if now == (uid as i32, gid as i32) {
        Ok(set)
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

impl Drop for FilesAs {
    fn drop(&mut self) {
        // SAFETY: as above; one may always become again who one is.
        unsafe {
            libc::setfsuid(effective_uid());
            libc::setfsgid(effective_gid());
        }
    }
}
