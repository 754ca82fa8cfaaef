//! The launcher's system calls: thin, each as its man page has it, an errno where it fails.
//!
//! The only files of the launcher in which `unsafe` stands. They decide nothing.
#![expect(unsafe_code, reason = "what std has no safe form of: each with its SAFETY line")]

pub mod bpf;
pub mod cgroupfs;
pub mod copy;
pub mod file;
pub mod hook;
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
pub mod terminal;
pub mod user;

use std::io;

/// The errno of a call that answers -1.
fn check(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
