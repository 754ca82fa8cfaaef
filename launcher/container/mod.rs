//! The life of a container: create, start, run, state, kill, delete.
//!
//! Each verb is a file; `launch` is what create and run share. Every change is made under the lock
//! of the container's state directory. Knows nothing of the command line.

mod checkpoint;
mod console;
mod copy_up;
mod delete;
mod end;
mod events;
mod exec;
mod foreground;
mod hosts;
mod images;
mod interpreter;
mod kill;
mod launch;
mod listener;
mod maps;
mod merge;
mod mounts;
mod nodev;
mod notify;
mod outside;
mod pause;
mod prepare;
mod processes;
mod program;
mod restore;
mod run;
mod scope;
mod start;
mod trees;
mod update;
mod users;
mod vectors;
mod wait;

use std::path::Path;

pub use checkpoint::{Checkpoint, checkpoint, status_fd};
pub use delete::delete;
pub use events::{Event, events, stats};
pub use exec::{ExecOptions, exec};
pub use images::{CgroupMode, CriuOptions, NetworkLock};
pub use kill::kill;
pub use mounts::{Mounts, mount, unmount};
pub use pause::{pause, resume};
pub use prepare::{Options, Prepared, Source, prepare};
pub use processes::processes;
pub use restore::{Restore, restore};
pub use run::{RunOptions, run};
pub use scope::CgroupDriver;
pub use start::start;
pub use update::{Update, update};
pub use users::Users;
pub use wait::Waiting;

use crate::compile::Then;
use crate::error::Result;
use crate::plan::Finished;
use crate::spec::id;
use crate::state::{Directory, Record};
pub use crate::state::{State, Status};

/// Make a container whose program waits for [`start`].
///
/// # Errors
/// The id is taken or malformed, the configuration is wrong, or a step failed; nothing is left.
pub fn create(root: &Path, id: &str, source: Source, options: &Options) -> Result<()> {
    make(root, id, source, options).map_err(|e| e.within(format!("cannot create {id:?}")))
}

fn make(root: &Path, id: &str, source: Source, options: &Options) -> Result<()> {
    id::check(id)?;
    let prepared = prepare(id, &root.join(id), source, options, Then::AwaitStart)?;
    console::check(prepared.terminal(), true, options.console_socket.as_deref())?;
    launch::launch(root, id, prepared, options).map(drop)
}

/// The state of a container, as runtime-spec runtime.md has it.
///
/// # Errors
/// There is no such container, or what is remembered of it is damaged.
pub fn state(root: &Path, id: &str) -> Result<State> {
    let read = || {
        id::check(id)?;
        let directory = Directory::open(root, id)?;
        Record::load(&directory)?.state(&directory)
    };
    read().map_err(|e: crate::Error| e.within(format!("cannot tell the state of {id:?}")))
}

/// The plan that a container was made from.
///
/// # Errors
/// There is no such container, or its plan is damaged.
pub fn plan(root: &Path, id: &str) -> Result<Finished> {
    let read = || {
        id::check(id)?;
        let directory = Directory::open(root, id)?;
        crate::state::plan(&directory)
    };
    read().map_err(|e: crate::Error| e.within(format!("cannot explain {id:?}")))
}
