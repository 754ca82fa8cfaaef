//! Render docs/commands.md from the table of commands.
//!
//! Knows the table and Markdown. Must not know a command by name.

use crate::cli::Globals;
use crate::cli::commands::COMMANDS;
use crate::cli::table::{Command, Opt, OptionSet, paragraphs};

/// The whole page.
pub fn document() -> String {
    let mut page = String::from("# Commands\n\n");
    page.push_str("This page is what `tiny-ce --help` and `tiny-ce COMMAND --help` print. ");
    page.push_str("It is written from the table of commands by `BLESS=1 cargo test --test cli`.\n");
    page.push_str("\n    tiny-ce [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n\n");
    page.push_str("The value of an option is the next word, or follows `=`. Long options may ");
    page.push_str("have one dash, as in Go. Options and arguments may come in any order; a word ");
    page.push_str("after `--` is no option. If an option is given twice, the last one counts, ");
    page.push_str("unless \"May be given again\" stands beside it.\n\n");
    for (heading, commands) in COMMANDS {
        page.push_str(&format!("**{heading}**\n\n"));
        for command in *commands {
            let (name, summary) = (command.name, command.summary());
            let anchor = name.replace(' ', "-");
            page.push_str(&format!("- [`{name}`](#{anchor}): {summary}\n"));
        }
        page.push('\n');
    }
    page.push_str("## Global options\n\n");
    page.push_str(&options(Globals::ROWS));
    for command in COMMANDS.iter().flat_map(|(_, commands)| *commands) {
        page.push_str(&section(command));
    }
    page
}

fn section(command: &Command) -> String {
    let mut text = format!("\n## {}\n\n    {}\n\n", command.name, command.usage());
    text.push_str(&paragraphs(command.doc).join("\n\n"));
    text.push('\n');
    for alias in command.aliases {
        text.push_str(&format!("\n`tiny-ce {alias}` is the same.\n"));
    }
    if !command.args.is_empty() {
        text.push_str("\n| argument | |\n|---|---|\n");
        for arg in command.args {
            text.push_str(&row(arg.spec, arg.doc, ""));
        }
    }
    for group in command.groups {
        if group.title != "Options" {
            text.push_str(&format!("\n{}:\n", group.title));
        }
        text.push('\n');
        text.push_str(&options(group.rows));
    }
    if !command.examples.is_empty() {
        text.push_str("\nExamples:\n\n");
        for (line, what) in command.examples {
            text.push_str(&format!("- `tiny-ce {line}`: {what}\n"));
        }
    }
    text
}

fn options(rows: &[Opt]) -> String {
    let mut text = String::from("| option | |\n|---|---|\n");
    for opt in rows {
        let again = if opt.repeatable { " May be given again." } else { "" };
        text.push_str(&row(opt.spec, &opt.text(), again));
    }
    text
}

/// One line of a table, in which `|` would begin another cell.
fn row(spec: &str, doc: &str, end: &str) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    format!("| `{}` | {}{end} |\n", cell(spec), cell(&paragraphs(doc).join(" ")))
}
