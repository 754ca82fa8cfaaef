//! The id maps of a user namespace: write them directly where the kernel allows it, else run the
//! setuid programs newuidmap(1) and newgidmap(1).

use std::fs;
use std::process::Command;

use crate::error::{Error, Result};
use crate::spec::IdMapping;
use crate::sys::{namespace, user};

/// Write both maps of the process's user namespace.
///
/// # Errors
/// The kernel refuses a map, or a setuid program fails or is missing.
pub fn write(pid: i32, uids: &[IdMapping], gids: &[IdMapping]) -> Result<()> {
    let (uid, gid) = (user::effective_uid(), user::effective_gid());
    if uid == 0 {
        put(pid, "uid_map", "linux.uidMappings", &lines(uids))?;
        return put(pid, "gid_map", "linux.gidMappings", &lines(gids));
    }
    if IdMapping::is_own(uids, uid) {
        put(pid, "uid_map", "linux.uidMappings", &lines(uids))?;
    } else {
        by_setuid_program("newuidmap", pid, "linux.uidMappings", uids)?;
    }
    if IdMapping::is_own(gids, gid) {
        // An unprivileged process may write gid_map only after it denied setgroups(2)
        // (user_namespaces(7)).
        put(pid, "setgroups", "linux.gidMappings", "deny")?;
        put(pid, "gid_map", "linux.gidMappings", &lines(gids))
    } else {
        by_setuid_program("newgidmap", pid, "linux.gidMappings", gids)
    }
}

/// Read `uid_map` or `gid_map` of a process. Its host ids are those of this process's user
/// namespace; if the process is in that one, each id is its own. The file has those of the parent
/// namespace then (user_namespaces(7)).
///
/// # Errors
/// The file cannot be read, or a line is not three numbers.
pub fn read(pid: i32, file: &str) -> Result<Vec<IdMapping>> {
    if namespace::same(pid, "user") {
        let own = |(id, size)| IdMapping { container_id: id, host_id: id, size };
        return Ok(user::ids_of_namespace(file).into_iter().map(own).collect());
    }
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, "open", &e))?;
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>().ok());
        let mut next = || numbers.next().flatten();
        Some(IdMapping { container_id: next()?, host_id: next()?, size: next()? })
    };
    let map: Option<Vec<IdMapping>> = text.lines().map(line).collect();
    map.ok_or_else(|| Error::new(format!("{path}: a line is not three numbers")))
}

fn lines(map: &[IdMapping]) -> String {
    let line = |m: &IdMapping| format!("{} {} {}\n", m.container_id, m.host_id, m.size);
    map.iter().map(line).collect()
}

fn put(pid: i32, file: &str, field: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    fs::write(&path, text).map_err(|e| {
        let error = Error::io(format!("{field}: {file} {:?}", text.trim_end()), "write", &e);
        match e.raw_os_error() {
            Some(libc::EPERM) => error.hint(
                "the ids on the host must be the caller's own, or be given to it in /etc/subuid \
                 and /etc/subgid",
            ),
            _ => error,
        }
    })
}

fn by_setuid_program(program: &str, pid: i32, field: &str, map: &[IdMapping]) -> Result<()> {
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    for m in map {
        command.args([m.container_id, m.host_id, m.size].map(|n| n.to_string()));
    }
    let output = command.output().map_err(|e| {
        Error::io(format!("{field}: {program}"), "execve", &e).hint(
            "mapping more than the caller's own id needs newuidmap and newgidmap (package uidmap)",
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let error = Error::new(format!("{field}: {program}: {}", output.status));
    let error = stderr.lines().fold(error, |error, line| error.detail(line.trim()));
    Err(error.hint(
        "the ids must be given to the caller in /etc/subuid and /etc/subgid; without a bundle, \
         --ids own maps the caller's alone",
    ))
}
