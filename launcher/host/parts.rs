//! The host's files as `mounts` of a container: each file system that holds files at its place,
//! under an overlay whose changes vanish. Only reads.
//!
//! Root overlays `/` and each mount below it. In a user namespace every mount of the host is
//! locked, and overlayfs refuses a lower directory with locked mounts below it
//! (clone_private_mount() in fs/namespace.c). There each directory with mounts below becomes a
//! tmpfs with the same entries, and each directory without any an overlay.
//!
//! Must not know how the container's own /dev, /proc and /sys are made.

use std::fs::{self, DirEntry, FileType};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::table::{Mounted, visible};
use crate::mountinfo::{Line, unescape};
use crate::spec::Mount;
use crate::spec::options::layer;

/// Where the container has mounts of its own.
const OWN: [&str; 3] = ["/dev", "/proc", "/sys"];

/// File systems that hold no files, but the kernel's objects, which are of the host.
const PSEUDO: [&str; 24] = [
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "functionfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// Below these directories container engines mount the files of their containers, by the hundred.
const RUNTIMES: [&str; 7] = [
    "/run/containerd/",
    "/run/containers/",
    "/run/docker/",
    "/var/lib/containerd/",
    "/var/lib/containers/",
    "/var/lib/docker/",
    "/var/lib/kubelet/",
];

/// The directories in which everybody makes files. In a user namespace /tmp is a part already.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// A directory with mounts below and more entries than this is not parted into them.
const MOST_ENTRIES: usize = 256;

/// What shows the host's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// The mounts, of which the first is the root.
    pub mounts: Vec<Mount>,
    /// Paths under which there is nothing: of mounts that are the host's own.
    pub masked: Vec<String>,
    /// Directories that cannot be changed, since they have too many entries beside a mount.
    pub readonly: Vec<String>,
    /// The kernel has no overlays: what would be one is read-only.
    pub bare: bool,
}

/// Return the mounts that show the host's files; `locked` says whether the host's mounts cannot be
/// taken apart, `bare` whether the kernel has no overlays. Then the files are read-only, and the
/// directories for temporary files empty.
pub fn of_host(locked: bool, bare: bool) -> Parts {
    // Without /proc, nothing but the root can be shown.
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let visible = visible(&mountinfo);
    let mut parts = Parts { bare, ..Parts::default() };
    if locked {
        let lines = mountinfo.lines().filter_map(Line::read);
        let mut places: Vec<String> = lines.filter_map(|line| unescape(line.place)).collect();
        places.sort();
        let refused = visible.first().filter(|it| it.place == "/").map(|it| &*it.refused);
        Split { visible: &visible, places, parts: &mut parts }
            .directory("/", refused.unwrap_or_default());
    } else {
        whole(&visible, &mut parts);
    }
    for place in TEMPORARY.into_iter().filter(|_| locked || bare) {
        parts.temporary(place);
    }
    parts
}

/// An overlay of `/`, and one of each mount below it.
fn whole(visible: &[Mounted], parts: &mut Parts) {
    let root = visible.iter().find(|it| it.place == "/");
    parts.overlay("/", root.map_or(&[], |root| &root.refused));
    let mut hidden: Option<&str> = None;
    for mount in visible.iter().filter(|it| it.place != "/" && !is_own(&it.place)) {
        if hidden.is_some_and(|hidden| Path::new(&mount.place).starts_with(hidden)) {
            continue;
        }
        match content(mount) {
            Some(true) if mount.readonly => parts.bind(&mount.place, false),
            Some(true) => parts.overlay(&mount.place, &mount.refused),
            Some(false) => parts.bind(&mount.place, false),
            None => {
                hidden = Some(&mount.place);
                parts.masked.push(mount.place.clone());
            }
        }
    }
}

fn is_own(place: &str) -> bool {
    OWN.iter().any(|own| Path::new(place).starts_with(own))
}

/// Whether a mount shows a directory, or else a regular file; nothing if the container is not to
/// see it.
fn content(mount: &Mounted) -> Option<bool> {
    let others = RUNTIMES.iter().any(|directory| mount.place.starts_with(directory));
    if others || PSEUDO.contains(&mount.kind.as_str()) {
        return None;
    }
    let kind = fs::symlink_metadata(&mount.place).ok()?.file_type();
    (kind.is_dir() || kind.is_file()).then(|| kind.is_dir())
}

impl Parts {
    /// A part of its own for a directory in which everybody makes files, if that is in a part where
    /// they could not. Overlayfs cannot give a directory that is changed an owner who has no id in
    /// the user namespace (EOVERFLOW); the directory of a part is the container's root's.
    fn temporary(&mut self, place: &str) {
        let above = |mount: &&Mount| Path::new(place).starts_with(&mount.destination);
        let Some(nearest) = self.mounts.iter().rfind(above) else { return };
        let own = nearest.destination == place || nearest.kind.as_deref() == Some("tmpfs");
        if own || !fs::symlink_metadata(place).is_ok_and(|it| it.is_dir()) {
            return;
        }
        self.overlay(place, &[]);
        // It has to be mounted before what is mounted below.
        let below = |mount: &Mount| Path::new(&mount.destination).starts_with(place);
        if let Some(at) = self.mounts.iter().position(below) {
            self.mounts[at..].rotate_right(1);
        }
    }

    /// An overlay of a directory; its changes go to two directories of the container's own tmpfs.
    fn overlay(&mut self, place: &str, refused: &[&'static str]) {
        if self.bare {
            return match TEMPORARY.contains(&place) {
                true => self.tmpfs(place, 0o1777, refused),
                false => self.bind(place, false),
            };
        }
        let number = self.mounts.len();
        let layers = [
            format!("lowerdir={}", layer(place)),
            format!("upperdir=upper{number}"),
            format!("workdir=work{number}"),
        ];
        let refused = refused.iter().map(|word| (*word).to_owned());
        self.add(place, "overlay", "tiny-ce", layers.into_iter().chain(refused));
    }

    /// The host's own file or directory, which the container cannot change.
    fn bind(&mut self, place: &str, with_below: bool) {
        let kind = if with_below { "rbind" } else { "bind" };
        self.add(place, "none", place, [kind, "rro"].map(str::to_owned));
    }

    /// A directory that holds only what is mounted or made in it.
    fn tmpfs(&mut self, place: &str, mode: u32, refused: &[&'static str]) {
        let refused = refused.iter().map(|word| (*word).to_owned());
        let mode = [format!("mode={:o}", mode & 0o7777)];
        self.add(place, "tmpfs", "tiny-ce", mode.into_iter().chain(refused));
    }

    fn add(
        &mut self,
        place: &str,
        kind: &str,
        source: &str,
        options: impl IntoIterator<Item = String>,
    ) {
        self.mounts.push(Mount {
            destination: place.to_owned(),
            kind: Some(kind.to_owned()),
            source: Some(source.to_owned()),
            options: options.into_iter().collect(),
            ..Mount::default()
        });
    }
}

/// The host's files in parts that have no mount below.
struct Split<'a> {
    visible: &'a [Mounted],
    /// Where anything is mounted, sorted; it need not be visible to be locked.
    places: Vec<String>,
    parts: &'a mut Parts,
}

impl Split<'_> {
    /// A directory on a mount that refuses these things.
    fn directory(&mut self, place: &str, refused: &[&'static str]) {
        let mode = fs::metadata(place).map_or(0o755, |it| it.mode());
        let prefix = format!("{}/", place.trim_end_matches('/'));
        let next = self.places.partition_point(|it| *it <= prefix);
        let above_mounts = self.places.get(next).is_some_and(|it| it.starts_with(&prefix));
        let parted = above_mounts || place == "/";
        let most = if parted { MOST_ENTRIES + 1 } else { 1 };
        let entries: Option<Vec<DirEntry>> =
            fs::read_dir(place).and_then(|all| all.take(most).collect()).ok();
        match entries {
            Some(entries) if entries.is_empty() => self.parts.tmpfs(place, mode, refused),
            _ if !parted => self.parts.overlay(place, refused),
            Some(entries) if entries.len() <= MOST_ENTRIES => {
                self.parts.tmpfs(place, mode, refused);
                for entry in entries {
                    if let (Ok(name), Ok(kind)) =
                        (entry.file_name().into_string(), entry.file_type())
                    {
                        self.entry(&format!("{prefix}{name}"), kind, refused);
                    }
                }
            }
            entries => {
                self.parts.readonly.extend(entries.map(|_| place.to_owned()));
                self.parts.bind(place, true);
            }
        }
    }

    /// A file or directory on a mount that refuses these things, or another mount at its place.
    fn entry(&mut self, place: &str, kind: FileType, refused: &[&'static str]) {
        if OWN.contains(&place) {
            return;
        }
        let visible = self.visible;
        let mount = visible.binary_search_by(|it| it.place.as_str().cmp(place)).ok();
        match mount.map(|at| (&visible[at], content(&visible[at]))) {
            Some((mount, Some(true))) if mount.readonly => self.parts.bind(place, true),
            Some((mount, Some(true))) => self.directory(place, &mount.refused),
            Some((_, Some(false))) => self.parts.bind(place, false),
            Some((_, None)) if kind.is_dir() => self.parts.tmpfs(place, 0o555, refused),
            None if kind.is_dir() => self.directory(place, refused),
            None if kind.is_file() => self.parts.bind(place, false),
            None if kind.is_symlink() => {
                let words = ["bind", "rro", "copy-symlink"].map(str::to_owned);
                self.parts.add(place, "none", place, words);
            }
            // A socket, a pipe or a device would lead to a program or a device of the host.
            Some((_, None)) | None => {}
        }
    }
}
