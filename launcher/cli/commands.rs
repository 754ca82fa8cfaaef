//! The table of commands, in the order of the help.
//!
//! A new command is one row here; its own row is in its file.

use super::table::Command;
use super::{
    completion, config, create, criu, delete, doctor, events, exec, explain, features, help,
    initramfs, kill, list, man, mounts, network, pause, ps, run, start, update, vm, wait,
};

/// Every command, under headings.
pub const COMMANDS: &[(&str, &[Command])] = &[
    (
        "Containers",
        &[
            run::Run::COMMAND,
            create::Create::COMMAND,
            start::Start::COMMAND,
            exec::Exec::COMMAND,
            kill::Kill::COMMAND,
            delete::Delete::COMMAND,
            list::List::COMMAND,
            list::StateCommand::COMMAND,
            pause::Pause::COMMAND,
            pause::Resume::COMMAND,
            criu::CheckpointCommand::COMMAND,
            criu::RestoreCommand::COMMAND,
            ps::Ps::COMMAND,
            wait::Wait::COMMAND,
            events::Events::COMMAND,
            update::UpdateCommand::COMMAND,
            mounts::Add::COMMAND,
            mounts::Remove::COMMAND,
            run::CreateStart::COMMAND,
            delete::DeleteAll::COMMAND,
        ],
    ),
    (
        "Bundles and plans",
        &[
            explain::Explain::COMMAND,
            explain::Operations::COMMAND,
            config::SpecCommand::COMMAND,
            config::Validate::COMMAND,
        ],
    ),
    (
        "Networks",
        &[
            network::Create::COMMAND,
            network::List::COMMAND,
            network::Show::COMMAND,
            network::Remove::COMMAND,
        ],
    ),
    ("Other machines", &[vm::Vm::COMMAND, initramfs::Initramfs::COMMAND]),
    ("The machine", &[doctor::Doctor::COMMAND, features::FeaturesCommand::COMMAND]),
    ("Help", &[help::Help::COMMAND, completion::Completion::COMMAND, man::Man::COMMAND]),
];

/// The first words of two-word commands, each with a description of these commands.
pub const FAMILIES: &[(&str, &str)] = &[
    ("mounts", "Mounts of a container that runs."),
    ("network", "Networks: bridges that containers are attached to, each with a subnet."),
];

/// Names of other tools' commands, each with our name.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("mounts rm", "mounts remove"),
    ("mounts delete", "mounts remove"),
    ("network ls", "network list"),
    ("network add", "network create"),
    ("network remove", "network rm"),
    ("network delete", "network rm"),
    ("check", "validate"),
    ("ls", "list"),
    ("rm", "delete"),
    ("remove", "delete"),
    ("stop", "kill"),
    ("inspect", "state"),
    ("plan", "explain"),
    ("unpause", "resume"),
    ("top", "ps"),
    ("stats", "events"),
];

/// Every command, in order.
pub fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().flat_map(|(_, commands)| *commands)
}

/// The command with this name or alias.
pub fn find(name: &str) -> Option<&'static Command> {
    all().find(|command| command.name == name || command.aliases.contains(&name))
}

/// Whether the command makes or manages containers, and does not only print, check or explain.
pub fn is_for_containers(command: &Command) -> bool {
    let headings = COMMANDS.iter().filter(|(it, _)| matches!(*it, "Containers" | "Networks"));
    headings.flat_map(|(_, commands)| *commands).any(|it| it.name == command.name)
}

/// The exit status if the command fails.
pub fn status_of_errors(command: &Command) -> u8 {
    // 1 may be the status of the machine's container.
    if command.name == vm::Vm::COMMAND.name { crate::vm::FAILED } else { 1 }
}

/// The first word of a two-word command.
pub fn family(word: &str) -> Option<&'static str> {
    FAMILIES.iter().map(|(name, _)| *name).find(|name| *name == word)
}

/// Every name and alias.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().flat_map(|command| command.aliases.iter().copied().chain([command.name]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsString;

    use super::*;
    use crate::cli::Globals;
    use crate::cli::parse::parse;
    use crate::cli::table::{Opt, OptionSet, paragraphs};
    use crate::cli::value::{Completes, PlaceKind};

    #[test]
    fn a_name_means_one_command() {
        let mut seen = BTreeSet::new();
        for name in names() {
            assert!(seen.insert(name), "{name} twice");
            match name.split_once(' ') {
                Some((first, _)) => assert!(family(first).is_some(), "{name}: no family"),
                None => assert!(family(name).is_none(), "{name}: a family too"),
            }
        }
        for (family, about) in FAMILIES {
            assert!(about.ends_with('.'), "{family}");
            assert!(names().any(|name| name.starts_with(&format!("{family} "))), "{family}: empty");
        }
        for (theirs, ours) in ELSEWHERE {
            assert!(find(ours).is_some(), "{theirs}: there is no {ours}");
            assert!(!seen.contains(theirs), "{theirs} is ours");
        }
    }

    #[test]
    fn every_row_is_documented() {
        for command in all() {
            let summary = command.summary();
            assert!(summary.len() <= 64, "{}: {summary:?} is long for a list", command.name);
            assert!(summary.starts_with(char::is_uppercase), "{}", command.name);
            for arg in command.args {
                assert!(
                    paragraphs(arg.doc).concat().ends_with('.'),
                    "{} {}",
                    command.name,
                    arg.spec
                );
            }
            for opt in command.options() {
                assert!(
                    paragraphs(&opt.text()).concat().ends_with('.'),
                    "{} {}",
                    command.name,
                    opt.spec
                );
            }
        }
    }

    fn well_formed(opt: &Opt) {
        let spec = opt.spec;
        let mut built = opt.short().map(|c| format!("-{c}, ")).unwrap_or_default();
        built += &format!("--{}", opt.long());
        if let Some(completes) = opt.value {
            built += &format!(" {}", opt.placeholder());
            assert!(!opt.placeholder().is_empty(), "{spec}: takes a value");
            if let Completes::Words(words) = completes {
                // A part with capital letters stands for words that the shell cannot know.
                let known = |part: &&str| !part.contains(|c: char| c.is_ascii_uppercase());
                let shown: Vec<&str> = opt.placeholder().split('|').filter(known).collect();
                assert_eq!(shown, words, "{spec}");
            }
        }
        assert_eq!(built, spec);
        assert!(opt.long().len() > 1, "{spec}: a long name is long");
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(opt.long().chars().all(word), "{spec}");
    }

    #[test]
    fn an_option_has_one_row() {
        Globals::ROWS.iter().for_each(well_formed);
        for command in all() {
            let mut seen = BTreeSet::new();
            for opt in command.options() {
                well_formed(opt);
                assert!(seen.insert(opt.long().to_owned()), "{} {}", command.name, opt.spec);
                if let Some(short) = opt.short() {
                    assert!(seen.insert(short.to_string()), "{} {}", command.name, opt.spec);
                }
                // Both would be given what one of them was.
                let global = Globals::ROWS.iter().find(|global| global.spec == opt.spec);
                assert!(global.is_none(), "{} {}", command.name, opt.spec);
            }
        }
    }

    #[test]
    fn arguments_can_be_told_apart() {
        for command in all() {
            let mut optional = false;
            for (index, arg) in command.args.iter().enumerate() {
                let may = arg.spec.starts_with('[');
                assert!(may || !optional, "{}: {} is behind an optional", command.name, arg.spec);
                optional = may;
                match arg.kind {
                    PlaceKind::Required => assert!(!may, "{}", arg.spec),
                    PlaceKind::Optional => assert!(may, "{}", arg.spec),
                    _ => assert_eq!(index + 1, command.args.len(), "{}", arg.spec),
                }
            }
        }
    }

    #[test]
    fn examples_are_command_lines() {
        for command in all() {
            for (line, _) in command.examples {
                let line = line.split([';', '|', '>', '<']).next().unwrap_or_default();
                let words = line.split_whitespace().map(OsString::from);
                let (read, result) = parse(words);
                assert_eq!(result, Ok(()), "{line}");
                let named = read.command.map(|it| it.name);
                assert_eq!(named, Some(command.name), "{line}");
            }
        }
    }
}
