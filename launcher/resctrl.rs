//! Intel RDT: a container's class of service in the resctrl file system (the kernel's
//! filesystems/resctrl.rst), and its share of cache and of memory bandwidth.
//!
//! Knows directories and the file `schemata`. Must not know what a schema says: the kernel does,
//! and its own words about a wrong one are told.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::spec::IntelRdt;

/// Lines for the file `schemata`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Schemata<'a> {
    /// Line L3.
    pub l3_cache: Option<&'a str>,
    /// Line MB.
    pub memory_bandwidth: Option<&'a str>,
}

impl<'a> Schemata<'a> {
    /// The lines in the order in which they are written, each with the field it is from.
    fn lines(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let named = [("l3CacheSchema", self.l3_cache), ("memBwSchema", self.memory_bandwidth)];
        named.into_iter().filter_map(|(field, line)| Some((field, line?)))
    }

    /// Let the configuration say what is the case.
    pub fn remember(&self, rdt: &mut IntelRdt) {
        if let Some(line) = self.l3_cache {
            rdt.l3_cache_schema = Some(line.to_owned());
        }
        if let Some(line) = self.memory_bandwidth {
            rdt.mem_bw_schema = Some(line.to_owned());
        }
    }
}

/// The class of service of one container.
#[derive(Debug)]
pub struct Class {
    directory: PathBuf,
}

impl Class {
    /// The class of a container that has one; nothing if no schema is asked for.
    ///
    /// # Errors
    /// A schema is asked for, and the container has no class, or this machine no resctrl.
    pub fn of(rdt: Option<&IntelRdt>, id: &str, wanted: &Schemata<'_>) -> Result<Option<Class>> {
        let Some((field, _)) = wanted.lines().next() else { return Ok(None) };
        let Some(rdt) = rdt else {
            return Err(Error::new(format!("{field}: the container has no class of service"))
                .hint("create it with linux.intelRdt in its config.json"));
        };
        let mountinfo = "/proc/self/mountinfo";
        let text = fs::read_to_string(mountinfo).map_err(|e| Error::io(mountinfo, "read", &e))?;
        let mount = mounted(&text).ok_or_else(|| {
            Error::new(format!("{field}: the resctrl file system is not mounted"))
                .hint("on a processor that has it: mount -t resctrl resctrl /sys/fs/resctrl")
        })?;
        let class = rdt.clos_id.as_deref().unwrap_or(id);
        Ok(Some(Class { directory: mount.join(class.trim_start_matches('/')) }))
    }

    /// What the class has now.
    pub fn snapshot(&self) -> Result<String> {
        let path = self.directory.join("schemata");
        fs::read_to_string(&path).map_err(|e| {
            Error::io(path.display(), "read", &e).hint("the container's class of service is gone")
        })
    }

    /// Give the class other shares.
    pub fn apply(&self, wanted: &Schemata<'_>) -> Result<()> {
        wanted.lines().try_for_each(|(field, line)| self.write(field, line))
    }

    /// The shares as [`Class::snapshot`] had them.
    pub fn restore(&self, before: &str) -> Result<()> {
        before.lines().try_for_each(|line| self.write("schemata", line.trim()))
    }

    fn write(&self, field: &str, line: &str) -> Result<()> {
        let path = self.directory.join("schemata");
        let write = || {
            let mut file = fs::File::options().write(true).open(&path)?;
            // One write(2): the kernel takes whole lines.
            file.write_all(format!("{line}\n").as_bytes())
        };
        write().map_err(|e| {
            let error = Error::io(format!("{field}: {} = {line:?}", path.display()), "write", &e);
            let said = self.directory.ancestors().map(|at| at.join("info/last_cmd_status"));
            match said.filter_map(|file| fs::read_to_string(file).ok()).next() {
                Some(words) if words.trim() != "ok" => error.kernel(&words),
                _ => error,
            }
        })
    }
}

/// Where resctrl is mounted, proc_pid_mountinfo(5).
fn mounted(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let kind = after.split(' ').next()?;
        (kind == "resctrl").then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found() {
        let text = "24 1 0:22 / /sys rw - sysfs sysfs rw\n\
                    40 24 0:40 / /sys/fs/resctrl rw,relatime - resctrl resctrl rw\n";
        assert_eq!(mounted(text), Some(PathBuf::from("/sys/fs/resctrl")));
        assert_eq!(mounted("24 1 0:22 / /sys rw - sysfs sysfs rw\n"), None);
    }

    #[test]
    fn a_container_without_a_class_is_told_what_it_lacks() {
        let wanted = Schemata { l3_cache: Some("L3:0=f"), ..Schemata::default() };
        let error = Class::of(None, "web", &wanted).expect_err("no class").to_string();
        assert!(error.contains("l3CacheSchema") && error.contains("linux.intelRdt"), "{error}");
        assert!(matches!(Class::of(None, "web", &Schemata::default()), Ok(None)));
    }

    #[test]
    fn lines_are_written_and_remembered() {
        let directory = std::env::temp_dir().join(format!("tiny-ce-rdt-{}", std::process::id()));
        fs::create_dir(&directory).expect("a directory");
        fs::write(directory.join("schemata"), "").expect("a file");
        let class = Class { directory: directory.clone() };
        let wanted = Schemata { memory_bandwidth: Some("MB:0=50"), ..Schemata::default() };
        let applied = class.apply(&wanted);
        let now = class.snapshot();
        fs::remove_dir_all(&directory).expect("removed");
        assert_eq!((applied, now.as_deref()), (Ok(()), Ok("MB:0=50\n")));
        let mut rdt = IntelRdt::default();
        wanted.remember(&mut rdt);
        assert_eq!((rdt.l3_cache_schema, rdt.mem_bw_schema.as_deref()), (None, Some("MB:0=50")));
        assert!(class.snapshot().is_err());
    }
}
