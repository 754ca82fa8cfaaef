//! Who the caller is.
//!
//! Knows the ids of this process; makes no decision.
// SAFETY of the file as a whole: calls of the C library without pointers.
#![allow(unsafe_code)]

/// The effective user id (geteuid(2), which cannot fail).
pub fn effective_uid() -> u32 {
    // SAFETY: no arguments, no memory, no failure.
    unsafe { libc::geteuid() }
}

/// The effective group id (getegid(2), which cannot fail).
pub fn effective_gid() -> u32 {
    // SAFETY: no arguments, no memory, no failure.
    unsafe { libc::getegid() }
}
