//! What the kernel kills for want of memory: counted, and told as it happens.
//!
//! Knows the files of both versions. What a caller says about it is the caller's.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::processes::keyed;
use super::{Cgroup, Group, Version};
use crate::sys::cgroupfs as sys;
use crate::{Error, Result};

impl Cgroup {
    /// How many processes the kernel has killed for want of memory.
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

    /// The memory limit in bytes; nothing if there is none, or no memory controller.
    pub fn memory_limit(&self) -> Option<u64> {
        /// What v1 calls unlimited: `PAGE_COUNTER_MAX` pages, for any size of page.
        const UNLIMITED: u64 = 1 << 62;
        let group = self.with("memory")?;
        let file = match group.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        let limit = group.dir().ok()?.number(file).ok()?;
        (limit < UNLIMITED).then_some(limit)
    }

    /// Be told of what comes.
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

    /// Count along, in a cgroup of version 2 that somebody else may take away.
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

/// Notification of processes that the kernel kills for want of memory.
pub struct OomWatch<'a> {
    group: &'a Group,
    fd: OwnedFd,
    seen: u64,
}

impl OomWatch<'_> {
    /// To be polled for reading.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// How many since it was asked last, often 0; nothing once the cgroup is gone.
    ///
    /// v1 tells before it kills, so that the eventfd's count is taken there, and v2 tells of
    /// all that memory.events counts, so that the difference is.
    pub fn take(&mut self) -> Option<u64> {
        let told = sys::drain(self.fd.as_fd()).ok()?;
        let now = self.group.oom_kills().ok()?;
        let more = now.saturating_sub(std::mem::replace(&mut self.seen, now));
        match self.group.version {
            Version::V1 => Some(told),
            Version::V2 => Some(more),
        }
    }
}

/// What a cgroup has counted, remembered from one look to the next: its files cannot be read any
/// more once it is gone, not even by whoever has them open.
pub struct OomCount {
    events: File,
    max: File,
    /// The parent's, which counts along and stays, and what it had counted at the last look.
    above: Option<(File, u64)>,
    /// The program has met its limit.
    limited: bool,
    /// The parent has counted a kill between the last look and the cgroup's end.
    above_grew: bool,
    kills: u64,
    limit: Option<u64>,
    gone: bool,
}

impl OomCount {
    /// Look now, if the cgroup is still there.
    ///
    /// The kernel counts before it kills, and wakes those who poll for POLLPRI as it counts, but
    /// only once in 10 ms (kernel/cgroup/cgroup.c): of a kill so soon after the limit was met, what
    /// the parent has counted since then tells. It counts its other children's too: whether this
    /// one had reason to be killed is known by its limit.
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
                // oom is counted first, and means that there is no way but to kill one.
                self.kills = seen("oom_kill").max(seen("oom"));
                self.limited = seen("max") > 0;
                if let (Some((_, last)), Some(now)) = (&mut self.above, before) {
                    *last = now;
                }
            }
            None => {
                self.gone = true;
                // Once more: it may have happened meanwhile.
                let last = self.above.as_ref().map(|(_, last)| *last);
                self.above_grew = self.kills == 0 && above(self) > last;
                self.judge(self.limited);
            }
        }
        if let Some(text) = read(&self.max) {
            self.limit = text.trim().parse().ok();
        }
    }

    /// The most that the program had in memory, in bytes, told at its end: half of the limit and
    /// more is a reason, where nobody was quick enough to see it met.
    pub fn had_at_most(&mut self, bytes: u64) {
        self.judge(self.limit.is_some_and(|limit| bytes >= limit / 2));
    }

    fn judge(&mut self, reason: bool) {
        if self.above_grew && reason {
            self.kills = 1;
        }
    }

    /// Whether there is nothing more to come: a file of a cgroup that is gone is always ready.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// How many processes the kernel had killed for want of memory, or was about to, when it was
    /// last looked.
    pub fn kills(&self) -> u64 {
        self.kills
    }

    /// The memory limit in bytes, as it was then.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }
}

/// All of a small file, from its beginning; nothing if its cgroup is gone.
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
