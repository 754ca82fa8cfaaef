//! `completion`: print the script with which a shell completes our command lines.

use super::table::command;
use super::value::choice;
use super::{Globals, print, render};

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
            Shell::Bash => render::completion::bash(),
            Shell::Zsh => render::completion::zsh(),
            Shell::Fish => render::completion::fish(),
        });
    }
}
