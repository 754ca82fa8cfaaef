//! Rules for every path of config.json, and the lexical form for comparing two paths.
//!
//! A cleaned path is only compared, never opened: init opens the path as given, with openat2(2).

use std::fmt::Display;

use super::Findings;
use crate::spec::json::quote;
use crate::spec::paths::lexical;

/// Longest path that a system call takes, in bytes, without the NUL (PATH_MAX).
const MAX_BYTES: usize = 4095;

/// Check that a path is not longer than a system call takes, and return whether it is not.
pub fn length(f: &mut Findings, field: impl Display + Copy, path: &str) -> bool {
    if path.len() > MAX_BYTES {
        f.wrong(field, format!("a path of {} bytes; at most {MAX_BYTES}", path.len()));
    }
    path.len() <= MAX_BYTES
}

/// Check that a path is absolute and not too long, and return whether it is.
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

/// Check that a path has no component `..`, and return whether it has none. If the component before
/// `..` is a symbolic link, the kernel resolves such a path differently than a reader expects.
pub fn no_parent(f: &mut Findings, field: impl Display + Copy, path: &str) -> bool {
    let found = path.split('/').any(|component| component == "..");
    if found {
        f.wrong(field, format!("{} has a component \"..\"", quote(path)));
    }
    !found
}

/// Return the absolute path without empty components, `.` and `..`.
pub fn clean(path: &str) -> String {
    format!("/{}", lexical(path).join("/"))
}

/// Return the part of a cleaned path below `base`; empty if the path is `base` itself.
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
