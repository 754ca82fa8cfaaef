//! `ps`: the processes of a container, by ps(1) or as pids.

use std::process::Command;

use super::table::command;
use super::value::{Id, ListFormat, Verbatim};
use super::{Globals, print};
use crate::{Error, Result, container};

command! {
    /// List the processes of a container.
    ///
    /// The table has the lines of the host's ps(1) for these processes. Pids are the host's.
    pub struct Ps = "ps" {
        args {
            /// The container.
            "CONTAINER" id: Id,
            /// Options for ps(1), whose output must have the column PID; default: -ef.
            "[PS-OPTION...]" options: Verbatim,
        }
        options {
            /// Print a table, or only the pids; default: table.
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
        let stderr = String::from_utf8_lossy(&output.stderr);
        let line = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
        return Err(Error::new(format!("ps: {}: {}", output.status, line.trim()))
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
