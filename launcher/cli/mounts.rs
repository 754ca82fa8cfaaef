//! `mounts add` and `mounts remove`: crun's commands for mounts of a container that runs.
//!
//! Reads the list; `container` mounts and unmounts.

use std::path::{Path, PathBuf};

use super::table::command;
use super::value::Id;
use super::{Globals, read_document};
use crate::Result;
use crate::container::{self, Mounts};
use crate::spec::Mount;

command! {
    /// Mount something in a container that runs.
    ///
    /// The file has a JSON array of mounts as config.json has them in "mounts". Sources are the
    /// host's; a relative one is below the bundle. Either all of them are mounted or, if one is
    /// refused, none.
    pub struct Add = "mounts add" {
        args {
            /// A created or running container.
            "CONTAINER" id: Id,
            /// The mounts; -: standard input.
            "FILE" file: PathBuf,
        }
        examples {
            "mounts add web mounts.json": "what the file has",
        }
        run = |it, globals: &Globals| {
            let mounts = read(&it.file)?;
            container::mount(&globals.state_root()?, &it.id.0, &mounts).map(|()| 0)
        };
    }
}

command! {
    /// Unmount something in a container that runs.
    ///
    /// The file is one that "mounts add" takes; of each mount the destination counts, and what is
    /// mounted there last is taken away. Programs that have files of it open keep them.
    pub struct Remove = "mounts remove" {
        args {
            /// A created or running container.
            "CONTAINER" id: Id,
            /// The mounts; -: standard input.
            "FILE" file: PathBuf,
        }
        examples {
            "mounts remove web mounts.json": "undo \"mounts add web mounts.json\"",
        }
        run = |it, globals: &Globals| {
            let mounts = read(&it.file)?;
            container::unmount(&globals.state_root()?, &it.id.0, &mounts).map(|()| 0)
        };
    }
}

fn read(file: &Path) -> Result<Mounts> {
    let (list, source) = read_document::<Vec<Mount>>(file)?;
    Ok(Mounts { list, source })
}
