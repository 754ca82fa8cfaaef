//! `state` and `explain`: show the state of a container, and the plan that it was made from.

use std::path::Path;

use crate::error::Result;
use crate::plan::Finished;
use crate::spec::id;
use crate::state::{self, Directory, Owners, Record, State};

/// Return the state of a container, as runtime-spec runtime.md defines it.
///
/// # Errors
/// There is no such container, its state is damaged, or its cgroup is not visible from here.
pub fn state(root: &Path, id: &str) -> Result<State> {
    let read = || {
        id::check(id)?;
        let directory = Directory::open(root, id)?;
        let (record, init) = Record::load_with_init(&directory)?;
        record.state(init, &directory, &mut Owners::default())
    };
    read().map_err(|e: crate::Error| e.within(format!("cannot tell the state of {id:?}")))
}

/// Return the plan that a container was made from.
///
/// # Errors
/// There is no such container, or its plan is damaged.
pub fn plan(root: &Path, id: &str) -> Result<Finished> {
    let read = || {
        id::check(id)?;
        let directory = Directory::open(root, id)?;
        state::plan(&directory)
    };
    read().map_err(|e: crate::Error| e.within(format!("cannot explain {id:?}")))
}
