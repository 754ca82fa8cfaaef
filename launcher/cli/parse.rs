//! Parse the words of a command line: find the command, and the words of each of its rows.
//!
//! Knows the grammar (runc's, which is Go's: `--opt value`, `--opt=value`, `-opt value`, options
//! between arguments, `--`), not what any option means. Makes no system call.

use std::ffi::{OsStr, OsString};

use lexopt::{Arg as Word, Parser};

use super::nearest::did_you_mean;
use super::table::{Command, Opt, OptionSet};
use super::value::{Place, PlaceKind, Slot};
use super::{Globals, commands, elsewhere};
use crate::{Error, Result, log};

/// The words of a command line, not converted to types yet.
#[derive(Default)]
pub struct Input {
    options: Vec<(&'static Opt, Option<OsString>)>,
    places: Vec<(&'static str, Vec<OsString>)>,
}

/// A command line, as far as it was parsed.
#[derive(Default)]
pub struct Line {
    /// The command, if one was named.
    pub command: Option<&'static Command>,
    /// The first word of a two-word command whose second is missing.
    pub family: Option<&'static str>,
    /// Options and arguments, the global ones among them.
    pub input: Input,
    words: Vec<OsString>,
    dashes: Option<Vec<OsString>>,
}

/// Read a command line without the program's own name.
///
/// After a mistake, the part before it is returned too, since it may name the log for the error.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> (Line, Result<()>) {
    let mut line = Line::default();
    let mut parser = Parser::from_args(args);
    let result = line.read(&mut parser).and_then(|()| line.distribute());
    let result = result.map_err(|e| match line.command {
        Some(command) => e.within(command.name),
        None => e,
    });
    (line, result)
}

impl Line {
    fn read(&mut self, parser: &mut Parser) -> Result<()> {
        loop {
            if self.dashes(parser) || self.single_dash(parser)? {
                continue;
            }
            let verbatim = self.tail_at(PlaceKind::Verbatim) == Some(self.words.len());
            if let (true, Some(rest)) = (verbatim, parser.try_raw_args()) {
                self.words.extend(rest);
            }
            match parser.next().map_err(unexpected)? {
                None => return Ok(()),
                Some(Word::Long(name)) => {
                    let name = name.to_owned();
                    let found = self.find(|opt| opt.is_called(&name));
                    let opt = found.ok_or_else(|| self.unknown_option(&name))?;
                    let value = match opt.value {
                        Some(_) => Some(parser.value().map_err(|_| requires(opt, &name))?),
                        None => parser.optional_value(),
                    };
                    self.input.options.push((opt, value));
                }
                Some(Word::Short(letter)) => {
                    let opt = self.letter(letter).ok_or_else(|| self.unknown_letter(letter))?;
                    let value = match opt.value.map(|_| parser.value()) {
                        // Docker's and Podman's -h takes a host name; as the last word it has none,
                        // and means help.
                        Some(Err(_)) if letter == 'h' => {
                            self.input.ask_for_help();
                            return Ok(());
                        }
                        Some(value) => Some(value.map_err(|_| requires(opt, opt.long()))?),
                        None => None,
                    };
                    self.input.options.push((opt, value));
                }
                Some(Word::Value(word)) => self.word(word, parser)?,
            }
        }
    }

    /// Behind `--` nothing is an option.
    fn dashes(&mut self, parser: &mut Parser) -> bool {
        let Some(mut raw) = parser.try_raw_args() else { return false };
        if self.dashes.is_some() || raw.next_if(|word| word == "--").is_none() {
            return false;
        }
        self.dashes = Some(raw.collect());
        true
    }

    /// Go's flags have long names behind one dash too; go-runc writes `-no-subreaper`. Only a name
    /// of the table is taken for one: everything else is letters, as `-dq`.
    fn single_dash(&mut self, parser: &mut Parser) -> Result<bool> {
        let Some(mut raw) = parser.try_raw_args() else { return Ok(false) };
        let Some(body) = raw.peek().and_then(OsStr::to_str).and_then(|it| it.strip_prefix('-'))
        else {
            return Ok(false);
        };
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
            None => (body.to_owned(), None),
        };
        let found = self.find(|opt| name.len() > 1 && opt.is_called(&name));
        let Some(opt) = found else { return Ok(false) };
        raw.next();
        let value = match (opt.value, value) {
            (Some(_), None) => Some(raw.next().ok_or_else(|| requires(opt, &name))?),
            (_, value) => value,
        };
        self.input.options.push((opt, value));
        Ok(true)
    }

    /// A word that is no option: the command, or one of its arguments.
    fn word(&mut self, word: OsString, parser: &mut Parser) -> Result<()> {
        if self.command.is_none() {
            return self.name(&word);
        }
        let tail = self.tail_at(PlaceKind::Command) == Some(self.words.len());
        self.words.push(word);
        if let (true, Some(rest)) = (tail, parser.try_raw_args()) {
            self.words.extend(rest);
        }
        Ok(())
    }

    fn name(&mut self, word: &OsStr) -> Result<()> {
        let word = word.to_string_lossy();
        let name = match self.family {
            Some(family) => format!("{family} {word}"),
            None => word.into_owned(),
        };
        self.command = commands::find(&name);
        if self.command.is_none() && self.family.is_none() {
            self.family = commands::family(&name);
        }
        match (self.command, self.family) {
            (None, Some(family)) if family != name => Err(unknown_command(&name)),
            (None, None) => Err(unknown_command(&name)),
            _ => Ok(()),
        }
    }

    /// The position of the argument of this kind, if the command has one.
    fn tail_at(&self, kind: PlaceKind) -> Option<usize> {
        self.command?.args.iter().position(|arg| arg.kind == kind)
    }

    fn find(&self, wanted: impl Fn(&Opt) -> bool) -> Option<&'static Opt> {
        let own = self.command.and_then(|command| command.options().find(|opt| wanted(opt)));
        own.or_else(|| Globals::ROWS.iter().find(|opt| wanted(opt)))
    }

    /// -v means the version only before a command: after it, other tools use -v for volumes.
    fn letter(&self, letter: char) -> Option<&'static Opt> {
        let found = self.find(|opt| opt.short() == Some(letter));
        found.filter(|opt| self.command.is_none() || opt.long() != "version")
    }

    /// Give each argument its words, once all are known.
    fn distribute(&mut self) -> Result<()> {
        if self.input.asks("help") || self.input.asks("version") {
            return Ok(());
        }
        let Some(command) = self.command else {
            return match self.dashes.take() {
                None => Ok(()),
                Some(_) => Err(Error::new("expected a command before --; see tiny-ce --help")),
            };
        };
        let mut words = std::mem::take(&mut self.words);
        let mut behind = self.dashes.take().unwrap_or_default();
        if self.tail_at(PlaceKind::Dashes).is_none() {
            words.append(&mut behind);
        }
        let mut words = words.into_iter();
        for arg in command.args {
            let given: Vec<OsString> = match arg.kind {
                PlaceKind::Required | PlaceKind::Optional => words.by_ref().take(1).collect(),
                PlaceKind::Several | PlaceKind::Command | PlaceKind::Verbatim => {
                    words.by_ref().collect()
                }
                PlaceKind::Dashes => std::mem::take(&mut behind),
            };
            if given.is_empty() && !arg.spec.starts_with('[') {
                return Err(Error::new(format!(
                    "{} is missing; usage: {}",
                    arg.spec,
                    command.usage()
                )));
            }
            self.input.places.push((arg.spec, given));
        }
        match words.next() {
            None => Ok(()),
            Some(word) => {
                let word = word.to_string_lossy().into_owned();
                let advice = match self.tail_at(PlaceKind::Dashes) {
                    Some(_) => "a command stands behind --; ",
                    None => "",
                };
                let usage = command.usage();
                Err(Error::new(format!("unexpected {word:?}; {advice}usage: {usage}")))
            }
        }
    }

    fn unknown_option(&self, name: &str) -> Error {
        let own = self.command.into_iter().flat_map(Command::options);
        let known = own.chain(Globals::ROWS).map(|opt| format!("--{}", opt.long()));
        let known: Vec<String> = known.collect();
        let name = format!("--{name}");
        if let Some(advice) = self.elsewhere(&name) {
            return Error::new(format!("unknown option {name}; {advice}"));
        }
        let advice = did_you_mean(&name, known.iter().map(String::as_str));
        let advice = advice.unwrap_or_else(|| self.usage());
        Error::new(format!("unknown option {name}; {advice}"))
    }

    fn unknown_letter(&self, letter: char) -> Error {
        let advice = self.elsewhere(&format!("-{letter}")).unwrap_or_else(|| self.usage());
        Error::new(format!("unknown option -{letter}; {advice}"))
    }

    /// What to do instead of an option that other tools have for this command.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let places = |command: &&Command| {
            command.args.iter().any(|arg| matches!(arg.kind, PlaceKind::Dashes))
        };
        self.command.filter(places).and_then(|_| elsewhere::option(name))
    }

    fn usage(&self) -> String {
        match self.command {
            Some(command) => format!("usage: {}", command.usage()),
            None => "see tiny-ce --help".to_owned(),
        }
    }
}

impl Input {
    /// What was given for the option with this row.
    ///
    /// # Errors
    /// A word is no value of this option.
    pub fn option<T: Slot>(&self, spec: &str) -> Result<T> {
        self.folded(spec, T::fold)
    }

    /// What `fold` makes of the words that were given for the option with this row.
    ///
    /// # Errors
    /// `fold` fails; the error names the option.
    pub fn folded<T>(
        &self,
        spec: &str,
        fold: impl FnOnce(&[Option<&OsStr>]) -> Result<T>,
    ) -> Result<T> {
        let given = self.options.iter().filter(|(opt, _)| opt.spec == spec);
        let words: Vec<Option<&OsStr>> = given.map(|(_, value)| value.as_deref()).collect();
        fold(&words).map_err(|e| {
            let name = spec.split_once("--").map_or(spec, |(_, name)| name);
            let name = name.split(' ').next().unwrap_or(name);
            Error::new(log::one_line(&e)).within(format_args!("--{name}"))
        })
    }

    /// What was given for the argument with this row.
    ///
    /// # Errors
    /// The words are no value of this argument.
    pub fn place<T: Place>(&self, spec: &str) -> Result<T> {
        let given = self.places.iter().find(|(row, _)| *row == spec);
        let words = given.map_or(&[][..], |(_, words)| words);
        T::fold(words).map_err(|e| Error::new(log::one_line(&e)))
    }

    /// As by --help.
    fn ask_for_help(&mut self) {
        let help = Globals::ROWS.iter().find(|opt| opt.long() == "help");
        self.options.extend(help.map(|opt| (opt, None)));
    }

    fn asks(&self, long: &str) -> bool {
        self.options.iter().any(|(opt, _)| opt.long() == long)
    }
}

/// Podman searches the error text for these words to find out which options `restore` has.
fn requires(opt: &Opt, name: &str) -> Error {
    Error::new(format!("--{name} requires an argument: {}", opt.placeholder()))
}

fn unexpected(e: lexopt::Error) -> Error {
    match e {
        lexopt::Error::UnexpectedValue { option, .. } => {
            Error::new(format!("{option} takes no value"))
        }
        other => Error::new(other.to_string()),
    }
}

/// The error of a name that is no command, with the nearest that is.
pub fn unknown_command(name: &str) -> Error {
    let elsewhere = commands::ELSEWHERE.iter().find(|(theirs, _)| *theirs == name);
    let advice = match elsewhere {
        Some((_, ours)) => format!("it is called {ours:?} here"),
        None => did_you_mean(name, commands::names())
            .unwrap_or_else(|| "tiny-ce --help lists them".to_owned()),
    };
    Error::new(format!("unknown command {name:?}; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (Line, Result<()>) {
        parse(line.split(' ').map(OsString::from))
    }

    #[track_caller]
    fn good(line: &str) -> Input {
        let (read, result) = read(line);
        assert_eq!(result, Ok(()), "{line}");
        read.input
    }

    const CONFIG: &str = "-f, --config FILE";

    #[test]
    fn every_spelling_of_an_option() {
        for line in [
            "validate --config x web",
            "validate --config=x web",
            "validate -config x web",
            "validate -config=x web",
            "validate -f x web",
            "validate -f=x web",
            "validate -fx web",
            "validate web --config x",
            "validate web -config x",
            "validate --config y -f x web",
            "validate --config x -- web",
            "--debug validate --config x web",
            "-debug validate web --config x --debug",
        ] {
            let input = good(line);
            assert_eq!(input.option::<Option<String>>(CONFIG), Ok(Some("x".to_owned())), "{line}");
            assert_eq!(input.place::<Option<String>>("[BUNDLE]"), Ok(Some("web".to_owned())));
            let debug = input.option::<bool>("--debug");
            assert_eq!(debug, Ok(line.contains("-debug")), "{line}");
        }
    }

    #[test]
    fn a_value_may_look_like_an_option() {
        let input = good("validate --config --debug -- --help");
        assert_eq!(input.option(CONFIG), Ok(Some("--debug".to_owned())));
        assert_eq!(input.place("[BUNDLE]"), Ok(Some("--help".to_owned())));
    }

    #[test]
    fn switches_have_values_too() {
        for (line, expected) in [
            ("spec", false),
            ("spec --rootless", true),
            ("spec -rootless", true),
            ("spec --rootless=true", true),
            ("spec -rootless=1", true),
            ("spec --rootless --rootless=false", false),
        ] {
            assert_eq!(good(line).option("--rootless"), Ok(expected), "{line}");
        }
    }

    /// A name that a command shares with the global options means the global one before it.
    #[test]
    fn an_option_before_the_command_is_global() {
        let input = good("--rootless false spec --rootless");
        assert_eq!(input.option("--rootless true|false|auto"), Ok(Some("false".to_owned())));
        assert_eq!(input.option("--rootless"), Ok(true));
    }

    #[test]
    fn words_behind_dashes_are_no_options() {
        let tail = "[-- COMMAND...]";
        let words = |line| good(line).place::<crate::cli::value::AfterDashes>(tail).map(|it| it.0);
        let expected = ["sh", "--memory", "--", "-x"].map(OsString::from).to_vec();
        assert_eq!(words("spec -e A=b -- sh --memory -- -x"), Ok(expected));
        assert_eq!(words("spec"), Ok(Vec::new()));
        assert_eq!(words("spec --"), Ok(Vec::new()));
    }

    #[test]
    fn each_occurrence_of_a_list_counts() {
        let all = good("spec -e A=b --env C=d -eE=f").option("-e, --env NAME[=VALUE]");
        assert_eq!(all, Ok(["A=b", "C=d", "E=f"].map(str::to_owned).to_vec()));
    }

    /// The log that a mistake is to be written to may be named before it.
    #[test]
    fn a_mistake_leaves_what_was_before_it() {
        let (line, result) = read("--log x nope");
        assert!(result.is_err());
        assert_eq!(line.input.option("--log FILE"), Ok(Some("x".to_owned())));
    }
}
