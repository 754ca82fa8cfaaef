//! The container's cgroups, v1, v2 and hybrid, by raw reads and writes of cgroupfs.
//!
//! `probe` finds the machine's hierarchies. `compile` and `devices` turn linux.resources into files
//! and values (pure). `Cgroup` makes the directories, writes the values and moves the processes.
//! Must not know about namespaces, mounts or the container's state directory.
//!
//! **Joining is cheap.** To move another process, the kernel takes the threadgroup lock and waits
//! for an RCU grace period: 7 to 20 ms for the first hierarchy. A single thread that moves *itself*
//! does not need the lock (Linux 5.5), nor does `CLONE_INTO_CGROUP` (Linux 5.7). So the launcher
//! clones into `clone_fd`, and the child, which still has one thread, writes `0` to each of
//! `join_files`: 0.1 ms for ten hierarchies.

mod apply;
mod compile;
mod create;
mod delayed;
mod delegate;
pub mod devices;
mod dir;
mod freeze;
mod freezers;
mod hidden;
mod managed;
mod oom;
pub mod probe;
mod processes;
mod program;
mod remove;
pub mod stats;
mod stats_v1;
mod stats_v2;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::path::Path;

pub use compile::{Setting, compile};
pub use delayed::DelayedLimit;
pub use delegate::delegate;
pub use devices::{Devices, compile_devices};
use dir::Dir;
pub use freezers::Freezers;
pub use oom::{OomCount, OomWatch};
pub use probe::{Hierarchies, Hierarchy, Mode, Version, probe};
pub use remove::Processes;

use crate::sys::cgroupfs as sys;
use crate::{Error, Result};

/// The container's groups, one per hierarchy. The state keeps them; that of an older version
/// suffices to find and remove them all.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Cgroup {
    /// v1 in the order of mounting, v2 last; none if the container has no cgroup of its own.
    pub groups: Vec<Group>,
    /// Limits that are set once the program runs.
    #[serde(default, rename = "waiting", skip_serializing_if = "Vec::is_empty")]
    pub delayed: Vec<DelayedLimit>,
}

/// The container's directory in one hierarchy.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Group {
    /// v1 or v2.
    pub version: Version,
    /// The controllers, as in [`Hierarchy`].
    pub controllers: Vec<String>,
    /// The mount point of the hierarchy.
    pub mount: String,
    /// The cgroup of the hierarchy that is at the mount point, as in [`Hierarchy`].
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub root: String,
    /// The absolute path of the directory.
    pub path: String,
    /// How many directories right above it were missing, so that they are ours to remove.
    pub made_parents: usize,
    /// Whether it existed before and is not proved empty, so that processes in it may be another
    /// container's. Only an intent record has this, never the state of a container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub existed: bool,
    #[serde(skip)]
    dir: OnceCell<Dir>,
}

impl Cgroup {
    /// Decide on the paths of the container's groups, without making them.
    ///
    /// An absolute `linux.cgroupsPath` is below the root of each hierarchy. A relative one, or the
    /// id if there is none, is below our own cgroup in v1. In pure v2 it is beside our own cgroup,
    /// since a v2 cgroup that has processes cannot have children with controllers.
    ///
    /// # Errors
    /// The path has `..`, or names the root of the hierarchy.
    pub fn locate(cgroups_path: Option<&str>, id: &str, h: &Hierarchies) -> Result<Cgroup> {
        let given = cgroups_path.filter(|path| !path.is_empty());
        let wanted = given.unwrap_or(id);
        let root = "names the root of the hierarchy; name a cgroup below it";
        let named = |e: Error| e.within(format_args!("linux.cgroupsPath {wanted:?}"));
        let inner = inner_path(wanted, root).map_err(named)?;
        let groups = h.all.iter().filter(|hierarchy| joins(hierarchy)).map(|hierarchy| {
            let base = match (wanted.starts_with('/'), h.mode()) {
                (true, _) => "",
                (false, Mode::V2) => beside(hierarchy),
                (false, _) => hierarchy.own_below_mount(),
            };
            Group::new(
                hierarchy,
                format!("{}{}{inner}", hierarchy.mount, base.trim_end_matches('/')),
            )
        });
        Ok(Cgroup { groups: groups.collect(), ..Cgroup::default() })
    }

    /// The groups that a living process is in, without those that this mount namespace hides.
    ///
    /// For a process to run in the cgroups of the container's init, which may have moved, and for a
    /// scope that systemd has made.
    ///
    /// # Errors
    /// /proc/PID/cgroup cannot be read.
    pub fn of_process(pid: i32, h: &Hierarchies) -> Result<Cgroup> {
        let file = format!("/proc/{pid}/cgroup");
        let text = dir::read_path(&file).map_err(|e| Error::io(&file, "read", &e))?;
        let mut groups = Vec::new();
        for hierarchy in h.all.iter().filter(|hierarchy| joins(hierarchy)) {
            let line = probe::memberships(&text).find(|(controllers, _)| match hierarchy.version {
                Version::V1 => controllers.split(',').any(|c| hierarchy.controllers[0] == c),
                Version::V2 => controllers.is_empty(),
            });
            let below = line.and_then(|(_, own)| hierarchy.below_mount(own));
            let Some(below) = below else { continue };
            let path = format!("{}{}", hierarchy.mount, below.trim_end_matches('/'));
            groups.push(Group { existed: false, ..Group::new(hierarchy, path) });
        }
        Ok(Cgroup { groups, ..Cgroup::default() })
    }

    /// The groups of this process in the hierarchies where the container has none.
    pub fn left_out(&self, h: &Hierarchies) -> Cgroup {
        let missing = |hierarchy: &&Hierarchy| {
            joins(hierarchy) && self.groups.iter().all(|group| group.mount != hierarchy.mount)
        };
        let own = |hierarchy: &Hierarchy| {
            let below = hierarchy.own_below_mount().trim_end_matches('/');
            Group::new(hierarchy, format!("{}{below}", hierarchy.mount))
        };
        Cgroup { groups: h.all.iter().filter(missing).map(own).collect(), ..Cgroup::default() }
    }

    /// The groups at `path` below these groups, or below that of one controller only, for
    /// `exec --cgroup [CONTROLLER:]PATH`. They must exist already, and `path` cannot lead outside.
    ///
    /// # Errors
    /// The path has `..` or names nothing, or no group has this controller.
    pub fn below(&self, controller: Option<&str>, path: &str) -> Result<Cgroup> {
        let own = "names the container's own cgroup; name a cgroup below it";
        let inner = inner_path(path, own)?;
        let mut found = false;
        let groups = self.groups.iter().map(|group| {
            let named = |name: &str| group.controllers.iter().any(|c| c == name);
            let here = controller.is_none_or(named);
            found |= here;
            let path = if here { format!("{}{inner}", group.path) } else { group.path.clone() };
            Group {
                version: group.version,
                controllers: group.controllers.clone(),
                mount: group.mount.clone(),
                root: group.root.clone(),
                path,
                made_parents: 0,
                existed: false,
                dir: OnceCell::new(),
            }
        });
        let groups = groups.collect();
        match controller {
            Some(name) if !found => {
                Err(Error::new(format!("the container has no cgroup with the {name} controller")))
            }
            _ => Ok(Cgroup { groups, ..Cgroup::default() }),
        }
    }

    /// Whether the container has no cgroup of its own.
    pub fn is_none(&self) -> bool {
        self.groups.is_empty()
    }

    /// The group in the unified hierarchy.
    pub fn v2(&self) -> Option<&Group> {
        self.groups.iter().find(|group| group.version == Version::V2)
    }

    /// The group with a v1 controller.
    pub fn v1(&self, controller: &str) -> Option<&Group> {
        self.groups.iter().find(|group| {
            group.version == Version::V1 && group.controllers.iter().any(|c| c == controller)
        })
    }

    /// The group with a controller of either version; `io` is called `blkio` in v1.
    fn with(&self, controller: &str) -> Option<&Group> {
        let v1_name = if controller == "io" { "blkio" } else { controller };
        self.v1(v1_name)
            .or_else(|| self.v2().filter(|group| group.controllers.iter().any(|c| c == controller)))
    }

    /// The group whose processes are taken for those of the container.
    fn primary(&self) -> Result<&Group> {
        let found = self.v2().or_else(|| self.v1("pids")).or_else(|| self.v1("freezer"));
        found.or(self.groups.first()).ok_or_else(|| Error::new("the container has no cgroup"))
    }
}

impl Group {
    fn new(hierarchy: &Hierarchy, path: String) -> Group {
        let exists = |path: &str| Path::new(path).exists();
        let existed = exists(&path);
        let mut made_parents = 0;
        let mut parent = parent_of(&path);
        while !existed && parent.len() > hierarchy.mount.len() && !exists(parent) {
            made_parents += 1;
            parent = parent_of(parent);
        }
        Group {
            version: hierarchy.version,
            controllers: hierarchy.controllers.clone(),
            mount: hierarchy.mount.clone(),
            root: hierarchy.root.clone(),
            path,
            made_parents,
            existed,
            dir: OnceCell::new(),
        }
    }

    /// The directory, opened once. ENOENT means that it has been removed.
    fn dir(&self) -> Result<&Dir> {
        if let Some(dir) = self.dir.get() {
            return Ok(dir);
        }
        let dir = Dir::open(&self.path, self.version).map_err(|e| self.open_error(e))?;
        Ok(self.dir.get_or_init(|| dir))
    }

    /// The name of the hierarchy in a message.
    fn name(&self) -> String {
        match self.version {
            Version::V1 => self.controllers.join(","),
            Version::V2 => "unified".into(),
        }
    }
}

/// The default of [`Group::root`]: the mount point shows the whole hierarchy.
fn whole() -> String {
    "/".to_owned()
}

fn is_whole(root: &str) -> bool {
    root == "/"
}

fn parent_of(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}

/// Whether containers have a group in a hierarchy. Named v1 hierarchies belong to a service
/// manager. That of systemd is joined, since systemd tells services apart by it.
fn joins(hierarchy: &Hierarchy) -> bool {
    let first = hierarchy.controllers.first().map_or("", String::as_str);
    hierarchy.version == Version::V2 || !first.starts_with("name=") || first == "name=systemd"
}

/// The parent of our own v2 cgroup, or our own cgroup if this user may only write that one.
fn beside(hierarchy: &Hierarchy) -> &str {
    let own = hierarchy.own_below_mount();
    let parent = parent_of(own);
    let writable = |below: &str| sys::writable(&format!("{}{below}", hierarchy.mount));
    if own != "/" && !writable(parent) && writable(own) { own } else { parent }
}

/// `a/b` or `/a//./b` → `/a/b`; if nothing is left, the error is `empty`.
fn inner_path(path: &str, empty: &str) -> Result<String> {
    let mut inner = String::with_capacity(path.len() + 1);
    for component in path.split('/').filter(|c| !c.is_empty() && *c != ".") {
        if component == ".." {
            return Err(Error::new("\"..\" is not allowed"));
        }
        inner.push('/');
        inner.push_str(component);
    }
    if inner.is_empty() {
        return Err(Error::new(empty));
    }
    Ok(inner)
}
