//! Manual pages in roff (man(7)), out of the table.
//!
//! Knows the table and roff; no command by name.

use super::help::ABOUT;
use crate::cli::Globals;
use crate::cli::commands::COMMANDS;
use crate::cli::table::{Command, Group, OptionSet, paragraphs};

/// tiny-ce(1).
pub fn global() -> String {
    let mut page = title("tiny-ce");
    page.push_str(".SH NAME\ntiny\\-ce \\- OCI container runtime\n.SH SYNOPSIS\n");
    page.push_str(".B tiny\\-ce\n[\\fIGLOBAL OPTIONS\\fR] \\fICOMMAND\\fR ");
    page.push_str("[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n.SH DESCRIPTION\n");
    page.push_str(&escape(ABOUT));
    page.push_str("\n.SH COMMANDS\n");
    for (heading, commands) in COMMANDS {
        page.push_str(&format!(".SS {}\n", escape(heading)));
        for command in *commands {
            let name = escape(&command.name.replace(' ', "-"));
            let summary = escape(&command.summary());
            page.push_str(&format!(".TP\n.BR tiny\\-ce\\-{name} (1)\n{summary}\n"));
        }
    }
    page.push_str(&groups(&[Group { title: "Global options", rows: Globals::ROWS }]));
    page.push_str(".SH \"EXIT STATUS\"\n");
    page.push_str("0, or the status of the program that \\fBrun\\fR or \\fBexec\\fR waited for ");
    page.push_str("(128 plus the signal's number if a signal ended it). 1 if tiny\\-ce failed, ");
    page.push_str("or 255 if \\fBexec\\fR failed.\n");
    page
}

/// tiny-ce-COMMAND(1).
pub fn command(command: &Command) -> String {
    let dashed = name(command);
    let mut page = title(&dashed);
    page.push_str(&format!(
        ".SH NAME\n{} \\- {}\n.SH SYNOPSIS\n.B {}\n",
        escape(&dashed),
        escape(&command.summary()),
        escape(&command.usage())
    ));
    page.push_str(".SH DESCRIPTION\n");
    page.push_str(&text(command.doc, ".PP\n"));
    if !command.args.is_empty() {
        page.push_str(".SH ARGUMENTS\n");
        for arg in command.args {
            page.push_str(&format!(".TP\n.I {}\n{}", escape(arg.spec), text(arg.doc, ".IP\n")));
        }
    }
    page.push_str(&groups(command.groups));
    if !command.examples.is_empty() {
        page.push_str(".SH EXAMPLES\n");
        for (line, what) in command.examples {
            page.push_str(&format!(".TP\n.B tiny\\-ce {}\n{}\n", escape(line), escape(what)));
        }
    }
    page.push_str(".SH \"SEE ALSO\"\n.BR tiny\\-ce (1),\nwhich has the global options.\n");
    page
}

/// The name of a command's page, as man(1) takes it.
pub fn name(command: &Command) -> String {
    format!("tiny-ce-{}", command.name.replace(' ', "-"))
}

fn title(name: &str) -> String {
    let version = crate::cli::VERSION;
    format!(".TH {} 1 \"\" \"tiny\\-ce {version}\" \"tiny\\-ce\"\n", escape(&name.to_uppercase()))
}

fn groups(groups: &[Group]) -> String {
    let mut page = String::new();
    for group in groups {
        page.push_str(&format!(".SH \"{}\"\n", escape(&group.title.to_uppercase())));
        for opt in group.rows {
            let (names, value) = opt.spec.split_at(opt.spec.len() - opt.placeholder().len());
            let mut spec = format!("\\fB{}\\fR", escape(names.trim_end()));
            if !value.is_empty() {
                spec.push_str(&format!(" \\fI{}\\fR", escape(value)));
            }
            page.push_str(&format!(".TP\n{spec}\n{}", text(&opt.text(), ".IP\n")));
            if opt.repeatable {
                page.push_str("May be given again.\n");
            }
        }
    }
    page
}

/// Paragraphs, with a request between them.
fn text(doc: &str, between: &str) -> String {
    let lines: Vec<String> = paragraphs(doc).iter().map(|it| escape(it) + "\n").collect();
    lines.join(between)
}

/// Escape text, so that roff finds no request in it.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roff_requests_in_texts_are_escaped() {
        assert_eq!(escape(".TH a-b \\n"), "\\&.TH a\\-b \\en");
    }
}
