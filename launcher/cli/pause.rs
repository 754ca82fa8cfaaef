//! `pause` and `resume`.

use super::Globals;
use super::table::command;
use super::value::Id;
use crate::container;

command! {
    /// Pause all processes of a container.
    ///
    /// They keep their memory and files, and get no processor time until "resume". A container
    /// whose program is not started yet can be paused as well. If it is paused already, there is a
    /// warning.
    pub struct Pause = "pause" {
        args {
            /// A running container.
            "CONTAINER" id: Id,
        }
        examples {
            "pause web": "its processes get no processor time",
        }
        run = |it, globals: &Globals| {
            container::pause(&globals.state_root()?, &it.id.0).map(|()| 0)
        };
    }
}

command! {
    /// Resume the processes of a paused container.
    ///
    /// If the container is not paused, there is a warning.
    pub struct Resume = "resume" {
        args {
            /// A paused container.
            "CONTAINER" id: Id,
        }
        examples {
            "resume web": "its processes go on",
        }
        run = |it, globals: &Globals| {
            container::resume(&globals.state_root()?, &it.id.0).map(|()| 0)
        };
    }
}
