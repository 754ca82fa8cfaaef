//! Words of a command line → values: numbers in a range, sizes, durations, paths, ids.
//!
//! The error of each type says what the type accepts. Knows no option and no command; makes no
//! system call.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::container::NetworkChoice;
use crate::spec::{id, text};
use crate::{Error, Result};

/// The candidates that a shell offers to complete a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completes {
    /// Nothing.
    Nothing,
    /// Files and directories.
    Files,
    /// Directories.
    Directories,
    /// Ids of containers.
    Containers,
    /// Names of commands.
    Commands,
    /// One of these words.
    Words(&'static [&'static str]),
}

/// A value that one word can hold.
pub trait Value: Sized {
    /// What a shell offers for it.
    const COMPLETES: Completes = Completes::Nothing;
    /// Whether an option with an empty value counts as not given: `--pid-file ""`, as with Go's
    /// flags.
    const EMPTY_IS_ABSENT: bool = false;
    /// Read the word; the error quotes it and says what would be right.
    fn parse(word: &OsStr) -> Result<Self>;
}

/// The value that the occurrences of one option make.
pub trait Slot: Sized {
    /// What a shell offers as a value; `None` if no value is taken.
    const VALUE: Option<Completes>;
    /// Whether every occurrence counts.
    const REPEATABLE: bool;
    /// The occurrences, in order; a switch without a value is `None`.
    fn fold(given: &[Option<&OsStr>]) -> Result<Self>;
    /// Whether the option says anything.
    fn is_given(&self) -> bool;
}

impl Slot for bool {
    const VALUE: Option<Completes> = None;
    const REPEATABLE: bool = false;

    fn is_given(&self) -> bool {
        *self
    }

    fn fold(given: &[Option<&OsStr>]) -> Result<Self> {
        match given.last() {
            None => Ok(false),
            Some(None) => Ok(true),
            // Go's flags accept this, and engines write `--rootless=true`.
            Some(Some(word)) => match word.to_str() {
                Some("true" | "1") => Ok(true),
                Some("false" | "0") => Ok(false),
                _ => Err(expected(word, "true or false, or no value")),
            },
        }
    }
}

/// A switch that can also be turned off: `--tty=false`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Switch(
    /// None: not given.
    pub Option<bool>,
);

impl Slot for Switch {
    const VALUE: Option<Completes> = None;
    const REPEATABLE: bool = false;

    fn is_given(&self) -> bool {
        self.0.is_some()
    }

    fn fold(given: &[Option<&OsStr>]) -> Result<Self> {
        let on = bool::fold(given)?;
        Ok(Switch((!given.is_empty()).then_some(on)))
    }
}

impl<T: Value> Slot for Option<T> {
    const VALUE: Option<Completes> = Some(T::COMPLETES);
    const REPEATABLE: bool = false;

    fn is_given(&self) -> bool {
        self.is_some()
    }

    fn fold(given: &[Option<&OsStr>]) -> Result<Self> {
        let word = given.last().copied().flatten();
        word.filter(|word| !(T::EMPTY_IS_ABSENT && word.is_empty())).map(T::parse).transpose()
    }
}

impl<T: Value> Slot for Vec<T> {
    const VALUE: Option<Completes> = Some(T::COMPLETES);
    const REPEATABLE: bool = true;

    fn is_given(&self) -> bool {
        !self.is_empty()
    }

    fn fold(given: &[Option<&OsStr>]) -> Result<Self> {
        given.iter().copied().flatten().map(T::parse).collect()
    }
}

/// How many words a positional argument takes, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceKind {
    /// Exactly one.
    Required,
    /// One, or none.
    Optional,
    /// One or more.
    Several,
    /// From the first word that is not an option to the end of the line; the words after it are not
    /// options.
    Command,
    /// Everything behind the arguments before it, options too.
    Verbatim,
    /// The words after `--`.
    Dashes,
}

/// The value that the words of one positional argument make.
pub trait Place: Sized {
    /// How many words.
    const KIND: PlaceKind;
    /// What a shell offers.
    const COMPLETES: Completes;
    /// The words; as many as `KIND` says.
    fn fold(words: &[OsString]) -> Result<Self>;
}

impl<T: Value> Place for T {
    const KIND: PlaceKind = PlaceKind::Required;
    const COMPLETES: Completes = T::COMPLETES;

    fn fold(words: &[OsString]) -> Result<Self> {
        T::parse(words.first().map_or(OsStr::new(""), |word| word))
    }
}

impl<T: Value> Place for Option<T> {
    const KIND: PlaceKind = PlaceKind::Optional;
    const COMPLETES: Completes = T::COMPLETES;

    fn fold(words: &[OsString]) -> Result<Self> {
        words.first().map(|word| T::parse(word)).transpose()
    }
}

impl<T: Value> Place for Vec<T> {
    const KIND: PlaceKind = PlaceKind::Several;
    const COMPLETES: Completes = T::COMPLETES;

    fn fold(words: &[OsString]) -> Result<Self> {
        words.iter().map(|word| T::parse(word)).collect()
    }
}

/// Arguments to the end of the line: three kinds that differ in where they begin.
macro_rules! tails {
    ($($(#[doc = $doc:literal])* $name:ident = $kind:ident,)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(
            /// The words, in order.
            pub Vec<OsString>,
        );

        impl Place for $name {
            const KIND: PlaceKind = PlaceKind::$kind;
            const COMPLETES: Completes = Completes::Nothing;

            fn fold(words: &[OsString]) -> Result<Self> {
                Ok($name(words.to_vec()))
            }
        }
    )*};
}

tails! {
    /// A program and its arguments, which may look like options.
    CommandLine = Command,
    /// Options of another program.
    Verbatim = Verbatim,
    /// A program and its arguments, set apart by `--`.
    AfterDashes = Dashes,
}

/// Words as an enum: `choice! { /// … pub enum Format { Json = "json" } }`.
macro_rules! choice {
    ($(#[doc = $about:literal])* pub enum $name:ident {
        $($(#[doc = $doc:literal])* $word:literal $variant:ident,)*
    }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $doc])* $variant,)* }

        impl $crate::cli::value::Value for $name {
            const COMPLETES: $crate::cli::value::Completes =
                $crate::cli::value::Completes::Words(&[$($word),*]);

            fn parse(word: &std::ffi::OsStr) -> $crate::Result<Self> {
                match word.to_str() {
                    $(Some($word) => Ok($name::$variant),)*
                    _ => Err($crate::cli::value::expected(
                        word,
                        &$crate::cli::value::one_of(&[$($word),*]),
                    )),
                }
            }
        }
    };
}

pub(crate) use choice;

choice! {
    /// How a list is printed.
    pub enum ListFormat {
        /// Columns with headings.
        "table" Table,
        /// One JSON document.
        "json" Json,
    }
}

choice! {
    /// The order of an analysis.
    pub enum Order {
        /// As the steps are made.
        "plan" Plan,
        /// What took longest comes first.
        "time" Time,
    }
}

choice! {
    /// How something is printed that can be drawn.
    pub enum FigureFormat {
        /// Tables.
        "text" Text,
        /// One JSON document.
        "json" Json,
        /// A picture of it.
        "svg" Svg,
    }
}

/// `a, b or c`.
pub fn one_of(words: &[&str]) -> String {
    match words {
        [many @ .., last] if !many.is_empty() => format!("{} or {last}", many.join(", ")),
        _ => words.concat(),
    }
}

/// The error for a word of the wrong form.
pub fn expected(word: &OsStr, wanted: &str) -> Error {
    Error::new(format!("{:?}: expected {wanted}", word.to_string_lossy()))
}

impl Value for PathBuf {
    const COMPLETES: Completes = Completes::Files;
    const EMPTY_IS_ABSENT: bool = true;

    fn parse(word: &OsStr) -> Result<Self> {
        match word.is_empty() {
            true => Err(expected(word, "a path")),
            false => Ok(PathBuf::from(word)),
        }
    }
}

/// The path of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(
    /// As given.
    pub PathBuf,
);

impl Value for Directory {
    const COMPLETES: Completes = Completes::Directories;

    fn parse(word: &OsStr) -> Result<Self> {
        PathBuf::parse(word).map(Directory)
    }
}

impl Value for String {
    fn parse(word: &OsStr) -> Result<Self> {
        word.to_str().map(str::to_owned).ok_or_else(|| expected(word, "UTF-8"))
    }
}

impl Value for NetworkChoice {
    // Names of networks are behind the state root, which a completion does not know.
    const COMPLETES: Completes = Completes::Words(&["none", "host", "pasta", "slirp4netns"]);

    fn parse(word: &OsStr) -> Result<Self> {
        NetworkChoice::parse(&String::parse(word)?)
    }
}

/// The id of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(
    /// As given; keeps the rule of [`id::check`].
    pub String,
);

impl Value for Id {
    const COMPLETES: Completes = Completes::Containers;

    fn parse(word: &OsStr) -> Result<Self> {
        let text = word.to_string_lossy();
        id::check(&text).map(|()| Id(text.into_owned()))
    }
}

/// A size in bytes, or -1 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(
    /// As `text::bytes` reads it; or -1.
    pub i64,
);

impl Value for Bytes {
    fn parse(word: &OsStr) -> Result<Self> {
        match word.to_string_lossy().as_ref() {
            "-1" => Ok(Bytes(-1)),
            word => text::bytes(word).map(Bytes),
        }
    }
}

/// An integer from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<const MIN: i64, const MAX: i64>(
    /// Within the range.
    pub i64,
);

impl<const MIN: i64, const MAX: i64> Value for Number<MIN, MAX> {
    fn parse(word: &OsStr) -> Result<Self> {
        number(word, MIN, MAX).map(Number)
    }
}

/// A number within a range.
///
/// # Errors
/// The word is no number of this range.
pub fn number(word: &OsStr, low: i64, high: i64) -> Result<i64> {
    match word.to_str().and_then(|text| text.parse().ok()) {
        Some(number) if (low..=high).contains(&number) => Ok(number),
        _ if high == i64::MAX => Err(expected(word, &format!("an integer, {low} or more"))),
        _ => Err(expected(word, &format!("an integer from {low} to {high}"))),
    }
}

/// How many of the caller's descriptors are passed on; a negative number is none, as under runc and
/// crun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorCount(
    /// At most 1,048,576.
    pub u32,
);

impl Value for DescriptorCount {
    fn parse(word: &OsStr) -> Result<Self> {
        match word.to_str().and_then(|text| text.parse::<i64>().ok()) {
            Some(count) if count <= 1 << 20 => Ok(DescriptorCount(count.max(0) as u32)),
            _ => Err(expected(word, "an integer, 1048576 or less")),
        }
    }
}

/// A time; `ms`, `s`, `m`, `h`, one after the other; without a unit: seconds.
impl Value for Duration {
    fn parse(word: &OsStr) -> Result<Self> {
        let micros = word.to_str().filter(|text| !text.is_empty()).and_then(micros);
        let wrong = || expected(word, "a duration such as 5s, 100ms or 1m30s");
        micros.map(Duration::from_micros).ok_or_else(wrong)
    }
}

fn micros(mut text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    while !text.is_empty() {
        let number = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (digits, tail) = text.split_at(number.unwrap_or(text.len()));
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let scale = match &tail[..unit] {
            "us" => 1,
            "ms" => 1_000,
            "" | "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        };
        total = total.checked_add(decimal(digits, scale)?)?;
        text = &tail[unit..];
    }
    Some(total)
}

/// `1.5` times `scale`, exactly; `None` if that is no number or too large.
fn decimal(text: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut part = 0;
    let mut unit = scale;
    for digit in fraction.bytes() {
        unit /= 10;
        part += u64::from(digit - b'0') * unit;
    }
    whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: Value>(word: &str) -> Result<T> {
        T::parse(OsStr::new(word))
    }

    #[test]
    fn counts_of_descriptors() {
        for (word, count) in [("0", 0), ("3", 3), ("-1", 0), ("1048576", 1 << 20)] {
            assert_eq!(parse(word), Ok(DescriptorCount(count)), "{word}");
        }
        assert!(parse::<DescriptorCount>("1048577").is_err());
        assert!(parse::<DescriptorCount>("x").is_err());
    }

    #[test]
    fn durations() {
        for (word, ms) in
            [("5s", 5000), ("100ms", 100), ("1m30s", 90_000), ("2", 2000), ("0.5h", 1_800_000)]
        {
            assert_eq!(parse(word), Ok(Duration::from_millis(ms)), "{word}");
        }
        for word in ["", "s", "5x", "-1s", "1..5s", "99999999999999h", "1m 30s"] {
            assert!(parse::<Duration>(word).is_err(), "{word}");
        }
    }

    #[test]
    fn numbers_keep_their_range() {
        type Byte = Number<0, 255>;
        assert_eq!(parse::<Byte>("255"), Ok(Number(255)));
        for word in ["", "-1", "256", "1.0", "0x10", "+ 1", "9223372036854775808"] {
            assert_eq!(
                parse::<Byte>(word),
                Err(Error::new(format!("{word:?}: expected an integer from 0 to 255"))),
                "{word}"
            );
        }
    }

    #[test]
    fn words_of_a_choice_are_joined() {
        assert_eq!(one_of(&["a"]), "a");
        assert_eq!(one_of(&["a", "b", "c"]), "a, b or c");
    }
}
