//! What of a container belongs to the host: namespaces, mounts and open files that CRIU must not
//! put into an image, each under the name by which `restore` finds it again.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::compile;
use crate::compile::activation::NOTIFY_DIRECTORY;
use crate::error::{Error, Result};
use crate::spec::paths::lexical;
use crate::spec::{NamespaceKind, Spec};
use crate::state::{self, ETC_HOSTS, Record};
use crate::sys::file;

/// The kinds of namespaces that CRIU can leave alone.
const KINDS: [(NamespaceKind, &str, &str); 2] =
    [(NamespaceKind::Network, "net", "extRootNetNS"), (NamespaceKind::Pid, "pid", "extRootPidNS")];

/// What a namespace is called between `checkpoint` and `restore`.
pub fn namespace_key(kind: NamespaceKind) -> Option<&'static str> {
    KINDS.iter().find(|row| row.0 == kind).map(|row| row.2)
}

/// Namespaces that were joined: `net[INODE]:KEY`.
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

/// Places in the container whose mounts come from the host, and what `restore` puts there.
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
            // Where nodes cannot be made they are binds of the host's.
            places.extend(compile::devices::DEFAULTS.iter().map(|(path, ..)| (*path, *path)));
            places.extend(linux.devices.iter().map(|it| (it.path.as_str(), it.path.as_str())));
        }
    }
    places
}

/// A process's root and mounts, as they are now.
pub struct Seen {
    root: OwnedFd,
    mounts: Vec<(u64, String)>,
}

impl Seen {
    /// Look at a process.
    pub fn of(pid: i32) -> Result<Seen> {
        let path = format!("/proc/{pid}/root");
        let root = file::open_path(Path::new(&path)).map_err(|e| Error::io(&path, "open", &e))?;
        let path = format!("/proc/{pid}/mountinfo");
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, "read", &e))?;
        let mounts = text.lines().filter_map(|line| {
            let mut fields = line.split(' ');
            Some((fields.next()?.parse().ok()?, unescaped(fields.nth(3)?)))
        });
        Ok(Seen { root, mounts: mounts.collect() })
    }

    /// Where something is mounted at `path`, links resolved; `None` if nothing is.
    fn mount_point(&self, path: &str) -> Option<(String, bool)> {
        let opened = file::open_beneath(&self.root, Path::new(path)).ok()?;
        let directory = file::mode(&opened).ok()? & libc::S_IFMT == libc::S_IFDIR;
        let (_, point) = self.mounts.iter().find(|(id, _)| Some(*id) == mount_id(&opened))?;
        let there = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).ok()?;
        // The link is as seen from here; its end is the same, whatever is above the root.
        there.to_str()?.ends_with(point.as_str()).then(|| (point.clone(), directory))
    }

    /// The mounts of these places that are there: `mnt[PLACE]:NAME`.
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

    /// What the descriptors 0 to 2 of a process are called: a link, or the name of a file that is
    /// on none of the container's mounts.
    pub fn descriptors(&self, pid: i32) -> Vec<String> {
        [0, 1, 2]
            .map(|number| {
                let path = format!("/proc/{pid}/fd/{number}");
                let link = fs::read_link(&path).unwrap_or_default().to_string_lossy().into_owned();
                let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"));
                let mount = info.ok().and_then(|info| field(&info));
                let foreign =
                    mount.filter(|mount| self.mounts.iter().all(|(known, _)| known != mount));
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

/// Masters and slaves of devpts: CRIU has a way of its own for them.
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

/// A path of mountinfo: octal for what would part fields.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

/// Where `restore` takes the mounts of these places from: `mnt[NAME]:SOURCE`.
///
/// A name is a place as `checkpoint` saw it, links resolved: by the rootfs, as far as it has it.
pub fn sources(spec: &Spec, bundle: &Path, rootfs: &Path, state: &Path) -> Vec<String> {
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
    fn what_this_process_sees_of_itself() {
        let seen = Seen::of(std::process::id() as i32).expect("/proc/self");
        assert_eq!(seen.mount_point("/proc"), Some(("/proc".to_owned(), true)));
        assert_eq!(seen.mount_point("/proc/self/status"), None);
        assert_eq!(seen.mounts(&[("/proc", "/proc"), ("/nowhere", "/a")]), ["mnt[/proc]:/proc"]);
    }
}
