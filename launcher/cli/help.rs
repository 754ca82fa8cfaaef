//! `help`, and the argument of `help` and `man`: the name of a command.

use std::ffi::OsString;

use super::render::help::Page;
use super::table::{Command, command};
use super::value::{Completes, Place, PlaceKind};
use super::{Globals, commands, print, render};
use crate::Result;

/// The name of a command, which may have two words; empty: all commands.
#[derive(Debug, Clone)]
pub struct CommandName(String);

impl Place for CommandName {
    const KIND: PlaceKind = PlaceKind::Command;
    const COMPLETES: Completes = Completes::Commands;

    fn fold(words: &[OsString]) -> Result<Self> {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        Ok(CommandName(words.join(" ")))
    }
}

command! {
    /// Print the help of tiny-ce or of one command.
    pub struct Help = "help" {
        args {
            /// The command; default: an overview.
            "[COMMAND...]" command: CommandName,
        }
        run = |it, _: &Globals| print(&match named(&it.command)? {
            Some(Named::Command(command)) => render::help::command(Page::of_caller(), command),
            Some(Named::Family(family)) => render::help::family(Page::of_caller(), family),
            None => render::help::global(Page::of_caller()),
        });
    }
}

/// A command, or a group of commands.
pub enum Named {
    /// A command.
    Command(&'static Command),
    /// The first word of several commands.
    Family(&'static str),
}

/// Look up the name; `None` if no name was given.
///
/// # Errors
/// No command has this name.
pub fn named(CommandName(name): &CommandName) -> Result<Option<Named>> {
    match (commands::find(name), commands::family(name)) {
        (Some(command), _) => Ok(Some(Named::Command(command))),
        (None, Some(family)) => Ok(Some(Named::Family(family))),
        (None, None) if name.is_empty() => Ok(None),
        (None, None) => Err(super::parse::unknown_command(name)),
    }
}
