//! The facts about this machine that `compile` needs.
//!
//! Only reads. Every fact is taken once, here, so that `compile` is pure. Each mount, device and
//! namespace has one record of facts, which does not change after it is made.

pub mod ids;
pub mod lacks;
mod mounts;
pub mod namespaces;
pub mod parts;
pub mod programs;
mod table;
pub mod view;

pub use mounts::{mounted, sources};

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cgroup::{Cgroup, Hierarchies, Mode, Version};
use crate::error::{Error, Result};
use crate::spec::{Linux, Namespace, NamespaceKind, Process, Spec};
use crate::sys;

/// The facts about the host.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The launcher's effective user ID.
    pub euid: u32,
    /// The launcher's effective group ID.
    pub egid: u32,
    /// Whether the launcher is in a user namespace other than the initial one, where mknod(2) of a
    /// device is refused.
    pub user_namespace: bool,
    /// Whether no cgroup limits the container's devices, so that only bound nodes may be usable.
    pub nodev: bool,
    /// Whether setgroups(2) is denied in the launcher's user namespace, or in the one to join.
    pub groups_denied: bool,
    /// Whether the launcher's root is an initramfs, from which pivot_root(2) cannot pivot.
    pub initramfs: bool,
    /// Whether a mount namespace can begin with one tree, by OPEN_TREE_NAMESPACE of open_tree(2).
    pub tree_namespaces: bool,
    /// The absolute path of the root file system.
    pub rootfs: String,
    /// The facts about each of `mounts`.
    pub mounts: Vec<MountFacts>,
    /// The facts about each of `linux.devices`.
    pub devices: Vec<DeviceFacts>,
    /// The facts about each of `linux.namespaces`.
    pub namespaces: Vec<NamespaceFacts>,
    /// Where `process.cwd` leads, as [`MountFacts::destination`].
    pub cwd: Option<String>,
    /// Whether this kernel has /proc/kcore.
    pub kcore: bool,
    /// What a mount of type `cgroup` shows.
    pub cgroups: CgroupMounts,
    /// How many cgroup v1 hierarchies init joins by itself.
    pub cgroup_joins: usize,
    /// The highest capability that this kernel has.
    pub last_capability: u32,
    /// Which of stdin, stdout and stderr the program's user is to own.
    pub stdio: [bool; 3],
    /// Which of stdin, stdout and stderr are the null device, but not those of a terminal.
    pub null: [bool; 3],
}

/// The facts about one of `mounts`.
#[derive(Debug, Clone, Default)]
pub struct MountFacts {
    /// The source of a bind; `None` for another mount.
    pub source: Option<Source>,
    /// The mode of the directory that a tmpfs without `mode=` covers.
    pub tmpfs_mode: Option<u32>,
    /// What it is an overlay of, if its changes are to vanish.
    pub part: Option<Part>,
    /// The path that its destination leads to, without links and `..` and relative to the root;
    /// `None` if that is the destination itself.
    pub destination: Option<String>,
}

/// A directory of the host that a container sees under an overlay, whose changes vanish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The directory, absolute.
    pub lower: String,
    /// The directories on the container's tmpfs in which the changes are, and that overlayfs needs
    /// beside.
    pub upper: String,
    /// As `upper`.
    pub work: String,
    /// The directory's mode, which becomes that of `upper`: an overlay shows the upper one.
    pub mode: u32,
    /// The directory's user and group, which `upper` gets.
    pub owner: (u32, u32),
}

/// The facts about one of `linux.devices`.
#[derive(Debug, Clone, Default)]
pub struct DeviceFacts {
    /// The path that its directory leads to, as [`MountFacts::destination`].
    pub directory: Option<String>,
    /// Whether a container with a user namespace cannot have it, since its node must be a bind of
    /// the host's and the host does not have this device at its path.
    pub missing: bool,
}

/// The facts about one of `linux.namespaces`.
#[derive(Debug, Clone, Default)]
pub struct NamespaceFacts {
    /// Whether it is joined, and the launcher's user namespace owns it.
    pub ours: bool,
}

/// A path that the config names, and that the launcher makes later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToMake {
    /// The absolute path.
    pub path: String,
    /// Whether it is a directory, and not a file or a namespace.
    pub directory: bool,
}

/// What the launcher has decided before it takes the facts.
pub struct Launch<'a> {
    /// The absolute path of the bundle.
    pub bundle: &'a Path,
    /// The root file system, as [`rootfs`] returns it.
    pub rootfs: &'a Path,
    /// The container's cgroups.
    pub cgroup: &'a Cgroup,
    /// The machine's cgroup hierarchies.
    pub hierarchies: &'a Hierarchies,
    /// Whether systemd puts init into its cgroups, so that init joins none by itself.
    pub scope: bool,
    /// See [`Host::nodev`].
    pub nodev: bool,
    /// How many of the first mounts show the host's files, as `parts` gives them; their changes are
    /// to vanish.
    pub parts: usize,
    /// The paths that the launcher makes later.
    pub to_make: &'a [ToMake],
}

/// The source of a bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The absolute path.
    pub path: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Whether an earlier mount of the same config makes it in the rootfs, so that only init sees
    /// it.
    pub made: bool,
    /// The symbolic link to copy, if the source is one and the mount asks for a copy.
    pub link: Option<Link>,
}

/// A symbolic link on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its target.
    pub target: String,
    /// Whether the rootfs has a link with the same target at the destination.
    pub present: bool,
}

/// What a mount of type `cgroup` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CgroupMounts {
    /// There is no cgroup file system.
    #[default]
    None,
    /// The unified hierarchy.
    V2(GroupMount),
    /// One mount for each v1 hierarchy, below a tmpfs.
    V1(Vec<V1Mount>),
}

impl CgroupMounts {
    /// The directories on the host that a container without a cgroup namespace sees, each with the
    /// name that it has below the mount, if it is not the mount itself.
    pub fn directories(&self) -> Vec<(Option<&str>, &str)> {
        match self {
            CgroupMounts::None => Vec::new(),
            CgroupMounts::V2(shown) => vec![(None, &shown.directory)],
            CgroupMounts::V1(hierarchies) => hierarchies
                .iter()
                .map(|it| (Some(it.name.as_str()), it.shown.directory.as_str()))
                .collect(),
        }
    }
}

/// The cgroup that a container without a cgroup namespace sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMount {
    /// The absolute path of its directory on the host.
    pub directory: String,
    /// Whether it is the container's own, and not the launcher's, in which the container stays.
    pub own: bool,
}

/// A cgroup v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1Mount {
    /// Its directory below /sys/fs/cgroup: `cpu,cpuacct`, `systemd`.
    pub name: String,
    /// The options of its mount: `cpu`, `cpuacct`; `none`, `name=systemd`.
    pub options: Vec<String>,
    /// The container's group.
    pub shown: GroupMount,
}

impl Host {
    /// The path that the destination of a mount leads to, if that is another path.
    pub fn destination(&self, index: usize) -> Option<&str> {
        self.mounts.get(index)?.destination.as_deref()
    }

    /// The source of a bind.
    pub fn source(&self, index: usize) -> Option<&Source> {
        self.mounts.get(index)?.source.as_ref()
    }
}

/// Take the facts that `compile` needs for a container that is to be made.
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

/// As [`probe`], without the facts about the paths and namespaces that `spec` names.
pub fn machine(spec: &Spec, cgroup: &Cgroup, hierarchies: &Hierarchies) -> Host {
    let user_namespace = sys::user::in_user_namespace();
    Host {
        euid: sys::user::effective_uid(),
        egid: sys::user::effective_gid(),
        user_namespace,
        groups_denied: groups_denied(spec, user_namespace),
        initramfs: initramfs(),
        tree_namespaces: sys::probe::tree_namespaces(),
        kcore: Path::new("/proc/kcore").exists(),
        cgroups: cgroup_mounts(cgroup, hierarchies),
        stdio: stdio(spec.process.as_ref()),
        null: null(spec.process.as_ref()),
        last_capability: sys::process::last_capability(),
        ..Host::default()
    }
}

/// Whether setgroups(2) is denied, user_namespaces(7). A user namespace to join is asked through
/// the process in its path, /proc/PID/ns/user. `inside` says whether the launcher is in one.
fn groups_denied(spec: &Spec, inside: bool) -> bool {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    let mut joined = namespaces.filter(|namespace| namespace.kind == NamespaceKind::User);
    let joined = joined.find_map(|namespace| namespace.path.as_deref()?.strip_suffix("/ns/user"));
    // The initial namespace never denies setgroups(2).
    joined.is_some_and(denies_groups) || inside && denies_groups("/proc/self")
}

/// Whether setgroups(2) is denied in the user namespace of a process, by its directory in /proc.
pub fn denies_groups(process: &str) -> bool {
    let text = std::fs::read_to_string(format!("{process}/setgroups"));
    text.is_ok_and(|text| text.trim() == "deny")
}

/// The magic numbers of tmpfs and ramfs, include/uapi/linux/magic.h; an initramfs has one of them.
const RAM: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// Whether the root is an initramfs: a mount without a parent.
fn initramfs() -> bool {
    // This is cheaper than reading the mounts, which can be many.
    if !sys::cgroupfs::fs_type_of("/").is_ok_and(|kind| RAM.contains(&kind)) {
        return false;
    }
    let Ok(root) = sys::probe::mount_id("/") else { return false };
    // The kernel makes the text of as many mounts as a read(2) has room for.
    const ROOM: usize = 256;
    let Ok(table) = File::open("/proc/self/mountinfo") else { return false };
    table::without_parent(BufReader::with_capacity(ROOM, table), root)
}

/// Check that the kernel runs with the security modules that the config names.
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

/// Which standard descriptors a user other than root is to own: pipes, sockets and regular files,
/// but never a device such as /dev/null, which others use as well.
pub fn stdio(process: Option<&Process>) -> [bool; 3] {
    if process.is_none_or(|process| process.user().uid == 0) {
        return [false; 3];
    }
    [0, 1, 2].map(|number| {
        let kind = sys::file::stat_of(number).map_or(libc::S_IFCHR, |it| it.st_mode & libc::S_IFMT);
        matches!(kind, libc::S_IFREG | libc::S_IFIFO | libc::S_IFSOCK)
    })
}

/// Which standard descriptors are the null device. All of them become a terminal if the process
/// has one.
pub fn null(process: Option<&Process>) -> [bool; 3] {
    let terminal = process.is_none_or(|process| process.terminal);
    [0, 1, 2].map(|number| !terminal && sys::file::stat_of(number).is_ok_and(is_null))
}

/// As [`null`], for a process that joins a container: only if the container has a null device at
/// /dev/null. `root` is the container's root directory, as /proc shows it.
pub fn null_inside(process: &Process, root: &Path) -> [bool; 3] {
    let streams = null(Some(process));
    let inside = || {
        let node = sys::file::name_below(&sys::file::open_path(root)?, Path::new("dev/null"))?;
        sys::file::stat(&node)
    };
    if streams != [false; 3] && inside().is_ok_and(is_null) { streams } else { [false; 3] }
}

/// The device number of /dev/null, the kernel's Documentation/admin-guide/devices.txt.
pub const NULL_DEVICE: (u32, u32) = (1, 3);

fn is_null(stat: libc::stat) -> bool {
    let (major, minor) = NULL_DEVICE;
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == libc::makedev(major, minor)
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
    let resolved = sys::file::real_path(&joined)
        .map_err(|e| Error::io(format!("{field}: {}", joined.display()), "openat", &e))?;
    if !resolved.is_dir() {
        let text = format!("{field}: {}: not a directory", resolved.display());
        return Err(Error::new(text).hint("give the directory of the root file system"));
    }
    Ok(resolved)
}

/// What a mount of type `cgroup` shows: on a hybrid machine the v1 hierarchies. In a hierarchy
/// where a rootless container has no cgroup of its own, it stays in the launcher's.
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

/// Refuse a parameter of the network (`net.*`) if the network namespace to join is the launcher's.
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
        // The launcher's user namespace owns the namespaces that the launcher makes.
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
