//! Move processes into the container's groups, and list them.
//!
//! Knows the files that take a pid. The launcher clones the processes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::dir::Dir;
use super::{Cgroup, Version};
use crate::sys::cgroupfs as sys;
use crate::{Error, Result};

impl Cgroup {
    /// The v2 directory for `clone3(CLONE_INTO_CGROUP)`; a hybrid machine has it as well.
    ///
    /// The clone fails with EAGAIN if `pids.max` is 0, and with EBUSY if the group has children
    /// with controllers: then clone without it, and call [`Cgroup::add`].
    ///
    /// # Errors
    /// The v2 cgroup is hidden, or removed.
    pub fn clone_fd(&self) -> Result<Option<BorrowedFd<'_>>> {
        self.v2().map(|group| group.dir().map(AsFd::as_fd)).transpose()
    }

    /// One file per v1 hierarchy, to which a **single-threaded** child writes `0` to move itself
    /// without the kernel's threadgroup lock (see the module). The kernel checks the permissions of
    /// the opener (CVE-2021-4197), so that a child in a user namespace may write.
    ///
    /// # Errors
    /// A v1 cgroup is hidden or removed, or its `tasks` cannot be opened.
    pub fn join_files(&self) -> Result<Vec<OwnedFd>> {
        let v1 = self.groups.iter().filter(|group| group.version == Version::V1);
        v1.map(|group| {
            let open = group.dir()?.open_file("tasks");
            open.map_err(|e| Error::io(format!("{}/tasks", group.path), "open", &e))
        })
        .collect()
    }

    /// Move a process with its threads into every group, or if it was `cloned` into the v2 group,
    /// into the v1 ones. Slow (see the module); for processes that cannot move themselves.
    ///
    /// # Errors
    /// A cgroup is hidden or removed, or the kernel refuses the move.
    pub fn add(&self, pid: i32, cloned: bool) -> Result<()> {
        let text = pid.to_string();
        for group in self.groups.iter().filter(|g| !(cloned && g.version == Version::V2)) {
            group.dir()?.write("cgroup.procs", &text).map_err(|e| {
                let e = Error::io(format!("{}/cgroup.procs = {pid}", group.path), "write", &e);
                match (e.errno(), group.version) {
                    (Some(libc::EBUSY), Version::V2) => e.hint(
                        "the container has made cgroups of its own below; a process can only \
                         be in one of those",
                    ),
                    (Some(libc::ENOSPC), Version::V1) => e.hint(
                        "cpuset.cpus or cpuset.mems of that cgroup, or of one above, is empty",
                    ),
                    _ => e,
                }
            })?;
        }
        Ok(())
    }

    /// The pids of all processes of the container, also of those in cgroups that it made.
    ///
    /// # Errors
    /// The cgroup is hidden, or `cgroup.procs` cannot be read. A cgroup that is removed has no
    /// processes.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let group = self.primary()?;
        match group.dir().map(pids_below) {
            Ok(Ok(pids)) => Ok(pids),
            Ok(Err(e)) => Err(Error::io(format!("{}/cgroup.procs", group.path), "read", &e)),
            Err(e) if e.errno() == Some(libc::ENOENT) => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }
}

/// The number after a key at the start of a line: `oom_kill 3`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The processes of a cgroup and of all cgroups below it.
///
/// # Errors
/// `cgroup.procs` or a directory cannot be read. A cgroup that is removed meanwhile is skipped.
pub(super) fn pids_below(dir: &Dir) -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    collect(dir, &mut pids)?;
    pids.sort_unstable();
    // A process that moves meanwhile may be listed twice.
    pids.dedup();
    Ok(pids)
}

fn collect(dir: &Dir, pids: &mut Vec<i32>) -> io::Result<()> {
    match dir.read("cgroup.procs") {
        Ok(text) => pids.extend(text.split_whitespace().filter_map(|p| p.parse::<i32>().ok())),
        // The domain above a threaded cgroup lists its processes.
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
        Err(e) if is_gone(&e) => return Ok(()),
        Err(e) => return Err(e),
    }
    let children = match dir.children() {
        Err(e) if is_gone(&e) => return Ok(()),
        other => other?,
    };
    for name in children {
        match dir.child(&name) {
            Ok(child) => collect(&child, pids)?,
            Err(e) if is_gone(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Whether the cgroup was removed, before (ENOENT) or after it was opened (ENODEV).
pub(super) fn is_gone(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

/// Send SIGKILL to one process. A process that is gone is no error. ESRCH for pid 0, by which
/// cgroup.procs lists a process outside of our pid namespace, and kill(2) our own process group.
pub(super) fn kill(pid: i32) -> io::Result<()> {
    if pid <= 0 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    match sys::kill(pid, libc::SIGKILL) {
        Err(e) if e.raw_os_error() != Some(libc::ESRCH) => Err(e),
        _ => Ok(()),
    }
}
