//! `wait`, which runc does not have: the exit statuses of containers.

use super::table::command;
use super::targets::together;
use super::value::Id;
use super::{Globals, print};
use crate::Result;
use crate::container::Waiting;

command! {
    /// Wait for containers to end, and print their exit statuses.
    ///
    /// A line for each, in the order given: the status of its program, or 128 and the number of the
    /// signal that ended it. It must be running when the waiting begins. Linux 6.15 or later keeps
    /// the status for those who wait; an older kernel tells it only as long as the process that
    /// started the container has not asked for it.
    pub struct Wait = "wait" {
        args {
            /// Running or created containers.
            "CONTAINER..." ids: Vec<Id>,
        }
        options {
            /// Exit with the status of the last one, as a shell's wait does, instead of 0.
            "-s, --status" status: bool,
        }
        examples {
            "wait web": "prints 0 once it has ended well",
            "wait --status job": "and exits as job did",
        }
        run = wait;
    }
}

fn wait(it: Wait, globals: &Globals) -> Result<u8> {
    let root = globals.state_root()?;
    let all: Vec<Result<Waiting>> = it.ids.iter().map(|id| Waiting::begin(&root, &id.0)).collect();
    let (mut last, mut failed) = (0, Vec::new());
    for waiting in all {
        match waiting.and_then(|waiting| waiting.end()) {
            Ok(status) => {
                last = status;
                print(&format!("{status}\n"))?;
            }
            Err(e) => failed.push(e),
        }
    }
    together(failed)?;
    Ok(if it.status { super::run::status(last) } else { 0 })
}
