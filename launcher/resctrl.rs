//! Intel RDT: a container's class of service in the resctrl file system (the kernel's
//! filesystems/resctrl.rst), and its share of cache and of memory bandwidth.
//!
//! Knows directories and their files. Must not know the syntax of a schema: the kernel checks it,
//! and its message goes into the error. A directory is recorded in the state before it is made.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::spec::IntelRdt;

const FIELD: &str = "linux.intelRdt";
const SCHEMATA: &str = "schemata";
/// The class of this process; `res:` alone if resctrl is mounted nowhere (Linux 5.6).
const GROUPS: &str = "/proc/self/cpu_resctrl_groups";

/// A container's class of service, as it is kept in the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Directory of the class.
    directory: PathBuf,
    /// Whether we made the class, and so remove it.
    made: bool,
    /// Directory of the container's own monitoring group, which we remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitoring: Option<PathBuf>,
}

/// Lines for the file `schemata`, each with the field of config.json that holds it.
pub type Lines<'a> = Vec<(String, &'a str)>;

/// The lines of a configuration, in the order in which they are written.
pub fn lines(rdt: &IntelRdt) -> Lines<'_> {
    let named = [("l3CacheSchema", &rdt.l3_cache_schema), ("memBwSchema", &rdt.mem_bw_schema)];
    let named = named.into_iter().filter_map(|(name, line)| {
        Some((format!("{FIELD}.{name}"), line.as_deref().filter(|line| !line.is_empty())?))
    });
    let more = rdt.schemata.iter().enumerate();
    let more = more.map(|(index, line)| (format!("{FIELD}.schemata[{index}]"), line.as_str()));
    named.chain(more).collect()
}

impl Class {
    /// The class of a container, which may not exist yet; makes nothing.
    ///
    /// # Errors
    /// This machine has no resctrl, or the class has to exist, and does not.
    pub fn locate(rdt: &IntelRdt, id: &str) -> Result<Class> {
        let mountinfo = "/proc/self/mountinfo";
        let text = fs::read_to_string(mountinfo).map_err(|e| Error::io(mountinfo, "read", &e))?;
        let mount = mounted(&text).ok_or_else(|| {
            Error::new(format!("{FIELD}: the resctrl file system is not mounted"))
                .hint("on a processor that has it: mount -t resctrl resctrl /sys/fs/resctrl")
        })?;
        Class::below(&mount, rdt, id)
    }

    fn below(mount: &Path, rdt: &IntelRdt, id: &str) -> Result<Class> {
        let name = rdt.clos_id.as_deref().unwrap_or(id);
        let directory = match name {
            "/" => mount.to_owned(),
            name => mount.join(name),
        };
        let exists = directory.is_dir();
        if !exists && rdt.clos_id.is_some() && lines(rdt).is_empty() {
            let text = format!("{FIELD}.closID {name:?}: {}: no such class", directory.display());
            return Err(Error::new(text).hint("give schemata to have it made, or make it before"));
        }
        let monitoring = rdt.enable_monitoring.then(|| directory.join("mon_groups").join(id));
        Ok(Class { directory, made: !exists, monitoring })
    }

    /// Make the missing directories, and write the class's shares.
    ///
    /// A class that already exists has other users: its shares are not changed, and must equal the
    /// requested ones.
    ///
    /// # Errors
    /// A directory cannot be made, a share cannot be written, or an existing class has other
    /// shares.
    pub fn create(&mut self, rdt: &IntelRdt) -> Result<()> {
        if self.made {
            match fs::create_dir(&self.directory) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => self.made = false,
                result => result.map_err(|e| self.failed("mkdir", &e))?,
            }
        }
        let lines = lines(rdt);
        match self.made {
            true => self.apply(&lines)?,
            false => self.compare(&lines)?,
        }
        match &self.monitoring {
            Some(group) => fs::create_dir(group)
                .map_err(|e| Error::io(format!("{FIELD}: {}", group.display()), "mkdir", &e)),
            None => Ok(()),
        }
    }

    /// Move a process into the class; its later children inherit the class.
    ///
    /// # Errors
    /// A `tasks` file cannot be written.
    pub fn add(&self, pid: i32) -> Result<()> {
        let groups = [Some(&self.directory), self.monitoring.as_ref()];
        groups.into_iter().flatten().try_for_each(|group| {
            let path = group.join("tasks");
            write(&path, &pid.to_string())
                .map_err(|e| Error::io(format!("{FIELD}: {} = {pid}", path.display()), "write", &e))
        })
    }

    /// Remove the directories that we made; a class with other tasks stays.
    ///
    /// # Errors
    /// A directory cannot be removed, or resctrl is not mounted in this mount namespace.
    pub fn remove(&self) -> Result<()> {
        let ours = self.made || self.monitoring.is_some();
        if ours && !self.directory.exists() {
            return self.gone_or_hidden();
        }
        if let Some(group) = &self.monitoring {
            gone(fs::remove_dir(group))
                .map_err(|e| Error::io(format!("{FIELD}: {}", group.display()), "rmdir", &e))?;
        }
        let tasks = fs::read_to_string(self.directory.join("tasks")).unwrap_or_default();
        if !self.made || !tasks.trim().is_empty() {
            return Ok(());
        }
        gone(fs::remove_dir(&self.directory)).map_err(|e| self.failed("rmdir", &e))
    }

    /// The directory is missing: it was removed, it vanished with the last mount of resctrl, or
    /// resctrl is not visible in this mount namespace.
    fn gone_or_hidden(&self) -> Result<()> {
        let read = |file: &str| fs::read_to_string(file).map_err(|e| Error::io(file, "read", &e));
        if mounted(&read("/proc/self/mountinfo")?).is_some() {
            return Ok(());
        }
        match read(GROUPS) {
            Ok(groups) if groups.lines().any(|line| line == "res:") => Ok(()),
            Err(e) if e.errno() == Some(libc::ENOENT) => Ok(()),
            _ => {
                let shown = self.directory.display();
                let text = format!("{FIELD}: {shown} is not visible here: resctrl is not mounted");
                Err(Error::new(text).hint(
                    "call tiny-ce in a mount namespace that has it, or mount it here: \
                     mount -t resctrl resctrl /sys/fs/resctrl",
                ))
            }
        }
    }

    /// Return the present shares of the class.
    ///
    /// # Errors
    /// The file `schemata` cannot be read.
    pub fn snapshot(&self) -> Result<String> {
        let path = self.directory.join(SCHEMATA);
        fs::read_to_string(&path).map_err(|e| {
            Error::io(path.display(), "read", &e).hint("the container's class of service is gone")
        })
    }

    /// Give the class other shares.
    ///
    /// # Errors
    /// The kernel refuses a line.
    pub fn apply(&self, lines: &Lines<'_>) -> Result<()> {
        lines.iter().try_for_each(|(field, line)| self.set(field, line))
    }

    /// Write back the shares that [`Class::snapshot`] returned.
    ///
    /// # Errors
    /// The kernel refuses a line.
    pub fn restore(&self, before: &str) -> Result<()> {
        before.lines().try_for_each(|line| self.set(FIELD, line.trim()))
    }

    /// The content of `intel_rdt` in runc's `events --stats`: the limits of the machine, the shares
    /// of the default class and of this one, and the counters of each cache.
    pub fn stats(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        let Some(mount) = self.directory.ancestors().find(|at| at.join("info").is_dir()) else {
            return all;
        };
        for (resource, info, schema) in
            [("L3", "l3_cache_info", "l3_cache_schema"), ("MB", "mem_bw_info", "mem_bw_schema")]
        {
            let numbers = files(&mount.join("info").join(resource));
            if !numbers.is_empty() {
                all.insert(info.to_owned(), Value::Object(numbers));
            }
            for (directory, key) in
                [(mount, format!("{schema}_root")), (&self.directory, schema.to_owned())]
            {
                if let Some(line) = line(directory, resource) {
                    all.insert(key, line.into());
                }
            }
        }
        if let Some(group) = &self.monitoring {
            all.extend(counters(&group.join("mon_data")));
        }
        all
    }

    fn set(&self, field: &str, line: &str) -> Result<()> {
        let path = self.directory.join(SCHEMATA);
        write(&path, line).map_err(|e| {
            let error = Error::io(format!("{field}: {} = {line:?}", path.display()), "write", &e);
            let status = self.directory.ancestors().map(|at| at.join("info/last_cmd_status"));
            match status.filter_map(|file| fs::read_to_string(file).ok()).next() {
                Some(words) if words.trim() != "ok" => error.kernel(&words),
                _ => error,
            }
        })
    }

    fn compare(&self, wanted: &Lines<'_>) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let found = self.snapshot()?;
        // The kernel pads the names of resources and of masks.
        let plain = |line: &str| -> String {
            let line: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            let (resource, domains) = line.split_once(':').unwrap_or((&line, ""));
            let domains = domains.split(';').map(|domain| match domain.split_once('=') {
                Some((id, mask)) => format!("{id}={}", mask.trim_start_matches('0')),
                None => domain.to_owned(),
            });
            format!("{resource}:{}", domains.collect::<Vec<_>>().join(";"))
        };
        for (field, line) in wanted {
            if !found.lines().any(|existing| plain(existing) == plain(line)) {
                let shown = self.directory.display();
                let text = format!("{field}: {line:?}: the class {shown} exists with other shares");
                return Err(Error::new(text)
                    .detail(format!("it has: {}", found.split_whitespace().collect::<String>()))
                    .hint("choose another closID, or the shares that the class has"));
            }
        }
        Ok(())
    }

    fn failed(&self, call: &'static str, e: &io::Error) -> Error {
        let error = Error::io(format!("{FIELD}: {}", self.directory.display()), call, e);
        match e.kind() {
            ErrorKind::StorageFull => error.hint("the processor has no more classes of service"),
            _ => error,
        }
    }
}

/// The files of `info` that are part of the statistics; `cbm_mask` is text, the others are numbers.
const INFO: [&str; 6] =
    ["cbm_mask", "min_cbm_bits", "num_closids", "bandwidth_gran", "delay_linear", "min_bandwidth"];

fn files(directory: &Path) -> Map<String, Value> {
    let read = |name: &&str| {
        let text = fs::read_to_string(directory.join(name)).ok()?;
        let value = match (*name, text.trim().parse::<u64>()) {
            ("cbm_mask", _) | (_, Err(_)) => Value::from(text.trim()),
            (_, Ok(number)) => Value::from(number),
        };
        Some(((*name).to_owned(), value))
    };
    INFO.iter().filter_map(read).collect()
}

/// The line of a resource in a class's schemata.
fn line(directory: &Path, resource: &str) -> Option<String> {
    let text = fs::read_to_string(directory.join(SCHEMATA)).ok()?;
    let lines = text.lines().map(str::trim);
    lines.into_iter().find(|line| line.split(':').next() == Some(resource)).map(str::to_owned)
}

/// Occupancy and bandwidth, an element for each cache in the order of their names.
fn counters(directory: &Path) -> BTreeMap<String, Value> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut caches: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    caches.sort();
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for cache in caches {
        for (key, names) in [
            ("cmt_stats", &["llc_occupancy"][..]),
            ("mbm_stats", &["mbm_total_bytes", "mbm_local_bytes"][..]),
        ] {
            let read = |name: &&str| {
                let text = fs::read_to_string(cache.join(name)).ok()?;
                Some(((*name).to_owned(), Value::from(text.trim().parse::<u64>().ok()?)))
            };
            let counted: Map<String, Value> = names.iter().filter_map(read).collect();
            if !counted.is_empty() {
                all.entry(key.to_owned()).or_default().push(Value::Object(counted));
            }
        }
    }
    all.into_iter().map(|(key, list)| (key, Value::Array(list))).collect()
}

/// One write(2), since the kernel accepts whole lines only.
fn write(path: &Path, line: &str) -> io::Result<()> {
    fs::File::options().write(true).open(path)?.write_all(format!("{line}\n").as_bytes())
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
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

    /// A directory with the files of resctrl.
    struct Mount(PathBuf);

    impl Mount {
        fn new(name: &str) -> Mount {
            let path = std::env::temp_dir().join(format!("tiny-ce-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("gold/mon_groups")).expect("directories");
            for class in ["", "gold"] {
                fs::write(path.join(class).join("tasks"), "").expect("tasks");
                let schemata = "    L3:0=000f;1=000f\n    MB:0=  50;1= 100\n";
                fs::write(path.join(class).join(SCHEMATA), schemata).expect("schemata");
            }
            Mount(path)
        }
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn rdt(clos_id: Option<&str>, line: Option<&str>) -> IntelRdt {
        let text = |text: &str| text.to_owned();
        IntelRdt {
            clos_id: clos_id.map(text),
            l3_cache_schema: line.map(text),
            ..IntelRdt::default()
        }
    }

    #[test]
    fn a_class_that_exists_must_be_as_asked_for() {
        let mount = Mount::new("rdt-there");
        let wanted = IntelRdt { enable_monitoring: true, ..rdt(Some("gold"), Some("L3:0=f;1=f")) };
        let mut class = Class::below(&mount.0, &wanted, "web").expect("the class");
        let group = mount.0.join("gold/mon_groups/web");
        assert_eq!((class.made, class.monitoring.as_ref()), (false, Some(&group)));
        class.create(&wanted).expect("as asked for");
        fs::write(group.join("tasks"), "").expect("tasks");
        class.add(4711).expect("added");
        let tasks = |path: &Path| fs::read_to_string(path.join("tasks")).expect("tasks");
        assert_eq!(tasks(&group), "4711\n");
        assert_eq!(tasks(&mount.0.join("gold")), "4711\n");
        fs::remove_file(group.join("tasks")).expect("an empty group");
        class.remove().expect("removed");
        assert!(!group.exists() && mount.0.join("gold").exists());
        class.remove().expect("twice");

        let other = rdt(Some("gold"), Some("L3:0=ff;1=f"));
        let mut class = Class::below(&mount.0, &other, "web").expect("the class");
        let error = class.create(&other).expect_err("other shares").to_string();
        assert!(error.contains("l3CacheSchema") && error.contains("other shares"), "{error}");
    }

    #[test]
    fn a_missing_class_is_made_or_refused() {
        let mount = Mount::new("rdt-new");
        let error = Class::below(&mount.0, &rdt(Some("tin"), None), "web").expect_err("no class");
        assert!(error.to_string().contains("no such class"), "{error}");
        let plain = rdt(None, None);
        let mut class = Class::below(&mount.0, &plain, "web").expect("a class of its own");
        class.create(&plain).expect("made");
        assert!(mount.0.join("web").is_dir());
        class.remove().expect("removed");
        assert!(!mount.0.join("web").exists());
        let default = Class::below(&mount.0, &rdt(Some("/"), None), "web").expect("the default");
        assert_eq!((default.directory.as_path(), default.made), (mount.0.as_path(), false));
        // An error of the kernel names the field.
        let wanted = rdt(Some("tin"), Some("L3:0=f"));
        let mut class = Class::below(&mount.0, &wanted, "web").expect("to be made");
        let error = class.create(&wanted).expect_err("no schemata file").to_string();
        assert!(error.starts_with("linux.intelRdt.l3CacheSchema: "), "{error}");
        class.remove().expect("removed");
    }

    #[test]
    fn shares_are_changed_and_set_back() {
        let mount = Mount::new("rdt-set");
        let wanted = rdt(Some("gold"), None);
        let class = Class::below(&mount.0, &wanted, "web").expect("the class");
        let before = class.snapshot().expect("schemata");
        fs::write(mount.0.join("gold").join(SCHEMATA), "").expect("schemata");
        class.apply(&vec![(FIELD.to_owned(), "MB:0=50")]).expect("applied");
        assert_eq!(class.snapshot().as_deref(), Ok("MB:0=50\n"));
        class.restore(before.lines().next().unwrap_or_default()).expect("restored");
        assert_eq!(class.snapshot().as_deref(), Ok("L3:0=000f;1=000f\n"));
    }

    #[test]
    fn stats_are_runc_s() {
        let mount = Mount::new("rdt-stats");
        let put = |name: &str, text: &str| {
            let path = mount.0.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
            fs::write(path, text).expect(name);
        };
        put("info/L3/cbm_mask", "fffff\n");
        put("info/L3/num_closids", "16\n");
        put("gold/mon_groups/web/mon_data/mon_L3_00/llc_occupancy", "12345\n");
        put("gold/mon_groups/web/mon_data/mon_L3_00/mbm_total_bytes", "7\n");
        let wanted = IntelRdt { enable_monitoring: true, ..rdt(Some("gold"), None) };
        let class = Class::below(&mount.0, &wanted, "web").expect("the class");
        let stats = serde_json::to_value(class.stats()).expect("JSON");
        let expected = serde_json::json!({
            "l3_cache_info": {"cbm_mask": "fffff", "num_closids": 16},
            "l3_cache_schema_root": "L3:0=000f;1=000f",
            "l3_cache_schema": "L3:0=000f;1=000f",
            "mem_bw_schema_root": "MB:0=  50;1= 100",
            "mem_bw_schema": "MB:0=  50;1= 100",
            "cmt_stats": [{"llc_occupancy": 12345}],
            "mbm_stats": [{"mbm_total_bytes": 7}],
        });
        assert_eq!(stats, expected);
    }
}
