//! tiny-ce: a container runtime that compiles `config.json` into a plan of system calls.

pub mod error;
pub mod hints;
pub mod spec;

pub use error::{Error, Result};
