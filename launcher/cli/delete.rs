//! `delete`, and `del` for all containers.

use std::path::Path;

use super::table::command;
use super::targets::{Target, together};
use super::{Globals, print};
use crate::{Error, Result, container, state};

command! {
    /// Delete a container that does not run, and all its resources.
    pub struct Delete = "delete" {
        args {
            /// The container.
            "CONTAINER" target: Target,
        }
        options {
            /// Kill it first. It is no error if it does not exist.
            "-f, --force" force: bool,
            /// CONTAINER is a regular expression: all containers whose ids contain a match.
            "-r, --regex" regex: bool,
        }
        examples {
            "delete --force web": "in any state",
            "delete --regex ^web-": "web-1, web-2, and so on",
        }
        run = |it, globals: &Globals| {
            let root = globals.state_root()?;
            let delete = |id: &str| container::delete(&root, id, it.force);
            it.target.each(&root, it.regex, it.force, delete)
        };
    }
}

command! {
    /// Delete all containers, also running ones.
    pub struct DeleteAll = "del" | "d" {
        run = |_, globals: &Globals| delete_all(&globals.state_root()?);
    }
}

fn delete_all(root: &Path) -> Result<u8> {
    let mut deleted = String::new();
    let mut failed: Vec<Error> = Vec::new();
    for id in state::ids(root)? {
        match container::delete(root, &id, true) {
            Ok(()) => deleted += &format!("{id}\n"),
            Err(e) => failed.push(e),
        }
    }
    let count = deleted.lines().count();
    print(&format!("{deleted}{count} deleted\n"))?;
    together(failed).map(|()| 0)
}
