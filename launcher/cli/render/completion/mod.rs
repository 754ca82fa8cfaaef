//! Completions for shells, out of the table.
//!
//! Knows how to ask the table what can stand where; each shell's file knows its language. Ids of
//! containers are asked of `tiny-ce list --quiet` when they are needed.

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

/// What can be the first word: commands of one word and families, each with what it does.
fn first_words() -> Vec<(&'static str, String)> {
    let single = all().filter(|command| !command.name.contains(' '));
    let single = single.map(|command| (command.name, command.summary()));
    let families = FAMILIES.iter().map(|(name, about)| (*name, brief(about)));
    single.chain(families).collect()
}

/// What can be the second word behind a family's name.
fn second_words(family: &str) -> Vec<(&'static str, &'static Command)> {
    let split = all().filter_map(|command| Some((command.name.split_once(' ')?, command)));
    split.filter(|((first, _), _)| *first == family).map(|((_, word), it)| (word, it)).collect()
}
