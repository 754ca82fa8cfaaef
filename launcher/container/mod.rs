//! The life of a container, one file for each command.
//!
//! `create`, `run` and `restore` share `prepare` and `launch`. A command that changes a container
//! holds the lock of its state directory. Knows nothing of the command line.

mod checkpoint;
mod create;
mod delete;
mod events;
mod exec;
mod exit;
mod hosts;
mod kill;
mod launch;
mod merge;
mod mounts;
mod netns;
mod nodev;
mod pause;
mod prepare;
mod processes;
mod resolver;
mod restore;
mod run;
mod scope;
mod start;
mod state;
mod update;
mod usernet;
mod wait;

pub use checkpoint::{Checkpoint, checkpoint, status_fd};
pub use create::create;
pub use delete::delete;
pub use events::{Event, events, stats};
pub use exec::{ExecOptions, exec};
pub use kill::kill;
pub use mounts::{Mounts, mount, unmount};
pub use netns::NetworkChoice;
pub use pause::{pause, resume};
pub use prepare::{LaunchOptions, Prepared, Source, prepare};
pub use processes::processes;
pub use restore::{Restore, restore};
pub(crate) use run::{Begun, start_here};
pub use run::{RunOptions, run};
pub use scope::CgroupDriver;
pub use start::start;
pub use state::{plan, state};
pub use update::{Update, update};
pub use wait::Waiting;

pub use crate::criu::images::{CgroupMode, CriuOptions, NetworkLock};
pub use crate::program::users::Users;
pub use crate::state::{State, Status};
