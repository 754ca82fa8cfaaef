//! The host's namespaces, mounts and open files that a container uses. CRIU must not put them into
//! an image, and names each instead; by its name `restore` finds it again.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::compile;
use crate::compile::activation::NOTIFY_DIRECTORY;
use crate::error::{Error, Result};
use crate::host::CgroupMounts;
use crate::spec::paths::lexical;
use crate::spec::{Mount, NamespaceKind, Spec};
use crate::state::{self, ETC_HOSTS, Record};
use crate::sys::file;

/// The kinds of namespaces that CRIU can treat as external, with the name in /proc/PID/ns and the
/// key in the image.
const KINDS: [(NamespaceKind, &str, &str); 2] =
    [(NamespaceKind::Network, "net", "extRootNetNS"), (NamespaceKind::Pid, "pid", "extRootPidNS")];

/// The key by which an image names an external namespace.
pub fn namespace_key(kind: NamespaceKind) -> Option<&'static str> {
    KINDS.iter().find(|row| row.0 == kind).map(|row| row.2)
}

/// The namespaces that the container joined, for CRIU's `external`: `net[INODE]:KEY`.
///
/// # Errors
/// stat(2) of a namespace of the process fails.
pub fn joined(spec: &Spec, record: &Record, pid: i32) -> Result<Vec<String>> {
    let mut external = Vec::new();
    for (kind, name, key) in KINDS {
        let by_path = spec.namespace(kind).is_some_and(|ns| ns.path.is_some());
        if by_path || kind == NamespaceKind::Network && record.network.is_some() {
            let path = format!("/proc/{pid}/ns/{name}");
            let inode = fs::metadata(&path).map_err(|e| Error::io(&path, "stat", &e))?.ino();
            external.push(format!("{name}[{inode}]:{key}"));
        }
    }
    Ok(external)
}

/// The places in the container whose mounts come from the host, each with its name in the image.
pub fn places(spec: &Spec) -> Vec<(&str, &str)> {
    let binds = spec.mounts.iter().filter(|mount| mount.is_bind());
    let mut places: Vec<_> =
        binds.map(|it| (it.destination.as_str(), it.destination.as_str())).collect();
    places.push((NOTIFY_DIRECTORY, NOTIFY_DIRECTORY));
    if places.iter().all(|(path, _)| *path != ETC_HOSTS) {
        places.push((ETC_HOSTS, ETC_HOSTS));
    }
    if let Some(linux) = &spec.linux {
        // A masked file is a bind of the host's /dev/null.
        places.extend(linux.masked_paths.iter().map(|path| (path.as_str(), "/dev/null")));
        if spec.namespace(NamespaceKind::User).is_some() {
            // In a user namespace no device node can be made: each is a bind of the host's.
            places.extend(compile::devices::DEFAULTS.iter().map(|(path, ..)| (*path, *path)));
            places.extend(linux.devices.iter().map(|it| (it.path.as_str(), it.path.as_str())));
        }
    }
    places
}

/// Whether the container sees the host's cgroup namespace. Then its cgroup mounts begin at its own
/// group, and CRIU finds no mount of the whole hierarchy from which it could make them again. In a
/// cgroup namespace of the container's own they begin at the root, and CRIU restores them.
fn shows_the_hosts_cgroups(spec: &Spec) -> bool {
    spec.namespace(NamespaceKind::Cgroup).is_none_or(|it| it.path.is_some())
}

fn cgroup_mounts(spec: &Spec) -> impl Iterator<Item = &Mount> {
    let shown = shows_the_hosts_cgroups(spec);
    let is_cgroup = |mount: &&Mount| {
        let kind = mount.kind.as_deref().unwrap_or_default();
        !mount.is_bind() && compile::cgroups::KINDS.contains(&kind)
    };
    spec.mounts.iter().filter(move |mount| shown && is_cgroup(mount))
}

/// The root of a process, and the ids, mount points and file systems of its mounts.
pub struct ProcessMounts {
    root: OwnedFd,
    mounts: Vec<ProcessMount>,
}

struct ProcessMount {
    id: u64,
    point: String,
    kind: String,
}

impl ProcessMounts {
    /// Read those of a process.
    ///
    /// # Errors
    /// /proc/PID/root cannot be opened, or /proc/PID/mountinfo cannot be read.
    pub fn of(pid: i32) -> Result<ProcessMounts> {
        let path = format!("/proc/{pid}/root");
        let root = file::open_path(Path::new(&path)).map_err(|e| Error::io(&path, "open", &e))?;
        let path = format!("/proc/{pid}/mountinfo");
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, "read", &e))?;
        let mounts = text.lines().filter_map(|line| {
            let mut fields = line.split(' ');
            let (id, point) = (fields.next()?.parse().ok()?, unescaped(fields.nth(3)?));
            let kind = line.split_once(" - ")?.1.split(' ').next()?.to_owned();
            Some(ProcessMount { id, point, kind })
        });
        Ok(ProcessMounts { root, mounts: mounts.collect() })
    }

    /// The mount point that `path` leads to through symbolic links, and whether it is a directory;
    /// `None` if `path` is no mount point.
    fn mount_point(&self, path: &str) -> Option<(String, bool)> {
        let opened = file::open_beneath(&self.root, Path::new(path)).ok()?;
        let directory = file::mode(&opened).ok()? & libc::S_IFMT == libc::S_IFDIR;
        let point = &self.mounts.iter().find(|it| Some(it.id) == mount_id(&opened))?.point;
        let real = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).ok()?;
        // The link's path is relative to our root, and ends with the path below the process's root.
        real.to_str()?.ends_with(point.as_str()).then(|| (point.clone(), directory))
    }

    /// Those of `places` that are mount points, for CRIU's `external`: `mnt[PLACE]:NAME`.
    pub fn mounts(&self, places: &[(&str, &str)]) -> Vec<String> {
        let mut external = Vec::new();
        for (path, name) in places {
            let Some((point, directory)) = self.mount_point(path) else { continue };
            // A masked directory is a tmpfs, which CRIU can restore.
            if directory && *name == "/dev/null" || point == "/" {
                continue;
            }
            let name = if path == name { point.as_str() } else { name };
            let entry = format!("mnt[{point}]:{name}");
            if !external.contains(&entry) {
                external.push(entry);
            }
        }
        external
    }

    /// The cgroup mounts that begin at a group of the host, for CRIU's `external`:
    /// `mnt[PLACE]:PLACE`.
    pub fn cgroups(&self, spec: &Spec) -> Vec<String> {
        if cgroup_mounts(spec).next().is_none() {
            return Vec::new();
        }
        let ours = |it: &&ProcessMount| compile::cgroups::KINDS.contains(&it.kind.as_str());
        let entry = |it: &ProcessMount| format!("mnt[{0}]:{0}", it.point);
        self.mounts.iter().filter(ours).map(entry).collect()
    }

    /// CRIU's names of the descriptors 0 to 2 of a process: the link in /proc/PID/fd, or
    /// `file[MOUNT:INODE]` for a file that is on none of the container's mounts.
    pub fn descriptors(&self, pid: i32) -> Vec<String> {
        [0, 1, 2]
            .map(|number| {
                let path = format!("/proc/{pid}/fd/{number}");
                let link = fs::read_link(&path).unwrap_or_default().to_string_lossy().into_owned();
                let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"));
                let mount = info.ok().and_then(|info| field(&info));
                let foreign =
                    mount.filter(|mount| self.mounts.iter().all(|known| known.id != *mount));
                match (foreign, fs::metadata(&path)) {
                    (Some(mount), Ok(it)) if link.starts_with('/') && !is_terminal(&it) => {
                        format!("file[{mount:x}:{:x}]", it.ino())
                    }
                    _ => link,
                }
            })
            .to_vec()
    }
}

/// Whether a file is a pseudo-terminal, for which CRIU has options of its own.
fn is_terminal(metadata: &fs::Metadata) -> bool {
    // Documentation/admin-guide/devices.txt: Unix98 pseudo-terminals.
    (136..=143).contains(&libc::major(metadata.rdev()))
}

fn mount_id(fd: &impl AsFd) -> Option<u64> {
    field(&fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).ok()?)
}

/// `mnt_id` of a file in fdinfo.
fn field(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

/// Decode the octal escapes of a path in mountinfo, proc_pid_mountinfo(5).
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

/// The sources of the external mounts for `restore`: `mnt[NAME]:SOURCE`.
///
/// `checkpoint` named a mount by its place after symbolic links. They are resolved in the rootfs,
/// if the place exists there.
pub fn sources(
    spec: &Spec,
    cgroups: &CgroupMounts,
    bundle: &Path,
    rootfs: &Path,
    state: &Path,
) -> Vec<String> {
    let root = file::open_path(rootfs);
    let resolved = |path: &str| {
        let opened = file::open_in_root(root.as_ref().ok()?, Path::new(path)).ok()?;
        let link = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).ok()?;
        link.strip_prefix(rootfs).ok().map(|inner| format!("/{}", inner.display()))
    };
    let mut external: Vec<String> = Vec::new();
    for (path, name) in places(spec) {
        let bind = spec.mounts.iter().find(|it| it.is_bind() && it.destination == path);
        let source = match bind.and_then(|mount| mount.source.as_deref()) {
            Some(source) => bundle.join(source),
            None if name == NOTIFY_DIRECTORY => state.join(state::NOTIFY),
            None if name == ETC_HOSTS => state.join(state::HOSTS),
            None => name.into(),
        };
        let name = match path == name {
            true => resolved(path).unwrap_or_else(|| format!("/{}", plain(path))),
            false => name.to_owned(),
        };
        let entry = format!("mnt[{name}]:{}", source.display());
        if !external.contains(&entry) {
            external.push(entry);
        }
    }
    for mount in cgroup_mounts(spec) {
        let path = &mount.destination;
        let place = resolved(path).unwrap_or_else(|| format!("/{}", plain(path)));
        external.extend(cgroups.directories().into_iter().map(|(name, directory)| match name {
            Some(name) => format!("mnt[{place}/{name}]:{directory}"),
            None => format!("mnt[{place}]:{directory}"),
        }));
    }
    external
}

fn plain(path: &str) -> String {
    lexical(path).join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_kernels_files() {
        assert_eq!(field("pos:\t0\nflags:\t0100000\nmnt_id:\t27\nino:\t5\n"), Some(27));
        assert_eq!(field("pos:\t0\n"), None);
        assert_eq!(unescaped("/a\\040b\\134c"), "/a b\\c");
    }

    #[test]
    fn only_mount_points_of_a_process_are_external() {
        let seen = ProcessMounts::of(std::process::id() as i32).expect("/proc/self");
        assert_eq!(seen.mount_point("/proc"), Some(("/proc".to_owned(), true)));
        assert_eq!(seen.mount_point("/proc/self/status"), None);
        assert_eq!(seen.mounts(&[("/proc", "/proc"), ("/nowhere", "/a")]), ["mnt[/proc]:/proc"]);
    }
}
