//! Completions for GNU bash 4; needs nothing else, not even the bash-completion package.
//!
//! Two functions made of the table say what an option's value is and what an argument is; the
//! rest is the same for every command.

use super::{first_words, second_words, spellings};
use crate::cli::Globals;
use crate::cli::commands::{FAMILIES, all};
use crate::cli::table::{Opt, OptionSet};
use crate::cli::value::{Completes, PlaceKind};

/// The script.
pub fn script() -> String {
    let mut values = String::new();
    let mut places = String::new();
    let mut options = String::new();
    for command in all() {
        for opt in command.options() {
            values.push_str(&value(&format!("{}:", command.name), opt));
        }
        for (index, arg) in command.args.iter().enumerate() {
            let kind = kind(arg.completes);
            let index = match arg.kind {
                PlaceKind::Several => "'*".to_owned(),
                _ => format!("{index}'"),
            };
            places.push_str(&format!("        '{}:{index}) kind='{kind}' ;;\n", command.name));
        }
        let names: Vec<String> = command.options().flat_map(spellings).collect();
        let names = names.join(" ");
        options.push_str(&format!("        '{}') options='{names}' ;;\n", command.name));
    }
    for opt in Globals::ROWS {
        values.push_str(&value("*:", opt));
    }
    for (family, _) in FAMILIES {
        let words: Vec<&str> = second_words(family).into_iter().map(|(word, _)| word).collect();
        let words = words.join(" ");
        places.push_str(&format!("        '{family}:0') kind='words {words}' ;;\n"));
    }
    let families: Vec<String> = FAMILIES.iter().map(|(name, _)| format!("' {name}'")).collect();
    // A pattern that no word matches, where there is no family.
    let families = if families.is_empty() { "''".to_owned() } else { families.join("|") };
    let firsts: Vec<&str> = first_words().into_iter().map(|(word, _)| word).collect();
    let globals: Vec<String> = Globals::ROWS.iter().flat_map(spellings).collect();
    TEMPLATE
        .replace("@VALUES@\n", &values)
        .replace("@PLACES@\n", &places)
        .replace("@OPTIONS@\n", &options)
        .replace("@FAMILIES@", &families)
        .replace("@COMMANDS@", &firsts.join(" "))
        .replace("@GLOBALS@", &globals.join(" "))
}

fn value(prefix: &str, opt: &Opt) -> String {
    let Some(completes) = opt.value else { return String::new() };
    let patterns: Vec<String> = spellings(opt)
        .iter()
        .map(|name| match prefix.strip_prefix('*') {
            Some(rest) => format!("*'{rest}{name}'"),
            None => format!("'{prefix}{name}'"),
        })
        .collect();
    format!("        {}) kind='{}' ;;\n", patterns.join("|"), kind(completes))
}

fn kind(completes: Completes) -> String {
    match completes {
        Completes::Nothing => "nothing".to_owned(),
        Completes::Files => "files".to_owned(),
        Completes::Directories => "directories".to_owned(),
        Completes::Containers => "containers".to_owned(),
        Completes::Commands => "commands".to_owned(),
        Completes::Words(words) => format!("words {}", words.join(" ")),
    }
}

const TEMPLATE: &str = r#"# Completions of tiny-ce for bash, printed by: tiny-ce completion bash

# What the value of option $2 of command $1 is; nothing if it takes none.
_tiny_ce_value() {
    case "$1:$2" in
@VALUES@
        *) kind= ;;
    esac
}

# What argument number $2 (from 0) of command $1 is.
_tiny_ce_place() {
    case "$1:$2" in
@PLACES@
        *) kind=nothing ;;
    esac
}

# Which options command $1 has.
_tiny_ce_options() {
    case "$1" in
@OPTIONS@
        *) options= ;;
    esac
}

_tiny_ce() {
    local cur=${COMP_WORDS[COMP_CWORD]} command= kind= options= count=0 index word
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        case $word in
            --) kind=nothing; count=99 ;;
            =) _tiny_ce_value "$command" "${COMP_WORDS[index - 1]}" ;;
            -*) _tiny_ce_value "$command" "$word" ;;
            *)
                if [[ $kind ]]; then
                    kind=
                elif [[ -z $command ]]; then
                    command=$word
                else
                    case " $command" in
                        @FAMILIES@) command="$command $word" ;;
                        *) count=$((count + 1)) ;;
                    esac
                fi
                ;;
        esac
    done
    if [[ $cur == = && $COMP_CWORD -gt 1 ]]; then
        _tiny_ce_value "$command" "${COMP_WORDS[COMP_CWORD - 1]}"
        cur=
    fi
    if [[ -z $kind ]]; then
        if [[ $cur == -* ]]; then
            _tiny_ce_options "$command"
            kind="words $options @GLOBALS@"
        elif [[ -z $command ]]; then
            kind=commands
        else
            _tiny_ce_place "$command" "$count"
        fi
    fi
    local -a how
    case $kind in
        files) compopt -o filenames 2>/dev/null; how=(-f) ;;
        directories) compopt -o filenames 2>/dev/null; how=(-d) ;;
        containers) how=(-W "$(tiny-ce list --quiet 2>/dev/null)") ;;
        commands) how=(-W '@COMMANDS@') ;;
        words*) how=(-W "${kind#words }") ;;
        *) COMPREPLY=(); return ;;
    esac
    mapfile -t COMPREPLY < <(compgen "${how[@]}" -- "$cur")
}

complete -F _tiny_ce tiny-ce
"#;
