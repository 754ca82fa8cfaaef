//! Make the container's groups, and prove that each is empty and can be joined.
//!
//! Knows which directories are missing, which v2 controllers must be enabled from the mount point
//! down, and what a v1 cpuset needs before a process may enter. `apply` writes the limits.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;

use super::dir::{Dir, read_path};
use super::{Cgroup, Group, Setting, Version, parent_of};
use crate::sys::cgroupfs as sys;
use crate::{Error, Result};

/// Controllers that a threaded cgroup cannot have, the kernel's cgroup-v2.rst.
const DOMAIN_CONTROLLERS: &[&str] = &["memory", "io", "hugetlb", "rdma", "misc", "dmem"];

impl Cgroup {
    /// Before anything is made, leave out the groups that this user may not make, and return a
    /// warning that names them.
    ///
    /// For a caller that is not root and whose config has no cgroupsPath.
    ///
    /// # Errors
    /// A setting belongs to a group that this user may not make.
    pub fn leave_out(&mut self, settings: &[Setting]) -> Result<Vec<String>> {
        let (kept, refused): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.groups).into_iter().partition(Group::makeable);
        self.groups = kept;
        let needed: Vec<_> =
            settings.iter().filter(|s| refused.iter().any(|g| s.is_in(g))).cloned().collect();
        let refusal = |group: &Group| Error::call(&group.path, "mkdir", libc::EACCES);
        match refused.first() {
            None => Ok(Vec::new()),
            Some(first) if !needed.is_empty() => Err(refusal(first).detail(limits(&needed))),
            Some(first) => {
                let names: Vec<String> = refused.iter().map(Group::name).collect();
                Ok(vec![format!(
                    "no cgroup of its own in {}, so no limits, statistics or pause there: {}",
                    names.join(", "),
                    refusal(first).line()
                )])
            }
        }
    }

    /// Make every group. A group that exists must be empty and not frozen.
    ///
    /// `settings` says which controllers the groups need. After an error the groups that were made
    /// are removed again.
    ///
    /// # Errors
    /// There are settings and no cgroup file system is mounted, mkdir(2) fails, or the directory is
    /// not on cgroupfs. A cgroup of this name has processes or is frozen. In v1 cpuset.cpus or
    /// cpuset.mems cannot be read or written. In v2 a needed controller is not available or cannot
    /// be enabled, or the group is threaded.
    pub fn create(&mut self, settings: &[Setting]) -> Result<()> {
        if self.groups.is_empty() && !settings.is_empty() {
            let e = Error::new("no cgroup file system is mounted").detail(limits(settings));
            return Err(e.hint("mount one: mount -t cgroup2 cgroup2 /sys/fs/cgroup"));
        }
        let hybrid = self.groups.iter().any(|g| g.version == Version::V1);
        for at in 0..self.groups.len() {
            if let Err(e) = self.groups[at].make(settings, hybrid) {
                self.groups.truncate(at);
                undo(&self.groups);
                return Err(e);
            }
            self.groups[at].existed = false;
        }
        Ok(())
    }
}

impl Setting {
    /// Whether the setting belongs to this group.
    pub(super) fn is_in(&self, group: &Group) -> bool {
        self.version == group.version
            && (self.version == Version::V2 || group.controllers.contains(&self.controller))
    }
}

fn limits(settings: &[Setting]) -> String {
    if settings.is_empty() {
        return "needed for: linux.cgroupsPath".into();
    }
    let names: BTreeSet<&str> = settings.iter().map(|s| s.origin.as_str()).collect();
    format!("needed for: {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

/// Remove the groups that were made before one failed. rmdir(2) leaves a group that others use,
/// since it is not empty.
fn undo(made: &[Group]) {
    for group in made.iter().rev() {
        group.remove_empty().ok();
    }
}

impl Group {
    /// Whether this user may write the nearest directory above that exists.
    fn makeable(&self) -> bool {
        let mut path = self.path.as_str();
        while let Some((parent, _)) = path.rsplit_once('/') {
            if sys::writable(parent) {
                return true;
            }
            if std::path::Path::new(parent).exists() {
                return false;
            }
            path = parent;
        }
        false
    }

    /// Make this group, and remove it again if that fails.
    ///
    /// # Errors
    /// As [`Cgroup::create`], for this group.
    pub(super) fn make(&self, settings: &[Setting], hybrid: bool) -> Result<()> {
        let fresh = match self.mkdir() {
            Ok(fresh) => fresh,
            Err(e) => {
                self.remove_parents().ok();
                return Err(e);
            }
        };
        let prepared = self.prepare(fresh, settings, hybrid);
        if prepared.is_err() && fresh {
            self.remove_empty().ok();
        }
        prepared
    }

    /// Make the directory and its parents; return whether the directory is new.
    fn mkdir(&self) -> Result<bool> {
        // The end of another container may remove the parents at this moment: then begin again.
        for _ in 0..16 {
            match sys::mkdirat(sys::cwd(), &self.path) {
                Ok(()) => return Ok(true),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io(&self.path, "mkdir", &e)),
            }
            let below = self.path.get(self.mount.len() + 1..).unwrap_or_default();
            for (at, _) in below.match_indices('/') {
                let parent = &self.path[..self.mount.len() + 1 + at];
                match sys::mkdirat(sys::cwd(), parent) {
                    Ok(()) => self.inherit_cpuset(parent, &[])?,
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                    Err(e) => return Err(Error::io(parent, "mkdir", &e)),
                }
            }
        }
        Err(Error::call(&self.path, "mkdir", libc::ENOENT))
    }

    fn prepare(&self, fresh: bool, settings: &[Setting], hybrid: bool) -> Result<()> {
        let dir = self.dir()?;
        if !fresh {
            vacant(dir)?;
        }
        // A group below a frozen one is frozen too, and would keep the container frozen.
        if !fresh || self.made_parents > 0 {
            not_frozen(dir)?;
        }
        match self.version {
            Version::V1 if fresh => self.inherit_cpuset(&self.path, settings),
            Version::V1 => Ok(()),
            Version::V2 => self.enable_controllers(dir, settings, hybrid),
        }
    }

    /// Copy the parent's v1 cpuset: a new cpuset is empty, and no process may enter an empty one.
    /// The parent's may be empty as well, if another program made it.
    fn inherit_cpuset(&self, path: &str, settings: &[Setting]) -> Result<()> {
        if self.version != Version::V1 || !self.controllers.iter().any(|c| c == "cpuset") {
            return Ok(());
        }
        let parent = parent_of(path);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let from = format!("{parent}/{file}");
            let read = || read_path(&from).map_err(|e| Error::io(&from, "read", &e));
            let mut value = read()?;
            if value.trim().is_empty() && parent.len() > self.mount.len() {
                self.inherit_cpuset(parent, &[])?;
                value = read()?;
            }
            if settings.iter().any(|s| s.file == file) {
                continue;
            }
            let to = format!("{path}/{file}");
            let own = sys::openat(sys::cwd(), &to, libc::O_WRONLY)
                .map_err(|e| Error::io(&to, "open", &e))?;
            sys::write_once(own.as_fd(), value.trim().as_bytes())
                .map_err(|e| Error::io(format!("{to} = {:?}", value.trim()), "write", &e))?;
        }
        Ok(())
    }

    /// Enable controllers in each cgroup from the mount point down: all that the machine has (pure
    /// v2), or those that a setting needs (hybrid). The error names the cgroup without a needed
    /// one.
    fn enable_controllers(&self, dir: &Dir, settings: &[Setting], hybrid: bool) -> Result<()> {
        let needed: BTreeSet<&str> = settings
            .iter()
            .filter(|s| s.version == Version::V2 && !s.controller.is_empty())
            .map(|s| s.controller.as_str())
            .collect();
        if hybrid && needed.is_empty() {
            // Only its freezer and its list of processes are used.
            return Ok(());
        }
        let have = dir
            .read("cgroup.controllers")
            .map_err(|e| Error::io(format!("{}/cgroup.controllers", self.path), "read", &e))?;
        let wanted: BTreeSet<&str> = match hybrid {
            true => needed.clone(),
            false => self.controllers.iter().map(String::as_str).chain(needed.clone()).collect(),
        };
        if wanted.iter().any(|name| !has(&have, name)) {
            self.enable_on_the_way(&wanted, &needed)?;
        }
        self.is_domain(dir, &needed)
    }

    fn enable_on_the_way(&self, wanted: &BTreeSet<&str>, needed: &BTreeSet<&str>) -> Result<()> {
        let below = &self.path[self.mount.len()..];
        for (at, _) in below.match_indices('/') {
            let dir = Dir::open(&self.path[..self.mount.len() + at], Version::V2)?;
            let have = dir.read("cgroup.controllers").unwrap_or_default();
            if let Some(missing) = needed.iter().find(|name| !has(&have, name)) {
                return Err(missing_controller(dir.path(), missing, &have));
            }
            let on = dir.read("cgroup.subtree_control").unwrap_or_default();
            let wanted: Vec<&str> =
                wanted.iter().copied().filter(|c| has(&have, c) && !has(&on, c)).collect();
            enable(&dir, &wanted, needed, at == 0).map_err(|(name, e)| {
                let place = format!("{}/cgroup.subtree_control = \"+{name}\"", dir.path());
                Error::io(place, "write", &e).hint(format!(
                    "the {name} controller cannot be enabled for the children of {}; a cgroup \
                     that has processes (EBUSY) must move them to a child first",
                    dir.path()
                ))
            })?;
        }
        Ok(())
    }

    /// Refuse a threaded cgroup: it has no domain controllers, and `CLONE_INTO_CGROUP` cannot enter
    /// it from outside.
    fn is_domain(&self, dir: &Dir, needed: &BTreeSet<&str>) -> Result<()> {
        let kind = dir
            .read("cgroup.type")
            .map_err(|e| Error::io(format!("{}/cgroup.type", self.path), "read", &e))?;
        let kind = kind.trim();
        if kind == "domain" || kind == "domain threaded" {
            return Ok(());
        }
        let mut e = Error::new(format!("{}: the cgroup is of type {kind:?}", self.path));
        if let Some(name) = needed.iter().find(|c| DOMAIN_CONTROLLERS.contains(c)) {
            e = e.detail(format!("the {name} controller needs one of type \"domain\""));
        }
        Err(e.hint("choose a linux.cgroupsPath whose parent is not threaded"))
    }
}

fn has(list: &str, name: &str) -> bool {
    list.split_whitespace().any(|word| word == name)
}

/// Enable controllers with one write, and if that fails one by one. Only a needed controller that
/// is refused is an error.
fn enable<'a>(
    dir: &Dir,
    wanted: &[&'a str],
    needed: &BTreeSet<&str>,
    mount_point: bool,
) -> std::result::Result<(), (&'a str, io::Error)> {
    const FILE: &str = "cgroup.subtree_control";
    let Some(first) = wanted.iter().find(|c| needed.contains(*c)).or(wanted.first()) else {
        return Ok(());
    };
    // If the cgroup has processes, the kernel refuses with EBUSY, or, for controllers that support
    // threads, makes every child "domain invalid".
    if has_processes(dir) {
        match wanted.iter().any(|c| needed.contains(c)) {
            false => return Ok(()),
            true if mount_point => evacuate(dir).map_err(|e| (*first, e))?,
            true => return Err((*first, io::Error::from_raw_os_error(libc::EBUSY))),
        }
    }
    if dir.write(FILE, &format!("+{}", wanted.join(" +"))).is_ok() {
        return Ok(());
    }
    let mut refusal = Ok(());
    for name in wanted {
        if let Err(e) = dir.write(FILE, &format!("+{name}"))
            && needed.contains(name)
            && refusal.is_ok()
        {
            refusal = Err((*name, e));
        }
    }
    refusal
}

/// Whether a cgroup has processes that the "no internal processes" rule counts. The root of the
/// hierarchy, which has no cgroup.type, is exempt (cgroups(7)).
fn has_processes(dir: &Dir) -> bool {
    dir.read("cgroup.type").is_ok()
        && dir.read("cgroup.procs").is_ok_and(|pids| !pids.trim().is_empty())
}

/// Move the processes of the root of our cgroup namespace to a child named `init`, as systemd and
/// others do. In a nested container that root holds processes, ours among them, so that it cannot
/// enable controllers for its children. EBUSY if it is not our root: its processes are not ours.
fn evacuate(dir: &Dir) -> io::Result<()> {
    let own = read_path("/proc/self/cgroup")?;
    let at_root = super::probe::memberships(&own).any(|(c, path)| c.is_empty() && path == "/");
    if !at_root {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let leaf = format!("{}/init", dir.path());
    match sys::mkdirat(sys::cwd(), &leaf) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let leaf = dir.child("init")?;
    // Processes may fork while they are moved: repeat until there are none, 64 times at most.
    for _ in 0..64 {
        let pids = dir.read("cgroup.procs")?;
        if pids.trim().is_empty() {
            return Ok(());
        }
        for pid in pids.split_whitespace() {
            match leaf.write("cgroup.procs", pid) {
                Err(e) if e.raw_os_error() != Some(libc::ESRCH) => return Err(e),
                _ => {}
            }
        }
    }
    Err(io::Error::from_raw_os_error(libc::EBUSY))
}

fn missing_controller(path: &str, name: &str, have: &str) -> Error {
    Error::new(format!("{path}: the {name} controller is not available there"))
        .detail(format!("cgroup.controllers has: {}", have.trim()))
        .hint("it must be enabled in cgroup.subtree_control of every cgroup above, by their owner")
}

/// Refuse an existing group with processes in it or below it.
fn vacant(dir: &Dir) -> Result<()> {
    let pids = super::processes::pids_below(dir)
        .map_err(|e| Error::io(format!("{}/cgroup.procs", dir.path()), "read", &e))?;
    if pids.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = pids.iter().take(8).map(i32::to_string).collect();
    let more = if pids.len() > 8 { " …" } else { "" };
    Err(Error::new(format!("{}: the cgroup exists already, and is not empty", dir.path()))
        .detail(format!("processes in it: {}{more}", list.join(" ")))
        .hint("choose another linux.cgroupsPath or another id"))
}

fn not_frozen(dir: &Dir) -> Result<()> {
    if super::freeze::is_frozen(dir) {
        return Err(Error::new(format!("{}: the cgroup is frozen", dir.path()))
            .hint("thaw it, or the cgroup above it, or choose another linux.cgroupsPath"));
    }
    Ok(())
}
