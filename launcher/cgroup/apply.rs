//! Write the settings and explain a refused one; read the values that they replace, to undo them.
//!
//! Knows the directory of each controller, and the meaning of the kernel's errnos for each file.

use std::io;

use super::dir::Dir;
use super::probe::Version;
use super::{Cgroup, Setting, parent_of};
use crate::spec::limits::{self, Value};
use crate::{Error, Result};

impl Cgroup {
    /// Write the settings in order. A setting that fails with EINVAL is written again at the end:
    /// v1's memory and memsw limits, and the quota, period and burst of cpu, limit each other, so
    /// that the right order depends on the old values.
    ///
    /// # Errors
    /// The kernel refuses a value, a file is missing, a cgroup is hidden, or a limit with
    /// checkBeforeUpdate is below the memory in use.
    pub fn apply(&self, settings: &[Setting]) -> Result<()> {
        let mut again = Vec::new();
        for setting in settings {
            let dir = self.dir_of(setting)?;
            not_in_use(dir, setting)?;
            match write(dir, setting) {
                Ok(()) => {}
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => again.push(setting),
                Err(e) => return Err(refused(dir, setting, &e)),
            }
        }
        for setting in again {
            let dir = self.dir_of(setting)?;
            write(dir, setting).map_err(|e| refused(dir, setting, &e))?;
        }
        Ok(())
    }

    /// The current values of the files, as settings that undo these. Files that do not exist are
    /// left out, since these settings fail for them as well.
    ///
    /// # Errors
    /// A cgroup is hidden, or one of its files cannot be read.
    pub fn snapshot(&self, settings: &[Setting]) -> Result<Vec<Setting>> {
        let mut old: Vec<Setting> = Vec::new();
        for setting in settings {
            let dir = self.dir_of(setting)?;
            let (file, text) = match (dir.read(&setting.file), &setting.fallback) {
                (Err(e), Some((other, _))) if e.kind() == io::ErrorKind::NotFound => {
                    (other.clone(), dir.read(other))
                }
                (text, _) => (setting.file.clone(), text),
            };
            let text = match text {
                // The file does not exist, or cannot be read: there is no old value.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => continue,
                Err(e) => return Err(Error::io(format!("{}/{file}", dir.path()), "read", &e)),
                Ok(text) => text,
            };
            for value in old_values(&file, &text, setting) {
                let fallback = None;
                old.push(Setting {
                    file: file.clone(),
                    value: Value::read(&value),
                    fallback,
                    usage: None,
                    ..setting.clone()
                });
            }
        }
        // In reverse, so that a setting is undone before an earlier one that it depends on.
        old.reverse();
        Ok(old)
    }

    fn dir_of(&self, setting: &Setting) -> Result<&Dir> {
        match self.groups.iter().find(|group| setting.is_in(group)) {
            Some(group) => group.dir(),
            None => Err(Error::new(format!(
                "{}: the container has no cgroup with the {} controller",
                setting.origin, setting.controller
            ))),
        }
    }
}

fn write(dir: &Dir, setting: &Setting) -> io::Result<()> {
    let mut result = dir.write(&setting.file, &setting.value.to_string());
    let missing = |r: &io::Result<()>| matches!(r, Err(e) if e.kind() == io::ErrorKind::NotFound);
    if missing(&result)
        && let Some((file, value)) = &setting.fallback
    {
        result = dir.write(file, &value.to_string());
    }
    if missing(&result) && setting.missing_ok { Ok(()) } else { result }
}

/// memory.checkBeforeUpdate: refuse a limit below the memory in use, for which the kernel would
/// kill processes.
fn not_in_use(dir: &Dir, setting: &Setting) -> Result<()> {
    let Some(file) = setting.usage else { return Ok(()) };
    let used =
        dir.number(file).map_err(|e| Error::io(format!("{}/{file}", dir.path()), "read", &e))?;
    match setting.value.number() {
        Some(limit) if limit < used.into() => Err(Error::new(format!(
            "{}: {limit} bytes are less than the {used} bytes in use ({}/{file})",
            setting.origin,
            dir.path()
        ))),
        _ => Ok(()),
    }
}

/// The old content of a file, as values that can be written to it.
fn old_values(file: &str, text: &str, setting: &Setting) -> Vec<String> {
    let first = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    if let Some(unset) = &setting.unset {
        let key = first(unset);
        let line = text.lines().find(|line| first(line) == key);
        return vec![line.unwrap_or(unset).to_owned()];
    }
    match file {
        "memory.oom_control" => {
            let off = super::processes::keyed(text, "oom_kill_disable").unwrap_or(0);
            vec![off.to_string()]
        }
        // The first line is the default, each other line is for a device.
        "io.bfq.weight" | "io.weight" | "blkio.bfq.weight" => {
            let line = text.lines().next().unwrap_or_default();
            vec![line.trim_start_matches("default ").to_owned()]
        }
        _ => match text.trim_end().lines().map(str::to_owned).collect::<Vec<_>>() {
            // An empty list is written as an empty line, since write(2) of zero bytes does nothing.
            lines if lines.is_empty() => vec!["\n".into()],
            lines => lines,
        },
    }
}

/// The error of a refused setting: its field, file, value and errno, and the values that the kernel
/// accepts.
fn refused(dir: &Dir, setting: &Setting, e: &io::Error) -> Error {
    let (path, value) = (dir.path(), setting.value.to_string());
    let place = format!("{}: {path}/{} = {value:?}", setting.origin, setting.file);
    let call = match e.raw_os_error() {
        Some(libc::ENOENT | libc::EACCES | libc::EROFS) => "open",
        _ => "write",
    };
    let mut error = Error::io(place, call, e);
    match e.raw_os_error() {
        Some(libc::ENOENT) => missing_file(dir, setting, error),
        Some(libc::EBUSY) if setting.controller == "memory" => {
            let file = match setting.version {
                Version::V1 => "memory.usage_in_bytes",
                Version::V2 => "memory.current",
            };
            if let Ok(used) = dir.number(file) {
                error = error.detail(format!("in use: {used} bytes, and no more can be freed"));
            }
            error.hint("a limit below what is in use cannot be set")
        }
        Some(libc::EINVAL | libc::EACCES | libc::ERANGE | libc::ENOSPC | libc::EBUSY)
            if setting.controller == "cpuset" =>
        {
            let allowed = cpuset_above(path, &setting.file, setting.version);
            match allowed {
                Some(allowed) => error.detail(format!("allowed there: {allowed}")),
                None => error,
            }
        }
        Some(libc::ENODEV | libc::ENXIO) => {
            let number = value.split(' ').next().unwrap_or_default();
            error.hint(format!("there is no device {number}; see /proc/partitions"))
        }
        Some(libc::EINVAL) => match range(&setting.file) {
            Some(range) => error.hint(range),
            None => error,
        },
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => {
            error.hint("this cgroup is not delegated to this user, or is mounted read-only")
        }
        _ => error,
    }
}

fn missing_file(dir: &Dir, setting: &Setting, error: Error) -> Error {
    if setting.version == Version::V2 && !setting.controller.is_empty() {
        let have = dir.read("cgroup.controllers").unwrap_or_default();
        if !have.split_whitespace().any(|c| c == setting.controller) {
            let text = format!(
                "the {} controller is not enabled in {}; cgroup.controllers has: {}",
                setting.controller,
                dir.path(),
                have.trim()
            );
            return error
                .detail(text)
                .hint("enable it in cgroup.subtree_control of every cgroup above");
        }
    }
    match setting.file.as_str() {
        "memory.memsw.limit_in_bytes" | "memory.swap.max" => {
            error.hint("the kernel does not account for swap: boot with swapaccount=1")
        }
        file if file.starts_with("hugetlb.") => {
            let sizes = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten();
            let names = sizes.filter_map(|e| e.ok()?.file_name().into_string().ok());
            let list: Vec<String> = names.collect();
            error.detail(format!("page sizes of this machine: {}", list.join(", ")))
        }
        file if file.contains("leaf_weight") => error.hint("gone since Linux 5.0"),
        file if file.contains("weight") => {
            error.hint("the kernel has neither the BFQ scheduler nor an I/O cost model")
        }
        file => match limits::of_file(file).map(|limit| limit.since) {
            Some(since) if !since.is_empty() => error.hint(format!("needs Linux {since}")),
            _ => error.hint("this kernel's cgroups have no such file"),
        },
    }
}

/// The CPUs or memory nodes of the cgroup above.
fn cpuset_above(path: &str, file: &str, version: Version) -> Option<String> {
    let file = match version {
        Version::V1 => file.to_owned(),
        Version::V2 => format!("{file}.effective"),
    };
    let text = super::dir::read_path(&format!("{}/{file}", parent_of(path))).ok()?;
    Some(text.trim().to_owned())
}

/// The values that the kernel accepts, for files where EINVAL means that the value is out of range.
fn range(file: &str) -> Option<&'static str> {
    Some(match file {
        "cpu.cfs_quota_us" | "cpu.cfs_period_us" | "cpu.max" => {
            "quota and period are from 1000 us up, the period at most 1000000 us, and their ratio \
             not above that of the cgroups above"
        }
        "cpu.rt_runtime_us" | "cpu.rt_period_us" => {
            "the runtime is at most the period, and what the cgroup above has left; one that was \
             just made has none"
        }
        "memory.limit_in_bytes" | "memory.memsw.limit_in_bytes" => {
            "memory.limit is at most memory.swap, which counts both together"
        }
        _ => return limits::of_file(file)?.hint,
    })
}
