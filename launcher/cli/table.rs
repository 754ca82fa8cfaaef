//! The shape of the table of commands, and the two macros that write its rows.
//!
//! One row per command and per option: from it come the parser, `--help`, the man pages, the
//! completions and docs/commands.md. Knows shapes only: no command, and no value's meaning.
//!
//! A row's key is what the help prints: `"-f, --force"`, `"--root DIRECTORY"`, `"[SIGNAL]"`. The
//! type of its field determines whether the option takes a value, which values, and how often.

use super::Globals;
use super::parse::Input;
use super::value::{Completes, Place, PlaceKind, Slot};
use crate::Result;
use crate::origin::Origins;

/// One command.
pub struct Command {
    /// As typed: one word, or two (`network create`).
    pub name: &'static str,
    /// Other words for it.
    pub aliases: &'static [&'static str],
    /// The first paragraph is the summary; a line per line of the source.
    pub doc: &'static str,
    /// Positional arguments, in order.
    pub args: &'static [Arg],
    /// Options, the command's own first.
    pub groups: &'static [Group],
    /// Command lines without `tiny-ce`, each with what it does.
    pub examples: &'static [(&'static str, &'static str)],
    /// Type the words and do it; the result is the exit status.
    pub run: fn(&Input, &Globals) -> Result<u8>,
}

/// A positional argument.
pub struct Arg {
    /// As the usage line shows it: `CONTAINER`, `[SIGNAL]`, `COMMAND [ARGUMENT...]`.
    pub spec: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// How many words it takes, and from where.
    pub kind: PlaceKind,
    /// What a shell offers.
    pub completes: Completes,
}

/// Options under one heading.
pub struct Group {
    /// The heading, without a colon.
    pub title: &'static str,
    /// The options.
    pub rows: &'static [Opt],
}

/// An option.
#[derive(Clone, Copy)]
pub struct Opt {
    /// As the help shows it: `-b, --bundle DIRECTORY`, `--keep`.
    pub spec: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What a shell offers as its value; `None`: a switch, which takes no value.
    pub value: Option<Completes>,
    /// Whether each occurrence counts; otherwise the last one does.
    pub repeatable: bool,
    /// Other long names, with their dashes, that other tools have for it.
    pub aliases: &'static [&'static str],
    /// The field of config.json that it sets; empty if there is none.
    pub field: &'static str,
}

impl Opt {
    /// The long name, with its dashes.
    pub fn name(&self) -> &'static str {
        let name = self.spec.find("--").map_or("", |at| &self.spec[at..]);
        name.split([' ', '[']).next().unwrap_or(name)
    }

    /// The long name, without dashes.
    pub fn long(&self) -> &'static str {
        self.name().trim_start_matches('-')
    }

    /// Whether this is its long name, or another one; without dashes.
    pub fn is_called(&self, name: &str) -> bool {
        let also = self.aliases.iter().filter_map(|alias| alias.strip_prefix("--"));
        self.long() == name || also.into_iter().any(|alias| alias == name)
    }

    /// The short name, if it has one.
    pub fn short(&self) -> Option<char> {
        let mut letters = self.spec.chars();
        match (letters.next(), letters.next()) {
            (Some('-'), Some(letter)) if letter != '-' => Some(letter),
            _ => None,
        }
    }

    /// What it does, and which other names it has.
    pub fn text(&self) -> String {
        let also = self.aliases.iter().map(|alias| format!("Also called {alias}.\n"));
        self.doc.to_owned() + &also.collect::<String>()
    }

    /// The word that stands for the value; empty for a switch.
    pub fn placeholder(&self) -> &'static str {
        self.spec.split_once("--").and_then(|(_, name)| name.split_once(' ')).map_or("", |it| it.1)
    }
}

impl Command {
    /// The first paragraph of its documentation, on one line, without the full stop.
    pub fn summary(&self) -> String {
        paragraphs(self.doc).into_iter().next().unwrap_or_default().trim_end_matches('.').to_owned()
    }

    /// `tiny-ce delete [OPTIONS] CONTAINER`.
    pub fn usage(&self) -> String {
        let mut usage = format!("tiny-ce {}", self.name);
        if self.options().next().is_some() {
            usage.push_str(" [OPTIONS]");
        }
        for arg in self.args {
            usage.push(' ');
            usage.push_str(arg.spec);
        }
        usage
    }

    /// All its options.
    pub fn options(&self) -> impl Iterator<Item = &'static Opt> + use<> {
        self.groups.iter().flat_map(|group| group.rows)
    }
}

/// The paragraphs of a doc comment, each on one line.
pub fn paragraphs(doc: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in doc.lines().map(str::trim) {
        match (line.is_empty(), all.last_mut()) {
            (true, _) => all.push(String::new()),
            (false, Some(last)) => {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.push_str(line);
            }
            (false, None) => {}
        }
    }
    all.retain(|paragraph| !paragraph.is_empty());
    all
}

/// A set of options that a command can include.
pub trait OptionSet: Sized {
    /// Its rows.
    const ROWS: &'static [Opt];
    /// Type the words that were given for them.
    fn take(input: &Input) -> Result<Self>;
    /// The rows of the options that are given.
    fn given(&self) -> impl Iterator<Item = &'static Opt>;

    /// Which fields of config.json these options set, or of `document`, which has what is below
    /// `top` in config.json.
    fn origins(&self, document: &str, top: &str) -> Origins {
        let mut origins = Origins::default();
        for opt in self.given().filter(|opt| !opt.field.is_empty()) {
            origins.add(opt.field, opt.name());
            let below = opt.field.strip_prefix(top).unwrap_or(opt.field);
            origins.add(format!("{document}: {below}"), opt.name());
        }
        origins
    }
}

/// The row of an option whose value goes into a `T`.
pub const fn opt<T: Slot>(
    spec: &'static str,
    doc: &'static str,
    aliases: &'static [&'static str],
    field: &'static str,
) -> Opt {
    Opt { spec, doc, value: T::VALUE, repeatable: T::REPEATABLE, aliases, field }
}

/// The row of a positional argument whose words go into a `T`.
pub const fn arg<T: Place>(spec: &'static str, doc: &'static str) -> Arg {
    Arg { spec, doc, kind: T::KIND, completes: T::COMPLETES }
}

/// How many rows these sets have.
pub const fn count(sets: &[&[Opt]]) -> usize {
    let (mut set, mut count) = (0, 0);
    while set < sets.len() {
        count += sets[set].len();
        set += 1;
    }
    count
}

/// The rows of these sets, which are `COUNT`.
pub const fn joined<const COUNT: usize>(sets: &[&[Opt]]) -> [Opt; COUNT] {
    let mut rows = [const { opt::<bool>("", "", &[], "") }; COUNT];
    let (mut set, mut row, mut at) = (0, 0, 0);
    while at < COUNT {
        if row == sets[set].len() {
            (set, row) = (set + 1, 0);
            continue;
        }
        rows[at] = sets[set][row];
        (row, at) = (row + 1, at + 1);
    }
    rows
}

/// Rows of options → a struct with a typed field for each; behind `=>`, the field of config.json.
/// Behind two full stops, another set of options that belongs to this one.
macro_rules! options {
    ($(#[doc = $about:literal])* pub struct $name:ident {
        $(
            $(#[doc = $doc:literal])*
            $spec:literal $(| $alias:literal)* $field:ident: $type:ty $(=> $sets:literal)?,
        )*
        $(..$more:ident: $set:ty)?
    }) => {
        $(#[doc = $about])*
        #[derive(Debug)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
            $(#[doc = concat!("Those of `", stringify!($set), "`.")] pub $more: $set,)?
        }

        impl $crate::cli::table::OptionSet for $name {
            const ROWS: &'static [$crate::cli::table::Opt] = {
                const SETS: &[&[$crate::cli::table::Opt]] = &[
                    &[$($crate::cli::table::opt::<$type>(
                        $spec,
                        concat!($($doc, "\n"),*),
                        &[$($alias),*],
                        concat!($($sets)?),
                    )),*],
                    $(<$set as $crate::cli::table::OptionSet>::ROWS)?
                ];
                &$crate::cli::table::joined::<{ $crate::cli::table::count(SETS) }>(SETS)
            };

            fn take(input: &$crate::cli::parse::Input) -> $crate::Result<Self> {
                Ok($name {
                    $($field: input.option($spec)?,)*
                    $($more: $crate::cli::table::OptionSet::take(input)?,)?
                })
            }

            fn given(&self) -> impl Iterator<Item = &'static $crate::cli::table::Opt> {
                let given = [$($crate::cli::value::Slot::is_given(&self.$field)),*];
                let own = Self::ROWS.iter().zip(given).filter(|(_, given)| *given);
                own.map(|(row, _)| row)$(.chain(self.$more.given()))?
            }
        }
    };
}

/// The rows of one command → a struct with its typed arguments, and its `COMMAND`.
macro_rules! command {
    ($(#[doc = $about:literal])* pub struct $name:ident = $words:literal $(| $alias:literal)* {
        $(args { $($(#[doc = $adoc:literal])* $aspec:literal $arg:ident: $atype:ty,)* })?
        $(options { $($(#[doc = $odoc:literal])* $ospec:literal $opt:ident: $otype:ty,)* })?
        $(include { $($title:literal $group:ident: $gtype:ty,)* })?
        $(examples { $($line:literal: $what:literal,)* })?
        run = $run:expr;
    }) => {
        $(#[doc = $about])*
        #[derive(Debug)]
        pub struct $name {
            $($($(#[doc = $adoc])* pub $arg: $atype,)*)?
            $($($(#[doc = $odoc])* pub $opt: $otype,)*)?
            $($(#[doc = $title] pub $group: $gtype,)*)?
        }

        impl $name {
            /// Its row in the table of commands.
            pub const COMMAND: $crate::cli::table::Command = $crate::cli::table::Command {
                name: $words,
                aliases: &[$($alias),*],
                doc: concat!($($about, "\n"),*),
                args: &[$($(
                    $crate::cli::table::arg::<$atype>($aspec, concat!($($adoc, "\n"),*))
                ),*)?],
                groups: &[
                    $($crate::cli::table::Group { title: "Options", rows: &[$(
                        $crate::cli::table::opt::<$otype>(
                            $ospec,
                            concat!($($odoc, "\n"),*),
                            &[],
                            "",
                        )
                    ),*] },)?
                    $($($crate::cli::table::Group {
                        title: $title,
                        rows: <$gtype as $crate::cli::table::OptionSet>::ROWS,
                    },)*)?
                ],
                examples: &[$($(($line, $what)),*)?],
                run: |input, globals| {
                    let run: fn($name, &$crate::cli::Globals) -> $crate::Result<u8> = $run;
                    run(Self::take(input).map_err(|e| e.within($words))?, globals)
                },
            };

            fn take(_input: &$crate::cli::parse::Input) -> $crate::Result<Self> {
                Ok($name {
                    $($($arg: _input.place($aspec)?,)*)?
                    $($($opt: _input.option($ospec)?,)*)?
                    $($($group: $crate::cli::table::OptionSet::take(_input)?,)*)?
                })
            }
        }
    };
}

pub(crate) use {command, options};
