//! Make the container's groups, each proved empty and ready to be joined.
//!
//! Knows which directories are missing, which v2 controllers must be enabled on the way down,
//! and what v1 cpuset needs before a process may enter. Never writes a limit: that is `apply`.

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
    /// Leave out, before anything is made, the groups that this user may not make; told as
    /// warnings. One that a setting needs is an error.
    ///
    /// For callers who can do without: not root, and no cgroupsPath was given.
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
            Some(first) if !needed.is_empty() => Err(refusal(first).detail(limits(&needed)).hint(
                "limits need a cgroup that this user may write: a delegated cgroup \
                 (systemd-run --user --scope -p Delegate=yes), or root",
            )),
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

    /// Make every group. Existing ones must be empty and not frozen.
    ///
    /// `settings` tells which controllers must be there. After an error nothing that was made
    /// remains.
    ///
    /// # Errors
    /// No cgroup file system is mounted, mkdir(2) fails, a controller is not enabled, or a cgroup
    /// of this name has processes or is frozen.
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
    /// Whether this group is where the setting belongs.
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

/// Take away what was made before the step that failed; what is not ours is not empty.
fn undo(made: &[Group]) {
    for group in made.iter().rev() {
        group.remove_empty().ok();
    }
}

impl Group {
    /// Whether the nearest directory above that exists may be written by this user.
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

    /// Make this one, and leave nothing of it if that fails.
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

    /// mkdir -p; whether the directory is new.
    fn mkdir(&self) -> Result<bool> {
        // Another container may be taking the parents away at this moment: begin again.
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
        // A new group below a frozen one is frozen, and so would be the container, for ever.
        if !fresh || self.made_parents > 0 {
            not_frozen(dir)?;
        }
        match self.version {
            Version::V1 if fresh => self.inherit_cpuset(&self.path, settings),
            Version::V1 => Ok(()),
            Version::V2 => self.enable_controllers(dir, settings, hybrid),
        }
    }

    /// A v1 cpuset is born empty, and no process may enter an empty one: copy the parent's,
    /// which may be empty as well, if somebody else made it.
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

    /// Enable, on the way from the mount point down, what the machine has (pure v2) or what a
    /// setting needs (hybrid); say which cgroup lacks a needed one.
    fn enable_controllers(&self, dir: &Dir, settings: &[Setting], hybrid: bool) -> Result<()> {
        let needed: BTreeSet<&str> = settings
            .iter()
            .filter(|s| s.version == Version::V2 && !s.controller.is_empty())
            .map(|s| s.controller.as_str())
            .collect();
        if hybrid && needed.is_empty() {
            // It has no controllers then, and is there for its freezer and its processes.
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

    /// Threaded cgroups have no domain controllers, and cannot be cloned into from outside.
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

/// Write `+controller` for each; together, then one by one to see which of them is refused.
/// An error only for a needed one.
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
    // The kernel refuses here with EBUSY, or, for controllers that know threads, silently makes
    // every child "domain invalid".
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

/// Whether the rule of no inner processes concerns a cgroup: not the real root of the
/// hierarchy, which has no cgroup.type.
fn has_processes(dir: &Dir) -> bool {
    dir.read("cgroup.type").is_ok()
        && dir.read("cgroup.procs").is_ok_and(|pids| !pids.trim().is_empty())
}

/// In a nested container the root of our cgroup namespace holds processes, ours among them,
/// and so can hand on no controllers: move them to a child named `init`, as systemd and others
/// do. Only there: elsewhere the processes are not ours to move.
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
    // Processes may fork while they are moved: until none is left, bounded.
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

/// An existing group must have no process, in it or below it.
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
