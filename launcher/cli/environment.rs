//! Environment variables of a command line: `NAME=VALUE`, a name alone, or a file of them.
//!
//! A name alone takes its value from the caller's environment. Must not know what the variables are
//! for.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::value::{Value, expected};
use crate::{Error, Result};

/// `NAME=VALUE`; or `NAME`, whose value is the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable(
    /// `NAME=VALUE`; none, if the caller has no variable of this name.
    pub Option<String>,
);

impl Value for Variable {
    fn parse(word: &OsStr) -> Result<Self> {
        const WANTED: &str = "NAME=VALUE, or the NAME of a variable of the caller's";
        let text = word.to_str().ok_or_else(|| expected(word, "UTF-8"))?;
        match text.find('=') {
            Some(1..) => Ok(Variable(Some(text.to_owned()))),
            None if !text.is_empty() => match env::var_os(text).map(|value| value.into_string()) {
                None => Ok(Variable(None)),
                Some(Ok(value)) => Ok(Variable(Some(format!("{text}={value}")))),
                Some(Err(value)) => Err(expected(&value, &format!("UTF-8 in the caller's {text}"))),
            },
            _ => Err(expected(word, WANTED)),
        }
    }
}

/// All variables: those of the files come first, so that a word of the command line overrides them.
///
/// # Errors
/// A file cannot be read, is not UTF-8, or has a line that is no variable.
pub fn variables(files: &[PathBuf], words: &[Variable]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for file in files {
        all.extend(read(file)?);
    }
    all.extend(words.iter().filter_map(|Variable(variable)| variable.clone()));
    Ok(all)
}

/// The variables of a file, as Docker and Podman read it: one a line, nothing is quoted, and a line
/// that begins with # is a comment.
fn read(file: &Path) -> Result<Vec<String>> {
    let of = format!("--env-file {file:?}");
    let text = std::fs::read(file).map_err(|e| Error::io(&of, "open", &e))?;
    let text = String::from_utf8(text).map_err(|_| Error::new(format!("{of}: not UTF-8")))?;
    if text.contains('\0') {
        return Err(Error::new(format!("{of}: contains NUL")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Variable(variable) = Variable::parse(OsStr::new(line))
            .map_err(|e| e.within(format_args!("{of}: line {}", index + 1)))?;
        all.extend(variable);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_the_callers() {
        let parse = |word: &str| Variable::parse(OsStr::new(word)).map(|Variable(it)| it);
        let path = env::var("PATH").expect("a PATH");
        assert_eq!(parse("PATH"), Ok(Some(format!("PATH={path}"))));
        assert_eq!(parse("TINY_CE_NOBODY_HAS_THIS"), Ok(None));
        assert_eq!(parse("A=b=c\nd"), Ok(Some("A=b=c\nd".to_owned())));
        assert_eq!(parse("A="), Ok(Some("A=".to_owned())));
        for wrong in ["", "=", "=b"] {
            parse(wrong).unwrap_err();
        }
    }
}
