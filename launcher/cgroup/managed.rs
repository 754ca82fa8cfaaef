//! The cgroups of a scope, whose directories systemd makes.
//!
//! Knows which of them systemd makes, proves that a process is in them, and makes the others. Must
//! not know how to talk to systemd.

use super::{Cgroup, Group, Hierarchies, Version, joins, probe};
use crate::{Error, Result};

/// The v1 controllers that systemd manages. In their hierarchies it also makes and removes the
/// directories above a scope.
const MANAGED: &[&str] = &["name=systemd", "cpu", "cpuacct", "memory", "blkio", "devices", "pids"];

impl Cgroup {
    /// The groups at `path` below the root of each hierarchy; makes nothing.
    pub fn managed(path: &str, h: &Hierarchies) -> Cgroup {
        let groups = h.all.iter().filter(|hierarchy| joins(hierarchy)).map(|hierarchy| {
            let mut group = Group::new(hierarchy, format!("{}{path}", hierarchy.mount));
            let managed = group.controllers.iter().any(|c| MANAGED.contains(&c.as_str()));
            if group.version == Version::V2 || managed {
                group.made_parents = 0;
            }
            group
        });
        Cgroup { groups: groups.collect(), ..Cgroup::default() }
    }

    /// Prove that systemd has put the process into the scope's groups. Make the groups of the
    /// hierarchies that systemd does not use, and move the process there. Afterwards all processes
    /// in the groups are the container's.
    ///
    /// # Errors
    /// The process is in another cgroup of pure v2, /proc/PID/cgroup cannot be read, a group cannot
    /// be made, or the process cannot be moved.
    pub fn adopt(&mut self, pid: i32, h: &Hierarchies) -> Result<()> {
        let joined = Cgroup::of_process(pid, h)?;
        let hybrid = h.mode() != probe::Mode::V2;
        for group in &mut self.groups {
            let found = joined.groups.iter().find(|other| other.mount == group.mount);
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

    /// The path from the v2 group of `above` down to that of `self`; empty if they are the same.
    pub fn distance_below<'a>(&'a self, above: &Cgroup) -> Option<&'a str> {
        self.v2()?.path.strip_prefix(above.v2()?.path.as_str())
    }
}

impl Group {
    /// Make the group without limits, which come later, and move a process into it. systemd may
    /// remove an empty directory below its own ones at any moment; then try again.
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
