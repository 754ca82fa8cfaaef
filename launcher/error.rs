//! The one error: a line that is complete by itself, and details indented below it.
//!
//! Knows how an error reads. Must not know what any command does: the caller that saw the failure
//! gives the place and the call. No text names a Rust type, a source file of ours or a descriptor's
//! number.

use std::fmt;

use crate::errno::ErrnoName;

/// A failure, told once, in the words of the user's own file and of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    text: String,
    details: Vec<String>,
    hint: Option<String>,
    errno: Option<i32>,
}

/// The result of every function that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with nothing but its words: lower case, no full stop.
    pub fn new(text: impl Into<String>) -> Self {
        Error { text: text.into(), details: Vec::new(), hint: None, errno: None }
    }

    /// A system call failed: `place: call(2): EPERM (Operation not permitted)`.
    ///
    /// `place` is a field of config.json (`mounts[0] "/proc"`) or a path; `errno` the kernel's.
    pub fn call(place: impl fmt::Display, call: &'static str, errno: i32) -> Self {
        let mut e = Self::new(format!("{place}: {call}(2): {}", ErrnoName(errno)));
        e.errno = Some(errno);
        e.hint = super::hints::find(call, errno, &e.text).map(str::to_owned);
        e
    }

    /// As [`Error::call`], for an error of the standard library.
    pub fn io(place: impl fmt::Display, call: &'static str, error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::call(place, call, errno),
            None => Self::new(format!("{place}: {call}: {error}")),
        }
    }

    /// Append what the kernel itself says.
    pub fn kernel(mut self, words: &str) -> Self {
        // The first letter tells the kind of message: e(rror), w(arning), i(nformation).
        let words = words.trim();
        let words = words.strip_prefix("e ").unwrap_or(words);
        self.text = format!("{}: {words}", self.text);
        self
    }

    /// An error with the last line of a program's output in its line, and the last few below it.
    pub(crate) fn with_output(mut text: String, output: &[u8]) -> Self {
        const LINES: usize = 20;
        let output = String::from_utf8_lossy(output);
        let lines: Vec<String> = output.lines().map(printable).filter(|l| !l.is_empty()).collect();
        if let Some(last) = lines.last() {
            text = format!("{text}: {last}");
        }
        let shown = if lines.len() > 1 { lines.len().saturating_sub(LINES) } else { lines.len() };
        let shown = lines.iter().skip(shown);
        shown.fold(Error::new(text), |error, line| error.detail(format!("| {line}")))
    }

    /// Put what was being done in front: `cannot create "web": …`.
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.text = format!("{context}: {}", self.text);
        self
    }

    /// Change the words of the line and of the details.
    pub(crate) fn map(mut self, change: impl Fn(&str) -> String) -> Self {
        self.text = change(&self.text);
        self.details.iter_mut().for_each(|detail| *detail = change(detail));
        self
    }

    /// Add an indented line below.
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// Say what to do about it; replaces a hint from the table.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to do about it, if that is known.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The kernel's number, if a system call was the cause.
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// The one line, without details and hint: what goes into a log object's `msg`.
    pub fn line(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        for detail in &self.details {
            write!(f, "\n  {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The line with control characters escaped, so that it cannot control a terminal or a log.
fn printable(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    for c in line.trim_end().chars() {
        match c {
            '\t' => text.push(' '),
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    text
}

/// Merge the results of several attempts: the first error, with the others as its details.
///
/// # Errors
/// At least one result is an error.
pub fn all(results: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let mut errors = results.into_iter().filter_map(Result::err);
    match errors.next() {
        None => Ok(()),
        Some(first) => Err(errors.fold(first, |first, other| first.detail(other.text))),
    }
}
