//! The facts about this machine that compiling a config needs.
//!
//! Only reads; every fact is taken once, here, so that `compile` can be pure. What a fact is about
//! has one record, and no record changes once it is made.

mod mounts;
pub mod namespaces;
pub mod view;

pub use mounts::{mounted, sources};

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cgroup::{Cgroup, Hierarchies, Mode, Version};
use crate::error::{Error, Result};
use crate::spec::{Linux, Namespace, NamespaceKind, Process, Spec};
use crate::sys;

/// Facts.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Whom the launcher runs as.
    pub euid: u32,
    /// Whom the launcher runs as.
    pub egid: u32,
    /// The launcher is in a user namespace that is not the machine's: nobody there makes nodes.
    pub user_namespace: bool,
    /// No cgroup limits the container's devices: only nodes that are bound may work.
    pub nodev: bool,
    /// setgroups(2) is denied in the user namespace that the launcher is in or that is joined.
    pub groups_denied: bool,
    /// The launcher's root is the first mount of all, an initramfs: nothing can be pivoted over it.
    pub initramfs: bool,
    /// The root file system, absolute.
    pub rootfs: String,
    /// Of each of `mounts`.
    pub mounts: Vec<MountFacts>,
    /// Of each of `linux.devices`.
    pub devices: Vec<DeviceFacts>,
    /// Of each of `linux.namespaces`.
    pub namespaces: Vec<NamespaceFacts>,
    /// Where `process.cwd` leads, as [`MountFacts::destination`].
    pub cwd: Option<String>,
    /// Whether this kernel has /proc/kcore.
    pub kcore: bool,
    /// How a `cgroup` mount is made here.
    pub cgroups: CgroupMounts,
    /// How many cgroup v1 hierarchies init joins by itself.
    pub cgroup_joins: usize,
    /// The highest capability that this kernel has.
    pub last_capability: u32,
    /// Which of stdin, stdout and stderr the program's user is to own.
    pub stdio: [bool; 3],
}

/// About one of `mounts`.
#[derive(Debug, Clone, Default)]
pub struct MountFacts {
    /// What its source is; `None` where it is not a bind.
    pub source: Option<Source>,
    /// Mode of the directory under a tmpfs that is given none.
    pub tmpfs_mode: Option<u32>,
    /// Where its destination leads if that is not there yet, without links and `..` and relative to
    /// the root; `None` where it leads where it says.
    pub destination: Option<String>,
}

/// About one of `linux.devices`.
#[derive(Debug, Clone, Default)]
pub struct DeviceFacts {
    /// Where its directory leads, as [`MountFacts::destination`].
    pub directory: Option<String>,
    /// Whether the host has nothing, or something else, at its path.
    pub missing: bool,
}

/// About one of `linux.namespaces`.
#[derive(Debug, Clone, Default)]
pub struct NamespaceFacts {
    /// Whether it is joined, and belongs to the user namespace that the launcher is in.
    pub ours: bool,
}

/// What the launcher makes for a container, and its configuration names before it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToMake {
    /// Absolute path.
    pub path: String,
    /// A directory, or else a file or a namespace.
    pub directory: bool,
}

/// What the launcher has decided before it looks around.
pub struct Launch<'a> {
    /// Absolute path.
    pub bundle: &'a Path,
    /// As [`rootfs`] gives it.
    pub rootfs: &'a Path,
    /// The container's groups.
    pub cgroup: &'a Cgroup,
    /// Those of the machine.
    pub hierarchies: &'a Hierarchies,
    /// Systemd puts init into its groups: it joins none by itself.
    pub scope: bool,
    /// See [`Host::nodev`].
    pub nodev: bool,
    /// What is not there yet.
    pub to_make: &'a [ToMake],
}

/// The source of a bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Absolute path.
    pub path: String,
    /// A directory, or else anything that is not one.
    pub directory: bool,
    /// It is in the rootfs, and an earlier mount of the same config makes it: only init sees it.
    pub made: bool,
    /// It is a symbolic link that is to be copied.
    pub link: Option<Link>,
}

/// A symbolic link on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it says.
    pub target: String,
    /// Whether the rootfs has one at the destination that says the same.
    pub there: bool,
}

/// How a mount of type `cgroup` is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CgroupMounts {
    /// There is no cgroup file system.
    #[default]
    None,
    /// The unified hierarchy.
    V2(GroupMount),
    /// One mount a hierarchy, below a tmpfs.
    V1(Vec<V1Mount>),
}

/// The cgroup that a container without a cgroup namespace is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMount {
    /// Its directory on the host, absolute.
    pub directory: String,
    /// Whether it is the container's own, and not the launcher's that the container stays in.
    pub own: bool,
}

/// A cgroup v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1Mount {
    /// Directory below /sys/fs/cgroup: `cpu,cpuacct`, `systemd`.
    pub name: String,
    /// Options of the mount: `cpu`, `cpuacct`; `none`, `name=systemd`.
    pub options: Vec<String>,
    /// The container's group.
    pub shown: GroupMount,
}

impl Host {
    /// Where the destination of a mount leads, if that is another place than it says.
    pub fn destination(&self, index: usize) -> Option<&str> {
        self.mounts.get(index)?.destination.as_deref()
    }

    /// The source of a bind.
    pub fn source(&self, index: usize) -> Option<&Source> {
        self.mounts.get(index)?.source.as_ref()
    }
}

/// Find out what `compile` needs to know about a container that is to be made.
///
/// # Errors
/// `root.path` is not UTF-8, or a namespace or the source of a bind cannot be opened.
pub fn probe(spec: &Spec, launch: &Launch<'_>) -> Result<Host> {
    let joins = launch.cgroup.groups.iter().filter(|group| group.version == Version::V1);
    let namespaces = namespaces(spec, launch.to_make)?;
    let (mounts, devices, cwd) = mounts::probe(spec, launch)?;
    Ok(Host {
        nodev: launch.nodev,
        rootfs: utf8(launch.rootfs.to_owned(), "root.path")?,
        mounts,
        devices,
        namespaces,
        cwd,
        cgroup_joins: if launch.scope { 0 } else { joins.count() },
        ..machine(spec, launch.cgroup, launch.hierarchies)
    })
}

/// As [`probe`], without what is about the paths and namespaces that `spec` names.
pub fn machine(spec: &Spec, cgroup: &Cgroup, hierarchies: &Hierarchies) -> Host {
    Host {
        euid: sys::user::effective_uid(),
        egid: sys::user::effective_gid(),
        user_namespace: sys::user::in_user_namespace(),
        groups_denied: groups_denied(spec),
        initramfs: initramfs(),
        kcore: Path::new("/proc/kcore").exists(),
        cgroups: cgroup_mounts(cgroup, hierarchies),
        stdio: stdio(spec.process.as_ref()),
        last_capability: sys::process::last_capability(),
        ..Host::default()
    }
}

/// user_namespaces(7). Of a namespace that is joined by the path of a process, the process tells.
fn groups_denied(spec: &Spec) -> bool {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    let mut joined = namespaces.filter(|namespace| namespace.kind == NamespaceKind::User);
    let joined = joined.find_map(|namespace| namespace.path.as_deref()?.strip_suffix("/ns/user"));
    // The machine's own namespace never denies it.
    joined.is_some_and(denies_groups)
        || sys::user::in_user_namespace() && denies_groups("/proc/self")
}

/// Whether setgroups(2) is denied in the user namespace of a process, by its directory in /proc.
pub fn denies_groups(process: &str) -> bool {
    let text = std::fs::read_to_string(format!("{process}/setgroups"));
    text.is_ok_and(|text| text.trim() == "deny")
}

/// tmpfs and ramfs, include/uapi/linux/magic.h: an initramfs is one of them.
const RAM: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// Whether the root is a mount without a parent, which proc_pid_mountinfo(5) shows as its own.
fn initramfs() -> bool {
    // Asked first, since a table of mounts can be long.
    if !sys::cgroupfs::fs_type_of("/").is_ok_and(|kind| RAM.contains(&kind)) {
        return false;
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| {
        let mut fields = line.split(' ');
        let (id, parent) = (fields.next(), fields.next());
        id == parent && fields.nth(2) == Some("/")
    })
}

/// Whether the security modules that the config names are there.
///
/// # Errors
/// The config names a label, and the kernel runs without its security module.
pub fn security(spec: &Spec) -> Result<()> {
    let label = spec.linux.as_ref().and_then(|linux| linux.mount_label.as_ref());
    spec.process.as_ref().map_or(Ok(()), security_of)?;
    if label.is_some_and(|label| !label.is_empty()) {
        selinux("linux.mountLabel")?;
    }
    Ok(())
}

/// As [`security`], for one process.
///
/// # Errors
/// The process has a label, and the kernel runs without its security module.
pub fn security_of(process: &Process) -> Result<()> {
    let wants = |label: &Option<String>| label.as_ref().is_some_and(|label| !label.is_empty());
    if wants(&process.apparmor_profile) {
        let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
        if !enabled.is_ok_and(|text| text.starts_with(b"Y")) {
            let text = "process.apparmorProfile: apparmor: config provided but apparmor not \
                        supported";
            return Err(Error::new(text)
                .hint("this kernel runs without AppArmor: remove the field, or boot with it"));
        }
    }
    if wants(&process.selinux_label) { selinux("process.selinuxLabel") } else { Ok(()) }
}

fn selinux(field: &str) -> Result<()> {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        return Ok(());
    }
    let text = format!(
        "{field}: selinux label is specified in config, but selinux is disabled or not supported"
    );
    Err(Error::new(text)
        .hint("this kernel runs without SELinux: remove the field, or boot with it"))
}

/// Pipes and files are handed to a user other than root; never a device: /dev/null is everybody's.
pub fn stdio(process: Option<&Process>) -> [bool; 3] {
    if process.is_none_or(|process| process.user().uid == 0) {
        return [false; 3];
    }
    [0, 1, 2].map(|number| {
        let kind = sys::file::mode_of(number).map_or(libc::S_IFCHR, |mode| mode & libc::S_IFMT);
        matches!(kind, libc::S_IFREG | libc::S_IFIFO | libc::S_IFSOCK)
    })
}

fn utf8(path: PathBuf, field: &str) -> Result<String> {
    path.into_os_string()
        .into_string()
        .map_err(|path| Error::new(format!("{field}: {}: not UTF-8", path.display())))
}

/// The directory that `root.path` names, absolute and without links.
///
/// # Errors
/// The config has no root, or its path does not lead to a directory.
pub fn rootfs(spec: &Spec, bundle: &Path) -> Result<PathBuf> {
    let Some(root) = &spec.root else {
        return Err(Error::new("root: required, and missing"));
    };
    let joined = bundle.join(&root.path);
    let field = format!("root.path {:?}", root.path);
    let resolved = joined.canonicalize().map_err(|e| {
        Error::io(format!("{field}: {}", joined.display()), "openat", &e)
            .hint("root.path is absolute, or relative to the bundle")
    })?;
    if !resolved.is_dir() {
        let text = format!("{field}: {}: not a directory", resolved.display());
        return Err(Error::new(text).hint("root.path names the directory that holds the image"));
    }
    Ok(resolved)
}

/// What a mount of type `cgroup` shows: on a hybrid machine the v1 hierarchies. Where a rootless
/// container has no group of its own, it stays in the launcher's.
fn cgroup_mounts(cgroup: &Cgroup, hierarchies: &Hierarchies) -> CgroupMounts {
    let v1 = |group: &&crate::cgroup::Group| group.version == Version::V1;
    let own = cgroup.left_out(hierarchies);
    match hierarchies.mode() {
        Mode::None => CgroupMounts::None,
        Mode::V2 => {
            let shown = cgroup.v2().map(|group| shown(group, true));
            let shown = shown.or_else(|| own.v2().map(|group| self::shown(group, false)));
            CgroupMounts::V2(shown.unwrap_or_default())
        }
        _ => {
            let mine = cgroup.groups.iter().filter(v1).map(|group| v1_mount(group, true));
            let others = own.groups.iter().filter(v1).map(|group| v1_mount(group, false));
            CgroupMounts::V1(mine.chain(others).collect())
        }
    }
}

fn shown(group: &crate::cgroup::Group, own: bool) -> GroupMount {
    GroupMount { directory: group.path.clone(), own }
}

fn v1_mount(group: &crate::cgroup::Group, own: bool) -> V1Mount {
    let name = group.mount.rsplit('/').next().unwrap_or_default().to_owned();
    let named = group.controllers.iter().any(|c| c.starts_with("name="));
    let none = named.then(|| "none".to_owned());
    let options = none.into_iter().chain(group.controllers.iter().cloned()).collect();
    V1Mount { name, options, shown: shown(group, own) }
}

/// A parameter of the network must not be set in the namespace that the launcher itself is in.
fn not_the_hosts(linux: &Linux, kind: NamespaceKind, file: &File) -> Result<()> {
    let net = |key: &&String| key.starts_with("net.") || key.starts_with("net/");
    let Some(key) = linux.sysctl.keys().find(net).filter(|_| kind == NamespaceKind::Network) else {
        return Ok(());
    };
    let inode = |metadata: std::io::Result<std::fs::Metadata>| metadata.map(|m| m.ino()).ok();
    if inode(file.metadata()) == inode(std::fs::metadata("/proc/self/ns/net")) {
        let text = format!("linux.sysctl[{key:?}]: the network namespace joined is the host's own");
        return Err(Error::new(text).hint("set it on the host, or give the container a namespace"));
    }
    Ok(())
}

fn namespaces(spec: &Spec, to_make: &[ToMake]) -> Result<Vec<NamespaceFacts>> {
    let Some(linux) = &spec.linux else { return Ok(Vec::new()) };
    let ours = |(index, namespace): (usize, &Namespace)| {
        let Some(path) = &namespace.path else { return Ok(false) };
        // What the launcher makes belongs to the user namespace that it is in.
        if to_make.iter().any(|it| it.path == *path) {
            return Ok(true);
        }
        let file = namespaces::open(path, namespace.kind)
            .map_err(|e| e.within(format!("linux.namespaces[{index}]")))?;
        not_the_hosts(linux, namespace.kind, &file)?;
        Ok(sys::namespace::owned_by_us(&file))
    };
    let facts = |it| Ok(NamespaceFacts { ours: ours(it)? });
    linux.namespaces.iter().enumerate().map(facts).collect()
}
