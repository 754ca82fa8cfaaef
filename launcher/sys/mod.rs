//! The launcher's system calls, as their man pages describe them.
//!
//! A function that returns `io::Result` fails with the errno of the system calls that its docs
//! name; a path with a NUL byte is `InvalidInput`. An `# Errors` section says what else it fails
//! with, and which errno matters. These are the only files of the launcher with `unsafe`, and they
//! decide nothing.
#![expect(unsafe_code, reason = "std has no safe form of these calls; each has its SAFETY line")]

pub mod bpf;
pub mod cgroupfs;
pub mod copy;
pub mod file;
pub mod hook;
pub mod machine;
pub mod memory;
pub mod message;
pub mod mount;
pub mod namespace;
pub mod netns;
pub mod pidfd;
pub mod probe;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod statmount;
pub mod terminal;
pub mod usage;
pub mod user;

use std::io;

/// The result of a call of the C library, which returns -1 and sets errno if it fails.
fn check(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
