//! Completions for the Z shell, by its own `_arguments`.
//!
//! One `_arguments` call per command; a family asks for its second word first.

use super::{brief, first_words, second_words, spellings};
use crate::cli::Globals;
use crate::cli::commands::FAMILIES;
use crate::cli::table::{Command, Opt, OptionSet};
use crate::cli::value::{Completes, PlaceKind};

/// The script.
pub fn script() -> String {
    let mut text = String::from(HEAD);
    for (family, _) in FAMILIES {
        let words = second_words(family);
        let listed = words.iter().map(|(word, command)| (*word, command.summary()));
        let function = format!("_tiny_ce_{family}");
        text.push_str(&dispatch(&function, &listed.collect::<Vec<_>>(), &[], |word| {
            let found = words.iter().find(|(name, _)| *name == word);
            found.map(|(_, command)| arguments(command)).unwrap_or_default()
        }));
    }
    text.push_str(&dispatch("_tiny_ce", &first_words(), Globals::ROWS, |word| {
        match crate::cli::commands::find(word) {
            Some(command) => arguments(command),
            None => format!("_tiny_ce_{word}"),
        }
    }));
    text.push_str(TAIL);
    text
}

/// A function that completes one word out of a list and then leaves the rest to that word.
fn dispatch(
    function: &str,
    words: &[(&str, String)],
    options: &[Opt],
    then: impl Fn(&str) -> String,
) -> String {
    let rows: String = options.iter().map(row).map(|row| format!("        {row} \\\n")).collect();
    let mut text = format!(
        "\n{function}() {{\n    local curcontext=$curcontext state line\n    \
         typeset -A opt_args\n    local -a words_here=(\n"
    );
    for (word, about) in words {
        text.push_str(&format!("        {}\n", quote(&format!("{word}:{about}"))));
    }
    text.push_str(&format!("    )\n    _arguments -C -S \\\n{rows}"));
    text.push_str("        '1:command:->command' \\\n        '*::argument:->argument'\n");
    text.push_str("    case $state in\n");
    text.push_str("        command) _describe command words_here ;;\n        argument)\n");
    text.push_str("            case $words[1] in\n");
    for (word, _) in words {
        text.push_str(&format!("                {word})\n                    {} ;;\n", then(word)));
    }
    text.push_str("            esac\n            ;;\n    esac\n}\n");
    text
}

fn arguments(command: &Command) -> String {
    let mut text = String::from("_arguments -s -S");
    for opt in command.options() {
        text.push_str(&format!(" \\\n                        {}", row(opt)));
    }
    for (index, arg) in command.args.iter().enumerate() {
        let place = match arg.kind {
            PlaceKind::Required => format!("{}", index + 1),
            PlaceKind::Optional => format!("{}:", index + 1),
            _ => "*:".to_owned(),
        };
        let place = if place.ends_with(':') { place } else { place + ":" };
        let message = escape(arg.spec);
        let row = quote(&format!("{place}{message}:{}", action(arg.completes)));
        text.push_str(&format!(" \\\n                        {row}"));
    }
    text
}

fn row(opt: &Opt) -> String {
    let names = spellings(opt);
    let value = match opt.value {
        Some(completes) => format!(":{}:{}", escape(opt.placeholder()), action(completes)),
        None => String::new(),
    };
    let about = escape(&brief(opt.doc));
    let equals = |name: &String| match (opt.value, name.starts_with("--")) {
        (Some(_), true) => format!("{name}="),
        (Some(_), false) => format!("{name}+"),
        (None, _) => name.clone(),
    };
    let repeat = if opt.repeatable { "*" } else { "" };
    let forms: Vec<String> = names
        .iter()
        .map(|name| {
            // A spelling excludes the other ones.
            let others =
                if opt.repeatable { String::new() } else { format!("({})", names.join(" ")) };
            quote(&format!("{others}{repeat}{}[{about}]{value}", equals(name)))
        })
        .collect();
    forms.join(" ")
}

fn action(completes: Completes) -> String {
    match completes {
        Completes::Nothing => " ".to_owned(),
        Completes::Files => "_files".to_owned(),
        Completes::Directories => "_files -/".to_owned(),
        Completes::Containers => "_tiny_ce_containers".to_owned(),
        Completes::Commands => {
            let words: Vec<&str> = first_words().into_iter().map(|(word, _)| word).collect();
            format!("({})", words.join(" "))
        }
        Completes::Words(words) => format!("({})", words.join(" ")),
    }
}

/// A text inside a specification of `_arguments`, in which `:`, `[` and `]` mean something.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:").replace('[', "\\[").replace(']', "\\]")
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

const HEAD: &str = r#"#compdef tiny-ce
# Completions of tiny-ce for zsh, printed by: tiny-ce completion zsh

_tiny_ce_containers() {
    local -a ids
    ids=(${(f)"$(tiny-ce list --quiet 2>/dev/null)"})
    compadd -a ids
}
"#;

const TAIL: &str = r#"
if [[ $funcstack[1] == _tiny-ce ]]; then
    _tiny_ce "$@"
else
    compdef _tiny_ce tiny-ce
fi
"#;
