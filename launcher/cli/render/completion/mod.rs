//! Completions for shells, out of the table.
//!
//! Computes from the table which words are possible at each place; each shell's file knows the
//! shell's language. The scripts call `tiny-ce list --quiet` for the ids of containers.

mod bash;
mod fish;
mod zsh;

pub use bash::script as bash;
pub use fish::script as fish;
pub use zsh::script as zsh;

use crate::cli::commands::{FAMILIES, all};
use crate::cli::table::{Command, Opt, paragraphs};

/// `-b` and `--bundle`, as typed.
fn spellings(opt: &Opt) -> Vec<String> {
    let short = opt.short().map(|letter| format!("-{letter}"));
    short.into_iter().chain([format!("--{}", opt.long())]).collect()
}

/// The first sentence of a text, for a list.
fn brief(doc: &str) -> String {
    let text = paragraphs(doc).into_iter().next().unwrap_or_default();
    text.split(['.', ';']).next().unwrap_or_default().to_owned()
}

/// The possible first words: commands of one word, and families, each with its summary.
fn first_words() -> Vec<(&'static str, String)> {
    let single = all().filter(|command| !command.name.contains(' '));
    let single = single.map(|command| (command.name, command.summary()));
    let families = FAMILIES.iter().map(|(name, about)| (*name, brief(about)));
    single.chain(families).collect()
}

/// The possible second words after a family's name.
fn second_words(family: &str) -> Vec<(&'static str, &'static Command)> {
    let split = all().filter_map(|command| Some((command.name.split_once(' ')?, command)));
    split.filter(|((first, _), _)| *first == family).map(|((_, word), it)| (word, it)).collect()
}
