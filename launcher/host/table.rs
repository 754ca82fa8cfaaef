//! The mounts of the launcher's mount namespace, as a process sees them that looks up paths: a
//! mount may cover others. Must not know what is done with them.

use std::collections::BTreeMap;
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
