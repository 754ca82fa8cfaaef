//! The mounts of the launcher's mount namespace, as a process sees them that looks up paths: a
//! mount may cover others. Must not know what is done with them.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use crate::mountinfo::{Line, unescape};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Where it is attached, absolute.
    pub place: String,
    /// The type of the file system.
    pub kind: String,
    /// Neither the mount nor the file system takes changes.
    pub readonly: bool,
    /// What the mount refuses besides: `nosuid`, `nodev`, `noexec`.
    pub refused: Vec<&'static str>,
}

/// Whether the mount with this id has no parent, which proc_pid_mountinfo(5) shows as its own
/// parent. The kernel makes the text of a mount when it is read, and the root is one of the first:
/// nothing behind the line of the mount is read.
pub fn without_parent(mountinfo: impl BufRead, id: u64) -> bool {
    let id = id.to_string();
    let mut lines = mountinfo.split(b'\n').map_while(Result::ok);
    let parent_is_itself = |line: Vec<u8>| {
        let mut fields = line.split(|byte| *byte == b' ');
        (fields.next()? == id.as_bytes()).then(|| fields.next() == Some(id.as_bytes()))
    };
    lines.find_map(parent_is_itself).unwrap_or(false)
}

/// The mounts that can be reached from the root, in the order of their places: a mount comes after
/// the one that it is attached to. The last line of a mountinfo for a place is the topmost mount.
pub fn visible(mountinfo: &str) -> Vec<Mounted> {
    let lines: Vec<(Line<'_>, String)> = mountinfo
        .lines()
        .filter_map(|line| Line::read(line).and_then(|it| Some((unescape(it.place)?, it))))
        .map(|(place, line)| (line, place))
        .collect();
    let known: BTreeMap<&str, ()> = lines.iter().map(|(line, _)| (line.id, ())).collect();
    let mut children: BTreeMap<&str, Vec<&(Line<'_>, String)>> = BTreeMap::new();
    for entry @ (line, _) in &lines {
        // The mount above a root that was changed by chroot(2) is not in the table.
        let inside = line.parent != line.id && known.contains_key(line.parent);
        children.entry(if inside { line.parent } else { "" }).or_default().push(entry);
    }
    let (mut found, mut left) = (Vec::new(), vec![("", "/")]);
    while let Some((mut id, place)) = left.pop() {
        // What is mounted on the root of a mount covers all of the mount.
        let mut top = None;
        while let Some(entry) =
            children.get(id).and_then(|all| all.iter().rfind(|(_, its)| its == place))
        {
            (id, top) = (entry.0.id, Some(entry));
        }
        found.extend(top.map(|(line, place)| mounted(line, place)));
        let mut below: Vec<(&str, &str)> = children.get(id).map_or_else(Vec::new, |all| {
            all.iter().map(|(line, place)| (line.id, place.as_str())).collect()
        });
        below.sort_by_key(|(_, place)| Path::new(*place));
        let mut last: Option<&str> = None;
        for (_, place) in below {
            // Of two mounts on one mount, that on the upper directory covers the other.
            if last.is_none_or(|last| !Path::new(place).starts_with(last)) {
                last = Some(place);
                left.push((id, place));
            }
        }
    }
    found.sort_by(|a, b| a.place.cmp(&b.place));
    found
}

fn mounted(line: &Line<'_>, place: &str) -> Mounted {
    let has = |options: &str, word: &str| options.split(',').any(|option| option == word);
    let refused = ["nosuid", "nodev", "noexec"];
    Mounted {
        place: place.to_owned(),
        kind: line.kind.to_owned(),
        readonly: has(line.attributes, "ro") || has(line.options, "ro"),
        refused: refused.into_iter().filter(|word| has(line.attributes, word)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(mountinfo: &str) -> Vec<String> {
        visible(mountinfo).into_iter().map(|it| format!("{} {}", it.kind, it.place)).collect()
    }

    #[test]
    fn nothing_behind_the_line_of_a_mount_is_read() {
        const LINES: &str = "\
            1 1 0:1 / / rw - rootfs rootfs rw\n\
            22 1 0:2 / /a rw - tmpfs t rw\n";
        struct Rest;
        impl std::io::Read for Rest {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                panic!("read on")
            }
        }
        let behind = || std::io::BufReader::new(std::io::Read::chain(LINES.as_bytes(), Rest));
        assert!(without_parent(behind(), 1));
        assert!(!without_parent(behind(), 22));
        // In a chroot, the mount of the root may not be in the table.
        assert!(!without_parent(LINES.as_bytes(), 2));
        let other = b"5 1 0:5 / /\xff rw - tmpfs t rw\n1 1 0:1 / / rw - rootfs rootfs rw\n";
        assert!(without_parent(&other[..], 1));
    }

    #[test]
    fn covered_mounts_are_not_seen() {
        let text = "\
            1 1 0:1 / / rw - rootfs rootfs rw\n\
            2 1 8:1 / / rw - ext4 /dev/a rw\n\
            3 2 8:2 / /home ro,nosuid shared:1 - xfs /dev/b rw\n\
            4 3 8:3 / /home/a\\040b rw - ext4 /dev/c rw\n\
            5 2 0:5 / /srv/deep rw - tmpfs t rw\n\
            6 2 0:6 / /srv rw - tmpfs u ro\n\
            7 6 0:7 / /srv rw - tmpfs v rw\n\
            8 7 0:8 / /srv/x rw - squashfs w ro\n\
            9 1 0:9 / /under rw - tmpfs y rw\n";
        assert_eq!(
            places(text),
            ["ext4 /", "xfs /home", "ext4 /home/a b", "tmpfs /srv", "squashfs /srv/x"]
        );
        let home = &visible(text)[1];
        assert!(home.readonly && home.refused == ["nosuid"], "{home:?}");
        assert!(!visible(text)[3].readonly && visible(text)[4].readonly);
    }

    #[test]
    fn a_root_that_is_no_mount_has_mounts_below() {
        assert_eq!(places("8 7 0:8 / /proc rw - proc p rw\n"), ["proc /proc"]);
        assert_eq!(places("nonsense\n"), Vec::<String>::new());
    }
}
