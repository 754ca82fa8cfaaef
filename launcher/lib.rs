//! tiny-ce: a container runtime that compiles `config.json` into a plan of system calls.
//!
//! [`spec`] reads and checks a config.json, [`compile`] makes the [`plan`], and [`container`] has
//! the verbs: `create`, `start`, `exec`, `delete` and the others. The command line is one user of
//! these modules. Every failure is an [`Error`].
//!
//! All mistakes of a config.json are reported at once, each with its place:
//!
//! ```
//! use tiny_ce::spec::{self, Spec};
//!
//! let text = br#"{"root": {"path": 7}, "process": {"cwd": "/", "args": "sh"}}"#;
//! let mistakes = spec::json::read::<Spec>(text).unwrap_err();
//! let places: Vec<_> = mistakes.iter().map(|it| (it.path.as_str(), it.position)).collect();
//! assert_eq!(places, [("process.args", Some((1, 55))), ("root.path", Some((1, 19)))]);
//! ```
//!
//! docs/library/main.rs is a whole program that makes, starts and deletes a container.

pub mod analysis;
mod answers;
mod boot;
pub mod cgroup;
#[doc(hidden)]
pub mod cli;
mod colour;
pub mod compile;
pub mod container;
mod conversation;
mod criu;
pub mod doctor;
pub mod errno;
pub mod error;
pub mod features;
mod foreground;
pub mod hints;
pub mod hooks;
pub mod host;
mod image;
mod link;
pub mod log;
mod mountinfo;
pub mod network;
pub mod origin;
pub mod plan;
mod program;
pub mod resctrl;
pub mod rfc3339;
pub mod seccomp;
mod signals;
pub mod spec;
pub mod state;
mod sys;
pub mod systemd;
pub mod usernet;
mod vm;

pub use error::{Error, Result};
#[doc(hidden)]
pub use sys::memory::Arena;
