//! Render `--help`, of tiny-ce and of one command.
//!
//! Knows the table and 80 columns. Must not know a command by name.

use crate::Error;
use crate::cli::Globals;
use crate::cli::commands::{COMMANDS, FAMILIES, all};
use crate::cli::table::{Command, Opt, OptionSet, paragraphs};

/// The description of the program, in one sentence.
pub const ABOUT: &str =
    "An OCI container runtime: config.json becomes a plan of system calls, and the plan is run.";

const WIDTH: usize = 80;

/// The help of the whole program.
pub fn global() -> String {
    let mut text = wrap(ABOUT, WIDTH).join("\n") + "\n\n";
    text.push_str("Usage: tiny-ce [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n");
    for (heading, commands) in COMMANDS {
        text.push_str(&format!("\n{heading}:\n"));
        text.push_str(&list(commands.iter()));
    }
    text.push_str("\nGlobal options:\n");
    text.push_str(&options(Globals::ROWS));
    text.push_str("\nMore about a command: tiny-ce COMMAND --help\n");
    text
}

/// The help of one command.
pub fn command(command: &Command) -> String {
    let mut text = format!("Usage: {}\n", command.usage());
    for alias in command.aliases {
        text.push_str(&format!("       tiny-ce {alias} is the same\n"));
    }
    for paragraph in paragraphs(command.doc) {
        text.push('\n');
        for line in wrap(&paragraph, WIDTH) {
            text.push_str(&format!("{line}\n"));
        }
    }
    if !command.args.is_empty() {
        text.push_str("\nArguments:\n");
        let rows =
            command.args.iter().map(|arg| (arg.spec.to_owned(), paragraphs(arg.doc).join(" ")));
        text.push_str(&columns(&rows.collect::<Vec<_>>()));
    }
    for group in command.groups {
        text.push_str(&format!("\n{}:\n", group.title));
        text.push_str(&options(group.rows));
    }
    if !command.examples.is_empty() {
        text.push_str("\nExamples:\n");
        for (line, what) in command.examples {
            text.push_str(&format!("  tiny-ce {line}\n      {what}\n"));
        }
    }
    text.push_str("\nGlobal options are listed by tiny-ce --help.\n");
    text
}

/// The help of the commands that begin with one word.
pub fn family(family: &str) -> String {
    let about = FAMILIES.iter().find(|(name, _)| *name == family).map_or("", |(_, about)| about);
    format!(
        "{about}\n\nUsage: tiny-ce {family} COMMAND\n\nCommands:\n{}\n\
         More about a command: tiny-ce {family} COMMAND --help\n",
        list(members(family))
    )
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

fn list<'a>(commands: impl Iterator<Item = &'a Command>) -> String {
    columns(&commands.map(|it| (it.name.to_owned(), it.summary())).collect::<Vec<_>>())
}

fn options(rows: &[Opt]) -> String {
    let row = |opt: &Opt| {
        let indent = if opt.short().is_some() { "" } else { "    " };
        let again = if opt.repeatable { " (may be given again)" } else { "" };
        (format!("{indent}{}", opt.spec), paragraphs(&opt.text()).join(" ") + again)
    };
    columns(&rows.iter().map(row).collect::<Vec<_>>())
}

/// Two columns; a wide first cell has a line of its own.
fn columns(rows: &[(String, String)]) -> String {
    let width = |cell: &String| cell.chars().count();
    let left = rows.iter().map(|row| width(&row.0)).filter(|w| *w <= 30).max().unwrap_or(0);
    let mut text = String::new();
    for (cell, about) in rows {
        let mut lines = wrap(about, WIDTH - left - 4).into_iter();
        match width(cell) <= left {
            true => {
                let line = format!("  {cell:left$}  {}", lines.next().unwrap_or_default());
                text.push_str(line.trim_end());
                text.push('\n');
            }
            false => text.push_str(&format!("  {cell}\n")),
        }
        for line in lines {
            text.push_str(&format!("{:1$}{line}\n", "", left + 4));
        }
    }
    text
}

/// Lines of at most `width` characters, broken at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let room = lines.last().is_some_and(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width
        });
        if !room {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_spaces_only() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aaaaaaaa b", 5), ["aaaaaaaa", "b"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
