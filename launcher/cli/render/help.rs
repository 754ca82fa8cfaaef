//! Render `--help`, of tiny-ce and of one command.
//!
//! Knows the table, the languages and 80 columns. Must not know a command by name.

use super::wrap::{width, wrap};
use crate::Error;
use crate::cli::Globals;
use crate::cli::commands::{COMMANDS, FAMILIES, all};
use crate::cli::language::{
    AGAIN, ARGUMENTS, COMMANDS as MEMBERS, EXAMPLES, GLOBAL_OPTIONS, GLOBALS_ELSEWHERE, Language,
    MORE, USAGE,
};
use crate::cli::table::{Command, Opt, OptionSet};

/// The description of the program, in one sentence.
pub const ABOUT: &str =
    "An OCI container runtime: config.json becomes a plan of system calls, and the plan is run.";

const WIDTH: usize = 80;

/// The help of the whole program.
pub fn global(language: Language) -> String {
    let mut text = wrap(language.say(ABOUT), WIDTH).join("\n") + "\n\n";
    text.push_str(&language.label(USAGE));
    text.push_str("tiny-ce [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n");
    for (title, commands) in COMMANDS {
        text.push_str(&heading(language, title));
        text.push_str(&list(language, commands.iter()));
    }
    text.push_str(&heading(language, GLOBAL_OPTIONS));
    text.push_str(&options(language, Globals::ROWS));
    text.push_str(&format!("\n{}tiny-ce COMMAND --help\n", language.label(MORE)));
    text
}

/// The help of one command.
pub fn command(language: Language, command: &Command) -> String {
    let usage = language.label(USAGE);
    let mut text = format!("{usage}{}\n", command.usage());
    for alias in command.aliases {
        text.push_str(&format!("{:1$}{2}\n", "", width(&usage), language.same(alias)));
    }
    for paragraph in language.paragraphs(command.doc) {
        text.push('\n');
        for line in wrap(&paragraph, WIDTH) {
            text.push_str(&format!("{line}\n"));
        }
    }
    if !command.args.is_empty() {
        text.push_str(&heading(language, ARGUMENTS));
        let rows = command.args.iter().map(|arg| (arg.spec.to_owned(), language.line(arg.doc)));
        text.push_str(&table(&rows.collect::<Vec<_>>()));
    }
    for group in command.groups {
        text.push_str(&heading(language, group.title));
        text.push_str(&options(language, group.rows));
    }
    if !command.examples.is_empty() {
        text.push_str(&heading(language, EXAMPLES));
        for (line, what) in command.examples {
            text.push_str(&format!("  tiny-ce {line}\n      {}\n", language.say(what)));
        }
    }
    text.push_str(&format!("\n{}\n", language.say(GLOBALS_ELSEWHERE)));
    text
}

/// The help of the commands that begin with one word.
pub fn family(language: Language, family: &str) -> String {
    let about = FAMILIES.iter().find(|(name, _)| *name == family).map_or("", |(_, about)| about);
    format!(
        "{}\n\n{}tiny-ce {family} COMMAND\n{}{}\n{}tiny-ce {family} COMMAND --help\n",
        language.say(about),
        language.label(USAGE),
        heading(language, MEMBERS),
        list(language, members(family)),
        language.label(MORE),
    )
}

fn heading(language: Language, title: &str) -> String {
    format!("\n{}{}\n", language.say(title), language.colon())
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

fn list<'a>(language: Language, commands: impl Iterator<Item = &'a Command>) -> String {
    table(&commands.map(|it| (it.name.to_owned(), language.summary(it))).collect::<Vec<_>>())
}

fn options(language: Language, rows: &[Opt]) -> String {
    let row = |opt: &Opt| {
        let indent = if opt.short().is_some() { "" } else { "    " };
        let again = match (opt.repeatable, language) {
            (false, _) => String::new(),
            (true, Language::English) => " (may be given again)".to_owned(),
            (true, Language::Chinese) => language.say(AGAIN).to_owned(),
        };
        (format!("{indent}{}", opt.spec), language.option(opt) + &again)
    };
    table(&rows.iter().map(row).collect::<Vec<_>>())
}

/// Two columns; a wide first cell has a line of its own.
fn table(rows: &[(String, String)]) -> String {
    let left = rows.iter().map(|row| width(&row.0)).filter(|w| *w <= 30).max().unwrap_or(0);
    let mut text = String::new();
    for (cell, about) in rows {
        let mut lines = wrap(about, WIDTH - left - 4).into_iter();
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
