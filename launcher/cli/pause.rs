//! `pause` and `resume`.

use super::Globals;
use super::table::command;
use super::value::Id;
use crate::container;

command! {
    /// Stop all processes of a container for a while.
    ///
    /// They keep what they have, and get no processor time until "resume". A container whose
    /// program has not been started yet can be paused, too. A container that is paused already
    /// stays so, with a warning.
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
    ///
    /// A container that is not paused runs on, with a warning.
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
