//! `pause`, `resume`, `ps`, `wait`: looking at and holding on to what runs.
//!
//! Types words and prints; what is done to a container is `container`'s. Names and flags are
//! runc's, but for `wait`, which it does not have.

use std::process::Command;

use super::table::command;
use super::targets::together;
use super::value::{Id, ListFormat, Verbatim};
use super::{Globals, print};
use crate::container::{self, Waiting};
use crate::{Error, Result};

command! {
    /// Stop all processes of a container for a while.
    ///
    /// They keep what they have, and get no processor time until "resume". A container whose
    /// program has not been started yet can be paused, too.
    pub struct Pause = "pause" {
        args {
            /// A running container.
            "CONTAINER" id: Id,
        }
        examples {
            "pause web": "its processes stand still",
        }
        run = |it, globals: &Globals| {
            container::pause(&globals.state_root()?, &it.id.0).map(|()| 0)
        };
    }
}

command! {
    /// Let the processes of a paused container go on.
    pub struct Resume = "resume" {
        args {
            /// A paused container.
            "CONTAINER" id: Id,
        }
        examples {
            "resume web": "its processes go on where they were",
        }
        run = |it, globals: &Globals| {
            container::resume(&globals.state_root()?, &it.id.0).map(|()| 0)
        };
    }
}

command! {
    /// List the processes of a container.
    ///
    /// The table is what the host's ps(1) prints, less all other processes; pids are the host's.
    pub struct Ps = "ps" {
        args {
            /// The container.
            "CONTAINER" id: Id,
            /// Options for ps, of whose columns PID must be one; default: -ef.
            "[PS-OPTION...]" options: Verbatim,
        }
        options {
            /// A table, or the pids alone; default: table.
            "-f, --format table|json" format: Option<ListFormat>,
        }
        examples {
            "ps web": "as ps -ef",
            "ps web -o pid,rss,args": "other columns",
            "ps --format json web": "[4711,4712]",
        }
        run = ps;
    }
}

fn ps(it: Ps, globals: &Globals) -> Result<u8> {
    let pids = container::processes(&globals.state_root()?, &it.id.0)?;
    if let Some(ListFormat::Json) = it.format {
        let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
        return print(&format!("[{}]\n", pids.join(",")));
    }
    let Verbatim(mut options) = it.options;
    if options.is_empty() {
        options.push("-ef".into());
    }
    let output = Command::new("ps").args(&options).output().map_err(|e| {
        Error::io("ps", "execve", &e)
            .hint("install ps (package procps), or list the pids: ps --format json")
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        return Err(Error::new(format!("ps: {}: {}", output.status, said.trim()))
            .hint("what follows the container's id is for ps(1)"));
    }
    print(&only(&text, &pids)?)
}

/// The heading, and the lines of these processes.
fn only(table: &str, pids: &[i32]) -> Result<String> {
    let heading = table.lines().next().unwrap_or_default();
    let column = heading.split_whitespace().position(|name| name == "PID").ok_or_else(|| {
        Error::new("ps: its output has no column PID")
            .hint("choose columns with PID among them: -o pid,args")
    })?;
    let mut text = format!("{heading}\n");
    for line in table.lines().skip(1) {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        if pid.is_some_and(|pid: i32| pids.contains(&pid)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

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
    Ok(if it.status { super::life::status(last) } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::only;

    #[test]
    fn lines_of_the_container_s_processes() {
        let table = "UID   PID CMD\nroot    1 init\nroot   12 sh -c 34\nroot   34 x 12\n";
        assert_eq!(only(table, &[12, 99]).as_deref(), Ok("UID   PID CMD\nroot   12 sh -c 34\n"));
        assert_eq!(only(table, &[]).as_deref(), Ok("UID   PID CMD\n"));
        let e = only("COMMAND\ninit\n", &[1]).unwrap_err();
        assert_eq!(e.line(), "ps: its output has no column PID");
    }
}
