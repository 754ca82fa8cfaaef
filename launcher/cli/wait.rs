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
    /// Print a line for each, in the order given: the status of its program, or 128 plus the number
    /// of the signal that ended it. Each must be running when the command begins. Linux 6.15 and
    /// later keep the status for every process that waits. On an older kernel it is lost once the
    /// process that started the container has read it.
    pub struct Wait = "wait" {
        args {
            /// Running or created containers.
            "CONTAINER..." ids: Vec<Id>,
        }
        options {
            /// Exit with the status of the last container, as a shell's wait does, instead of 0.
            "-s, --status" status: bool,
        }
        examples {
            "wait web": "prints 0 once it has ended with status 0",
            "wait --status job": "exits with the status of job",
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
