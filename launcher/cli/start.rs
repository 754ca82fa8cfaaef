//! `start`.

use super::table::command;
use super::value::Id;
use super::{Globals, activation};
use crate::container;

command! {
    /// Start the program of a created container.
    pub struct Start = "start" {
        args {
            /// A created container.
            "CONTAINER" id: Id,
        }
        examples {
            "start web": "its program runs from now on",
        }
        run = |it, globals: &Globals| {
            let notify = activation::notify_socket();
            container::start(&globals.state_root()?, &it.id.0, notify.as_deref()).map(|()| 0)
        };
    }
}
