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
    /// The file has a JSON array like "mounts" of config.json. Sources are paths of the host; a
    /// relative one is below the bundle. If one mount is refused, none is made.
    pub struct Add = "mounts add" {
        args {
            /// A created or running container.
            "CONTAINER" id: Id,
            /// The mounts, or - for standard input.
            "FILE" file: PathBuf,
        }
        examples {
            "mounts add web mounts.json": "make the mounts in the file",
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
    /// The file has the format of "mounts add". Only the destinations count: the last mount at each
    /// is removed. Programs keep the files of it that they have open.
    pub struct Remove = "mounts remove" {
        args {
            /// A created or running container.
            "CONTAINER" id: Id,
            /// The mounts, or - for standard input.
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
