//! `help`, `completion` and `man`: the table, printed.
//!
//! Knows which text belongs to which command. Opens nothing.

use std::ffi::OsString;

use super::table::{Command, command};
use super::value::{Completes, Place, PlaceKind, choice};
use super::{Globals, commands, completion, help, man, print};
use crate::Result;

/// The name of a command, which may have two words; none: all of them.
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

choice! {
    /// A shell that completions can be printed for.
    pub enum Shell {
        /// GNU bash 4 or later.
        "bash" Bash,
        /// The Z shell.
        "zsh" Zsh,
        /// fish 3 or later.
        "fish" Fish,
    }
}

command! {
    /// Print the help of tiny-ce or of one command.
    pub struct Help = "help" {
        args {
            /// The command; without it: an overview.
            "[COMMAND...]" command: CommandName,
        }
        run = |it, _: &Globals| print(&match named(&it.command)? {
            Some(Named::Command(command)) => help::command(command),
            Some(Named::Family(family)) => help::family(family),
            None => help::global(),
        });
    }
}

command! {
    /// Print completions for a shell.
    pub struct Completion = "completion" {
        args {
            /// bash, zsh or fish.
            "SHELL" shell: Shell,
        }
        examples {
            "completion bash > /etc/bash_completion.d/tiny-ce": "for every user's bash",
            "completion zsh > /usr/share/zsh/site-functions/_tiny-ce": "for every user's zsh",
            "completion fish > ~/.config/fish/completions/tiny-ce.fish": "for your fish",
        }
        run = |it, _: &Globals| print(&match it.shell {
            Shell::Bash => completion::bash(),
            Shell::Zsh => completion::zsh(),
            Shell::Fish => completion::fish(),
        });
    }
}

command! {
    /// Print the manual page of tiny-ce or of one command, in roff.
    pub struct Man = "man" {
        args {
            /// The command; without it: the page of the whole.
            "[COMMAND...]" command: CommandName,
        }
        examples {
            "man run | man -l -": "read it at once",
            "man > /usr/local/share/man/man1/tiny-ce.1": "install it",
        }
        run = |it, _: &Globals| print(&match named(&it.command)? {
            Some(Named::Command(command)) => man::command(command),
            Some(Named::Family(_)) | None => man::global(),
        });
    }
}

enum Named {
    Command(&'static Command),
    Family(&'static str),
}

fn named(CommandName(name): &CommandName) -> Result<Option<Named>> {
    match (commands::find(name), commands::family(name)) {
        (Some(command), _) => Ok(Some(Named::Command(command))),
        (None, Some(family)) => Ok(Some(Named::Family(family))),
        (None, None) if name.is_empty() => Ok(None),
        (None, None) => Err(super::parse::unknown_command(name)),
    }
}
