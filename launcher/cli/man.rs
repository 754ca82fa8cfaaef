//! `man`: the manual pages, in roff.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::help::{CommandName, Named, named};
use super::table::command;
use super::value::Directory;
use super::{Globals, commands, print, render};
use crate::{Error, Result};

command! {
    /// Print the manual page of tiny-ce or of one command, in roff.
    ///
    /// With --directory it writes the pages of tiny-ce and of every command instead.
    pub struct Man = "man" {
        args {
            /// The command; default: the page of tiny-ce itself.
            "[COMMAND...]" command: CommandName,
        }
        options {
            /// Write every page into this directory, which must exist, as NAME.1.
            "-d, --directory DIRECTORY" directory: Option<Directory>,
        }
        examples {
            "man run | man -l -": "read it at once",
            "man --directory /usr/local/share/man/man1": "install all pages",
        }
        run = man;
    }
}

fn man(it: Man, _: &Globals) -> Result<u8> {
    let page = named(&it.command)?;
    match (it.directory, page) {
        (Some(_), Some(_)) => Err(Error::new(
            "--directory: writes the pages of all commands; leave out the command's name",
        )),
        (Some(Directory(directory)), None) => write(&directory).map(|()| 0),
        (None, Some(Named::Command(command))) => print(&render::man::command(command)),
        (None, Some(Named::Family(_)) | None) => print(&render::man::global()),
    }
}

fn write(directory: &Path) -> Result<()> {
    let pages = commands::all().map(|it| (render::man::name(it), render::man::command(it)));
    for (name, text) in pages.chain([("tiny-ce".to_owned(), render::man::global())]) {
        let path = directory.join(name + ".1");
        let failed = |call, e: io::Error| Error::io(path.display(), call, &e);
        let mut file = File::create(&path).map_err(|e| failed("open", e))?;
        file.write_all(text.as_bytes()).map_err(|e| failed("write", e))?;
    }
    Ok(())
}
