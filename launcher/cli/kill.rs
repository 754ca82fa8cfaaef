//! `kill`, with the names of signals.

use std::ffi::OsStr;

use super::Globals;
use super::table::command;
use super::targets::Target;
use super::value::{Completes, Value};
use crate::{Result, container, signals};

/// A signal, by name or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(
    /// Its number.
    pub i32,
);

impl Value for Signal {
    // The signals that users usually send.
    const COMPLETES: Completes =
        Completes::Words(&["TERM", "KILL", "INT", "HUP", "QUIT", "USR1", "USR2", "STOP", "CONT"]);

    fn parse(word: &OsStr) -> Result<Self> {
        signals::parse(&word.to_string_lossy()).map(Signal)
    }
}

command! {
    /// Send a signal to a container's program.
    ///
    /// KILL ends every process of the container, also those that its program has left behind in a
    /// shared pid namespace. TERM, INT, HUP and QUIT end a container that is created and not
    /// started.
    pub struct Kill = "kill" {
        args {
            /// The container.
            "CONTAINER" target: Target,
            /// Its name or number; default: TERM. 0 only checks whether the program runs.
            "[SIGNAL]" signal: Option<Signal>,
        }
        options {
            /// Send it to every process of the container.
            "-a, --all" all: bool,
            /// CONTAINER is a regular expression: all containers whose ids contain a match.
            "-r, --regex" regex: bool,
        }
        examples {
            "kill web": "ask it to end",
            "kill --all web KILL": "end all its processes at once",
            "kill --regex ^web-": "web-1, web-2, and so on",
        }
        run = |it, globals: &Globals| {
            let Signal(signal) = it.signal.unwrap_or(Signal(libc::SIGTERM));
            let root = globals.state_root()?;
            it.target.each(&root, it.regex, it.all, |id| container::kill(&root, id, signal, it.all))
        };
    }
}
