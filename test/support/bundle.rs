//! A bundle of a test: `runc spec`'s default config.json, changed by JSON pointer, and a rootfs
//! that holds the probe and empty directories.
//!
//! The default is written down here, not asked of tiny-ce, so that its own `spec` can be compared.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// config.json and rootfs in a directory of the test's.
pub struct Bundle {
    dir: PathBuf,
    /// config.json, written whenever the bundle is used.
    pub config: Value,
}

impl Bundle {
    /// A bundle in `dir`, which is made, with a rootfs that any user may enter.
    pub(crate) fn new(dir: PathBuf, tag: &str) -> Bundle {
        let rootfs = dir.join("rootfs");
        for name in ["proc", "sys", "dev", "tmp", "etc", "bin"] {
            std::fs::create_dir_all(rootfs.join(name)).expect("rootfs");
        }
        let write = |name: &str, text: &str| std::fs::write(rootfs.join(name), text).expect(name);
        write(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
        );
        write("etc/group", "root:x:0:\nuser:x:1000:\n");
        place(crate::probe(), &rootfs.join("probe"));
        let mut bundle = Bundle { dir, config: default_config() };
        bundle.args(["/probe", "ids"]).push("/process/env", format!("TINY_CE_CASE={tag}"));
        bundle
    }

    /// The bundle's directory, with config.json as it is now.
    pub fn path(&self) -> &Path {
        let text = serde_json::to_string_pretty(&self.config).expect("JSON");
        std::fs::write(self.dir.join("config.json"), text).expect("config.json");
        &self.dir
    }

    /// The rootfs beside config.json.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// A file in the rootfs, with its directories; and its path on the host.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.rootfs().join(name.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("rootfs");
        std::fs::write(&path, text).expect("a file in the rootfs");
        path
    }

    /// A program of the host's in the rootfs, never open for writing in this process: a fork
    /// elsewhere in the test could inherit the descriptor, and execve(2) would say ETXTBSY.
    pub fn program(&self, from: &Path, name: &str) -> &Self {
        place(from, &self.rootfs().join(name.trim_start_matches('/')));
        self
    }

    /// What to run.
    pub fn args<const N: usize>(&mut self, words: [&str; N]) -> &mut Self {
        self.set("/process/args", words.to_vec())
    }

    /// The probe with these commands, words parted by white space: `"ids then caps"`.
    pub fn probe(&mut self, commands: &str) -> &mut Self {
        let words: Vec<&str> = ["/probe"].into_iter().chain(commands.split_whitespace()).collect();
        self.set("/process/args", words)
    }

    /// Set what `pointer` names, and make what is above it: `set("/process/umask", 18)`.
    pub fn set(&mut self, pointer: &str, value: impl Into<Value>) -> &mut Self {
        *self.at(pointer) = value.into();
        self
    }

    /// Put `value` at the end of the array that `pointer` names, made if it is not there.
    pub fn push(&mut self, pointer: &str, value: impl Into<Value>) -> &mut Self {
        let place = self.at(pointer);
        if place.is_null() {
            *place = json!([]);
        }
        place.as_array_mut().unwrap_or_else(|| panic!("{pointer}: no array")).push(value.into());
        self
    }

    /// Take away what `pointer` names: a property, or an array's entry.
    pub fn remove(&mut self, pointer: &str) -> &mut Self {
        let (parent, last) = pointer.rsplit_once('/').expect("a JSON pointer");
        match self.config.pointer_mut(parent) {
            Some(Value::Object(object)) => drop(object.remove(&unescape(last))),
            Some(Value::Array(array)) => drop(array.remove(last.parse().expect("an index"))),
            _ => panic!("{pointer}: its parent is not there"),
        }
        self
    }

    /// Without the namespace `kind`, as config.json names it: `"network"`.
    pub fn without_namespace(&mut self, kind: &str) -> &mut Self {
        let list = self.at("/linux/namespaces").as_array_mut().expect("namespaces");
        list.retain(|namespace| namespace["type"] != kind);
        self
    }

    /// With the namespace `kind` joined by `path`, or made anew when there is none.
    pub fn namespace(&mut self, kind: &str, path: Option<&Path>) -> &mut Self {
        self.without_namespace(kind);
        self.push(
            "/linux/namespaces",
            match path {
                Some(path) => json!({"type": kind, "path": path}),
                None => json!({"type": kind}),
            },
        )
    }

    /// The mount at `destination`, as config.json has it.
    pub fn mount(&mut self, destination: &str) -> &mut Value {
        let list = self.at("/mounts").as_array_mut().expect("mounts");
        let found = list.iter_mut().find(|mount| mount["destination"] == destination);
        found.unwrap_or_else(|| panic!("no mount at {destination}"))
    }

    /// Bind `source` of the host, in place of any mount that config.json has at `destination`.
    pub fn bind(&mut self, source: &str, destination: &str, options: &[&str]) -> &mut Self {
        let mount = json!({
            "destination": destination,
            "type": "bind",
            "source": source,
            "options": options,
        });
        let list = self.at("/mounts").as_array_mut().expect("mounts");
        match list.iter().position(|mount| mount["destination"] == destination) {
            Some(index) => list[index] = mount,
            None => list.push(mount),
        }
        self
    }

    fn at(&mut self, pointer: &str) -> &mut Value {
        let mut place = &mut self.config;
        for word in pointer.split('/').skip(1).map(unescape) {
            if place.is_null() {
                *place = json!({});
            }
            place = match place {
                Value::Object(object) => object.entry(word).or_insert(Value::Null),
                Value::Array(array) => {
                    let index =
                        word.parse::<usize>().unwrap_or_else(|_| panic!("{pointer}: {word}"));
                    &mut array[index]
                }
                _ => panic!("{pointer}: {word:?} is below neither object nor array"),
            };
        }
        place
    }
}

fn unescape(word: &str) -> String {
    word.replace("~1", "/").replace("~0", "~")
}

fn place(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().expect("a directory")).expect("rootfs");
    // Of a symbolic link, the link itself would be linked.
    let from = &from.canonicalize().unwrap_or_else(|_| from.to_owned());
    if std::fs::hard_link(from, to).is_ok() {
        return;
    }
    let done = Command::new("cp").arg(from).arg(to).status().expect("cp");
    assert!(done.success(), "cp {} {}", from.display(), to.display());
}

/// What `runc spec` writes, without a terminal.
pub fn default_config() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2-dev",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "runc",
        "mounts": default_mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"},
                {"type": "network"},
                {"type": "ipc"},
                {"type": "uts"},
                {"type": "mount"},
                {"type": "cgroup"},
            ],
            "maskedPaths": [
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ],
        },
    })
}

fn default_mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| {
        let mut mount = json!({"destination": destination, "type": kind, "source": source});
        mount["options"] = json!(options);
        mount
    };
    let quiet = ["nosuid", "noexec", "nodev"];
    let quiet_and = |more: &[&'static str]| [&quiet[..], more].concat();
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &[
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ]),
        mount("/dev/shm", "tmpfs", "shm", &quiet_and(&["mode=1777", "size=65536k"])),
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet),
        mount("/sys", "sysfs", "sysfs", &quiet_and(&["ro"])),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &quiet_and(&["relatime", "ro"])),
    ])
}
