//! Remove the container's groups, with the cgroups that the container made below them.
//!
//! Knows that rmdir(2) fails with EBUSY until the last process is gone. Removes nothing above the
//! container's own directories, except empty parents that were made for it.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::dir::Dir;
use super::processes::{is_gone, keyed, kill, pids_below};
use super::{Cgroup, Group, Version, parent_of};
use crate::error::{self, Error, Result};
use crate::sys::cgroupfs as sys;

/// How long to wait for the last processes to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happens to processes that are still in the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processes {
    /// Wait for them: they are about to end.
    Wait,
    /// Kill them, and thaw them for it.
    Kill,
}

impl Cgroup {
    /// Remove every group. A group that is already gone is no error.
    ///
    /// # Errors
    /// All groups that are left: each is hidden, or rmdir(2) of it fails, as with EBUSY if its
    /// processes do not end in time.
    pub fn remove(&self, processes: Processes) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let mut killed = false;
        let mut done = Vec::with_capacity(self.groups.len());
        // A group that existed before belongs to another: an intent that was not carried out leaves
        // it alone.
        for group in self.groups.iter().rev().filter(|group| !group.existed) {
            let mut pause = Duration::from_micros(200);
            let result = loop {
                match group.remove_empty() {
                    Err(e) if e.errno() == Some(libc::EBUSY) && Instant::now() < end => {}
                    other => break other,
                }
                if processes == Processes::Kill {
                    if !std::mem::replace(&mut killed, true) && !self.may_hold_others() {
                        self.kill().ok();
                    }
                    group.kill_stragglers();
                }
                group.wait_empty(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            };
            done.push(result.map_err(|e| group.list_processes(e)));
        }
        error::all(done)
    }

    /// Whether the groups that [`Cgroup::kill`] reaches may hold processes of another container.
    fn may_hold_others(&self) -> bool {
        self.primary().is_ok_and(|group| group.existed)
            || self.v1("freezer").is_some_and(|g| g.existed)
    }
}

impl Group {
    /// rmdir(2) of the group, and before it of the cgroups below; EBUSY while there are processes.
    ///
    /// # Errors
    /// The group is hidden, or rmdir(2) fails, with EBUSY while there are processes.
    pub(super) fn remove_empty(&self) -> Result<()> {
        let failed = |e: io::Error| Error::io(&self.path, "rmdir", &e);
        let removed = match sys::rmdirat(sys::cwd(), &self.path) {
            Ok(()) => Ok(()),
            // It is removed already, or hidden: open it to tell which.
            Err(e) if is_gone(&e) => match Dir::open(&self.path, self.version) {
                Ok(_) => rmdir(&self.path).map_err(failed),
                Err(e) => gone(self.open_error(e)),
            },
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => match self.dir() {
                Ok(dir) => remove_children(dir).and_then(|()| rmdir(&self.path)).map_err(failed),
                Err(e) => gone(e),
            },
            Err(e) => Err(failed(e)),
        };
        removed.and_then(|()| self.remove_parents())
    }

    /// Remove the parents that were made for this group, up to one that has other children or that
    /// this user may not remove.
    ///
    /// # Errors
    /// rmdir(2) fails, and not because the parent is in use or belongs to another user.
    pub(super) fn remove_parents(&self) -> Result<()> {
        let mut path = parent_of(&self.path);
        for _ in 0..self.made_parents {
            if path.len() <= self.mount.len() {
                break;
            }
            match rmdir(path).map_err(|e| Error::io(path, "rmdir", &e)) {
                Err(e) if matches!(e.errno(), Some(libc::EBUSY | libc::ENOTEMPTY)) => break,
                Err(e) if matches!(e.errno(), Some(libc::EACCES | libc::EPERM)) => break,
                done => done?,
            }
            path = parent_of(path);
        }
        Ok(())
    }

    /// Kill the processes of this group: the container may have moved them out of the primary
    /// group, so that [`Cgroup::kill`] misses them.
    fn kill_stragglers(&self) {
        let Ok(pids) = self.dir().map(|dir| pids_below(dir).unwrap_or_default()) else { return };
        for pid in pids {
            kill(pid).ok();
        }
    }

    /// Wait until the group may be empty. v2 notifies when the last process is gone; v1 does not,
    /// so this sleeps.
    fn wait_empty(&self, pause: Duration) {
        let watched = match self.version {
            Version::V1 => None,
            Version::V2 => self.dir().ok().and_then(|dir| dir.watch("cgroup.events").ok()),
        };
        let Some(events) = watched else { return std::thread::sleep(pause) };
        let text = sys::read_all(events.as_fd()).unwrap_or_default();
        match keyed(&text, "populated") {
            // At most 100 ms at once, since a process may have been forked after the last kill.
            Some(1) => drop(sys::wait_change(events.as_fd(), 100)),
            _ => std::thread::sleep(pause),
        }
    }

    fn list_processes(&self, e: Error) -> Error {
        let pids = self.dir().map(|dir| pids_below(dir).unwrap_or_default()).unwrap_or_default();
        if pids.is_empty() {
            return e;
        }
        let list: Vec<String> = pids.iter().take(8).map(i32::to_string).collect();
        e.detail(format!("processes in it: {}", list.join(" ")))
    }
}

/// ENOENT is no error: the group has been removed.
fn gone(e: Error) -> Result<()> {
    if e.errno() == Some(libc::ENOENT) { Ok(()) } else { Err(e) }
}

fn rmdir(path: &str) -> io::Result<()> {
    match sys::rmdirat(sys::cwd(), path) {
        Err(e) if !is_gone(&e) => Err(e),
        _ => Ok(()),
    }
}

fn remove_children(dir: &Dir) -> io::Result<()> {
    for name in dir.children()? {
        match sys::rmdirat(dir.as_fd(), &name) {
            Ok(()) => {}
            Err(e) if is_gone(&e) => {}
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {
                remove_children(&dir.child(&name)?)?;
                match sys::rmdirat(dir.as_fd(), &name) {
                    Err(e) if !is_gone(&e) => return Err(e),
                    _ => {}
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
