//! `man`: the manual pages, in roff.

use super::help::{CommandName, Named, named};
use super::table::command;
use super::{Globals, print, render};

command! {
    /// Print the manual page of tiny-ce or of one command, in roff.
    pub struct Man = "man" {
        args {
            /// The command; default: the page of tiny-ce itself.
            "[COMMAND...]" command: CommandName,
        }
        examples {
            "man run | man -l -": "read it at once",
            "man > /usr/local/share/man/man1/tiny-ce.1": "install it",
        }
        run = |it, _: &Globals| print(&match named(&it.command)? {
            Some(Named::Command(command)) => render::man::command(command),
            Some(Named::Family(_)) | None => render::man::global(),
        });
    }
}
