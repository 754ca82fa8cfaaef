//! OOM kills in the container's cgroup: how many there were, and a notification of each.
//!
//! Knows the files of both versions. The caller decides what to report.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::processes::keyed;
use super::{Cgroup, Group, Version};
use crate::sys::cgroupfs as sys;
use crate::sys::process::Exit;
use crate::{Error, Result};

impl Cgroup {
    /// How many processes of the cgroup the OOM killer has killed.
    ///
    /// # Errors
    /// There is no memory controller, its cgroup is hidden, or the counter cannot be read.
    pub fn oom_kills(&self) -> Result<u64> {
        let group = self.memory()?;
        group.dir()?;
        group
            .oom_kills()
            .map_err(|e| Error::io(format!("{}/{}", group.path, group.oom_file()), "read", &e))
    }

    /// The memory limit in bytes; `None` without a limit, or without the memory controller.
    pub fn memory_limit(&self) -> Option<u64> {
        /// v1's value for no limit, `PAGE_COUNTER_MAX` pages, is above this for any size of page.
        const UNLIMITED: u64 = 1 << 62;
        let group = self.with("memory")?;
        let file = match group.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        let limit = group.dir().ok()?.number(file).ok()?;
        (limit < UNLIMITED).then_some(limit)
    }

    /// Watch for OOM kills to come.
    ///
    /// # Errors
    /// There is no memory controller, its cgroup is hidden, or the kernel refuses the watch.
    pub fn oom_watch(&self) -> Result<OomWatch<'_>> {
        let group = self.memory()?;
        let dir = group.dir()?;
        let path = format!("{}/{}", group.path, group.oom_file());
        let (fd, call) = match group.version {
            Version::V2 => (sys::watch_file(&path), "inotify_add_watch"),
            Version::V1 => {
                let made = sys::eventfd().and_then(|fd| {
                    let of = dir.watch(group.oom_file())?;
                    let line = format!("{} {}", fd.as_raw_fd(), of.as_raw_fd());
                    dir.write("cgroup.event_control", &line)?;
                    Ok(fd)
                });
                (made, "write")
            }
        };
        let fd = fd.map_err(|e| Error::io(&path, call, &e))?;
        let seen = group.oom_kills().map_err(|e| Error::io(&path, "read", &e))?;
        Ok(OomWatch { group, fd, seen })
    }

    /// Count OOM kills in a v2 cgroup that systemd may remove as soon as it is empty. `None`
    /// without a v2 memory controller, or if its files cannot be opened.
    pub fn oom_count(&self) -> Option<OomCount> {
        let group = self.with("memory").filter(|group| group.version == Version::V2)?;
        let open = |file| group.dir().ok()?.watch(file).ok().map(File::from);
        let (events, max) = (open("memory.events")?, open("memory.max")?);
        let above = open("../memory.events").map(|file| (file, 0));
        let mut count = OomCount {
            events,
            max,
            above,
            limited: false,
            above_grew: false,
            kills: 0,
            limit: None,
            gone: false,
        };
        count.look();
        Some(count)
    }

    fn memory(&self) -> Result<&Group> {
        self.with("memory")
            .ok_or_else(|| Error::new("the container has no cgroup with the memory controller"))
    }
}

impl Group {
    fn oom_file(&self) -> &'static str {
        match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        }
    }

    fn oom_kills(&self) -> io::Result<u64> {
        let dir = self.dir().map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(keyed(&dir.read(self.oom_file())?, "oom_kill").unwrap_or(0))
    }
}

/// A notification of OOM kills.
pub struct OomWatch<'a> {
    group: &'a Group,
    fd: OwnedFd,
    seen: u64,
}

impl OomWatch<'_> {
    /// The descriptor to poll for reading.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The number of kills since the last call, which is often 0; `None` once the cgroup is gone.
    ///
    /// v1 notifies before it counts the kill in memory.oom_control, so the count of the eventfd is
    /// taken. v2 notifies of every change of memory.events, so the difference of `oom_kill` is
    /// taken.
    pub fn take(&mut self) -> Option<u64> {
        let notified = sys::drain(self.fd.as_fd()).ok()?;
        let now = self.group.oom_kills().ok()?;
        let more = now.saturating_sub(std::mem::replace(&mut self.seen, now));
        match self.group.version {
            Version::V1 => Some(notified),
            Version::V2 => Some(more),
        }
    }
}

/// The counters of a cgroup at the last look. Once a cgroup is removed its files cannot be read any
/// more, not even by descriptors that are already open.
pub struct OomCount {
    events: File,
    max: File,
    /// The parent's memory.events, which also counts this cgroup and outlives it, and its number of
    /// kills at the last look.
    above: Option<(File, u64)>,
    /// Whether the cgroup had reached its limit at the last look.
    limited: bool,
    /// Whether the parent has counted a kill between the last look and the end of the cgroup.
    above_grew: bool,
    kills: u64,
    limit: Option<u64>,
    gone: bool,
}

impl OomCount {
    /// Read the counters, unless the cgroup is gone.
    ///
    /// The kernel counts an OOM kill before it kills, and then notifies by POLLPRI, but at most
    /// once in 10 ms (kernel/cgroup/cgroup.c). After a kill within these 10 ms the cgroup may be
    /// gone before it is read again. Then [`OomCount::judge`] asks the parent's count.
    pub fn look(&mut self) {
        if self.gone {
            return;
        }
        let above = |count: &Self| {
            count.above.as_ref().and_then(|(file, _)| keyed(&read(file)?, "oom_kill"))
        };
        let before = above(self);
        match read(&self.events) {
            Some(text) => {
                let seen = |key| keyed(&text, key).unwrap_or(0);
                // The kernel counts `oom` first, and then has to kill a process.
                self.kills = seen("oom_kill").max(seen("oom"));
                self.limited = seen("max") > 0;
                if let (Some((_, last)), Some(now)) = (&mut self.above, before) {
                    *last = now;
                }
            }
            None => {
                self.gone = true;
                // Read the parent again, since the kill may have come after the first read.
                let last = self.above.as_ref().map(|(_, last)| *last);
                self.above_grew = self.kills == 0 && above(self) > last;
            }
        }
        if let Some(text) = read(&self.max) {
            self.limit = text.trim().parse().ok();
        }
    }

    /// Take a kill that the parent has counted for one of this cgroup, if the cgroup was gone
    /// before it could be read. The parent counts its other children as well. So the program must
    /// have ended by SIGKILL, and a look must have seen that the cgroup had reached its limit. The
    /// last look may have been too early for that: then half of the limit suffices, if the program
    /// had so much in memory at its most (`most`, in bytes).
    pub fn judge(&mut self, exit: Option<Exit>, most: u64) {
        let large = || self.limit.is_some_and(|limit| most >= limit / 2);
        let killed = exit == Some(Exit::Signal(libc::SIGKILL));
        if self.above_grew && killed && (self.limited || large()) {
            self.kills = 1;
        }
    }

    /// Whether the cgroup is gone. Its descriptor must not be polled any more: it is always ready.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// How many processes the OOM killer had killed, or was about to kill, at the last look.
    pub fn kills(&self) -> u64 {
        self.kills
    }

    /// The memory limit in bytes at the last look.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }
}

/// The whole text of a small file; `None` if its cgroup is gone.
fn read(file: &File) -> Option<String> {
    let mut bytes = [0; 512];
    let length = file.read_at(&mut bytes, 0).ok()?;
    str::from_utf8(&bytes[..length]).ok().map(str::to_owned)
}

impl AsFd for OomCount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}
