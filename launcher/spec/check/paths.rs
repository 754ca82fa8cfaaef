//! Rules that every path of config.json keeps, and the lexical form used to compare two.
//!
//! A cleaned path is compared, never opened: opening is `openat2`'s work, component by component.

use std::fmt::Display;

use super::Findings;
use crate::spec::json::quote;
use crate::spec::paths::lexical;

/// Longest path that a system call takes, in bytes, without the NUL (PATH_MAX).
const MAX_BYTES: usize = 4095;

/// Not longer than a system call takes.
pub fn length(f: &mut Findings, field: impl Display + Copy, path: &str) -> bool {
    if path.len() > MAX_BYTES {
        f.wrong(field, format!("a path of {} bytes; at most {MAX_BYTES}", path.len()));
    }
    path.len() <= MAX_BYTES
}

/// Absolute, and not too long. Whether the path is so; if not, it has been said.
pub fn absolute(f: &mut Findings, field: impl Display + Copy, path: &str) -> bool {
    if path.is_empty() {
        f.wrong(field, "empty; an absolute path is needed");
        return false;
    }
    if !path.starts_with('/') {
        f.wrong(field, format!("{} is not an absolute path", quote(path)));
        return false;
    }
    length(f, field, path)
}

/// Without a component that leads up: such a path means one thing to its reader and another to
/// the kernel, once a component before it is a symbolic link.
pub fn no_parent(f: &mut Findings, field: impl Display + Copy, path: &str) -> bool {
    let found = path.split('/').any(|component| component == "..");
    if found {
        f.wrong(field, format!("{} has a component \"..\"", quote(path)));
    }
    !found
}

/// The path without empty components, `.` and `..`, absolute.
pub fn clean(path: &str) -> String {
    format!("/{}", lexical(path).join("/"))
}

/// What is left of a cleaned path below `base`; empty if it is `base` itself.
pub fn within<'a>(clean: &'a str, base: &str) -> Option<&'a str> {
    let rest = clean.strip_prefix(base)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_and_comparing() {
        assert_eq!(clean("//proc/./sys/"), "/proc/sys");
        assert_eq!(clean("/."), "/");
        assert_eq!(clean("../a/../proc"), "/proc");
        assert_eq!(within("/proc", "/proc"), Some(""));
        assert_eq!(within("/proc/sys", "/proc"), Some("sys"));
        assert_eq!(within("/process", "/proc"), None);
    }
}
