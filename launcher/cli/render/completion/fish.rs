//! Completions for fish 3.
//!
//! One `complete` line per command, option and argument; a condition says behind which command.

use super::{brief, first_words, second_words, spellings};
use crate::cli::Globals;
use crate::cli::commands::{FAMILIES, all};
use crate::cli::table::{Command, Opt, OptionSet};
use crate::cli::value::Completes;

/// The script.
pub fn script() -> String {
    let valued = Globals::ROWS.iter().filter(|opt| opt.value.is_some()).flat_map(spellings);
    let families: Vec<&str> = FAMILIES.iter().map(|(name, _)| *name).collect();
    let mut text = TEMPLATE
        .replace("@VALUED@", &valued.collect::<Vec<_>>().join(" "))
        .replace("@FAMILIES@", &families.join(" "));
    for opt in Globals::ROWS {
        text.push_str(&line(None, &option(opt)));
    }
    for (word, about) in first_words() {
        text.push_str(&line(Some(""), &format!("-a {word} -d {}", quote(&about))));
    }
    for (family, _) in FAMILIES {
        for (word, command) in second_words(family) {
            let about = quote(&command.summary());
            text.push_str(&line(Some(family), &format!("-a {word} -d {about}")));
        }
    }
    for command in all() {
        text.push_str(&rows(command));
    }
    text
}

fn rows(command: &Command) -> String {
    let mut text = String::new();
    for opt in command.options() {
        text.push_str(&line(Some(command.name), &option(opt)));
    }
    // fish completes by command and not by position, so it offers the words of all arguments.
    for arg in command.args {
        let offered = offer(arg.completes);
        if !offered.is_empty() {
            text.push_str(&line(Some(command.name), &offered));
        }
    }
    text
}

fn line(command: Option<&str>, rest: &str) -> String {
    match command {
        None => format!("complete -c tiny-ce {rest}\n"),
        Some(command) => format!("complete -c tiny-ce -n '__tiny_ce_is \"{command}\"' {rest}\n"),
    }
}

fn option(opt: &Opt) -> String {
    let mut text = format!("-l {}", opt.long());
    if let Some(letter) = opt.short() {
        text = format!("-s {letter} {text}");
    }
    if let Some(completes) = opt.value {
        text.push_str(" -r");
        let offered = offer(completes);
        if !offered.is_empty() {
            text.push_str(&format!(" {offered}"));
        }
    }
    format!("{text} -d {}", quote(&brief(opt.doc)))
}

fn offer(completes: Completes) -> String {
    match completes {
        Completes::Nothing => String::new(),
        Completes::Files => "-F".to_owned(),
        Completes::Directories => "-a '(__fish_complete_directories)'".to_owned(),
        Completes::Containers => "-a '(tiny-ce list --quiet 2>/dev/null)'".to_owned(),
        Completes::Commands => {
            let words: Vec<&str> = first_words().into_iter().map(|(word, _)| word).collect();
            format!("-a {}", quote(&words.join(" ")))
        }
        Completes::Words(words) => format!("-a {}", quote(&words.join(" "))),
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

const TEMPLATE: &str = r#"# Completions of tiny-ce for fish, printed by: tiny-ce completion fish

# Whether the command so far, of one or two words, is this one.
function __tiny_ce_is
    set -l found
    set -l skip 0
    for word in (commandline -opc)[2..]
        if test $skip = 1
            set skip 0
        else if contains -- $word @VALUED@
            set skip 1
        else if not string match -q -- '-*' $word
            set -a found $word
            contains -- "$found" @FAMILIES@; or break
        end
    end
    test "$found" = "$argv[1]"
end

complete -c tiny-ce -f
"#;
