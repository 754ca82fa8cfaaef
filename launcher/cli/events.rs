//! `events`: JSON that engines read, in runc's shape.

use std::io::{self, Write};
use std::time::Duration;

use super::Globals;
use super::table::command;
use super::value::Id;
use crate::container::{self, Event};
use crate::{Error, Result};

/// The default time between two measurements.
const INTERVAL: Duration = Duration::from_secs(5);

command! {
    /// Print what a container uses, and its OOM kills, until it ends.
    ///
    /// Print a line of JSON for each event, in runc's format: "stats" at each interval, and "oom"
    /// as soon as the OOM killer has killed a process of the container.
    pub struct Events = "events" {
        args {
            /// A running container.
            "CONTAINER" id: Id,
        }
        options {
            /// Time between two measurements, such as 500ms; default: 5s.
            "--interval DURATION" interval: Option<Duration>,
            /// Print the statistics once, and end.
            "--stats" stats: bool,
        }
        examples {
            "events --stats web": "print what it uses now",
            "events --interval 1s web": "every second, and OOM kills",
        }
        run = events;
    }
}

fn events(it: Events, globals: &Globals) -> Result<u8> {
    let interval = it.interval.unwrap_or(INTERVAL);
    if interval.is_zero() {
        return Err(Error::new("events: --interval: expected more than no time, such as 1s"));
    }
    let (root, id) = (globals.state_root()?, &it.id.0);
    match it.stats {
        true => {
            let data = container::stats(&root, id)?;
            tell(&Event::Stats { id, data })?;
        }
        false => container::events(&root, id, interval, &mut tell)?,
    }
    Ok(0)
}

/// Print one line and flush it. False if the reader has closed the pipe (`| head -1`).
fn tell(event: &Event<'_>) -> Result<bool> {
    let text = serde_json::to_string(event).map_err(|e| Error::new(format!("as JSON: {e}")))?;
    let mut stdout = io::stdout().lock();
    match stdout.write_all((text + "\n").as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true).map_err(|e| Error::io("standard output", "write", &e)),
    }
}
