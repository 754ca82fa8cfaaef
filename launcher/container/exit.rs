//! Describe how a container's process ended, and say so if the OOM killer ended it.

use crate::cgroup::OomCount;
use crate::error::Error;
use crate::signals::ending;
use crate::state::Record;
use crate::sys::process::Exit;

/// Return the error for an init that ended when it should not have.
pub fn unexpected(record: &Record, exit: Option<Exit>, what: &str) -> Error {
    if let Some(text) = oom(record, exit, None) {
        return Error::new(format!(
            "container init was OOM-killed (memory limit too low?): {text}"
        ))
        .hint("raise linux.resources.memory.limit");
    }
    match exit {
        Some(exit) => Error::new(format!("{what}: {}", ending(exit))),
        None => Error::new(what),
    }
}

/// Return a text with the memory limit and its field, if the OOM killer killed a process of the
/// container. `count`, if given, replaces the cgroup's counter, since the cgroup may be gone.
pub fn oom(record: &Record, exit: Option<Exit>, count: Option<&OomCount>) -> Option<String> {
    if !matches!(exit, None | Some(Exit::Signal(libc::SIGKILL) | Exit::Status(137))) {
        return None;
    }
    let (kills, limit) = match count {
        Some(count) => (count.kills(), count.limit()),
        None => (record.cgroup.oom_kills().ok()?, record.cgroup.memory_limit()),
    };
    if kills == 0 {
        return None;
    }
    Some(match limit {
        Some(limit) => format!(
            "the kernel's OOM killer, linux.resources.memory.limit {limit} bytes ({})",
            readable(limit)
        ),
        None => "the kernel's OOM killer".to_owned(),
    })
}

fn readable(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}
