//! The ids and the user namespace of this process, and how it makes files with other ids.
// SAFETY of the whole file: no call of the C library here takes a pointer.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

use rustix::thread::CapabilitySet;

/// The effective user id (geteuid(2), which cannot fail).
pub fn effective_uid() -> u32 {
    // SAFETY: no arguments, no memory, no failure.
    unsafe { libc::geteuid() }
}

/// Whether this process is in a user namespace other than the initial one. Root of such a namespace
/// has no rights over the machine.
///
/// The initial namespace has a fixed inode, USER_NS_INIT_INO of include/uapi/linux/nsfs.h. The
/// kernel is asked once: the launcher never enters another.
pub fn in_user_namespace() -> bool {
    static INSIDE: LazyLock<bool> = LazyLock::new(|| {
        const INITIAL: u64 = 0xEFFF_FFFD;
        let user = libc::CLONE_NEWUSER as u32;
        let own = super::process::own_pidfd();
        let inode = match own.and_then(|own| super::namespace::of_process(&own, user)) {
            Ok((_, inode)) => Ok(inode),
            Err(_) => std::fs::metadata("/proc/self/ns/user").map(|namespace| namespace.ino()),
        };
        // A kernel without user namespaces has no such file, and only the initial namespace.
        inode.is_ok_and(|inode| inode != INITIAL)
    });
    *INSIDE
}

/// The ids that the user namespace of this process has, by `uid_map` or `gid_map` of /proc/self:
/// the first id of each range, and its size.
pub fn ids_of_namespace(file: &str) -> Vec<(u32, u32)> {
    let map = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map_while(|it| it.parse::<u32>().ok());
        numbers.next().zip(numbers.nth(1))
    };
    map.lines().filter_map(range).collect()
}

/// Whether the user namespace of this process has a group.
pub fn has_group(gid: u32) -> bool {
    let has = |(first, count)| gid.checked_sub(first).is_some_and(|above| above < count);
    ids_of_namespace("gid_map").into_iter().any(has)
}

/// Whether this thread has CAP_SYS_ADMIN in its effective set, capget(2).
pub fn administers() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Whether this thread has CAP_SETUID and CAP_SETGID in its effective set, capget(2).
pub fn changes_ids() -> bool {
    let both = CapabilitySet::SETUID | CapabilitySet::SETGID;
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(both))
}

/// Whether execve(2) gives this thread no rights, PR_GET_NO_NEW_PRIVS of prctl(2).
pub fn no_new_privileges() -> bool {
    rustix::thread::no_new_privs().unwrap_or(false)
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

/// While this value lives, its thread makes files as another user.
pub struct FilesAs(());

/// setfsuid(2) and setfsgid(2) of the calling thread. The kernel takes the capabilities over files
/// from a thread whose file system user ID changes from 0 to another (capabilities(7)).
///
/// # Errors
/// EPERM without CAP_SETUID and CAP_SETGID. The calls do not report it, so the ids are read back.
pub fn files_as(uid: u32, gid: u32) -> io::Result<FilesAs> {
    let set = FilesAs(());
    // SAFETY: no pointers. The id -1 changes nothing, and makes the call return the current id.
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
        // SAFETY: no pointers. A thread may always set its own effective ids.
        unsafe {
            libc::setfsuid(effective_uid());
            libc::setfsgid(effective_gid());
        }
    }
}
