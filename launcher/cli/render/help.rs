//! Render `--help`, of tiny-ce and of one command.
//!
//! Knows the table, the languages and the columns of a terminal. Must not know a command by name.

use std::io;
use std::os::fd::AsFd;

use super::wrap::{width, wrap};
use crate::cli::Globals;
use crate::cli::commands::{COMMANDS, FAMILIES, all};
use crate::cli::language::{
    AGAIN, ARGUMENTS, COMMANDS as MEMBERS, EXAMPLES, GLOBAL_OPTIONS, GLOBALS_ELSEWHERE, Language,
    MORE, USAGE,
};
use crate::cli::table::{Command, Opt, OptionSet};
use crate::{Error, sys};

/// The description of the program, in one sentence.
pub const ABOUT: &str =
    "An OCI container runtime: config.json becomes a plan of system calls, and the plan is run.";

/// What a page of help is written for.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Its language.
    pub language: Language,
    /// The columns of its lines.
    pub columns: usize,
}

impl Page {
    /// In the caller's language, as wide as the terminal on standard output, within reason; if that
    /// is no terminal, 80 columns.
    pub fn of_caller() -> Page {
        let columns = match sys::terminal::size(io::stdout().as_fd()) {
            Ok((_, columns @ 1..)) => usize::from(columns).clamp(50, 100),
            _ => 80,
        };
        Page { language: Language::of_caller(), columns }
    }
}

/// The help of the whole program.
pub fn global(page: Page) -> String {
    let mut text = wrap(page.language.say(ABOUT), page.columns).join("\n") + "\n\n";
    text.push_str(&page.language.label(USAGE));
    text.push_str("tiny-ce [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n");
    for (title, commands) in COMMANDS {
        text.push_str(&heading(page, title));
        text.push_str(&list(page, commands.iter()));
    }
    text.push_str(&heading(page, GLOBAL_OPTIONS));
    text.push_str(&options(page, Globals::ROWS));
    text.push_str(&format!("\n{}tiny-ce COMMAND --help\n", page.language.label(MORE)));
    text
}

/// The help of one command.
pub fn command(page: Page, command: &Command) -> String {
    let usage = page.language.label(USAGE);
    let mut text = format!("{usage}{}\n", command.usage());
    for alias in command.aliases {
        text.push_str(&format!("{:1$}{2}\n", "", width(&usage), page.language.same(alias)));
    }
    for paragraph in page.language.paragraphs(command.doc) {
        text.push('\n');
        for line in wrap(&paragraph, page.columns) {
            text.push_str(&format!("{line}\n"));
        }
    }
    if !command.args.is_empty() {
        text.push_str(&heading(page, ARGUMENTS));
        let rows =
            command.args.iter().map(|arg| (arg.spec.to_owned(), page.language.line(arg.doc)));
        text.push_str(&table(page, &rows.collect::<Vec<_>>()));
    }
    for group in command.groups {
        text.push_str(&heading(page, group.title));
        text.push_str(&options(page, group.rows));
    }
    if !command.examples.is_empty() {
        text.push_str(&heading(page, EXAMPLES));
        for (line, what) in command.examples {
            text.push_str(&format!("  tiny-ce {line}\n      {}\n", page.language.say(what)));
        }
    }
    text.push_str(&format!("\n{}\n", page.language.say(GLOBALS_ELSEWHERE)));
    text
}

/// The help of the commands that begin with one word.
pub fn family(page: Page, family: &str) -> String {
    let about = FAMILIES.iter().find(|(name, _)| *name == family).map_or("", |(_, about)| about);
    format!(
        "{}\n\n{}tiny-ce {family} COMMAND\n{}{}\n{}tiny-ce {family} COMMAND --help\n",
        page.language.say(about),
        page.language.label(USAGE),
        heading(page, MEMBERS),
        list(page, members(family)),
        page.language.label(MORE),
    )
}

fn heading(page: Page, title: &str) -> String {
    format!("\n{}{}\n", page.language.say(title), page.language.colon())
}

/// The error of a two-word command whose second word is missing.
pub fn incomplete(family: &str) -> Error {
    let seconds = members(family).filter_map(|it| it.name.split_once(' ')).map(|(_, word)| word);
    let seconds: Vec<&str> = seconds.collect();
    Error::new(format!(
        "{family}: expected {}; see tiny-ce {family} --help",
        crate::cli::value::one_of(&seconds)
    ))
}

fn members(family: &str) -> impl Iterator<Item = &'static Command> {
    all().filter(move |command| command.name.split_once(' ').is_some_and(|it| it.0 == family))
}

fn list<'a>(page: Page, commands: impl Iterator<Item = &'a Command>) -> String {
    table(
        page,
        &commands.map(|it| (it.name.to_owned(), page.language.summary(it))).collect::<Vec<_>>(),
    )
}

fn options(page: Page, rows: &[Opt]) -> String {
    let row = |opt: &Opt| {
        let indent = if opt.short().is_some() { "" } else { "    " };
        let again = match (opt.repeatable, page.language) {
            (false, _) => String::new(),
            (true, Language::English) => " (may be given again)".to_owned(),
            (true, Language::Chinese) => page.language.say(AGAIN).to_owned(),
        };
        (format!("{indent}{}", opt.spec), page.language.option(opt) + &again)
    };
    table(page, &rows.iter().map(row).collect::<Vec<_>>())
}

/// Two columns; a wide first cell has a line of its own.
fn table(page: Page, rows: &[(String, String)]) -> String {
    let left = rows.iter().map(|row| width(&row.0)).filter(|w| *w <= 30).max().unwrap_or(0);
    let mut text = String::new();
    for (cell, about) in rows {
        let mut lines = wrap(about, page.columns.saturating_sub(left + 4)).into_iter();
        match left.checked_sub(width(cell)) {
            Some(space) => {
                let line = format!("  {cell}{:space$}  {}", "", lines.next().unwrap_or_default());
                text.push_str(line.trim_end());
                text.push('\n');
            }
            None => text.push_str(&format!("  {cell}\n")),
        }
        for line in lines {
            text.push_str(&format!("{:1$}{line}\n", "", left + 4));
        }
    }
    text
}
