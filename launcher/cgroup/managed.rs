//! Groups whose directories somebody else makes: systemd, for a scope.
//!
//! Knows which of them a service manager makes by itself, proves that a process is where it is said
//! to be, and makes the rest. Must not know how the manager is told.

use super::{Cgroup, Group, Hierarchies, Version, joins, probe};
use crate::{Error, Result};

/// The v1 controllers that systemd manages; directories above a scope there are its own.
const MANAGED: &[&str] = &["name=systemd", "cpu", "cpuacct", "memory", "blkio", "devices", "pids"];

impl Cgroup {
    /// The groups at `path` below the root of each hierarchy; makes nothing.
    pub fn managed(path: &str, h: &Hierarchies) -> Cgroup {
        let groups = h.all.iter().filter(|hierarchy| joins(hierarchy)).map(|hierarchy| {
            let mut group = Group::new(hierarchy, format!("{}{path}", hierarchy.mount));
            let managers = group.controllers.iter().any(|c| MANAGED.contains(&c.as_str()));
            if group.version == Version::V2 || managers {
                group.made_parents = 0;
            }
            group
        });
        Cgroup { groups: groups.collect(), ..Cgroup::default() }
    }

    /// Prove that the process is where its manager was to put it, make the groups of hierarchies
    /// that the manager does not use, and move it into those. From here on what is in there is the
    /// container's.
    ///
    /// # Errors
    /// The process is elsewhere in pure v2, its membership cannot be read, or it cannot be moved.
    pub fn adopt(&mut self, pid: i32, h: &Hierarchies) -> Result<()> {
        let there = Cgroup::of_process(pid, h)?;
        let hybrid = h.mode() != probe::Mode::V2;
        for group in &mut self.groups {
            let found = there.groups.iter().find(|other| other.mount == group.mount);
            let found = found.map_or("", |other| other.path.as_str());
            if found != group.path {
                if !hybrid {
                    let text =
                        format!("systemd has put the container into {found}, not {}", group.path);
                    return Err(Error::new(text)
                        .hint("another program moves processes here: choose another slice"));
                }
                group.enter(pid)?;
            }
            group.existed = false;
        }
        Ok(())
    }

    /// How far the v2 group of `self` is below that of `above`: empty if it is the same.
    pub fn distance_below<'a>(&'a self, above: &Cgroup) -> Option<&'a str> {
        self.v2()?.path.strip_prefix(above.v2()?.path.as_str())
    }
}

impl Group {
    /// Make it as its parent is, limits come later, and move a process into it. The manager may
    /// take an empty directory below one of its own away at any moment: then again.
    fn enter(&mut self, pid: i32) -> Result<()> {
        const ATTEMPTS: usize = 8;
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.dir.take();
            let entered = self.make(&[], true).and_then(|()| self.dir()).and_then(|dir| {
                let place = || format!("{}/cgroup.procs = {pid}", self.path);
                let written = dir.write("cgroup.procs", &pid.to_string());
                written.map_err(|e| Error::io(place(), "write", &e))
            });
            match entered {
                Err(e) if attempt < ATTEMPTS && is_gone(e.errno()) => {}
                result => return result,
            }
        }
    }
}

fn is_gone(errno: Option<i32>) -> bool {
    matches!(errno, Some(libc::ENOENT | libc::ENODEV))
}
