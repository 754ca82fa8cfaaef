//! `ps`: list a container's processes, by their pids in the caller's pid namespace.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::id;
use crate::state::{Directory, Record};

/// Return the pids of a container's processes, ascending; a stopped container has none.
///
/// These are the processes of its cgroup and of the cgroups below. If the container has no cgroup,
/// they are the processes in the pid namespace of its init.
///
/// # Errors
/// There is no such container, its cgroup cannot be read, or it has neither a cgroup nor a pid
/// namespace of its own.
pub fn processes(root: &Path, id: &str) -> Result<Vec<i32>> {
    let list = || {
        id::check(id)?;
        let directory = Directory::open(root, id)?;
        let record = Record::load(&directory)?;
        if record.cgroup.is_none() {
            return by_namespace(&record);
        }
        let mut pids = record.cgroup.pids()?;
        // The kernel writes 0 for a process that is not in the reader's pid namespace.
        pids.retain(|pid| *pid > 0);
        Ok(pids)
    };
    list().map_err(|e: Error| e.within(format!("cannot list the processes of {id:?}")))
}

fn by_namespace(record: &Record) -> Result<Vec<i32>> {
    let Some(init) = record.living_init() else { return Ok(Vec::new()) };
    let namespace = |process: &str| {
        let path = format!("/proc/{process}/ns/pid");
        std::fs::metadata(&path).map(|m| (m.dev(), m.ino())).map_err(|e| (path, e))
    };
    let failed = |(path, e): (String, std::io::Error)| Error::io(path, "stat", &e);
    let theirs = namespace(&init.pid.to_string()).map_err(failed)?;
    if theirs == namespace("self").map_err(failed)? {
        return Err(Error::new(
            "the container has neither a cgroup nor a pid namespace of its own",
        )
        .hint("give it one: linux.cgroupsPath, or {\"type\": \"pid\"} in linux.namespaces"));
    }
    let entries = std::fs::read_dir("/proc").map_err(|e| Error::io("/proc", "open", &e))?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // Skip processes that end meanwhile, or that we may not look at.
    let inside = numbers
        .filter(|name| name.parse::<i32>().is_ok() && namespace(name).is_ok_and(|ns| ns == theirs));
    let mut pids: Vec<i32> = inside.filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}
