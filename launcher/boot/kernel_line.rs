//! The kernel's command line: what it says to the first process. Pure.
//!
//! The kernel passes parameters with a dot in their names to modules, and none of ours is one, so
//! they do no harm. It hands the words after `--` to the first process as arguments, but words that
//! it does not know as well; /proc/cmdline tells them apart.

use crate::{Error, Result};

/// The words of the kernel's command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KernelLine {
    parameters: Vec<(String, Option<String>)>,
    /// The words after `--`.
    pub command: Vec<String>,
}

/// The parameters of ours, without the `tiny-ce.` in front.
const KNOWN: [&str; 5] = ["bundle", "hostname", "link", "machine", "status"];

const PREFIX: &str = "tiny-ce.";

impl KernelLine {
    /// Read the text of /proc/cmdline, as next_arg() in lib/cmdline.c does: white space separates
    /// words, unless it is between double quotes.
    ///
    /// # Errors
    /// A parameter that begins with `tiny-ce.` is unknown, or has no value.
    pub fn read(text: &str) -> Result<KernelLine> {
        let mut words = words(text).into_iter();
        let parameters: Vec<_> =
            words.by_ref().take_while(|(name, value)| name != "--" || value.is_some()).collect();
        let joined = |(name, value): (String, Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name,
        };
        let command = words.map(joined).collect();
        for (name, value) in &parameters {
            let Some(own) = name.strip_prefix(PREFIX) else { continue };
            if !KNOWN.contains(&own) {
                let known = KNOWN.map(|it| format!("{PREFIX}{it}")).join(", ");
                return Err(Error::new(format!("{name}: unknown; known: {known}"))
                    .within("kernel's command line"));
            }
            if value.as_ref().is_none_or(String::is_empty) {
                return Err(
                    Error::new(format!("{name}: has no value")).within("kernel's command line")
                );
            }
        }
        Ok(KernelLine { parameters, command })
    }

    /// The last value of a parameter, which is the one that counts.
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = self.parameters.iter().rev().find(|(it, value)| it == name && value.is_some());
        named.and_then(|(_, value)| value.as_deref())
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.parameters.iter().filter(move |(it, _)| it == name);
        named.filter_map(|(_, value)| value.as_deref())
    }

    /// Whether a word is there without a value.
    pub fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|(it, value)| it == name && value.is_none())
    }
}

/// The words, each with the value behind its first `=`.
fn words(text: &str) -> Vec<(String, Option<String>)> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut quoted = false;
        let end = rest.find(|c: char| {
            quoted ^= c == '"';
            c.is_ascii_whitespace() && !quoted
        });
        let (word, tail) = rest.split_at(end.unwrap_or(rest.len()));
        // Quotes around the whole word, or around the value.
        let bare = match word.strip_prefix('"') {
            Some(inner) => inner.strip_suffix('"').unwrap_or(inner),
            None => word,
        };
        words.push(match bare.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                let value = match value.strip_prefix('"') {
                    Some(inner) => inner.strip_suffix('"').unwrap_or(inner),
                    None => value,
                };
                (name.to_owned(), Some(value.to_owned()))
            }
            _ => (bare.to_owned(), None),
        });
        rest = tail.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_the_kernel_cuts_them() {
        let line = "console=ttyS0 quiet  tiny-ce.hostname=\"a b\" \"x y=1 2\" tiny-ce.bundle=/a \
                    tiny-ce.bundle=/b -- sh -c \"echo a=b; exit 3\" A=\"1 2\" --\n";
        let read = KernelLine::read(line).expect("well-formed");
        assert_eq!(read.command, ["sh", "-c", "echo a=b; exit 3", "A=1 2", "--"]);
        assert_eq!(read.get("tiny-ce.hostname"), Some("a b"));
        assert_eq!(read.get("x y"), Some("1 2"));
        assert_eq!(read.all("tiny-ce.bundle").collect::<Vec<_>>(), ["/a", "/b"]);
        assert!(read.has("quiet") && !read.has("console") && read.get("quiet").is_none());
    }

    #[test]
    fn a_parameter_of_ours_is_known_and_has_a_value() {
        for (line, wanted) in [
            ("tiny-ce.bundel=/x", "tiny-ce.bundel: unknown; known: tiny-ce.bundle"),
            ("tiny-ce.link", "tiny-ce.link: has no value"),
            ("tiny-ce.link=", "tiny-ce.link: has no value"),
        ] {
            let text = KernelLine::read(line).expect_err(line).to_string();
            assert!(text.contains(wanted), "{text}");
        }
        // What stands behind -- is a program's.
        assert!(KernelLine::read("-- tiny-ce.bundel=/x").is_ok());
    }

    #[test]
    fn no_line_causes_a_panic() {
        tiny_ce_test::fuzz("kernel_line", &["test/fuzz/kernel_line"], |bytes| {
            let _ = KernelLine::read(&String::from_utf8_lossy(bytes));
        });
    }
}
