//! Room for init under a memory limit that has none.
//!
//! cgroup v2 counts what the kernel itself needs for a process and its mounts; and while execve(2)
//! changes programs, both of them count. So a limit below [`ROOM_BYTES`] is that much until the
//! container's program runs, and then what was asked for. Knows memory.max alone.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::dir::Dir;
use super::{Cgroup, Setting, Version};
use crate::{Error, Result};

/// Enough for init and its change of programs, and for what the kernel frees late: 120 to 280 KiB
/// were measured on Linux 6.1.
const ROOM_BYTES: i64 = 1 << 20;

/// How long what init has left may take to be freed, since a limit below what is in use kills.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a limit waits until the program runs.
fn waits(limit_bytes: i64) -> bool {
    (1..ROOM_BYTES).contains(&limit_bytes)
}

/// The settings as they are while the container is made.
pub fn with_room(settings: &[Setting]) -> Cow<'_, [Setting]> {
    let tight = |setting: &Setting| {
        setting.version == Version::V2
            && setting.file == "memory.max"
            && setting.value.parse().is_ok_and(waits)
    };
    let mut settings = Cow::Borrowed(settings);
    if let Some(index) = settings.iter().position(tight) {
        settings.to_mut()[index].value = ROOM_BYTES.to_string();
    }
    settings
}

impl Cgroup {
    /// Set `linux.resources.memory.limit`, if it has waited for the program to run.
    pub fn tighten(&self, limit_bytes: Option<i64>) -> Result<()> {
        let group = self.v2().filter(|group| group.controllers.iter().any(|c| c == "memory"));
        let (Some(limit), Some(group)) = (limit_bytes.filter(|it| waits(*it)), group) else {
            return Ok(());
        };
        let dir = group.dir()?;
        make_room(dir, limit.unsigned_abs());
        dir.write("memory.max", &limit.to_string()).map_err(|e| {
            Error::io(format!("{}/memory.max", group.path), "write", &e)
                .within("linux.resources.memory.limit")
        })
    }
}

/// Wait until no more than `limit_bytes` are in use.
///
/// What each processor has charged in advance counts too, and is given back on pressure only: a
/// memory.high of that much makes some, and kills nobody. It is taken back at once, since it slows
/// the program. What fails here is told by the write that follows.
fn make_room(dir: &Dir, limit_bytes: u64) {
    let high = dir.read("memory.high").unwrap_or_default();
    let end = Instant::now() + PATIENCE;
    let in_use = || dir.number("memory.current").is_ok_and(|used| used > limit_bytes);
    while in_use() && Instant::now() < end {
        let _ = dir.write("memory.high", &limit_bytes.to_string());
        let _ = dir.write("memory.high", high.trim());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::probe::Hierarchies;

    #[test]
    fn only_a_limit_that_is_too_tight_waits() {
        assert!(waits(1) && waits(131_072) && waits(ROOM_BYTES - 1));
        assert!(!waits(-1) && !waits(0) && !waits(ROOM_BYTES));
    }

    #[test]
    fn without_a_limit_nothing_is_copied() {
        assert!(matches!(with_room(&[]), Cow::Borrowed([])));
        let nothing = Cgroup::locate(None, "a", &Hierarchies::default()).unwrap();
        nothing.tighten(Some(1)).unwrap();
    }
}
