//! tiny-ce: a container runtime that compiles `config.json` into a plan of system calls.

pub mod cgroup;
#[doc(hidden)]
pub mod cli;
pub mod compile;
pub mod container;
mod criu;
pub mod doctor;
pub mod errno;
pub mod error;
pub mod features;
pub mod hints;
pub mod hooks;
pub mod host;
pub mod log;
pub mod network;
pub mod origin;
pub mod plan;
pub mod resctrl;
pub mod rfc3339;
pub mod seccomp;
pub mod spec;
mod sys;
pub mod systemd;

pub use error::{Error, Result};
#[doc(hidden)]
pub use sys::memory::Arena;
