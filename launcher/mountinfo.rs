//! A line of proc_pid_mountinfo(5). Must not know what the mount is for.

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The id of the mount.
    pub id: &'a str,
    /// The id of the mount that it is attached to.
    pub parent: &'a str,
    /// The directory of the file system that it shows, escaped.
    pub root: &'a str,
    /// Where it is attached, escaped.
    pub place: &'a str,
    /// Its attributes: `rw,nosuid`.
    pub attributes: &'a str,
    /// The type of the file system.
    pub kind: &'a str,
    /// The options of the file system: `rw,cpu`.
    pub options: &'a str,
}

impl<'a> Line<'a> {
    /// `36 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu`; nothing if
    /// the line is cut short.
    pub fn read(line: &'a str) -> Option<Line<'a>> {
        let (before, after) = line.split_once(" - ")?;
        let (mut before, mut after) = (before.split(' '), after.split(' '));
        let (id, parent) = (before.next()?, before.next()?);
        let (root, place) = (before.nth(1)?, before.next()?);
        let attributes = before.next()?;
        let (kind, options) = (after.next()?, after.nth(1).unwrap_or_default());
        Some(Line { id, parent, root, place, attributes, kind, options })
    }
}

/// Undo `\040` and its like in a path; nothing if the result is not UTF-8.
pub fn unescape(field: &str) -> Option<String> {
    if !field.contains('\\') {
        return Some(field.to_owned());
    }
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = tail;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_codes_are_characters() {
        assert_eq!(unescape("/a\\040b\\134").as_deref(), Some("/a b\\"));
        assert_eq!(unescape("/a\\04").as_deref(), Some("/a\\04"));
        assert_eq!(unescape("/\\377"), None);
    }
}
