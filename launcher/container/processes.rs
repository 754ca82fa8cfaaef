//! `ps`: which processes a container has, by the pids that the caller sees.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::id;
use crate::state::{Directory, Record};

/// The pids of a container's processes, ascending; none of one that has stopped.
///
/// They are those of its cgroup, and of the cgroups that it has made below; if it has none of its
/// own, those in the pid namespace of its init.
///
/// # Errors
/// There is no such container, or nothing tells its processes from others.
pub fn processes(root: &Path, id: &str) -> Result<Vec<i32>> {
    let list = || {
        id::check(id)?;
        let directory = Directory::open(root, id)?;
        let record = Record::load(&directory)?;
        if record.cgroup.is_none() {
            return by_namespace(&record);
        }
        let mut pids = record.cgroup.pids()?;
        // 0 stands for a process that the caller's own pid namespace does not show.
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
    // One that ends, or that we may not look at, is not among them.
    let inside = numbers
        .filter(|name| name.parse::<i32>().is_ok() && namespace(name).is_ok_and(|ns| ns == theirs));
    let mut pids: Vec<i32> = inside.filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}
