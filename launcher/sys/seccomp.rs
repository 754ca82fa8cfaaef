//! Which flags the kernel's seccomp(2) accepts, learned without loading a filter.

use syscalls::Sysno;

/// linux/seccomp.h.
const SECCOMP_SET_MODE_FILTER: u32 = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = 1 << 3;
const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// Whether the kernel accepts filters with these SECCOMP_FILTER_FLAG_* flags; with 0, whether it
/// accepts filters at all.
pub fn takes(flags: u32) -> bool {
    let notifies = flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV != 0;
    let flags = flags | if notifies { SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    let none = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel cannot load a null program: it fails with EFAULT if it knows the flags,
    // and otherwise with EINVAL.
    let result =
        unsafe { libc::syscall(Sysno::seccomp as i64, SECCOMP_SET_MODE_FILTER, flags, none) };
    result < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}
