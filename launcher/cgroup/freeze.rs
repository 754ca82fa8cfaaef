//! Freeze, thaw and kill all processes of the container.
//!
//! Knows the v2 freezer and `cgroup.kill`, and the v1 freezer with its races. On a hybrid machine
//! the v2 freezer is used, since SIGKILL ends a process that it has frozen. A v1 freezer that
//! another program has set counts as frozen, and is thawed as well.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::dir::{Dir, read_path};
use super::freezers::frozen_at;
use super::processes::{is_gone, keyed, kill, pids_below};
use super::{Cgroup, Group, Version};
use crate::sys::cgroupfs as sys;
use crate::{Error, Result};

/// How long freezing may take; a process in uninterruptible sleep delays it.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Freeze every process. After a failure the cgroup is thawed again, as far as that succeeds.
    ///
    /// # Errors
    /// There is no freezer, it is hidden or cannot be written, or the processes do not stop in
    /// time.
    pub fn freeze(&self) -> Result<()> {
        let group = self.freezer()?;
        let dir = group.dir()?;
        let done = match group.version {
            Version::V1 => freeze_v1(dir),
            Version::V2 => switch_v2(dir, true),
        };
        done.map_err(|e| {
            // A second error is dropped: the first one says more.
            thaw_one(dir, group.version).ok();
            refusal(group, "freeze", &e)
        })
    }

    /// Thaw every process, whichever freezer has frozen it.
    ///
    /// # Errors
    /// There is no freezer, one is hidden or cannot be written, or the processes do not continue in
    /// time.
    pub fn thaw(&self) -> Result<()> {
        self.freezer()?;
        for group in self.freezers() {
            let dir = group.dir()?;
            if group.version == Version::V2 || is_frozen(dir) {
                thaw_one(dir, group.version).map_err(|e| refusal(group, "thaw", &e))?;
            }
        }
        Ok(())
    }

    /// Whether the processes are frozen or being frozen; false without a freezer.
    ///
    /// # Errors
    /// A freezer cannot be seen from here.
    pub fn frozen(&self) -> Result<bool> {
        for group in self.freezers() {
            match frozen_at(&group.path, group.version) {
                Some(true) => return Ok(true),
                Some(false) => continue,
                None => {}
            }
            match group.dir() {
                Ok(dir) if is_frozen(dir) => return Ok(true),
                Err(e) if e.errno() != Some(libc::ENOENT) => return Err(e),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Send SIGKILL to every process, also to frozen ones.
    ///
    /// No process escapes by a fork if the kernel has `cgroup.kill` (Linux 5.14), or if the cgroup
    /// can be frozen first. Otherwise each process that is listed is killed, in 64 rounds.
    ///
    /// # Errors
    /// The cgroup is hidden, or kill(2) or a write to it fails. A cgroup that is removed has no
    /// processes.
    pub fn kill(&self) -> Result<()> {
        let group = self.primary()?;
        let dir = match group.dir() {
            Err(e) if e.errno() == Some(libc::ENOENT) => return Ok(()),
            other => other?,
        };
        match dir.write("cgroup.kill", "1") {
            Ok(()) => {}
            Err(e) if is_gone(&e) => self.kill_each(dir)?,
            Err(e) => return Err(Error::io(format!("{}/cgroup.kill", group.path), "write", &e)),
        }
        // A process that the v1 freezer has frozen dies only after it is thawed.
        match self.v1("freezer").map(Group::dir) {
            Some(Ok(freezer)) if is_frozen(freezer) => thaw_one(freezer, Version::V1)
                .map_err(|e| Error::io(format!("{}/freezer.state", freezer.path()), "write", &e)),
            Some(Err(e)) if e.errno() != Some(libc::ENOENT) => Err(e),
            _ => Ok(()),
        }
    }

    /// Kill without `cgroup.kill`, before Linux 5.14 or in v1. Frozen processes cannot fork, so
    /// that their list is complete.
    fn kill_each(&self, dir: &Dir) -> Result<()> {
        let frozen = self.freeze().is_ok();
        let result = (0..if frozen { 1 } else { 64 })
            .try_for_each(|_| pids_below(dir)?.into_iter().try_for_each(kill));
        if frozen {
            self.thaw()?;
        }
        result.map_err(|e: io::Error| Error::io(dir.path(), "kill", &e))
    }

    /// The directory of the freezer that CRIU is to use, if there is one.
    ///
    /// CRIU attaches to frozen processes, and has them thawed by that freezer alone. On a hybrid
    /// machine it uses v1's, so a container that v2's has frozen is given over to v1's.
    ///
    /// # Errors
    /// A freezer is hidden or removed, or cannot be written. The container is frozen by a cgroup
    /// above its own: CRIU would wait for its processes for ever.
    pub fn freezer_for_criu(&self) -> Result<Option<&str>> {
        let Some(group) = self.v1("freezer").or(self.v2()) else { return Ok(None) };
        let dir = group.dir()?;
        if group.version == Version::V1
            && let Some(other) = self.v2()
            && is_frozen(other.dir()?)
        {
            freeze_v1(dir).map_err(|e| refusal(group, "freeze", &e))?;
            thaw_one(other.dir()?, Version::V2).map_err(|e| refusal(other, "thaw", &e))?;
        }
        for group in self.freezers() {
            if frozen_from_above(group.dir()?, group.version) {
                let text = format!("{}: a cgroup above it is frozen", group.path);
                return Err(Error::new(text).hint("thaw that cgroup first"));
            }
        }
        Ok(Some(&group.path))
    }

    fn freezers(&self) -> impl Iterator<Item = &Group> {
        self.v2().into_iter().chain(self.v1("freezer"))
    }

    fn freezer(&self) -> Result<&Group> {
        self.freezers().next().ok_or_else(|| {
            Error::new("the container has no cgroup that could be frozen")
                .hint("the v1 freezer controller, or cgroup v2, is needed")
        })
    }
}

fn refusal(group: &Group, verb: &str, e: &io::Error) -> Error {
    if e.kind() == io::ErrorKind::TimedOut {
        let text = format!("{}: did not {verb} within {} s", group.path, PATIENCE.as_secs());
        return Error::new(text).hint("a process waits for a device or a file system that hangs");
    }
    let file = match group.version {
        Version::V1 => "freezer.state",
        Version::V2 => "cgroup.freeze",
    };
    Error::io(format!("{}/{file}", group.path), "write", e)
}

/// Whether a v1 or v2 cgroup is frozen, directly or by a cgroup above it.
pub(super) fn is_frozen(dir: &Dir) -> bool {
    match dir.read("freezer.state") {
        Ok(state) => state.trim() != "THAWED",
        Err(_) => {
            dir.read("cgroup.freeze").is_ok_and(|own| own.trim() == "1")
                || dir.read("cgroup.events").is_ok_and(|e| keyed(&e, "frozen") == Some(1))
        }
    }
}

fn thaw_one(dir: &Dir, version: Version) -> io::Result<()> {
    match version {
        Version::V1 => dir.write("freezer.state", "THAWED"),
        Version::V2 => switch_v2(dir, false),
    }
}

/// v2: write cgroup.freeze, and wait until cgroup.events shows the state; the kernel notifies of
/// each change.
fn switch_v2(dir: &Dir, freeze: bool) -> io::Result<()> {
    let wanted = u64::from(freeze);
    let end = Instant::now() + PATIENCE;
    let events = dir.watch("cgroup.events")?;
    dir.write("cgroup.freeze", if freeze { "1" } else { "0" })?;
    loop {
        let now = keyed(&sys::read_all(events.as_fd())?, "frozen");
        // If a cgroup above is frozen, ours is thawed and its processes stay frozen.
        if now == Some(wanted) || (!freeze && above_is_frozen(dir)) {
            return Ok(());
        }
        let left = end.saturating_duration_since(Instant::now()).as_millis();
        if left == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sys::wait_change(events.as_fd(), i32::try_from(left).unwrap_or(i32::MAX))?;
        sys::rewind(events.as_fd())?;
    }
}

fn above_is_frozen(dir: &Dir) -> bool {
    let parent = super::parent_of(dir.path());
    let events = read_path(&format!("{parent}/cgroup.events")).unwrap_or_default();
    keyed(&events, "frozen") == Some(1)
}

fn frozen_from_above(dir: &Dir, version: Version) -> bool {
    match version {
        Version::V1 => dir.read("freezer.parent_freezing").is_ok_and(|it| it.trim() == "1"),
        Version::V2 => above_is_frozen(dir),
    }
}

/// v1: the state stays FREEZING while a process forks or enters the cgroup. Write again, and thaw
/// for a moment after each 50 tries, until it is FROZEN. v1 does not notify, so this sleeps.
fn freeze_v1(dir: &Dir) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    for attempt in 1u32.. {
        dir.write("freezer.state", "FROZEN")?;
        if dir.read("freezer.state")?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() > end {
            break;
        }
        if attempt % 50 == 0 {
            dir.write("freezer.state", "THAWED")?;
        }
        let pause = if attempt < 100 { 10 } else { 1000 };
        std::thread::sleep(Duration::from_micros(pause));
    }
    Err(io::ErrorKind::TimedOut.into())
}
